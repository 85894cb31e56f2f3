//! A running export: its thread, its progress, and the way to stop it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    plan::ExportPlan,
    request::ExportRequest,
    run::{Exported, Observer, run},
};
use crate::error::{Error, ErrorKind, Result};

/// Called, from any thread and often, when a status changed; it must return at once.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Measuring a frame takes about this share of the time that encoding it takes.
const MEASURING_SHARE: f64 = 0.1;

/// Where an export is.
#[derive(Debug, Clone)]
pub enum ExportPhase {
    /// Names are chosen and peaks measured; nothing is written yet.
    Preparing,
    /// Files are written.
    Writing,
    /// Everything is in place.
    Done(Arc<Exported>),
    /// It failed; nothing unfinished was left behind.
    Failed(Arc<Error>),
    /// It was cancelled; nothing was left behind.
    Cancelled,
}

/// A snapshot of an export.
#[derive(Debug, Clone)]
pub struct ExportStatus {
    /// Where it is.
    pub phase: ExportPhase,
    /// Share of the work done, 0.0..=1.0.
    pub fraction: f32,
    /// Files complete, though not yet under their names.
    pub files_done: usize,
    /// Files in all; 0 until writing begins.
    pub files_total: usize,
    /// Names of the files being written now.
    pub current: Vec<String>,
    /// Bytes written so far.
    pub bytes_written: u64,
}

#[derive(Debug)]
struct FileProgress {
    name: String,
    frames: u64,
    written: AtomicU64,
    bytes: AtomicU64,
    done: AtomicBool,
}

struct Shared {
    wake: Wake,
    cancelled: AtomicBool,
    to_measure: AtomicU64,
    measured: AtomicU64,
    /// Set when writing begins.
    files: OnceLock<Vec<FileProgress>>,
    outcome: OnceLock<Result<Arc<Exported>, Arc<Error>>>,
}

impl Shared {
    fn go_on(&self) -> Result<()> {
        (self.wake)();
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::cancelled()) } else { Ok(()) }
    }
}

impl Observer for Shared {
    fn measuring(&self, frames: u64) {
        self.to_measure.store(frames, Ordering::Relaxed);
    }

    fn measured(&self, frames: u64) -> Result<()> {
        self.measured.fetch_add(frames, Ordering::Relaxed);
        self.go_on()
    }

    fn writing(&self, plan: &ExportPlan) {
        let files = plan.files.iter().map(|file| FileProgress {
            name: file.name.clone(),
            frames: file.frames,
            written: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            done: AtomicBool::new(false),
        });
        // Writing begins once, so the cell is empty.
        let _ = self.files.set(files.collect());
        (self.wake)();
    }

    fn written(&self, file: usize, frames: u64, bytes: u64) -> Result<()> {
        if let Some(file) = self.files.get().and_then(|files| files.get(file)) {
            file.written.fetch_add(frames, Ordering::Relaxed);
            file.bytes.store(bytes, Ordering::Relaxed);
        }
        self.go_on()
    }

    fn file_done(&self, file: usize) {
        if let Some(file) = self.files.get().and_then(|files| files.get(file)) {
            file.done.store(true, Ordering::Relaxed);
        }
        (self.wake)();
    }
}

/// A running export. Dropping the handle lets it run on; wait for it before the program ends.
pub struct ExportHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for ExportHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ExportHandle").field(&self.status()).finish()
    }
}

/// Starts `request` on a thread named "export" (and as many more as there are cores and files).
/// `wake` is called whenever [`ExportHandle::status`] changed.
pub fn start(request: ExportRequest, wake: Wake) -> ExportHandle {
    let shared = Arc::new(Shared {
        wake,
        cancelled: AtomicBool::new(false),
        to_measure: AtomicU64::new(0),
        measured: AtomicU64::new(0),
        files: OnceLock::new(),
        outcome: OnceLock::new(),
    });
    let of_thread = Arc::clone(&shared);
    let thread = thread::Builder::new().name("export".into()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&request, &*of_thread)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "The export panicked")));
        // Set once, here.
        let _ = of_thread.outcome.set(outcome.map(Arc::new).map_err(Arc::new));
        (of_thread.wake)();
    });
    let thread = thread
        .map_err(|cause| {
            let error = Error::new(ErrorKind::Internal, "The export's thread cannot be started");
            let _ = shared.outcome.set(Err(Arc::new(error.caused_by(cause))));
        })
        .ok();
    ExportHandle { shared, thread }
}

impl ExportHandle {
    /// How far it is.
    pub fn status(&self) -> ExportStatus {
        let planned = self.shared.files.get();
        let files = planned.map_or(&[][..], Vec::as_slice);
        let written = |file: &FileProgress| file.written.load(Ordering::Relaxed);
        let done = |file: &FileProgress| file.done.load(Ordering::Relaxed);
        let frames_written: u64 = files.iter().map(written).sum();
        let to_measure = self.shared.to_measure.load(Ordering::Relaxed);
        let measured = self.shared.measured.load(Ordering::Relaxed);
        // What is measured is what will be written.
        let frames = planned.map_or(to_measure, |files| files.iter().map(|f| f.frames).sum());
        let phase = match self.shared.outcome.get() {
            Some(Ok(exported)) => ExportPhase::Done(Arc::clone(exported)),
            Some(Err(error)) if error.kind == ErrorKind::Cancelled => ExportPhase::Cancelled,
            Some(Err(error)) => ExportPhase::Failed(Arc::clone(error)),
            None if planned.is_some() => ExportPhase::Writing,
            None => ExportPhase::Preparing,
        };
        let fraction = if matches!(phase, ExportPhase::Done(_)) {
            1.0
        } else {
            let all = to_measure as f64 * MEASURING_SHARE + frames as f64;
            (measured as f64 * MEASURING_SHARE + frames_written as f64) / all.max(1.0)
        };
        ExportStatus {
            phase,
            fraction: fraction.min(1.0) as f32,
            files_done: files.iter().filter(|file| done(file)).count(),
            files_total: files.len(),
            current: files
                .iter()
                .filter(|file| written(file) > 0 && !done(file))
                .map(|file| file.name.clone())
                .collect(),
            bytes_written: files.iter().map(|file| file.bytes.load(Ordering::Relaxed)).sum(),
        }
    }

    /// Stops it within a block; files that were being written vanish. Does nothing once the files
    /// are being put in place.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it failed; [`ErrorKind::Cancelled`] after [`Self::cancel`].
    pub fn wait(mut self) -> Result<Arc<Exported>, Arc<Error>> {
        if let Some(thread) = self.thread.take() {
            // A panic was caught inside and is in the outcome.
            let _ = thread.join();
        }
        match self.shared.outcome.get() {
            Some(outcome) => outcome.clone(),
            None => Err(Arc::new(Error::new(ErrorKind::Internal, "The export was lost"))),
        }
    }
}
