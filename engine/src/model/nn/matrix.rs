//! The matrix product: packed weights times packed columns, with what follows it in the network done
//! while the result is still in registers.
//!
//! The loops are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
//! (2008), without the blocking of the inner dimension: a tile of the result stays in registers over
//! the whole depth, so each value is one chain of multiply-adds from first to last term.

use std::ops::Range;

use pulp::Simd;

use super::{
    math::{gelu, sigmoid},
    simd::{Kernel, Kernels},
    source::Source,
};

/// Packed columns that are worked on together: what fits into half of a second-level cache of
/// 1 MiB, with room for the weights that pass by.
const PACKED_BYTES: usize = 448 << 10;

/// Weights `[rows][depth]` and a bias, packed in panels as high as the tile of the product.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    /// `[panel][depth][MR]`.
    panels: Vec<f32>,
    /// `[panel][MR]`.
    bias: Vec<f32>,
    rows: usize,
    depth: usize,
    gated: bool,
}

impl Matrix {
    /// Packs `rows × depth` weights given row by row, with `bias` a row (empty: none).
    pub(crate) fn new(kernels: Kernels, depth: usize, weights: &[f32], bias: &[f32]) -> Self {
        let order: Vec<_> = (0..weights.len() / depth).map(Some).collect();
        Self::pack(kernels, depth, weights, bias, &order, order.len(), false)
    }

    /// Packs the weights of a gated linear unit, whose second half of rows are the gates of the
    /// first: the product is finished by [`Finish::Glu`] and has half as many rows.
    pub(crate) fn gated(kernels: Kernels, depth: usize, weights: &[f32], bias: &[f32]) -> Self {
        let half = kernels.tile_rows() / 2;
        let rows = weights.len() / depth / 2;
        let mut order = Vec::new();
        for first in (0..rows).step_by(half) {
            let tile = || (first..first + half).map(|row| (row < rows).then_some(row));
            order.extend(tile());
            order.extend(tile().map(|row| row.map(|row| row + rows)));
        }
        Self::pack(kernels, depth, weights, bias, &order, rows, true)
    }

    fn pack(
        kernels: Kernels,
        depth: usize,
        weights: &[f32],
        bias: &[f32],
        order: &[Option<usize>],
        rows: usize,
        gated: bool,
    ) -> Self {
        let mr = kernels.tile_rows();
        let count = order.len().div_ceil(mr);
        let mut panels = vec![0.0; count * mr * depth];
        let mut packed_bias = vec![0.0; count * mr];
        for (slot, row) in order.iter().enumerate() {
            let Some(row) = *row else { continue };
            let panel = &mut panels[slot / mr * mr * depth..][..mr * depth];
            for (k, weight) in weights[row * depth..(row + 1) * depth].iter().enumerate() {
                panel[k * mr + slot % mr] = *weight;
            }
            packed_bias[slot] = bias.get(row).copied().unwrap_or(0.0);
        }
        Self { panels, bias: packed_bias, rows, depth, gated }
    }

    /// Rows of the finished product.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It is stored.
    Store,
    /// It is stored after [`gelu`].
    Gelu,
    /// What is above zero is stored.
    Relu,
    /// The first half of rows times the sigmoid of the second is stored.
    Glu,
    /// It is added to what is there.
    Add,
}

/// `out = finish(matrix · source + bias)`.
pub(crate) struct Multiply<'a, P> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) source: P,
    /// Columns to compute: a multiple of [`super::BLOCK`].
    pub(crate) columns: usize,
    /// Rows of the product that are wanted; the first of them is the first of `out`.
    pub(crate) rows: Range<usize>,
    /// `[rows][columns]`.
    pub(crate) out: &'a mut [f32],
    pub(crate) finish: Finish,
    /// Working memory, of any size.
    pub(crate) scratch: &'a mut Vec<f32>,
}

impl<P: Source> Kernel for Multiply<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let Self { matrix, source, columns, rows, out, finish, scratch } = self;
        debug_assert_eq!(matrix.gated, finish == Finish::Glu);
        let depth = matrix.depth;
        let nr = NV * S::F32_LANES;
        let panel_len = depth * nr;
        let together = (PACKED_BYTES / 4 / panel_len).clamp(1, columns / nr);
        if scratch.len() < together * panel_len {
            scratch.resize(together * panel_len, 0.0);
        }
        let tile_rows = if finish == Finish::Glu { MR / 2 } else { MR };
        for first in (0..columns / nr).step_by(together) {
            let count = together.min(columns / nr - first);
            let packed = &mut scratch[..count * panel_len];
            for (i, panel) in packed.chunks_exact_mut(panel_len).enumerate() {
                source.fill::<S, NV>(s, (first + i) * nr, panel);
            }
            let weights =
                matrix.panels.chunks_exact(MR * depth).zip(matrix.bias.as_chunks::<MR>().0);
            for (i, (weights, bias)) in weights.enumerate() {
                let top = i * tile_rows;
                if top + tile_rows <= rows.start || top >= rows.end {
                    continue;
                }
                for (panel, column) in
                    packed.chunks_exact(panel_len).zip((first * nr..).step_by(nr))
                {
                    let mut acc = product::<S, MR, NV>(s, weights, panel);
                    for (row, bias) in acc.iter_mut().zip(bias) {
                        let bias = s.splat_f32s(*bias);
                        for value in row {
                            *value = s.add_f32s(*value, bias);
                        }
                    }
                    for m in 0..tile_rows {
                        let row = top + m;
                        if !rows.contains(&row) {
                            continue;
                        }
                        let start = (row - rows.start) * columns + column;
                        let (out, _) = S::as_mut_simd_f32s(&mut out[start..start + nr]);
                        let Some(out) = out.first_chunk_mut::<NV>() else { continue };
                        match finish {
                            Finish::Store => *out = acc[m],
                            Finish::Gelu => {
                                for n in 0..NV {
                                    out[n] = gelu(s, acc[m][n]);
                                }
                            }
                            Finish::Relu => {
                                let zero = s.splat_f32s(0.0);
                                for n in 0..NV {
                                    out[n] = s.max_f32s(acc[m][n], zero);
                                }
                            }
                            Finish::Glu => {
                                for n in 0..NV {
                                    let gate = sigmoid(s, acc[m + MR / 2][n]);
                                    out[n] = s.mul_f32s(acc[m][n], gate);
                                }
                            }
                            Finish::Add => {
                                for n in 0..NV {
                                    out[n] = s.add_f32s(out[n], acc[m][n]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One tile: `weights` is `[depth][MR]`, `panel` `[depth][NR]`.
#[inline(always)]
pub(super) fn product<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    weights: &[f32],
    panel: &[f32],
) -> [[S::f32s; NV]; MR] {
    product_onto(s, weights, panel, [[s.splat_f32s(0.0); NV]; MR])
}

/// One tile, added to `acc`.
#[inline(always)]
pub(super) fn product_onto<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    weights: &[f32],
    panel: &[f32],
    mut acc: [[S::f32s; NV]; MR],
) -> [[S::f32s; NV]; MR] {
    let (weights, _) = weights.as_chunks::<MR>();
    let (panel, _) = S::as_simd_f32s(panel).0.as_chunks::<NV>();
    for (weights, values) in weights.iter().zip(panel) {
        for m in 0..MR {
            let weight = s.splat_f32s(weights[m]);
            for n in 0..NV {
                acc[m][n] = s.mul_add_e_f32s(weight, values[n], acc[m][n]);
            }
        }
    }
    acc
}
