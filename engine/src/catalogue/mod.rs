//! Which models exist, which of them are on this computer, and how they get there.
//!
//! A model is one or more files that are known by their SHA-256. What exists is listed in a
//! [`Manifest`]; the files lie in one folder. Nothing is downloaded that was not asked for, and
//! nothing is used whose hash was not found right.

mod digest;
mod download;
mod facts;
mod fetch;
mod folder;
mod import;
mod manifest;
mod network;
mod part;
mod receive;

use std::path::{Path, PathBuf};

pub use self::{
    digest::Sha256,
    fetch::{Fetch, FetchPhase, FetchStatus},
    import::Imported,
    manifest::{Architecture, Manifest, Model, ModelFile},
    network::{Network, Variables},
    receive::Receiving,
};
use self::{
    folder::{Brought, FileState, Folder},
    import::stem_of,
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{NoProgress, Progress},
    song::Wake,
};

/// The models that exist and the folder that holds those that are here.
#[derive(Debug)]
pub struct Catalogue {
    manifest: Manifest,
    folder: Folder,
    network: Network,
    /// Names of models that need no files.
    reserved: Vec<String>,
}

/// A model of the catalogue, and how it is on this computer.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The model.
    pub model: Model,
    /// Whether the user brought it; otherwise it is in the manifest.
    pub imported: bool,
    /// How it is.
    pub state: ModelState,
}

/// How a model is on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// Every file is there. Those that changed since they were last checked are checked before
    /// they are used.
    Installed,
    /// Not all of it is there.
    NotDownloaded {
        /// Bytes of it that are here all the same: whole files, and what came of others.
        here_bytes: u64,
        /// Names of the files that are not here.
        missing: Vec<String>,
    },
    /// A file is there and wrong.
    Damaged {
        /// What is wrong.
        why: String,
    },
}

/// What became of checking one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the model.
    pub model: String,
    /// Name of the file.
    pub file: String,
    /// What is wrong with it, if anything.
    pub problem: Option<String>,
}

impl Catalogue {
    /// The catalogue of `manifest` with its files in `data_dir`'s folder `models`. Names in
    /// `reserved` are never given to imported models. Touches no disk.
    pub fn new(
        data_dir: &Path,
        manifest: Manifest,
        network: Network,
        reserved: Vec<String>,
    ) -> Self {
        Self { manifest, folder: Folder::new(data_dir.join("models")), network, reserved }
    }

    /// The folder that holds the files.
    pub fn dir(&self) -> &Path {
        self.folder.dir()
    }

    /// All models: those of the manifest in its order, then imported ones by name. Looks at the
    /// folder but reads no model.
    pub fn list(&self) -> Vec<Entry> {
        let official = self.manifest.models().iter().map(|model| (model.clone(), false));
        let of_manifest = |name: &str| {
            self.manifest.models().iter().flat_map(|model| &model.files).any(|f| f.name == name)
        };
        let brought = self.folder.brought().into_iter().filter(|(name, _)| !of_manifest(name));
        let imported = brought.map(|(name, brought)| (imported_model(&name, brought), true));
        official
            .chain(imported)
            .map(|(model, imported)| Entry { state: self.state(&model), model, imported })
            .collect()
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is none.
    pub fn entry(&self, name: &str) -> Result<Entry> {
        let mut entries = self.list();
        let Some(index) = entries.iter().position(|entry| entry.model.name == name) else {
            let here = entries.iter().map(|entry| &entry.model.name);
            let names: Vec<_> = self.reserved.iter().chain(here).map(String::as_str).collect();
            let error = if self.reserved.iter().any(|reserved| reserved == name) {
                Error::new(
                    ErrorKind::Invalid,
                    format!("“{name}” is part of Stemhive and needs no file"),
                )
            } else {
                Error::new(ErrorKind::Invalid, format!("There is no model “{name}”"))
            };
            return Err(error.advice(format!("There is {}", names.join(", "))));
        };
        Ok(entries.swap_remove(index))
    }

    /// Starts downloading what the model called `name` lacks; wrong files are replaced. `wake` is
    /// called whenever [`Fetch::status`] changed.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn fetch(&self, name: &str, wake: Wake) -> Result<Fetch> {
        let model = self.entry(name)?.model;
        let lacks = |file: &ModelFile| self.folder.state(file) != FileState::Good;
        let files = model.files.into_iter().filter(lacks).collect();
        Ok(Fetch::start(self.folder.clone(), self.network.clone(), files, wake))
    }

    /// Paths of the files of the model called `name`, in the manifest's order; those that changed
    /// since they were last checked are read and checked first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not downloaded, [`ErrorKind::Damaged`] when a file is
    /// wrong, [`ErrorKind::Cancelled`]; as [`Self::entry`].
    pub fn files(&self, name: &str, progress: &dyn Progress) -> Result<Vec<PathBuf>> {
        let model = self.entry(name)?.model;
        model.files.iter().map(|file| self.checked(name, file, progress)).collect()
    }

    /// As [`Self::files`], but only its file `n`.
    ///
    /// # Errors
    /// As [`Self::files`]; [`ErrorKind::Internal`] when it has no such file.
    pub(crate) fn file(&self, name: &str, n: usize) -> Result<PathBuf> {
        let model = self.entry(name)?.model;
        let file = model
            .files
            .get(n)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("“{name}” has no file {n}")))?;
        self.checked(name, file, &NoProgress)
    }

    fn checked(&self, name: &str, file: &ModelFile, progress: &dyn Progress) -> Result<PathBuf> {
        let state = match self.folder.state(file) {
            FileState::Unchecked => self.folder.check(file, progress)?,
            state => state,
        };
        match state {
            FileState::Good | FileState::Unchecked => Ok(self.folder.path(&file.name)),
            FileState::Missing { .. } => {
                let what = format!("The model “{name}” is not on this computer");
                Err(Error::new(ErrorKind::NotFound, what)
                    .advice(format!("Download it with: stemhive models fetch {name}")))
            }
            FileState::Damaged(why) => Err(Error::new(ErrorKind::Damaged, why)
                .kept("Nothing was separated with it")
                .advice(format!("Download it again with: stemhive models fetch {name}"))),
        }
    }

    /// Removes the files of the model called `name`, parts of downloads included; the bytes freed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when nothing of it is here, [`ErrorKind::Busy`] while it is being
    /// downloaded, what the disk says; as [`Self::entry`].
    pub fn remove(&self, name: &str) -> Result<u64> {
        let entry = self.entry(name)?;
        if matches!(entry.state, ModelState::NotDownloaded { here_bytes: 0, .. }) {
            let what = format!("Nothing of the model “{name}” is on this computer");
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        entry.model.files.iter().map(|file| self.folder.remove(&file.name)).sum()
    }

    /// Reads every file that is here and compares its hash.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; what the disk says when a file cannot be read.
    pub fn verify(&self, progress: &dyn Progress) -> Result<Vec<Verdict>> {
        let files: Vec<_> = self
            .list()
            .into_iter()
            .flat_map(|entry| {
                let name = entry.model.name;
                entry.model.files.into_iter().map(move |file| (name.clone(), file))
            })
            .filter(|(_, file)| !matches!(self.folder.state(file), FileState::Missing { .. }))
            .collect();
        let total: u64 = files.iter().map(|(_, file)| file.bytes).sum();
        let mut before = 0;
        let mut verdicts = Vec::new();
        for (model, file) in files {
            let share = Share { progress, before, bytes: file.bytes, total };
            let problem = match self.folder.check(&file, &share)? {
                FileState::Damaged(why) => Some(why),
                FileState::Good | FileState::Unchecked | FileState::Missing { .. } => None,
            };
            before += file.bytes;
            verdicts.push(Verdict { model, file: file.name, problem });
        }
        Ok(verdicts)
    }

    fn state(&self, model: &Model) -> ModelState {
        let mut here_bytes = 0;
        let mut missing = Vec::new();
        for file in &model.files {
            match self.folder.state(file) {
                FileState::Good | FileState::Unchecked => here_bytes += file.bytes,
                FileState::Missing { part_bytes } => {
                    here_bytes += part_bytes.min(file.bytes);
                    missing.push(file.name.clone());
                }
                FileState::Damaged(why) => return ModelState::Damaged { why },
            }
        }
        if missing.is_empty() {
            ModelState::Installed
        } else {
            ModelState::NotDownloaded { here_bytes, missing }
        }
    }
}

/// What is known of a model that the user brought. Cost and memory are those of the network it
/// must be.
fn imported_model(file: &str, brought: Brought) -> Model {
    Model {
        name: stem_of(file),
        title: stem_of(file),
        description: format!("A model of your own, from “{}”.", brought.from),
        quality: "Not known".to_owned(),
        sdr_db: None,
        stems: brought.stems,
        segment_frames: brought.segment_frames,
        architecture: Architecture::Htdemucs,
        licence: "Not known".to_owned(),
        homepage: None,
        cost_core_secs_per_sec: 0.72,
        weights_bytes: brought.bytes.saturating_mul(2),
        memory_bytes_per_chunk: (brought.segment_frames as u64).saturating_mul(750),
        files: vec![ModelFile {
            name: file.to_owned(),
            url: None,
            bytes: brought.bytes,
            sha256: brought.sha256,
            stem: None,
        }],
    }
}

/// The progress of one file among several.
struct Share<'a> {
    progress: &'a dyn Progress,
    before: u64,
    bytes: u64,
    total: u64,
}

impl Progress for Share<'_> {
    fn report(&self, done: f32) {
        let bytes = self.before as f64 + f64::from(done) * self.bytes as f64;
        self.progress.report((bytes / self.total.max(1) as f64) as f32);
    }

    fn is_cancelled(&self) -> bool {
        self.progress.is_cancelled()
    }
}
