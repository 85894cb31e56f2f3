//! What a job publishes: one immutable snapshot at a time, replaced whenever something changes,
//! so that nobody who only watches can ever slow the job down.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::{audio::RangeSet, crew::Standing, error::Error};

/// Where a job is in its life.
#[derive(Debug, Clone)]
pub enum JobPhase {
    /// Another job runs first.
    Queued,
    /// Chunks are being computed.
    Running,
    /// The user paused; running chunks were dropped or finish, nothing new starts.
    Paused,
    /// Every chunk is committed and the stems are complete.
    Done,
    /// The user cancelled; committed chunks are kept.
    Cancelled,
    /// It cannot go on; committed chunks are kept.
    Failed(Arc<Error>),
}

/// Where one chunk is.
#[derive(Debug, Clone)]
pub enum ChunkState {
    /// Nobody works on it.
    Pending,
    /// A worker has it.
    Running {
        /// Index into [`JobStatus::workers`].
        worker: usize,
        /// Share done, 0.0..=1.0.
        progress: f32,
        /// Share of its result that came back from another computer, once that is on its way and
        /// does not come at once.
        sent_back: Option<f32>,
        /// Which try this is: one more than those that failed, or were lost with their computer.
        tries: u32,
    },
    /// Its samples are stored and journalled.
    Committed {
        /// Index into [`JobStatus::workers`].
        worker: usize,
        /// Seconds the worker computed, or 0 when it came out of the journal of an earlier run
        /// that did not say.
        compute_secs: f32,
    },
    /// Given up on after retries; the original plays there.
    Failed(Arc<Error>),
}

/// What a worker is doing, in the user's words.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerActivity {
    /// Computing this many chunks.
    Working(usize),
    /// Nothing left for it to do.
    Idle,
    /// The job is paused.
    Paused,
    /// It gets no chunks now, for this reason; never [`Standing::Ready`].
    Absent(Standing),
}

/// One computer that takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStatus {
    /// Letter index: 0 = A; stays with the computer.
    pub letter: usize,
    /// Name as shown ("This PC").
    pub name: String,
    /// Compute threads it offers.
    pub threads: usize,
    /// What it does.
    pub activity: WorkerActivity,
    /// Chunks committed from it in this job, earlier runs included.
    pub chunks_done: usize,
    /// Measured speed in seconds of audio per second, once known.
    pub speed_x_real_time: Option<f32>,
}

/// How far the sum of the stems is from the mixture, over what is ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NullTest {
    /// Residual RMS relative to the mixture's RMS, in decibels; −∞ when they are identical.
    pub residual_db: f32,
    /// Frames it covers.
    pub frames: u64,
}

/// A snapshot of a job.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// Where the job is.
    pub phase: JobPhase,
    /// Segment of every chunk, in frames at the work rate; fixed for the whole job.
    pub grid: Arc<[Range<u64>]>,
    /// State of every chunk, as long as `grid`.
    pub chunks: Vec<ChunkState>,
    /// Chunks that an earlier run had already committed when this one started.
    pub resumed_chunks: usize,
    /// Who takes part, took part, or could, in the order of their letters.
    pub workers: Vec<WorkerStatus>,
    /// Frames whose final stem samples can be read.
    pub ready: Arc<RangeSet>,
    /// Time spent running, pauses left out.
    pub elapsed: Duration,
    /// Time left at the measured speed; unknown before three chunks were computed.
    pub eta: Option<Duration>,
    /// Seconds of audio finished per second so far in this run.
    pub speed_x_real_time: Option<f32>,
    /// From the start of this run to the first ready stem frames.
    pub first_audio: Option<Duration>,
    /// Sum of stems against mixture; none where not all stems of the model were wanted.
    pub null_test: Option<NullTest>,
    /// The largest [`Self::fraction`] shown before, which never falls even when a chunk must be
    /// computed again.
    pub fraction_floor: f32,
}

impl JobStatus {
    /// Chunks committed so far.
    pub fn committed(&self) -> usize {
        self.chunks.iter().filter(|c| matches!(c, ChunkState::Committed { .. })).count()
    }

    /// Share of the work done, by length, running chunks counted by their progress; 0.0..=1.0.
    /// Never falls within a run.
    pub fn fraction(&self) -> f32 {
        let share = |chunk: &ChunkState| match chunk {
            ChunkState::Pending => 0.0,
            ChunkState::Running { progress, .. } => f64::from(progress.clamp(0.0, 1.0)),
            ChunkState::Committed { .. } | ChunkState::Failed(_) => 1.0,
        };
        let (mut done, mut all) = (0.0, 0.0);
        for (segment, chunk) in self.grid.iter().zip(&self.chunks) {
            let frames = (segment.end - segment.start) as f64;
            done += frames * share(chunk);
            all += frames;
        }
        let now = if all > 0.0 { (done / all) as f32 } else { 1.0 };
        now.max(self.fraction_floor)
    }
}
