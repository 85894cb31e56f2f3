//! The separator that needs no network: classical cues joined in one Wiener mask.
//!
//! Drums are what is broad in frequency and short in time (median filters), bass what lies low or on
//! the harmonics of a low fundamental, vocals what stands in the middle and does not repeat
//! (REPET-SIM); the rest is `other`. Masks are real and made for middle and side, the phase is the
//! mixture's. `other` is the mixture minus the rest, so the stems add up to it.
//!
//! Every frame's masks depend on at most [`repetition::REACH_FRAMES`] frames around it, all of
//! which lie in a chunk's context, and frames lie on one grid for the whole song: a song cut into
//! chunks gives exactly the samples that it gives in one piece. README.md has scores and speed.

mod bass;
mod grid;
mod masks;
mod repetition;

use std::ops::Range;

use self::{
    bass::{Candidates, Salience},
    grid::{BANDS, BINS, HOP, Row, SIZE},
    masks::{Evidence, Masks, Priors},
    repetition::{Fingerprint, REACH_FRAMES, Repetition},
};
use super::{
    ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Separator, Stem,
    mid_side::{finish, mid_side, segment_of},
    steps::Steps,
};
use crate::{
    audio::Planar,
    dsp::{
        median::{median_along, median_of_rows},
        stft::{Bin, Scratch, Stft},
    },
    error::Result,
};

/// Changes whenever a single output sample may change; the test of the golden hash watches it.
const VERSION: &str = "spectral 3";

/// Frames of a chunk: 8.9 s. Small enough that the first is there at once, and as short as the
/// context allows without wasting work on it.
const SEGMENT_HOPS: u64 = 384;

/// Width of both median filters: 0.4 s and 180 Hz.
const MEDIAN: usize = 17;

/// Power added everywhere so that nothing divides by zero; -160 dB of full scale.
const FLOOR: f32 = 1e-10;

/// The classical separator; see the module.
pub struct Spectral {
    info: ModelInfo,
    stft: Stft,
    priors: Priors,
    candidates: Candidates,
}

impl Spectral {
    /// The separator with its tables.
    pub fn new() -> Self {
        let segment_frames = SEGMENT_HOPS * HOP as u64;
        let info = ModelInfo {
            name: "spectral".into(),
            title: "Basic".into(),
            description: "Works at once and everywhere, without a download; stems overlap audibly"
                .into(),
            stems: vec![Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals],
            chunks: ChunkSpec {
                segment_frames,
                stride_frames: segment_frames,
                context_frames: (REACH_FRAMES * HOP + SIZE) as u64,
                window: JoinWindow::LinearFades,
            },
            hash: blake3::hash(VERSION.as_bytes()).into(),
            memory_bytes_per_chunk: 48 << 20,
            cost_core_secs_per_sec: 0.015,
            sums_to_mixture: true,
        };
        Self {
            info,
            stft: Stft::new(SIZE, HOP),
            priors: Priors::new(),
            candidates: Candidates::new(),
        }
    }
}

impl Default for Spectral {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Spectral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(VERSION)
    }
}

impl Separator for Spectral {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> Result<Vec<Planar>> {
        let samples = segment_of(input)?;
        let at = input.start_frame as i64;
        let wanted = self.stft.frames_touching(at..at + samples.len() as i64);
        let first_sample = at - input.context_before_frames as i64;
        let given =
            self.stft.frames_touching(first_sample..first_sample + input.audio.frames() as i64);
        let reach = REACH_FRAMES as i64;
        let seen = given.start.max(wanted.start - reach)..given.end.min(wanted.end + reach);

        let count = |frames: &Range<i64>| (frames.end - frames.start).max(0) as usize;
        let total = ANALYSIS_COST * count(&seen) + SYNTHESIS_COST * count(&wanted);
        let steps = Steps::new(progress, total);
        let mut scratch = self.stft.scratch();
        let mid_side = mid_side(&input.audio);
        let analysis =
            self.analyse(&mid_side, first_sample, seen, &wanted, &mut scratch, &steps)?;
        drop(mid_side);
        let mut stems = [(); 3].map(|()| [vec![0.0; samples.len()], vec![0.0; samples.len()]]);
        self.synthesise(&analysis, at, wanted, &mut stems, &mut scratch, &steps)?;
        drop(analysis);
        Ok(finish(stems, input, samples))
    }
}

/// What is kept of a chunk's frames; row 0 is frame `first`.
struct Analysis {
    first: i64,
    mid: Vec<Row>,
    side: Vec<Row>,
    both: Vec<Row>,
    fingerprints: Vec<Fingerprint>,
    /// Spectra of middle and side, frame by frame, of the frames that sound in the segment.
    spectra: Vec<Bin>,
}

impl Spectral {
    fn analyse(
        &self,
        mid_side: &[Vec<f32>; 2],
        first_sample: i64,
        seen: Range<i64>,
        wanted: &Range<i64>,
        scratch: &mut Scratch,
        steps: &Steps<'_>,
    ) -> Result<Analysis> {
        let count = (seen.end - seen.start).max(0) as usize;
        let rows = || vec![[0.0; BANDS]; count];
        let mut analysis = Analysis {
            first: seen.start,
            mid: rows(),
            side: rows(),
            both: rows(),
            fingerprints: Vec::with_capacity(count),
            spectra: Vec::with_capacity((wanted.end - wanted.start) as usize * 2 * BINS),
        };
        let mut spectra = vec![Bin::default(); 2 * BINS];
        for (row, frame) in seen.enumerate() {
            steps.step(ANALYSIS_COST)?;
            let (mid_bins, side_bins) = spectra.split_at_mut(BINS);
            let at = self.stft.start(frame) - first_sample;
            let channels = [mid_side[0].as_slice(), &mid_side[1]];
            self.stft.analyse(channels, at, [&mut *mid_bins, &mut *side_bins], scratch);
            let (mid, side) = (&mut analysis.mid[row], &mut analysis.side[row]);
            grid::pool(mid_bins, mid);
            grid::pool(side_bins, side);
            for ((mid, side), both) in mid.iter_mut().zip(side).zip(&mut analysis.both[row]) {
                *mid += FLOOR;
                *side += FLOOR;
                *both = (*mid + *side).sqrt();
                *side = side.sqrt();
            }
            analysis.fingerprints.push(repetition::fingerprint(mid));
            mid.iter_mut().for_each(|power| *power = power.sqrt());
            if wanted.contains(&frame) {
                analysis.spectra.extend_from_slice(&spectra);
            }
        }
        Ok(analysis)
    }

    fn synthesise(
        &self,
        analysis: &Analysis,
        first_sample: i64,
        wanted: Range<i64>,
        stems: &mut [[Vec<f32>; 2]; 3],
        scratch: &mut Scratch,
        steps: &Steps<'_>,
    ) -> Result<()> {
        let rows = analysis.both.len();
        let salience = self.salience(analysis, &wanted, steps)?;
        let mut repetition = Repetition::new();
        let mut masks = Masks::new();
        let mut padded = Vec::new();
        let mut bins = vec![0.0; 2 * BINS];
        let [mut lasting, mut broad, mut repeating] = [[0.0; BANDS]; 3];
        let spectra = analysis.spectra.chunks_exact(2 * BINS);
        for (frame, spectra) in wanted.zip(spectra) {
            steps.step(SYNTHESIS_COST)?;
            let row = (frame - analysis.first) as usize;

            let around = std::array::from_fn(|k| {
                let near = (row + k).saturating_sub(MEDIAN / 2).min(rows - 1);
                analysis.both[near].as_slice()
            });
            median_of_rows::<MEDIAN>(&around, &mut lasting);
            median_along::<MEDIAN>(&analysis.both[row], &mut padded, &mut broad);
            repetition.repeating(row, &analysis.mid, &analysis.fingerprints, &mut repeating);
            let mut bass = self.priors.bass;
            let fundamental_hz = self.candidates.fundamental_hz(salience.around(row));
            let Priors { centres_hz, bass_harmonics, .. } = &self.priors;
            bass::comb(fundamental_hz, centres_hz, bass_harmonics, &mut bass);

            let evidence = Evidence {
                mid: &analysis.mid[row],
                side: &analysis.side[row],
                both: &analysis.both[row],
                lasting: &lasting,
                broad: &broad,
                repeating: &repeating,
                bass: &bass,
            };
            self.priors.masks(&evidence, &mut masks);

            let at = self.stft.start(frame) - first_sample;
            let (mid_bins, side_bins) = spectra.split_at(BINS);
            let Masks { drums, bass, vocals } = &*masks;
            for ([mid, side], [mid_out, side_out]) in
                [drums, bass, vocals].into_iter().zip(&mut *stems)
            {
                let (mid_mask, side_mask) = bins.split_at_mut(BINS);
                grid::spread(mid, mid_mask);
                grid::spread(side, side_mask);
                self.stft.synthesise(
                    |k| [mid_bins[k] * mid_mask[k], side_bins[k] * side_mask[k]],
                    at,
                    [mid_out, side_out],
                    scratch,
                );
            }
        }
        Ok(())
    }

    fn salience(
        &self,
        analysis: &Analysis,
        wanted: &Range<i64>,
        steps: &Steps<'_>,
    ) -> Result<Saliences> {
        let side = bass::SMOOTHING_FRAMES as i64;
        let row =
            |frame: i64| (frame - analysis.first).clamp(0, analysis.mid.len() as i64) as usize;
        let rows = row(wanted.start - side)..row(wanted.end + side);
        let first = rows.start;
        let frames = rows
            .map(|row| {
                steps.step(0)?;
                Ok(self.candidates.salience(&analysis.mid[row]))
            })
            .collect::<Result<_>>()?;
        Ok(Saliences { first, frames })
    }
}

/// The bass candidates' salience, from row `first` on.
struct Saliences {
    first: usize,
    frames: Vec<Salience>,
}

impl Saliences {
    fn around(&self, row: usize) -> &[Salience] {
        let at = row - self.first;
        let side = bass::SMOOTHING_FRAMES;
        &self.frames[at.saturating_sub(side)..(at + side + 1).min(self.frames.len())]
    }
}

/// Rough shares of the work: one transform against three and the filters.
const ANALYSIS_COST: usize = 1;
const SYNTHESIS_COST: usize = 5;
