//! Encoder layers (`hdemucs.py: HEncLayer`): strided convolution → GELU → DConv → 1×1 → GLU.
//!
//! The spectrogram's layers stride over frequencies and see each row of the output by itself, so a
//! row goes through the whole layer while it is in the cache. The time branch's stride over time.

use rayon::prelude::*;

use super::{
    config::{KERNEL, STRIDE},
    dconv::DConv,
    network::Scratch,
};
use crate::{
    error::Result,
    model::{
        nn::{Dense, Finish, Kernels, Map, Matrix, Multiply, Strided, Tap, Taps},
        weights::Weights,
    },
};

/// Zeros before the first position of the input.
const PADDING: usize = KERNEL / 4;

/// One layer of either branch.
pub(super) struct Encoder {
    /// `[channels][inputs × 8]`.
    conv: Matrix,
    dconv: DConv,
    /// `[2 × channels][channels]`, gated.
    rewrite: Matrix,
}

impl Encoder {
    /// `axes` are the kernel's lengths beyond the first: `[1]` for the spectrogram's layers.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        prefix: &str,
        inputs: usize,
        channels: usize,
        hidden: usize,
        axes: &[usize],
    ) -> Result<Self> {
        let shape = [&[channels, inputs, KERNEL], axes].concat();
        let rewrite = [&[2 * channels, channels, 1], axes].concat();
        Ok(Self {
            conv: weights.matrix(&format!("{prefix}.conv"), &shape)?,
            dconv: DConv::load(weights, &format!("{prefix}.dconv"), channels, hidden)?,
            rewrite: weights.gated(&format!("{prefix}.rewrite"), &rewrite)?,
        })
    }

    /// `[rows][inputs][frames]` → `[rows / 4][channels][frames]`; `embedding` (`[rows / 4][channels]`
    /// or empty) is added at the end.
    pub(super) fn rows(&self, kernels: Kernels, input: &Map, embedding: &[f32]) -> Map {
        let channels = self.rewrite.rows();
        let mut out = Map::rows(input.tiles() / STRIDE, channels, input.frames());
        let (width, frames, tile_len) = (out.width(), out.frames(), out.tile_len());
        let taps: [Tap; KERNEL] =
            std::array::from_fn(|tap| Tap { row: tap as isize - PADDING as isize, position: 0 });
        out.data_mut().par_chunks_mut(tile_len).enumerate().for_each_init(
            Scratch::default,
            |scratch, (row, out)| {
                let mut x = std::mem::take(&mut scratch.row);
                x.resize(self.conv.rows() * width, 0.0);
                kernels.run(Multiply {
                    matrix: &self.conv,
                    source: Taps {
                        map: input.view(),
                        origin: ((row * STRIDE) as isize, 0),
                        taps: &taps,
                    },
                    columns: width,
                    rows: 0..self.conv.rows(),
                    out: &mut x,
                    finish: Finish::Gelu,
                    scratch: &mut scratch.packed,
                });
                self.dconv.row(kernels, &mut x, frames, scratch);
                kernels.run(self.rewritten(&x, width, out, &mut scratch.packed));
                scratch.row = x;
                if !embedding.is_empty() {
                    let embedding = &embedding[row * channels..];
                    for (out, e) in out.chunks_exact_mut(width).zip(embedding) {
                        out.iter_mut().for_each(|x| *x += e);
                    }
                }
            },
        );
        out
    }

    /// `[inputs][frames]` → `[channels][ceil(frames / 4)]`.
    pub(super) fn line(&self, kernels: Kernels, input: &Map) -> Map {
        let mut x = Map::line(self.conv.rows(), input.frames().div_ceil(STRIDE));
        let (width, tile_len) = (x.width(), x.tile_len());
        x.data_mut().par_chunks_mut(tile_len).enumerate().for_each_init(
            Scratch::default,
            |scratch, (tile, out)| {
                kernels.run(Multiply {
                    matrix: &self.conv,
                    source: Strided {
                        map: input.view(),
                        origin: (tile * width * STRIDE) as isize - PADDING as isize,
                        stride: STRIDE,
                        taps: KERNEL,
                    },
                    columns: width,
                    rows: 0..self.conv.rows(),
                    out,
                    finish: Finish::Gelu,
                    scratch: &mut scratch.packed,
                });
            },
        );
        self.dconv.line(kernels, &mut x);
        let mut out = x.like(self.rewrite.rows());
        let tile_len = out.tile_len();
        out.data_mut().par_chunks_mut(tile_len).enumerate().for_each_init(
            Scratch::default,
            |scratch, (tile, out)| {
                kernels.run(self.rewritten(x.tile(tile), width, out, &mut scratch.packed));
            },
        );
        out
    }

    fn rewritten<'a>(
        &'a self,
        x: &'a [f32],
        width: usize,
        out: &'a mut [f32],
        scratch: &'a mut Vec<f32>,
    ) -> Multiply<'a, Dense<'a>> {
        Multiply {
            matrix: &self.rewrite,
            source: Dense { data: x, stride: width },
            columns: width,
            rows: 0..self.rewrite.rows(),
            out,
            finish: Finish::Glu,
            scratch,
        }
    }
}
