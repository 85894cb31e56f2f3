//! Floats to integers: rounding, and TPDF dither where 16 bits are coarse enough to hear; and how WAV
//! lays them out.

use super::format::Bits;
use crate::audio::Planar;

/// Turns ±1.0 floats into integers of 16 or 24 bits, saturating.
///
/// Full scale is 2^(bits−1), so integers that a decoder divided by it come back unchanged. With
/// dither, noise of triangular distribution, ±1 step wide, is added before rounding: the error is
/// then a constant hiss, independent of the music (Lipshitz, Wannamaker, Vanderkooy 1992). The
/// noise comes from a seeded generator per channel, so the same export yields the same bytes, and
/// files with different seeds add up without their noise adding up coherently.
#[derive(Debug, Clone)]
pub(super) struct Quantizer {
    scale: f64,
    noise: Option<Vec<SplitMix64>>,
}

impl Quantizer {
    /// For `bits` bits and `channels` channels; `dither_seed` switches the dither on.
    pub(super) fn new(bits: u32, channels: usize, dither_seed: Option<u64>) -> Self {
        Self {
            scale: f64::from(1_u32 << (bits - 1)),
            noise: dither_seed.map(|seed| {
                (0..channels as u64).map(|c| SplitMix64(seed ^ c.wrapping_mul(GOLDEN))).collect()
            }),
        }
    }

    /// The next sample of `channel` as an integer.
    #[inline]
    pub(super) fn quantize(&mut self, channel: usize, sample: f32) -> i32 {
        let mut value = f64::from(sample) * self.scale;
        if let Some(noise) = &mut self.noise {
            value += noise[channel].unit() - noise[channel].unit();
        }
        // Rounds halves away from zero, without a call of the mathematics library for each sample. A
        // cast takes NaN as 0.
        let value = value.clamp(-self.scale, self.scale - 1.0);
        let whole = value as i32;
        let rest = value - f64::from(whole);
        whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)
    }

    /// Writes `block` over `bytes`: little-endian samples, frame by frame; floats are not rounded.
    pub(super) fn interleave(&mut self, block: &Planar, bits: Bits, bytes: &mut Vec<u8>) {
        let width = bits.bytes() as usize;
        let step = block.channel_count() * width;
        bytes.resize(block.frames() * step, 0);
        for (c, channel) in block.channels().iter().enumerate() {
            let Some(bytes) = bytes.get_mut(c * width..) else { continue };
            match bits {
                Bits::Float32 => scatter(channel, bytes, step, f32::to_le_bytes),
                Bits::Int24 => scatter(channel, bytes, step, |x| {
                    let [low, middle, high, _] = self.quantize(c, x).to_le_bytes();
                    [low, middle, high]
                }),
                Bits::Int16 => {
                    scatter(channel, bytes, step, |x| (self.quantize(c, x) as i16).to_le_bytes());
                }
            }
        }
    }
}

/// Writes what `of` makes of each sample, every `step` bytes.
fn scatter<const N: usize>(
    samples: &[f32],
    bytes: &mut [u8],
    step: usize,
    mut of: impl FnMut(f32) -> [u8; N],
) {
    for (&sample, bytes) in samples.iter().zip(bytes.chunks_mut(step)) {
        bytes[..N].copy_from_slice(&of(sample));
    }
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and equidistributed over its whole period.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// Uniform in 0.0..1.0.
    #[inline]
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error of quantising the constant `steps` (in 16-bit steps) `count` times.
    fn errors(steps: f64, count: usize) -> Vec<f64> {
        let mut quantizer = Quantizer::new(16, 1, Some(7));
        let sample = (steps / 32_768.0) as f32;
        (0..count).map(|_| f64::from(quantizer.quantize(0, sample)) - steps).collect()
    }

    #[test]
    fn dither_makes_the_error_independent_of_the_signal() {
        // TPDF dither: mean error 0 and error power 1/4 step² wherever between two steps the
        // signal lies. Without dither the mean error at 0.25 would be -0.25 and the power 1/16.
        for steps in [0.0, 0.25, 0.5, 0.75, -0.3, 100.4] {
            let errors = errors(steps, 200_000);
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            let power = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
            assert!(mean.abs() < 0.01, "mean error {mean} at {steps}");
            assert!((power - 0.25).abs() < 0.01, "error power {power} at {steps}");
            assert!(errors.iter().all(|e| e.abs() <= 1.5));
        }
    }

    #[test]
    fn dither_noise_is_white() {
        let errors = errors(0.3, 200_000);
        let power: f64 = errors.iter().map(|e| e * e).sum();
        for lag in 1..8 {
            let product: f64 = errors.windows(lag + 1).map(|w| w[0] * w[lag]).sum();
            assert!((product / power).abs() < 0.02, "correlation at lag {lag}");
        }
    }

    #[test]
    fn channels_and_seeds_get_different_noise() {
        let run = |seed, channel| {
            let mut quantizer = Quantizer::new(16, 2, Some(seed));
            (0..64).map(|_| quantizer.quantize(channel, 0.1)).collect::<Vec<_>>()
        };
        assert_eq!(run(1, 0), run(1, 0));
        assert_ne!(run(1, 0), run(1, 1));
        assert_ne!(run(1, 0), run(2, 0));
    }

    #[test]
    fn integers_come_back_and_extremes_saturate() {
        for bits in [16, 24] {
            let mut quantizer = Quantizer::new(bits, 1, None);
            let full = 1_i32 << (bits - 1);
            for value in [-full, -full + 1, -1, 0, 1, 12_345, full - 1] {
                assert_eq!(quantizer.quantize(0, value as f32 / full as f32), value);
            }
            assert_eq!(quantizer.quantize(0, 1.0), full - 1);
            assert_eq!(quantizer.quantize(0, f32::INFINITY), full - 1);
            assert_eq!(quantizer.quantize(0, f32::NEG_INFINITY), -full);
            assert_eq!(quantizer.quantize(0, f32::NAN), 0);
        }
    }
}
