//! Scaled dot-product attention (Vaswani et al. 2017), a block of keys at a time with a running
//! maximum (Milakov and Gimelshein 2018), so that no more than a block of the scores exists.
//!
//! Scores are computed transposed, keys by queries: then every query is a SIMD lane, softmax runs
//! down the lanes, and the scores already lie as the second product wants its right-hand side.

use pulp::Simd;
use rayon::prelude::*;

use super::{
    map::Map,
    math::exp,
    matrix::{product, product_onto},
    simd::{Kernel, Kernels},
};

/// Keys in a block: a multiple of every tile's rows, and small enough for the scores of a panel of
/// queries to stay in the nearest caches.
const KEY_BLOCK: usize = 192;

/// Keys and values of all heads, packed as left-hand sides of the two products.
#[derive(Debug)]
pub(crate) struct Heads {
    /// `[head][panel][dim][MR]`: keys are the rows.
    keys: Vec<f32>,
    /// `[head][panel][key][MR]`: dimensions are the rows.
    values: Vec<f32>,
    heads: usize,
    dim: usize,
    count: usize,
}

impl Heads {
    /// Packs `map`, whose channels from `first` on are the keys of all heads and then the values.
    pub(crate) fn pack(
        kernels: Kernels,
        map: &Map,
        first: usize,
        heads: usize,
        dim: usize,
    ) -> Self {
        let mr = kernels.tile_rows();
        let count: usize = (0..map.tiles()).map(|tile| map.valid(tile)).sum();
        let keys_len = count.next_multiple_of(mr) * dim;
        let values_len = dim.next_multiple_of(mr) * count;
        let mut keys = vec![0.0; heads * keys_len];
        let mut values = vec![0.0; heads * values_len];
        let width = map.width();
        let both = keys.par_chunks_mut(keys_len).zip(values.par_chunks_mut(values_len));
        both.enumerate().for_each(|(head, (keys, values))| {
            let mut key = 0;
            for tile in 0..map.tiles() {
                let valid = map.valid(tile);
                let row = |channel: usize| &map.tile(tile)[channel * width..][..valid];
                for d in 0..dim {
                    for (i, x) in row(first + head * dim + d).iter().enumerate() {
                        let key = key + i;
                        keys[(key / mr * dim + d) * mr + key % mr] = *x;
                    }
                    let panel = &mut values[d / mr * mr * count..];
                    for (i, x) in row(first + (heads + head) * dim + d).iter().enumerate() {
                        panel[(key + i) * mr + d % mr] = *x;
                    }
                }
                key += valid;
            }
        });
        Self { keys, values, heads, dim, count }
    }

    fn head(&self, head: usize) -> (&[f32], &[f32]) {
        let (keys, values) = (self.keys.len() / self.heads, self.values.len() / self.heads);
        (&self.keys[head * keys..][..keys], &self.values[head * values..][..values])
    }
}

/// One head's attention for the queries of one tile.
pub(crate) struct Attention<'a> {
    /// `[dim][width]`.
    pub(crate) queries: &'a [f32],
    pub(crate) heads: &'a Heads,
    pub(crate) head: usize,
    /// `[dim][width]`.
    pub(crate) out: &'a mut [f32],
    /// Working memory, of any size.
    pub(crate) scratch: &'a mut Vec<f32>,
}

impl Kernel for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let nr = NV * S::F32_LANES;
        let Heads { dim, count, .. } = *self.heads;
        let width = self.queries.len() / dim;
        let (keys, values) = self.heads.head(self.head);
        let rows = dim.next_multiple_of(MR);
        let needed = (dim + KEY_BLOCK + rows) * nr;
        if self.scratch.len() < needed {
            self.scratch.resize(needed, 0.0);
        }
        let (query, rest) = self.scratch.split_at_mut(dim * nr);
        let (scores, sums) = rest.split_at_mut(KEY_BLOCK * nr);
        let sums = &mut sums[..rows * nr];
        let scale = s.splat_f32s(1.0 / (dim as f32).sqrt());

        for column in (0..width).step_by(nr) {
            for (to, from) in query.chunks_exact_mut(nr).zip(self.queries.chunks_exact(width)) {
                let from = S::as_simd_f32s(&from[column..column + nr]).0;
                for (to, from) in S::as_mut_simd_f32s(to).0.iter_mut().zip(from) {
                    *to = s.mul_f32s(*from, scale);
                }
            }
            sums.fill(0.0);
            let mut largest = [s.splat_f32s(f32::MIN); NV];
            let mut weight = [s.splat_f32s(0.0); NV];

            for first in (0..count).step_by(KEY_BLOCK) {
                let block = KEY_BLOCK.min(count - first);
                let scores = &mut scores[..block.next_multiple_of(MR) * nr];
                let panels = keys[first * dim..].chunks_exact(MR * dim);
                let mut peak = largest;
                for (i, (panel, out)) in panels.zip(scores.chunks_exact_mut(MR * nr)).enumerate() {
                    let acc = product::<S, MR, NV>(s, panel, query);
                    let out = S::as_mut_simd_f32s(out).0.as_chunks_mut::<NV>().0;
                    for m in 0..MR {
                        out[m] = acc[m];
                        if i * MR + m < block {
                            for n in 0..NV {
                                peak[n] = s.max_f32s(peak[n], acc[m][n]);
                            }
                        }
                    }
                }

                let mut fade = largest;
                for n in 0..NV {
                    fade[n] = exp(s, s.sub_f32s(largest[n], peak[n]));
                    weight[n] = s.mul_f32s(weight[n], fade[n]);
                }
                largest = peak;
                let scores = &mut scores[..block * nr];
                for row in S::as_mut_simd_f32s(scores).0.as_chunks_mut::<NV>().0 {
                    for n in 0..NV {
                        row[n] = exp(s, s.sub_f32s(row[n], largest[n]));
                        weight[n] = s.add_f32s(weight[n], row[n]);
                    }
                }

                let panels = values.chunks_exact(MR * count);
                for (panel, sums) in panels.zip(sums.chunks_exact_mut(MR * nr)) {
                    let sums = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<NV>().0;
                    let mut acc = [fade; MR];
                    for m in 0..MR {
                        for n in 0..NV {
                            acc[m][n] = s.mul_f32s(sums[m][n], fade[n]);
                        }
                    }
                    let panel = &panel[first * MR..(first + block) * MR];
                    let acc = product_onto::<S, MR, NV>(s, panel, scores, acc);
                    sums[..MR].copy_from_slice(&acc);
                }
            }

            let sums = S::as_simd_f32s(sums).0.as_chunks::<NV>().0;
            for (out, sum) in self.out.chunks_exact_mut(width).zip(sums) {
                let out = S::as_mut_simd_f32s(&mut out[column..column + nr]).0;
                for n in 0..NV {
                    out[n] = s.div_f32s(sum[n], weight[n]);
                }
            }
        }
    }
}
