//! Pairing over real sockets, with everything that somebody may try who should not be paired.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig};
use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    PairingDesk, join_by_code, join_by_ticket,
    proof::{Channel, Keys, Pake, Role},
    resolve,
    tickets::{TICKET_LIFE, Tickets, key_of},
    wire::Talk,
};
use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    protocol::{
        ALPN_PAIR, ALPN_WORK, PairAnswer, PairConfirm, PairHello, PairProof, PairRefusal, VERSION,
        code,
    },
    remote::{
        Identity, MAX_PEERS, PairingStage, Peer, Peers, Ticket,
        tls::{client_config, server_config},
    },
};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A main PC that does nothing but pair.
struct MainPc {
    dir: TempDir,
    identity: Identity,
    peers: Peers,
    desk: PairingDesk,
    address: SocketAddr,
    runtime: Runtime,
}

impl MainPc {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (identity, desk, address) = serve(dir.path(), &runtime);
        Self { peers: Peers::open(dir.path()).unwrap(), dir, identity, desk, address, runtime }
    }

    fn code(&self) -> String {
        self.desk.status().unwrap().code
    }

    fn stage(&self) -> PairingStage {
        self.desk.status().unwrap().stage
    }

    fn paired(&self) -> Vec<Peer> {
        self.peers.refresh().unwrap();
        self.peers.list()
    }

    /// A stranger's connection, over which it can say what it likes.
    async fn visit(&self, identity: &Identity) -> (Connection, Talk, Channel) {
        let connection = dial(identity, self.address).await;
        let talk = Talk::open(&connection).await.unwrap();
        let channel = Channel::of(&connection, identity.device(), Role::Worker).unwrap();
        (connection, talk, channel)
    }
}

/// What one process of a main PC does.
fn serve(dir: &Path, runtime: &Runtime) -> (Identity, PairingDesk, SocketAddr) {
    let identity = Identity::load_or_create(dir).unwrap();
    let peers = Peers::open(dir).unwrap();
    let desk = PairingDesk::new(identity.clone(), peers, "Anna-Desktop".into(), dir);
    let at_desk = desk.clone();
    let address = listen(&identity, ALPN_PAIR, runtime, move |connection| {
        let desk = at_desk.clone();
        async move { desk.serve(connection).await }
    });
    (identity, desk, address)
}

fn listen<F: Future<Output = ()> + Send + 'static>(
    identity: &Identity,
    alpn: &[u8],
    runtime: &Runtime,
    serve: impl Fn(Connection) -> F + Send + 'static,
) -> SocketAddr {
    let tls = server_config(identity, Arc::new(|_| true), &[alpn]).unwrap();
    let _context = runtime.enter();
    let config = ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = Endpoint::server(config, anywhere()).unwrap();
    let address = endpoint.local_addr().unwrap();
    runtime.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if let Ok(connection) = incoming.await {
                tokio::spawn(serve(connection));
            }
        }
    });
    address
}

async fn dial(identity: &Identity, address: SocketAddr) -> Connection {
    let tls = client_config(identity, Arc::new(|_| true), ALPN_PAIR).unwrap();
    let endpoint = Endpoint::client(anywhere()).unwrap();
    let config = ClientConfig::new(Arc::new(tls));
    endpoint.connect_with(config, address, "stemhive").unwrap().await.unwrap()
}

/// A worker with an empty list of main PCs.
struct Worker {
    _dir: TempDir,
    identity: Identity,
    peers: Peers,
}

impl Worker {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        let peers = Peers::open(dir.path()).unwrap();
        Self { _dir: dir, identity, peers }
    }

    fn by_code(&self, address: SocketAddr, code: &str) -> Result<Peer> {
        join_by_code(&self.identity, &self.peers, "Laptop-3", &[address], code)
    }

    fn by_ticket(&self, ticket: &Ticket) -> Result<Peer> {
        join_by_ticket(&self.identity, &self.peers, "Laptop-3", ticket)
    }
}

fn hello(proof: PairProof) -> PairHello {
    PairHello { version: VERSION, program: "0.1".into(), name: "Laptop-3".into(), proof }
}

/// Some code that is not `right`.
fn other_than(right: &str) -> String {
    format!("{:06}", (right.parse::<u32>().unwrap() + 1) % 1_000_000)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn assert_refused(outcome: Result<Peer>, kind: ErrorKind, part: &str) -> Error {
    let error = outcome.expect_err("it must not be paired");
    assert!(error.kind == kind && error.what.contains(part), "{:?} {error}", error.kind);
    assert!(error.advice.is_some());
    error
}

#[test]
fn the_code_pairs_both() {
    let (main, worker) = (MainPc::new(), Worker::new());
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    main.desk.set_wake(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    assert!(!main.desk.is_open() && main.desk.status().is_none());
    main.desk.start().unwrap();
    assert!(main.desk.is_open());
    assert_eq!(main.stage(), PairingStage::Waiting);

    let code = main.code();
    let typed = format!(" {} {}", &code[..3], &code[3..]);
    let found = worker.by_code(main.address, &typed).unwrap();
    assert_eq!((found.name.as_str(), found.device), ("Anna-Desktop", main.identity.device()));
    assert!(found.confirmed && found.addresses == [main.address]);
    assert_eq!(worker.peers.list(), [found]);

    let [added] = main.paired().try_into().unwrap();
    assert_eq!((added.name.as_str(), added.device), ("Laptop-3", worker.identity.device()));
    assert!(!added.confirmed, "the user compares fingerprints first");
    assert!(added.addresses[0].ip().is_loopback());
    assert_eq!(main.stage(), PairingStage::Paired(worker.identity.device()));
    wait_until("the window is over", || !main.desk.is_open());
    assert!(wakes.load(Ordering::Relaxed) >= 3);

    let again = Worker::new().by_code(main.address, &code);
    assert_refused(again, ErrorKind::Denied, "shows no code");
    main.desk.stop();
    assert!(main.desk.status().is_none());
}

#[test]
fn three_wrong_codes_close_the_window() {
    let (main, worker) = (MainPc::new(), Worker::new());
    main.desk.start().unwrap();
    let mut seen = HashSet::new();
    for (left, says) in [(2, "2 tries are left"), (1, "1 try is left"), (0, "no more tries")] {
        let code = main.code();
        seen.insert(code.clone());
        let outcome = worker.by_code(main.address, &other_than(&code));
        assert_refused(outcome, ErrorKind::Denied, says);
        let stage = match left {
            0 => PairingStage::Closed,
            tries_left => PairingStage::WrongCode { tries_left },
        };
        assert_eq!(main.stage(), stage);
    }
    assert!(seen.len() > 1, "every try has a code of its own");
    wait_until("the window is over", || !main.desk.is_open());
    for code in &seen {
        assert_refused(worker.by_code(main.address, code), ErrorKind::Denied, "shows no code");
    }
    assert_eq!((main.paired(), worker.peers.list()), (vec![], vec![]));
    assert_refused(worker.by_code(main.address, "12345"), ErrorKind::Invalid, "six digits");

    main.desk.start().unwrap();
    worker.by_code(main.address, &main.code()).unwrap();
}

#[test]
fn ten_thousand_wrong_codes_are_not_accepted() {
    let right = "483217";
    let channel = Channel { worker: DeviceId([1; 32]), main: DeviceId([2; 32]), session: [3; 32] };
    let is_accepted = |guess: &str| {
        let (ours, our_share) = Pake::start(Role::Main, right, &channel);
        let (theirs, their_share) = Pake::start(Role::Worker, guess, &channel);
        let (ours, theirs) = (ours.finish(their_share).unwrap(), theirs.finish(our_share).unwrap());
        let worker_proves = ours.check(Role::Worker, &theirs.tag(Role::Worker));
        let main_proves = theirs.check(Role::Main, &ours.tag(Role::Main));
        assert_eq!(worker_proves, main_proves);
        worker_proves
    };
    let accepted =
        |from: u32| (from..from + 5000).filter(|n| is_accepted(&format!("{n:06}"))).count();
    // The right one is not among them.
    let (low, high) = std::thread::scope(|scope| {
        let low = scope.spawn(|| accepted(478_217));
        let high = scope.spawn(|| accepted(483_218));
        (low.join().unwrap(), high.join().unwrap())
    });
    assert_eq!((low, high), (0, 0));
    assert!(is_accepted(right));
}

/// Somebody in the middle who has a key like everybody, and hands on what either side says.
fn relay(runtime: &Runtime, to: SocketAddr) -> SocketAddr {
    let identity = Identity::ephemeral().unwrap();
    let own = identity.clone();
    listen(&identity, ALPN_PAIR, runtime, move |from_worker| {
        let identity = own.clone();
        async move {
            let to_main = dial(&identity, to).await;
            let Ok((mut to_worker, mut of_worker)) = from_worker.accept_bi().await else {
                return;
            };
            let (mut say, mut hear) = to_main.open_bi().await.unwrap();
            let there = tokio::io::copy(&mut of_worker, &mut say);
            let back = tokio::io::copy(&mut hear, &mut to_worker);
            let _ = tokio::join!(there, back);
        }
    })
}

#[test]
fn a_relay_in_the_middle_fails() {
    let (main, worker) = (MainPc::new(), Worker::new());
    let relay = relay(&main.runtime, main.address);
    main.desk.start().unwrap();
    let outcome = worker.by_code(relay, &main.code());
    assert_refused(outcome, ErrorKind::Denied, "2 tries are left");

    let mut ticket = main.desk.ticket(vec![main.address]).unwrap();
    ticket.addresses = vec![relay];
    let outcome = worker.by_ticket(&ticket);
    assert_refused(outcome, ErrorKind::Denied, "not the one that made the ticket");
    assert_eq!((main.paired(), worker.peers.list()), (vec![], vec![]));

    // The same without anybody between.
    ticket.addresses = vec![main.address];
    worker.by_ticket(&ticket).unwrap();
}

#[test]
fn a_proof_that_is_sent_back_proves_nothing() {
    let (main, worker) = (MainPc::new(), Worker::new());
    // It has the main PC's key, so that pinning alone would let it pass.
    let mirror = listen(&main.identity, ALPN_PAIR, &main.runtime, |connection| async move {
        let mut talk = Talk::accept(&connection).await.unwrap();
        let hello: PairHello = talk.hear().await.unwrap();
        let tag = match hello.proof {
            PairProof::Ticket { tag } => tag,
            PairProof::Code { share } => {
                talk.say(&PairAnswer::Share(share)).await.unwrap();
                talk.hear::<PairConfirm>().await.unwrap().tag
            }
        };
        talk.say(&PairAnswer::Welcome { tag, name: "Mirror".into() }).await.unwrap();
        talk.end().await;
    });
    let outcome = worker.by_code(mirror, "123456");
    assert_refused(outcome, ErrorKind::Denied, "could not prove");
    let ticket = main.desk.ticket(vec![mirror]).unwrap();
    assert_refused(worker.by_ticket(&ticket), ErrorKind::Denied, "could not prove");
    assert_eq!(worker.peers.list(), []);
}

#[test]
fn roles_and_sessions_have_keys_of_their_own() {
    let channel = Channel { worker: DeviceId([1; 32]), main: DeviceId([2; 32]), session: [3; 32] };
    let keys = Keys::new(&[4; 32], &channel);
    let tag = keys.tag(Role::Worker);
    assert!(keys.check(Role::Worker, &tag) && !keys.check(Role::Main, &tag));
    let others = [
        Channel { worker: DeviceId([9; 32]), ..channel.clone() },
        Channel { main: DeviceId([9; 32]), ..channel.clone() },
        Channel { session: [9; 32], ..channel.clone() },
        Channel { worker: channel.main, main: channel.worker, session: channel.session },
    ];
    for other in others {
        assert!(!Keys::new(&[4; 32], &other).check(Role::Worker, &tag));
    }
    assert!(!Keys::new(&[5; 32], &channel).check(Role::Worker, &tag));
}

#[test]
fn what_was_said_once_pairs_nobody_again() {
    let (main, worker) = (MainPc::new(), Worker::new());
    main.desk.start().unwrap();
    let code = main.code();
    main.runtime.block_on(async {
        let (_connection, mut talk, channel) = main.visit(&worker.identity).await;
        let (pake, share) = Pake::start(Role::Worker, &code, &channel);
        let first = hello(PairProof::Code { share });
        talk.say(&first).await.unwrap();
        let PairAnswer::Share(share) = talk.hear().await.unwrap() else { panic!("no share") };
        let keys = pake.finish(share).unwrap();
        let second = PairConfirm { tag: keys.tag(Role::Worker) };
        talk.say(&second).await.unwrap();
        let answer: PairAnswer = talk.hear().await.unwrap();
        assert!(matches!(answer, PairAnswer::Welcome { tag, .. } if keys.check(Role::Main, &tag)));
        talk.end().await;

        main.peers.forget(worker.identity.device()).unwrap();
        wait_for_end(&main).await;
        main.desk.start().unwrap();
        // Even with the worker's own key.
        let (_connection, mut talk, _) = main.visit(&worker.identity).await;
        talk.say(&first).await.unwrap();
        assert!(matches!(talk.hear().await.unwrap(), PairAnswer::Share(_)));
        talk.say(&second).await.unwrap();
        let refusal = PairRefusal::WrongCode { tries_left: 2 };
        assert_eq!(talk.hear::<PairAnswer>().await.unwrap(), PairAnswer::Refused(refusal));
        talk.end().await;

        let ticket = main.desk.ticket(vec![main.address]).unwrap();
        let (_kept, _, recorded) = main.visit(&worker.identity).await;
        let tag = Keys::new(&key_of(&ticket.secret), &recorded).tag(Role::Worker);
        let (_connection, mut talk, _) = main.visit(&worker.identity).await;
        wait_for_end(&main).await;
        talk.say(&hello(PairProof::Ticket { tag })).await.unwrap();
        let refusal = PairAnswer::Refused(PairRefusal::TicketUnknown);
        assert_eq!(talk.hear::<PairAnswer>().await.unwrap(), refusal);
    });
    assert_eq!(main.paired(), []);
}

/// Waits until nobody is being paired, so that the next one is not told to wait.
async fn wait_for_end(main: &MainPc) {
    let start = Instant::now();
    while main.desk.is_pairing() {
        assert!(start.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_ticket_pairs_one_computer_once() {
    let (main, worker) = (MainPc::new(), Worker::new());
    let ticket = main.desk.ticket(vec![main.address]).unwrap();
    assert!(main.desk.is_open() && main.desk.status().is_none());
    let ticket: Ticket = ticket.to_string().parse().unwrap();
    assert_eq!(worker.by_ticket(&ticket).unwrap().device, main.identity.device());
    let [added] = main.paired().try_into().unwrap();
    assert!(added.confirmed && added.device == worker.identity.device());
    wait_until("the ticket is used", || !main.desk.is_open());
    let again = Worker::new().by_ticket(&ticket);
    assert_refused(again, ErrorKind::Denied, "used already");
    assert_eq!(main.paired().len(), 1);
}

#[test]
fn two_processes_redeem_one_ticket_once() {
    let main = MainPc::new();
    let (_, _, address) = serve(main.dir.path(), &main.runtime);
    for round in 1..=4 {
        // The command line makes it, the window and somebody else take it.
        let ticket = main.desk.ticket(vec![main.address]).unwrap();
        let elsewhere = Ticket { addresses: vec![address], ..ticket.clone() };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let racers = [&ticket, &elsewhere].map(|t| scope.spawn(|| Worker::new().by_ticket(t)));
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let (paired, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((paired.len(), refused.len()), (1, 1));
        assert_refused(refused.into_iter().next().unwrap(), ErrorKind::Denied, "used already");
        assert_eq!(main.paired().len(), round);
    }
}

#[test]
fn many_at_once_are_paired_one_after_the_other() {
    let main = MainPc::new();
    let tickets: Vec<_> = (0..4).map(|_| main.desk.ticket(vec![main.address]).unwrap()).collect();
    std::thread::scope(|scope| {
        for ticket in &tickets {
            scope.spawn(|| Worker::new().by_ticket(ticket).unwrap());
        }
    });
    assert_eq!(main.paired().len(), 4);
}

#[test]
fn a_main_pc_that_is_full_or_cannot_write_says_so_and_no_more() {
    let (main, worker) = (MainPc::new(), Worker::new());
    for n in 0..MAX_PEERS as u8 {
        main.peers.add(DeviceId([n; 32]), "Other", vec![]).unwrap();
    }
    main.desk.start().unwrap();
    let outcome = worker.by_code(main.address, &main.code());
    assert_refused(outcome, ErrorKind::Denied, "as many computers as it can be");
    assert!(main.desk.is_open(), "that was no wrong try");
    assert_eq!(main.stage(), PairingStage::Waiting);

    let ticket = main.desk.ticket(vec![main.address]).unwrap();
    std::fs::write(main.dir.path().join("tickets.json"), "[{").unwrap();
    let error = assert_refused(worker.by_ticket(&ticket), ErrorKind::Denied, "cannot write down");
    let dir = main.dir.path().to_string_lossy().into_owned();
    assert!(!format!("{error:?}").contains(&dir));
    assert_eq!(worker.peers.list(), []);
}

#[test]
fn old_and_unknown_tickets_are_refused() {
    let (main, worker) = (MainPc::new(), Worker::new());
    let ticket = main.desk.ticket(vec![main.address]).unwrap();
    let unknown = Ticket { secret: [7; 16], ..ticket.clone() };
    assert_refused(worker.by_ticket(&unknown), ErrorKind::Denied, "does not know");
    let old = Ticket { secret: [8; 16], ..ticket.clone() };
    let then = SystemTime::now() - TICKET_LIFE;
    Tickets::new(main.dir.path()).keep(&old.secret, then).unwrap();
    assert_refused(worker.by_ticket(&old), ErrorKind::Denied, "older than");
    assert_eq!(main.paired(), []);
    assert_eq!(main.desk.ticket(vec![]).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn who_says_nothing_is_cut_off_and_keeps_nobody_waiting() {
    let (main, worker) = (MainPc::new(), Worker::new());
    main.desk.start().unwrap();
    main.runtime.block_on(async {
        let stranger = Identity::ephemeral().unwrap();
        let silent = dial(&stranger, main.address).await;
        let slow = dial(&stranger, main.address).await;
        let (mut say, _hear) = slow.open_bi().await.unwrap();
        say.write_all(&[9, 0, 0, 0, 1]).await.unwrap();

        let code = main.code();
        let address = main.address;
        let joined = tokio::task::spawn_blocking(move || worker.by_code(address, &code).map(drop));
        joined.await.unwrap().unwrap();
        for connection in [silent, slow] {
            let end = tokio::time::timeout(DEADLINE, connection.closed()).await.unwrap();
            assert_eq!(application_code(end), code::LIMIT);
        }
    });
    assert_eq!(main.paired().len(), 1);
}

fn application_code(end: ConnectionError) -> u32 {
    match end {
        ConnectionError::ApplicationClosed(close) => {
            u64::from(close.error_code).try_into().unwrap()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn garbage_is_refused_and_costs_no_try() {
    let (main, worker) = (MainPc::new(), Worker::new());
    main.desk.start().unwrap();
    let code = main.code();
    #[derive(Serialize)]
    struct Long(Vec<u8>);
    main.runtime.block_on(async {
        let stranger = Identity::ephemeral().unwrap();
        let hostile: [&[u8]; 5] = [
            &[0, 0, 0, 0],
            &[3, 0, 0, 0, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff],
            &[0, 0, 1, 0],
            &crate::protocol::encode(&Long(vec![0; 17 << 10])).unwrap(),
        ];
        for bytes in hostile {
            let connection = dial(&stranger, main.address).await;
            let (mut say, _hear) = connection.open_bi().await.unwrap();
            // It may be cut off before it has said all.
            let _ = say.write_all(bytes).await;
            let end = tokio::time::timeout(DEADLINE, connection.closed()).await.unwrap();
            assert_eq!(application_code(end), code::NONSENSE, "{bytes:?}");
        }
    });
    assert_eq!((main.stage(), main.code()), (PairingStage::Waiting, code.clone()));
    worker.by_code(main.address, &code).unwrap();
}

#[test]
fn another_version_is_told_so_and_costs_no_try() {
    let main = MainPc::new();
    main.desk.start().unwrap();
    let code = main.code();
    let answer: PairAnswer = main.runtime.block_on(async {
        let (_connection, mut talk, channel) = main.visit(&Identity::ephemeral().unwrap()).await;
        let (_, share) = Pake::start(Role::Worker, &code, &channel);
        let newer = PairHello { version: VERSION + 1, ..hello(PairProof::Code { share }) };
        talk.say(&newer).await.unwrap();
        talk.hear().await.unwrap()
    });
    let PairAnswer::Refused(PairRefusal::UpdateNeeded { version, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((version, main.stage(), main.code()), (VERSION, PairingStage::Waiting, code));
}

#[test]
fn breaking_off_is_a_wrong_try() {
    let main = MainPc::new();
    main.desk.start().unwrap();
    let code = main.code();
    let stranger = Identity::ephemeral().unwrap();
    main.runtime.block_on(async {
        let (connection, mut talk, channel) = main.visit(&stranger).await;
        let (_, share) = Pake::start(Role::Worker, &code, &channel);
        talk.say(&hello(PairProof::Code { share })).await.unwrap();
        talk.hear::<PairAnswer>().await.unwrap();
        connection.close(code::DONE.into(), b"");
    });
    let wrong = |tries_left| PairingStage::WrongCode { tries_left };
    wait_until("it counts", || main.stage() == wrong(2));
    wait_until("it is over", || !main.desk.is_pairing());

    main.runtime.block_on(async {
        let (_connection, mut talk, channel) = main.visit(&stranger).await;
        let is_no_point =
            |share: &[u8; 32]| Pake::start(Role::Main, "0", &channel).0.finish(*share).is_none();
        let share = (0..=255).map(|n| [n; 32]).find(is_no_point).unwrap();
        talk.say(&hello(PairProof::Code { share })).await.unwrap();
        let answer = PairAnswer::Refused(PairRefusal::Nonsense);
        assert_eq!(talk.hear::<PairAnswer>().await.unwrap(), answer);
    });
    wait_until("it counts", || main.stage() == wrong(1));
}

#[test]
fn one_at_a_time_and_not_after_the_window_was_closed() {
    let (main, worker) = (MainPc::new(), Worker::new());
    main.desk.start().unwrap();
    let code = main.code();
    main.runtime.block_on(async {
        let (_connection, mut talk, channel) = main.visit(&Identity::ephemeral().unwrap()).await;
        let (pake, share) = Pake::start(Role::Worker, &code, &channel);
        talk.say(&hello(PairProof::Code { share })).await.unwrap();
        let PairAnswer::Share(share) = talk.hear().await.unwrap() else { panic!("no share") };

        let (_second, mut say, channel) = main.visit(&worker.identity).await;
        let (_, other_share) = Pake::start(Role::Worker, &main.code(), &channel);
        say.say(&hello(PairProof::Code { share: other_share })).await.unwrap();
        let answer = PairAnswer::Refused(PairRefusal::Busy);
        assert_eq!(say.hear::<PairAnswer>().await.unwrap(), answer);

        main.desk.stop();
        let tag = pake.finish(share).unwrap().tag(Role::Worker);
        talk.say(&PairConfirm { tag }).await.unwrap();
        let answer = PairAnswer::Refused(PairRefusal::Closed);
        assert_eq!(talk.hear::<PairAnswer>().await.unwrap(), answer);
    });
    assert_eq!(main.paired(), []);
}

#[test]
fn a_worker_is_told_why_it_gets_nowhere() {
    let (main, worker) = (MainPc::new(), Worker::new());
    let deaf = UdpSocket::bind(anywhere()).unwrap().local_addr().unwrap();
    let error = worker.by_code(deaf, "123456");
    let error = assert_refused(error, ErrorKind::Network, &format!("Nobody answers at {deaf}"));
    assert!(error.advice.unwrap().contains(&format!("UDP port {}", deaf.port())));

    let busy = listen(&main.identity, ALPN_WORK, &main.runtime, |_| async {});
    assert_refused(worker.by_code(busy, "123456"), ErrorKind::Denied, "adds no computers now");

    // An address where nobody is does not keep it from the next one.
    main.desk.start().unwrap();
    let both = [deaf, main.address];
    let code = main.code();
    let found = join_by_code(&worker.identity, &worker.peers, "Laptop-3", &both, &code).unwrap();
    assert_eq!(found.addresses, [main.address, deaf]);
}

#[test]
fn addresses_are_read_as_people_type_them() {
    let one = |text: &str| resolve(text).unwrap()[0].to_string();
    assert_eq!(one(" 192.168.1.24 "), "192.168.1.24:47110");
    assert_eq!(one("192.168.1.24:5000"), "192.168.1.24:5000");
    assert_eq!(one("fd00::7"), "[fd00::7]:47110");
    assert_eq!(one("[fd00::7]"), "[fd00::7]:47110");
    assert_eq!(one("[fd00::7]:5000"), "[fd00::7]:5000");
    for text in ["", ":", "192.168.1.24:99999", "a:b:c"] {
        assert_eq!(resolve(text).unwrap_err().kind, ErrorKind::Invalid, "{text}");
    }
}
