//! Normalisation: sums over tiles, layer norm inside a product, and what DConv does after a norm.

use pulp::Simd;

use super::{
    map::BLOCK,
    math::{gelu, sigmoid},
    simd::Kernel,
    source::Source,
};

/// Added to variances (PyTorch's default).
const EPSILON: f64 = 1e-5;

/// Count, sum and sum of squares of values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Sums {
    /// Both together; in which order matters to the last bit, so keep it fixed.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    pub(crate) fn mean(self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    fn squared_deviations(self) -> f64 {
        (self.squares - self.sum * self.mean()).max(0.0)
    }

    /// Standard deviation of a sample (divided by one less than the count).
    pub(crate) fn unbiased_std(self) -> f64 {
        (self.squared_deviations() / (self.count.max(2) - 1) as f64).sqrt()
    }

    fn norm_factor(self) -> f64 {
        1.0 / (self.squared_deviations() / self.count.max(1) as f64 + EPSILON).sqrt()
    }
}

/// Sums over the first `valid` positions of every row of `data`, which are `width` apart.
pub(crate) fn sums(data: &[f32], width: usize, valid: usize) -> SumsOf<'_> {
    SumsOf { data, width, valid }
}

/// See [`sums`].
pub(crate) struct SumsOf<'a> {
    data: &'a [f32],
    width: usize,
    valid: usize,
}

impl Kernel for SumsOf<'_> {
    type Output = Sums;

    /// Each row is summed in [`BLOCK`] lanes whatever the vectors are, then in f64.
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) -> Sums {
        let mut total = Sums::default();
        for row in self.data.chunks_exact(self.width) {
            let mut lanes = [[0f32; BLOCK]; 2];
            let (blocks, rest) = row[..self.valid].as_chunks::<BLOCK>();
            for block in blocks {
                let [sum, squares] = &mut lanes;
                let sum = S::as_mut_simd_f32s(sum).0;
                let squares = S::as_mut_simd_f32s(squares).0;
                let values = S::as_simd_f32s(block).0;
                for ((x, sum), square) in values.iter().zip(sum).zip(squares) {
                    *sum = s.add_f32s(*sum, *x);
                    *square = s.mul_add_e_f32s(*x, *x, *square);
                }
            }
            let mut row = Sums { count: self.valid, ..Sums::default() };
            let [sum, squares] = lanes;
            for (sum, squares) in sum.into_iter().zip(squares) {
                row.sum += f64::from(sum);
                row.squares += f64::from(squares);
            }
            for &x in rest {
                row.sum += f64::from(x);
                row.squares += f64::from(x) * f64::from(x);
            }
            total = total.and(row);
        }
        total
    }
}

/// PyTorch's affine parameters of a norm, a value each channel.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub(crate) gain: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Affine {
    /// Factor and offset of `channel` that normalise values of these sums (group norm, one group).
    fn of(&self, sums: Sums, channel: usize) -> (f32, f32) {
        let factor = f64::from(self.gain[channel]) * sums.norm_factor();
        (factor as f32, (f64::from(self.bias[channel]) - sums.mean() * factor) as f32)
    }
}

/// Group norm with one group, in place.
pub(crate) struct Normalise<'a> {
    /// `[channels][width]`.
    pub(crate) data: &'a mut [f32],
    pub(crate) norm: &'a Affine,
    /// Of all that is normalised together, of which `data` may be a part.
    pub(crate) sums: Sums,
    /// Whether [`gelu`] follows.
    pub(crate) activate: bool,
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let width = self.data.len() / self.norm.gain.len();
        for (channel, row) in self.data.chunks_exact_mut(width).enumerate() {
            let (factor, offset) = self.norm.of(self.sums, channel);
            let (factor, offset) = (s.splat_f32s(factor), s.splat_f32s(offset));
            for x in S::as_mut_simd_f32s(row).0 {
                let normal = s.mul_add_e_f32s(*x, factor, offset);
                *x = if self.activate { gelu(s, normal) } else { normal };
            }
        }
    }
}

/// `x += scale · glu(norm(y))` with `y` of `[2 · channels][width]`.
pub(crate) struct GatedResidual<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
    pub(crate) norm: &'a Affine,
    pub(crate) sums: Sums,
    pub(crate) scale: &'a [f32],
}

impl Kernel for GatedResidual<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let channels = self.scale.len();
        let width = self.x.len() / channels;
        let (values, gates) = self.y.split_at(channels * width);
        let rows = self.x.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for (channel, ((x, value), gate)) in rows.zip(gates.chunks_exact(width)).enumerate() {
            let splat = |(factor, offset)| (s.splat_f32s(factor), s.splat_f32s(offset));
            let (factor, offset) = splat(self.norm.of(self.sums, channel));
            let (gate_factor, gate_offset) = splat(self.norm.of(self.sums, channels + channel));
            let scale = s.splat_f32s(self.scale[channel]);
            let x = S::as_mut_simd_f32s(x).0.iter_mut();
            let y = S::as_simd_f32s(value).0.iter().zip(S::as_simd_f32s(gate).0);
            for (x, (value, gate)) in x.zip(y) {
                let value = s.mul_add_e_f32s(*value, factor, offset);
                let gate = sigmoid(s, s.mul_add_e_f32s(*gate, gate_factor, gate_offset));
                *x = s.mul_add_e_f32s(s.mul_f32s(value, gate), scale, *x);
            }
        }
    }
}

/// Columns of `[channels][stride]`, each normalised over its channels.
pub(crate) struct LayerNorm<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) norm: &'a Affine,
}

impl Source for LayerNorm<'_> {
    #[inline(always)]
    fn fill<S: Simd, const NV: usize>(&self, s: S, column: usize, panel: &mut [f32]) {
        let nr = NV * S::F32_LANES;
        let channels = self.norm.gain.len();
        let rows = || self.data.chunks(self.stride).map(|row| &row[column..column + nr]);
        let zero = [s.splat_f32s(0.0); NV];
        let vectors =
            |row: &[f32]| S::as_simd_f32s(row).0.first_chunk::<NV>().copied().unwrap_or(zero);

        let share = s.splat_f32s(1.0 / channels as f32);
        let mut mean = zero;
        for row in rows() {
            let row = vectors(row);
            for n in 0..NV {
                mean[n] = s.add_f32s(mean[n], row[n]);
            }
        }
        for mean in &mut mean {
            *mean = s.mul_f32s(*mean, share);
        }
        let mut variance = zero;
        for row in rows() {
            let row = vectors(row);
            for n in 0..NV {
                let d = s.sub_f32s(row[n], mean[n]);
                variance[n] = s.mul_add_e_f32s(d, d, variance[n]);
            }
        }
        let mut factor = zero;
        for n in 0..NV {
            let variance = s.mul_add_e_f32s(variance[n], share, s.splat_f32s(EPSILON as f32));
            factor[n] = s.div_f32s(s.splat_f32s(1.0), s.sqrt_f32s(variance));
        }
        let affine = self.norm.gain.iter().zip(&self.norm.bias);
        for ((row, out), (gain, bias)) in rows().zip(panel.chunks_exact_mut(nr)).zip(affine) {
            let row = vectors(row);
            let (gain, bias) = (s.splat_f32s(*gain), s.splat_f32s(*bias));
            for (n, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
                let x = s.mul_f32s(s.sub_f32s(row[n], mean[n]), factor[n]);
                *out = s.mul_add_e_f32s(x, gain, bias);
            }
        }
    }
}

/// Columns of `[channels][stride]`, each divided by its root mean square over the channels (Zhang
/// and Sennrich 2019), times a gain a channel.
pub(crate) struct RmsNorm<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) gain: &'a [f32],
}

/// Added to mean squares.
const RMS_EPSILON: f32 = 1e-6;

impl Source for RmsNorm<'_> {
    #[inline(always)]
    fn fill<S: Simd, const NV: usize>(&self, s: S, column: usize, panel: &mut [f32]) {
        let nr = NV * S::F32_LANES;
        let rows = || self.data.chunks(self.stride).map(|row| &row[column..column + nr]);
        let zero = [s.splat_f32s(0.0); NV];
        let vectors =
            |row: &[f32]| S::as_simd_f32s(row).0.first_chunk::<NV>().copied().unwrap_or(zero);
        let mut squares = zero;
        for row in rows() {
            let row = vectors(row);
            for n in 0..NV {
                squares[n] = s.mul_add_e_f32s(row[n], row[n], squares[n]);
            }
        }
        let share = s.splat_f32s(1.0 / self.gain.len() as f32);
        let factor = squares.map(|squares| {
            let mean = s.mul_add_e_f32s(squares, share, s.splat_f32s(RMS_EPSILON));
            s.div_f32s(s.splat_f32s(1.0), s.sqrt_f32s(mean))
        });
        for ((row, out), gain) in rows().zip(panel.chunks_exact_mut(nr)).zip(self.gain) {
            let row = vectors(row);
            let gain = s.splat_f32s(*gain);
            for (n, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
                *out = s.mul_f32s(s.mul_f32s(row[n], factor[n]), gain);
            }
        }
    }
}
