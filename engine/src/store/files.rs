//! Small files that are either there as a whole or not at all.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::error::{Error, ErrorKind, Result};

/// Writes `path` through a neighbouring temporary file that is synced and renamed over it, so that
/// readers and crashes see the old content or the new, never half of it.
///
/// # Errors
/// Whatever the file system or `write` says; the old content is still there then.
pub fn write_atomically(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
    let temporary = temporary_beside(path);
    let written = File::create(&temporary)
        .and_then(|file| write(&file).and_then(|()| file.sync_data()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|e| {
        // The error that matters is the first one; a left-over is removed with its folder.
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, e)
    })
}

/// The whole of a file that must not be longer than `most_bytes`.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when it is longer, otherwise whatever the file system says.
pub fn read_bounded(path: &Path, most_bytes: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most_bytes {
        let what = format!("“{}” is longer than {most_bytes} bytes", path.display());
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    Ok(bytes)
}

/// A name beside `path` that no other thread or process uses.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{count}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_content_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomically(&path, |mut file| file.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |mut file| {
            file.write_all(b"half of the ne")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind, ErrorKind::DiskFull);
        assert_eq!(read_bounded(&path, 3).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read_bounded(&path, 9).unwrap_err().kind, ErrorKind::TooLarge);
    }
}
