//! Running a model on one chunk, and not believing its result unseen.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::Signal;
use crate::{
    audio::Planar,
    error::{Error, ErrorKind, Result},
    model::{ChunkInput, Progress, Separator},
    scheduler::Cause,
};

/// What computing a chunk came to.
#[derive(Debug)]
pub enum Outcome {
    /// The stems, stereo, all finite and exactly as long as the segment.
    Stems {
        /// In the order of the model's stems.
        stems: Vec<Planar>,
        /// How long it took.
        took: Duration,
    },
    /// The separator did not manage.
    Failed(Cause, Error),
    /// The model cannot be read; no use in going on.
    Halted(Error),
    /// Told to stop.
    Stopped,
}

/// Computes the stems at the indices `keep` of one chunk on this thread. A panic of the model is a
/// failed chunk.
pub fn compute(
    separator: &dyn Separator,
    input: &ChunkInput,
    keep: &[usize],
    signal: &Signal,
) -> Outcome {
    if signal.is_cancelled() {
        return Outcome::Stopped;
    }
    if let Err(error) = separator.prepare(keep) {
        return Outcome::Halted(error);
    }
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| separator.separate_some(input, keep, signal)));
    let took = began.elapsed();
    let stems = match result {
        Ok(Ok(stems)) => stems,
        Ok(Err(e)) if e.kind == ErrorKind::Cancelled => return Outcome::Stopped,
        Ok(Err(error)) => return Outcome::Failed(Cause::Error, error),
        Err(panic) => {
            let what = format!("The model broke off: {}", panic_message(panic.as_ref()));
            return Outcome::Failed(Cause::Panic, Error::new(ErrorKind::Internal, what));
        }
    };
    match check(&stems, keep.len(), input.segment_frames) {
        Ok(()) => Outcome::Stems { stems, took },
        Err(error) => Outcome::Failed(Cause::BadResult, error),
    }
}

/// Exact shape and finite samples, whoever computed them.
fn check(stems: &[Planar], expected: usize, frames: usize) -> Result<()> {
    let bad = |what: String| Err(Error::new(ErrorKind::Internal, what));
    if stems.len() != expected {
        return bad(format!("The model gave {} stems instead of {expected}", stems.len()));
    }
    for stem in stems {
        if stem.channel_count() != 2 || stem.channels().iter().any(|c| c.len() != frames) {
            return bad(format!(
                "The model gave {} channels of {} frames instead of 2 of {frames}",
                stem.channel_count(),
                stem.frames()
            ));
        }
        require_finite(stem.channels().iter().flatten().copied())?;
    }
    Ok(())
}

pub(super) fn require_finite(mut samples: impl Iterator<Item = f32>) -> Result<()> {
    if samples.all(f32::is_finite) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, "The model gave samples that are not numbers"))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
