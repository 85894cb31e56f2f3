//! A running download of a model: its thread, its progress, and the way to stop it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use super::{
    download::{Download, Watcher},
    folder::Folder,
    manifest::ModelFile,
    network::{Network, Stop},
};
use crate::{
    error::{Error, ErrorKind, Result},
    song::Wake,
};

/// Where a download is.
#[derive(Debug, Clone)]
pub enum FetchPhase {
    /// Looking at what is there, or waiting for the server.
    Connecting,
    /// Bytes come.
    Receiving,
    /// Every file is in its place and its hash is right.
    Done,
    /// It failed; what came is kept.
    Failed(Arc<Error>),
    /// It was cancelled; what came is kept.
    Cancelled,
}

/// A snapshot of a download.
#[derive(Debug, Clone)]
pub struct FetchStatus {
    /// Where it is.
    pub phase: FetchPhase,
    /// Bytes here, those of earlier tries included.
    pub bytes_done: u64,
    /// Bytes of all files that this download is for.
    pub bytes_total: u64,
    /// Bytes per second since the first one came in this run.
    pub bytes_per_sec: Option<f64>,
}

impl FetchStatus {
    /// Share done, 0.0..=1.0.
    pub fn fraction(&self) -> f32 {
        (self.bytes_done as f64 / self.bytes_total.max(1) as f64).min(1.0) as f32
    }

    /// Whether it has ended, in whatever way.
    pub fn has_ended(&self) -> bool {
        !matches!(self.phase, FetchPhase::Connecting | FetchPhase::Receiving)
    }
}

struct Shared {
    wake: Wake,
    stop: Stop,
    files: Vec<ModelFile>,
    /// Index of the file in work.
    current: AtomicUsize,
    /// Bytes here of that file.
    current_bytes: AtomicU64,
    /// Bytes that came over the network in this run.
    fresh_bytes: AtomicU64,
    first_byte: OnceLock<Instant>,
    outcome: OnceLock<Result<(), Arc<Error>>>,
}

impl Watcher for Shared {
    fn bytes(&self, bytes: u64, fresh: u64) {
        if fresh > 0 {
            self.first_byte.get_or_init(Instant::now);
            self.fresh_bytes.fetch_add(fresh, Ordering::Relaxed);
        }
        self.current_bytes.store(bytes, Ordering::Relaxed);
        (self.wake)();
    }
}

/// A running download of a model. Dropping the handle cancels it; what came is kept.
pub struct Fetch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fetch").field(&self.status()).finish()
    }
}

impl Fetch {
    /// Starts getting `files` on a thread named "model download".
    pub(super) fn start(
        folder: Folder,
        network: Network,
        files: Vec<ModelFile>,
        wake: Wake,
    ) -> Self {
        let shared = Arc::new(Shared {
            wake,
            stop: Stop::new(),
            files,
            current: AtomicUsize::new(0),
            current_bytes: AtomicU64::new(0),
            fresh_bytes: AtomicU64::new(0),
            first_byte: OnceLock::new(),
            outcome: OnceLock::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("model download".into()).spawn(move || {
            let run = || run(&folder, &network, &of_thread);
            let outcome = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "The download panicked")));
            // Set once, here.
            let _ = of_thread.outcome.set(outcome.map_err(Arc::new));
            (of_thread.wake)();
        });
        let thread = thread
            .map_err(|cause| {
                let error = Error::new(ErrorKind::Internal, "No thread can be started");
                let _ = shared.outcome.set(Err(Arc::new(error.caused_by(cause))));
            })
            .ok();
        Self { shared, thread }
    }

    /// How far it is.
    pub fn status(&self) -> FetchStatus {
        let shared = &self.shared;
        let total = shared.files.iter().map(|file| file.bytes).sum();
        let current = shared.current.load(Ordering::Acquire);
        let before: u64 = shared.files.iter().take(current).map(|file| file.bytes).sum();
        let began = shared.first_byte.get();
        let phase = match shared.outcome.get() {
            Some(Ok(())) => FetchPhase::Done,
            Some(Err(error)) if error.kind == ErrorKind::Cancelled => FetchPhase::Cancelled,
            Some(Err(error)) => FetchPhase::Failed(Arc::clone(error)),
            None if began.is_some() => FetchPhase::Receiving,
            None => FetchPhase::Connecting,
        };
        let fresh = shared.fresh_bytes.load(Ordering::Relaxed) as f64;
        FetchStatus {
            bytes_done: match phase {
                FetchPhase::Done => total,
                _ => total.min(before + shared.current_bytes.load(Ordering::Relaxed)),
            },
            bytes_total: total,
            bytes_per_sec: began
                .map(|began| fresh / began.elapsed().as_secs_f64())
                .filter(|rate| rate.is_finite()),
            phase,
        }
    }

    /// Stops it at once.
    pub fn cancel(&self) {
        self.shared.stop.stop();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it failed; [`ErrorKind::Cancelled`] after [`Self::cancel`].
    pub fn wait(mut self) -> Result<(), Arc<Error>> {
        self.join();
        match self.shared.outcome.get() {
            Some(outcome) => outcome.clone(),
            None => Err(Arc::new(Error::new(ErrorKind::Internal, "The download was lost"))),
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic was caught inside and is in the outcome.
            let _ = thread.join();
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.cancel();
            self.join();
        }
    }
}

fn run(folder: &Folder, network: &Network, shared: &Shared) -> Result<()> {
    let download = Download { folder, network, stop: &shared.stop, watcher: shared };
    for (index, file) in shared.files.iter().enumerate() {
        shared.current_bytes.store(0, Ordering::Relaxed);
        shared.current.store(index, Ordering::Release);
        download.run(file)?;
    }
    Ok(())
}
