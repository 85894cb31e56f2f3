//! Who gets which chunk next.

use std::{collections::BTreeSet, time::Duration};

use super::{Cause, Comm, Lease, Mode, Phase, Running, State, Worker, WorkerId, frames};
use crate::plan::first_chunk_at;

/// A chunk that has less than this to go is not worth a copy.
const COPY_MIN_SECS: f64 = 5.0;

/// Whoever has not moved for less than this is never overdue.
const OVERDUE_MIN_SECS: f64 = 1.0;

/// A copy must be this much faster than what is left of the original.
const COPY_GAIN: f64 = 1.5;

impl State {
    /// Hands out chunks until nobody can use another, each to whom would be done with it first, so
    /// that those nearest to the playhead are done soonest.
    pub(super) fn assign(&mut self, comm: &mut impl Comm, now: Duration) {
        if self.mode != Mode::Running {
            return;
        }
        let mut takers = self.trusted(now);
        takers.retain(|id| self.workers[id].has_credit());
        while let Some(at) = self.soonest(&takers) {
            let id = takers[at];
            match self.next_for(id, now) {
                Some((chunk, alone)) => self.lease(comm, now, id, chunk, alone),
                None => _ = takers.swap_remove(at),
            }
        }
    }

    /// Which of `takers` would be done with another chunk first. A result that is to be checked is of
    /// use only when a local worker has computed it too.
    fn soonest(&self, takers: &[WorkerId]) -> Option<usize> {
        let length = self.segments.first().map_or(0, frames) as f64;
        let local_secs = || {
            let local = self.workers.values().filter(|worker| worker.spec.local);
            local.map(|worker| self.finish_secs(worker, length)).fold(0.0, f64::max)
        };
        let secs = |id: &WorkerId| {
            let worker = &self.workers[id];
            let check = if self.is_on_probation(*id) { local_secs() } else { 0.0 };
            self.finish_secs(worker, length) + check
        };
        let secs: Vec<f64> = takers.iter().map(secs).collect();
        // The first of equals, by their numbers.
        (0..takers.len())
            .min_by(|&a, &b| secs[a].total_cmp(&secs[b]).then(takers[a].cmp(&takers[b])))
    }

    /// Workers to rely on: all but those that are out and those that owe so many answers to what
    /// was called back that they may never compute again; or all when there are no others.
    fn trusted(&self, now: Duration) -> Vec<WorkerId> {
        let trusted: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.is_out(now) && !worker.is_blocked())
            .map(|(&id, _)| id)
            .collect();
        if trusted.is_empty() { self.workers.keys().copied().collect() } else { trusted }
    }

    /// The chunk that `id` should have next, and whether alone.
    fn next_for(&self, id: WorkerId, now: Duration) -> Option<(usize, bool)> {
        let worker = &self.workers[&id];
        if !worker.has_credit() || self.is_kept_alone(worker) {
            return None;
        }
        let check = if worker.spec.local { self.nearest_check() } else { None };
        if let Some(check) = check
            && !self.is_heard_before(check)
        {
            return Some((check, false));
        }
        if let Some(chunk) = self.nearest(|chunk| self.may_take(id, chunk, now))
            && !self.would_delay(id, chunk, now)
        {
            return Some((chunk, false));
        }
        if let Some(check) = check {
            return Some((check, false));
        }
        let others_wait = self.pending.iter().any(|&chunk| !self.chunks[chunk].alone);
        if others_wait {
            return None;
        }
        // Last tries come when all else is handed out, one at a time, here if at all possible.
        let takes_last_tries = worker.spec.local
            || !self.trusted(now).into_iter().any(|id| self.workers[&id].spec.local);
        if takes_last_tries && let Some(chunk) = self.nearest(|chunk| self.chunks[chunk].alone) {
            let is_alone = worker.running.iter().all(|running| running.revoked);
            return is_alone.then_some((chunk, true));
        }
        worker.has_free_slot().then(|| self.worth_a_copy(id, now)).flatten().map(|c| (c, false))
    }

    /// Whether `worker` computes the chunk under the playhead and should do nothing else meanwhile.
    fn is_kept_alone(&self, worker: &Worker) -> bool {
        let here = first_chunk_at(&self.segments, self.playhead);
        worker.spec.shares_threads
            && worker.running.iter().any(|running| running.chunk == here && !running.revoked)
    }

    /// The pending chunk nearest to the playhead that is `fit`: the one under it, those ahead,
    /// then those behind.
    fn nearest(&self, fit: impl Fn(usize) -> bool) -> Option<usize> {
        self.nearest_in(&self.pending, fit)
    }

    pub(super) fn nearest_in(
        &self,
        chunks: &BTreeSet<usize>,
        fit: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let here = first_chunk_at(&self.segments, self.playhead);
        let ahead = chunks.range(here..).copied().find(|&chunk| fit(chunk));
        ahead.or_else(|| chunks.range(..here).rev().copied().find(|&chunk| fit(chunk)))
    }

    /// A chunk that failed on a worker goes to another one as long as there is one that did not
    /// fail on it.
    fn may_take(&self, id: WorkerId, chunk: usize, now: Duration) -> bool {
        let chunk = &self.chunks[chunk];
        let failed = |id| chunk.failures.iter().any(|&(w, cause)| w == id && cause != Cause::Lost);
        !chunk.alone && (!failed(id) || self.trusted(now).into_iter().all(failed))
    }

    /// Whether the job would be finished sooner if `id` did not take `chunk`, by the speeds
    /// measured so far: when even the others together, and the soonest of them, would be done with
    /// everything before `id` is done with this.
    fn would_delay(&self, id: WorkerId, chunk: usize, now: Duration) -> bool {
        let worker = &self.workers[&id];
        if worker.measured_secs_per_frame().is_none() || !self.chunks[chunk].failures.is_empty() {
            return false;
        }
        let length = frames(&self.segments[chunk]) as f64;
        let (mut soonest, mut rate, mut work) = (f64::INFINITY, 0.0, self.pending_frames as f64);
        for other in self.trusted(now).into_iter().filter(|&other| other != id) {
            let other = &self.workers[&other];
            if other.measured_secs_per_frame().is_some()
                && !other.is_suspect()
                && !self.is_overdue(other, now)
            {
                soonest = soonest.min(self.finish_secs(other, length));
                rate += other.frames_per_sec();
                work += self.owed_frames(other);
            }
        }
        rate > 0.0 && self.finish_secs(worker, length) > soonest.max(work / rate)
    }

    /// Whether `worker` has not moved for much longer than its speed so far lets expect: then that
    /// speed is no promise.
    fn is_overdue(&self, worker: &Worker, now: Duration) -> bool {
        worker.running.iter().filter(|r| r.started.is_some()).any(|running| {
            let expected = worker.secs_per_frame() * frames(&self.segments[running.chunk]) as f64;
            let still = now.saturating_sub(running.progressed).as_secs_f64();
            still > OVERDUE_MIN_SECS.max(2.0 * expected)
        })
    }

    /// Seconds until `worker` would be done with `length` frames more.
    fn finish_secs(&self, worker: &Worker, length: f64) -> f64 {
        let queued = (self.owed_frames(worker) + length) / worker.frames_per_sec();
        if worker.spec.shares_threads {
            queued
        } else {
            queued.max(length * worker.secs_per_frame())
        }
    }

    /// Frames `worker` still has to compute of what it was given.
    fn owed_frames(&self, worker: &Worker) -> f64 {
        let left =
            |r: &Running| frames(&self.segments[r.chunk]) as f64 * f64::from(1.0 - r.progress);
        worker.running.iter().filter(|r| !r.revoked).map(left).sum()
    }

    /// The chunk with most left to do elsewhere, if `id` would have it done well before.
    fn worth_a_copy(&self, id: WorkerId, now: Duration) -> Option<usize> {
        let own_rate = self.workers[&id].secs_per_frame();
        let mut best: Option<(f64, usize)> = None;
        for (_, other) in self.workers.iter().filter(|&(&other, _)| other != id) {
            for running in other.running.iter().filter(|r| !r.revoked && !r.alone) {
                let chunk = running.chunk;
                let length = frames(&self.segments[chunk]) as f64;
                let remaining = running.remaining_secs(now, length * other.secs_per_frame());
                if self.chunks[chunk].phase == Phase::Leased
                    && !self.chunks[chunk].copied
                    && self.may_take(id, chunk, now)
                    && remaining > COPY_MIN_SECS.max(COPY_GAIN * length * own_rate)
                    && best.is_none_or(|(most, _)| remaining > most)
                {
                    best = Some((remaining, chunk));
                }
            }
        }
        best.map(|(_, chunk)| chunk)
    }

    fn lease(
        &mut self,
        comm: &mut impl Comm,
        now: Duration,
        id: WorkerId,
        chunk: usize,
        alone: bool,
    ) {
        self.take_pending(chunk);
        let is_check = self.unchecked.remove(&chunk);
        let state = &mut self.chunks[chunk];
        if !is_check {
            state.copied |= state.phase == Phase::Leased;
            state.phase = Phase::Leased;
        }
        state.attempts += 1;
        let lease = Lease { worker: id, chunk, attempt: state.attempts, alone };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.running.push(Running {
                chunk,
                attempt: lease.attempt,
                alone,
                revoked: false,
                started: None,
                progressed: now,
                progress: 0.0,
            });
            comm.dispatch(lease);
        }
    }
}
