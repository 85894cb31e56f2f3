//! Separation models: the trait every network or classical method implements, and the registry.

pub mod band_gru;
pub mod checkpoint;
pub mod htdemucs;
mod mid_side;
pub mod nn;
pub mod spectral;
mod steps;
mod weights;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{audio::Planar, error::Result};

/// What a stem is; fixes name, order, colour and icon everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// Drums and percussion.
    Drums,
    /// Bass.
    Bass,
    /// Whatever no other stem holds.
    Other,
    /// Singing and speech.
    Vocals,
    /// Guitar (six-stem models).
    Guitar,
    /// Piano (six-stem models).
    Piano,
}

impl Stem {
    /// All stems in lane order.
    pub const ALL: [Self; 6] =
        [Self::Drums, Self::Bass, Self::Other, Self::Vocals, Self::Guitar, Self::Piano];

    /// Lower-case name, as in file names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drums => "drums",
            Self::Bass => "bass",
            Self::Other => "other",
            Self::Vocals => "vocals",
            Self::Guitar => "guitar",
            Self::Piano => "piano",
        }
    }

    /// The stem called `name`, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stem| stem.name().eq_ignore_ascii_case(name))
    }
}

/// How a model wants a song cut and joined; together with the song's length this fixes the chunk
/// grid, whoever computes it. All lengths in frames at the work rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkSpec {
    /// Frames of output that one chunk yields.
    pub segment_frames: u64,
    /// Frames from one chunk's start to the next one's; at most `segment_frames`. Chunks overlap
    /// by the difference and are joined by weighted overlap-add.
    pub stride_frames: u64,
    /// Extra input on each side of the segment that the model may look at. Beyond the song there is
    /// nothing; see [`ChunkInput::context_before_frames`].
    pub context_frames: u64,
    /// Weight of each output frame in the overlap-add.
    pub window: JoinWindow,
}

/// Weights of a chunk's frames where chunks overlap. The sum is divided out afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinWindow {
    /// A triangle over the whole segment, as Demucs's `apply_model` weighs with
    /// `transition_power = 1`: `1..=L/2, L-L/2..=1`, over its maximum.
    Triangle,
    /// Ones, with linear fades as long as the overlap at both ends (flat at the song's own ends).
    LinearFades,
}

/// One chunk of input with its surroundings, as handed to a [`Separator`].
#[derive(Debug, Clone)]
pub struct ChunkInput {
    /// The song's mixture at the work rate from `segment start - context_before`; always stereo.
    pub audio: Planar,
    /// Frames of `audio` before the segment starts. Less than the spec's context only at the
    /// song's start, where there is no more (inputs are never padded by the engine); more for a
    /// short last segment, which lies in the middle of a full one (see [`crate::plan::Plan::input`]).
    pub context_before_frames: usize,
    /// Frames of the segment itself; less than the spec's only for a song's last chunk.
    pub segment_frames: usize,
    /// Position of the segment's first frame in the song.
    pub start_frame: u64,
    /// Statistics of the whole song, for models that normalise by them.
    pub song: SongStats,
}

/// Statistics of a whole song at the work rate, in f64 so that they are the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SongStats {
    /// Frames in the song.
    pub frames: u64,
    /// Mean of the mono downmix (average of channels).
    pub mono_mean: f64,
    /// Unbiased standard deviation of the mono downmix.
    pub mono_std: f64,
    /// Root mean square over all channels.
    pub rms: f64,
    /// Largest absolute sample.
    pub peak: f32,
}

/// What a model is, for choosing it and for the content key of its results.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Identifier on the command line and in the cache ("spectral").
    pub name: String,
    /// Name in the window ("Basic").
    pub title: String,
    /// One plain sentence.
    pub description: String,
    /// The stems it yields, in lane order.
    pub stems: Vec<Stem>,
    /// How songs are cut for it.
    pub chunks: ChunkSpec,
    /// BLAKE3 of weights and everything else that shapes its output, algorithm version included.
    pub hash: [u8; 32],
    /// Peak working memory of one running chunk, in bytes.
    pub memory_bytes_per_chunk: u64,
    /// Compute cost: rough seconds of one 2020s core per second of audio, for estimates before
    /// anything was measured.
    pub cost_core_secs_per_sec: f64,
    /// Whether the stems add up to the mixture.
    pub sums_to_mixture: bool,
}

/// Told by long computations so that progress moves and cancelling works inside a chunk.
pub trait Progress: Sync {
    /// Share of this chunk that is done, 0.0..=1.0.
    fn report(&self, done: f32);
    /// Whether to stop now; the separator then returns [`crate::Error::cancelled`].
    fn is_cancelled(&self) -> bool;
}

/// A [`Progress`] nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _done: f32) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A separation method. Implementations are pure: the same input gives the same samples,
/// whatever thread runs it.
pub trait Separator: Send + Sync {
    /// What this model is.
    fn info(&self) -> &ModelInfo;

    /// Separates one chunk: one stereo [`Planar`] of exactly `input.segment_frames` frames per
    /// stem of [`ModelInfo::stems`], in that order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`] when `progress` says so; anything else is a failed chunk.
    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> Result<Vec<Planar>>;

    /// Reads what [`Self::separate_some`] with the same `keep` needs beside its input, if that has
    /// not been read yet.
    ///
    /// # Errors
    /// When it cannot be read, and so no chunk be separated.
    fn prepare(&self, _keep: &[usize]) -> Result<()> {
        Ok(())
    }

    /// As [`Self::separate`], but only the stems at the indices `keep` into
    /// [`ModelInfo::stems`], in that order, each once. For models that save work by it.
    ///
    /// # Errors
    /// As [`Self::separate`].
    fn separate_some(
        &self,
        input: &ChunkInput,
        keep: &[usize],
        progress: &dyn Progress,
    ) -> Result<Vec<Planar>> {
        let mut all = self.separate(input, progress)?;
        Ok(keep.iter().filter_map(|&stem| all.get_mut(stem).map(std::mem::take)).collect())
    }

    /// Whether a chunk's work is split among the threads of the pool that it runs in.
    fn uses_all_threads(&self) -> bool {
        false
    }

    /// The same model working harder for better stems, or `None` where it cannot.
    fn with_quality(&self, _quality: Quality) -> Option<Arc<dyn Separator>> {
        None
    }
}

/// How hard a model works; other than the default costs time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// How many times each segment is separated, each time shifted by another part of half a
    /// second, and averaged ("shift trick", Défossez et al. 2019); 0 is once, without a shift.
    pub shifts: u32,
    /// Share of each segment that overlaps the next one, 0.0..=0.9.
    pub overlap: f64,
}

impl Default for Quality {
    fn default() -> Self {
        Self { shifts: 0, overlap: 0.25 }
    }
}

/// The models that come with the program, the default one first.
pub fn built_in() -> Vec<Arc<dyn Separator>> {
    let quick = band_gru::BandGru::quick().map(|quick| quick as Arc<dyn Separator>);
    let classical: Arc<dyn Separator> = Arc::new(spectral::Spectral::new());
    quick.into_iter().chain([classical]).collect()
}
