//! Virtual time: the scheduler amid simulated computers, and what it and the driver take for a chunk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::job::{self, JobPhase};

use crate::{
    common::{self, TestSeparator, pool, request, song, spec},
    fake_crew::{Act, FakeCrew},
    simulation::figures,
    table::Table,
};

pub(crate) fn rows(table: &mut Table) {
    for (workers, elsewhere, least) in [
        (2, "student system, a 59:04 song: 2.13x on 2 workers", 1.9),
        (4, "the same: 2.86x on 4", 3.6),
        (8, "-", 1.0),
    ] {
        let found = figures::speed_up(workers);
        let wanted = match workers {
            8 => "a 59:04 song on 8 equal computers, virtual time".to_owned(),
            _ => format!(">= {least}x on {workers} equal computers, virtual time"),
        };
        table.row(elsewhere, &wanted, &format!("{found:.2}x"), found >= least);
    }
    let unequal = [&[1.0, 0.5, 0.25][..], &[1.0, 3.0], &[1.0, 1.0, 0.3, 2.5]];
    let least = unequal.map(figures::share_of_sum).into_iter().fold(f64::INFINITY, f64::min);
    let wanted = "unequal computers: >= 0.90 of their summed speed, virtual time";
    table.row("the same", wanted, &format!("{least:.2}, the worst of three"), least >= 0.9);

    let (late, chunk) = figures::late_after_kill();
    table.row(
        "MapReduce: killing 11 % of workers costs 5 %",
        "one of 4 killed halfway: ideal on the survivors + 10 s + one chunk (4 s), virtual time",
        &format!("ideal + {late:.1} s"),
        late <= 10.0 + chunk,
    );
    let slowed = figures::slowed_tenfold();
    table.row(
        "LATE",
        "one of 4 slowed 10x: <= 1.3x the time without it, virtual time",
        &format!("{slowed:.2}x, the worst of six moments"),
        slowed <= 1.3,
    );
    let millis = figures::micros_per_chunk(10_000, 64) / 1e3;
    table.row(
        "HyperQueue: ~0.1 ms per task",
        "scheduler: < 1 ms per chunk at 10 000 chunks and 64 workers",
        &format!("{millis:.3} ms"),
        millis < 1.0,
    );
    let (over, asleep) = driver_ms_per_chunk(10_000, 64, Duration::from_millis(200));
    table.row(
        "the same",
        "whole job with journal and stems, 10 000 chunks, 64 workers asleep: < 1 ms beyond the sleep",
        &format!("{:.3} ms ({over:.2} ms, {asleep:.2} of them asleep)", over - asleep),
        over - asleep < 1.0,
    );
}

/// A real job with `others` beside this computer, each of which sleeps `delay` for a chunk:
/// milliseconds per chunk, and how many of them are the sleeping.
fn driver_ms_per_chunk(chunks: u64, others: usize, delay: Duration) -> (f64, f64) {
    let home = tempfile::tempdir().expect("a folder");
    let song = song(home.path(), 2, chunks * 100);
    let hook: common::Hook = Box::new(move |_, _| {
        std::thread::sleep(delay);
        Ok(())
    });
    let separator = Arc::new(TestSeparator::with(spec(150, 100), hook));
    let crew = FakeCrew::new();
    crew.prove();
    for letter in 1..=others {
        crew.join(letter, 1, Arc::new(|_, _| Act::Compute));
    }
    let mut request = request(&song, &separator, &home.path().join("job"), &pool(1));
    request.crew = Some(crew);
    let began = Instant::now();
    let status = job::start(request).expect("the job starts").wait();
    let took = began.elapsed();
    assert!(matches!(status.phase, JobPhase::Done), "{:?}", status.phase);
    let per_chunk = 1e3 / chunks as f64;
    let asleep = delay.mul_f64(chunks as f64 / (others + 1) as f64);
    (took.as_secs_f64() * per_chunk, asleep.as_secs_f64() * per_chunk)
}
