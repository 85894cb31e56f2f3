//! Between audio and the network's spectrograms (`htdemucs.py: _spec, _ispec, _magnitude, _mask`;
//! `hdemucs.py: pad1d`).
//!
//! A segment is reflected at both ends so that it falls into exactly `ceil(length / hop)` frames;
//! the padding of `torch.stft` itself only touches frames that are dropped. Complex bins are
//! channels: left real, left imaginary, right real, right imaginary. The last bin is dropped, and
//! zero on the way back.

use rayon::prelude::*;

use super::config::NFFT;
use crate::{
    dsp::stft::{Bin, Stft},
    model::nn::{Kernels, Map, Sums, sums},
};

/// Samples between frames.
const HOP: usize = NFFT / 4;

/// Bins that the network sees.
pub(super) const BINS: usize = NFFT / 2;

/// Samples reflected at the start.
const PADDING: usize = HOP / 2 * 3;

/// Frames or bins that are transposed together: a cache line's worth.
const GROUP: usize = 16;

/// `torch.stft(normalized=True)` divides by the root of the transform's length.
const SCALE: f32 = 1.0 / 64.0;

const _: () = assert!(NFFT == 64 * 64);

/// Mean and standard deviation that a branch's input was normalised by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) mean: f32,
    pub(super) std: f32,
}

impl Level {
    pub(super) fn of(sums: Sums) -> Self {
        Self { mean: sums.mean() as f32, std: sums.unbiased_std() as f32 }
    }

    pub(super) fn normalise(self, x: f32) -> f32 {
        (x - self.mean) / (1e-5 + self.std)
    }

    pub(super) fn undo(self, x: f32) -> f32 {
        x * self.std + self.mean
    }
}

/// The transform and its inverse.
#[derive(Debug)]
pub(super) struct Spectrum {
    stft: Stft,
}

impl Spectrum {
    pub(super) fn new() -> Self {
        Self { stft: Stft::new(NFFT, HOP) }
    }

    /// Stereo audio → normalised `[2048 rows][4][frames]`.
    pub(super) fn analyse(&self, kernels: Kernels, audio: [&[f32]; 2]) -> (Map, Level) {
        let frames = audio[0].len().div_ceil(HOP);
        let padded = audio.map(|channel| reflected(channel, frames * HOP + 2 * PADDING));
        let channels = [&padded[0][..], &padded[1][..]];

        let mut spectra = vec![0f32; frames * 4 * BINS];
        let buffers = || {
            let bins = || vec![Bin::default(); self.stft.bins()];
            (self.stft.scratch(), [bins(), bins()])
        };
        let all: Vec<Sums> = spectra
            .par_chunks_mut(4 * BINS)
            .enumerate()
            .map_init(buffers, |(scratch, [left, right]), (frame, out)| {
                let at = (frame * HOP) as i64;
                self.stft.analyse(channels, at, [left, right], scratch);
                for (bins, out) in [left, right].into_iter().zip(out.chunks_exact_mut(2 * BINS)) {
                    let (re, im) = out.split_at_mut(BINS);
                    for ((bin, re), im) in bins.iter().zip(re).zip(im) {
                        (*re, *im) = (bin.re * SCALE, bin.im * SCALE);
                    }
                }
                kernels.run(sums(out, BINS, BINS))
            })
            .collect();
        let level = Level::of(all.into_iter().fold(Sums::default(), Sums::and));

        let mut map = Map::rows(BINS, 4, frames);
        let (width, tile_len) = (map.width(), map.tile_len());
        map.data_mut().par_chunks_mut(GROUP * tile_len).enumerate().for_each(|(group, tiles)| {
            for (frame, spectrum) in spectra.chunks_exact(4 * BINS).enumerate() {
                for (channel, bins) in spectrum.chunks_exact(BINS).enumerate() {
                    for (i, x) in bins[group * GROUP..][..GROUP].iter().enumerate() {
                        tiles[i * tile_len + channel * width + frame] = level.normalise(*x);
                    }
                }
            }
        });
        (map, level)
    }

    /// Adds channels `4 * source..` of the network's output to stereo audio.
    pub(super) fn synthesise(
        &self,
        map: &Map,
        level: Level,
        source: usize,
        audio: [&mut [f32]; 2],
    ) {
        let (frames, width) = (map.frames(), map.width());
        let length = audio[0].len() + PADDING;
        let mut padded = [vec![0f32; length], vec![0f32; length]];
        let mut scratch = self.stft.scratch();
        let mut spectra = vec![[Bin::default(); 2]; GROUP * (BINS + 1)];
        for first in (0..frames).step_by(GROUP) {
            let count = GROUP.min(frames - first);
            for row in 0..BINS {
                let tile = &map.tile(row)[4 * source * width..];
                let part = |channel: usize| &tile[channel * width + first..][..count];
                let parts = part(0).iter().zip(part(1)).zip(part(2).iter().zip(part(3)));
                for (frame, ((lr, li), (rr, ri))) in parts.enumerate() {
                    let bin = |re: &f32, im: &f32| {
                        Bin::new(level.undo(*re) / SCALE, level.undo(*im) / SCALE)
                    };
                    spectra[frame * (BINS + 1) + row] = [bin(lr, li), bin(rr, ri)];
                }
            }
            for frame in 0..count {
                let bins = &spectra[frame * (BINS + 1)..];
                let [left, right] = &mut padded;
                let at = ((first + frame) * HOP) as i64;
                self.stft.synthesise(|bin| bins[bin], at, [left, right], &mut scratch);
            }
        }
        for (audio, padded) in audio.into_iter().zip(&padded) {
            for (x, y) in audio.iter_mut().zip(&padded[PADDING..]) {
                *x += y;
            }
        }
    }
}

/// `channel` with [`PADDING`] samples mirrored before it and as many after it as `length` wants.
fn reflected(channel: &[f32], length: usize) -> Vec<f32> {
    let end = channel.len() - 1;
    let before = channel[1..=PADDING].iter().rev();
    let after = channel[..end].iter().rev();
    before.chain(channel).chain(after).take(length).copied().collect()
}
