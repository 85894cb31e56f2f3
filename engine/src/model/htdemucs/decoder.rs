//! Decoder layers (`hdemucs.py: HDecLayer`): the encoder's output is added, then a convolution of
//! three taps each way → GLU → DConv → transposed convolution → GELU (but for the last layer).
//!
//! A transposed convolution of eight taps and stride four is computed by its output: position
//! `4 q + r` is made of taps `r` at input `q` and `r + 4` at input `q - 1`, which is one product
//! with two inputs and four outputs, without anything to add up afterwards.

use rayon::prelude::*;

use super::{
    config::{KERNEL, STRIDE},
    dconv::DConv,
    network::Scratch,
};
use crate::{
    error::Result,
    model::{
        nn::{BLOCK, Finish, Kernels, Map, Matrix, Multiply, Tap, Taps},
        weights::Weights,
    },
};

/// Positions cropped from the start of a transposed convolution's output.
const CROP: usize = KERNEL / 4;

/// One layer of either branch.
pub(super) struct Decoder {
    /// `[2 × channels][channels × taps]`, gated.
    rewrite: Matrix,
    rewrite_taps: Vec<Tap>,
    dconv: DConv,
    /// Transposed: rows are outputs and phases (which of them is outer differs), the depth is
    /// channels times the inputs `q` and `q - 1`.
    up: Matrix,
    outputs: usize,
    finish: Finish,
}

/// The inputs of the transposed convolution.
const ROWS_BEFORE: [Tap; 2] = [Tap { row: 0, position: 0 }, Tap { row: -1, position: 0 }];
const POSITIONS_BEFORE: [Tap; 2] = [Tap { row: 0, position: 0 }, Tap { row: 0, position: -1 }];

impl Decoder {
    /// A layer of the spectrogram's branch.
    pub(super) fn load_rows(
        weights: &mut Weights<'_>,
        prefix: &str,
        channels: usize,
        outputs: usize,
        hidden: usize,
        last: bool,
    ) -> Result<Self> {
        let taps = (-1..=1).flat_map(|row| (-1..=1).map(move |position| Tap { row, position }));
        let phases_outside = |output: usize, phase: usize| phase * outputs + output;
        Ok(Self {
            rewrite: weights
                .gated(&format!("{prefix}.rewrite"), &[2 * channels, channels, 3, 3])?,
            rewrite_taps: taps.collect(),
            dconv: DConv::load(weights, &format!("{prefix}.dconv"), channels, hidden)?,
            up: load_up(weights, prefix, &[channels, outputs, KERNEL, 1], phases_outside)?,
            outputs,
            finish: if last { Finish::Store } else { Finish::Gelu },
        })
    }

    /// A layer of the time branch.
    pub(super) fn load_line(
        weights: &mut Weights<'_>,
        prefix: &str,
        channels: usize,
        outputs: usize,
        hidden: usize,
        last: bool,
    ) -> Result<Self> {
        let phases_inside = |output: usize, phase: usize| output * STRIDE + phase;
        Ok(Self {
            rewrite: weights.gated(&format!("{prefix}.rewrite"), &[2 * channels, channels, 3])?,
            rewrite_taps: (-1..=1).map(|position| Tap { row: 0, position }).collect(),
            dconv: DConv::load(weights, &format!("{prefix}.dconv"), channels, hidden)?,
            up: load_up(weights, prefix, &[channels, outputs, KERNEL], phases_inside)?,
            outputs,
            finish: if last { Finish::Store } else { Finish::Gelu },
        })
    }

    /// `[rows][channels][frames]` and the encoder's output of the same shape →
    /// `[4 × rows][outputs][frames]`.
    pub(super) fn rows(&self, kernels: Kernels, x: Map, skip: Map) -> Map {
        let rows = x.tiles();
        let y = self.rewritten(kernels, x, skip, |y, scratch, frames| {
            self.dconv.row(kernels, y, frames, scratch);
        });
        let mut out = Map::rows(rows * STRIDE, self.outputs, y.frames());
        let (width, tile_len) = (out.width(), out.tile_len());
        // Rows 4q - 2 to 4q + 1 of the cropped output are made of input rows q and q - 1.
        let (first, others) = out.data_mut().split_at_mut((STRIDE - CROP) * tile_len);
        let groups = rayon::iter::once(first).chain(others.par_chunks_mut(STRIDE * tile_len));
        groups.enumerate().for_each_init(Scratch::default, |scratch, (row, out)| {
            let wanted = out.len() / width;
            let begin = if row == 0 { CROP * self.outputs } else { 0 };
            kernels.run(Multiply {
                matrix: &self.up,
                source: Taps { map: y.view(), origin: (row as isize, 0), taps: &ROWS_BEFORE },
                columns: width,
                rows: begin..begin + wanted,
                out,
                finish: self.finish,
                scratch: &mut scratch.packed,
            });
        });
        out
    }

    /// `[channels][frames]` and the encoder's output of the same shape → `[outputs][length]`, where
    /// `length` is what the encoder's layer got.
    pub(super) fn line(&self, kernels: Kernels, x: Map, skip: Map, length: usize) -> Map {
        let mut y = self.rewritten(kernels, x, skip, |_, _, _| {});
        self.dconv.line(kernels, &mut y);
        let mut out = Map::line(self.outputs, length);
        let (width, tile_len) = (out.width(), out.tile_len());
        let columns = (width / STRIDE + 1).next_multiple_of(BLOCK);
        out.data_mut().par_chunks_mut(tile_len).enumerate().for_each_init(
            Scratch::default,
            |scratch, (tile, out)| {
                let Scratch { packed, wide, .. } = scratch;
                wide.resize(self.up.rows() * columns, 0.0);
                let first = (tile * width / STRIDE) as isize;
                kernels.run(Multiply {
                    matrix: &self.up,
                    source: Taps { map: y.view(), origin: (0, first), taps: &POSITIONS_BEFORE },
                    columns,
                    rows: 0..self.up.rows(),
                    out: wide,
                    finish: self.finish,
                    scratch: packed,
                });
                let phases = wide.chunks_exact(STRIDE * columns);
                for (out, phases) in out.chunks_exact_mut(width).zip(phases) {
                    interleave(phases, columns, out);
                }
            },
        );
        out
    }

    /// `then(glu(rewrite(x + skip)))`, tile by tile.
    fn rewritten(
        &self,
        kernels: Kernels,
        x: Map,
        mut skip: Map,
        then: impl Fn(&mut [f32], &mut Scratch, usize) + Sync,
    ) -> Map {
        let tile_len = x.tile_len();
        let pairs = skip.data_mut().par_chunks_mut(tile_len).zip(x.data().par_chunks(tile_len));
        pairs.for_each(|(sum, x)| {
            sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        });
        let mut y = x;
        let (width, frames) = (y.width(), y.frames());
        let sum = skip.view();
        y.data_mut().par_chunks_mut(tile_len).enumerate().for_each_init(
            Scratch::default,
            |scratch, (tile, out)| {
                kernels.run(Multiply {
                    matrix: &self.rewrite,
                    source: Taps { map: sum, origin: sum.start(tile), taps: &self.rewrite_taps },
                    columns: width,
                    rows: 0..self.rewrite.rows(),
                    out,
                    finish: Finish::Glu,
                    scratch: &mut scratch.packed,
                });
                then(out, scratch, frames);
            },
        );
        y
    }
}

/// Reads `conv_tr` of `shape` (`[channels, outputs, 8, …]`) as a matrix of two inputs and four
/// outputs, whose rows are ordered by `row(output, phase)`.
fn load_up(
    weights: &mut Weights<'_>,
    prefix: &str,
    shape: &[usize],
    row: impl Fn(usize, usize) -> usize,
) -> Result<Matrix> {
    let (channels, outputs) = (shape[0], shape[1]);
    let weight = weights.tensor(&format!("{prefix}.conv_tr.weight"), shape)?;
    let bias = weights.tensor(&format!("{prefix}.conv_tr.bias"), &[outputs])?;
    let depth = 2 * channels;
    let mut packed = vec![0.0; STRIDE * outputs * depth];
    let mut packed_bias = vec![0.0; STRIDE * outputs];
    for output in 0..outputs {
        for phase in 0..STRIDE {
            let row = row(output, phase);
            packed_bias[row] = bias[output];
            for channel in 0..channels {
                let taps = &weight[(channel * outputs + output) * KERNEL..][..KERNEL];
                packed[row * depth + 2 * channel] = taps[phase];
                packed[row * depth + 2 * channel + 1] = taps[phase + STRIDE];
            }
        }
    }
    Ok(Matrix::new(weights.kernels, depth, &packed, &packed_bias))
}

/// `out[i] = phases[(i + 2) % 4][(i + 2) / 4]`.
fn interleave(phases: &[f32], columns: usize, out: &mut [f32]) {
    for phase in 0..STRIDE {
        let first = (STRIDE + phase - CROP) % STRIDE;
        let from = &phases[phase * columns + usize::from(phase < CROP)..(phase + 1) * columns];
        for (out, x) in out[first..].iter_mut().step_by(STRIDE).zip(from) {
            *out = *x;
        }
    }
}
