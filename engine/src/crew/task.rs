//! One chunk to be computed, by whomever.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use super::compute::{Outcome, compute, require_finite};
use crate::{
    assemble::{ChunkHash, write_chunk},
    audio::Planar,
    error::{Error, ErrorKind, Result},
    model::{ChunkInput, Progress, Separator, SongStats},
    plan::Plan,
    scheduler::Cause,
    store::Track,
};

/// Tells a running chunk to stop, and others how far it is.
#[derive(Debug, Default)]
pub struct Signal {
    /// Share done, as the bits of an f32; those of positive floats sort as their values do.
    done: AtomicU32,
    /// One more than the share of the result that came back, likewise; 0 before that begins.
    sent_back: AtomicU32,
    cancelled: AtomicBool,
}

impl Signal {
    /// Tells it to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Share done, 0.0..=1.0; never falls.
    pub fn done(&self) -> f32 {
        f32::from_bits(self.done.load(Ordering::Relaxed))
    }

    /// The result is on its way back, this share of it is here.
    pub fn report_sent_back(&self, share: f32) {
        let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
        self.sent_back.fetch_max((1.0 + share).to_bits(), Ordering::Relaxed);
    }

    /// Share of the result that came back, 0.0..=1.0; `None` while it is not on its way.
    pub fn sent_back(&self) -> Option<f32> {
        let more = f32::from_bits(self.sent_back.load(Ordering::Relaxed));
        (more >= 1.0).then_some(more - 1.0)
    }
}

impl Progress for Signal {
    fn report(&self, done: f32) {
        if done > 0.0 {
            self.done.fetch_max(done.min(1.0).to_bits(), Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

/// Everything needed to compute one chunk and to keep its result.
pub struct ChunkTask {
    /// The model.
    pub separator: Arc<dyn Separator>,
    /// The song.
    pub mixture: Arc<Track>,
    /// Its statistics.
    pub song: SongStats,
    /// Its chunks.
    pub plan: Arc<Plan>,
    /// Which of them.
    pub chunk: usize,
    /// Indices into the model's stems of those to keep.
    pub keep: Arc<[usize]>,
    /// Where the result goes.
    pub target: PathBuf,
}

/// How a chunk ended.
#[derive(Debug)]
pub enum Ending {
    /// The result is in the target file.
    Stored {
        /// The file.
        target: PathBuf,
        /// Its BLAKE3.
        hash: ChunkHash,
        /// How long computing took.
        took: Duration,
    },
    /// The separator did not manage; the chunk's fault or the worker's.
    Failed(Cause, Error),
    /// The song or the model cannot be read or the result not be written; no use in going on.
    Halted(Error),
    /// Told to stop, or handed back.
    Stopped,
}

impl ChunkTask {
    /// Computes it on this thread.
    pub fn run(self, signal: &Signal) -> Ending {
        if signal.is_cancelled() {
            return Ending::Stopped;
        }
        let input = match self.input() {
            Ok(input) => input,
            Err(error) => return Ending::Halted(error),
        };
        match compute(self.separator.as_ref(), &input, &self.keep, signal) {
            // Called back or not, what is computed is worth keeping.
            Outcome::Stems { stems, took } => {
                match write_chunk(&self.target, &stems.iter().collect::<Vec<_>>()) {
                    Ok(hash) => Ending::Stored { target: self.target, hash, took },
                    Err(error) => Ending::Halted(error),
                }
            }
            Outcome::Failed(cause, error) => Ending::Failed(cause, error),
            Outcome::Halted(error) => Ending::Halted(error),
            Outcome::Stopped => Ending::Stopped,
        }
    }

    /// What the model is given: always stereo.
    ///
    /// # Errors
    /// When the song's track cannot be read.
    pub fn input(&self) -> Result<ChunkInput> {
        let segment = &self.plan.segments()[self.chunk];
        let range = self.plan.input(self.chunk);
        let frames = (range.end - range.start) as usize;
        let mut audio = Planar::silence(self.mixture.channel_count(), frames);
        self.mixture.read(range.start, audio.channels_mut())?;
        if audio.channel_count() == 1 {
            let mono = audio.into_channels().remove(0);
            audio = Planar::from_channels(vec![mono.clone(), mono]);
        }
        Ok(ChunkInput {
            audio,
            context_before_frames: (segment.start - range.start) as usize,
            segment_frames: (segment.end - segment.start) as usize,
            start_frame: segment.start,
            song: self.song,
        })
    }

    /// Bytes of a right result: stems × 2 channels × frames × 4.
    pub fn result_bytes(&self) -> u64 {
        let segment = &self.plan.segments()[self.chunk];
        self.keep.len() as u64 * 2 * 4 * (segment.end - segment.start)
    }

    /// Keeps a result that was computed elsewhere: the bytes of a chunk file, which must be as long
    /// as they should, finite, and have this hash.
    pub fn keep_result(self, bytes: &[u8], hash: ChunkHash, took: Duration) -> Ending {
        let bad = |what: &str| {
            Ending::Failed(Cause::BadResult, Error::new(ErrorKind::Internal, what.to_owned()))
        };
        if bytes.len() as u64 != self.result_bytes() {
            return bad("The result was not as long as it should be");
        }
        if blake3::hash(bytes) != hash {
            return bad("The result was changed on its way");
        }
        let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if let Err(error) = require_finite(samples) {
            return Ending::Failed(Cause::BadResult, error);
        }
        match std::fs::write(&self.target, bytes) {
            Ok(()) => Ending::Stored { target: self.target, hash, took },
            Err(e) => {
                // The error that matters is the first one.
                let _ = std::fs::remove_file(&self.target);
                Ending::Halted(Error::io("write", &self.target, e))
            }
        }
    }
}
