//! The models that can separate right now: those built in, those installed, and model files opened
//! by hand.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    catalogue::{Catalogue, Entry, Model, ModelState, Sha256},
    engine::EngineConfig,
    error::{Error, ErrorKind, Result},
    model::{
        self, ModelInfo, NoProgress, Quality, Separator, Stem,
        checkpoint::{Checkpoint, MAX_FILE_BYTES},
        htdemucs::{Config, Htdemucs, Profile},
    },
    protocol::BlobRef,
    store::read_bounded,
};

/// Models by name, the default one first.
pub struct Roster {
    catalogue: Arc<Catalogue>,
    models: RwLock<Vec<Listed>>,
}

/// A model, and where it came from.
enum Listed {
    Program(Arc<dyn Separator>),
    /// One of the catalogue.
    Installed(Htdemucs),
    /// A file that was opened by hand, and what was in it.
    File(Htdemucs, BlobRef, PathBuf),
}

impl Listed {
    fn info(&self) -> &ModelInfo {
        match self {
            Self::Program(separator) => separator.info(),
            Self::Installed(model) | Self::File(model, ..) => model.info(),
        }
    }

    /// The model for one job: the weights leave the memory with it.
    fn separator(&self) -> Arc<dyn Separator> {
        match self {
            Self::Program(separator) => Arc::clone(separator),
            Self::Installed(model) | Self::File(model, ..) => Arc::new(model.unloaded()),
        }
    }
}

/// The model that an order named by its hash.
pub struct Found {
    /// The model, working as hard as ordered, with that hash.
    pub separator: Arc<dyn Separator>,
    /// Files that must come before it can yield the stems ordered.
    pub lacks: Vec<BlobRef>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Found({}, lacks {:?})", self.separator.info().name, self.lacks)
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.infos().iter().map(|model| &model.name)).finish()
    }
}

impl Roster {
    /// The models of the program and of the data folder that `config` names.
    ///
    /// # Errors
    /// As [`EngineConfig::catalogue`].
    pub fn open(config: &EngineConfig) -> Result<Self> {
        let built_in = model::built_in();
        let catalogue = config.catalogue(&built_in)?;
        Ok(Self::new(built_in, catalogue))
    }

    /// The model that has `hash` when it works with `quality`, whether its files are here or not. None
    /// that would give other samples is ever found.
    pub fn find_by_hash(&self, hash: &[u8; 32], quality: Quality, stems: &[Stem]) -> Option<Found> {
        let with_hash = |separator: Arc<dyn Separator>| {
            let separator = match quality == Quality::default() {
                true => separator,
                false => separator.with_quality(quality)?,
            };
            (separator.info().hash == *hash).then_some(separator)
        };
        let own = self.read(|models| {
            let own = models.iter().filter(|listed| !matches!(listed, Listed::Installed(_)));
            own.map(Listed::separator).collect::<Vec<_>>()
        });
        if let Some(separator) = own.into_iter().find_map(with_hash) {
            return Some(Found { separator, lacks: Vec::new() });
        }
        self.catalogue.list().into_iter().find_map(|entry| {
            let lacks = self.catalogue.lacks(&entry.model, stems);
            let separator = with_hash(Arc::new(self.installed(entry)))?;
            Some(Found { separator, lacks })
        })
    }

    pub(crate) fn new(built_in: Vec<Arc<dyn Separator>>, catalogue: Catalogue) -> Self {
        let models = RwLock::new(built_in.into_iter().map(Listed::Program).collect());
        let roster = Self { catalogue: Arc::new(catalogue), models };
        roster.refresh();
        roster
    }

    /// The models that exist, and their files.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Looks again which models are installed. Reads the folder of models, but no model.
    pub fn refresh(&self) {
        let entries = self.catalogue.list();
        let installed = entries.into_iter().filter(|entry| entry.state == ModelState::Installed);
        let installed: Vec<_> =
            installed.map(|entry| Listed::Installed(self.installed(entry))).collect();
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|listed| !matches!(listed, Listed::Installed(..)));
        models.extend(installed);
    }

    /// A model whose files are checked and read when they are first needed.
    fn installed(&self, entry: Entry) -> Htdemucs {
        let profile = profile_of(&entry.model);
        let (catalogue, name) = (Arc::clone(&self.catalogue), entry.model.name);
        Htdemucs::new(profile, Box::new(move |n| Checkpoint::read(&catalogue.file(&name, n)?)))
    }

    /// Lists the model in the file at `path`, wherever that is, and returns its name.
    ///
    /// # Errors
    /// As [`Checkpoint::from_bytes`] and [`Config::of`]; what the disk says.
    pub(crate) fn open_file(&self, path: &Path) -> Result<String> {
        let bytes = read_bounded(path, MAX_FILE_BYTES)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let config = Config::of(&Checkpoint::from_bytes(&bytes, &file)?)?;
        let blob = BlobRef { sha256: Sha256::of(&bytes), bytes: bytes.len() as u64 };
        let weights_hash = Model::hash_of_weights([blob.sha256].iter());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let profile = Profile {
            name: name.clone(),
            title: name.clone(),
            description: format!("The model in “{}”", path.display()),
            weights: vec![vec![1.0; config.sources.len()]],
            sources: config.sources,
            segment_frames: config.segment_frames,
            weights_hash,
        };
        let (path, place) = (path.to_owned(), path.to_owned());
        let separator = Htdemucs::new(profile, Box::new(move |_| Checkpoint::read(&path)));
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|listed| !matches!(listed, Listed::File(..)) || listed.info().name != name);
        // Early, so that the name means this file even where an installed model has it.
        models.insert(1, Listed::File(separator, blob, place));
        Ok(name)
    }

    /// Those that can separate, and what else the catalogue has.
    pub(crate) fn all(&self) -> Vec<(ModelInfo, Option<Entry>)> {
        let own = self.read(|models| {
            let own = models.iter().filter(|listed| !matches!(listed, Listed::Installed(_)));
            own.map(|listed| (listed.info().clone(), None)).collect::<Vec<_>>()
        });
        let entries = self.catalogue.list().into_iter();
        let listed =
            entries.map(|entry| (self.installed(entry.clone()).info().clone(), Some(entry)));
        own.into_iter().chain(listed).collect()
    }

    /// Those that can separate, the default one first.
    pub fn infos(&self) -> Vec<ModelInfo> {
        self.read(|models| models.iter().map(|listed| listed.info().clone()).collect())
    }

    pub(crate) fn default(&self) -> ModelInfo {
        // There is one: an engine without models is not made.
        self.read(|models| models[0].info().clone())
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<dyn Separator>> {
        let found = self.read(|models| {
            Some(models.iter().find(|listed| listed.info().name == name)?.separator())
        });
        found.ok_or_else(|| {
            let names: Vec<_> = self.infos().into_iter().map(|model| model.name).collect();
            let is_known = self.catalogue.list().iter().any(|entry| entry.model.name == name);
            let (what, advice) = if is_known {
                (
                    format!("The model “{name}” is not on this computer"),
                    format!("Download it with: stemhive models fetch {name}"),
                )
            } else {
                (format!("There is no model “{name}”"), format!("There is {}", names.join(", ")))
            };
            Error::new(ErrorKind::Invalid, what).advice(advice)
        })
    }

    /// The model called `name`, working as hard as `quality` says.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is none, or it cannot.
    pub(crate) fn find_with(&self, name: &str, quality: Quality) -> Result<Arc<dyn Separator>> {
        let separator = self.find(name)?;
        if quality == Quality::default() {
            return Ok(separator);
        }
        separator.with_quality(quality).ok_or_else(|| {
            let Quality { shifts, overlap } = quality;
            let what = format!(
                "The model “{name}” cannot separate with {shifts} shifts and an overlap of {overlap}"
            );
            Error::new(ErrorKind::Invalid, what)
        })
    }

    /// The files that the model called `name` reads for the stems `wanted`, and where they are; none
    /// for one that is part of the program. Files that changed since are read and checked first.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Catalogue::files`].
    pub(crate) fn blobs(&self, name: &str, wanted: &[Stem]) -> Result<Vec<(BlobRef, PathBuf)>> {
        let own = self.read(|models| match models.iter().find(|l| l.info().name == name) {
            Some(Listed::Program(_)) => Some(Vec::new()),
            Some(Listed::File(_, blob, path)) => Some(vec![(*blob, path.clone())]),
            Some(Listed::Installed(_)) | None => None,
        });
        if let Some(own) = own {
            return Ok(own);
        }
        let paths = self.catalogue.files(name, &NoProgress)?;
        let files = self.catalogue.entry(name)?.model.files.into_iter().zip(paths);
        let needed = files.filter(|(file, _)| file.serves(wanted));
        Ok(needed.map(|(file, path)| (file.blob(), path)).collect())
    }

    fn read<T>(&self, look: impl FnOnce(&[Listed]) -> T) -> T {
        look(&self.models.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the catalogue tells of a model of several networks: one that is for a single stem counts for
/// that one only.
fn profile_of(model: &Model) -> Profile {
    let counts = |stem: Option<_>| {
        let count = |source: &_| stem.is_none_or(|stem| stem == *source);
        model.stems.iter().map(|source| f32::from(u8::from(count(source)))).collect()
    };
    Profile {
        name: model.name.clone(),
        title: model.title.clone(),
        description: model.description.clone(),
        sources: model.stems.clone(),
        segment_frames: model.segment_frames,
        weights: model.files.iter().map(|file| counts(file.stem)).collect(),
        weights_hash: model.weights_hash(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Manifest, Network};

    /// Files of a model, by the stem they are for, and a roster that has them.
    fn roster(stems: &[Option<Stem>]) -> (tempfile::TempDir, Vec<BlobRef>, Roster) {
        let dir = tempfile::tempdir().unwrap();
        let mut list = MODEL.to_owned();
        std::fs::create_dir(dir.path().join("models")).unwrap();
        let files = stems.iter().zip(1..).map(|(stem, length)| {
            let content = vec![7; length];
            let blob = BlobRef { sha256: Sha256::of(&content), bytes: length as u64 };
            std::fs::write(dir.path().join(format!("models/net{length}.th")), content).unwrap();
            list += &format!(
                "[[model.file]]\nurl = \"http://localhost/net{length}.th\"\nbytes = {length}\n\
                 sha256 = \"{}\"\n",
                blob.sha256
            );
            if let Some(stem) = stem {
                list += &format!("stem = \"{}\"\n", stem.name());
            }
            blob
        });
        let files = files.collect();
        let manifest = Manifest::parse(&list).unwrap();
        let catalogue = Catalogue::new(dir.path(), manifest, Network::default(), Vec::new());
        (dir, files, Roster::new(model::built_in(), catalogue))
    }

    const MODEL: &str = "[[model]]\nname = \"bag\"\ntitle = \"Bag\"\ndescription = \"d\"\n\
        quality = \"q\"\nstems = [\"drums\", \"bass\", \"other\", \"vocals\"]\n\
        segment_frames = 44100\narchitecture = \"htdemucs\"\nlicence = \"l\"\n\
        cost_core_secs_per_sec = 1.0\nweights_bytes = 1\nmemory_bytes_per_chunk = 1\n";

    #[test]
    fn of_a_bag_only_the_nets_that_the_wanted_stems_need_are_sent() {
        use Stem::{Bass, Drums, Other, Vocals};
        let (dir, files, roster) = roster(&[Some(Drums), Some(Bass), Some(Other), Some(Vocals)]);
        let sent = |wanted: &[Stem]| {
            let blobs = roster.blobs("bag", wanted).unwrap();
            for (blob, path) in &blobs {
                assert_eq!(path.parent().unwrap(), dir.path().join("models"));
                assert_eq!(Sha256::of(&std::fs::read(path).unwrap()), blob.sha256);
            }
            blobs.into_iter().map(|(blob, _)| blob).collect::<Vec<_>>()
        };
        assert_eq!(sent(&[Vocals]), [files[3]]);
        assert_eq!(sent(&[Vocals, Drums]), [files[0], files[3]], "in the order of the manifest");
        assert_eq!(sent(&[Drums, Bass, Other, Vocals]), files);
        assert_eq!(sent(&[]), []);
        assert_eq!(roster.blobs("spectral", &[Vocals]).unwrap(), [], "part of the program");
    }

    #[test]
    fn nets_that_are_for_all_stems_are_sent_with_each() {
        let (_dir, files, roster) = roster(&[None, Some(Stem::Bass)]);
        let sent = |wanted: &[Stem]| {
            let blobs = roster.blobs("bag", wanted).unwrap();
            blobs.into_iter().map(|(blob, _)| blob).collect::<Vec<_>>()
        };
        assert_eq!(sent(&[Stem::Vocals]), [files[0]]);
        assert_eq!(sent(&[Stem::Bass]), files);
    }
}
