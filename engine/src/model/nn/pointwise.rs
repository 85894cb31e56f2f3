//! What networks do with every value by itself, or with a few values at the same place.

use pulp::Simd;

use super::{
    math::{exp, ln},
    simd::Kernel,
};

/// `x ← ((x + floor)^exponent - shift) · scale` in place, with a shift and a scale a row.
pub(crate) struct Compress<'a> {
    /// `[rows][width]`, not below zero.
    pub(crate) data: &'a mut [f32],
    pub(crate) width: usize,
    pub(crate) floor: f32,
    pub(crate) exponent: f32,
    pub(crate) shift: &'a [f32],
    pub(crate) scale: &'a [f32],
}

impl Kernel for Compress<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let floor = s.splat_f32s(self.floor);
        let exponent = s.splat_f32s(self.exponent);
        let rows = self.data.chunks_exact_mut(self.width);
        for ((row, shift), scale) in rows.zip(self.shift).zip(self.scale) {
            let (shift, scale) = (s.splat_f32s(*shift), s.splat_f32s(*scale));
            for x in S::as_mut_simd_f32s(row).0 {
                let power = exp(s, s.mul_f32s(exponent, ln(s, s.add_f32s(*x, floor))));
                *x = s.mul_f32s(s.sub_f32s(power, shift), scale);
            }
        }
    }
}

/// Softmax in place over `classes` rows that are `apart` rows from each other:
/// `[groups][classes][apart][width]`. Values are multiplied by `sharpness` first.
pub(crate) struct Softmax<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) classes: usize,
    pub(crate) apart: usize,
    pub(crate) width: usize,
    pub(crate) sharpness: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let sharpness = s.splat_f32s(self.sharpness);
        let stride = self.apart * self.width / S::F32_LANES;
        for group in self.data.chunks_exact_mut(self.classes * self.apart * self.width) {
            let values = S::as_mut_simd_f32s(group).0;
            for at in 0..stride {
                let mut top = values[at];
                for class in 1..self.classes {
                    top = s.max_f32s(top, values[at + class * stride]);
                }
                let mut sum = s.splat_f32s(0.0);
                for class in 0..self.classes {
                    let x = &mut values[at + class * stride];
                    *x = exp(s, s.mul_f32s(s.sub_f32s(*x, top), sharpness));
                    sum = s.add_f32s(sum, *x);
                }
                let share = s.div_f32s(s.splat_f32s(1.0), sum);
                for class in 0..self.classes {
                    let x = &mut values[at + class * stride];
                    *x = s.mul_f32s(*x, share);
                }
            }
        }
    }
}

/// `[rows][columns]` to `[columns][rows]`, both with rows of a given length in memory.
pub(crate) fn transpose(
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    /// A cache line's worth of rows at a time.
    const GROUP: usize = 16;
    for first in (0..rows).step_by(GROUP) {
        let last = (first + GROUP).min(rows);
        for column in 0..columns {
            let out = &mut to[column * to_stride + first..column * to_stride + last];
            for (out, row) in out.iter_mut().zip(first..) {
                *out = from[row * from_stride + column];
            }
        }
    }
}
