//! SHA-256, by which model files are known.

use std::{fmt, fs::File, io::Read, path::Path, str::FromStr};

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How much is read and hashed between two looks at whether to stop.
pub(super) const BLOCK_BYTES: usize = 1 << 18;

/// The SHA-256 of a file; reads and writes itself as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.value()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("“{text}” is not a SHA-256 in 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> Self {
        hash.to_string()
    }
}

/// A hash that grows with what it is given.
#[derive(Clone)]
pub(super) struct Hasher(digest::Context);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all it was given so far.
    pub(super) fn value(&self) -> Sha256 {
        let mut value = [0; 32];
        value.copy_from_slice(self.0.clone().finish().as_ref());
        Sha256(value)
    }
}

/// Reads `file` to its end, hands every block to `each` and hashes it.
///
/// # Errors
/// What the disk says, naming `path`; whatever `each` returns.
pub(super) fn read_through(
    mut file: &File,
    path: &Path,
    hasher: &mut Hasher,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(bytes),
            Ok(read) => {
                let block = &block[..read];
                hasher.update(block);
                bytes += read as u64;
                each(block)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, e)),
        }
    }
}
