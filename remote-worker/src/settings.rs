//! What the owner of the spare PC wants: a file in the data folder, and options that go before it.

use std::path::Path;

use engine::{
    Error, ErrorKind, Result, local::DEFAULT_MEMORY_BYTES, protocol::MAX_NAME_BYTES,
    remote::computer_name, store::read_bounded,
};
use serde::Deserialize;

use crate::polite::Hours;

/// Most bytes of the file.
const MAX_FILE_BYTES: u64 = 1 << 16;

/// The owner's settings, each with what it is when nothing was said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Name to show on main PCs; that of the computer if there is none.
    pub name: Option<String>,
    /// Threads to compute with; all but one if there is none.
    pub threads: Option<usize>,
    /// Memory that pieces may take together, in megabytes.
    pub memory_mb: u64,
    /// How far computing steps back for other programs, 0..=19.
    pub nice: i32,
    /// Whether the disk is used only when nobody else does.
    pub idle_io: bool,
    /// Whether to pause while someone uses the computer.
    pub pause_when_used: bool,
    /// Whether to pause on battery.
    pub pause_on_battery: bool,
    /// When to work; always if there are none.
    pub hours: Vec<Hours>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            threads: None,
            memory_mb: DEFAULT_MEMORY_BYTES >> 20,
            nice: 10,
            idle_io: true,
            pause_when_used: true,
            pause_on_battery: true,
            hours: Vec::new(),
        }
    }
}

impl Settings {
    /// The settings in the file at `path`; the usual ones if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] naming file, line and what is wrong; what the disk says.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = match read_bounded(path, MAX_FILE_BYTES) {
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let settings: Self = toml::from_str(&text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            wrong(&format!("line {line} of “{}”: {}", path.display(), e.message()))
        })?;
        settings.check().map_err(|what| wrong(&format!("“{}”: {what}", path.display())))?;
        Ok(settings)
    }

    /// Whether every value is one that can be.
    ///
    /// # Errors
    /// Says what cannot be.
    pub fn check(&self) -> Result<(), String> {
        let name = self.name.as_deref();
        if name.is_some_and(|name| name.trim().is_empty() || name.len() > MAX_NAME_BYTES) {
            return Err(format!("name is to have 1 to {MAX_NAME_BYTES} bytes"));
        }
        if self.threads.is_some_and(|threads| !(1..=1024).contains(&threads)) {
            return Err("threads is to be 1 to 1024".to_owned());
        }
        if !(64..=1 << 22).contains(&self.memory_mb) {
            return Err("memory_mb is to be 64 or more".to_owned());
        }
        if !(0..=19).contains(&self.nice) {
            return Err("nice is to be 0 to 19".to_owned());
        }
        Ok(())
    }

    /// The name to show.
    pub fn shown_name(&self) -> String {
        self.name.as_ref().map_or_else(computer_name, |name| name.trim().to_owned())
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("The settings cannot be used: {what}"))
        .advice("Correct it, or delete the file to have the usual settings")
}
