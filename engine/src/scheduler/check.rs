//! Results of other computers are not taken on trust. The first ones of each, and a small share of
//! the later ones, are held back until a local worker has computed the same chunk; both must be
//! the same samples. A worker that gave a wrong result gets nothing more, and what was committed
//! from it is computed again.

use super::{Comm, Lease, Phase, State, WorkerId};
use crate::plan::first_chunk_at;

/// One result in so many is checked of workers that passed before.
pub const CHECK_ONE_IN: u64 = 32;

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

    pub(super) fn is_local(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.spec.local)
    }

    pub(super) fn is_accused(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.is_accused)
    }

    /// Whether the next result of `id` is one of the first, which are compared before it is believed.
    pub(super) fn is_on_probation(&self, id: WorkerId) -> bool {
        let results = self.workers.get(&id).map_or(0, |worker| worker.results);
        self.scrutiny.get(&id).is_some_and(|scrutiny| results < scrutiny.first)
    }

    /// Counts a result, and tells whether it is to be compared before it is taken.
    pub(super) fn is_to_be_checked(&mut self, lease: Lease) -> bool {
        let someone_checks = self.workers.values().any(|worker| worker.spec.local);
        let is_first = self.is_on_probation(lease.worker);
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.results += 1;
        }
        let samples = |scrutiny: &Scrutiny| is_first || scrutiny.samples(lease.chunk);
        someone_checks && self.scrutiny.get(&lease.worker).is_some_and(samples)
    }

    /// Keeps a result until it can be compared. If a local worker computes the chunk already, that is
    /// the check.
    pub(super) fn hold(&mut self, comm: &mut impl Comm, lease: Lease) {
        let chunk = lease.chunk;
        self.chunks[chunk].phase = Phase::Checking;
        self.chunks[chunk].held = Some(lease);
        let locals: Vec<WorkerId> =
            self.workers.keys().copied().filter(|&id| self.is_local(id)).collect();
        self.revoke_where(comm, |id, running| running.chunk == chunk && !locals.contains(&id));
        self.requeue_if_unleased(chunk);
    }

    /// A local worker computed a chunk whose result is held.
    pub(super) fn compare(&mut self, comm: &mut impl Comm, local: Lease) {
        let Some(held) = self.chunks[local.chunk].held.take() else { return };
        if comm.agree(held, local) {
            self.accept(comm, held);
            comm.discard(local);
            return;
        }
        self.accept(comm, local);
        comm.discard(held);
        let known = self.workers.get_mut(&held.worker).or_else(|| self.left.get_mut(&held.worker));
        if let Some(worker) = known
            && !worker.is_accused
        {
            worker.is_accused = true;
            let given: Vec<usize> = worker.running.iter().map(|running| running.chunk).collect();
            self.revoke_where(comm, |id, _| id == held.worker);
            for chunk in given {
                self.requeue_if_unleased(chunk);
            }
            comm.accuse(held.worker);
        }
    }

    /// Takes a held result as it is when checking it failed too often.
    pub(super) fn end_vain_check(&mut self, comm: &mut impl Comm, chunk: usize) {
        let state = &self.chunks[chunk];
        let in_vain = state.failures.iter().filter(|&&(id, _)| self.is_local(id)).count();
        if state.phase == Phase::Checking
            && in_vain >= VAIN_CHECKS
            && let Some(held) = self.chunks[chunk].held.take()
        {
            self.accept(comm, held);
        }
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
