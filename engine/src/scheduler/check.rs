//! Results of other computers are not taken on trust. The first ones of each, and a small share of
//! the later ones, are held back until a local worker has computed the same chunk; both must be
//! the same samples. Until the first ones are found right, all others of that worker wait, too. A
//! worker that gave a wrong result gets nothing more, and what was committed from it is computed
//! again.

use super::{Comm, Lease, Phase, State, Worker, WorkerId};
use crate::plan::first_chunk_at;

/// One result in so many is checked of workers that passed before, unless too many wait already.
pub const CHECK_ONE_IN: u64 = 32;

/// With so many results waiting to be checked no later one is picked: where there are many workers
/// the local one would do nothing else, and the job wait for it in the end.
const MOST_WAITING: usize = 2;

/// Times a local worker may fail on a chunk before the held result is taken as it is: better than
/// none.
const VAIN_CHECKS: usize = 2;

/// How closely the results of a worker are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrutiny {
    /// So many of its first results in this job are all checked.
    pub first: u32,
    /// Decides together with a chunk's number which later ones are, so that no clock and no order
    /// does, and two workers are not checked on the same chunks.
    pub seed: u64,
}

impl Scrutiny {
    fn samples(&self, chunk: usize) -> bool {
        // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
        let mut bits = self.seed ^ (chunk as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).is_multiple_of(CHECK_ONE_IN)
    }
}

impl State {
    /// How closely the results of `worker` are looked at from now on, there or not; without this
    /// they are believed.
    pub fn on_scrutiny(&mut self, worker: WorkerId, scrutiny: Scrutiny) {
        self.scrutiny.insert(worker, scrutiny);
    }

    /// Whose result of `chunk` waits to be compared.
    pub fn checked_worker(&self, chunk: usize) -> Option<WorkerId> {
        self.chunks[chunk].held.map(|lease| lease.worker)
    }

    /// How many results of `worker` were compared and found right, unless another was wrong.
    pub fn passed(&self, worker: WorkerId) -> u32 {
        self.known(worker).filter(|worker| !worker.is_accused).map_or(0, |worker| worker.passed)
    }

    pub(super) fn is_local(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.spec.local)
    }

    pub(super) fn is_accused(&self, id: WorkerId) -> bool {
        self.known(id).is_some_and(|worker| worker.is_accused)
    }

    /// Whether `id` is not believed yet: too few of its first results were found right.
    pub(super) fn is_on_probation(&self, id: WorkerId) -> bool {
        let passed = self.known(id).map_or(0, |worker| worker.passed);
        self.scrutiny.get(&id).is_some_and(|scrutiny| passed < scrutiny.first)
    }

    /// Decides what becomes of a result: it is stored, or held until it is compared, or until others
    /// of the same worker are. If a local worker computes the chunk already, that is the check.
    pub(super) fn receive(&mut self, comm: &mut impl Comm, lease: Lease) {
        let Lease { worker, chunk, .. } = lease;
        let someone_checks = self.workers.values().any(|worker| worker.spec.local);
        let on_probation = self.is_on_probation(worker);
        let Some(scrutiny) = self.scrutiny.get(&worker).copied().filter(|_| someone_checks) else {
            return self.accept(comm, lease);
        };
        let is_first = on_probation && self.count_first_check(worker, scrutiny.first);
        let is_picked = scrutiny.samples(chunk) && self.unchecked.len() < MOST_WAITING;
        if !on_probation && !is_picked {
            return self.accept(comm, lease);
        }
        let state = &mut self.chunks[chunk];
        state.phase = Phase::Checking;
        state.held = Some(lease);
        state.waits = on_probation && !is_first;
        let locals: Vec<WorkerId> =
            self.workers.keys().copied().filter(|&id| self.is_local(id)).collect();
        self.revoke_where(comm, |id, running| running.chunk == chunk && !locals.contains(&id));
        self.requeue_if_unleased(chunk);
    }

    /// Whether another of a worker's first results is to be checked; counts it if so.
    fn count_first_check(&mut self, id: WorkerId, first: u32) -> bool {
        match self.known_mut(id) {
            Some(worker) if worker.first_checks < first => {
                worker.first_checks += 1;
                true
            }
            _ => false,
        }
    }

    /// A local worker computed a chunk whose result is held.
    pub(super) fn compare(&mut self, comm: &mut impl Comm, local: Lease) {
        let Some(held) = self.chunks[local.chunk].held.take() else { return };
        if comm.agree(held, local) {
            self.accept(comm, held);
            comm.discard(local);
            if let Some(worker) = self.known_mut(held.worker) {
                worker.passed += 1;
            }
            if !self.is_on_probation(held.worker) {
                for lease in self.waiting(held.worker) {
                    self.accept_held(comm, lease);
                }
            }
        } else {
            self.accept(comm, local);
            comm.discard(held);
            self.condemn(comm, held.worker);
        }
    }

    /// A worker gave a wrong result: it gets nothing more and nothing of it is kept.
    fn condemn(&mut self, comm: &mut impl Comm, id: WorkerId) {
        let Some(worker) = self.known_mut(id).filter(|worker| !worker.is_accused) else { return };
        worker.is_accused = true;
        let given: Vec<usize> = worker.running.iter().map(|running| running.chunk).collect();
        self.revoke_where(comm, |other, _| other == id);
        for lease in self.waiting(id) {
            comm.discard(lease);
            let state = &mut self.chunks[lease.chunk];
            state.held = None;
            state.waits = false;
            state.phase = Phase::Leased;
            self.requeue_if_unleased(lease.chunk);
        }
        given.into_iter().for_each(|chunk| _ = self.requeue_if_unleased(chunk));
        comm.accuse(id);
    }

    /// Results of a worker that wait until it is believed.
    fn waiting(&self, id: WorkerId) -> Vec<Lease> {
        let held = self.chunks.iter().filter(|chunk| chunk.waits).filter_map(|chunk| chunk.held);
        held.filter(|lease| lease.worker == id).collect()
    }

    fn accept_held(&mut self, comm: &mut impl Comm, lease: Lease) {
        self.chunks[lease.chunk].held = None;
        self.accept(comm, lease);
    }

    /// Takes a held result as it is when checking it failed too often. Another one of the same worker
    /// is checked in its place.
    pub(super) fn end_vain_check(&mut self, comm: &mut impl Comm, chunk: usize) {
        let state = &self.chunks[chunk];
        let in_vain = state.failures.iter().filter(|&&(id, _)| self.is_local(id)).count();
        let Some(held) = state.held.filter(|_| in_vain >= VAIN_CHECKS) else { return };
        self.accept_held(comm, held);
        if self.is_on_probation(held.worker) {
            match self.waiting(held.worker).first() {
                Some(next) => {
                    self.chunks[next.chunk].waits = false;
                    self.requeue_if_unleased(next.chunk);
                }
                None => {
                    if let Some(worker) = self.known_mut(held.worker) {
                        worker.first_checks = worker.first_checks.saturating_sub(1);
                    }
                }
            }
        }
    }

    fn known(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id).or_else(|| self.left.get(&id))
    }

    fn known_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id).or_else(|| self.left.get_mut(&id))
    }

    /// The held result nearest to the playhead that nobody computes again yet.
    pub(super) fn nearest_check(&self) -> Option<usize> {
        self.nearest_in(&self.unchecked, |_| true)
    }

    /// Whether a pending chunk is heard so soon, and before `check`, that it goes first: the one
    /// under the playhead or the one after it.
    pub(super) fn is_heard_before(&self, check: usize) -> bool {
        let here = first_chunk_at(&self.segments, self.playhead);
        let next = self.pending.range(here..).next();
        next.is_some_and(|&next| next <= here + 1 && (next < check || check < here))
    }
}
