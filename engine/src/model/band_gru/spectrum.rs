//! Between audio and what the network sees: powers on a frequency grid that is fine below and coarse
//! above, and masks on the same grid back to audio.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    config::{Config, INPUTS, OUTPUTS},
    network::PIECE,
};
use crate::{
    dsp::stft::{Bin, Stft},
    error::Result,
    model::{ChunkInput, nn::transpose, steps::Steps},
};

/// Frames that are transposed together: a cache line's worth. Pieces are whole groups.
const GROUP: usize = 16;

/// Hops of the samples that are synthesised together. The frames that reach over their ends are
/// transformed on both sides, so that every sample is the sum of its frames in their order.
const PART: usize = 96;

/// The transform and the grid.
#[derive(Debug)]
pub(super) struct Spectrum {
    stft: Stft,
    size: i64,
    hop: i64,
    /// The bins of the transform that each bin of the grid pools.
    pools: Vec<Range<usize>>,
}

/// A chunk's middle and side with as much around them as its frames touch.
pub(super) struct Surroundings {
    /// Middle and side, mirrored at the song's own ends.
    audio: [Vec<f32>; 2],
    /// Where in the song they begin.
    start: i64,
    /// Frames that sound in the segment.
    wanted: Range<i64>,
    /// All frames that have their samples here.
    whole: Range<i64>,
    /// All frames of the song.
    song: Range<i64>,
}

/// What the network sees.
pub(super) struct Analysis {
    /// Powers `[pieces][grid bins][4][PIECE]`: of left, right, middle and side, frame by frame.
    pub(super) powers: Vec<f32>,
    /// Spectra of middle and side, frame by frame, of the wanted frames.
    spectra: Vec<Bin>,
}

impl Surroundings {
    /// Frames that sound in the segment, counted from the song's first.
    pub(super) fn wanted(&self) -> Range<usize> {
        self.counted(&self.wanted)
    }

    /// Those of `frames`, counted from the song's first, that have their samples here.
    pub(super) fn here(&self, frames: Range<usize>) -> Range<usize> {
        let whole = self.counted(&self.whole);
        frames.start.max(whole.start)..frames.end.min(whole.end)
    }

    fn counted(&self, frames: &Range<i64>) -> Range<usize> {
        let count = |frame: i64| usize::try_from(frame - self.song.start).unwrap_or(0);
        count(frames.start)..count(frames.end)
    }
}

impl Spectrum {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            pools: config.pools().unwrap_or_default(),
            stft: Stft::new(config.n_fft, config.hop),
            size: config.n_fft as i64,
            hop: config.hop as i64,
        }
    }

    /// The frames of `input`'s segment and those around it, with their audio.
    /// Frames are centred on multiples of the hop from the song's first sample to its last
    /// (`torch.stft(center=True)`), and the song is mirrored at its ends.
    pub(super) fn surroundings(
        &self,
        input: &ChunkInput,
        mid_side: &[Vec<f32>; 2],
    ) -> Surroundings {
        let (size, hop) = (self.size, self.hop);
        let len = mid_side[0].len() as i64;
        let song_end = input.song.frames as i64;
        let from = input.start_frame as i64 - input.context_before_frames as i64;
        let before = if from == 0 { size / 2 } else { 0 };
        let after = if from + len == song_end { size / 2 } else { 0 };
        let audio = mid_side
            .each_ref()
            .map(|channel| (-before..len + after).map(|at| channel[mirrored(at, len)]).collect());

        let first = -(size / 2 / hop);
        let song = first..first + song_end / hop + 1;
        let start = from - before;
        let whole =
            -(-start).div_euclid(hop)..(start + before + len + after - size).div_euclid(hop) + 1;
        let segment = input.start_frame as i64;
        let touching = self.stft.frames_touching(segment..segment + input.segment_frames as i64);
        let within = |frames: Range<i64>, outer: &Range<i64>| {
            frames.start.max(outer.start)..frames.end.min(outer.end)
        };
        let whole = within(whole, &song);
        let wanted = within(touching, &whole);
        Surroundings { audio, start, wanted, whole, song }
    }

    /// Steps, as [`Steps`] counts them, of analysing the frames `seen` and synthesising `samples`.
    pub(super) fn steps(&self, seen: &Range<usize>, samples: &Range<usize>) -> usize {
        seen.len() + 2 * PART * samples.len().div_ceil(PART * self.hop as usize)
    }

    /// Powers of the song's frames `seen`, counted from its first, and spectra of the wanted ones.
    ///
    /// # Errors
    /// When cancelled.
    pub(super) fn analyse(
        &self,
        around: &Surroundings,
        seen: &Range<usize>,
        steps: &Steps<'_>,
    ) -> Result<Analysis> {
        let bins = self.stft.bins();
        let rows = self.pools.len() * INPUTS;
        let wanted = around.wanted();
        let pieces = || seen.clone().step_by(PIECE).map(|at| at..seen.end.min(at + PIECE));
        let mut powers = vec![0.0; pieces().len() * rows * PIECE];
        let mut spectra = vec![Bin::default(); wanted.len() * 2 * bins];
        let mut rest = &mut spectra[..];
        let work: Vec<_> = pieces()
            .map(|frames| {
                let kept = frames.start.max(wanted.start)..frames.end.min(wanted.end);
                let spectra = rest.split_off_mut(..kept.len() * 2 * bins).unwrap_or_default();
                (frames, kept, spectra)
            })
            .collect();
        let buffers =
            || (vec![Bin::default(); 2 * bins], vec![0.0; GROUP * rows], self.stft.scratch());
        let [mid, side] = &around.audio;
        powers.par_chunks_mut(rows * PIECE).zip(work).try_for_each_init(
            buffers,
            |(unkept, group, scratch), (powers, (frames, kept, spectra))| {
                steps.step(frames.len())?;
                let mut spectra = spectra.chunks_exact_mut(2 * bins);
                for (n, frame) in frames.clone().enumerate() {
                    let at = self.stft.start(around.song.start + frame as i64) - around.start;
                    let spectra =
                        kept.contains(&frame).then(|| spectra.next()).flatten().unwrap_or(unkept);
                    let (mid_bins, side_bins) = spectra.split_at_mut(bins);
                    self.stft.analyse([mid, side], at, [&mut *mid_bins, &mut *side_bins], scratch);
                    let column = group[n % GROUP * rows..].as_chunks_mut::<INPUTS>().0;
                    self.pool(mid_bins, side_bins, column);
                    if n % GROUP == GROUP - 1 || n + 1 == frames.len() {
                        let first = n / GROUP * GROUP;
                        transpose(group, rows, &mut powers[first..], PIECE, n + 1 - first, rows);
                    }
                }
                Ok(())
            },
        )?;
        Ok(Analysis { powers, spectra })
    }

    /// Powers of one frame on the grid.
    fn pool(&self, mid: &[Bin], side: &[Bin], powers: &mut [[f32; INPUTS]]) {
        for (pool, out) in self.pools.iter().zip(powers) {
            let mut sums = [0.0f32; INPUTS];
            for (m, s) in mid[pool.clone()].iter().zip(&side[pool.clone()]) {
                // Middle and side are half the sum and half the difference here; the network
                // knows them over the root of two.
                let of = [(m + s).norm_sqr(), (m - s).norm_sqr(), m.norm_sqr(), s.norm_sqr()];
                let of = [of[0], of[1], 2.0 * of[2], 2.0 * of[3]];
                for (sum, x) in sums.iter_mut().zip(of) {
                    *sum += x;
                }
            }
            *out = sums;
        }
    }

    /// The first three given stems of the segment as middle and side. `masks` is
    /// `[pieces][grid bins][stems][2][PIECE]`, of the wanted frames.
    ///
    /// # Errors
    /// When cancelled.
    pub(super) fn synthesise(
        &self,
        around: &Surroundings,
        analysis: &Analysis,
        masks: &[f32],
        classes: [usize; 3],
        segment: Range<i64>,
        steps: &Steps<'_>,
    ) -> Result<[[Vec<f32>; 2]; 3]> {
        let bins = self.stft.bins();
        let rows = self.pools.len() * OUTPUTS;
        let len = (segment.end - segment.start) as usize;
        let part_len = PART * self.hop as usize;
        let mut stems = [(); 3].map(|()| [vec![0.0; len], vec![0.0; len]]);
        let mut rest = stems.each_mut().map(|stem| stem.each_mut().map(|c| c.chunks_mut(part_len)));
        let parts: Vec<_> = (segment.start..segment.end)
            .step_by(part_len)
            .map(|start| {
                (
                    start,
                    rest.each_mut()
                        .map(|stem| stem.each_mut().map(|c| c.next().unwrap_or_default())),
                )
            })
            .collect();
        let buffers = || (vec![0.0; GROUP * rows], vec![[0.0f32; 2]; bins], self.stft.scratch());
        parts.into_par_iter().try_for_each_init(
            buffers,
            |(group, pair, scratch), (start, mut part)| {
                steps.step(2 * PART)?;
                let frames = self.stft.frames_touching(start..start + part[0][0].len() as i64);
                let frames =
                    frames.start.max(around.wanted.start)..frames.end.min(around.wanted.end);
                for frame in frames.clone() {
                    let n = (frame - around.wanted.start) as usize;
                    if n.is_multiple_of(GROUP) || frame == frames.start {
                        let first = n / GROUP * GROUP;
                        let masks = &masks[first / PIECE * rows * PIECE + first % PIECE..];
                        transpose(masks, PIECE, group, rows, rows, GROUP);
                    }
                    let column = group[n % GROUP * rows..][..rows].as_chunks::<OUTPUTS>().0;
                    let (mid, side) = analysis.spectra[2 * bins * n..][..2 * bins].split_at(bins);
                    for (class, [mid_out, side_out]) in classes.into_iter().zip(&mut part) {
                        for (pool, masks) in self.pools.iter().zip(column) {
                            pair[pool.clone()].fill([masks[2 * class], masks[2 * class + 1]]);
                        }
                        self.stft.synthesise(
                            |k| [mid[k] * pair[k][0], side[k] * pair[k][1]],
                            self.stft.start(frame) - start,
                            [mid_out, side_out],
                            scratch,
                        );
                    }
                }
                Ok(())
            },
        )?;
        // Near the song's ends fewer frames than elsewhere lie over a sample.
        let head = self.stft.start(around.song.start) + self.size - self.hop;
        let tail = self.stft.start(around.song.end).max(head);
        for sample in
            (segment.start..head.min(segment.end)).chain(tail.max(segment.start)..segment.end)
        {
            let gain = self.stft.gain_under(sample, &around.song);
            for channel in stems.iter_mut().flatten() {
                channel[(sample - segment.start) as usize] *= gain;
            }
        }
        Ok(stems)
    }
}

/// Where in `0..len` the sample `at` lies when the signal is mirrored at its ends, whose own samples
/// are not repeated.
fn mirrored(at: i64, len: i64) -> usize {
    let period = (2 * (len - 1)).max(1);
    let at = at.rem_euclid(period);
    (if at < len { at } else { period - at }) as usize
}
