//! The folder of installed model files.
//!
//! ```text
//! <data>/models/<file>                 whole and in place
//!               <file>.json            receipt: what was found when it was checked last
//!               incoming/<file>.part   being downloaded; <file>.etag tells the server which version
//!               incoming/<file>.lock   held by the one process that writes that file
//! ```

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    digest::{Hasher, Sha256, read_through},
    import::stem_of,
    manifest::{ModelFile, hash_in_name, kind_of},
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{Progress, Stem},
    store::{read_bounded, size_text, write_atomically},
};

/// Most bytes a receipt or an entity tag may have.
const MAX_NOTE_BYTES: u64 = 1 << 16;

/// Left free on the disk beside what a download needs.
const SPARE_BYTES: u64 = 64 << 20;

/// How one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileState {
    /// Not there; this much of it was downloaded before.
    Missing { part_bytes: u64 },
    /// There, and unchanged since its hash was found right.
    Good,
    /// There and as long as it should be, but its hash was not looked at since it last changed.
    Unchecked,
    /// There and wrong; says why.
    Damaged(String),
}

/// What was found when a file was checked last, and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    bytes: u64,
    /// Time of the file's last change, in nanoseconds since 1970.
    modified_ns: u64,
    found: Sha256,
    imported: Option<Brought>,
}

/// What is known of a file that is in no manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Brought {
    /// Name of the file it was copied from.
    pub(super) from: String,
    /// Its hash and length when it was brought.
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    /// Stems it yields.
    pub(super) stems: Vec<Stem>,
    /// Frames of its segments.
    pub(super) segment_frames: usize,
}

/// The lock on one file's download; held until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn receipt_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    /// Where files are made, on the same disk as the folder itself.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn incoming(&self) -> Result<PathBuf> {
        let dir = self.dir.join("incoming");
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
        Ok(dir)
    }

    pub(super) fn part_path(&self, name: &str) -> PathBuf {
        self.dir.join("incoming").join(format!("{name}.part"))
    }

    fn tag_path(&self, name: &str) -> PathBuf {
        self.dir.join("incoming").join(format!("{name}.etag"))
    }

    /// The version of the file that the part is of, as the server called it.
    pub(super) fn tag(&self, name: &str) -> Option<String> {
        let bytes = read_bounded(&self.tag_path(name), MAX_NOTE_BYTES).ok()?;
        String::from_utf8(bytes).ok().filter(|tag| !tag.is_empty())
    }

    /// # Errors
    /// What the disk says.
    pub(super) fn set_tag(&self, name: &str, tag: Option<&str>) -> Result<()> {
        let path = self.tag_path(name);
        match tag {
            Some(tag) => write_atomically(&path, |mut file| file.write_all(tag.as_bytes())),
            None => remove_if_there(&path),
        }
    }

    /// Takes the right to write the file called `name`, among threads and processes.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when someone else has it.
    pub(super) fn claim(&self, name: &str) -> Result<Claim> {
        let path = self.incoming()?.join(format!("{name}.lock"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options.open(&path).map_err(|e| Error::io("open", &path, e))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Busy, format!("“{name}” is being downloaded already"))
                    .kept("That download goes on")
                    .advice("Wait until it is done"))
            }
            // A file system without locks is used without protection from other processes.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Claim { _lock: lock }),
        }
    }

    /// Makes sure that `bytes` more fit on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::DiskFull`] when they do not.
    pub(super) fn require_room(&self, bytes: u64) -> Result<()> {
        match fs4::available_space(self.incoming()?) {
            Ok(free) if free < bytes.saturating_add(SPARE_BYTES) => Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "{} are needed and the disk has {} left",
                    size_text(bytes),
                    size_text(free)
                ),
            )
            .kept("Nothing was changed")
            .advice(format!("Free some space on the disk of “{}”", self.dir.display()))),
            // A disk that does not tell will say so when it is full.
            _ => Ok(()),
        }
    }

    /// How `file` is, as far as can be seen without reading it.
    pub(super) fn state(&self, file: &ModelFile) -> FileState {
        let Ok(metadata) = std::fs::metadata(self.path(&file.name)) else {
            let part = std::fs::metadata(self.part_path(&file.name));
            return FileState::Missing { part_bytes: part.map_or(0, |part| part.len()) };
        };
        if metadata.len() != file.bytes {
            return FileState::Damaged(format!(
                "“{}” has {} bytes where {} belong",
                file.name,
                metadata.len(),
                file.bytes
            ));
        }
        match self.receipt(&file.name) {
            Some(receipt) if receipt.is_of(&metadata) => judge(file, receipt.found),
            _ => FileState::Unchecked,
        }
    }

    /// Reads `file` and compares its hash; remembers what was found.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; what the disk says when it cannot be read.
    pub(super) fn check(&self, file: &ModelFile, progress: &dyn Progress) -> Result<FileState> {
        let path = self.path(&file.name);
        if !std::fs::metadata(&path).is_ok_and(|there| there.len() == file.bytes) {
            return Ok(self.state(file));
        }
        let opened = File::open(&path).map_err(|e| Error::io("read", &path, e))?;
        let mut hasher = Hasher::new();
        let mut done = 0;
        read_through(&opened, &path, &mut hasher, |block| {
            done += block.len() as u64;
            progress.report((done as f64 / file.bytes as f64).min(1.0) as f32);
            if progress.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
        })?;
        let found = hasher.value();
        let imported = self.receipt(&file.name).and_then(|receipt| receipt.imported);
        self.write_receipt(&file.name, found, imported)?;
        Ok(judge(file, found))
    }

    /// Notes that the file called `name`, whose hash is `found`, was just put in its place.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn settle(
        &self,
        name: &str,
        found: Sha256,
        imported: Option<Brought>,
    ) -> Result<()> {
        sync_folder(&self.dir);
        self.write_receipt(name, found, imported)
    }

    /// Forgets what was downloaded of a file so far.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn drop_part(&self, name: &str) -> Result<()> {
        remove_if_there(&self.part_path(name))?;
        self.set_tag(name, None)
    }

    /// Removes the file, what was downloaded of it, and all that is remembered; the bytes freed.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while it is being downloaded; what the disk says.
    pub(super) fn remove(&self, name: &str) -> Result<u64> {
        let _claim = self.claim(name)?;
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |there| there.len());
        let freed = length(&self.path(name)) + length(&self.part_path(name));
        remove_if_there(&self.path(name))?;
        remove_if_there(&self.receipt_path(name))?;
        self.drop_part(name)?;
        Ok(freed)
    }

    /// Files the user brought: name and what is remembered of it.
    pub(super) fn brought(&self) -> Vec<(String, Brought)> {
        let Ok(files) = std::fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut brought: Vec<_> = files
            .flatten()
            .filter_map(|file| file.file_name().into_string().ok())
            .filter(|name| kind_of(name).is_some())
            .filter_map(|name| {
                let imported = self.receipt(&name)?.imported?;
                Some((name, imported))
            })
            .collect();
        brought.sort_by_cached_key(|(name, _)| stem_of(name));
        brought
    }

    fn receipt(&self, name: &str) -> Option<Receipt> {
        let bytes = read_bounded(&self.receipt_path(name), MAX_NOTE_BYTES).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write_receipt(&self, name: &str, found: Sha256, imported: Option<Brought>) -> Result<()> {
        let path = self.path(name);
        let metadata = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?;
        let receipt =
            Receipt { bytes: metadata.len(), modified_ns: modified_ns(&metadata), found, imported };
        write_atomically(&self.receipt_path(name), |file| {
            serde_json::to_writer(file, &receipt).map_err(io::Error::from)
        })
    }
}

impl Receipt {
    /// Whether the file has not changed since.
    fn is_of(&self, metadata: &std::fs::Metadata) -> bool {
        self.bytes == metadata.len() && self.modified_ns == modified_ns(metadata)
    }
}

fn judge(file: &ModelFile, found: Sha256) -> FileState {
    if found == file.sha256 {
        return FileState::Good;
    }
    let name = &file.name;
    FileState::Damaged(match hash_in_name(name) {
        Some(start) => format!("The SHA-256 of “{name}” should begin with {start}, but is {found}"),
        None => format!("The SHA-256 of “{name}” should be {}, but is {found}", file.sha256),
    })
}

fn modified_ns(metadata: &std::fs::Metadata) -> u64 {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes a rename outlast a power cut where the system lets folders be synced. Where it does not,
/// the file is at worst downloaded again.
fn sync_folder(dir: &Path) {
    #[cfg(unix)]
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    #[cfg(not(unix))]
    let _ = dir;
}
