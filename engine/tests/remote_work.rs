//! Chunks computed by other computers: real hubs and clients on 127.0.0.1.

mod common;
mod remote_rig;

use std::{
    net::UdpSocket,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use common::{Gate, TestSeparator, spec};
use engine::{
    Error, ErrorKind,
    crew::{Ending, Member, PauseReason, Standing, Work},
    model::{Separator, spectral::Spectral},
    protocol::Running,
    remote::MainState,
    scheduler::Cause,
};
use remote_rig::{Desk, Main, Sent, Shop, Worker, stored, wait_until, work};

fn test_separator() -> Arc<dyn Separator> {
    Arc::new(TestSeparator::new(spec(20_000, 15_000)))
}

/// A main PC and a worker that share a model and are connected.
fn pair_of(separator: &Arc<dyn Separator>) -> (Main, Worker) {
    let mut worker = Worker::new("Spare", Shop::new(vec![Arc::clone(separator)]));
    let main = Main::with(vec![Arc::clone(separator)], &[&worker]);
    worker.start();
    (main, worker)
}

/// A main PC and a worker that are connected, where chunks wait at a gate on the worker, and so does the
/// test piece.
struct Gated {
    gate: Arc<Gate>,
    main: Main,
    worker: Worker,
    work: Work,
    desk: Desk,
}

impl Gated {
    fn new() -> Self {
        let gate = Arc::new(Gate::default());
        let there = TestSeparator::behind(&gate, spec(20_000, 15_000));
        let here = test_separator();
        let mut worker = Worker::new("Spare", Shop::new(vec![there]));
        let main = Main::with(vec![Arc::clone(&here)], &[&worker]);
        worker.start();
        let work = work(here.as_ref());
        Self { gate, main, worker, work, desk: Desk::new(here, 2, 50_000) }
    }

    /// The worker, once its test piece was let through.
    fn member(&self) -> Arc<dyn Member> {
        self.gate.open(1);
        self.main.member(&self.worker, &self.work)
    }

    /// Gives it a chunk, which starts.
    fn begin(&self, member: &dyn Member) -> Sent {
        let sent = self.desk.begin(member, 0, &[0, 1]);
        wait_until("it to start", || sent.has_started());
        sent
    }

    /// Gives it a chunk that is let through.
    fn computes(&self, member: &dyn Member) {
        self.gate.open(1);
        assert_eq!(stored(self.desk.compute(member, 1, &[0, 1])), self.desk.local(1, &[0, 1]));
    }

    fn wait_until_idle(&self) {
        wait_until("it to stop there", || self.worker.shop.computing.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn a_chunk_computed_elsewhere_is_the_same_to_the_bit() {
    let separator: Arc<dyn Separator> = Arc::new(Spectral::new());
    let (main, worker) = pair_of(&separator);
    let member = main.member(&worker, &work(separator.as_ref()));
    let desk = Desk::new(Arc::clone(&separator), 1, 600_000);
    let all: Vec<usize> = (0..4).collect();
    for chunk in 0..desk.chunks() {
        assert_eq!(stored(desk.compute(&*member, chunk, &all)), desk.local(chunk, &all));
    }
    wait_until("its speed to be shown", || {
        main.computer(&worker).unwrap().tested_x_real_time.is_some_and(|speed| speed > 0.0)
    });
}

#[test]
fn only_the_stems_wanted_come_back() {
    let separator = test_separator();
    let (main, worker) = pair_of(&separator);
    let mut wanted = work(separator.as_ref());
    wanted.keep = vec![1].into();
    let member = main.member(&worker, &wanted);
    let desk = Desk::new(Arc::clone(&separator), 2, 50_000);
    for chunk in 0..desk.chunks() {
        let bytes = stored(desk.compute(&*member, chunk, &[1]));
        assert_eq!(bytes, desk.local(chunk, &[1]));
    }
}

#[test]
fn two_workers_compute_one_song() {
    let separator = test_separator();
    let workers = ["One", "Two"];
    let mut workers = workers.map(|n| Worker::new(n, Shop::new(vec![Arc::clone(&separator)])));
    let main = Main::with(vec![Arc::clone(&separator)], &[&workers[0], &workers[1]]);
    workers.iter_mut().for_each(Worker::start);
    let work = work(separator.as_ref());
    let members = [0, 1].map(|n| main.member(&workers[n], &work));
    let desk = Desk::new(Arc::clone(&separator), 2, 150_000);
    let sent: Vec<_> =
        (0..desk.chunks()).map(|chunk| desk.begin(&*members[chunk % 2], chunk, &[0, 1])).collect();
    for (chunk, sent) in sent.iter().enumerate() {
        assert_eq!(stored(sent.wait()), desk.local(chunk, &[0, 1]));
    }
    let roll = main.crew().roll(&work);
    let seen: Vec<_> = roll.iter().map(|p| (p.letter, p.name.as_str(), p.threads)).collect();
    assert_eq!(seen, [(1, "One", 4), (2, "Two", 4)]);
}

#[test]
fn a_chunk_that_is_called_back_stops_at_once_and_there_too() {
    let rig = Gated::new();
    let member = rig.member();
    let sent = rig.begin(&*member);
    assert_eq!(rig.worker.shop.computing.load(Ordering::SeqCst), 1);
    assert!(!sent.has_ended());
    sent.signal.cancel();
    assert!(matches!(sent.wait(), Ending::Stopped));
    rig.wait_until_idle();
    // The connection goes on.
    rig.computes(&*member);
}

#[test]
fn results_that_are_wrong_are_never_kept() {
    type Spoil = fn(Vec<u8>) -> Vec<u8>;
    let spoils: [(&str, Spoil); 4] = [
        ("too long", |bytes| [bytes, vec![0; 8]].concat()),
        ("too short", |bytes| bytes[..bytes.len() - 8].to_vec()),
        ("nothing", |_| Vec::new()),
        ("not a number", |mut bytes| {
            bytes[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
            bytes
        }),
    ];
    let separator = test_separator();
    for (what, spoil) in spoils {
        let honest = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_honest = Arc::clone(&honest);
        let mut shop = Shop::new(vec![Arc::clone(&separator)]);
        shop.tamper = Arc::new(
            move |bytes| {
                if is_honest.load(Ordering::SeqCst) { bytes } else { spoil(bytes) }
            },
        );
        let mut worker = Worker::new("Spare", shop);
        let main = Main::with(vec![Arc::clone(&separator)], &[&worker]);
        worker.start();
        let member = main.member(&worker, &work(separator.as_ref()));
        honest.store(false, Ordering::SeqCst);
        let desk = Desk::new(Arc::clone(&separator), 2, 50_000);
        let ending = desk.compute(&*member, 0, &[0, 1]);
        assert!(matches!(ending, Ending::Failed(Cause::BadResult, _)), "{what}: {ending:?}");
        honest.store(true, Ordering::SeqCst);
        assert_eq!(stored(desk.compute(&*member, 0, &[0, 1])), desk.local(0, &[0, 1]), "{what}");
    }
}

#[test]
fn what_fails_there_fails_here_with_its_reason() {
    let hook: common::Hook = Box::new(|start, _| {
        if start == 0 { Ok(()) } else { Err(Error::new(ErrorKind::Internal, "Out of luck")) }
    });
    let there: Arc<dyn Separator> = Arc::new(TestSeparator::with(spec(20_000, 15_000), hook));
    let here = test_separator();
    let mut worker = Worker::new("Spare", Shop::new(vec![there]));
    let main = Main::with(vec![Arc::clone(&here)], &[&worker]);
    worker.start();
    let member = main.member(&worker, &work(here.as_ref()));
    let desk = Desk::new(here, 2, 50_000);
    match desk.compute(&*member, 1, &[0, 1]) {
        Ending::Failed(Cause::Error, error) => assert_eq!(error.what, "Out of luck"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_computer_that_computes_otherwise_is_not_used() {
    let separator = test_separator();
    let mut shop = Shop::new(vec![Arc::clone(&separator)]);
    shop.tamper = Arc::new(|mut bytes| {
        bytes[1000] ^= 1;
        bytes
    });
    let mut worker = Worker::new("Spare", shop);
    let main = Main::with(vec![Arc::clone(&separator)], &[&worker]);
    worker.start();
    let work = work(separator.as_ref());
    main.wait_standing(&worker, &work, |standing| *standing == Standing::Differs);
    assert!(main.present(&worker, &work).unwrap().member.is_none());
}

/// `cargo test --workspace --test remote_work -- --ignored`
#[test]
#[ignore = "takes half a minute"]
fn who_does_not_get_on_with_its_test_piece_is_set_aside() {
    let rig = Gated::new();
    rig.main.wait_standing(&rig.worker, &rig.work, |standing| {
        matches!(standing, Standing::SetAside { left: None, .. })
    });
    rig.wait_until_idle();
    rig.main.hub().try_again(rig.worker.identity.device()).unwrap();
    rig.member();
}

#[test]
fn a_model_that_is_not_there_is_refused_by_name() {
    let separator = test_separator();
    let mut worker = Worker::new("Spare", Shop::new(vec![Arc::new(Spectral::new())]));
    let main = Main::with(vec![Arc::clone(&separator)], &[&worker]);
    worker.start();
    let why = "It has no such model".to_owned();
    main.wait_standing(&worker, &work(separator.as_ref()), |standing| {
        *standing == Standing::Refused { why: why.clone() }
    });
}

/// A main PC and a worker whose disk is full; it is asked again after `time`.
fn with_a_full_worker(time: Duration) -> (Main, Worker, Work) {
    let separator = test_separator();
    let mut worker = Worker::new("Spare", Shop::new(vec![Arc::clone(&separator)]));
    worker.shop.is_full.store(true, Ordering::SeqCst);
    let mut main = Main::with(vec![Arc::clone(&separator)], &[]);
    main.close();
    main.ask_again_after = time;
    main.pair(&worker);
    main.open();
    worker.pair(&main);
    worker.start();
    let work = work(separator.as_ref());
    let why = "Its disk is full".to_owned();
    main.wait_standing(&worker, &work, |standing| {
        *standing == Standing::Refused { why: why.clone() }
    });
    (main, worker, work)
}

#[test]
fn who_refused_is_asked_again_until_it_can() {
    let (main, worker, work) = with_a_full_worker(Duration::from_millis(20));
    let orders = || worker.shop.orders.lock().unwrap().len();
    wait_until("it to be asked again", || main.present(&worker, &work).is_some() && orders() > 2);
    worker.shop.is_full.store(false, Ordering::SeqCst);
    let member = main.member(&worker, &work);
    let desk = Desk::new(test_separator(), 2, 3_000);
    assert_eq!(stored(desk.compute(&*member, 0, &[0, 1])), desk.local(0, &[0, 1]));
}

#[test]
fn who_refused_is_not_asked_sooner_unless_it_comes_anew() {
    let (main, mut worker, work) = with_a_full_worker(Duration::from_secs(3_600));
    worker.shop.is_full.store(false, Ordering::SeqCst);
    for _ in 0..1_000 {
        assert!(main.present(&worker, &work).unwrap().member.is_none());
    }
    worker.stop();
    worker.start();
    main.member(&worker, &work);
    assert_eq!(worker.shop.orders.lock().unwrap().len(), 2);
}

#[test]
fn a_pause_gives_back_what_runs_and_is_shown() {
    let rig = Gated::new();
    let member = rig.member();
    let sent = rig.begin(&*member);
    rig.worker.client().set_running(Running::Paused(PauseReason::Battery));
    assert!(matches!(sent.wait(), Ending::Stopped));
    rig.main.wait_standing(&rig.worker, &rig.work, |standing| {
        *standing == Standing::PausedThere(PauseReason::Battery)
    });
    assert!(matches!(rig.desk.compute(&*member, 0, &[0, 1]), Ending::Stopped));
    rig.worker.client().set_running(Running::Ready);
    let member = rig.main.member(&rig.worker, &rig.work);
    rig.computes(&*member);
}

#[test]
fn who_leaves_finishes_or_hands_back() {
    for patience in [Duration::ZERO, Duration::from_secs(60)] {
        let mut rig = Gated::new();
        let member = rig.member();
        let sent = rig.begin(&*member);
        let client = rig.worker.client.take().unwrap();
        let leaving = std::thread::spawn(move || client.leave(patience));
        let wait_standing = |wanted: &Standing| {
            rig.main.wait_standing(&rig.worker, &rig.work, |standing| standing == wanted);
        };
        if patience.is_zero() {
            assert!(matches!(sent.wait(), Ending::Stopped));
        } else {
            wait_standing(&Standing::Leaving);
            rig.gate.open(1);
            assert_eq!(stored(sent.wait()), rig.desk.local(0, &[0, 1]));
        }
        leaving.join().unwrap();
        wait_standing(&Standing::Away);
    }
}

#[test]
fn another_name_and_port_hold_at_once() {
    let separator = test_separator();
    let (main, worker) = pair_of(&separator);
    let work = work(separator.as_ref());
    main.member(&worker, &work);
    let old = main.address();
    let any_port = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = any_port().local_addr().unwrap().port();
    main.hub().set_reach("Attic".into(), port, false).unwrap();
    wait_until("it to be shown", || {
        main.address().port() == port && main.hub().status().name == "Attic"
    });
    wait_until("the worker to follow", || match worker.state() {
        Some(MainState::Connected { address }) => address.port() == port,
        _ => false,
    });
    assert_eq!(worker.peers().list()[0].name, "Attic");
    let desk = Desk::new(Arc::clone(&separator), 2, 50_000);
    let member = main.member(&worker, &work);
    assert_eq!(stored(desk.compute(&*member, 0, &[0, 1])), desk.local(0, &[0, 1]));
    wait_until("the old port to be free", || UdpSocket::bind(old).is_ok());

    // One that is taken changes nothing but the name.
    let taken = any_port();
    let taken_port = taken.local_addr().unwrap().port();
    let error = main.hub().set_reach("Cellar".into(), taken_port, false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.kept.unwrap().contains(&port.to_string()));
    wait_until("the name to be shown", || main.hub().status().name == "Cellar");
    assert_eq!(main.address().port(), port);
    assert!(main.is_connected(&worker));
}

#[test]
fn a_lost_connection_is_a_lost_chunk_and_comes_back() {
    let mut rig = Gated::new();
    let is_lost = |ending| matches!(ending, Ending::Failed(Cause::Lost, _));
    let member = rig.member();
    // The worker goes.
    let sent = rig.begin(&*member);
    rig.worker.stop();
    assert!(is_lost(sent.wait()));
    rig.main.wait_standing(&rig.worker, &rig.work, |standing| *standing == Standing::Away);
    assert!(is_lost(rig.desk.compute(&*member, 0, &[0, 1])));
    // It comes back; the main PC goes.
    rig.worker.start();
    let again = rig.member();
    assert!(!Arc::ptr_eq(&member, &again));
    let sent = rig.begin(&*again);
    rig.main.close();
    assert!(is_lost(sent.wait()));
    assert!(is_lost(rig.desk.compute(&*again, 0, &[0, 1])));
    wait_until("the worker to notice", || {
        matches!(rig.worker.state(), Some(MainState::Connecting { .. }))
    });
    rig.wait_until_idle();
    // And is there again, at the same place. What its test piece came to is remembered.
    rig.main.open();
    let member = rig.member();
    rig.computes(&*member);
}
