//! What repeats: REPET-SIM (Rafii and Pardo, "Music/voice separation using the similarity matrix",
//! ISMIR 2012). The accompaniment of a frame is the median of the frames most like it; a voice is
//! not in most of them and falls out.
//!
//! Unlike the paper, neighbours are sought within a few seconds, so that a piece of the song and
//! the whole song give the same answer.

use std::ops::Range;

use super::grid::{BANDS, Row};
use crate::dsp::median::median_of_rows;

/// How many frames away neighbours are sought: about 4 s.
pub(super) const REACH_FRAMES: usize = 170;
/// Frames that make up the median, the frame itself among them.
const NEIGHBOURS: usize = 11;
/// Least distance between two of them, in frames: 0.35 s, or all would be the note that sounds.
const APART_FRAMES: usize = 15;

/// Grid bands per number of a fingerprint.
const POOLED: usize = 8;
const FEATURES: usize = BANDS / POOLED;

/// The shape of a frame's spectrum as a unit vector.
pub(super) type Fingerprint = [f32; FEATURES];

/// Fingerprint of a frame with the band powers `power`.
pub(super) fn fingerprint(power: &Row) -> Fingerprint {
    /// Neighbours on each side whose mean is the envelope that is taken away.
    const SIDE: usize = 4;
    let level: Fingerprint = std::array::from_fn(|i| {
        let sum: f32 = power[i * POOLED..(i + 1) * POOLED].iter().sum();
        // An eighth root is nearly a logarithm, and the same on every machine.
        sum.sqrt().sqrt().sqrt()
    });
    let mut shape: Fingerprint = std::array::from_fn(|i| {
        let at = |j: usize| level[(i + j).saturating_sub(SIDE).min(FEATURES - 1)];
        level[i] - (0..=2 * SIDE).map(at).sum::<f32>() / (2 * SIDE + 1) as f32
    });
    let length = dot(&shape, &shape).sqrt() + 1e-9;
    shape.iter_mut().for_each(|x| *x /= length);
    shape
}

/// Finds the repeating part of frames.
#[derive(Debug)]
pub(super) struct Repetition {
    alike: Vec<f32>,
}

impl Repetition {
    /// Memory for one thread.
    pub(super) fn new() -> Self {
        Self { alike: Vec::with_capacity(2 * REACH_FRAMES + 1) }
    }

    /// Magnitudes of what repeats in frame `at`, given the magnitudes and fingerprints of it and
    /// its surroundings.
    pub(super) fn repeating(
        &mut self,
        at: usize,
        magnitudes: &[Row],
        fingerprints: &[Fingerprint],
        out: &mut Row,
    ) {
        let near = at.saturating_sub(REACH_FRAMES)..(at + REACH_FRAMES + 1).min(magnitudes.len());
        let rows = self.neighbours(at, near, fingerprints).map(|n| magnitudes[n].as_slice());
        median_of_rows(&rows, out);
    }

    /// The frames of `near` most like frame `at`, best first; near the ends of a short song, where
    /// there are not enough of them, from the start again.
    fn neighbours(
        &mut self,
        at: usize,
        near: Range<usize>,
        fingerprints: &[Fingerprint],
    ) -> [usize; NEIGHBOURS] {
        const TAKEN: f32 = -2.0;
        self.alike.clear();
        self.alike.extend(fingerprints[near.clone()].iter().map(|f| dot(f, &fingerprints[at])));
        // The frame itself first: always there, and not left to rounding.
        let mut found = [at; NEIGHBOURS];
        let mut count = 0;
        let mut best = at - near.start;
        while count < NEIGHBOURS {
            found[count] = near.start + best;
            count += 1;
            let end = (best + APART_FRAMES + 1).min(self.alike.len());
            self.alike[best.saturating_sub(APART_FRAMES)..end].fill(TAKEN);
            best = argmax(&self.alike);
            if self.alike[best] == TAKEN {
                break;
            }
        }
        for n in count..NEIGHBOURS {
            found[n] = found[n - count];
        }
        found
    }
}

/// Position of the first of the largest values.
pub(super) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// Scalar product, summed in a fixed order that vector units like.
fn dot(a: &Fingerprint, b: &Fingerprint) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop of three chords, 20 frames each, and a voice in its third round only.
    #[test]
    fn a_loop_repeats_and_a_voice_does_not() {
        let chord = |frame: usize, band: usize| {
            if band % 30 == 7 * (frame / 20 % 3) { 10.0 } else { 0.1 }
        };
        let voice = |frame: usize, band: usize| {
            if (120..140).contains(&frame) && band % 50 == 25 { 5.0 } else { 0.0 }
        };
        let magnitudes: Vec<Row> =
            (0..300).map(|t| std::array::from_fn(|band| chord(t, band) + voice(t, band))).collect();
        let prints: Vec<Fingerprint> =
            magnitudes.iter().map(|row| fingerprint(&row.map(|x| x * x))).collect();
        let mut out = [0.0; BANDS];
        Repetition::new().repeating(130, &magnitudes, &prints, &mut out);
        for (band, &repeating) in out.iter().enumerate() {
            assert_eq!(repeating, chord(130, band), "band {band}");
        }
    }

    #[test]
    fn a_single_frame_is_its_own_repetition() {
        let magnitudes = [std::array::from_fn(|band| band as f32)];
        let mut out = [0.0; BANDS];
        Repetition::new().repeating(0, &magnitudes, &[[0.0; FEATURES]], &mut out);
        assert_eq!(out, magnitudes[0]);
    }
}
