//! What can be told of a checkpoint without loading it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{
    error::{Error, ErrorKind, Result},
    model::Stem,
};

/// Most bytes the header of a safetensors file may have, as its own library has it.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Stems it yields, in its own order; empty where it does not tell.
    pub(super) stems: Vec<Stem>,
}

/// Looks whether the file of `bytes` bytes at `path`, called `name` by the user, can hold a model.
///
/// This is the one place where an unknown checkpoint is looked into on import. So far it tells by
/// the first bytes that it is a PyTorch archive (a zip file) or safetensors.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when it is neither; what the disk says.
pub(super) fn read_facts(path: &Path, name: &str, bytes: u64) -> Result<Facts> {
    let mut start = [0; 9];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(Error::io("read", path, e));
        }
        _ => {}
    }
    let is_zip = start.starts_with(b"PK\x03\x04");
    let (header, json) = start.split_at(8);
    let header_bytes = header.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let is_safetensors =
        json == b"{" && header_bytes <= MAX_HEADER_BYTES && header_bytes < bytes.saturating_sub(8);
    if is_zip || is_safetensors {
        return Ok(Facts::default());
    }
    Err(Error::new(ErrorKind::Unsupported, format!("“{name}” holds no model that can be read"))
        .kept("Nothing was copied")
        .advice("Choose a .th file of Demucs 4 or a .safetensors file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_told_from_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.th");
        let mut header = 10u64.to_le_bytes().to_vec();
        header.extend(b"{\"a\":0}   rest");
        for (content, is_model) in [
            (&b"PK\x03\x04 and more"[..], true),
            (&header, true),
            (&header[..12], false),
            (b"", false),
            (b"PK", false),
            (b"<html>404 Not Found</html>", false),
        ] {
            std::fs::write(&path, content).unwrap();
            let facts = read_facts(&path, "a.th", content.len() as u64);
            assert_eq!(facts.is_ok(), is_model, "{content:?}");
        }
    }
}
