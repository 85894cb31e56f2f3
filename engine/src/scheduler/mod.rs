//! Who computes which chunk, and what happens when they do not. A pure reactor: events come in
//! with the time they happened, actions go out through [`Comm`]; no I/O, no clock, no threads.
//!
//! A chunk goes Pending → Leased → (Checking →) Received → Committed, or Failed in the end. Its
//! attempt number only rises. The first good result of any attempt wins, also one that comes late from an attempt
//! that was called back; later ones are dropped. A worker keeps a credit occupied until it has
//! answered, so calling a chunk back never overloads it. The local pool is one worker among others.
//!
//! The rules, with their sources: copies of the slowest chunks at the end (MapReduce's backup tasks, by
//! remaining time as LATE), a limit on failures per chunk (HyperQueue's crash limit), work only for
//! whom it makes the whole finish sooner.

mod assign;
mod check;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

pub use check::{CHECK_ONE_IN, Scrutiny};
use worker::{Running, Worker};

/// Number of a worker within one job.
pub type WorkerId = usize;

/// A worker without progress for this long at least is taken to be stuck.
pub const MIN_PATIENCE: Duration = Duration::from_secs(30);

/// Workers that must fail on a chunk before it is tried alone: one more and it is given up.
const POISON_WORKERS: usize = 2;

/// Workers lost while they computed a chunk before it is suspected of killing them.
const POISON_LOSSES: usize = 3;

/// Failures on a worker of chunks that succeeded elsewhere, after which it is left out for a while.
const STRIKES: u32 = 3;

/// First time left out; doubles every time.
const QUARANTINE: Duration = Duration::from_secs(60);

/// One handing-out of one chunk to one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Who has it.
    pub worker: WorkerId,
    /// What it has.
    pub chunk: usize,
    /// Rises with every lease of the chunk, from 1 on.
    pub attempt: u32,
    /// The last try of a chunk that failed elsewhere: nothing else runs on the worker meanwhile.
    pub alone: bool,
}

/// Why an attempt brought no result.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Cause {
    /// The separator returned an error.
    Error,
    /// The separator panicked.
    Panic,
    /// The result had the wrong shape or was not finite.
    BadResult,
    /// No progress for too long.
    Stalled,
    /// The worker went away meanwhile.
    Lost,
}

/// What the reactor wants done. Every lease that was dispatched is answered by exactly one of
/// [`State::on_result`], [`State::on_failed`] and [`State::on_stopped`], unless its worker is lost.
pub trait Comm {
    /// Have the worker compute the chunk.
    fn dispatch(&mut self, lease: Lease);
    /// Tell the worker to stop; it still answers.
    fn revoke(&mut self, lease: Lease);
    /// Keep this result: answer with [`State::on_committed`] or [`State::on_store_failed`].
    fn store(&mut self, lease: Lease);
    /// Throw this result away; another one was first.
    fn discard(&mut self, lease: Lease);
    /// Whether these two results of a chunk are the same samples; asked once. Both are kept until
    /// each is stored or thrown away.
    fn agree(&self, held: Lease, local: Lease) -> bool;
    /// The worker gave a wrong result: whatever was committed from it is to be withdrawn, answered by
    /// [`State::on_withdrawn`].
    fn accuse(&mut self, worker: WorkerId);
    /// The chunk is given up; the song goes on.
    fn give_up(&mut self, chunk: usize);
}

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkerSpec {
    /// Chunks it computes at the same time.
    pub slots: usize,
    /// Runs inside this process: needs no chunk in advance, and takes last tries.
    pub local: bool,
    /// A chunk that runs alone has all of its threads: the one under the playhead does, to be heard
    /// soonest.
    pub shares_threads: bool,
    /// Seconds per frame and slot to expect before anything was measured.
    pub expected_secs_per_frame: f64,
}

/// Where one chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody works on it.
    Pending,
    /// At least one worker has it.
    Leased,
    /// A result waits until it is compared with a local one.
    Checking,
    /// A result is being stored.
    Received,
    /// Its result is stored.
    Committed,
    /// Given up.
    Failed,
}

#[derive(Debug, Clone)]
struct Chunk {
    phase: Phase,
    attempts: u32,
    failures: Vec<(WorkerId, Cause)>,
    /// Failed elsewhere; only to be tried alone.
    alone: bool,
    /// A second copy was handed out.
    copied: bool,
    /// The result that is being checked, or waits until others are.
    held: Option<Lease>,
    /// It waits.
    waits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Paused,
    Cancelled,
}

/// The scheduler of one job.
#[derive(Debug, Clone)]
pub struct State {
    segments: Arc<[Range<u64>]>,
    chunks: Vec<Chunk>,
    pending: BTreeSet<usize>,
    /// Chunks whose held result nobody computes again yet.
    unchecked: BTreeSet<usize>,
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers that left, should they come back: speed and trust stay theirs.
    left: BTreeMap<WorkerId, Worker>,
    scrutiny: BTreeMap<WorkerId, Scrutiny>,
    mode: Mode,
    playhead: u64,
    unfinished: usize,
    pending_frames: u64,
}

impl State {
    /// All chunks of `segments` pending except those `committed` already.
    pub fn new(
        segments: Arc<[Range<u64>]>,
        playhead_frame: u64,
        committed: impl IntoIterator<Item = usize>,
    ) -> Self {
        let chunk = Chunk {
            phase: Phase::Pending,
            attempts: 0,
            failures: Vec::new(),
            alone: false,
            copied: false,
            held: None,
            waits: false,
        };
        let mut state = Self {
            chunks: vec![chunk; segments.len()],
            pending: (0..segments.len()).collect(),
            unchecked: BTreeSet::new(),
            workers: BTreeMap::new(),
            left: BTreeMap::new(),
            scrutiny: BTreeMap::new(),
            mode: Mode::Running,
            playhead: playhead_frame,
            unfinished: segments.len(),
            pending_frames: segments.iter().map(frames).sum(),
            segments,
        };
        for chunk in committed {
            if state.take_pending(chunk) {
                state.chunks[chunk].phase = Phase::Committed;
                state.unfinished -= 1;
            }
        }
        state
    }

    /// Where `chunk` is.
    pub fn phase(&self, chunk: usize) -> Phase {
        self.chunks[chunk].phase
    }

    /// Which try of `chunk` is or would be the next one: chunks that were handed back or called back
    /// were not tried.
    pub fn tries(&self, chunk: usize) -> u32 {
        u32::try_from(self.chunks[chunk].failures.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether every chunk is committed or given up.
    pub fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Whether no worker owes an answer.
    pub fn is_quiet(&self) -> bool {
        self.workers.values().all(|worker| worker.running.is_empty())
    }

    /// The leases in force, and how far each is (0.0..=1.0).
    pub fn leases(&self) -> impl Iterator<Item = (Lease, f32)> {
        self.workers.iter().flat_map(|(&id, worker)| {
            worker.running.iter().filter(|r| !r.revoked).map(move |r| (r.lease(id), r.progress))
        })
    }

    /// Measured frames per second of `worker` with all its slots at work.
    pub fn measured_frames_per_sec(&self, worker: WorkerId) -> Option<f64> {
        let worker = self.workers.get(&worker).or_else(|| self.left.get(&worker))?;
        worker.measured_secs_per_frame().map(|_| worker.frames_per_sec())
    }

    /// How long `worker` is still left out because too many chunks failed on it.
    pub fn quarantine_left(&self, now: Duration, worker: WorkerId) -> Option<Duration> {
        self.workers.get(&worker)?.quarantine_left(now)
    }

    /// A worker is there, or was about to leave and stays, and may be given chunks.
    pub fn on_worker_joined(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        id: WorkerId,
        spec: WorkerSpec,
    ) {
        let known = self.workers.remove(&id).or_else(|| self.left.remove(&id));
        let worker = known.map_or_else(|| Worker::new(spec), |worker| worker.back_as(spec));
        self.workers.insert(id, worker);
        self.assign(comm, now);
    }

    /// A worker is about to leave or takes a break: it gets nothing more, and what it has not begun
    /// is called back. Nothing of this is held against it.
    pub fn on_worker_leaving(&mut self, comm: &mut impl Comm, now: Duration, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.is_leaving = true;
        self.call_back_unstarted(comm, id);
        self.assign(comm, now);
    }

    /// A worker is gone; it will not answer any more. What it had is pending again at once.
    pub fn on_worker_lost(&mut self, comm: &mut impl Comm, now: Duration, id: WorkerId) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        let owed = std::mem::take(&mut worker.running);
        self.left.insert(id, worker);
        for running in owed {
            if !running.revoked {
                // What only waited there cannot have been the reason.
                if running.started.is_some() {
                    self.note_failure(running.lease(id), Cause::Lost);
                }
                self.requeue_if_unleased(running.chunk);
            }
        }
        self.assign(comm, now);
    }

    /// A worker began to compute; waiting in its queue before that is not held against it.
    pub fn on_started(&mut self, now: Duration, worker: WorkerId, chunk: usize, attempt: u32) {
        if let Some(running) = self.running_mut(worker, chunk, attempt) {
            running.started = Some(now);
            running.progressed = now;
        }
    }

    /// A worker got further; `done` counts only when it rises.
    pub fn on_progress(
        &mut self,
        now: Duration,
        worker: WorkerId,
        chunk: usize,
        attempt: u32,
        done: f32,
    ) {
        if let Some(running) = self.running_mut(worker, chunk, attempt)
            && done > running.progress
        {
            running.progress = done.min(1.0);
            running.progressed = now;
        }
    }

    /// A good result arrived, verified.
    pub fn on_result(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        worker: WorkerId,
        chunk: usize,
        attempt: u32,
    ) {
        let Some(running) = self.take_running(worker, chunk, attempt) else { return };
        if let (Some(started), Some(w)) = (running.started, self.workers.get_mut(&worker)) {
            let mut took = now.saturating_sub(started);
            if w.spec.shares_threads && w.running.is_empty() {
                // The other slots' threads helped.
                took *= u32::try_from(w.spec.slots.max(1)).unwrap_or(u32::MAX);
            }
            w.measure(took, frames(&self.segments[chunk]));
        }
        let lease = running.lease(worker);
        match self.chunks[chunk].phase {
            Phase::Received | Phase::Committed => comm.discard(lease),
            Phase::Checking if self.is_local(worker) => self.compare(comm, lease),
            Phase::Checking => comm.discard(lease),
            _ if self.is_accused(worker) => comm.discard(lease),
            phase => {
                match phase {
                    Phase::Pending => _ = self.take_pending(chunk),
                    Phase::Failed => self.unfinished += 1,
                    _ => {}
                }
                self.receive(comm, lease);
            }
        }
        self.assign(comm, now);
    }

    /// Has a result stored; other attempts are called back.
    fn accept(&mut self, comm: &mut impl Comm, lease: Lease) {
        let chunk = lease.chunk;
        self.chunks[chunk].phase = Phase::Received;
        self.chunks[chunk].waits = false;
        self.unchecked.remove(&chunk);
        self.revoke_where(comm, |_, running| running.chunk == chunk);
        comm.store(lease);
    }

    /// An attempt failed.
    pub fn on_failed(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        worker: WorkerId,
        chunk: usize,
        attempt: u32,
        cause: Cause,
    ) {
        let Some(running) = self.take_running(worker, chunk, attempt) else { return };
        if !running.revoked {
            self.note_failure(running.lease(worker), cause);
            if self.requeue_if_unleased(chunk) && running.alone {
                self.give_up(comm, chunk);
            }
            self.end_vain_check(comm, chunk);
        }
        self.assign(comm, now);
    }

    /// An attempt ended without result and without anyone's fault: called back, or the worker is
    /// about to leave.
    pub fn on_stopped(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        worker: WorkerId,
        chunk: usize,
        attempt: u32,
    ) {
        let Some(running) = self.take_running(worker, chunk, attempt) else { return };
        if !running.revoked {
            self.requeue_if_unleased(chunk);
            if let Some(worker) = self.workers.get_mut(&worker) {
                worker.handed_back(now);
            }
        }
        self.assign(comm, now);
    }

    /// A result that [`Comm::store`] asked for is safe; `worker` computed it.
    pub fn on_committed(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        worker: WorkerId,
        chunk: usize,
    ) {
        debug_assert_eq!(self.chunks[chunk].phase, Phase::Received);
        self.chunks[chunk].phase = Phase::Committed;
        self.unfinished -= 1;
        let failures = std::mem::take(&mut self.chunks[chunk].failures);
        for (id, cause) in failures {
            if let Some(failed) = self.workers.get_mut(&id).or_else(|| self.left.get_mut(&id))
                && id != worker
                && cause != Cause::Lost
            {
                failed.strike(now);
            }
        }
        self.assign(comm, now);
    }

    /// A result that [`Comm::store`] asked for could not be stored; it must be computed again.
    pub fn on_store_failed(&mut self, chunk: usize) {
        debug_assert_eq!(self.chunks[chunk].phase, Phase::Received);
        self.chunks[chunk].phase = Phase::Leased;
        self.requeue_if_unleased(chunk);
    }

    /// What was committed of these chunks is not to be relied on: they are computed again.
    pub fn on_withdrawn(&mut self, comm: &mut impl Comm, now: Duration, chunks: &[usize]) {
        for &chunk in chunks {
            if self.chunks[chunk].phase == Phase::Committed {
                self.unfinished += 1;
                self.make_pending(chunk);
            }
        }
        self.assign(comm, now);
    }

    /// Looks at the clock: calls back what is stuck, ends quarantines, hands out copies. To be
    /// called a few times a second while anything runs or waits.
    pub fn on_tick(&mut self, comm: &mut impl Comm, now: Duration) {
        if self.mode != Mode::Running {
            return;
        }
        for lease in self.stuck(now) {
            self.revoke_where(comm, |id, running| running.lease(id) == lease);
            self.note_failure(lease, Cause::Stalled);
            if self.requeue_if_unleased(lease.chunk) && lease.alone {
                self.give_up(comm, lease.chunk);
            }
            self.end_vain_check(comm, lease.chunk);
            // What waits behind it there may wait for ever.
            self.call_back_unstarted(comm, lease.worker);
        }
        let silent: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_silent(now))
            .map(|(&id, _)| id)
            .collect();
        for id in silent {
            self.call_back_unstarted(comm, id);
        }
        self.assign(comm, now);
    }

    fn call_back_unstarted(&mut self, comm: &mut impl Comm, id: WorkerId) {
        let waiting: Vec<usize> = self
            .workers
            .get(&id)
            .into_iter()
            .flat_map(|worker| &worker.running)
            .filter(|running| running.started.is_none() && !running.revoked)
            .map(|running| running.chunk)
            .collect();
        self.revoke_where(comm, |other, running| other == id && running.started.is_none());
        for chunk in waiting {
            self.requeue_if_unleased(chunk);
        }
    }

    /// The user listens at `frame`: chunks from there on go first.
    pub fn on_playhead(&mut self, frame: u64) {
        self.playhead = frame;
    }

    /// Nothing new is handed out, and what runs is called back.
    pub fn on_pause(&mut self, comm: &mut impl Comm) {
        if self.mode == Mode::Running {
            self.mode = Mode::Paused;
            self.call_all_back(comm);
        }
    }

    /// Goes on after [`Self::on_pause`].
    pub fn on_resume(&mut self, comm: &mut impl Comm, now: Duration) {
        if self.mode == Mode::Paused {
            self.mode = Mode::Running;
            self.assign(comm, now);
        }
    }

    /// As a pause that never ends.
    pub fn on_cancel(&mut self, comm: &mut impl Comm) {
        self.mode = Mode::Cancelled;
        self.call_all_back(comm);
    }

    /// Forgets why chunks were given up and tries them again.
    pub fn on_retry_failed(&mut self, comm: &mut impl Comm, now: Duration) {
        for chunk in 0..self.chunks.len() {
            if self.chunks[chunk].phase == Phase::Failed {
                let state = &mut self.chunks[chunk];
                state.failures.clear();
                state.alone = false;
                self.unfinished += 1;
                self.make_pending(chunk);
            }
        }
        self.assign(comm, now);
    }

    fn call_all_back(&mut self, comm: &mut impl Comm) {
        let leased: Vec<usize> = self.leases().map(|(lease, _)| lease.chunk).collect();
        self.revoke_where(comm, |_, _| true);
        for chunk in leased {
            self.requeue_if_unleased(chunk);
        }
    }

    fn revoke_where(&mut self, comm: &mut impl Comm, which: impl Fn(WorkerId, &Running) -> bool) {
        for (&id, worker) in &mut self.workers {
            for running in worker.running.iter_mut().filter(|r| !r.revoked && which(id, r)) {
                running.revoked = true;
                comm.revoke(running.lease(id));
            }
        }
    }

    /// Leases in force that should have moved by now.
    fn stuck(&self, now: Duration) -> Vec<Lease> {
        let mut stuck = Vec::new();
        for (&id, worker) in &self.workers {
            for running in worker.running.iter().filter(|r| !r.revoked) {
                let expected =
                    worker.secs_per_frame() * frames(&self.segments[running.chunk]) as f64;
                let failures = &self.chunks[running.chunk].failures;
                let stalls = failures.iter().filter(|(_, c)| *c == Cause::Stalled).count();
                if running.is_stuck(now, expected, stalls) {
                    stuck.push(running.lease(id));
                }
            }
        }
        stuck
    }

    /// Counts a failure; a chunk that failed for the same cause on enough workers is set apart.
    fn note_failure(&mut self, lease: Lease, cause: Cause) {
        let others = self.workers.keys().any(|&id| id != lease.worker);
        let chunk = &mut self.chunks[lease.chunk];
        chunk.failures.push((lease.worker, cause));
        let same: Vec<WorkerId> =
            chunk.failures.iter().filter(|(_, c)| *c == cause).map(|(id, _)| *id).collect();
        let distinct = same.iter().collect::<BTreeSet<_>>().len();
        chunk.alone |= match cause {
            Cause::Lost => same.len() >= POISON_LOSSES,
            _ => distinct >= POISON_WORKERS || (!others && same.len() >= POISON_WORKERS),
        };
        // However the causes alternate, patience ends.
        chunk.alone |= chunk.failures.len() >= 3 * POISON_WORKERS;
    }

    fn give_up(&mut self, comm: &mut impl Comm, chunk: usize) {
        if self.take_pending(chunk) {
            self.chunks[chunk].phase = Phase::Failed;
            self.unfinished -= 1;
            comm.give_up(chunk);
        }
    }

    /// Makes `chunk` pending when its last lease just ended, or its check wait for another try;
    /// whether it is pending now.
    fn requeue_if_unleased(&mut self, chunk: usize) -> bool {
        if !self.leases().any(|(lease, _)| lease.chunk == chunk) {
            match self.chunks[chunk].phase {
                Phase::Leased => self.make_pending(chunk),
                Phase::Checking if !self.chunks[chunk].waits => _ = self.unchecked.insert(chunk),
                _ => {}
            }
        }
        self.chunks[chunk].phase == Phase::Pending
    }

    fn make_pending(&mut self, chunk: usize) {
        self.chunks[chunk].phase = Phase::Pending;
        self.chunks[chunk].copied = false;
        if self.pending.insert(chunk) {
            self.pending_frames += frames(&self.segments[chunk]);
        }
    }

    fn take_pending(&mut self, chunk: usize) -> bool {
        let was = self.pending.remove(&chunk);
        if was {
            self.pending_frames -= frames(&self.segments[chunk]);
        }
        was
    }

    fn running_mut(&mut self, id: WorkerId, chunk: usize, attempt: u32) -> Option<&mut Running> {
        self.workers.get_mut(&id)?.running.iter_mut().find(|r| r.is(chunk, attempt))
    }

    fn take_running(&mut self, id: WorkerId, chunk: usize, attempt: u32) -> Option<Running> {
        let running = &mut self.workers.get_mut(&id)?.running;
        let at = running.iter().position(|r| r.is(chunk, attempt))?;
        Some(running.swap_remove(at))
    }
}

fn frames(segment: &Range<u64>) -> u64 {
    segment.end - segment.start
}
