//! The cache folder: decoded songs and separation jobs, each a folder of its own, under one cap.
//!
//! ```text
//! songs/<64 hex digits>/   a decoded song        jobs/<64 hex digits>/   a separation
//! incoming/<pid>-<n>/      being filled          in-use/<kind>-<name>    empty files
//! ```
//! A file in `in-use` stands for one folder. Whoever uses the folder holds a shared lock on it,
//! whoever removes the folder an exclusive one, so that several running Stemhives never pull a
//! folder from under each other and a crash frees what it held. The file's modification time is
//! the folder's last use. Only folders named like ours are ever removed.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::error::{Error, ErrorKind, Result};

/// What a folder in the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A decoded song.
    Song,
    /// A separation job, finished or not.
    Job,
    /// A song being decoded.
    Incoming,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Song, Self::Job, Self::Incoming];

    fn folder(self) -> &'static str {
        match self {
            Self::Song => "songs",
            Self::Job => "jobs",
            Self::Incoming => "incoming",
        }
    }

    /// Whether `name` can be the name of a folder of ours; anything else is left alone.
    fn is_name(self, name: &str) -> bool {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Song | Self::Job => {
                name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
            Self::Incoming => name.split_once('-').is_some_and(|(a, b)| digits(a) && digits(b)),
        }
    }
}

/// One folder of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it holds.
    pub kind: Kind,
    /// Its name: the id or key in hex.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was last opened.
    pub last_used: SystemTime,
}

/// How full the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Decoded songs.
    pub songs: usize,
    /// Their bytes.
    pub song_bytes: u64,
    /// Separations, finished or not.
    pub jobs: usize,
    /// Their bytes.
    pub job_bytes: u64,
    /// Bytes of songs being decoded now.
    pub incoming_bytes: u64,
    /// Most bytes the cache may hold.
    pub cap_bytes: u64,
}

impl Usage {
    /// Bytes in use altogether.
    pub fn total_bytes(&self) -> u64 {
        self.song_bytes + self.job_bytes + self.incoming_bytes
    }
}

/// Keeps one folder from being removed, in this and every other process, for as long as it lives.
#[derive(Debug)]
pub struct Pin {
    _lock: File,
}

/// A folder for a song being decoded; removed when this is dropped.
#[derive(Debug)]
pub struct Incoming {
    dir: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Incoming {
    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Whatever cannot be removed now is removed by the next start.
        let _ = std::fs::remove_dir_all(&self.dir);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

/// The cache folder.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    cap_bytes: AtomicU64,
}

impl Cache {
    /// Opens the cache in `dir`, creating it where needed, and removes what crashed runs left
    /// half decoded.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(dir: &Path, cap_bytes: u64) -> Result<Self> {
        let cache = Self { dir: dir.to_owned(), cap_bytes: AtomicU64::new(cap_bytes) };
        for folder in Kind::ALL.map(Kind::folder).into_iter().chain(["in-use"]) {
            let path = dir.join(folder);
            std::fs::create_dir_all(&path).map_err(|e| {
                Error::io("create the cache folder", &path, e)
                    .advice("Choose another cache folder with --cache-dir or in the settings")
            })?;
        }
        // Tells backup programs to leave this folder out (https://bford.info/cachedir/).
        let tag = dir.join("CACHEDIR.TAG");
        if !tag.exists() {
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n# Stemhive's cache\n";
            std::fs::write(&tag, text).map_err(|e| Error::io("write", &tag, e))?;
        }
        for stale in cache.entries_of(Kind::Incoming) {
            cache.remove(&stale);
        }
        Ok(cache)
    }

    /// Where the cache is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Most bytes it may hold.
    pub fn cap_bytes(&self) -> u64 {
        self.cap_bytes.load(Ordering::Relaxed)
    }

    /// Changes the cap; takes effect when room is made next.
    pub fn set_cap_bytes(&self, cap_bytes: u64) {
        self.cap_bytes.store(cap_bytes, Ordering::Relaxed);
    }

    /// Where the folder called `name` lies, there or not.
    pub fn path(&self, kind: Kind, name: &str) -> PathBuf {
        self.dir.join(kind.folder()).join(name)
    }

    /// Whether there is a folder called `name`.
    pub fn contains(&self, kind: Kind, name: &str) -> bool {
        kind.is_name(name) && self.path(kind, name).is_dir()
    }

    /// A fresh folder for a song to be decoded into.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn incoming(&self) -> Result<Incoming> {
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        for attempt in 0..1000 {
            let name = format!("{}-{}", std::process::id(), unique + attempt);
            let dir = self.path(Kind::Incoming, &name);
            let lock_path = self.lock_path(Kind::Incoming, &name);
            // The lock comes first: a folder without one is taken for a crashed run's.
            let lock = open_lock(&lock_path)?;
            if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
                continue;
            }
            match std::fs::create_dir(&dir) {
                Ok(()) => return Ok(Incoming { dir, lock_path, _lock: lock }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    let _ = std::fs::remove_file(&lock_path);
                    return Err(Error::io("create", &dir, e));
                }
            }
        }
        Err(Error::new(ErrorKind::Internal, "No free name for a folder in the cache"))
    }

    /// Marks a folder as used now and keeps it from being removed while the pin lives. The folder
    /// need not be there yet; whether it is can be asked safely afterwards.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn pin(&self, kind: Kind, name: &str) -> Result<Pin> {
        let path = self.lock_path(kind, name);
        let lock = open_lock(&path)?;
        // Waits at most for a removal that is under way. File systems without locks are used
        // without protection from other processes.
        let _ = lock.lock_shared();
        let _ = lock.set_modified(SystemTime::now());
        Ok(Pin { _lock: lock })
    }

    /// Like [`Self::pin`], for the one who may write: `None` when someone else has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn claim(&self, kind: Kind, name: &str) -> Result<Option<Pin>> {
        let lock = open_lock(&self.lock_path(kind, &format!("{name}.writer")))?;
        Ok(match lock.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Ok(()) | Err(TryLockError::Error(_)) => Some(Pin { _lock: lock }),
        })
    }

    /// The folder called `name`, if it is there.
    pub fn entry(&self, kind: Kind, name: &str) -> Option<Entry> {
        self.contains(kind, name).then(|| self.describe(kind, name.to_owned()))
    }

    /// All songs and jobs, least recently used first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries_of(Kind::Song);
        entries.extend(self.entries_of(Kind::Job));
        entries.sort_by(|a, b| (a.last_used, &a.name).cmp(&(b.last_used, &b.name)));
        entries
    }

    /// How full it is. Walks the folder, so not for every frame of the window.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { cap_bytes: self.cap_bytes(), ..Usage::default() };
        for kind in Kind::ALL {
            for entry in self.entries_of(kind) {
                match kind {
                    Kind::Song => {
                        usage.songs += 1;
                        usage.song_bytes += entry.bytes;
                    }
                    Kind::Job => {
                        usage.jobs += 1;
                        usage.job_bytes += entry.bytes;
                    }
                    Kind::Incoming => usage.incoming_bytes += entry.bytes,
                }
            }
        }
        usage
    }

    /// Removes the songs and jobs used longest ago, never one that is in use, until
    /// `needed_bytes` more fit under the cap.
    ///
    /// # Errors
    /// [`ErrorKind::DiskFull`] when they do not fit even so.
    pub fn make_room(&self, needed_bytes: u64) -> Result<()> {
        let usage = self.usage();
        let mut total = usage.total_bytes();
        let fits = |total: u64| total.saturating_add(needed_bytes) <= usage.cap_bytes;
        if needed_bytes <= usage.cap_bytes {
            for entry in self.entries() {
                if fits(total) {
                    break;
                }
                if self.remove(&entry) {
                    tracing::info!(kind = ?entry.kind, name = entry.name, "removed from the cache");
                    total = total.saturating_sub(entry.bytes);
                }
            }
        }
        if fits(total) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::DiskFull,
            format!(
                "The cache has no room for {} more: it may hold {} and {} of it are in use",
                size_text(needed_bytes),
                size_text(usage.cap_bytes),
                size_text(total),
            ),
        )
        .kept("Everything separated so far is still there")
        .advice("Allow the cache more space in the settings or with --cache-size"))
    }

    /// Removes every song and job that nobody uses; returns the bytes freed and how many had to
    /// stay.
    pub fn clear(&self) -> (u64, usize) {
        let mut freed = 0;
        let mut kept = 0;
        for entry in self.entries() {
            if self.remove(&entry) {
                freed += entry.bytes;
            } else {
                kept += 1;
            }
        }
        (freed, kept)
    }

    /// Removes one folder unless it is in use; whether it is gone.
    pub fn remove(&self, entry: &Entry) -> bool {
        self.try_remove(entry).unwrap_or_else(|error| {
            tracing::warn!(%error, name = entry.name, "cannot remove from the cache");
            false
        })
    }

    fn try_remove(&self, entry: &Entry) -> Result<bool> {
        let path = self.path(entry.kind, &entry.name);
        let lock_path = self.lock_path(entry.kind, &entry.name);
        let lock = open_lock(&lock_path)?;
        if lock.try_lock().is_err() {
            return Ok(false);
        }
        // Moved away first, so that a crash half way leaves nothing that looks whole.
        if entry.kind == Kind::Incoming {
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
            // Names of incoming folders are never used twice, so nobody waits for this lock.
            let _ = std::fs::remove_file(&lock_path);
        } else {
            let moved = self.incoming().and_then(|doomed| {
                let target = doomed.dir().join("removed");
                std::fs::rename(&path, &target).map_err(|e| Error::io("remove", &path, e))
            });
            if moved.is_err() {
                // A full disk, the very reason to remove, may have no room for another folder.
                for description in ["song.json", "job.json"] {
                    let _ = std::fs::remove_file(path.join(description));
                }
                std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        Ok(true)
    }

    fn entries_of(&self, kind: Kind) -> Vec<Entry> {
        let Ok(folders) = std::fs::read_dir(self.dir.join(kind.folder())) else {
            return Vec::new();
        };
        folders
            .flatten()
            .filter(|folder| folder.file_type().is_ok_and(|t| t.is_dir()))
            .filter_map(|folder| folder.file_name().into_string().ok())
            .filter(|name| kind.is_name(name))
            .map(|name| self.describe(kind, name))
            .collect()
    }

    fn describe(&self, kind: Kind, name: String) -> Entry {
        let folder = self.path(kind, &name);
        let used = std::fs::metadata(self.lock_path(kind, &name));
        let last_used =
            used.or_else(|_| std::fs::metadata(&folder)).and_then(|metadata| metadata.modified());
        Entry {
            kind,
            name,
            bytes: folder_bytes(&folder),
            last_used: last_used.unwrap_or(UNIX_EPOCH),
        }
    }

    fn lock_path(&self, kind: Kind, name: &str) -> PathBuf {
        self.dir.join("in-use").join(format!("{}-{name}", kind.folder()))
    }
}

/// Bytes as people count a disk: "1.6 GB", "86 MB".
pub fn size_text(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(|e| Error::io("open", path, e))
}

/// Bytes of the files in `dir` and its sub-folders, of which ours have one layer.
fn folder_bytes(dir: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(dir) else {
        return 0;
    };
    files
        .flatten()
        .filter_map(|file| file.metadata().ok().map(|metadata| (file, metadata)))
        .map(
            |(file, metadata)| {
                if metadata.is_dir() { folder_bytes(&file.path()) } else { metadata.len() }
            },
        )
        .sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(digit: char) -> String {
        String::from(digit).repeat(64)
    }

    /// Puts a folder of `bytes` bytes into the cache, last used `age_secs` ago.
    fn put(cache: &Cache, kind: Kind, name: &str, bytes: usize, age_secs: u64) {
        let dir = cache.path(kind, name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("data"), vec![0; bytes]).unwrap();
        let lock = open_lock(&cache.lock_path(kind, name)).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(age_secs)).unwrap();
    }

    fn open(dir: &tempfile::TempDir, cap_bytes: u64) -> Cache {
        Cache::open(dir.path(), cap_bytes).unwrap()
    }

    #[test]
    fn making_room_removes_the_least_recently_used_and_no_more_than_needed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        put(&cache, Kind::Song, &name('a'), 300, 30);
        put(&cache, Kind::Job, &name('b'), 300, 20);
        put(&cache, Kind::Song, &name('c'), 300, 10);
        cache.make_room(100).unwrap();
        assert_eq!(cache.usage().total_bytes(), 900);
        cache.make_room(350).unwrap();
        let left: Vec<_> = cache.entries().into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, [name('b'), name('c')]);
    }

    #[test]
    fn what_is_pinned_stays_and_pinning_counts_as_use() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        put(&cache, Kind::Song, &name('a'), 400, 30);
        put(&cache, Kind::Song, &name('b'), 400, 20);
        // As another process would: by a handle of its own.
        let pin = open(&dir, 1000).pin(Kind::Song, &name('a')).unwrap();
        cache.make_room(500).unwrap();
        assert!(cache.contains(Kind::Song, &name('a')));
        assert!(!cache.contains(Kind::Song, &name('b')));

        let error = cache.make_room(700).unwrap_err();
        assert_eq!(error.kind, ErrorKind::DiskFull);
        assert!(error.kept.is_some() && error.advice.is_some());
        assert_eq!(cache.clear(), (0, 1));
        drop(pin);
        assert_eq!(cache.clear(), (400, 0));
        assert_eq!(cache.usage().total_bytes(), 0);
    }

    #[test]
    fn a_request_beyond_the_cap_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        put(&cache, Kind::Job, &name('a'), 400, 30);
        assert_eq!(cache.make_room(1001).unwrap_err().kind, ErrorKind::DiskFull);
        assert!(cache.contains(Kind::Job, &name('a')));
    }

    /// As on a disk so full that not even a folder can be made.
    #[test]
    fn what_cannot_be_moved_away_is_removed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        put(&cache, Kind::Song, &name('a'), 400, 30);
        std::fs::remove_dir(dir.path().join("incoming")).unwrap();
        assert_eq!(cache.clear(), (400, 0));
        assert!(!cache.contains(Kind::Song, &name('a')));
        let locks = std::fs::read_dir(dir.path().join("in-use")).unwrap();
        assert_eq!(locks.count(), 1, "that of the song");
    }

    #[test]
    fn only_one_may_write_a_job() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        let writer = cache.claim(Kind::Job, &name('a')).unwrap();
        assert!(writer.is_some());
        assert!(open(&dir, 1000).claim(Kind::Job, &name('a')).unwrap().is_none());
        drop(writer);
        assert!(cache.claim(Kind::Job, &name('a')).unwrap().is_some());
    }

    #[test]
    fn half_decoded_songs_of_dead_runs_go_and_those_of_live_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir, 1000);
        let live = cache.incoming().unwrap();
        std::fs::write(live.dir().join("mix.0.f32"), [0; 8]).unwrap();
        let dead = cache.path(Kind::Incoming, "4194304999-1");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("mix.0.f32"), [0; 8]).unwrap();

        let cache = open(&dir, 1000);
        assert!(live.dir().exists() && !dead.exists());
        assert_eq!(cache.usage().incoming_bytes, 8);
        drop(live);
        assert_eq!(cache.usage().incoming_bytes, 0);
        assert_eq!(std::fs::read_dir(dir.path().join("in-use")).unwrap().count(), 0);
    }

    #[test]
    fn folders_that_are_not_ours_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let album = dir.path().join("songs").join("Best of 1987");
        std::fs::create_dir_all(&album).unwrap();
        std::fs::write(album.join("01.flac"), [0; 100]).unwrap();
        let cache = open(&dir, 10);
        assert!(cache.make_room(10).is_ok());
        cache.clear();
        assert!(album.join("01.flac").exists());
    }
}
