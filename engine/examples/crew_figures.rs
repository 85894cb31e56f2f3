//! The figures of several computers: `cargo run --release -p engine --example crew_figures`. All but
//! the last two are of the scheduler in virtual time, with every check of results that it makes.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/fake_crew/mod.rs"]
mod fake_crew;
#[path = "../tests/simulation/mod.rs"]
mod simulation;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{TestSeparator, pool, request, song, spec};
use engine::job::{self, JobPhase};
use fake_crew::{Act, FakeCrew};
use simulation::figures;

fn main() {
    row("59:04 song", "promised", "found");
    for (workers, promised) in [(2, ">= 1.9 x"), (4, ">= 3.6 x"), (8, "")] {
        let found = figures::speed_up(workers);
        row(&format!("speed-up on {workers} equal computers"), promised, &format!("{found:.2} x"));
    }
    for speeds in [&[1.0, 0.5, 0.25][..], &[1.0, 3.0], &[1.0, 1.0, 0.3, 2.5]] {
        let found = figures::share_of_sum(speeds);
        row(&format!("share of summed speed, {speeds:?}"), ">= 0.90", &format!("{found:.3}"));
    }
    let (late, chunk) = figures::late_after_kill();
    let promised = format!("<= {:.1} s", 10.0 + chunk);
    row("1 of 4 killed halfway, beyond ideal on survivors", &promised, &format!("{late:.1} s"));
    let slowed = figures::slowed_tenfold();
    row("1 of 4 slowed tenfold, over the time without it", "<= 1.3 x", &format!("{slowed:.2} x"));
    let micros = figures::micros_per_chunk(10_000, 64);
    let found = format!("{:.3} ms", micros / 1e3);
    row("scheduler, 10 000 chunks, 64 workers, per chunk", "< 1 ms", &found);
    let (over, of) = driver_ms_per_chunk(6_400, 64, Duration::from_millis(200));
    row("whole job, 64 workers on threads, per chunk", "", &format!("{over:.3} ms"));
    row("  of which computing would take anyway", "", &format!("{of:.3} ms"));
}

fn row(what: &str, promised: &str, found: &str) {
    println!("{what:52} {promised:>10} {found:>10}");
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
