//! Progress and cancelling inside a chunk.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Progress;
use crate::error::{Error, Result};

/// Counts a chunk's steps, on whichever threads they are done, reports their share and stops when
/// told to. A step should take well below a tenth of a second.
pub(super) struct Steps<'a> {
    progress: &'a dyn Progress,
    done: AtomicUsize,
    total: usize,
}

impl<'a> Steps<'a> {
    /// Of a chunk that takes `total` steps.
    pub(super) fn new(progress: &'a dyn Progress, total: usize) -> Self {
        Self { progress, done: AtomicUsize::new(0), total: total.max(1) }
    }

    /// That another `cost` of the total are done.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`] when that is wanted.
    pub(super) fn step(&self, cost: usize) -> Result<()> {
        if self.progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        let done = self.done.fetch_add(cost, Ordering::Relaxed) + cost;
        self.progress.report(done as f32 / self.total as f32);
        Ok(())
    }
}
