//! Where the bass plays: its fundamental by harmonic summation, smoothed over neighbouring frames,
//! and a comb on its harmonics.

use super::{
    grid::{Row, bin_hz},
    repetition::argmax,
};

/// Frames on each side over which candidates' salience is summed.
pub(super) const SMOOTHING_FRAMES: usize = 4;

/// Fundamentals considered: semitones from 36 Hz, just below the lowest D of a bass, to 272 Hz.
const CANDIDATES: usize = 36;
const LOWEST_HZ: f32 = 36.0;
const SEMITONE: f64 = 1.059_463_094_359_295_3;
/// Harmonics summed per candidate, each weighing this much of the one below.
const HARMONICS: usize = 4;
const HARMONIC_DECAY: f32 = 0.8;
/// Bins looked at, and the width over which their level is evened out.
const BINS: usize = 128;
const EVEN_OUT_BINS: usize = 20;

/// Bands the comb reaches, its teeth and half the width of one.
const COMB_BANDS: usize = 160;
const TEETH: i32 = 5;
const TOOTH_HZ: f32 = 28.0;

/// How strongly each candidate fundamental speaks in a frame, the strongest 1.
pub(super) type Salience = [f32; CANDIDATES];

/// The candidates and where their harmonics fall.
#[derive(Debug)]
pub(super) struct Candidates {
    hz: [f32; CANDIDATES],
    harmonics: [[(usize, f32); HARMONICS]; CANDIDATES],
}

impl Candidates {
    pub(super) fn new() -> Self {
        let mut hz = f64::from(LOWEST_HZ);
        let hz = std::array::from_fn(|_| {
            let this = hz;
            hz *= SEMITONE;
            this as f32
        });
        let place = |hz: f32| {
            let bin = hz / bin_hz(1.0);
            (bin as usize, bin - bin.trunc())
        };
        let harmonics = hz.map(|hz| std::array::from_fn(|h| place(hz * (h + 1) as f32)));
        Self { hz, harmonics }
    }

    /// Salience of every candidate in a frame of the given magnitudes.
    pub(super) fn salience(&self, magnitudes: &Row) -> Salience {
        let level = &magnitudes[..BINS];
        let evened: [f32; BINS] = std::array::from_fn(|i| {
            let near = &level[i.saturating_sub(EVEN_OUT_BINS)..(i + EVEN_OUT_BINS + 1).min(BINS)];
            let mean = near.iter().sum::<f32>() / near.len() as f32;
            level[i] / (mean + 1e-6) * level[i].sqrt()
        });
        let mut salience = self.harmonics.map(|harmonics| {
            let mut weight = 1.0;
            let mut sum = 0.0;
            for (bin, part) in harmonics {
                sum += weight * ((1.0 - part) * evened[bin] + part * evened[bin + 1]);
                weight *= HARMONIC_DECAY;
            }
            sum
        });
        let top = salience[argmax(&salience)] + 1e-9;
        salience.iter_mut().for_each(|s| *s /= top);
        salience
    }

    /// The fundamental that speaks most in all of `frames` together, in hertz.
    pub(super) fn fundamental_hz(&self, frames: &[Salience]) -> f32 {
        let sums: Salience = std::array::from_fn(|c| frames.iter().map(|frame| frame[c]).sum());
        self.hz[argmax(&sums)]
    }
}

/// Raises `prior` to a comb on the harmonics of `fundamental_hz`, fading out by `fade`.
pub(super) fn comb(fundamental_hz: f32, centres_hz: &Row, fade: &Row, prior: &mut Row) {
    for ((prior, hz), fade) in prior.iter_mut().zip(centres_hz).zip(fade).take(COMB_BANDS) {
        let tooth = ((hz / fundamental_hz + 0.5) as i32).clamp(1, TEETH);
        let off = (hz - tooth as f32 * fundamental_hz) / TOOTH_HZ;
        let shape = 1.0 - off * off;
        if shape > 0.0 {
            *prior = prior.max(shape * shape * fade);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spectral::grid::{BANDS, centres_hz};

    #[test]
    fn the_fundamental_of_a_harmonic_series_is_found() {
        let candidates = Candidates::new();
        for (c, &hz) in candidates.hz.iter().enumerate().skip(5) {
            // Harmonics as a Hann window shows them: over three bins.
            let magnitudes: Row = std::array::from_fn(|band| {
                let near = |h: usize| (band as f32 - hz * h as f32 / bin_hz(1.0)).abs();
                (1..8).map(|h| (1.0 - near(h) / 2.0).max(0.0) / h as f32).sum::<f32>() + 1e-3
            });
            let found = candidates.fundamental_hz(&[candidates.salience(&magnitudes); 9]);
            assert!(
                (found / hz - 1.0).abs() < 0.07,
                "{hz} Hz (candidate {c}) was taken for {found} Hz"
            );
        }
    }

    #[test]
    fn the_comb_stands_on_the_harmonics() {
        let mut prior = [0.0; BANDS];
        comb(100.0, &centres_hz(), &[1.0; BANDS], &mut prior);
        let at = |hz: f32| prior[(hz / bin_hz(1.0) + 0.5) as usize];
        assert!(at(100.0) > 0.9 && at(200.0) > 0.9 && at(500.0) > 0.9);
        assert!(at(150.0) == 0.0 && at(700.0) == 0.0);
    }
}
