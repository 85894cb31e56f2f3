//! A thousand seeded runs of the scheduler amid faults and lies, and the figures promised of it.

mod simulation;

use std::sync::Arc;

use engine::scheduler::{Phase, Scrutiny};
use simulation::{Fault, Honesty, Nature, Simulation, figures};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn nature(random: &mut Random, id: usize) -> Nature {
    let honesty = match random.below(12) {
        _ if id == 0 => Honesty::Honest,
        0 => Honesty::Liar,
        1 => Honesty::Turns(random.below(12) as u32),
        2 => Honesty::Sometimes(2 + random.below(8) as u32),
        _ => Honesty::Honest,
    };
    let seed = random.next();
    let first = if random.below(3) == 0 { 0 } else { 2 };
    Nature {
        slots: 1 + random.below(3) as usize,
        chunk_secs: random.between(0.2, 6.0),
        link_secs: if id == 0 { 0.0 } else { random.between(0.0, 0.6) },
        scrutiny: (id > 0).then_some(Scrutiny { first, seed }),
        honesty,
    }
}

fn fault(random: &mut Random, workers: usize, chunks: u64) -> Fault {
    let id = 1 + random.below(workers as u64 - 1) as usize;
    match random.below(9) {
        0 | 1 => Fault::Kill(id),
        2 | 3 => Fault::Return(id),
        4 => Fault::Freeze(id, random.between(0.5, 60.0)),
        5 => Fault::Slow(random.below(workers as u64) as usize, random.between(0.5, 10.0)),
        6 => Fault::Crash(id),
        7 => Fault::Leave(id),
        _ => Fault::Seek(random.below(chunks * 100)),
    }
}

#[test]
fn a_thousand_runs_amid_faults_lose_nothing_and_commit_no_lie_that_was_looked_at() {
    let (mut liars, mut accused, mut withdrawn, mut checks) = (0, 0, 0, 0);
    for seed in 0..1000 {
        let mut random = Random(seed);
        let workers = 2 + random.below(5) as usize;
        let chunks = 1 + random.below(120);
        let natures: Vec<Nature> = (0..workers).map(|id| nature(&mut random, id)).collect();
        let segments: Arc<[_]> = (0..chunks).map(|n| n * 100..n * 100 + 100).collect();
        let mut sim = Simulation::new(segments, &natures);
        let span = natures[0].chunk_secs * chunks as f64 / workers as f64;
        for _ in 0..random.below(16) {
            let at_secs = random.between(0.0, span.max(10.0));
            sim.plan(at_secs, fault(&mut random, workers, chunks));
        }
        sim.run();
        for chunk in 0..chunks as usize {
            assert_eq!(sim.state.phase(chunk), Phase::Committed, "{chunk} in run {seed}");
        }
        assert!(sim.world.given_up.is_empty(), "run {seed}");
        let (wrong, looked_at) = sim.wrong();
        assert_eq!(looked_at, 0, "run {seed}");
        for lease in wrong {
            assert!(!sim.world.accused.contains(&lease.worker), "{lease:?} in run {seed}");
            let nature = &natures[lease.worker];
            let is_proven = nature.scrutiny.is_some_and(|scrutiny| scrutiny.first == 0);
            assert!(is_proven || nature.honesty != Honesty::Liar, "{lease:?} in run {seed}");
        }
        liars += natures.iter().filter(|nature| nature.honesty != Honesty::Honest).count();
        accused += sim.world.accused.len();
        withdrawn += sim.world.withdrawn;
        checks += sim.world.checks;
    }
    assert!(accused > liars / 4 && withdrawn > 100 && checks > 1000, "the runs were all alike");
}

#[test]
fn a_liar_is_found_by_its_first_results_and_nothing_of_it_is_ever_committed() {
    let honest = Nature {
        slots: 1,
        chunk_secs: 5.0,
        link_secs: 0.0,
        scrutiny: None,
        honesty: Honesty::Honest,
    };
    // Ten times as fast, so it has done much before the first check is through.
    let liar = Nature {
        chunk_secs: 0.5,
        link_secs: 0.1,
        scrutiny: Some(Scrutiny { first: 2, seed: 1 }),
        honesty: Honesty::Liar,
        ..honest
    };
    let segments: Arc<[_]> = (0..60).map(|n| n * 100..n * 100 + 100).collect();
    let mut sim = Simulation::new(segments, &[honest, liar]);
    sim.run();
    assert_eq!(sim.world.accused.iter().collect::<Vec<_>>(), [&1]);
    assert_eq!(sim.world.withdrawn, 0);
    assert_eq!(sim.wrong().0, []);
    assert!(sim.world.committed.values().all(|lease| lease.worker == 0));
}

#[test]
fn a_proven_worker_is_checked_on_a_few_chunks_only() {
    let nature = |id: u64| Nature {
        slots: 1,
        chunk_secs: 1.0,
        link_secs: 0.0,
        scrutiny: (id > 0).then_some(Scrutiny { first: 0, seed: id }),
        honesty: Honesty::Honest,
    };
    let segments: Arc<[_]> = (0..2000).map(|n| n * 100..n * 100 + 100).collect();
    let mut sim = Simulation::new(segments, &[nature(0), nature(1), nature(2)]);
    sim.run();
    let theirs = sim.world.committed.values().filter(|lease| lease.worker > 0).count();
    let one_in = theirs as f64 / sim.world.checks as f64;
    assert!((24.0..44.0).contains(&one_in), "one in {one_in}");
    assert_eq!(sim.world.withdrawn, 0);
}

#[test]
fn several_computers_are_as_fast_as_promised() {
    assert!(figures::speed_up(2) >= 1.9, "{}", figures::speed_up(2));
    assert!(figures::speed_up(4) >= 3.6, "{}", figures::speed_up(4));
    for speeds in [&[1.0, 0.5, 0.25][..], &[1.0, 3.0], &[1.0, 1.0, 0.3, 2.5]] {
        let share = figures::share_of_sum(speeds);
        assert!(share >= 0.90, "{speeds:?}: {share}");
    }
}

#[test]
fn a_computer_killed_or_slowed_costs_little_more_than_itself() {
    let (late, chunk) = figures::late_after_kill();
    assert!(late <= 10.0 + chunk, "{late} s");
    let slowed = figures::slowed_tenfold();
    assert!(slowed <= 1.3, "{slowed}");
}
