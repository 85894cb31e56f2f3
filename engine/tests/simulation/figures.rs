//! The figures that are promised of several computers, as the simulated scheduler yields them.

use std::time::Instant;

use engine::{
    model::{ChunkSpec, JoinWindow},
    plan::Plan,
    scheduler::Scrutiny,
};

use super::{Fault, Honesty, Nature, Simulation};

/// 59:04, cut as HTDemucs cuts it.
const SONG_FRAMES: u64 = (59 * 60 + 4) * 44_100;

/// A laptop's two cores take about so long for one of its chunks.
const CHUNK_SECS: f64 = 4.0;

/// An order or a result on the way.
const LINK_SECS: f64 = 0.3;

fn segments() -> std::sync::Arc<[std::ops::Range<u64>]> {
    let spec = ChunkSpec {
        segment_frames: 343_980,
        stride_frames: 257_985,
        context_frames: 0,
        window: JoinWindow::Triangle,
    };
    let plan = Plan::new(SONG_FRAMES, spec).expect("a song can be cut");
    plan.segments().clone()
}

/// This computer and others that nobody knows yet, `speeds` times as fast as it should be.
fn crew(speeds: &[f64]) -> Vec<Nature> {
    let nature = |(id, speed): (usize, &f64)| Nature {
        slots: 1,
        chunk_secs: CHUNK_SECS / speed,
        link_secs: if id == 0 { 0.0 } else { LINK_SECS },
        scrutiny: (id > 0).then_some(Scrutiny { first: 2, seed: id as u64 * 0x1234_5678_9abc }),
        honesty: Honesty::Honest,
    };
    speeds.iter().enumerate().map(nature).collect()
}

fn takes(speeds: &[f64]) -> f64 {
    Simulation::new(segments(), &crew(speeds)).run()
}

/// How many times as fast `workers` equal computers are as one.
pub fn speed_up(workers: usize) -> f64 {
    takes(&[1.0]) / takes(&vec![1.0; workers])
}

/// Share of the summed speed that unequal computers reach together.
pub fn share_of_sum(speeds: &[f64]) -> f64 {
    let alone = takes(&[1.0]);
    (alone / takes(speeds)) / speeds.iter().sum::<f64>()
}

/// Four equal computers of which one is killed without a word: seconds beyond the ideal on the
/// survivors, which is what they computed altogether, checks included, without ever waiting, and
/// the length of one chunk.
pub fn late_after_kill() -> (f64, f64) {
    let mut sim = Simulation::new(segments(), &crew(&[1.0; 4]));
    let at = takes(&[1.0; 4]) / 2.0 + 1.234;
    sim.plan(at, Fault::Kill(3));
    let took = sim.run();
    // Whatever the dead one was at is nobody's work any more.
    let work = (sim.world.committed.len() + sim.world.checks) as f64 * CHUNK_SECS;
    let ideal = at + (work - 4.0 * at) / 3.0;
    (took - ideal, CHUNK_SECS)
}

/// Four equal computers of which one gets ten times as slow at some moment: the worst time over
/// that of the other three alone.
pub fn slowed_tenfold() -> f64 {
    let without = takes(&[1.0; 3]);
    let worst = |from: f64| {
        let mut sim = Simulation::new(segments(), &crew(&[1.0; 4]));
        sim.plan(from * without, Fault::Slow(3, 10.0));
        sim.run() / without
    };
    [0.0, 0.2, 0.5, 0.7, 0.74, 0.76].map(worst).into_iter().fold(0.0, f64::max)
}

/// Real microseconds the scheduler takes for a chunk, simulated workers and all.
pub fn micros_per_chunk(chunks: u64, workers: usize) -> f64 {
    let segments = (0..chunks).map(|n| n * 100..n * 100 + 100).collect();
    let speeds: Vec<f64> = (0..workers).map(|id| 1.0 + (id % 7) as f64 / 3.0).collect();
    let mut sim = Simulation::new(segments, &crew(&speeds));
    let began = Instant::now();
    sim.run();
    began.elapsed().as_secs_f64() * 1e6 / chunks as f64
}
