//! Short-time Fourier transform of stereo audio and its exact inverse.
//!
//! Two real channels travel through one complex transform, the first as its real and the second as
//! its imaginary part, which halves the work. The scalar planner of rustfft is used on purpose: the
//! default one picks AVX, SSE or NEON kernels at run time, and each rounds differently.

use std::{ops::Range, sync::Arc};

use rustfft::{Fft, FftPlannerScalar, num_complex::Complex};

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
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

/// Working memory of one thread's transforms.
#[derive(Debug)]
pub struct Scratch {
    time: Vec<Bin>,
    frequency: Vec<Bin>,
    fft: Vec<Bin>,
}

impl Stft {
    /// A transform of frames of `size` samples every `hop`.
    ///
    /// # Panics
    /// Unless `size` is a multiple of `hop` and at least three times as long: only then do the
    /// squared windows add up to a constant.
    pub fn new(size: usize, hop: usize) -> Self {
        assert!(
            hop > 0 && size.is_multiple_of(hop) && size / hop >= 3,
            "{size}/{hop} has no inverse"
        );
        let hann = hann(size);
        let overlapped = hann.iter().map(|w| w * w).sum::<f64>() / hop as f64;
        // rustfft does not scale; the inverse's 1/size goes into the window as well.
        let scale = 1.0 / (overlapped * size as f64);
        let mut planner = FftPlannerScalar::new();
        Self {
            size,
            hop,
            analysis: hann.iter().map(|&w| w as f32).collect(),
            synthesis: hann.iter().map(|&w| (w * scale) as f32).collect(),
            forward: planner.plan_fft_forward(size),
            inverse: planner.plan_fft_inverse(size),
        }
    }

    /// Bins of a channel's spectrum: from 0 Hz to half the sample rate.
    pub fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Memory for one thread.
    pub fn scratch(&self) -> Scratch {
        let fft = self
            .forward
            .get_outofplace_scratch_len()
            .max(self.inverse.get_outofplace_scratch_len());
        let zeros = |len| vec![Bin::default(); len];
        Scratch { time: zeros(self.size), frequency: zeros(self.size), fft: zeros(fft) }
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
        scratch.time[..inside.start].fill(Bin::default());
        scratch.time[inside.end..].fill(Bin::default());
        let from = (at + inside.start as i64) as usize;
        let mut sounds = [false; 2];
        for (((z, w), a), b) in scratch.time[inside.clone()]
            .iter_mut()
            .zip(&self.analysis[inside.clone()])
            .zip(&channels[0][from..from + inside.len()])
            .zip(&channels[1][from..from + inside.len()])
        {
            *z = Bin::new(a * w, b * w);
            sounds[0] |= *a != 0.0;
            sounds[1] |= *b != 0.0;
        }
        self.forward.process_outofplace_with_scratch(
            &mut scratch.time,
            &mut scratch.frequency,
            &mut scratch.fft,
        );
        let z = &scratch.frequency;
        let [first, second] = spectra;
        (first[0], second[0]) = (Bin::new(z[0].re, 0.0), Bin::new(z[0].im, 0.0));
        for (((first, second), z), mirror) in
            first[1..].iter_mut().zip(&mut second[1..]).zip(&z[1..]).zip(z.iter().rev())
        {
            *first = Bin::new(0.5 * (z.re + mirror.re), 0.5 * (z.im - mirror.im));
            *second = Bin::new(0.5 * (z.im + mirror.im), 0.5 * (mirror.re - z.re));
        }
        // Rounding lets each channel leak into the other at about -150 dB; silence stays silence.
        if !sounds[0] {
            first.fill(Bin::default());
        }
        if !sounds[1] {
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
        let mut sounds = [false; 2];
        let z = &mut scratch.frequency;
        let (lower, upper) = z.split_at_mut(half);
        for k in [0, half] {
            // These two bins of real signals are real.
            let [a, b] = bin(k);
            let target = if k == 0 { &mut lower[0] } else { &mut upper[0] };
            *target = Bin::new(a.re, b.re);
            sounds[0] |= a.re != 0.0;
            sounds[1] |= b.re != 0.0;
        }
        for (k, (z, mirror)) in
            (1..half).zip(lower[1..].iter_mut().zip(upper[1..].iter_mut().rev()))
        {
            let [a, b] = bin(k);
            *z = Bin::new(a.re - b.im, a.im + b.re);
            *mirror = Bin::new(a.re + b.im, b.re - a.im);
            sounds[0] |= a.re != 0.0 || a.im != 0.0;
            sounds[1] |= b.re != 0.0 || b.im != 0.0;
        }
        self.inverse.process_outofplace_with_scratch(
            &mut scratch.frequency,
            &mut scratch.time,
            &mut scratch.fft,
        );
        let [first, second] = channels;
        let inside = self.inside(at, first.len());
        let from = (at + inside.start as i64) as usize;
        let windowed = || scratch.time[inside.clone()].iter().zip(&self.synthesis[inside.clone()]);
        if sounds[0] {
            for (x, (z, w)) in first[from..].iter_mut().zip(windowed()) {
                *x += z.re * w;
            }
        }
        if sounds[1] {
            for (x, (z, w)) in second[from..].iter_mut().zip(windowed()) {
                *x += z.im * w;
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
            shape in prop::sample::select(vec![(4096, 1024), (2048, 512), (512, 128), (1536, 512)]),
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
