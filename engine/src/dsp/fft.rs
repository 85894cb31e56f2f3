//! The discrete Fourier transform of complex values, several of its columns at a time.
//!
//! A transform of `rows · columns` values is one of every column, a twist, and one of every row
//! (Bailey, "FFTs in external or hierarchical memory", 1990). Columns lie side by side in vectors, each
//! lane computing one of them by plain additions and multiplications. So the width of the vectors
//! does not show in the result, and the instructions may be chosen at run time.

use std::f64::consts::TAU;

use pulp::{Arch, Simd, WithSimd};

/// Lanes of the widest vectors; rows and columns are multiples of it.
const LANES: usize = 16;

/// Complex values, real and imaginary parts apart.
pub(super) type Values = [Vec<f32>; 2];

/// A transform of some length, and working memory of it for one thread.
pub(super) struct Fft {
    rows: usize,
    columns: usize,
    /// Of every row and column.
    twist: Values,
    /// `e^(-2πi k / n)` for columns of `n = rows` values, and for rows.
    turns: [Vec<[f32; 2]>; 2],
    arch: Arch,
}

/// Working memory of one thread.
#[derive(Debug)]
pub(super) struct FftScratch {
    turned: Values,
    /// Some columns before and after a step, real and imaginary parts.
    strips: [Vec<f32>; 4],
}

impl Fft {
    /// A transform of `size` values, a power of two from 256 on.
    pub(super) fn new(size: usize) -> Self {
        let rows = 1 << (size.trailing_zeros() / 2);
        let columns = size / rows;
        let turn = |k: usize, n: usize| {
            let (sin, cos) = (TAU * (k % n) as f64 / n as f64).sin_cos();
            [cos as f32, -sin as f32]
        };
        let twist = |part: usize| {
            (0..size).map(|at| turn(at / columns * (at % columns), size)[part]).collect()
        };
        Self {
            rows,
            columns,
            twist: [twist(0), twist(1)],
            turns: [rows, columns].map(|n| (0..n).map(|k| turn(k, n)).collect()),
            arch: Arch::new(),
        }
    }

    /// Whether there is a transform of `size` values.
    pub(super) fn fits(size: usize) -> bool {
        size.is_power_of_two() && size >= LANES * LANES
    }

    /// Memory for one thread.
    pub(super) fn scratch(&self) -> FftScratch {
        let size = self.rows * self.columns;
        FftScratch {
            turned: [vec![0.0; size], vec![0.0; size]],
            strips: [(); 4].map(|()| vec![0.0; self.columns * LANES]),
        }
    }

    /// Transforms `values`, unscaled. With real and imaginary parts exchanged, before and after, this
    /// is the inverse transform.
    pub(super) fn transform(&self, values: &mut Values, scratch: &mut FftScratch) {
        self.arch.dispatch(Transform { fft: self, values, scratch });
    }
}

struct Transform<'a> {
    fft: &'a Fft,
    values: &'a mut Values,
    scratch: &'a mut FftScratch,
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { fft, values, scratch: FftScratch { turned, strips } } = self;
        let Fft { rows, columns, .. } = *fft;
        let [of_columns, of_rows] = &fft.turns;
        all_columns(s, values, of_columns, columns, Some(&fft.twist), strips);
        for (from, to) in values.iter().zip(turned.iter_mut()) {
            transpose(from, to, rows, columns);
        }
        all_columns(s, turned, of_rows, rows, None, strips);
        std::mem::swap(values, turned);
    }
}

/// Transforms every column of `values`, which are `width` wide, and multiplies by `twist`.
#[inline(always)]
fn all_columns<S: Simd>(
    s: S,
    values: &mut Values,
    turns: &[[f32; 2]],
    width: usize,
    twist: Option<&Values>,
    strips: &mut [Vec<f32>; 4],
) {
    let n = turns.len();
    let width = width / S::F32_LANES;
    let [re, im] = values;
    let (re, im) = (S::as_mut_simd_f32s(re).0, S::as_mut_simd_f32s(im).0);
    let twist = twist.map(|[re, im]| (S::as_simd_f32s(re).0, S::as_simd_f32s(im).0));
    let [a, b, c, d] = strips.each_mut().map(|strip| &mut S::as_mut_simd_f32s(strip).0[..n]);
    let (mut from, mut to) = ([a, b], [c, d]);
    for column in 0..width {
        let [from_re, from_im] = &mut from;
        let rows = re[column..].iter().zip(&im[column..]).step_by(width);
        for ((to_re, to_im), (re, im)) in from_re.iter_mut().zip(from_im.iter_mut()).zip(rows) {
            (*to_re, *to_im) = (*re, *im);
        }
        // Stockham's order: what is left to transform, and how many transforms of that length lie
        // side by side.
        let (mut left, mut beside) = (n, 1);
        while left > 1 {
            let radix = if left.is_multiple_of(4) { 4 } else { 2 };
            if radix == 4 {
                step_of_four(s, &from, &mut to, turns, left, beside);
            } else {
                step_of_two(s, &from, &mut to, turns, left, beside);
            }
            std::mem::swap(&mut from, &mut to);
            (left, beside) = (left / radix, beside * radix);
        }
        for (row, value) in from[0].iter().zip(from[1].iter()).enumerate() {
            let at = row * width + column;
            let mut value = (*value.0, *value.1);
            if let Some((twist_re, twist_im)) = twist {
                value = times(s, value, (twist_re[at], twist_im[at]));
            }
            (re[at], im[at]) = value;
        }
    }
}

/// Complex values, one in each lane. Closures of arrays' `map` are not always inlined, and then not
/// compiled for these vectors; so the steps spell things out.
type Lanes<S> = (<S as Simd>::f32s, <S as Simd>::f32s);

#[inline(always)]
fn plus<S: Simd>(s: S, a: Lanes<S>, b: Lanes<S>) -> Lanes<S> {
    (s.add_f32s(a.0, b.0), s.add_f32s(a.1, b.1))
}

#[inline(always)]
fn minus<S: Simd>(s: S, a: Lanes<S>, b: Lanes<S>) -> Lanes<S> {
    (s.sub_f32s(a.0, b.0), s.sub_f32s(a.1, b.1))
}

/// The product of complex values.
#[inline(always)]
fn times<S: Simd>(s: S, a: Lanes<S>, b: Lanes<S>) -> Lanes<S> {
    let re = s.sub_f32s(s.mul_f32s(a.0, b.0), s.mul_f32s(a.1, b.1));
    let im = s.add_f32s(s.mul_f32s(a.0, b.1), s.mul_f32s(a.1, b.0));
    (re, im)
}

#[inline(always)]
fn step_of_four<S: Simd>(
    s: S,
    from: &[&mut [S::f32s]; 2],
    to: &mut [&mut [S::f32s]; 2],
    turns: &[[f32; 2]],
    left: usize,
    beside: usize,
) {
    let quarter = left / 4;
    let turn = |k: usize| {
        let [re, im] = turns[k * (turns.len() / left)];
        (s.splat_f32s(re), s.splat_f32s(im))
    };
    for p in 0..quarter {
        let (one, two, three) = (turn(p), turn(2 * p), turn(3 * p));
        let read = |k: usize| {
            let at = beside * (p + k * quarter);
            (&from[0][at..at + beside], &from[1][at..at + beside])
        };
        let (a, b, c, d) = (read(0), read(1), read(2), read(3));
        let [to_re, to_im] = to;
        let written = 4 * beside * p..4 * beside * (p + 1);
        let (to_re, to_im) = (&mut to_re[written.clone()], &mut to_im[written]);
        for q in 0..beside {
            let (a, b) = ((a.0[q], a.1[q]), (b.0[q], b.1[q]));
            let (c, d) = ((c.0[q], c.1[q]), (d.0[q], d.1[q]));
            let (even, odd) = (plus(s, a, c), plus(s, b, d));
            let (difference, other) = (minus(s, a, c), minus(s, b, d));
            // Times -i.
            let turned = (other.1, s.neg_f32s(other.0));
            let mut write = |k: usize, value| {
                (to_re[q + k * beside], to_im[q + k * beside]) = value;
            };
            write(0, plus(s, even, odd));
            write(1, times(s, plus(s, difference, turned), one));
            write(2, times(s, minus(s, even, odd), two));
            write(3, times(s, minus(s, difference, turned), three));
        }
    }
}

#[inline(always)]
fn step_of_two<S: Simd>(
    s: S,
    from: &[&mut [S::f32s]; 2],
    to: &mut [&mut [S::f32s]; 2],
    turns: &[[f32; 2]],
    left: usize,
    beside: usize,
) {
    let half = left / 2;
    for p in 0..half {
        let [re, im] = turns[p * (turns.len() / left)];
        let turn = (s.splat_f32s(re), s.splat_f32s(im));
        for q in 0..beside {
            let (a, b) = (q + beside * p, q + beside * (p + half));
            let (a, b) = ((from[0][a], from[1][a]), (from[0][b], from[1][b]));
            let difference = minus(s, a, b);
            let at = q + beside * 2 * p;
            (to[0][at], to[1][at]) = plus(s, a, b);
            (to[0][at + beside], to[1][at + beside]) = times(s, difference, turn);
        }
    }
}

/// `[rows][columns]` to `[columns][rows]`, square by square.
#[inline(always)]
fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    for row in (0..rows).step_by(LANES) {
        for column in 0..columns {
            let out = &mut to[column * rows + row..][..LANES];
            for (n, out) in out.iter_mut().enumerate() {
                *out = from[(row + n) * columns + column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustfft::{FftPlanner, num_complex::Complex};

    use super::*;

    #[test]
    fn it_is_the_transform_whatever_the_vectors() {
        for size in [256, 512, 2048, 4096, 8192] {
            let mut state = size as u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            };
            let values: Values = [(); 2].map(|()| (0..size).map(|_| noise()).collect());
            let mut exact: Vec<Complex<f64>> = (0..size)
                .map(|n| Complex::new(f64::from(values[0][n]), f64::from(values[1][n])))
                .collect();
            FftPlanner::new().plan_fft_forward(size).process(&mut exact);
            let fft = Fft::new(size);
            let mut scratch = fft.scratch();
            let mut found = values.clone();
            fft.transform(&mut found, &mut scratch);
            for (n, exact) in exact.iter().enumerate() {
                let error = Complex::new(f64::from(found[0][n]), f64::from(found[1][n])) - exact;
                assert!(error.norm() < 4e-7 * (size as f64).sqrt() * 2.0, "{size}: {n} {error}");
            }
            let mut scalar = values.clone();
            let transform = Transform { fft: &fft, values: &mut scalar, scratch: &mut scratch };
            transform.with_simd(pulp::Scalar);
            assert!(scalar == found, "{size}");
        }
    }
}
