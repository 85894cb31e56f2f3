//! A file of a model that is on its way here, whichever way.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::{
    digest::{Hasher, Sha256, read_through},
    folder::Folder,
    manifest::ModelFile,
};
use crate::error::{Error, Result};

/// What came so far of a file, and its hash.
pub(super) struct Part {
    folder: Folder,
    file: ModelFile,
    path: PathBuf,
    open: File,
    pub(super) bytes: u64,
    hasher: Hasher,
}

impl Part {
    /// Opens and reads what an earlier try left; `look` is told how many bytes were read and may
    /// end it.
    ///
    /// # Errors
    /// What the disk or `look` says.
    pub(super) fn open(
        folder: &Folder,
        file: &ModelFile,
        mut look: impl FnMut(u64) -> Result<()>,
    ) -> Result<Self> {
        let path = folder.part_path(&file.name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let open = options.open(&path).map_err(|e| Error::io("open", &path, e))?;
        let there = open.metadata().map_err(|e| Error::io("read", &path, e))?.len();
        let (folder, file) = (folder.clone(), file.clone());
        let mut part = Self { folder, file, path, open, bytes: 0, hasher: Hasher::new() };
        if there > part.file.bytes {
            part.restart()?;
        } else {
            let mut bytes = 0;
            read_through(&part.open, &part.path, &mut part.hasher, |block| {
                bytes += block.len() as u64;
                look(bytes)
            })?;
            part.bytes = bytes;
        }
        Ok(part)
    }

    /// Which file it is of.
    pub(super) fn file(&self) -> &ModelFile {
        &self.file
    }

    /// The hash of what is here.
    pub(super) fn value(&self) -> Sha256 {
        self.hasher.value()
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        self.folder.set_tag(&self.file.name, None)?;
        self.open
            .set_len(0)
            .and_then(|()| self.open.seek(SeekFrom::Start(0)))
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.bytes = 0;
        self.hasher = Hasher::new();
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.open.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Puts the file, whose hash is right, in its place.
    pub(super) fn finish(self) -> Result<()> {
        self.open.sync_all().map_err(|e| Error::io("write", &self.path, e))?;
        // Some systems do not rename a file that is open.
        drop(self.open);
        let path = self.folder.path(&self.file.name);
        std::fs::rename(&self.path, &path).map_err(|e| Error::io("create", &path, e))?;
        self.folder.settle(&self.file.name, self.file.sha256, None)?;
        self.folder.set_tag(&self.file.name, None)
    }

    /// The file as one that vanishes unless it is given a place.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn into_temporary(self) -> Result<tempfile::NamedTempFile> {
        self.open.sync_all().map_err(|e| Error::io("write", &self.path, e))?;
        let path = tempfile::TempPath::try_from_path(&self.path)
            .map_err(|e| Error::io("find", &self.path, e))?;
        Ok(tempfile::NamedTempFile::from_parts(self.open, path))
    }
}
