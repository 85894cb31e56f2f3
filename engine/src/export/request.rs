//! What is to be exported, and how.

use std::{ops::Range, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{format::Format, level::ClipPolicy};
use crate::{
    error::{Error, ErrorKind, Result},
    mix::LaneControl,
    model::Stem,
    song::SongInfo,
    store::Track,
};

/// One thing to write as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Item {
    /// A stem as it was separated, whatever its lane's controls say.
    Stem(Stem),
    /// What is heard: the audible lanes with their volume and pan.
    Mix,
    /// What the stems leave over: mixture minus the sum of all stems.
    Remainder,
    /// The song before separation.
    Original,
}

impl Item {
    /// Lower-case name for scripts and file names: "drums", "mix", "remainder", "original".
    pub fn id(self) -> &'static str {
        match self {
            Self::Stem(stem) => stem.name(),
            Self::Mix => "mix",
            Self::Remainder => "remainder",
            Self::Original => "original",
        }
    }

    /// Name in titles and file names: "Drums".
    pub fn title(self) -> &'static str {
        match self {
            Self::Stem(Stem::Drums) => "Drums",
            Self::Stem(Stem::Bass) => "Bass",
            Self::Stem(Stem::Other) => "Other",
            Self::Stem(Stem::Vocals) => "Vocals",
            Self::Stem(Stem::Guitar) => "Guitar",
            Self::Stem(Stem::Piano) => "Piano",
            Self::Mix => "Mix",
            Self::Remainder => "Remainder",
            Self::Original => "Original",
        }
    }
}

/// Sample rate of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rate {
    /// As the source file; every file is then exactly as long as the song decodes to.
    Source,
    /// This many hertz.
    Hz(u32),
}

impl Rate {
    /// In hertz, for a source of `source_hz`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a rate that no file has.
    pub(super) fn hz(self, source_hz: u32) -> Result<u32> {
        match self {
            Self::Source => Ok(source_hz),
            Self::Hz(hz @ 8_000..=384_000) => Ok(hz),
            Self::Hz(hz) => Err(Error::new(
                ErrorKind::Invalid,
                format!("{hz} Hz is not a sample rate to write files at"),
            )
            .advice("Take 44100, 48000 or 96000 Hz, or leave the source's rate")),
        }
    }
}

/// What happens when a file of that name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Existing {
    /// It stays, and the new one gets a number: "Lithium (Drums) 2.wav".
    NumberUp,
    /// It is replaced. The file that the song was opened from never is.
    Overwrite,
}

/// An export. Tracks are at the work rate.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// Facts about the song: names, rate, length, where its tags are.
    pub song: SongInfo,
    /// Name of the model, for `{model}` in file names.
    pub model: String,
    /// The song before separation.
    pub mixture: Arc<Track>,
    /// Stems in lane order; complete over the range.
    pub stems: Vec<(Stem, Arc<Track>)>,
    /// One per stem.
    pub lanes: Vec<LaneControl>,
    /// Files to write, in this order.
    pub items: Vec<Item>,
    /// Part of the song in frames at the work rate (a loop, a selection); none is the whole.
    pub range: Option<Range<u64>>,
    /// Format of every file.
    pub format: Format,
    /// Sample rate of every file.
    pub rate: Rate,
    /// What to do where a file would clip.
    pub clipping: ClipPolicy,
    /// File name without extension; see [`super::FIELDS`].
    pub template: String,
    /// Where the files go; created where it is missing.
    pub folder: PathBuf,
    /// Whether tags and cover of the source file are carried over.
    pub copy_tags: bool,
    /// What to do about files that exist.
    pub existing: Existing,
}
