//! Which vector instructions this processor has, chosen at run time.

use pulp::{Scalar, Simd, WithSimd};

/// A kernel, written once for every instruction set.
///
/// `MR` rows by `NV` vectors of columns are the tile of the matrix product that fills the
/// registers of the instruction set `S`.
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, and so is everything they call in their loops:
    /// only then is it compiled for `S`.
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) -> Self::Output;
}

/// The vector instructions in use.
#[derive(Debug, Clone, Copy)]
pub struct Kernels(Class);

#[derive(Debug, Clone, Copy)]
enum Class {
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    Portable,
}

impl Kernels {
    /// The best this processor has.
    pub fn detect() -> Self {
        Self::available().swap_remove(0)
    }

    /// All that this processor has, the best first; never empty.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(pulp::x86::V4::try_new().map(Class::Avx512));
            found.extend(pulp::x86::V3::try_new().map(Class::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(pulp::aarch64::Neon::try_new().map(Class::Neon));
        found.push(Class::Portable);
        found.into_iter().map(Self).collect()
    }

    /// Name of the instruction set, as shown to the user.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Class::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Class::Avx2(_) => "AVX2+FMA",
            #[cfg(target_arch = "aarch64")]
            Class::Neon(_) => "NEON",
            Class::Portable => "portable",
        }
    }

    /// Whether multiply-adds round once. All classes that do give the same bits.
    pub fn fused(self) -> bool {
        !matches!(self.0, Class::Portable)
    }

    /// Rows of the matrix product's tile: how weights are packed.
    pub(crate) fn tile_rows(self) -> usize {
        struct Rows;
        impl Kernel for Rows {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd, const MR: usize, const NV: usize>(self, _: S) -> usize {
                MR
            }
        }
        self.run(Rows)
    }

    /// Runs `kernel` with these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Class::Avx512(simd) => Simd::vectorize(simd, Tiled::<K, 8, 3>(kernel)),
            #[cfg(target_arch = "x86_64")]
            Class::Avx2(simd) => Simd::vectorize(simd, Tiled::<K, 6, 2>(kernel)),
            #[cfg(target_arch = "aarch64")]
            Class::Neon(simd) => Simd::vectorize(simd, Tiled::<K, 8, 3>(kernel)),
            Class::Portable => Simd::vectorize(Scalar, Tiled::<K, 4, 8>(kernel)),
        }
    }
}

struct Tiled<K, const MR: usize, const NV: usize>(K);

impl<K: Kernel, const MR: usize, const NV: usize> WithSimd for Tiled<K, MR, NV> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.0.run::<S, MR, NV>(simd)
    }
}
