//! Jobs over networks that lose, delay, reorder and duplicate packets, or are cut.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    job::{self, JobHandle, JobPhase},
    model::Separator,
};

use crate::{
    chaos_relay::{Chaos, Relay, apart},
    common::{Results, TestSeparator, TestSong, pool, request, results, song, spec},
    remote_rig::{wait_until, work},
    table::Table,
};

const SEGMENT: u64 = 4_000;
const STRIDE: u64 = 3_000;
const CUT: Duration = Duration::from_secs(30);

/// There and back: 10 to 200 ms.
const DELAY_MS: (u64, u64) = (5, 100);

pub(crate) fn rows(table: &mut Table, is_quick: bool) {
    let claim = "llama.cpp RPC, Petals: none such";
    let losses: &[f64] = if is_quick { &[0.05] } else { &[0.0, 0.01, 0.05, 0.2] };
    for &lost in losses {
        let chaos = Chaos { lost, duplicated: 0.05, delay_ms: DELAY_MS, ..Chaos::default() };
        let trial = Trial::new(30);
        let found = trial.with_crew(chaos, |_, _| {});
        table.row(
            claim,
            &format!(
                "{} % lost, 10-200 ms, reordered, 5 % duplicated: finishes, identical",
                lost * 100.0
            ),
            &found.text(),
            found.is_same,
        );
    }
    if is_quick {
        return;
    }
    let trial = Trial::new(90);
    let found = trial.with_crew(Chaos::default(), |job, relay| {
        wait_until("a piece from there", || elsewhere(job) > 0);
        relay.set(Chaos { black_hole: true, ..Chaos::default() });
        std::thread::sleep(CUT);
        let before = elsewhere(job);
        relay.set(Chaos::default());
        wait_until("a piece from there again", || elsewhere(job) > before || is_over(job));
    });
    let wanted = "cut off for 30 s: finishes, identical";
    table.row(claim, wanted, &found.text(), found.is_same);
}

/// Pieces that the other computer did.
fn elsewhere(job: &JobHandle) -> usize {
    job.status().workers.iter().filter(|w| w.letter > 0).map(|w| w.chunks_done).sum()
}

fn is_over(job: &JobHandle) -> bool {
    matches!(job.status().phase, JobPhase::Done)
}

struct Found {
    is_same: bool,
    elsewhere: usize,
    of: u64,
    took: Duration,
}

impl Found {
    fn text(&self) -> String {
        let Self { is_same, elsewhere, of, took } = self;
        let same = if *is_same { "identical" } else { "DIFFERENT" };
        format!("{same} in {:.0} s, {elsewhere} of {of} pieces from there", took.as_secs_f64())
    }
}

/// A song, and what one computer alone makes of it.
struct Trial {
    _home: tempfile::TempDir,
    song: TestSong,
    chunks: u64,
    alone: Results,
}

fn sleeper(nap: Duration) -> Arc<TestSeparator> {
    TestSeparator::sleeping(nap, spec(SEGMENT, STRIDE))
}

impl Trial {
    fn new(chunks: u64) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let song = song(home.path(), 2, chunks * STRIDE);
        let dir = home.path().join("alone");
        let request = request(&song, &sleeper(Duration::ZERO), &dir, &pool(1));
        job::start(request).expect("the job starts").wait();
        let alone = results(&dir);
        Self { _home: home, song, chunks, alone }
    }

    /// With a computer beyond a relay, which takes half as long for a piece as this one.
    fn with_crew(&self, chaos: Chaos, meanwhile: impl FnOnce(&JobHandle, &Relay)) -> Found {
        let here = sleeper(Duration::from_secs(1));
        let there = sleeper(Duration::from_millis(500));
        let (main, worker, relay) = apart(&(Arc::clone(&here) as _), there, chaos);
        let _ = main.member(&worker, &work(here.as_ref() as &dyn Separator));

        let home = tempfile::tempdir().expect("a folder");
        let dir = home.path().join("job");
        let mut request = request(&self.song, &here, &dir, &pool(1));
        request.crew = Some(main.crew());
        let began = Instant::now();
        let job = job::start(request).expect("the job starts");
        meanwhile(&job, &relay);
        wait_until("the job to end", || is_over(&job));
        let elsewhere = elsewhere(&job);
        let took = began.elapsed();
        drop(job);
        Found { is_same: results(&dir) == self.alone, elsewhere, of: self.chunks, took }
    }
}
