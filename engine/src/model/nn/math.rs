//! Elementary functions on vectors, all by multiply-add in a fixed order.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LOG2_E};

use pulp::Simd;

/// `e^x`, to about 2e-7 of its value; below -87 as at -87 and above 88 as at 88, where `f32` ends.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; a polynomial for `e^r` (minimax, relative error 3e-9),
/// then `n` is added to the exponent.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let c = |value: f32| s.splat_f32s(value);
    let x = s.min_f32s(s.max_f32s(x, c(-87.0)), c(88.0));
    let shifted = s.mul_add_e_f32s(x, c(LOG2_E), c(ROUND));
    let n = s.sub_f32s(shifted, c(ROUND));
    let r = s.mul_add_e_f32s(n, c(-LN_2_HIGH), x);
    let r = s.mul_add_e_f32s(n, c(-LN_2_LOW), r);
    let mut p = c(0.001_381_461);
    for coefficient in [0.008_368_71, 0.041_668_39, 0.166_665_21, 0.499_999_94, 1.0, 1.0] {
        p = s.mul_add_e_f32s(p, r, c(coefficient));
    }
    let exponent = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    s.transmute_f32s_u32s(s.add_u32s(s.transmute_u32s_f32s(p), exponent))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let one = s.splat_f32s(1.0);
    s.div_f32s(one, s.add_f32s(one, exp(s, s.neg_f32s(x))))
}

/// The hyperbolic tangent, to 2e-7.
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let two = s.splat_f32s(2.0);
    s.mul_add_e_f32s(two, sigmoid(s, s.mul_f32s(two, x)), s.splat_f32s(-1.0))
}

/// The natural logarithm of a normal number above zero, to about 2e-7 of it or of 1.
///
/// `x = 2^n m` with `m` from √½ to √2, and `ln m = 2 artanh((m - 1) / (m + 1))` by its series.
#[inline(always)]
pub(super) fn ln<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    /// Bits of √½, and what lifts every exponent above zero: 127 of them.
    const ROOT_HALF: u32 = 0x3f35_04f3;
    const LIFT: u32 = 127 << 23;
    /// 2^23: a whole number below it, put into its low bits, makes it that much larger.
    const MAGIC: f32 = 8_388_608.0;
    let c = |value: f32| s.splat_f32s(value);
    let u = |value: u32| s.splat_u32s(value);
    let lifted = s.add_u32s(s.transmute_u32s_f32s(x), u(LIFT.wrapping_sub(ROOT_HALF)));
    let exponent = s.wrapping_dyn_shr_u32s(lifted, u(23));
    let n = s.transmute_f32s_u32s(s.or_u32s(exponent, u(MAGIC.to_bits())));
    let n = s.sub_f32s(n, c(MAGIC + 127.0));
    let m = s.add_u32s(s.and_u32s(lifted, u(0x7f_ffff)), u(ROOT_HALF));
    let m = s.transmute_f32s_u32s(m);
    let t = s.div_f32s(s.sub_f32s(m, c(1.0)), s.add_f32s(m, c(1.0)));
    let square = s.mul_f32s(t, t);
    let mut p = c(2.0 / 9.0);
    for coefficient in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        p = s.mul_add_e_f32s(p, square, c(coefficient));
    }
    s.mul_add_e_f32s(n, c(LN_2), s.mul_f32s(p, t))
}

/// `x Φ(x)` with the exact normal distribution (`torch.nn.GELU()`), to 4e-7 of `|x|`.
///
/// `erf(z) = z P(z²) / Q(z²)` up to `|z| = 4`, beyond which it is 1 in `f32`; P and Q are a rational
/// minimax fit (relative error 2.5e-8).
#[inline(always)]
pub(super) fn gelu<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    const P: [f32; 6] = [
        1.986_801e-6,
        2.845_576_4e-4,
        3.883_073_6e-3,
        5.310_090_6e-2,
        0.193_539_08,
        FRAC_2_SQRT_PI,
    ];
    const Q: [f32; 6] =
        [3.741_993e-5, 1.185_501_3e-3, 1.520_671_2e-2, 0.115_347_48, 0.504_852_1, 1.0];
    let c = |value: f32| s.splat_f32s(value);
    let z = s.mul_f32s(x, c(FRAC_1_SQRT_2));
    let z = s.min_f32s(s.max_f32s(z, c(-4.0)), c(4.0));
    let square = s.mul_f32s(z, z);
    let (mut p, mut q) = (c(P[0]), c(Q[0]));
    for i in 1..6 {
        p = s.mul_add_e_f32s(p, square, c(P[i]));
        q = s.mul_add_e_f32s(q, square, c(Q[i]));
    }
    let erf = s.div_f32s(s.mul_f32s(z, p), q);
    let half = s.mul_f32s(x, c(0.5));
    s.mul_add_e_f32s(half, erf, half)
}

#[cfg(test)]
mod tests {
    use super::{
        super::simd::{Kernel, Kernels},
        *,
    };

    struct All<'a>(&'a mut [f32], u8);

    impl Kernel for All<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
            for x in S::as_mut_simd_f32s(self.0).0 {
                *x = match self.1 {
                    0 => exp(s, *x),
                    1 => sigmoid(s, *x),
                    2 => gelu(s, *x),
                    3 => tanh(s, *x),
                    _ => ln(s, s.max_f32s(exp(s, *x), s.splat_f32s(f32::MIN_POSITIVE))),
                };
            }
        }
    }

    /// erf by its Maclaurin series, or its asymptotic end.
    fn erf(z: f64) -> f64 {
        if z.abs() > 6.0 {
            return z.signum();
        }
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn functions_are_as_exact_as_they_say_with_every_instruction_set() {
        let xs: Vec<f32> = (-9600..9600).map(|i| i as f32 / 1000.0 * 9.0).collect();
        let mut first: Option<Vec<Vec<f32>>> = None;
        for kernels in Kernels::available() {
            let all = [0, 1, 2, 3, 4].map(|which| {
                let mut values = xs.clone();
                kernels.run(All(&mut values, which));
                values
            });
            for (i, &x) in xs.iter().enumerate() {
                let exact = f64::from(x);
                let expected = exact.clamp(-87.0, 88.0).exp();
                assert!((f64::from(all[0][i]) / expected - 1.0).abs() < 4e-7, "exp {x}");
                let expected = 1.0 / (1.0 + (-exact).exp());
                assert!((f64::from(all[1][i]) - expected).abs() < 2e-7, "sigmoid {x}");
                assert!((f64::from(all[3][i]) - exact.tanh()).abs() < 4e-7, "tanh {x}");
                let expected = f64::from(all[0][i].max(f32::MIN_POSITIVE)).ln();
                let error = (f64::from(all[4][i]) - expected).abs();
                assert!(error < 3e-7 * expected.abs().max(1.0), "ln of exp {x}: {error}");
                if exact.abs() < 5.5 || exact.abs() > 9.0 {
                    let expected = exact * 0.5 * (1.0 + erf(exact / 2f64.sqrt()));
                    let error = (f64::from(all[2][i]) - expected).abs();
                    assert!(error < 4e-7 * exact.abs() + 1e-12, "gelu {x}: {error}");
                }
            }
            if kernels.fused() {
                let first = first.get_or_insert_with(|| all.to_vec());
                assert!(first.iter().zip(&all).all(|(a, b)| a == b), "{}", kernels.name());
            }
        }
    }
}
