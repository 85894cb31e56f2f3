//! How loud a stream gets, and what is done about it where the format would clip.

use serde::{Deserialize, Serialize};

use super::{
    format::{Bits, Format},
    source::Blocks,
};
use crate::{audio::Planar, error::Result};

/// What happens when any file of an export would clip. Formats with floats never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClipPolicy {
    /// Every file is written as 32-bit float WAV instead, the samples untouched.
    KeepFloat,
    /// Every file is turned down by the same gain, so that they still add up.
    CommonGain,
    /// Each file that would clip goes through a look-ahead peak limiter; the others stay as they
    /// are.
    Limit,
}

/// What reading a stream once tells about its samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Largest absolute sample.
    pub peak: f32,
    /// Whether every sample is a 16-bit integer over 32768, so that 16 bits hold it exactly.
    pub fits_int16: bool,
}

impl Default for Level {
    /// Silence.
    fn default() -> Self {
        Self { peak: 0.0, fits_int16: true }
    }
}

impl Level {
    /// The peak in decibels above full scale; −∞ for silence.
    pub fn peak_db(self) -> f32 {
        20.0 * self.peak.log10()
    }

    /// Whether a format without floats would clip it.
    pub fn clips(self) -> bool {
        self.peak > 1.0
    }

    /// Takes in another block.
    pub(super) fn add(&mut self, block: &Planar) {
        for &sample in block.channels().iter().flatten() {
            if sample.is_finite() {
                self.peak = self.peak.max(sample.abs());
            }
            let scaled = sample * 32_768.0;
            // A cast drops what is behind the point.
            let whole = scaled as i32 as f32;
            self.fits_int16 &= scaled == whole && (-32_768.0..=32_767.0).contains(&scaled);
        }
    }
}

/// Reads `blocks` to the end; `on_block` is told the frames of each and can stop it by an error.
pub(super) fn measure(
    blocks: &mut dyn Blocks,
    on_block: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Level> {
    let mut level = Level::default();
    while let Some(block) = blocks.next_block()? {
        level.add(block);
        on_block(block.frames() as u64)?;
    }
    Ok(level)
}

/// What an export does to the samples of all its files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Treatment {
    /// The format they are written in: the one asked for, unless floats must be kept.
    pub(super) format: Format,
    /// Factor for every file.
    pub(super) gain: f32,
    /// Whether files that would clip are limited.
    pub(super) limit: bool,
}

impl Treatment {
    /// Decides for files of these levels.
    pub(super) fn choose(format: Format, policy: ClipPolicy, levels: &[Level]) -> Self {
        let untouched = Self { format, gain: 1.0, limit: false };
        let peak = levels.iter().fold(0.0_f32, |peak, level| peak.max(level.peak));
        if format.is_float() || peak <= 1.0 {
            return untouched;
        }
        match policy {
            ClipPolicy::KeepFloat => Self { format: Format::Wav(Bits::Float32), ..untouched },
            ClipPolicy::CommonGain => Self { gain: ceiling(format) / peak, ..untouched },
            ClipPolicy::Limit => Self { limit: true, ..untouched },
        }
    }
}

/// What a peak is brought down to: full scale less the steps that rounding and dither may add, so
/// that even the highest sample is not cut.
pub(super) fn ceiling(format: Format) -> f32 {
    match format {
        Format::Wav(Bits::Int16) | Format::Flac(Bits::Int16) => 1.0 - 3.0 / 32_768.0,
        Format::Wav(Bits::Int24) | Format::Flac(Bits::Int24) => 1.0 - 2.0 / 8_388_608.0,
        // Lossy decoders overshoot a little wherever they like; floats keep even that.
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_know_the_peak_and_the_grid() {
        let level = |samples: &[f32]| {
            let mut level = Level::default();
            level.add(&Planar::from_channels(vec![samples.to_vec()]));
            level
        };
        assert_eq!(level(&[0.5, -1.0, 0.25]), Level { peak: 1.0, fits_int16: true });
        assert!(!level(&[1.0]).fits_int16, "there is no +32768");
        assert!(!level(&[0.1]).fits_int16);
        assert!(!level(&[f32::NAN]).fits_int16);
        assert_eq!(level(&[f32::INFINITY, 0.5]).peak, 0.5);
        assert!(level(&[2.0]).clips() && !level(&[1.0]).clips());
    }

    #[test]
    fn only_formats_that_clip_are_treated() {
        let loud = [Level { peak: 2.0, fits_int16: false }, Level::default()];
        let wav16 = Format::Wav(Bits::Int16);
        let float = Format::Wav(Bits::Float32);
        for policy in [ClipPolicy::KeepFloat, ClipPolicy::CommonGain, ClipPolicy::Limit] {
            let untouched = Treatment { format: float, gain: 1.0, limit: false };
            assert_eq!(Treatment::choose(float, policy, &loud), untouched);
            let untouched = Treatment { format: wav16, ..untouched };
            assert_eq!(Treatment::choose(wav16, policy, &loud[1..]), untouched);
        }
        assert_eq!(Treatment::choose(wav16, ClipPolicy::KeepFloat, &loud).format, float);
        assert!(Treatment::choose(wav16, ClipPolicy::Limit, &loud).limit);
        let gain = Treatment::choose(wav16, ClipPolicy::CommonGain, &loud).gain;
        assert!(gain < 0.5 && gain > 0.4999);
    }
}
