//! The one error type of the engine.

use std::path::Path;

/// Result with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; decides icon, exit status and whether retrying makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or song is not there.
    NotFound,
    /// The system does not let us read or write it.
    Denied,
    /// The bytes are not a kind of audio, or of model, that we can read.
    Unsupported,
    /// The file claims to be of a kind we know but its content is damaged.
    Damaged,
    /// The file is locked by copy protection.
    Protected,
    /// The disk, or the cache's share of it, is full.
    DiskFull,
    /// The target exists and overwriting was not asked for.
    Exists,
    /// The request itself makes no sense (unknown stem, empty range, bad template…).
    Invalid,
    /// A size is beyond what the format or this program allows.
    TooLarge,
    /// Someone else is using it right now.
    Busy,
    /// A server, or the way to it, does not do what it should.
    Network,
    /// The work was cancelled by the user.
    Cancelled,
    /// Any other failure of reading or writing.
    Io,
    /// A bug of ours: a worker thread panicked, an invariant did not hold.
    Internal,
}

/// What happened, what was kept, what to do; three lines the user can read.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    /// Kind for code that must decide.
    pub kind: ErrorKind,
    /// What happened, naming the file or place, as a sentence without a final full stop.
    pub what: String,
    /// What was kept ("The other 55 pieces are done and saved").
    pub kept: Option<String>,
    /// What to do next ("Free some space and press Continue").
    pub advice: Option<String>,
    /// The lower-level cause, shown under "Show details".
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `what` happened.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), kept: None, advice: None, source: None }
    }

    /// Adds what was kept.
    #[must_use]
    pub fn kept(mut self, kept: impl Into<String>) -> Self {
        self.kept = Some(kept.into());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the lower-level cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The user pressed cancel.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "Cancelled")
    }

    /// An I/O failure while doing `action` ("read", "write", "create") on `path`, with the advice
    /// that fits its kind.
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, advice) = match source.kind() {
            Io::NotFound => {
                (ErrorKind::NotFound, Some("Check the name, and that its disk is connected"))
            }
            Io::PermissionDenied => {
                (ErrorKind::Denied, Some("Check that you may read and write there"))
            }
            Io::StorageFull | Io::QuotaExceeded => {
                (ErrorKind::DiskFull, Some("Free some space on that disk and try again"))
            }
            Io::AlreadyExists => (ErrorKind::Exists, None),
            Io::NotADirectory => (
                ErrorKind::Invalid,
                Some("Choose another folder: a part of this name is a file, not a folder"),
            ),
            _ => (ErrorKind::Io, None),
        };
        let what = format!("Cannot {action} “{}”: {source}", path.display());
        Self { advice: advice.map(Into::into), ..Self::new(kind, what).caused_by(source) }
    }

    /// The chain of causes below [`Error::what`], outermost first, for "Show details".
    pub fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            lines.push(cause.to_string());
            next = cause.source();
        }
        lines
    }
}
