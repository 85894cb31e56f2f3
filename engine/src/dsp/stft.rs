//! Short-time Fourier transform of stereo audio and its exact inverse.
//!
//! Two real channels travel through one complex transform, the first as its real and the second as
//! its imaginary part, which halves the work.

use std::ops::Range;

use rustfft::num_complex::Complex;

use super::fft::{Fft, FftScratch, Values};

/// One bin of a spectrum.
pub type Bin = Complex<f32>;

/// Transform of frames of `size` samples every `hop` samples under a periodic Hann window.
///
/// Frames lie on one grid for the whole song: frame `n` covers samples `n * hop` to
/// `n * hop + size`, and `n` may be negative, so that whoever looks at a piece of the song sees the
/// same frames as whoever looks at another piece.
pub struct Stft {
    size: usize,
    hop: usize,
    analysis: Vec<f32>,
    synthesis: Vec<f32>,
    fft: Fft,
}

/// Working memory of one thread's transforms.
#[derive(Debug)]
pub struct Scratch {
    values: Values,
    fft: FftScratch,
}

impl Stft {
    /// A transform of frames of `size` samples every `hop`.
    ///
    /// # Panics
    /// Unless [`Self::fits`].
    pub fn new(size: usize, hop: usize) -> Self {
        assert!(Self::fits(size, hop), "{size}/{hop} has no inverse");
        let hann = hann(size);
        let overlapped = hann.iter().map(|w| w * w).sum::<f64>() / hop as f64;
        // The transform does not scale; the inverse's 1/size goes into the window as well.
        let scale = 1.0 / (overlapped * size as f64);
        Self {
            size,
            hop,
            analysis: hann.iter().map(|&w| w as f32).collect(),
            synthesis: hann.iter().map(|&w| (w * scale) as f32).collect(),
            fft: Fft::new(size),
        }
    }

    /// Whether `size` is a power of two from 256 on, a multiple of `hop` and at least three times as
    /// long: only then do the squared windows add up to a constant.
    pub fn fits(size: usize, hop: usize) -> bool {
        Fft::fits(size) && hop > 0 && size.is_multiple_of(hop) && size / hop >= 3
    }

    /// Bins of a channel's spectrum: from 0 Hz to half the sample rate.
    pub fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Memory for one thread.
    pub fn scratch(&self) -> Scratch {
        let zeros = || vec![0.0; self.size];
        Scratch { values: [zeros(), zeros()], fft: self.fft.scratch() }
    }

    /// First sample of `frame`.
    pub fn start(&self, frame: i64) -> i64 {
        frame * self.hop as i64
    }

    /// The frames that cover any of `samples`; each sample is covered by `size / hop` frames.
    pub fn frames_touching(&self, samples: Range<i64>) -> Range<i64> {
        if samples.is_empty() {
            return 0..0;
        }
        let (size, hop) = (self.size as i64, self.hop as i64);
        (samples.start - size).div_euclid(hop) + 1..(samples.end - 1).div_euclid(hop) + 1
    }

    /// Spectra of the frame that starts at sample `at` of `channels`, which are equally long;
    /// samples before and behind them count as zeros. `spectra` have [`Self::bins`] bins, unscaled.
    /// A channel of zeros has a spectrum of exact zeros.
    pub fn analyse(
        &self,
        channels: [&[f32]; 2],
        at: i64,
        spectra: [&mut [Bin]; 2],
        scratch: &mut Scratch,
    ) {
        let inside = self.inside(at, channels[0].len());
        let from = (at + inside.start as i64) as usize;
        let mut sounds = [0u32; 2];
        for ((values, channel), sounds) in scratch.values.iter_mut().zip(channels).zip(&mut sounds)
        {
            values[..inside.start].fill(0.0);
            values[inside.end..].fill(0.0);
            for ((value, w), x) in values[inside.clone()]
                .iter_mut()
                .zip(&self.analysis[inside.clone()])
                .zip(&channel[from..from + inside.len()])
            {
                *value = x * w;
                *sounds |= x.to_bits();
            }
        }
        self.fft.transform(&mut scratch.values, &mut scratch.fft);
        let [re, im] = &scratch.values;
        let [first, second] = spectra;
        (first[0], second[0]) = (Bin::new(re[0], 0.0), Bin::new(im[0], 0.0));
        let mirrors = re.iter().rev().zip(im.iter().rev());
        for (((first, second), (re, im)), (mirror_re, mirror_im)) in first[1..]
            .iter_mut()
            .zip(&mut second[1..])
            .zip(re[1..].iter().zip(&im[1..]))
            .zip(mirrors)
        {
            *first = Bin::new(0.5 * (re + mirror_re), 0.5 * (im - mirror_im));
            *second = Bin::new(0.5 * (im + mirror_im), 0.5 * (mirror_re - re));
        }
        // Rounding lets each channel leak into the other at about -150 dB; silence stays silence.
        if !sounds_at_all(sounds[0]) {
            first.fill(Bin::default());
        }
        if !sounds_at_all(sounds[1]) {
            second.fill(Bin::default());
        }
    }

    /// Adds the frame with the spectra `bin(0)`, `bin(1)`, ... to `channels` (equally long), the
    /// frame starting at their sample `at`; what lies outside of them is dropped. Adding all frames
    /// that touch a sample, in any fixed order, gives that sample back.
    pub fn synthesise(
        &self,
        bin: impl Fn(usize) -> [Bin; 2],
        at: i64,
        channels: [&mut [f32]; 2],
        scratch: &mut Scratch,
    ) {
        let half = self.size / 2;
        let mut sounds = [0u32; 2];
        // Exchanged, for the inverse.
        let [im, re] = &mut scratch.values;
        for k in [0, half] {
            // These two bins of real signals are real.
            let [a, b] = bin(k);
            (re[k], im[k]) = (a.re, b.re);
            sounds[0] |= a.re.to_bits();
            sounds[1] |= b.re.to_bits();
        }
        let (re, re_mirror) = re.split_at_mut(half);
        let (im, im_mirror) = im.split_at_mut(half);
        let mirrors = re_mirror[1..].iter_mut().rev().zip(im_mirror[1..].iter_mut().rev());
        for ((k, (re, im)), (re_mirror, im_mirror)) in
            (1..half).zip(re[1..].iter_mut().zip(&mut im[1..])).zip(mirrors)
        {
            let [a, b] = bin(k);
            (*re, *im) = (a.re - b.im, a.im + b.re);
            (*re_mirror, *im_mirror) = (a.re + b.im, b.re - a.im);
            sounds[0] |= a.re.to_bits() | a.im.to_bits();
            sounds[1] |= b.re.to_bits() | b.im.to_bits();
        }
        self.fft.transform(&mut scratch.values, &mut scratch.fft);
        let inside = self.inside(at, channels[0].len());
        let from = (at + inside.start as i64) as usize;
        let parts = scratch.values.iter().rev();
        for ((channel, values), sounds) in channels.into_iter().zip(parts).zip(sounds) {
            if sounds_at_all(sounds) {
                let windowed = values[inside.clone()].iter().zip(&self.synthesis[inside.clone()]);
                for (x, (value, w)) in channel[from..].iter_mut().zip(windowed) {
                    *x += value * w;
                }
            }
        }
    }

    /// What [`Self::synthesise`] of nothing but `frames` must be multiplied by at `sample`, which one
    /// of them covers, to give the signal back there.
    pub fn gain_under(&self, sample: i64, frames: &Range<i64>) -> f32 {
        let [mut all, mut some] = [0.0f32; 2];
        for frame in self.frames_touching(sample..sample + 1) {
            let weight = self.analysis[(sample - self.start(frame)) as usize].powi(2);
            all += weight;
            some += if frames.contains(&frame) { weight } else { 0.0 };
        }
        all / some
    }

    /// The part of a frame at sample `at` that lies inside a signal of `len` samples.
    fn inside(&self, at: i64, len: usize) -> Range<usize> {
        let clamp = |x: i64| x.clamp(0, self.size as i64) as usize;
        let start = clamp(-at);
        start..clamp(len as i64 - at).max(start)
    }
}

impl std::fmt::Debug for Stft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stft({}/{})", self.size, self.hop)
    }
}

/// Whether any of the values whose bits are all in `bits` is not zero, which may have a sign.
fn sounds_at_all(bits: u32) -> bool {
    bits << 1 != 0
}

/// The periodic Hann window.
fn hann(size: usize) -> Vec<f64> {
    let turn = std::f64::consts::TAU / size as f64;
    (0..size).map(|n| 0.5 - 0.5 * (turn * n as f64).cos()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resynthesise(stft: &Stft, channels: [&[f32]; 2]) -> [Vec<f32>; 2] {
        let len = channels[0].len();
        let mut out = [vec![0.0; len], vec![0.0; len]];
        let mut spectra = [vec![Bin::default(); stft.bins()], vec![Bin::default(); stft.bins()]];
        let mut scratch = stft.scratch();
        for frame in stft.frames_touching(0..len as i64) {
            let at = stft.start(frame);
            let [a, b] = &mut spectra;
            stft.analyse(channels, at, [a, b], &mut scratch);
            let [left, right] = &mut out;
            stft.synthesise(|k| [spectra[0][k], spectra[1][k]], at, [left, right], &mut scratch);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_inverse_gives_the_signal_back(
            shape in prop::sample::select(vec![(4096, 1024), (2048, 512), (512, 128), (8192, 2048)]),
            len in 1usize..20_000,
            seed: u32,
        ) {
            let stft = Stft::new(shape.0, shape.1);
            let mut state = seed;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            };
            let left: Vec<f32> = (0..len).map(|_| noise()).collect();
            let right: Vec<f32> = (0..len).map(|_| noise()).collect();
            let [a, b] = resynthesise(&stft, [&left, &right]);
            for (x, y) in left.iter().chain(&right).zip(a.iter().chain(&b)) {
                prop_assert!((x - y).abs() < 1e-6, "{x} came back as {y}");
            }
        }

        #[test]
        fn frames_touching_are_all_that_overlap(start in -9000i64..9000, len in 1i64..9000) {
            let stft = Stft::new(2048, 512);
            let frames = stft.frames_touching(start..start + len);
            let overlaps = |frame: i64| {
                stft.start(frame) < start + len && stft.start(frame) + 2048 > start
            };
            prop_assert!(frames.clone().all(overlaps));
            prop_assert!(!overlaps(frames.start - 1) && !overlaps(frames.end));
        }
    }

    #[test]
    fn a_tone_lies_in_its_bin_of_its_channel() {
        let stft = Stft::new(512, 128);
        let tone: Vec<f32> =
            (0..512).map(|n| (std::f32::consts::TAU * 20.0 * n as f32 / 512.0).cos()).collect();
        let silence = vec![0.0; 512];
        let mut spectra = [vec![Bin::default(); 257], vec![Bin::default(); 257]];
        let [a, b] = &mut spectra;
        stft.analyse([&silence, &tone], 0, [a, b], &mut stft.scratch());
        assert!(spectra[0].iter().all(|bin| *bin == Bin::default()));
        // Half the length times half the window's sum, spread 1/2, 1, 1/2 by the window.
        assert!((spectra[1][20].re - 128.0).abs() < 1e-3, "{}", spectra[1][20]);
        assert!((spectra[1][21].re + 64.0).abs() < 1e-3, "{}", spectra[1][21]);
        assert!(spectra[1][30].norm() < 1e-3);
    }

    #[test]
    fn a_silent_channel_stays_exactly_silent() {
        let stft = Stft::new(512, 128);
        let noise: Vec<f32> = (0..2000).map(|n| ((n * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let [_, right] = resynthesise(&stft, [&noise, &vec![0.0; 2000]]);
        assert!(right.iter().all(|&x| x == 0.0));
    }

    /// Mathematics libraries differ in the last digits of f64 sines. Our tables are the same
    /// everywhere as long as no entry is so near a rounding boundary that those digits matter.
    #[test]
    fn tables_round_the_same_whatever_the_mathematics_library() {
        for size in [4096usize, 2048] {
            let turn = std::f64::consts::TAU / size as f64;
            for n in 0..size {
                let (sin, cos) = (turn * n as f64).sin_cos();
                for exact in [sin, cos, 0.5 - 0.5 * cos] {
                    let slack = 4.0 * f64::EPSILON * exact.abs().max(1e-3);
                    let same = (exact - slack) as f32 == (exact + slack) as f32;
                    // Quarter turns: one library says 0, another 1e-16; both are far below rounding.
                    assert!(same || exact.abs() < 1e-15, "{exact} at {n} of {size}");
                }
            }
        }
    }
}
