//! How long, how fast, how much longer.

use std::time::{Duration, Instant};

use crate::audio::WORK_RATE_HZ;

/// Chunks computed before the time left is guessed.
const MIN_CHUNKS: usize = 3;

/// Time and work of one run. Work is measured in frames by which the song gets on.
#[derive(Debug)]
pub(super) struct Meter {
    before: Duration,
    running_since: Option<Instant>,
    chunks: usize,
    frames: u64,
    first_audio: Option<Duration>,
    floor: f32,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            before: Duration::ZERO,
            running_since: None,
            chunks: 0,
            frames: 0,
            first_audio: None,
            floor: 0.0,
        }
    }

    /// The job runs from now on, or rests.
    pub(super) fn set_running(&mut self, running: bool) {
        if running {
            self.running_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.running_since.take() {
            self.before += since.elapsed();
        }
    }

    /// Time spent running.
    pub(super) fn elapsed(&self) -> Duration {
        self.before + self.running_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn on_committed(&mut self, advance_frames: u64) {
        self.chunks += 1;
        self.frames += advance_frames;
    }

    /// The first stem frames can be read.
    pub(super) fn on_audio(&mut self) -> bool {
        let is_first = self.first_audio.is_none();
        if is_first {
            self.first_audio = Some(self.elapsed());
        }
        is_first
    }

    pub(super) fn first_audio(&self) -> Option<Duration> {
        self.first_audio
    }

    /// Seconds of audio per second, with `partial_frames` done of running chunks.
    pub(super) fn speed_x_real_time(&self, partial_frames: f64) -> Option<f32> {
        let secs = self.elapsed().as_secs_f64();
        let frames = self.frames as f64 + partial_frames;
        (self.chunks > 0 && secs > 0.0).then(|| (frames / f64::from(WORK_RATE_HZ) / secs) as f32)
    }

    /// Time for `left_frames` more, of which `partial_frames` are done.
    pub(super) fn eta(&self, left_frames: u64, partial_frames: f64) -> Option<Duration> {
        let speed = f64::from(self.speed_x_real_time(partial_frames)?);
        let left = (left_frames as f64 - partial_frames).max(0.0) / f64::from(WORK_RATE_HZ);
        (self.chunks >= MIN_CHUNKS && speed > 0.0)
            .then(|| Duration::try_from_secs_f64(left / speed).ok())
            .flatten()
    }

    /// The largest fraction shown so far, `fraction` included.
    pub(super) fn floor(&mut self, fraction: f32) -> f32 {
        self.floor = self.floor.max(fraction);
        self.floor
    }
}
