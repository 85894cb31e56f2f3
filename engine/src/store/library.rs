//! The library: which files, songs and separations this computer has seen (SQLite).
//!
//! It is a convenience. Losing it loses the list of recent songs and makes files decode once more;
//! songs and stems are in the cache and do not need it. So a library that cannot be read is set
//! aside and a fresh one takes its place, and one that cannot even be made lives in memory.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audio::WORK_RATE_HZ,
    error::{Error, ErrorKind, Result},
    song::{SongId, SongInfo},
    waveform::Waveform,
};

/// Schema changes in order; `user_version` counts how many a database has seen.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE songs (
        id BLOB PRIMARY KEY,
        title TEXT NOT NULL,
        artist TEXT,
        path TEXT NOT NULL,
        duration_secs REAL NOT NULL,
        opened_at REAL NOT NULL,
        peaks BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX songs_by_time ON songs (opened_at);
    CREATE TABLE files (
        hash BLOB NOT NULL,
        decoder_version INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        song BLOB NOT NULL,
        info TEXT NOT NULL,
        PRIMARY KEY (hash, decoder_version)
    ) WITHOUT ROWID;
    CREATE INDEX files_by_size ON files (bytes);
    CREATE TABLE jobs (
        key TEXT PRIMARY KEY,
        song BLOB NOT NULL,
        model TEXT NOT NULL,
        updated_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_song ON jobs (song);
"];

/// How long to wait for another Stemhive that is writing.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Columns of a song's small picture.
const PICTURE_COLUMNS: usize = 96;

/// What is remembered of a file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownFile {
    /// The song they decode to.
    pub song: SongId,
    /// What the file says about itself; the path is where it was seen last.
    pub info: SongInfo,
}

/// A song that was opened before.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSong {
    /// Content id.
    pub id: SongId,
    /// Title.
    pub title: String,
    /// Artist.
    pub artist: Option<String>,
    /// The file it was opened from last.
    pub path: PathBuf,
    /// Length in seconds.
    pub duration_secs: f64,
    /// When it was opened last.
    pub opened_at: SystemTime,
    /// Peaks for a small picture, left to right, 0.0..=1.0.
    pub peaks: Vec<f32>,
    /// Its separations, the one worked on last first.
    pub jobs: Vec<KnownJob>,
}

/// A separation that was begun before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownJob {
    /// Key in the cache.
    pub key: String,
    /// Name of the model.
    pub model: String,
}

/// The library.
#[derive(Debug)]
pub struct Library {
    connection: Mutex<Connection>,
}

impl Library {
    /// Opens `library.sqlite` in `data_dir`, making it where needed. It always opens: the second
    /// value says, for the user, what could not be used and where it was put.
    ///
    /// # Errors
    /// Only when SQLite has no memory left.
    pub fn open(data_dir: &Path) -> Result<(Self, Option<Error>)> {
        let path = data_dir.join("library.sqlite");
        let problem = match std::fs::create_dir_all(data_dir) {
            Err(e) => Error::io("create", data_dir, e),
            Ok(()) => {
                match connect(&path) {
                    Ok(connection) => return Ok((Self::with(connection), None)),
                    Err(error) if error.kind == ErrorKind::Damaged => {
                        let aside = set_aside(&path);
                        let fresh = aside.and_then(|aside| Ok((connect(&path)?, aside)));
                        match fresh {
                            Ok((connection, aside)) => {
                                let notice = error
                                .kept(format!(
                                    "Songs and stems are untouched; the old list is in “{}”",
                                    aside.display()
                                ))
                                .advice("Open your songs again; finished ones need no new separation");
                                return Ok((Self::with(connection), Some(notice)));
                            }
                            Err(error) => error,
                        }
                    }
                    Err(error) => error,
                }
            }
        };
        let mut connection = Connection::open_in_memory().map_err(|e| failed(&path, e))?;
        migrate(&mut connection).map_err(|e| failed(&path, e))?;
        let notice = problem
            .kept("Songs and stems are untouched")
            .advice("Recent songs are remembered only until Stemhive is closed");
        Ok((Self::with(connection), Some(notice)))
    }

    fn with(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    /// Whether a file of this size was ever remembered; if not, hashing one is in vain.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn knows_size(&self, bytes: u64) -> Result<bool> {
        self.run(|db| {
            db.query_row(
                "SELECT EXISTS (SELECT 1 FROM files WHERE bytes = ?1)",
                [i64::try_from(bytes).unwrap_or(i64::MAX)],
                |row| row.get(0),
            )
        })
    }

    /// The song that a file with this BLAKE3 decodes to.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn file(&self, hash: &[u8; 32], decoder_version: u32) -> Result<Option<KnownFile>> {
        let row = self.run(|db| {
            db.query_row(
                "SELECT song, info FROM files WHERE hash = ?1 AND decoder_version = ?2",
                params![hash.as_slice(), decoder_version],
                |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, String>(1)?)),
            )
            .optional()
        })?;
        // What cannot be understood counts as unknown: the file is decoded and remembered anew.
        Ok(row.and_then(|(song, info)| {
            Some(KnownFile { song: SongId(song), info: serde_json::from_str(&info).ok()? })
        }))
    }

    /// Remembers which song a file with this BLAKE3 decodes to.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn remember_file(
        &self,
        hash: &[u8; 32],
        bytes: u64,
        decoder_version: u32,
        song: SongId,
        info: &SongInfo,
    ) -> Result<()> {
        let info =
            SongInfo { path: info.path.to_string_lossy().into_owned().into(), ..info.clone() };
        let json = serde_json::to_string(&info).map_err(|e| {
            Error::new(ErrorKind::Internal, "Cannot describe the song").caused_by(e)
        })?;
        self.run(|db| {
            db.execute(
                "INSERT OR REPLACE INTO files (hash, decoder_version, bytes, song, info)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    hash.as_slice(),
                    decoder_version,
                    i64::try_from(bytes).unwrap_or(i64::MAX),
                    song.0.as_slice(),
                    json,
                ],
            )
        })?;
        Ok(())
    }

    /// Puts a song on top of the recent ones; `waveform` is drawn as its small picture.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn remember_song(&self, id: SongId, info: &SongInfo, waveform: &Waveform) -> Result<()> {
        let mut columns = Vec::new();
        waveform.columns(0.0..waveform.frames() as f64, PICTURE_COLUMNS, &mut columns);
        let peaks: Vec<u8> = columns
            .iter()
            .map(|column| (column.max.max(-column.min).clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect();
        let duration_secs = waveform.frames() as f64 / f64::from(WORK_RATE_HZ);
        self.run(|db| {
            db.execute(
                "INSERT OR REPLACE INTO songs
                 (id, title, artist, path, duration_secs, opened_at, peaks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    id.0.as_slice(),
                    info.title,
                    info.artist,
                    info.path.to_string_lossy(),
                    duration_secs,
                    secs_since_epoch(SystemTime::now()),
                    peaks,
                ],
            )
        })?;
        Ok(())
    }

    /// Remembers that a separation of a song was begun; how far it is, its folder tells.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn remember_job(&self, key: &str, song: SongId, model: &str) -> Result<()> {
        self.run(|db| {
            db.execute(
                "INSERT OR REPLACE INTO jobs (key, song, model, updated_at)
                 VALUES (?1, ?2, ?3, ?4)",
                params![key, song.0.as_slice(), model, secs_since_epoch(SystemTime::now())],
            )
        })?;
        Ok(())
    }

    /// The songs opened last, at most `limit`.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn recent(&self, limit: u32) -> Result<Vec<KnownSong>> {
        self.run(|db| {
            let mut songs = db.prepare_cached(
                "SELECT id, title, artist, path, duration_secs, opened_at, peaks FROM songs
                 ORDER BY opened_at DESC LIMIT ?1",
            )?;
            let mut jobs = db.prepare_cached(
                "SELECT key, model FROM jobs WHERE song = ?1 ORDER BY updated_at DESC",
            )?;
            songs
                .query_map([limit], |row| {
                    let id: [u8; 32] = row.get(0)?;
                    let jobs = jobs.query_map([id.as_slice()], |row| {
                        Ok(KnownJob { key: row.get(0)?, model: row.get(1)? })
                    })?;
                    let opened_secs: f64 = row.get(5)?;
                    Ok(KnownSong {
                        id: SongId(id),
                        title: row.get(1)?,
                        artist: row.get(2)?,
                        path: PathBuf::from(row.get::<_, String>(3)?),
                        duration_secs: row.get(4)?,
                        opened_at: UNIX_EPOCH
                            + Duration::try_from_secs_f64(opened_secs).unwrap_or_default(),
                        peaks: row
                            .get::<_, Vec<u8>>(6)?
                            .into_iter()
                            .map(|peak| f32::from(peak) / 255.0)
                            .collect(),
                        jobs: jobs.collect::<rusqlite::Result<_>>()?,
                    })
                })?
                .collect()
        })
    }

    /// Takes a song off the recent ones; what the cache holds of it stays.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn forget_song(&self, id: SongId) -> Result<()> {
        self.run(|db| db.execute("DELETE FROM songs WHERE id = ?1", [id.0.as_slice()]))?;
        Ok(())
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection: MutexGuard<'_, Connection> =
            self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection)
            .map_err(|e| failed(Path::new(connection.path().unwrap_or("in memory")), e))
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_WAIT)?;
        // Cheap at our sizes, and finds damage now before anything is written.
        let verdict: String =
            connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if verdict != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(code, Some(verdict)));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        migrate(&mut connection)?;
        Ok(connection)
    };
    open().map_err(|e| failed(path, e))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let seen: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let current = MIGRATIONS.len() as u32;
    if seen > current {
        // A later Stemhive's. It is not ours to change.
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        let what = "it was made by a newer Stemhive".to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(what)));
    }
    if seen == current {
        return Ok(());
    }
    for migration in &MIGRATIONS[seen as usize..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", current)?;
    transaction.commit()
}

/// Renames a damaged library, with what belongs to it, to the first free name.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = (1u32..)
        .map(|n| path.with_file_name(format!("library.damaged-{n}.sqlite")))
        .find(|name| !name.exists())
        .unwrap_or_else(|| path.with_extension("damaged"));
    std::fs::rename(path, &aside).map_err(|e| Error::io("rename", path, e))?;
    for suffix in ["-wal", "-shm"] {
        let with = |base: &Path| {
            let mut name = base.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        // They may not exist.
        let _ = std::fs::rename(with(path), with(&aside));
    }
    Ok(aside)
}

fn failed(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let kind = match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorKind::Damaged,
        Some(Code::DiskFull) => ErrorKind::DiskFull,
        Some(Code::PermissionDenied | Code::ReadOnly) => ErrorKind::Denied,
        _ => ErrorKind::Io,
    };
    let what = match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => "is locked by another program".into(),
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => "is damaged".into(),
        _ => format!("cannot be used: {error}"),
    };
    Error::new(kind, format!("The list of songs “{}” {what}", path.display())).caused_by(error)
}

fn secs_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::StreamSpec;

    fn info(title: &str) -> SongInfo {
        SongInfo {
            path: format!("/music/{title}.mp3").into(),
            title: title.into(),
            artist: Some("Ärtist".into()),
            album: None,
            codec: "MP3".into(),
            bitrate_bps: Some(320_000),
            bits_per_sample: None,
            source: StreamSpec { sample_rate_hz: 48_000, channels: 1 },
            source_frames: Some(96_000),
            cover: None,
        }
    }

    fn waveform(secs: f64) -> Waveform {
        let waveform = Waveform::new();
        waveform.extend(0, &[vec![-0.5; (secs * f64::from(WORK_RATE_HZ)) as usize]]);
        waveform
    }

    fn open(dir: &tempfile::TempDir) -> Library {
        let (library, problem) = Library::open(dir.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        library
    }

    #[test]
    fn what_is_remembered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let library = open(&dir);
        let (old, new) = (SongId([1; 32]), SongId([2; 32]));
        library.remember_song(old, &info("old"), &waveform(1.5)).unwrap();
        library.remember_song(new, &info("new"), &waveform(2.5)).unwrap();
        library.remember_job("b", new, "spectral").unwrap();
        library.remember_job("a", new, "other").unwrap();
        library.remember_job("b", new, "spectral").unwrap();
        library.remember_file(&[9; 32], 77, 3, old, &info("old")).unwrap();
        drop(library);

        let library = open(&dir);
        let recent = library.recent(10).unwrap();
        let titles: Vec<_> = recent.iter().map(|song| song.title.as_str()).collect();
        assert_eq!(titles, ["new", "old"]);
        let jobs = ["b spectral", "a other"];
        let found: Vec<_> =
            recent[0].jobs.iter().map(|job| format!("{} {}", job.key, job.model)).collect();
        assert_eq!(found, jobs);
        assert_eq!(recent[1].jobs, []);
        assert_eq!(recent[1].duration_secs, 1.5);
        assert_eq!(
            library.file(&[9; 32], 3).unwrap(),
            Some(KnownFile { song: old, info: info("old") })
        );
        assert_eq!(library.file(&[9; 32], 4).unwrap(), None);
        assert!(library.knows_size(77).unwrap() && !library.knows_size(78).unwrap());
        assert_eq!(recent[1].peaks.len(), PICTURE_COLUMNS);
        assert!(recent[1].peaks.iter().all(|peak| (peak - 0.5).abs() < 0.01));
        assert_eq!(library.recent(1).unwrap().len(), 1);

        library.remember_song(old, &info("old"), &waveform(1.5)).unwrap();
        assert_eq!(library.recent(1).unwrap()[0].id, old);
        library.forget_song(old).unwrap();
        assert_eq!(library.recent(10).unwrap().len(), 1);
    }

    #[test]
    fn two_programs_may_use_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (open(&dir), open(&dir));
        std::thread::scope(|scope| {
            for (library, song) in [(&a, 1), (&b, 2)] {
                scope.spawn(move || {
                    for done in 0..50 {
                        library
                            .remember_song(SongId([song; 32]), &info("x"), &waveform(1.0))
                            .unwrap();
                        let key = format!("{song} {done}");
                        library.remember_job(&key, SongId([song; 32]), "spectral").unwrap();
                    }
                });
            }
        });
        let jobs: Vec<_> = a.recent(10).unwrap().iter().map(|song| song.jobs.len()).collect();
        assert_eq!(jobs, [50, 50]);
    }

    #[test]
    fn a_damaged_library_is_set_aside_and_a_fresh_one_works() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library.sqlite");
        open(&dir).remember_song(SongId([1; 32]), &info("song"), &waveform(1.0)).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut overwritten = good.clone();
        overwritten[4096..].fill(0x55);
        for (nth, bad) in [b"not a database, far from it".to_vec(), overwritten].iter().enumerate()
        {
            std::fs::write(&path, bad).unwrap();
            let (library, problem) = Library::open(dir.path()).unwrap();
            let problem = problem.expect("the damage is told");
            assert_eq!(problem.kind, ErrorKind::Damaged);
            assert!(problem.kept.is_some() && problem.advice.is_some());
            let aside = dir.path().join(format!("library.damaged-{}.sqlite", nth + 1));
            assert!(&std::fs::read(aside).unwrap() == bad, "case {nth} changed");
            library.remember_song(SongId([2; 32]), &info("after"), &waveform(1.0)).unwrap();
            drop(library);
            assert_eq!(open(&dir).recent(5).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_locked_or_newer_library_is_left_alone_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library.sqlite");
        drop(open(&dir));

        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        let (library, problem) = Library::open(dir.path()).unwrap();
        assert!(problem.unwrap().what.contains("locked"));
        library.remember_song(SongId([1; 32]), &info("song"), &waveform(1.0)).unwrap();
        assert_eq!(library.recent(5).unwrap().len(), 1);
        drop(other);
        assert_eq!(open(&dir).recent(5).unwrap().len(), 0);

        Connection::open(&path).unwrap().pragma_update(None, "user_version", 1000).unwrap();
        let (_, problem) = Library::open(dir.path()).unwrap();
        assert!(problem.unwrap().what.contains("newer"));
        let version: u32 = Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, 1000);
    }

    #[test]
    fn without_a_folder_it_lives_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let (library, problem) = Library::open(&blocked.join("data")).unwrap();
        assert!(problem.is_some());
        library.remember_song(SongId([1; 32]), &info("song"), &waveform(1.0)).unwrap();
        assert_eq!(library.recent(5).unwrap().len(), 1);
    }
}
