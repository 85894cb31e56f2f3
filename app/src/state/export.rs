//! The export dialog and running exports.

use std::path::PathBuf;

use engine::model::Stem;
use serde::{Deserialize, Serialize};

/// The export dialog's fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportForm {
    /// Stems to write.
    pub stems: Vec<Stem>,
    /// Write the mix that is heard.
    pub mix: bool,
    /// Write what the stems leave over.
    pub residual: bool,
    /// Which part.
    pub part: ExportPart,
    /// File format.
    pub format: ExportFormat,
    /// Bits per sample of WAV and FLAC.
    pub bits: ExportBits,
    /// Sample rate in hertz; `None` = as the source.
    pub sample_rate_hz: Option<u32>,
    /// Carry tags and cover over.
    pub tags: bool,
    /// What to do when a file would clip.
    pub clipping: ClipChoice,
    /// Naming template with {artist}, {title}, {album}, {stem}.
    pub template: String,
    /// Target folder; `None` until the dialog proposed one.
    pub folder: Option<PathBuf>,
    /// What would be written, kept up to date while the dialog is open.
    #[serde(skip)]
    pub plan: Option<Result<ExportPlan, String>>,
}

impl Default for ExportForm {
    fn default() -> Self {
        Self {
            stems: Stem::ALL.to_vec(),
            mix: true,
            residual: false,
            part: ExportPart::Whole,
            format: ExportFormat::Wav,
            bits: ExportBits::Int24,
            sample_rate_hz: None,
            tags: true,
            clipping: ClipChoice::TurnDown,
            template: "{artist} - {title} ({stem})".into(),
            folder: None,
            plan: None,
        }
    }
}

/// Part of the song to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportPart {
    /// All of it.
    Whole,
    /// The loop.
    Loop,
    /// The selection.
    Selection,
}

/// File format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportFormat {
    /// RIFF WAVE.
    Wav,
    /// FLAC.
    Flac,
    /// MP3.
    Mp3,
    /// Ogg Vorbis.
    Ogg,
}

/// Bits per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportBits {
    /// 16-bit integers, dithered.
    Int16,
    /// 24-bit integers.
    Int24,
    /// 32-bit float, never clips.
    Float32,
}

/// What to do when a file would clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClipChoice {
    /// Turn every file down by the same amount.
    TurnDown,
    /// Cut the peaks.
    Cut,
    /// Switch to 32-bit float.
    Float,
}

/// What an export would write.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExportPlan {
    /// The files.
    pub files: Vec<PlannedFile>,
    /// Free bytes at the target, where known.
    pub free_bytes: Option<u64>,
    /// By how many decibels the loudest file would clip, when one would.
    pub over_db: Option<f32>,
    /// The song is not fully separated: only this much of it is written as stems.
    pub ready_fraction: f32,
}

/// One file an export would write.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFile {
    /// File name.
    pub name: String,
    /// Expected size.
    pub bytes: u64,
    /// The plain name was taken; a number was added.
    pub renamed: bool,
}

/// A running export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportRun {
    /// Number unique in this run.
    pub key: u64,
    /// Title of the song.
    pub title: String,
    /// Share done, 0.0..=1.0.
    pub fraction: f32,
    /// Files to be written.
    pub files: usize,
}
