//! What was done since the program started.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use engine::audio::WORK_RATE_HZ;

/// Most different reasons that are told apart.
const MOST_REASONS: usize = 32;

/// Counts of chunks.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) done: u64,
    pub(super) refused: BTreeMap<String, u64>,
    done_frames: u64,
    busy: Duration,
    busy_since: Option<Instant>,
}

impl Tally {
    pub(super) fn set_busy(&mut self, busy: bool, now: Instant) {
        match (busy, self.busy_since) {
            (true, None) => self.busy_since = Some(now),
            (false, Some(since)) => {
                self.busy += now - since;
                self.busy_since = None;
            }
            _ => {}
        }
    }

    pub(super) fn did(&mut self, frames: u64) {
        self.done += 1;
        self.done_frames += frames;
    }

    pub(super) fn refuse(&mut self, why: &str) {
        if self.refused.contains_key(why) || self.refused.len() < MOST_REASONS {
            *self.refused.entry(why.to_owned()).or_default() += 1;
        }
    }

    /// Seconds of audio for each second in which something was computed.
    pub(super) fn speed_x_real_time(&self, now: Instant) -> Option<f64> {
        let busy = self.busy + self.busy_since.map_or(Duration::ZERO, |since| now - since);
        let audio_secs = self.done_frames as f64 / f64::from(WORK_RATE_HZ);
        (self.done > 0).then(|| audio_secs / busy.as_secs_f64().max(1e-3))
    }
}
