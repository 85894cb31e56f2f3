//! One worker as the scheduler sees it: what it owes, how fast it is, how far it is trusted.

use std::time::Duration;

use super::{Lease, MIN_PATIENCE, QUARANTINE, STRIKES, WorkerId, WorkerSpec};

/// Weight of the newest measurement in the running mean of a worker's speed.
const NEWEST: f64 = 0.3;

/// A worker that hands a chunk back most likely is about to say why; nothing new until then.
const REST: Duration = Duration::from_secs(1);

/// A lease the worker has not answered yet.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) chunk: usize,
    pub(super) attempt: u32,
    pub(super) alone: bool,
    /// Called back; only its answer is missing.
    pub(super) revoked: bool,
    pub(super) started: Option<Duration>,
    pub(super) progressed: Duration,
    pub(super) progress: f32,
}

impl Running {
    pub(super) fn is(&self, chunk: usize, attempt: u32) -> bool {
        self.chunk == chunk && self.attempt == attempt
    }

    pub(super) fn lease(&self, worker: WorkerId) -> Lease {
        Lease { worker, chunk: self.chunk, attempt: self.attempt, alone: self.alone }
    }

    /// Whether it should have moved by now: patience is four times what it was expected to take,
    /// doubled for every earlier attempt that stalled. Waiting in a queue never counts.
    pub(super) fn is_stuck(&self, now: Duration, expected_secs: f64, stalls: usize) -> bool {
        let patience = MIN_PATIENCE.as_secs_f64().max(4.0 * expected_secs);
        let patience = patience * f64::from(1u32 << stalls.min(16));
        self.started.is_some() && now.saturating_sub(self.progressed).as_secs_f64() > patience
    }

    /// Seconds it will still take: by its own progress where it told any, else as expected, and as
    /// long again as it already took once it is over time.
    pub(super) fn remaining_secs(&self, now: Duration, expected_secs: f64) -> f64 {
        let Some(started) = self.started else { return expected_secs };
        let spent = now.saturating_sub(started).as_secs_f64();
        match f64::from(self.progress) {
            done if done > 0.0 => spent * (1.0 - done) / done,
            _ if spent <= expected_secs => expected_secs - spent,
            _ => spent,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) spec: WorkerSpec,
    pub(super) running: Vec<Running>,
    /// It finishes what it began and gets nothing more.
    pub(super) is_leaving: bool,
    /// A result of its was wrong.
    pub(super) is_accused: bool,
    /// First results that are being checked, or were.
    pub(super) first_checks: u32,
    /// Those of them that were right.
    pub(super) passed: u32,
    secs_per_frame: Option<f64>,
    strikes: u32,
    quarantines: u32,
    quarantined_until: Duration,
    rests_until: Duration,
}

impl Worker {
    pub(super) fn new(spec: WorkerSpec) -> Self {
        Self {
            spec,
            running: Vec::new(),
            is_leaving: false,
            is_accused: false,
            first_checks: 0,
            passed: 0,
            secs_per_frame: None,
            strikes: 0,
            quarantines: 0,
            quarantined_until: Duration::ZERO,
            rests_until: Duration::ZERO,
        }
    }

    /// The same worker when it is there again: speed and trust stay its own, but whoever was accused
    /// begins anew.
    pub(super) fn back_as(self, spec: WorkerSpec) -> Self {
        let (first_checks, passed) =
            if self.is_accused { (0, 0) } else { (self.first_checks, self.passed) };
        Self { spec, is_leaving: false, is_accused: false, first_checks, passed, ..self }
    }

    fn slots(&self) -> usize {
        self.spec.slots.max(1)
    }

    /// Whether it may be given one more: one per slot, and one on the way for whoever is behind a
    /// network. What was called back occupies its slot until it is answered.
    pub(super) fn has_credit(&self) -> bool {
        self.running.len() < self.slots() + usize::from(!self.spec.local)
            && !self.is_blocked()
            && !self.is_leaving
            && !self.is_accused
            && !self.running.iter().any(|r| r.alone && !r.revoked)
    }

    /// Whether what was called back and not answered yet occupies all of it.
    pub(super) fn is_blocked(&self) -> bool {
        self.running.iter().filter(|r| r.revoked).count() >= self.slots()
    }

    /// Whether a chunk given now would be computed at once.
    pub(super) fn has_free_slot(&self) -> bool {
        self.has_credit() && self.running.len() < self.slots()
    }

    /// Whether it owes answers to what was called back, and so may be stuck.
    pub(super) fn is_suspect(&self) -> bool {
        self.running.iter().any(|r| r.revoked)
    }

    pub(super) fn measure(&mut self, took: Duration, frames: u64) {
        let now = took.as_secs_f64() / frames.max(1) as f64;
        self.secs_per_frame =
            Some(self.secs_per_frame.map_or(now, |before| before + NEWEST * (now - before)));
    }

    pub(super) fn measured_secs_per_frame(&self) -> Option<f64> {
        self.secs_per_frame
    }

    pub(super) fn secs_per_frame(&self) -> f64 {
        self.secs_per_frame.unwrap_or(self.spec.expected_secs_per_frame)
    }

    /// Frames per second with all slots at work.
    pub(super) fn frames_per_sec(&self) -> f64 {
        self.slots() as f64 / self.secs_per_frame().max(1e-12)
    }

    /// A chunk it failed on succeeded elsewhere.
    pub(super) fn strike(&mut self, now: Duration) {
        self.strikes += 1;
        if self.strikes >= STRIKES {
            self.strikes = 0;
            self.quarantined_until = now + QUARANTINE * (1 << self.quarantines.min(10));
            self.quarantines += 1;
        }
    }

    pub(super) fn handed_back(&mut self, now: Duration) {
        if !self.spec.local {
            self.rests_until = now + REST;
        }
    }

    /// Whether it is not to be given chunks now: too many failed on it, or it leaves or rests.
    pub(super) fn is_out(&self, now: Duration) -> bool {
        now < self.quarantined_until || now < self.rests_until || self.is_leaving || self.is_accused
    }

    pub(super) fn quarantine_left(&self, now: Duration) -> Option<Duration> {
        let left = self.quarantined_until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether it should have begun with something by now. What waits behind a running chunk is
    /// no matter; and the way to another computer may be slow, so it gets four times the patience.
    pub(super) fn is_silent(&self, now: Duration) -> bool {
        let in_force = || self.running.iter().filter(|r| !r.revoked);
        !self.spec.local
            && in_force().all(|r| r.started.is_none())
            && in_force().any(|r| now.saturating_sub(r.progressed) > 4 * MIN_PATIENCE)
    }
}
