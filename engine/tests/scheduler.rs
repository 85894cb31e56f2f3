//! The scheduler against workers that fail, stall, vanish and answer late, in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use engine::scheduler::{Cause, Comm, Lease, MIN_PATIENCE, Phase, State, WorkerId, WorkerSpec};
use proptest::prelude::*;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn grid(chunks: u64) -> Arc<[Range<u64>]> {
    (0..chunks).map(|n| n * 100..n * 100 + 100).collect()
}

const LOCAL: WorkerSpec =
    WorkerSpec { slots: 2, local: true, shares_threads: false, expected_secs_per_frame: 0.01 };
const REMOTE: WorkerSpec =
    WorkerSpec { slots: 1, local: false, shares_threads: false, expected_secs_per_frame: 0.01 };

/// Remembers what the scheduler wanted, and checks on the way that it never wants anything wrong.
#[derive(Default)]
struct World {
    specs: BTreeMap<WorkerId, WorkerSpec>,
    /// Leases that were neither answered nor lost; true once called back.
    owed: BTreeMap<Lease, bool>,
    attempts: BTreeMap<usize, u32>,
    failed_before: BTreeSet<usize>,
    storing: BTreeMap<usize, Lease>,
    committed: BTreeSet<usize>,
    given_up: BTreeSet<usize>,
    discarded: Vec<Lease>,
    dispatched: Vec<Lease>,
    halted: bool,
    playhead: u64,
    chunks: usize,
}

impl World {
    fn in_force(&self, chunk: usize) -> usize {
        self.owed.iter().filter(|(lease, revoked)| lease.chunk == chunk && !**revoked).count()
    }

    fn is_waiting(&self, chunk: usize) -> bool {
        self.in_force(chunk) == 0
            && !self.committed.contains(&chunk)
            && !self.storing.contains_key(&chunk)
            && !self.given_up.contains(&chunk)
    }

    /// Smaller is nearer: ahead before behind, then by distance.
    fn distance(&self, chunk: usize) -> (bool, usize) {
        let here = (self.playhead / 100) as usize;
        (chunk < here, chunk.abs_diff(here))
    }

    fn owed_by(&self, worker: WorkerId) -> Vec<Lease> {
        self.owed.keys().filter(|lease| lease.worker == worker).copied().collect()
    }
}

impl Comm for World {
    fn dispatch(&mut self, lease: Lease) {
        assert!(!self.halted, "{lease:?} while paused or cancelled");
        let spec = self.specs[&lease.worker];
        let owed = self.owed_by(lease.worker).len();
        assert!(owed < spec.slots + usize::from(!spec.local), "{lease:?} beyond credits");
        let attempts = self.attempts.entry(lease.chunk).or_default();
        assert!(lease.attempt > *attempts, "{lease:?} after attempt {attempts}");
        *attempts = lease.attempt;
        assert!(!self.committed.contains(&lease.chunk), "{lease:?} is committed");
        assert!(!self.storing.contains_key(&lease.chunk), "{lease:?} is being stored");
        assert!(!self.given_up.contains(&lease.chunk), "{lease:?} was given up");
        let copies = self.in_force(lease.chunk);
        assert!(copies <= 1, "{lease:?} is the third at the same time");
        let same = self
            .owed
            .iter()
            .find(|(l, revoked)| l.chunk == lease.chunk && l.worker == lease.worker && !**revoked);
        assert_eq!(same, None, "{lease:?} has that chunk already");
        if copies == 0 && !self.failed_before.contains(&lease.chunk) {
            let nearer = (0..self.chunks)
                .filter(|chunk| self.is_waiting(*chunk) && !self.failed_before.contains(chunk))
                .min_by_key(|&chunk| self.distance(chunk));
            assert_eq!(nearer, Some(lease.chunk), "playhead {}", self.playhead);
        }
        if lease.alone {
            let others = self.owed.iter().filter(|(l, r)| l.worker == lease.worker && !**r);
            assert_eq!(others.count(), 0, "{lease:?} is not alone");
        }
        self.owed.insert(lease, false);
        self.dispatched.push(lease);
    }

    fn revoke(&mut self, lease: Lease) {
        let revoked = self.owed.get_mut(&lease).expect("only what is out is called back");
        assert!(!*revoked, "{lease:?} is called back twice");
        *revoked = true;
    }

    fn store(&mut self, lease: Lease) {
        assert!(!self.committed.contains(&lease.chunk), "{lease:?} is stored twice");
        self.given_up.remove(&lease.chunk);
        assert_eq!(self.storing.insert(lease.chunk, lease), None, "{lease:?} is stored twice");
    }

    fn discard(&mut self, lease: Lease) {
        assert!(
            self.committed.contains(&lease.chunk) || self.storing.contains_key(&lease.chunk),
            "{lease:?} is dropped though nothing else is there"
        );
        self.discarded.push(lease);
    }

    fn agree(&self, held: Lease, _: Lease) -> bool {
        panic!("{held:?} is compared though nobody is to be checked")
    }

    fn accuse(&mut self, worker: WorkerId) {
        panic!("{worker} is accused of nothing")
    }

    fn give_up(&mut self, chunk: usize) {
        assert!(self.given_up.insert(chunk), "{chunk} is given up twice");
    }
}

/// A scheduler, its world and a clock.
struct Run {
    state: State,
    world: World,
    now: Duration,
}

impl Run {
    fn new(chunks: u64) -> Self {
        let world = World { chunks: chunks as usize, ..World::default() };
        Self { state: State::new(grid(chunks), 0, []), world, now: Duration::ZERO }
    }

    fn join(&mut self, id: WorkerId, spec: WorkerSpec) {
        self.world.specs.insert(id, spec);
        self.state.on_worker_joined(&mut self.world, self.now, id, spec);
    }

    fn lose(&mut self, id: WorkerId) {
        self.world.specs.remove(&id);
        for lease in self.world.owed_by(id) {
            self.world.owed.remove(&lease);
            // It may be taken for a chunk that kills workers, and wait for its turn alone.
            self.world.failed_before.insert(lease.chunk);
        }
        self.state.on_worker_lost(&mut self.world, self.now, id);
    }

    fn start(&mut self, lease: Lease) {
        self.state.on_started(self.now, lease.worker, lease.chunk, lease.attempt);
    }

    fn progress(&mut self, lease: Lease, done: f32) {
        self.state.on_progress(self.now, lease.worker, lease.chunk, lease.attempt, done);
    }

    fn finish(&mut self, lease: Lease) {
        self.world.owed.remove(&lease).expect("the lease is out");
        let Lease { worker, chunk, attempt, .. } = lease;
        self.state.on_result(&mut self.world, self.now, worker, chunk, attempt);
    }

    fn fail(&mut self, lease: Lease, cause: Cause) {
        let revoked = self.world.owed.remove(&lease).expect("the lease is out");
        if !revoked {
            self.world.failed_before.insert(lease.chunk);
        }
        let Lease { worker, chunk, attempt, .. } = lease;
        self.state.on_failed(&mut self.world, self.now, worker, chunk, attempt, cause);
    }

    fn stop(&mut self, lease: Lease) {
        self.world.owed.remove(&lease).expect("the lease is out");
        let Lease { worker, chunk, attempt, .. } = lease;
        self.state.on_stopped(&mut self.world, self.now, worker, chunk, attempt);
    }

    fn commit(&mut self, chunk: usize) {
        let lease = self.world.storing.remove(&chunk).expect("the chunk waits to be stored");
        assert!(self.world.committed.insert(chunk), "{chunk} is committed twice");
        self.state.on_committed(&mut self.world, self.now, lease.worker, chunk);
    }

    fn finish_and_commit(&mut self, lease: Lease) {
        self.finish(lease);
        self.commit(lease.chunk);
    }

    fn tick(&mut self, after: Duration) {
        self.now += after;
        let before = self.world.owed.clone();
        // Stalled chunks count as failed before the tick hands anything out.
        self.world
            .failed_before
            .extend(before.iter().filter(|(_, revoked)| !**revoked).map(|(lease, _)| lease.chunk));
        let unmarked = self.world.failed_before.clone();
        self.state.on_tick(&mut self.world, self.now);
        self.world.failed_before = unmarked;
    }

    fn pause(&mut self) {
        self.world.halted = true;
        self.state.on_pause(&mut self.world);
    }

    fn resume(&mut self) {
        self.world.halted = false;
        self.state.on_resume(&mut self.world, self.now);
    }

    fn seek(&mut self, frame: u64) {
        self.world.playhead = frame;
        self.state.on_playhead(frame);
    }

    fn chunks_of(&self, worker: WorkerId) -> Vec<usize> {
        self.world
            .owed
            .iter()
            .filter(|(lease, revoked)| lease.worker == worker && !**revoked)
            .map(|(lease, _)| lease.chunk)
            .collect()
    }

    fn lease(&self, worker: WorkerId, chunk: usize) -> Lease {
        *self
            .world
            .owed
            .keys()
            .find(|lease| lease.worker == worker && lease.chunk == chunk)
            .expect("the worker has the chunk")
    }

    /// Answers everything honestly until nothing happens any more.
    fn run_out(&mut self) {
        for _ in 0..10_000 {
            while let Some(&chunk) = self.world.storing.keys().next() {
                self.commit(chunk);
            }
            let Some((&lease, &revoked)) = self.world.owed.iter().next() else {
                if self.state.is_finished() {
                    return;
                }
                self.tick(Duration::from_secs(60));
                continue;
            };
            if revoked {
                self.stop(lease);
            } else {
                self.start(lease);
                self.finish(lease);
            }
        }
        panic!("the job does not finish: {:?}", self.state);
    }
}

#[test]
fn chunks_under_and_ahead_of_the_playhead_go_first_and_a_seek_reorders_the_rest() {
    let mut run = Run::new(10);
    run.seek(350);
    run.join(0, LOCAL);
    assert_eq!(run.chunks_of(0), [3, 4]);
    run.finish_and_commit(run.lease(0, 3));
    assert_eq!(run.chunks_of(0), [4, 5]);
    run.seek(899);
    run.finish_and_commit(run.lease(0, 4));
    run.finish_and_commit(run.lease(0, 5));
    assert_eq!(run.chunks_of(0), [8, 9]);
    run.finish_and_commit(run.lease(0, 8));
    run.finish_and_commit(run.lease(0, 9));
    assert_eq!(run.chunks_of(0), [6, 7], "then those behind, the nearest first");
    run.run_out();
    assert_eq!(run.world.committed.len(), 10);
    assert_eq!(run.world.attempts.values().sum::<u32>(), 10, "each was computed once");
}

#[test]
fn remote_workers_get_one_chunk_in_advance_and_local_ones_none() {
    let mut run = Run::new(20);
    run.join(0, LOCAL);
    run.join(1, WorkerSpec { slots: 4, ..REMOTE });
    assert_eq!(run.chunks_of(0).len(), 2);
    assert_eq!(run.chunks_of(1).len(), 5);
}

#[test]
fn a_pause_calls_everything_back_and_resuming_waits_for_the_answers() {
    let mut run = Run::new(10);
    run.join(0, LOCAL);
    let (first, second) = (run.lease(0, 0), run.lease(0, 1));
    run.pause();
    assert!(run.world.owed.values().all(|revoked| *revoked));
    assert_eq!(run.state.phase(0), Phase::Pending);
    run.resume();
    assert_eq!(run.world.dispatched.len(), 2, "both slots are still busy");
    run.stop(first);
    assert_eq!(run.chunks_of(0), [0]);
    // The other one had finished before it heard of the pause; its result is taken.
    run.finish_and_commit(second);
    assert_eq!(run.chunks_of(0), [0, 2]);
    run.run_out();
    assert_eq!(run.world.attempts[&1], 1);
}

#[test]
fn nothing_is_handed_out_after_a_cancel() {
    let mut run = Run::new(10);
    run.join(0, LOCAL);
    run.world.halted = true;
    run.state.on_cancel(&mut run.world);
    for lease in run.world.owed_by(0) {
        run.stop(lease);
    }
    run.join(1, REMOTE);
    run.tick(Duration::from_secs(100));
    assert!(run.state.is_quiet());
}

#[test]
fn what_a_lost_worker_had_is_handed_out_at_once_and_the_first_result_wins() {
    let mut run = Run::new(3);
    run.join(1, REMOTE);
    run.join(2, REMOTE);
    assert_eq!((run.chunks_of(1), run.chunks_of(2)), (vec![0, 1], vec![2]));
    run.lose(1);
    assert_eq!(run.chunks_of(2), [0, 2]);
    run.run_out();
    assert_eq!(run.world.committed.len(), 3);
    assert!(run.world.discarded.is_empty());
}

#[test]
fn a_chunk_that_only_waited_on_lost_workers_is_not_suspected() {
    let mut run = Run::new(2);
    for _ in 0..3 {
        run.join(1, REMOTE);
        run.start(run.lease(1, 0));
        run.lose(1);
    }
    run.join(0, LOCAL);
    assert_eq!(run.chunks_of(0), [1], "what ran each time waits to be tried alone");
    run.finish_and_commit(run.lease(0, 1));
    assert!(run.lease(0, 0).alone);
    run.run_out();
}

#[test]
fn who_leaves_finishes_what_it_began_and_gets_nothing_more() {
    let mut run = Run::new(6);
    run.join(1, REMOTE);
    let (began, queued) = (run.lease(1, 0), run.lease(1, 1));
    run.start(began);
    run.state.on_worker_leaving(&mut run.world, run.now, 1);
    assert_eq!(run.chunks_of(1), [0]);
    run.stop(queued);
    run.finish_and_commit(began);
    run.tick(Duration::from_secs(5));
    assert_eq!(run.chunks_of(1), [0usize; 0]);
    run.join(1, REMOTE);
    assert_eq!(run.chunks_of(1), [1, 2], "until it stays after all");
    run.run_out();
}

#[test]
fn no_progress_for_long_calls_a_chunk_back_but_waiting_in_a_queue_does_not() {
    let mut run = Run::new(2);
    run.join(1, REMOTE);
    let (running, waiting) = (run.lease(1, 0), run.lease(1, 1));
    run.start(running);
    run.tick(MIN_PATIENCE);
    run.progress(running, 0.5);
    run.tick(MIN_PATIENCE);
    assert_eq!(run.chunks_of(1), [0, 1], "it moved in between");
    run.tick(MIN_PATIENCE);
    assert_eq!(run.chunks_of(1), [0usize; 0], "the stuck one and what waits behind it");
    run.join(2, REMOTE);
    assert_eq!(run.chunks_of(2), [0, 1]);
    // It was only slow: its late result counts, and the second one is called back.
    run.finish_and_commit(running);
    assert!(run.world.owed[&run.lease(2, 0)]);
    run.finish(run.lease(2, 0));
    assert_eq!(run.world.discarded.len(), 1);
    run.stop(waiting);
    run.run_out();
}

#[test]
fn the_chunk_under_the_playhead_has_all_threads_where_chunks_share_them() {
    let mut run = Run::new(6);
    run.join(0, WorkerSpec { shares_threads: true, ..LOCAL });
    assert_eq!(run.chunks_of(0), [0], "alone");
    run.finish_and_commit(run.lease(0, 0));
    assert_eq!(run.chunks_of(0), [1, 2], "then as many as there are slots");
    run.seek(grid(6)[4].start);
    run.finish_and_commit(run.lease(0, 1));
    assert!(run.chunks_of(0).contains(&4), "the new one starts beside what runs");
    run.finish_and_commit(run.lease(0, 2));
    assert_eq!(run.chunks_of(0), [4], "and gets no other beside it");
    run.run_out();
    assert_eq!(run.world.committed.len(), 6);
}

#[test]
fn a_chunk_that_takes_long_is_given_its_time() {
    let mut run = Run::new(1);
    run.join(1, WorkerSpec { expected_secs_per_frame: 1.0, ..REMOTE });
    run.start(run.lease(1, 0));
    run.tick(secs(399.0));
    assert_eq!(run.chunks_of(1), [0]);
    run.tick(secs(2.0));
    assert_eq!(run.chunks_of(1), [0usize; 0]);
}

#[test]
fn a_poisonous_chunk_is_tried_on_two_workers_then_alone_and_the_song_goes_on() {
    let mut run = Run::new(6);
    run.join(0, LOCAL);
    run.join(1, REMOTE);
    let mut tries = vec![];
    while !run.state.is_finished() {
        let lease = *run.world.owed.keys().next().expect("somebody works");
        if lease.chunk == 1 {
            tries.push((lease.worker, lease.alone));
            run.fail(lease, Cause::Error);
        } else {
            run.finish_and_commit(lease);
        }
    }
    assert_eq!(tries.len(), 3);
    assert_ne!(tries[0].0, tries[1].0, "two distinct workers");
    assert_eq!(tries[2], (0, true), "the last one here and alone");
    assert_eq!(run.world.given_up, BTreeSet::from([1]));
    assert_eq!(run.world.committed.len(), 5);

    run.world.given_up.clear();
    run.state.on_retry_failed(&mut run.world, run.now);
    run.run_out();
    assert_eq!(run.world.committed.len(), 6);
}

#[test]
fn with_one_worker_a_chunk_gets_two_attempts_and_one_alone() {
    let mut run = Run::new(1);
    run.join(0, LOCAL);
    for alone in [false, false, true] {
        let lease = run.lease(0, 0);
        assert_eq!(lease.alone, alone);
        run.fail(lease, Cause::Panic);
    }
    assert!(run.state.is_finished());
    assert_eq!(run.state.phase(0), Phase::Failed);
}

#[test]
fn a_worker_whose_chunks_succeed_elsewhere_is_left_out_for_a_while() {
    let mut run = Run::new(40);
    run.join(1, REMOTE);
    run.join(2, REMOTE);
    let mut strikes = 0;
    while strikes < 3 {
        let bad = run.world.owed_by(1)[0];
        run.fail(bad, Cause::BadResult);
        while !run.world.committed.contains(&bad.chunk) {
            run.finish_and_commit(run.world.owed_by(2)[0]);
        }
        strikes += 1;
    }
    for lease in run.world.owed_by(1) {
        run.finish_and_commit(lease);
    }
    assert_eq!(run.chunks_of(1), [0usize; 0]);
    run.tick(secs(59.0));
    assert_eq!(run.chunks_of(1), [0usize; 0]);
    run.tick(secs(2.0));
    assert_eq!(run.chunks_of(1).len(), 2, "back after a minute");
}

/// Workers with real speeds in virtual time; returns when the job was done.
fn simulate(chunks: u64, speeds: &[f64], slowed: Option<(WorkerId, f64, f64)>) -> (f64, Run) {
    let mut run = Run::new(chunks);
    let mut events: BinaryHeap<Reverse<(u64, Lease)>> = BinaryHeap::new();
    let mut busy: BTreeMap<WorkerId, Lease> = BTreeMap::new();
    let mut spans: BTreeMap<Lease, (f64, f64)> = BTreeMap::new();
    for id in 0..speeds.len() {
        run.join(id, WorkerSpec { expected_secs_per_frame: 0.01, ..REMOTE });
    }
    let micros = |t: Duration| t.as_micros() as u64;
    let mut tick = Duration::ZERO;
    while !run.state.is_finished() {
        for (id, speed) in speeds.iter().enumerate() {
            for lease in run.world.owed_by(id) {
                if run.world.owed[&lease] && busy.get(&id) != Some(&lease) {
                    run.stop(lease);
                }
            }
            if let Some(lease) = busy.get(&id).copied()
                && run.world.owed.get(&lease) == Some(&true)
            {
                busy.remove(&id);
                run.stop(lease);
            }
            if !busy.contains_key(&id)
                && let Some(&lease) = run.world.owed_by(id).iter().min_by_key(|lease| {
                    run.world.dispatched.iter().position(|other| other == *lease)
                })
            {
                let slow = match slowed {
                    Some((slow, from, factor)) if slow == id && run.now.as_secs_f64() >= from => {
                        factor
                    }
                    _ => 1.0,
                };
                run.start(lease);
                busy.insert(id, lease);
                spans.insert(lease, (run.now.as_secs_f64(), slow / speed));
                events.push(Reverse((micros(run.now + secs(slow / speed)), lease)));
            }
        }
        let next = events.peek().map(|Reverse((at, _))| Duration::from_micros(*at));
        tick += Duration::from_millis(250);
        if let Some(at) = next.filter(|&at| at <= tick) {
            tick -= Duration::from_millis(250);
            run.now = run.now.max(at);
            let Some(Reverse((_, lease))) = events.pop() else { break };
            if busy.get(&lease.worker) == Some(&lease) {
                busy.remove(&lease.worker);
                run.finish(lease);
                if run.world.storing.contains_key(&lease.chunk) {
                    run.commit(lease.chunk);
                }
            }
        } else {
            for lease in busy.values().copied().collect::<Vec<_>>() {
                let (from, takes) = spans[&lease];
                run.progress(lease, ((tick.as_secs_f64() - from) / takes).min(0.99) as f32);
            }
            run.tick(tick.saturating_sub(run.now));
        }
    }
    (run.now.as_secs_f64(), run)
}

#[test]
fn workers_add_up_also_unequal_ones() {
    let (alone, _) = simulate(100, &[0.1], None);
    let (two, _) = simulate(100, &[0.1; 2], None);
    let (four, _) = simulate(100, &[0.1; 4], None);
    assert!(alone / two >= 1.9 && alone / four >= 3.6, "{alone} {two} {four}");
    let (unequal, _) = simulate(100, &[0.1, 0.05, 0.025], None);
    let ideal = 100.0 / 0.175;
    assert!(ideal / unequal >= 0.90, "{ideal} {unequal}");
}

#[test]
fn a_worker_slowed_tenfold_hardly_delays_the_song() {
    let (without, _) = simulate(40, &[0.1; 3], None);
    for from in [0.0, 50.0, 95.0, 120.0] {
        let (with, run) = simulate(40, &[0.1; 4], Some((3, from, 10.0)));
        assert!(with <= 1.3 * without, "slowed at {from}: {with} instead of {without}");
        assert_eq!(run.world.committed.len(), 40);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join(WorkerId),
    Lose(WorkerId),
    Start(usize),
    Progress(usize, f32),
    Finish(usize),
    Fail(usize, Cause),
    Stop(usize),
    Commit(usize),
    StoreFailed(usize),
    Tick(u64),
    Seek(u64),
    Pause,
    Resume,
    Retry,
}

fn steps() -> impl Strategy<Value = Step> {
    let which = 0usize..1000;
    let cause = prop_oneof![Just(Cause::Error), Just(Cause::Panic), Just(Cause::BadResult)];
    prop_oneof![
        3 => (0usize..5).prop_map(Step::Join),
        2 => (0usize..5).prop_map(Step::Lose),
        6 => which.clone().prop_map(Step::Start),
        3 => (which.clone(), 0.0f32..1.2).prop_map(|(n, done)| Step::Progress(n, done)),
        8 => which.clone().prop_map(Step::Finish),
        4 => (which.clone(), cause).prop_map(|(n, cause)| Step::Fail(n, cause)),
        3 => which.clone().prop_map(Step::Stop),
        8 => which.clone().prop_map(Step::Commit),
        1 => which.prop_map(Step::StoreFailed),
        4 => (0u64..60).prop_map(Step::Tick),
        2 => (0u64..2500).prop_map(Step::Seek),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Retry),
    ]
}

fn spec_of(id: WorkerId) -> WorkerSpec {
    match id {
        0 => LOCAL,
        id => WorkerSpec { slots: id, ..REMOTE },
    }
}

fn pick<K: Copy, V>(map: &BTreeMap<K, V>, n: usize) -> Option<K> {
    map.keys().nth(n % map.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, the invariants that `World` checks hold, and as soon
    /// as one worker lives and behaves, every chunk is committed except those that also failed alone.
    #[test]
    fn no_chunk_is_lost_or_done_twice(
        chunks in 0u64..24,
        steps in proptest::collection::vec(steps(), 0..200),
    ) {
        let mut run = Run::new(chunks);
        let mut failed_alone = BTreeSet::new();
        for step in steps {
            match step {
                Step::Join(id) if !run.world.specs.contains_key(&id) => run.join(id, spec_of(id)),
                Step::Lose(id) => run.lose(id),
                Step::Start(n) => if let Some(lease) = pick(&run.world.owed, n) { run.start(lease) },
                Step::Progress(n, done) => if let Some(lease) = pick(&run.world.owed, n) {
                    run.progress(lease, done);
                },
                Step::Finish(n) => if let Some(lease) = pick(&run.world.owed, n) { run.finish(lease) },
                Step::Fail(n, cause) => if let Some(lease) = pick(&run.world.owed, n) {
                    if lease.alone {
                        failed_alone.insert(lease.chunk);
                    }
                    run.fail(lease, cause);
                },
                Step::Stop(n) => if let Some(lease) = pick(&run.world.owed, n) { run.stop(lease) },
                Step::Commit(n) => if let Some(chunk) = pick(&run.world.storing, n) { run.commit(chunk) },
                Step::StoreFailed(n) => if let Some(chunk) = pick(&run.world.storing, n) {
                    // As the driver does it: a disk that cannot be written to pauses the job.
                    run.pause();
                    run.world.storing.remove(&chunk);
                    run.state.on_store_failed(chunk);
                },
                Step::Tick(secs) => {
                    failed_alone.extend(run.world.owed.keys().filter(|l| l.alone).map(|l| l.chunk));
                    run.tick(Duration::from_secs(secs));
                }
                Step::Seek(frame) => run.seek(frame),
                Step::Pause => run.pause(),
                Step::Resume => run.resume(),
                Step::Retry => {
                    run.world.given_up.clear();
                    run.state.on_retry_failed(&mut run.world, run.now);
                }
                Step::Join(_) => {}
            }
        }
        run.resume();
        if !run.world.specs.contains_key(&0) {
            run.join(0, LOCAL);
        }
        failed_alone.extend(run.world.owed.keys().filter(|l| l.alone).map(|l| l.chunk));
        run.run_out();
        for chunk in 0..chunks as usize {
            match run.state.phase(chunk) {
                Phase::Committed => prop_assert!(run.world.committed.contains(&chunk)),
                Phase::Failed => prop_assert!(failed_alone.contains(&chunk)),
                phase => prop_assert!(false, "chunk {} is {:?}", chunk, phase),
            }
        }
    }
}
