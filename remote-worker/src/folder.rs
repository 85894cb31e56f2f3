//! The worker's data folder.
//!
//! ```text
//! <data>/device.key, computers.json   this computer's key and the main PCs it is paired with
//!        worker.toml                  the owner's settings
//!        allowed-models.txt           models that the owner lets in beside the program's own list
//!        models/                      as on a main PC
//!        paused                       there while the owner wants a break
//!        worker.lock                  held by the one worker that runs
//!        status.json                  what that one does
//! ```

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use engine::{
    Error, ErrorKind, Result,
    store::{read_bounded, write_atomically},
};
use serde::{Deserialize, Serialize};

/// Most bytes of the status.
const MAX_STATUS_BYTES: u64 = 1 << 20;

/// How long the lock may be held by others that only look.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A worker's data folder.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
}

/// The right to be the worker of a data folder; held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// The folder at `dir`, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The system's place for a worker's data.
    pub fn default_dir() -> PathBuf {
        let dirs = directories::ProjectDirs::from("", "", "stemhive-worker");
        dirs.map_or_else(
            // A user without a home folder: a container, a service.
            || std::env::temp_dir().join("stemhive-worker"),
            |dirs| dirs.data_dir().to_owned(),
        )
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The owner's settings.
    pub fn settings_path(&self) -> PathBuf {
        self.dir.join("worker.toml")
    }

    /// Becomes the worker of this folder.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when there is one; what the disk says.
    pub fn lock(&self) -> Result<Lock> {
        let file = self.open_lock()?;
        let asked = Instant::now();
        // Whoever asks for the status holds it for a moment.
        while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            if asked.elapsed() > LOCK_PATIENCE {
                let what = format!("A worker runs already with “{}”", self.dir.display());
                return Err(Error::new(ErrorKind::Busy, what)
                    .kept("It goes on")
                    .advice("See what it does with: stemhive-worker status"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // A file system without locks is used without protection from other processes.
        let lock = Lock { _file: file };
        // That of an earlier worker.
        let path = self.status_path();
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path, e))
            }
            _ => Ok(lock),
        }
    }

    fn open_lock(&self) -> Result<File> {
        let path = self.dir.join("worker.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(&path).map_err(|e| Error::io("open", &path, e))
    }

    /// Whether the owner wants a break.
    pub fn is_paused(&self) -> bool {
        self.paused_path().exists()
    }

    /// Has the worker, running now or later, take a break or end it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn set_paused(&self, paused: bool) -> Result<()> {
        let path = self.paused_path();
        let done = if paused { File::create(&path).map(drop) } else { std::fs::remove_file(&path) };
        match done {
            Err(e) if paused || e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("write", &path, e))
            }
            _ => Ok(()),
        }
    }

    fn paused_path(&self) -> PathBuf {
        self.dir.join("paused")
    }

    /// What the worker of this folder does; `None` when none runs.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while it is just starting; when its status cannot be read or makes no
    /// sense.
    pub fn status(&self) -> Result<Option<Status>> {
        if !matches!(self.open_lock()?.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return Ok(None);
        }
        let path = self.status_path();
        let bytes = read_bounded(&path, MAX_STATUS_BYTES).map_err(|e| match e.kind {
            ErrorKind::NotFound => Error::new(ErrorKind::Busy, "The worker is just starting")
                .advice("Ask again in a moment"),
            _ => e,
        })?;
        let status = serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("“{}” makes no sense", path.display());
            Error::new(ErrorKind::Damaged, what).caused_by(e)
        })?;
        Ok(Some(status))
    }

    /// Lets others see what this worker does.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tell(&self, status: &Status) -> Result<()> {
        write_atomically(&self.status_path(), |mut file| {
            let text = serde_json::to_vec_pretty(status).map_err(std::io::Error::from)?;
            file.write_all(&text)
        })
    }

    fn status_path(&self) -> PathBuf {
        self.dir.join("status.json")
    }
}

/// What a running worker does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the worker.
    pub pid: u32,
    /// Process id of the process that computes, while there is one.
    pub bench_pid: Option<u32>,
    /// Name of this computer.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// `unpaired`, `ready`, `working`, `paused` or `leaving`.
    pub state: String,
    /// Why it pauses, as a sentence.
    pub paused: Option<String>,
    /// The main PCs.
    pub mains: Vec<Main>,
    /// Pieces computed since it started.
    pub chunks_done: u64,
    /// Models and pieces that were not taken or failed, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Seconds of audio for each second of computing.
    pub speed_x_real_time: Option<f64>,
    /// Threads that compute.
    pub threads: u16,
    /// Memory they may use, in bytes.
    pub memory_bytes: u64,
}

/// A main PC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Main {
    /// Its name.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// How the connection is, as words.
    pub state: String,
    /// Where it is, while connected.
    pub address: Option<String>,
    /// Pieces being computed for it.
    pub chunks_running: usize,
    /// Pieces computed for it.
    pub chunks_done: u64,
}
