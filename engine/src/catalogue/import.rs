//! Taking in a model file that the user already has.

use std::{ffi::OsStr, fs::File, io::Write, path::Path};

use super::{
    Catalogue, ModelState,
    digest::{Hasher, Sha256, read_through},
    facts::read_facts,
    folder::{Brought, FileState},
    manifest::{MAX_FILE_BYTES, ModelFile, hash_in_name, kind_of, starts_with},
};
use crate::{
    error::{Error, ErrorKind, Result},
    export::safe_name,
    model::Progress,
    store::size_text,
};

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Name of the model that the file belongs to.
    pub model: String,
    /// Name of the file in the folder of models.
    pub file: String,
    /// Whether it was there already.
    pub was_there: bool,
    /// Files that the model still lacks.
    pub missing: Vec<String>,
}

impl Catalogue {
    /// Copies a model's file into the folder of models. One that is in the manifest is known by
    /// its content, whatever it is called; any other is checked, named after its own name, and
    /// never written over another.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when its content is not what its name promises,
    /// [`ErrorKind::Unsupported`] when it is no model, [`ErrorKind::Busy`] while the same file is
    /// being downloaded, [`ErrorKind::DiskFull`], [`ErrorKind::Cancelled`], what the disk says. The
    /// folder of models is then as it was.
    pub fn import(&self, source: &Path, progress: &dyn Progress) -> Result<Imported> {
        let failed = |e| Error::io("read", source, e);
        let name = source.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        let file = File::open(source).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = metadata.len();
        if !metadata.is_file() || bytes == 0 {
            let what = format!("“{}” is not a file with anything in it", source.display());
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        if bytes > MAX_FILE_BYTES {
            let what = format!("“{name}” has {}, more than any model", size_text(bytes));
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        self.folder.require_room(bytes)?;

        let incoming = self.folder.incoming()?;
        let mut copy = tempfile::Builder::new()
            .prefix("import-")
            .tempfile_in(&incoming)
            .map_err(|e| Error::io("create", &incoming, e))?;
        let mut hasher = Hasher::new();
        let mut copied = 0;
        read_through(&file, source, &mut hasher, |block| {
            copied += block.len() as u64;
            if copied > MAX_FILE_BYTES {
                return Err(Error::new(ErrorKind::TooLarge, format!("“{name}” keeps growing")));
            }
            copy.write_all(block).map_err(|e| Error::io("write", copy.path(), e))?;
            progress.report((copied as f64 / bytes as f64).min(1.0) as f32);
            if progress.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
        })?;
        copy.as_file().sync_all().map_err(|e| Error::io("write", copy.path(), e))?;

        let found = hasher.value();
        let known = self.manifest.models().iter().find_map(|model| {
            let file = model.files.iter().find(|file| file.sha256 == found)?;
            Some((model.name.clone(), file))
        });
        match known {
            Some((model, file)) => self.take_official(copy, model, file),
            None => self.take_unknown(copy, &name, found, copied),
        }
    }

    /// Puts a file of the manifest in its place.
    fn take_official(
        &self,
        copy: tempfile::NamedTempFile,
        model: String,
        file: &ModelFile,
    ) -> Result<Imported> {
        let _claim = self.folder.claim(&file.name)?;
        let was_there = self.folder.state(file) == FileState::Good;
        if !was_there {
            let path = self.folder.path(&file.name);
            copy.into_temp_path()
                .persist(&path)
                .map_err(|e| Error::io("create", &path, e.error))?;
            self.folder.settle(&file.name, file.sha256, None)?;
            self.folder.drop_part(&file.name)?;
        }
        let missing = match self.entry(&model)?.state {
            ModelState::NotDownloaded { missing, .. } => missing,
            ModelState::Installed | ModelState::Damaged { .. } => Vec::new(),
        };
        Ok(Imported { model, file: file.name.clone(), was_there, missing })
    }

    /// Takes in a file that no manifest knows.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub(super) fn take_unknown(
        &self,
        copy: tempfile::NamedTempFile,
        name: &str,
        found: Sha256,
        bytes: u64,
    ) -> Result<Imported> {
        if let Some(start) = hash_in_name(name).filter(|start| !starts_with(found, start)) {
            let what = format!(
                "“{name}” is not whole: by its name its SHA-256 begins with {start}, but it is {found}"
            );
            return Err(Error::new(ErrorKind::Damaged, what)
                .kept("Nothing was copied")
                .advice("Get the file again; the download may have been cut short"));
        }
        let Some(kind) = kind_of(name) else {
            let what = format!("“{name}” is neither a .th nor a .safetensors file");
            return Err(Error::new(ErrorKind::Unsupported, what).kept("Nothing was copied"));
        };
        let facts = read_facts(copy.path(), name)?;
        let same = self.folder.brought().into_iter().find(|(_, brought)| brought.sha256 == found);
        if let Some((file, _)) = same {
            return Ok(Imported {
                model: stem_of(&file),
                file,
                was_there: true,
                missing: Vec::new(),
            });
        }
        let brought = Brought {
            from: name.to_owned(),
            sha256: found,
            bytes,
            stems: facts.stems,
            segment_frames: facts.segment_frames,
        };
        let base = safe_name(&stem_of(name));
        let mut copy = copy.into_temp_path();
        for number in 1..1000 {
            let model = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            if self.is_taken(&model) {
                continue;
            }
            let file = format!("{model}.{kind}");
            let path = self.folder.path(&file);
            match copy.persist_noclobber(&path) {
                Ok(()) => {
                    self.folder.settle(&file, found, Some(brought))?;
                    return Ok(Imported { model, file, was_there: false, missing: Vec::new() });
                }
                Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => copy = e.path,
                Err(e) => return Err(Error::io("create", &path, e.error)),
            }
        }
        Err(Error::new(ErrorKind::Exists, format!("There are too many models called “{base}”"))
            .advice("Rename the file and import it again"))
    }

    /// Whether a model of this name is there, whatever its case.
    fn is_taken(&self, name: &str) -> bool {
        let same = |other: &str| other.to_lowercase() == name.to_lowercase();
        self.reserved.iter().any(|reserved| same(reserved))
            || self.list().iter().any(|entry| same(&entry.model.name))
    }
}

/// A file's name without its extension: the name of a model that the user brought.
pub(super) fn stem_of(name: &str) -> String {
    Path::new(name).file_stem().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
}
