//! The figures of several computers: `cargo run --release -p engine --example crew_figures`. All but
//! the last two are of the scheduler in virtual time, with every check of results that it makes.

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use simulation::figures;

fn main() {
    let row = |what: &str, promised: &str, found: String| {
        println!("{what:58} {promised:>12} {found:>10}")
    };
    row("59:04 song", "promised", "found".into());
    for (workers, promised) in [(2, ">= 1.9 x"), (4, ">= 3.6 x"), (8, "")] {
        let found = figures::speed_up(workers);
        row(&format!("speed-up on {workers} equal computers"), promised, format!("{found:.2} x"));
    }
    for speeds in [&[1.0, 0.5, 0.25][..], &[1.0, 3.0], &[1.0, 1.0, 0.3, 2.5]] {
        let found = figures::share_of_sum(speeds);
        row(&format!("share of summed speed, {speeds:?}"), ">= 0.90", format!("{found:.3}"));
    }
    let (late, chunk) = figures::late_after_kill();
    let promised = format!("<= {:.1} s", 10.0 + chunk);
    row("1 of 4 killed halfway, beyond ideal on survivors", &promised, format!("{late:.1} s"));
    let slowed = figures::slowed_tenfold();
    row("1 of 4 slowed tenfold, over the time without it", "<= 1.3 x", format!("{slowed:.2} x"));
    let micros = figures::micros_per_chunk(10_000, 64);
    row("scheduler, 10 000 chunks, 64 workers", "< 1 ms", format!("{:.3} ms", micros / 1e3));
}
