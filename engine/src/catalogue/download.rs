//! Downloading one file: goes on where an earlier try stopped, believes nothing but the hash, and
//! never writes more than the file is long.

use ureq::http::StatusCode;

use super::{
    digest::BLOCK_BYTES,
    folder::{FileState, Folder},
    manifest::{ModelFile, hash_in_name, starts_with},
    network::{Answer, Network, Request, Stop, Trouble, ask},
    part::Part,
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{NoProgress, Progress},
    store::size_text,
};

/// Told how a download goes.
pub(super) trait Watcher: Sync {
    /// `bytes` of the file are here, `fresh` of them since the last call over the network.
    fn bytes(&self, bytes: u64, fresh: u64);
}

/// Where to, by which way and who watches.
pub(super) struct Download<'a> {
    pub(super) folder: &'a Folder,
    pub(super) network: &'a Network,
    pub(super) stop: &'a Stop,
    pub(super) watcher: &'a dyn Watcher,
}

impl Download<'_> {
    /// Gets `file`, checks it and puts it in its place. Does nothing if it is there and right.
    ///
    /// # Errors
    /// [`ErrorKind::Network`], [`ErrorKind::Damaged`] for other bytes than expected,
    /// [`ErrorKind::DiskFull`], [`ErrorKind::Busy`], [`ErrorKind::Cancelled`]; what came so far is
    /// kept unless it cannot be right.
    pub(super) fn run(&self, file: &ModelFile) -> Result<()> {
        let Some(url) = &file.url else {
            let what = format!("“{}” was brought by you and cannot be downloaded", file.name);
            return Err(Error::new(ErrorKind::Invalid, what)
                .advice("Import it again from where you have it"));
        };
        let _claim = self.folder.claim(&file.name)?;
        // Another process may have been faster, or the user copied the file there.
        if self.folder.check(file, &Stopping(self.stop))? == FileState::Good {
            self.watcher.bytes(file.bytes, 0);
            return Ok(());
        }
        let mut part = Part::open(self.folder, file, |bytes| {
            self.watcher.bytes(bytes, 0);
            self.stop.go_on()
        })?;
        self.folder.require_room(file.bytes - part.bytes)?;
        let complete = self.complete(file, url, &mut part);
        complete.map_err(|error| with_way_out(error, url, part.bytes))?;
        part.finish()
    }

    /// Asks again and again, as long as it helps, until `part` is the whole file.
    fn complete(&self, file: &ModelFile, url: &str, part: &mut Part) -> Result<()> {
        let mut tries_left = self.network.retries;
        let mut was_restarted = false;
        loop {
            let before = part.bytes;
            let trouble = match self.transfer(file, url, part) {
                Ok(()) if part.value() == file.sha256 => return Ok(()),
                Ok(()) => {
                    part.restart()?;
                    // What was there before may have been wrong, or of another version.
                    let passing = before > 0 && !std::mem::replace(&mut was_restarted, true);
                    Trouble { error: wrong_content(file, url), passing }
                }
                Err(trouble) => trouble,
            };
            if part.bytes > before {
                tries_left = self.network.retries;
            }
            if !trouble.passing || tries_left == 0 {
                return Err(trouble.error);
            }
            tracing::debug!(error = %trouble.error, kept = part.bytes, "trying again");
            let in_a_row = self.network.retries - tries_left;
            self.stop.wait(self.network.pause * 2u32.saturating_pow(in_a_row.min(5)))?;
            tries_left -= 1;
        }
    }

    /// One request for what is missing.
    fn transfer(&self, file: &ModelFile, url: &str, part: &mut Part) -> Result<(), Trouble> {
        if part.bytes == file.bytes {
            return Ok(());
        }
        let tag = self.folder.tag(&file.name);
        let request = Request { url, from: part.bytes, tag: tag.as_deref() };
        let answer = ask(self.network, self.stop, request)?;
        accept(&answer, file, url, part)?;
        self.folder.set_tag(&file.name, answer.tag().as_deref())?;

        let mut body = answer.into_reader();
        let mut block = vec![0; BLOCK_BYTES];
        while part.bytes < file.bytes {
            let most = usize::try_from(file.bytes - part.bytes).unwrap_or(usize::MAX);
            let most = most.min(block.len());
            let read = body.read(&mut block[..most])?;
            if read == 0 {
                let what =
                    format!("The connection ended after {} of {} bytes", part.bytes, file.bytes);
                let error = Error::new(ErrorKind::Network, what);
                return Err(Trouble { error, passing: true });
            }
            part.append(&block[..read])?;
            self.watcher.bytes(part.bytes, read as u64);
        }
        Ok(())
    }
}

/// Whether the body of `answer` is what is missing of `file`; starts `part` afresh when it is the
/// whole file.
fn accept(
    answer: &Answer<'_>,
    file: &ModelFile,
    url: &str,
    part: &mut Part,
) -> Result<(), Trouble> {
    let host = answer.host();
    let status = answer.status();
    let offered = match status {
        StatusCode::OK => {
            part.restart()?;
            answer.body_bytes()
        }
        StatusCode::PARTIAL_CONTENT => {
            let (first, whole) = answer.range().unwrap_or((u64::MAX, None));
            if first != part.bytes {
                part.restart()?;
                let what = format!("{host} sent another part of the file than asked for");
                return Err(Trouble { error: Error::new(ErrorKind::Network, what), passing: true });
            }
            whole
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            let what = format!("{host} cannot go on in the middle of the file");
            return Err(Trouble { error: Error::new(ErrorKind::Network, what), passing: true });
        }
        _ => {
            let passing = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT
                        | StatusCode::TOO_EARLY
                        | StatusCode::TOO_MANY_REQUESTS
                );
            let what = format!("{host} answers “{status}” to the request for {url}");
            return Err(Trouble { error: Error::new(ErrorKind::Network, what), passing });
        }
    };
    match offered {
        Some(bytes) if bytes != file.bytes => {
            let what = format!("{host} offers a file of {bytes} bytes where {} belong", file.bytes);
            Err(Error::new(ErrorKind::Damaged, what).into())
        }
        _ => Ok(()),
    }
}

/// A [`Stop`] for those who ask a [`Progress`].
struct Stopping<'a>(&'a Stop);

impl Progress for Stopping<'_> {
    fn report(&self, done: f32) {
        NoProgress.report(done);
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_stopped()
    }
}

fn wrong_content(file: &ModelFile, url: &str) -> Error {
    let start = hash_in_name(&file.name).filter(|start| starts_with(file.sha256, start));
    let expected = start.map_or_else(|| file.sha256.to_string(), ToOwned::to_owned);
    Error::new(
        ErrorKind::Damaged,
        format!("What came from {url} is not the expected file: its SHA-256 is not {expected}"),
    )
}

/// Says what was kept and what to do, where the error does not.
fn with_way_out(mut error: Error, url: &str, kept_bytes: u64) -> Error {
    error.kept.get_or_insert_with(|| match kept_bytes {
        0 => "What is installed is as it was".to_owned(),
        bytes => format!("{} are here; the next try goes on from there", size_text(bytes)),
    });
    let by_hand = format!("Or get {url} in another way and run: stemhive models import FILE");
    match error.kind {
        ErrorKind::Network => {
            error.advice(format!("Check the connection to the internet and try again. {by_hand}"))
        }
        ErrorKind::Damaged => {
            error.advice(format!("Try again later: the server has another file. {by_hand}"))
        }
        _ => error,
    }
}
