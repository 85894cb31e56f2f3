//! How soon the main PC takes a piece back when something happened to the worker that has it, by the
//! clock, from real worker programs.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    crew::{Ending, Member},
    model::{Separator, spectral::Spectral},
    remote::MainState,
};
use integration_tests::stemhive;

use crate::{
    remote_rig::{self, Desk, Main, Sent, Shop, wait_until, work},
    spare::{engine_pid, kill_process, member, spare, wait_until_gone},
    table::Table,
};

const ALL_STEMS: [usize; 4] = [0, 1, 2, 3];

/// Pieces at the worker: one is computed, the others are on their way.
const IN_FLIGHT: usize = 3;

/// By then what happened must have shown.
const MOST_PIECES: usize = 200;

pub(crate) fn rows(table: &mut Table) {
    let separator: Arc<dyn Separator> = Arc::new(Spectral::new());
    let main = Main::with(vec![Arc::clone(&separator)], &[]);
    let mut worker = spare(&main, "Studio-PC");
    let work = work(separator.as_ref());
    let desk = Desk::new(separator, 2, 4 << 20);

    let crash = |_| {
        let (_, member) = member(&main, &work);
        let pid = engine_pid(&worker);
        back_after(&desk, &*member, || kill_process(&pid))
    };
    // After the third one within a minute a worker takes a break.
    let crash = (0..2).map(crash).max().unwrap_or_default();
    let elsewhere = "Flamenco: 10 min; Celery with Redis: 1 h";
    table.row(
        elsewhere,
        "engine of a worker crashes (kill -9 of the computing process): piece back in <= 1 s",
        &format!("{:.3} s, the longer of 2", crash.as_secs_f64()),
        crash <= Duration::from_secs(1),
    );
    for (what, is_frozen) in [("worker killed (kill -9)", false), ("worker frozen (SIGSTOP)", true)]
    {
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            let (_, member) = member(&main, &work);
            let took = back_after(&desk, &*member, || match is_frozen {
                true => worker.freeze(),
                false => worker.kill(),
            });
            longest = longest.max(took);
            wait_until_gone(&main);
            worker.run();
        }
        table.row(
            elsewhere,
            &format!("{what}: piece back in <= 10 s"),
            &format!("{:.1} s, the longest of 3", longest.as_secs_f64()),
            longest <= Duration::from_secs(10),
        );
    }

    let _ready = member(&main, &work);
    let mut forget = stemhive();
    forget.env("STEMHIVE_DATA", main.dir.path()).args(["workers", "forget", "Studio-PC"]);
    let began = Instant::now();
    assert!(forget.output().expect("stemhive runs").status.success());
    let ran = began.elapsed();
    wait_until_gone(&main);
    let took = began.elapsed();
    let wanted =
        "`stemhive workers forget` while another Stemhive is at work: connection closed in < 1 s";
    let found = format!(
        "{:.2} s, {:.2} of them that program itself",
        took.as_secs_f64(),
        ran.as_secs_f64()
    );
    table.row("pairing", wanted, &found, took < Duration::from_secs(1));

    let (here, there) = forgetting();
    table.row(
        "the same",
        "forgotten in the open program: closed on both sides in < 1 s",
        &format!(
            "{:.1} ms here, {:.1} ms there",
            here.as_secs_f64() * 1e3,
            there.as_secs_f64() * 1e3
        ),
        here.max(there) < Duration::from_secs(1),
    );
}

/// From when something happens to a worker that is kept busy until a piece that it had is nobody's
/// again. Pieces that were done by then still come, and so may those that only were on their way there:
/// the next process computes them.
fn back_after(desk: &Desk, member: &dyn Member, happens: impl FnOnce()) -> Duration {
    let mut sent: VecDeque<Sent> =
        (0..IN_FLIGHT).map(|chunk| desk.begin(member, chunk, &ALL_STEMS)).collect();
    wait_until("the first to start", || sent[0].has_started());
    let began = Instant::now();
    happens();
    for chunk in (0..desk.chunks()).cycle().take(MOST_PIECES) {
        let Some(oldest) = sent.pop_front() else { break };
        match oldest.wait() {
            Ending::Stored { .. } => sent.push_back(desk.begin(member, chunk, &ALL_STEMS)),
            Ending::Failed(..) => {
                let took = began.elapsed();
                sent.into_iter().for_each(|sent| _ = sent.wait());
                return took;
            }
            other => panic!("a piece ended as {other:?}"),
        }
    }
    panic!("{MOST_PIECES} pieces came back as if nothing had happened");
}

/// From forgetting a computer until its connection is gone, as both sides see it.
fn forgetting() -> (Duration, Duration) {
    let separator: Arc<dyn Separator> = Arc::new(Spectral::new());
    let mut worker = remote_rig::Worker::new("Spare", Shop::new(vec![Arc::clone(&separator)]));
    let main = Main::with(vec![separator], &[&worker]);
    worker.start();
    wait_until("it to be there", || main.is_connected(&worker));
    let began = Instant::now();
    main.hub().forget(worker.identity.device()).expect("a list that can be written");
    wait_until("it to be gone", || !main.is_connected(&worker));
    let here = began.elapsed();
    wait_until("it to know", || !matches!(worker.state(), Some(MainState::Connected { .. })));
    (here, began.elapsed())
}
