//! The list of models that exist, whether they are on this computer or not.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;

use super::digest::Sha256;
use crate::{
    audio::WORK_RATE_HZ,
    error::{Error, ErrorKind, Result},
    model::Stem,
    protocol::BlobRef,
    store::read_bounded,
};

/// Most bytes a model's file may have.
pub(super) const MAX_FILE_BYTES: u64 = 8 << 30;

/// Most bytes a manifest may have.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model and all that is known of it before it is loaded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Identifier on the command line and in the cache ("htdemucs").
    pub name: String,
    /// Name in the window ("Balanced").
    pub title: String,
    /// One plain sentence.
    pub description: String,
    /// How good it is, in plain words.
    pub quality: String,
    /// Published median signal-to-distortion ratio in dB on MUSDB18-HQ, the mean of the four
    /// usual stems; where there is one.
    pub sdr_db: Option<f64>,
    /// The stems it yields, in the order of its outputs.
    pub stems: Vec<Stem>,
    /// Frames of the segments that its networks are made for.
    #[serde(default = "htdemucs_segment")]
    pub segment_frames: usize,
    /// What kind of network its files hold.
    pub architecture: Architecture,
    /// What is known of its licence, in plain words.
    pub licence: String,
    /// Where it comes from.
    pub homepage: Option<String>,
    /// Rough seconds of one 2020s core per second of audio.
    pub cost_core_secs_per_sec: f64,
    /// Memory its weights take while it is loaded, in bytes.
    pub weights_bytes: u64,
    /// Memory of one running chunk beside the weights, in bytes.
    pub memory_bytes_per_chunk: u64,
    /// Its files. Several are a bag: nets whose stems are put together.
    #[serde(rename = "file")]
    pub files: Vec<ModelFile>,
}

/// What kind of network a model is; says which part of [`crate::model`] runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Hybrid Transformer Demucs, version 4.
    Htdemucs,
}

/// `int(39 / 5 s · 44100 Hz)`, of all released HTDemucs models.
fn htdemucs_segment() -> usize {
    343_980
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name on this computer: the last part of the address.
    #[serde(skip)]
    pub name: String,
    /// Where it is to be had; `None` for a model that the user brought.
    pub url: Option<String>,
    /// Its exact length.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256,
    /// The one stem that this net of a bag is for; `None` when it is for all of them.
    pub stem: Option<Stem>,
}

impl ModelFile {
    /// What it is known by among computers.
    pub(crate) fn blob(&self) -> BlobRef {
        BlobRef { sha256: self.sha256, bytes: self.bytes }
    }

    /// Whether any of `stems` comes out of it.
    pub(crate) fn serves(&self, stems: &[Stem]) -> bool {
        self.stem.is_none_or(|stem| stems.contains(&stem))
    }
}

impl Model {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Memory it needs while `lanes` chunks run at once, in bytes.
    pub fn memory_bytes(&self, lanes: usize) -> u64 {
        self.weights_bytes
            .saturating_add(self.memory_bytes_per_chunk.saturating_mul(lanes.max(1) as u64))
    }

    /// Expected seconds for `song_secs` of audio on `threads` threads, before anything was
    /// measured on this computer.
    pub fn estimated_secs(&self, song_secs: f64, threads: usize) -> f64 {
        song_secs * self.cost_core_secs_per_sec / threads.max(1) as f64
    }

    /// BLAKE3 over the hashes of its files in their order: the same weights, the same value.
    pub fn weights_hash(&self) -> [u8; 32] {
        Self::hash_of_weights(self.files.iter().map(|file| &file.sha256))
    }

    /// The same of files with these hashes.
    pub fn hash_of_weights<'a>(files: impl Iterator<Item = &'a Sha256>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for sha256 in files {
            hasher.update(&sha256.0);
        }
        *hasher.finalize().as_bytes()
    }
}

/// The models that exist.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "model")]
    models: Vec<Model>,
}

impl Manifest {
    /// The list that comes with the program.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    pub fn built_in() -> Self {
        Self::parse(include_str!("../../../assets/models.toml"))
            .expect("the manifest inside the program is well formed")
    }

    /// Reads a list in the form of `assets/models.toml` from a file.
    ///
    /// # Errors
    /// As [`Self::parse`], or what the disk says.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_bounded(path, MAX_MANIFEST_BYTES)?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| Error {
            what: format!("{} in “{}”", error.what, path.display()),
            ..error
        })
    }

    /// Reads a list from TOML and checks that nothing in it can lead astray.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], saying what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |what: String| {
            Error::new(ErrorKind::Invalid, format!("The list of models cannot be used: {what}"))
        };
        let mut manifest: Self =
            toml::from_str(text).map_err(|e| invalid(e.message().to_owned()).caused_by(e))?;
        let mut names = BTreeSet::new();
        for model in &mut manifest.models {
            for file in &mut model.files {
                let url = file.url.as_deref().unwrap_or_default();
                file.name = url.rsplit('/').next().unwrap_or_default().to_owned();
            }
            check(model).map_err(|what| invalid(format!("{}: {what}", model.name)))?;
            for name in std::iter::once(&model.name).chain(model.files.iter().map(|f| &f.name)) {
                if !names.insert(name.to_ascii_lowercase()) {
                    return Err(invalid(format!("“{name}” is there twice")));
                }
            }
        }
        Ok(manifest)
    }

    /// The models in their order.
    pub fn models(&self) -> &[Model] {
        &self.models
    }
}

/// What is wrong with `model`.
fn check(model: &Model) -> Result<(), String> {
    let is_plain = |name: &str| {
        !name.is_empty()
            && name.len() <= 100
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if !is_plain(&model.name) {
        return Err("its name is not made of letters, digits and “_-.”".to_owned());
    }
    if model.files.is_empty() || model.stems.is_empty() {
        return Err("it has no files or no stems".to_owned());
    }
    let distinct: BTreeSet<_> = model.stems.iter().collect();
    if distinct.len() != model.stems.len() {
        return Err("it has a stem twice".to_owned());
    }
    if !(1..=60 * WORK_RATE_HZ as usize).contains(&model.segment_frames) {
        return Err(format!("its segments have {} frames", model.segment_frames));
    }
    if !(model.cost_core_secs_per_sec.is_finite() && model.cost_core_secs_per_sec > 0.0) {
        return Err("its cost is not a number above zero".to_owned());
    }
    for file in &model.files {
        let url = file.url.as_deref().unwrap_or_default();
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(format!("“{url}” is no address of a file"));
        }
        if !is_plain(&file.name) || kind_of(&file.name).is_none() {
            return Err(format!("“{}” is not the name of a .th or .safetensors file", file.name));
        }
        if file.bytes == 0 || file.bytes > MAX_FILE_BYTES {
            return Err(format!("{} has {} bytes", file.name, file.bytes));
        }
        if hash_in_name(&file.name).is_some_and(|start| !starts_with(file.sha256, start)) {
            return Err(format!("the name of {} and its SHA-256 do not agree", file.name));
        }
        if file.stem.is_some_and(|stem| !model.stems.contains(&stem)) {
            return Err(format!("{} is for a stem that the model has not", file.name));
        }
    }
    Ok(())
}

/// The extension of a name that can be a model's file.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    let extension = Path::new(name).extension()?.to_str()?;
    ["th", "safetensors"].into_iter().find(|kind| extension.eq_ignore_ascii_case(kind))
}

/// The start of the file's SHA-256 that names after Demucs's custom end in, as in
/// `955717e8-8726e21a.th`: eight hexadecimal digits.
pub(super) fn hash_in_name(name: &str) -> Option<&str> {
    let (_, start) = Path::new(name).file_stem()?.to_str()?.rsplit_once('-')?;
    (start.len() == 8 && start.bytes().all(|b| b.is_ascii_hexdigit())).then_some(start)
}

/// Whether the digits of `hash` start with `start`.
pub(super) fn starts_with(hash: Sha256, start: &str) -> bool {
    hash.to_string().starts_with(&start.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_inside_the_program_is_well_formed() {
        let manifest = Manifest::built_in();
        let names: Vec<_> = manifest.models().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["htdemucs", "htdemucs_ft", "htdemucs_6s"]);
        for model in manifest.models() {
            assert!(model.files.iter().all(|file| hash_in_name(&file.name).is_some()));
            // fp16 on disk, f32 in memory, and little beside the weights.
            assert!(model.bytes().abs_diff(model.weights_bytes / 2) < model.bytes() / 50);
            let of_bag: Vec<_> = model.files.iter().filter_map(|file| file.stem).collect();
            assert!(of_bag.is_empty() || of_bag == model.stems);
        }
    }

    #[test]
    fn a_manifest_that_could_lead_astray_is_refused() {
        let good = include_str!("../../../assets/models.toml");
        for (from, to, hint) in [
            ("/955717e8-8726e21a.th", "/..", "not the name"),
            ("/955717e8-8726e21a.th", "/955717e8-8726e21b.th", "do not agree"),
            ("/955717e8-8726e21a.th", "/f7e0c4bc-ba3fe64a.th", "do not agree"),
            ("bytes = 84_141_911", "bytes = 0", "0 bytes"),
            ("bytes = 84_141_911", "bytes = 99_000_000_000", "bytes"),
            ("name = \"htdemucs\"", "name = \"../htdemucs\"", "letters"),
            ("name = \"htdemucs_ft\"", "name = \"HTDemucs\"", "twice"),
            ("name = \"htdemucs\"\n", "name = \"htdemucs\"\ncolour = 1\n", "colour"),
            ("sha256 = \"8726e21a", "sha256 = \"8726e21", "SHA-256"),
            ("stem = \"drums\"", "stem = \"piano\"", "has not"),
            ("architecture = \"htdemucs\"", "architecture = \"magic\"", "magic"),
        ] {
            let error = Manifest::parse(&good.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.what.contains(hint), "{from} → {to}: {}", error.what);
        }
    }

    #[test]
    fn hashes_are_found_in_names() {
        assert_eq!(hash_in_name("955717e8-8726e21a.th"), Some("8726e21a"));
        assert_eq!(hash_in_name("my-model-0123ABCD.safetensors"), Some("0123ABCD"));
        assert_eq!(hash_in_name("my-model.th"), None);
        assert_eq!(hash_in_name("8726e21a.th"), None);
    }
}
