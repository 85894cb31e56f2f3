//! The tickets that were made and may still come, in a file of the data folder, so that the window
//! can take a ticket that the command line printed. A ticket cannot be read from the file: it keeps
//! a hash of the secret, from which the proofs are made.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fs4::FileExt;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    remote::identity::write_secret,
    store::read_bounded,
};

/// Name of the file in a data folder.
const FILE: &str = "tickets.json";

/// Most bytes of that file.
const MAX_FILE_BYTES: u64 = 1 << 16;

/// How long a ticket is good.
pub const TICKET_LIFE: Duration = Duration::from_secs(15 * 60);

/// How long one is remembered, to say that it is too old or was used.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Most tickets in the file.
const MAX_TICKETS: usize = 64;

/// What is kept of a ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// See [`key_of`].
    key: [u8; 32],
    /// From then on it is good for nothing.
    expires: SystemTime,
    used: bool,
}

impl Entry {
    /// Neither used nor too old. A clock that was set back does not make it young again.
    fn is_living(&self, now: SystemTime) -> bool {
        let left = self.expires.duration_since(now).unwrap_or_default();
        !self.used && !left.is_zero() && left <= TICKET_LIFE
    }
}

/// What became of a ticket that somebody came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redeemed {
    /// It was good, and is used up now.
    Now,
    /// It was used before.
    Before,
    /// It is too old.
    TooOld,
    /// It is none of ours.
    Unknown,
}

/// The file of tickets. Everybody reads it anew and changes it under a lock.
#[derive(Debug, Clone)]
pub(super) struct Tickets {
    path: PathBuf,
}

impl Tickets {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE) }
    }

    /// Keeps a ticket that was made now.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when there are very many; what the disk says.
    pub(super) fn keep(&self, secret: &[u8; 16], now: SystemTime) -> Result<()> {
        self.edit(|entries| {
            entries.retain(|entry| now < entry.expires + MEMORY);
            if entries.len() >= MAX_TICKETS {
                // The oldest that is no use any more; they are in the order they were made.
                let Some(old) = entries.iter().position(|entry| !entry.is_living(now)) else {
                    let what = format!("{MAX_TICKETS} tickets wait to be used");
                    return Err(Error::new(ErrorKind::TooLarge, what)
                        .advice("Use one of them, or wait until they expire"));
                };
                entries.remove(old);
            }
            let expires = now + TICKET_LIFE;
            entries.push(Entry { key: key_of(secret), expires, used: false });
            Ok(())
        })
    }

    /// Whether any is good now.
    pub(super) fn is_any_good(&self, now: SystemTime) -> bool {
        // A file that cannot be read opens no door.
        self.read().is_ok_and(|entries| entries.iter().any(|entry| entry.is_living(now)))
    }

    /// Uses up the ticket whose key `is_it`: of all threads and processes that come with it, one is
    /// told [`Redeemed::Now`].
    ///
    /// # Errors
    /// What the disk says; the ticket is still good then.
    pub(super) fn redeem(
        &self,
        now: SystemTime,
        mut is_it: impl FnMut(&[u8; 32]) -> bool,
    ) -> Result<Redeemed> {
        self.edit(|entries| {
            let Some(entry) = entries.iter_mut().find(|entry| is_it(&entry.key)) else {
                return Ok(Redeemed::Unknown);
            };
            if entry.used {
                return Ok(Redeemed::Before);
            }
            if !entry.is_living(now) {
                return Ok(Redeemed::TooOld);
            }
            entry.used = true;
            Ok(Redeemed::Now)
        })
    }

    fn edit<T>(&self, how: impl FnOnce(&mut Vec<Entry>) -> Result<T>) -> Result<T> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        let lock_path = self.path.with_extension("lock");
        let _lock = fs::File::create(&lock_path)
            .and_then(|file| FileExt::lock(&file).map(|()| file))
            .map_err(|e| Error::io("lock", &lock_path, e))?;
        let before = self.read()?;
        let mut entries = before.clone();
        let answer = how(&mut entries)?;
        if entries != before {
            self.write(&entries)?;
        }
        Ok(answer)
    }

    fn read(&self) -> Result<Vec<Entry>> {
        let bytes = match read_bounded(&self.path, MAX_FILE_BYTES) {
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes?,
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("The list of tickets in “{}” is damaged", self.path.display());
            Error::new(ErrorKind::Damaged, what).caused_by(e).advice("Delete it")
        })
    }

    /// Only under the lock.
    fn write(&self, entries: &[Entry]) -> Result<()> {
        let bytes = serde_json::to_vec(entries).map_err(|e| {
            Error::new(ErrorKind::Internal, "The list of tickets cannot be written").caused_by(e)
        })?;
        let new = self.path.with_extension("new");
        // Left over where a process was killed here.
        let _ = fs::remove_file(&new);
        write_secret(&new, &bytes)
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

/// What both computers make their proofs from.
pub(super) fn key_of(secret: &[u8; 16]) -> [u8; 32] {
    blake3::derive_key("stemhive pairing 1, a ticket", secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets() -> (tempfile::TempDir, Tickets) {
        let dir = tempfile::tempdir().unwrap();
        let tickets = Tickets::new(dir.path());
        (dir, tickets)
    }

    fn redeem(tickets: &Tickets, secret: &[u8; 16], now: SystemTime) -> Redeemed {
        tickets.redeem(now, |key| *key == key_of(secret)).unwrap()
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_quarter_of_an_hour() {
        let (_dir, tickets) = tickets();
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        assert!(!tickets.is_any_good(now));
        tickets.keep(&[1; 16], now).unwrap();
        tickets.keep(&[2; 16], now).unwrap();
        assert!(tickets.is_any_good(now + TICKET_LIFE - second));
        assert!(!tickets.is_any_good(now + TICKET_LIFE));
        assert!(!tickets.is_any_good(now - second), "the clock was set back");
        assert_eq!(redeem(&tickets, &[3; 16], now), Redeemed::Unknown);
        assert_eq!(redeem(&tickets, &[1; 16], now + TICKET_LIFE), Redeemed::TooOld);
        assert_eq!(redeem(&tickets, &[1; 16], now), Redeemed::Now);
        assert_eq!(redeem(&tickets, &[1; 16], now), Redeemed::Before);
        assert_eq!(redeem(&tickets, &[2; 16], now), Redeemed::Now);
        assert!(!tickets.is_any_good(now));
        tickets.keep(&[4; 16], now + TICKET_LIFE + MEMORY).unwrap();
        assert_eq!(redeem(&tickets, &[1; 16], now), Redeemed::Unknown, "forgotten in time");
    }

    #[test]
    fn of_many_at_once_one_redeems_a_ticket() {
        let (dir, tickets) = tickets();
        let now = SystemTime::now();
        for round in 0..10 {
            tickets.keep(&[round; 16], now).unwrap();
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                // Each with a lock of its own on the file, as another process has.
                let racer = || redeem(&Tickets::new(dir.path()), &[round; 16], now);
                let racers: Vec<_> = (0..8).map(|_| scope.spawn(racer)).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).collect()
            });
            assert_eq!(outcomes.iter().filter(|o| **o == Redeemed::Now).count(), 1);
            assert_eq!(outcomes.iter().filter(|o| **o == Redeemed::Before).count(), 7);
        }
    }

    #[test]
    fn the_file_is_its_owners_alone_bounded_and_does_not_hold_the_secret() {
        let (dir, tickets) = tickets();
        let now = SystemTime::now();
        for n in 0..MAX_TICKETS as u8 {
            tickets.keep(&[n; 16], now).unwrap();
        }
        assert_eq!(tickets.keep(&[99; 16], now).unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(redeem(&tickets, &[5; 16], now), Redeemed::Now);
        tickets.keep(&[99; 16], now).unwrap();
        assert_eq!(tickets.read().unwrap().len(), MAX_TICKETS);

        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert!((text.len() as u64) < MAX_FILE_BYTES);
        let secret = serde_json::to_string(&[99_u8; 16]).unwrap();
        assert!(!text.contains(secret.trim_matches(['[', ']'])));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "[{").unwrap();
        assert!(!tickets.is_any_good(now), "a damaged file opens no door");
    }
}
