//! Putting files into a folder so that nothing is ever half there or overwritten by accident:
//! written beside under another name, synced, renamed; what is not renamed vanishes, at the latest
//! with the next export to that folder.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    names::{exists, number_up},
    request::Existing,
};
use crate::error::{Error, Result};

/// Where one file goes.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Name without number and extension.
    pub(super) base: String,
    /// Extension without dot.
    pub(super) extension: &'static str,
    /// What to do about a file of that name.
    pub(super) existing: Existing,
    /// The source file, which is not replaced even when overwriting was asked for.
    pub(super) source: PathBuf,
}

/// A name that was free when it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChosenName {
    /// Name with extension.
    pub(super) name: String,
    /// The number that had to be added.
    pub(super) number: Option<u32>,
    /// Whether a file of this name exists and will be replaced.
    pub(super) replaces: bool,
}

impl Destination {
    /// The name to use, given the lower-cased names that this export has taken already.
    pub(super) fn choose(&self, also_taken: &HashSet<String>) -> ChosenName {
        let (name, number) = number_up(&self.base, self.extension, |name| {
            also_taken.contains(&name.to_lowercase())
                || (exists(&self.folder, name) && !self.may_replace(name))
        });
        let replaces = exists(&self.folder, &name);
        ChosenName { name, number, replaces }
    }

    fn may_replace(&self, name: &str) -> bool {
        self.existing == Existing::Overwrite && !same_file(&self.folder.join(name), &self.source)
    }

    /// Renames the finished `file` to `name`, or to the next free one if somebody took that name
    /// meanwhile.
    pub(super) fn place(&self, mut file: NamedTempFile, mut name: String) -> Result<PathBuf> {
        loop {
            let target = self.folder.join(&name);
            if self.may_replace(&name) {
                return match file.persist(&target) {
                    Ok(_) => Ok(target),
                    Err(failed) => Err(Error::io("replace", &target, failed.error)),
                };
            }
            match rename_to_free(file, &target) {
                Ok(()) => return Ok(target),
                Err((error, back)) if error.kind() == io::ErrorKind::AlreadyExists => {
                    file = back;
                    name = self.choose(&HashSet::new()).name;
                }
                Err((error, _)) => return Err(Error::io("create", &target, error)),
            }
        }
    }
}

/// Renames without replacing. Where the file system can neither rename nor link that way, an
/// empty file claims the name first.
fn rename_to_free(
    file: NamedTempFile,
    target: &Path,
) -> std::result::Result<(), (io::Error, NamedTempFile)> {
    let file = match file.persist_noclobber(target) {
        Ok(_) => return Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
            return Err((failed.error, failed.file));
        }
        Err(failed) => failed.file,
    };
    if let Err(error) = OpenOptions::new().write(true).create_new(true).open(target) {
        return Err((error, file));
    }
    file.persist(target).map(drop).map_err(|failed| {
        // The claim is ours and empty; the error that led here matters more than this one.
        let _ = fs::remove_file(target);
        (failed.error, failed.file)
    })
}

/// How the names of unfinished files begin and end.
const PART: (&str, &str) = (".stemhive-", ".part");

/// A hidden file in `folder` that is removed again unless it is placed. It is locked for as long
/// as somebody writes it, which tells it from what a killed export left.
pub(super) fn create_beside(folder: &Path) -> Result<NamedTempFile> {
    loop {
        let file = new_part(folder)?;
        // File systems without locks are used without: there nothing is ever swept.
        let _ = file.as_file().lock();
        // Another export may have swept it before it was locked.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

fn new_part(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART.0).suffix(PART.1);
    #[cfg(unix)]
    {
        // As any other new file: readable by whom the umask says, not by the owner alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map_err(|e| Error::io("create a file in", folder, e))
}

/// Removes the unfinished files in `folder` that nobody writes any more: exports that were killed
/// could not.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_part = name.starts_with(PART.0) && name.ends_with(PART.1);
        if !is_part || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let abandoned = OpenOptions::new().write(true).open(&path);
        // Held until the file is gone, so that whoever made it a moment ago finds that out.
        if let Ok(file) = abandoned
            && file.try_lock().is_ok()
        {
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "removed what a killed export left")
                }
                Err(error) => tracing::warn!(%error, path = %path.display(), "cannot be removed"),
            }
        }
    }
}

/// A folder made for an export; what had to be created goes away again, if empty, unless the
/// export succeeds.
#[derive(Debug)]
pub(super) struct Folder {
    created: Vec<PathBuf>,
}

impl Folder {
    /// Creates `path` and what is missing above it, or clears it of what killed exports left.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let folder = Self { created: missing.map(Path::to_owned).collect() };
        fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        if folder.created.is_empty() {
            sweep(path);
        }
        Ok(folder)
    }

    /// Keeps it, and makes the names in it survive a power cut where the system lets us.
    pub(super) fn keep(mut self, path: &Path) {
        self.created.clear();
        #[cfg(unix)]
        if let Ok(dir) = fs::File::open(path) {
            // Some network file systems cannot sync folders; the files themselves are synced.
            let _ = dir.sync_all();
        }
        #[cfg(not(unix))]
        let _ = path;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in &self.created {
            // Fails, rightly, if somebody put something in.
            let _ = fs::remove_dir(path);
        }
    }
}

/// Free bytes for us on the disk that holds `path` or its nearest existing ancestor.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|path| path.is_dir())?;
    fs4::available_space(existing).ok()
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
