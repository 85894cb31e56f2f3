//! DConv: two dilated residual branches in every encoder and decoder layer (`demucs.py: DConv`,
//! Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021).
//!
//! Each branch narrows the channels by a dilated convolution of three taps, then widens them again
//! and is gated, with a group norm (one group) after both. Frequencies are a batch: the norms are
//! over channels and time of each row. In the time branch they are over the whole line.

use rayon::prelude::*;

use super::network::Scratch;
use crate::{
    error::Result,
    model::{
        nn::{
            Affine, Dense, Finish, GatedResidual, Kernels, Map, MapRef, Matrix, Multiply,
            Normalise, Sums, Tap, Taps, sums,
        },
        weights::Weights,
    },
};

/// `[channels][…]` to the same.
pub(super) struct DConv {
    branches: Vec<Branch>,
}

struct Branch {
    taps: [Tap; 3],
    /// `[hidden][channels × 3]`.
    narrow: Matrix,
    narrow_norm: Affine,
    /// `[2 × channels][hidden]`, values then gates.
    widen: Matrix,
    widen_norm: Affine,
    /// `[channels]`.
    scale: Vec<f32>,
}

impl DConv {
    pub(super) fn load(
        weights: &mut Weights<'_>,
        prefix: &str,
        channels: usize,
        hidden: usize,
    ) -> Result<Self> {
        let branches = (0..2).map(|index| {
            let name = |part: usize| format!("{prefix}.layers.{index}.{part}");
            let reach = 1 << index;
            Ok(Branch {
                taps: [-reach, 0, reach].map(|position| Tap { row: 0, position }),
                narrow: weights.matrix(&name(0), &[hidden, channels, 3])?,
                narrow_norm: weights.norm(&name(1), hidden)?,
                widen: weights.matrix(&name(3), &[2 * channels, hidden, 1])?,
                widen_norm: weights.norm(&name(4), 2 * channels)?,
                scale: weights.tensor(&format!("{}.scale", name(6)), &[channels])?,
            })
        });
        Ok(Self { branches: branches.collect::<Result<_>>()? })
    }

    /// One frequency's `[channels][width]`, of which `frames` are valid.
    pub(super) fn row(
        &self,
        kernels: Kernels,
        x: &mut [f32],
        frames: usize,
        scratch: &mut Scratch,
    ) {
        for branch in &self.branches {
            let width = x.len() / branch.scale.len();
            let Scratch { packed, narrow, wide, .. } = scratch;
            narrow.resize(branch.narrow.rows() * width, 0.0);
            let view = MapRef::row(x, branch.scale.len(), frames);
            kernels.run(branch.narrowed(view, (0, 0), narrow, packed));
            let narrow_sums = kernels.run(sums(narrow, width, frames));
            kernels.run(branch.activated(narrow, narrow_sums));
            wide.resize(branch.widen.rows() * width, 0.0);
            kernels.run(branch.widened(narrow, width, wide, packed));
            let wide_sums = kernels.run(sums(wide, width, frames));
            kernels.run(branch.added(x, wide, wide_sums));
        }
    }

    /// The time branch's whole line. The wide inside is computed twice, once for its sums and once
    /// for its values, which costs less than to store it.
    pub(super) fn line(&self, kernels: Kernels, x: &mut Map) {
        for branch in &self.branches {
            let width = x.width();
            let mut narrow = x.like(branch.narrow.rows());
            let narrow_len = narrow.tile_len();
            let view = x.view();
            let in_order = |sums: Vec<Sums>| sums.into_iter().fold(Sums::default(), Sums::and);

            let tiles = narrow.data_mut().par_chunks_mut(narrow_len).enumerate();
            let narrow_sums = in_order(
                tiles
                    .map_init(Scratch::default, |scratch, (tile, out)| {
                        let packed = &mut scratch.packed;
                        kernels.run(branch.narrowed(view, view.start(tile), out, packed));
                        kernels.run(sums(out, width, x.valid(tile)))
                    })
                    .collect(),
            );
            let tiles = narrow.data_mut().par_chunks_mut(narrow_len).enumerate();
            let wide_sums = in_order(
                tiles
                    .map_init(Scratch::default, |scratch, (tile, narrow)| {
                        kernels.run(branch.activated(narrow, narrow_sums));
                        let Scratch { packed, wide, .. } = scratch;
                        wide.resize(branch.widen.rows() * width, 0.0);
                        kernels.run(branch.widened(narrow, width, wide, packed));
                        kernels.run(sums(wide, width, x.valid(tile)))
                    })
                    .collect(),
            );
            let tile_len = x.tile_len();
            let tiles = x.data_mut().par_chunks_mut(tile_len);
            tiles.zip(narrow.data().par_chunks(narrow_len)).for_each_init(
                Scratch::default,
                |scratch, (x, narrow)| {
                    let Scratch { packed, wide, .. } = scratch;
                    wide.resize(branch.widen.rows() * width, 0.0);
                    kernels.run(branch.widened(narrow, width, wide, packed));
                    kernels.run(branch.added(x, wide, wide_sums));
                },
            );
        }
    }
}

impl Branch {
    fn narrowed<'a>(
        &'a self,
        map: MapRef<'a>,
        origin: (isize, isize),
        out: &'a mut [f32],
        scratch: &'a mut Vec<f32>,
    ) -> Multiply<'a, Taps<'a>> {
        Multiply {
            matrix: &self.narrow,
            source: Taps { map, origin, taps: &self.taps },
            columns: out.len() / self.narrow.rows(),
            rows: 0..self.narrow.rows(),
            out,
            finish: Finish::Store,
            scratch,
        }
    }

    fn activated<'a>(&'a self, data: &'a mut [f32], sums: Sums) -> Normalise<'a> {
        Normalise { data, norm: &self.narrow_norm, sums, activate: true }
    }

    fn widened<'a>(
        &'a self,
        narrow: &'a [f32],
        width: usize,
        out: &'a mut [f32],
        scratch: &'a mut Vec<f32>,
    ) -> Multiply<'a, Dense<'a>> {
        Multiply {
            matrix: &self.widen,
            source: Dense { data: narrow, stride: width },
            columns: width,
            rows: 0..self.widen.rows(),
            out,
            finish: Finish::Store,
            scratch,
        }
    }

    fn added<'a>(&'a self, x: &'a mut [f32], y: &'a [f32], sums: Sums) -> GatedResidual<'a> {
        GatedResidual { x, y, norm: &self.widen_norm, sums, scale: &self.scale }
    }
}
