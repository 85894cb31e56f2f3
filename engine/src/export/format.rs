//! The file formats that can be written, what each can hold and how big it gets.

use serde::{Deserialize, Serialize};

use crate::audio::StreamSpec;

/// Largest WAV that a plain RIFF header can describe, in bytes; beyond it the file is RF64.
pub(super) const RIFF_LIMIT_BYTES: u64 = u32::MAX as u64;

/// Rates MP3 knows (MPEG 1, 2 and 2.5), ascending.
const MP3_RATES_HZ: [u32; 9] =
    [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// Rates that the Vorbis encoder has tunings for.
const VORBIS_RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// Highest rate that FLAC's frame arithmetic is defined for.
const FLAC_MAX_RATE_HZ: u32 = 655_350;

/// Sample format of lossless files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Bits {
    /// 16-bit integers, TPDF-dithered where anything has to be rounded.
    Int16,
    /// 24-bit integers, rounded to nearest (the rounding lies at −144 dB; no dither).
    Int24,
    /// 32-bit floats, the samples as they are, bit for bit, above full scale too.
    Float32,
}

impl Bits {
    /// Bytes of one sample.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Int16 => 2,
            Self::Int24 => 3,
            Self::Float32 => 4,
        }
    }
}

/// MP3 settings worth having for stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mp3Quality {
    /// Variable bit rate, LAME's best ("V0", about 245 kb/s).
    V0,
    /// Constant 320 kb/s (or the highest that the sample rate allows).
    Cbr320,
}

/// Vorbis quality as `oggenc -q` counts it, −1 to 10; values beyond are taken as the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VorbisQuality(pub i8);

impl Default for VorbisQuality {
    /// 7, about 224 kb/s.
    fn default() -> Self {
        Self(7)
    }
}

/// A file format with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// RIFF WAVE; RF64 above 4 GiB.
    Wav(Bits),
    /// FLAC with 16 or 24 bits; it has no floats.
    Flac(Bits),
    /// MPEG layer III, gapless.
    Mp3(Mp3Quality),
    /// Vorbis in Ogg.
    Vorbis(VorbisQuality),
}

impl Format {
    /// File name extension without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav(_) => "wav",
            Self::Flac(_) => "flac",
            Self::Mp3(_) => "mp3",
            Self::Vorbis(_) => "ogg",
        }
    }

    /// The format in the user's words: "FLAC, 24 bits".
    pub fn describe(self) -> String {
        let bits = |bits| match bits {
            Bits::Int16 => "16 bits",
            Bits::Int24 => "24 bits",
            Bits::Float32 => "32-bit float",
        };
        match self {
            Self::Wav(b) => format!("WAV, {}", bits(b)),
            Self::Flac(b) => format!("FLAC, {}", bits(b)),
            Self::Mp3(Mp3Quality::V0) => "MP3, V0".into(),
            Self::Mp3(Mp3Quality::Cbr320) => "MP3, 320 kb/s".into(),
            Self::Vorbis(q) => format!("Ogg Vorbis, quality {}", q.0.clamp(-1, 10)),
        }
    }

    /// Whether samples above full scale survive.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Wav(Bits::Float32))
    }

    /// Most channels a file of this format holds here; MP3 and Vorbis are written as mono or
    /// stereo only.
    pub fn max_channels(self) -> u16 {
        match self {
            Self::Wav(_) => crate::audio::MAX_CHANNELS as u16,
            Self::Flac(_) => 8,
            Self::Mp3(_) | Self::Vorbis(_) => 2,
        }
    }

    /// `rate_hz` if the format can hold it, else the next higher rate it can, else its highest.
    pub fn nearest_rate_hz(self, rate_hz: u32) -> u32 {
        match self {
            Self::Wav(_) => rate_hz,
            Self::Flac(_) => rate_hz.min(FLAC_MAX_RATE_HZ),
            Self::Mp3(_) => {
                MP3_RATES_HZ.into_iter().find(|&known| known >= rate_hz).unwrap_or(48_000)
            }
            Self::Vorbis(_) => rate_hz.clamp(*VORBIS_RATES_HZ.start(), *VORBIS_RATES_HZ.end()),
        }
    }

    /// Size of a file of `frames` frames in bytes without tags, and whether that is exact.
    pub fn estimated_bytes(self, stream: StreamSpec, frames: u64) -> (u64, bool) {
        let channels = u64::from(stream.channels);
        let secs = stream.secs(frames);
        let at_kbps = |kbps: f64| (secs * kbps * 125.0) as u64;
        // One channel costs a little more than half of two, which share what they have in common.
        let share = if stream.channels == 1 { 0.55 } else { 1.0 };
        match self {
            Self::Wav(bits) => (wav_bytes(bits, frames, channels), true),
            // Music in FLAC takes about 60 % of its 16-bit PCM; the lowest of 24 bits are noise.
            Self::Flac(bits) => {
                let fifths = if bits == Bits::Int16 { 3 } else { 4 };
                (frames.saturating_mul(bits.bytes() * channels) / 5 * fifths, false)
            }
            Self::Mp3(Mp3Quality::Cbr320) => {
                let kbps = match stream.sample_rate_hz {
                    0..=12_000 => 64.0,
                    12_001..=24_000 => 160.0,
                    _ => 320.0,
                };
                (at_kbps(kbps), false)
            }
            Self::Mp3(Mp3Quality::V0) => (at_kbps(245.0 * share), false),
            Self::Vorbis(quality) => {
                const STEREO_KBPS: [f64; 12] = [
                    45.0, 64.0, 80.0, 96.0, 112.0, 128.0, 160.0, 192.0, 224.0, 256.0, 320.0, 500.0,
                ];
                let kbps = STEREO_KBPS[(quality.0.clamp(-1, 10) + 1) as usize];
                let rate = f64::from(stream.sample_rate_hz.min(48_000)) / 44_100.0;
                (at_kbps(kbps * share * rate), false)
            }
        }
    }
}

/// Size of a WAV file without tags; an RF64 header where the RIFF one cannot say the size.
fn wav_bytes(bits: Bits, frames: u64, channels: u64) -> u64 {
    let data = frames.saturating_mul(bits.bytes() * channels);
    let header = match bits {
        Bits::Int16 if channels <= 2 => 44,
        _ => 68,
    };
    let padded = data.saturating_add(data % 2);
    if padded.saturating_add(header) > RIFF_LIMIT_BYTES {
        padded.saturating_add(super::rf64::HEADER_BYTES)
    } else {
        padded + header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_a_format_lacks_go_up_to_the_next_one() {
        let mp3 = Format::Mp3(Mp3Quality::V0);
        for (asked, given) in
            [(44_100, 44_100), (44_056, 44_100), (37_800, 44_100), (96_000, 48_000), (1, 8_000)]
        {
            assert_eq!(mp3.nearest_rate_hz(asked), given);
        }
        assert_eq!(Format::Wav(Bits::Int16).nearest_rate_hz(192_000), 192_000);
        assert_eq!(Format::Vorbis(VorbisQuality(5)).nearest_rate_hz(384_000), 192_000);
    }
}
