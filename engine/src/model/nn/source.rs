//! What a matrix product reads: views of activations as columns, packed panel by panel. Convolutions
//! become products here, without ever storing their unfolded input.

use pulp::Simd;

use super::{
    map::{MapRef, copy},
    simd::Kernel,
};

/// The right-hand side of a product, of shape `[depth][positions]`.
pub(crate) trait Source {
    /// Writes the columns from `column` on into `panel`, which has shape `[depth][NR]`, where `NR`
    /// is `NV` vectors.
    fn fill<S: Simd, const NV: usize>(&self, s: S, column: usize, panel: &mut [f32]);
}

/// Rows as they lie in memory.
pub(crate) struct Dense<'a> {
    /// Values, a row after the other.
    pub(crate) data: &'a [f32],
    /// Floats from one row to the next.
    pub(crate) stride: usize,
}

impl Source for Dense<'_> {
    #[inline(always)]
    fn fill<S: Simd, const NV: usize>(&self, _: S, column: usize, panel: &mut [f32]) {
        let nr = NV * S::F32_LANES;
        for (to, from) in panel.chunks_exact_mut(nr).zip(self.data.chunks(self.stride)) {
            copy::<S>(&from[column..column + nr], to);
        }
    }
}

/// Where a tap of a convolution reads, relative to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    pub(crate) row: isize,
    pub(crate) position: isize,
}

/// Neighbours of each position: rows of the product are channels times taps, taps innermost, as
/// PyTorch orders the weights of convolutions.
pub(crate) struct Taps<'a> {
    pub(crate) map: MapRef<'a>,
    /// Row and position that column 0 stands for.
    pub(crate) origin: (isize, isize),
    pub(crate) taps: &'a [Tap],
}

impl Source for Taps<'_> {
    #[inline(always)]
    fn fill<S: Simd, const NV: usize>(&self, _: S, column: usize, panel: &mut [f32]) {
        let nr = NV * S::F32_LANES;
        let (map, stride) = (self.map, self.map.stride());
        for (index, tap) in self.taps.iter().enumerate() {
            let row = self.origin.0 + tap.row;
            let position = self.origin.1 + tap.position + column as isize;
            let rows = panel.chunks_exact_mut(nr).skip(index).step_by(self.taps.len());
            if let Some(start) = map.inside(row, position, nr) {
                for (out, from) in rows.zip(map.data()[start..].chunks(stride)) {
                    copy::<S>(&from[..nr], out);
                }
            } else {
                for (channel, out) in rows.enumerate() {
                    map.read(channel, row, position, out);
                }
            }
        }
    }
}

/// Windows of a line, `stride` positions apart.
pub(crate) struct Strided<'a> {
    pub(crate) map: MapRef<'a>,
    /// Position of column 0's first tap.
    pub(crate) origin: isize,
    pub(crate) stride: usize,
    pub(crate) taps: usize,
}

impl Source for Strided<'_> {
    #[inline(always)]
    fn fill<S: Simd, const NV: usize>(&self, _: S, column: usize, panel: &mut [f32]) {
        let nr = NV * S::F32_LANES;
        let mut rows = panel.chunks_exact_mut(nr);
        for channel in 0..self.map.channels {
            for (tap, out) in (0..self.taps).zip(&mut rows) {
                let position = self.origin + (column * self.stride + tap) as isize;
                self.map.read_strided(channel, position, self.stride, out);
            }
        }
    }
}

/// Writes a source out as rows.
pub(crate) struct Unpack<'a, P> {
    pub(crate) source: P,
    /// `[rows][columns]`.
    pub(crate) out: &'a mut [f32],
    pub(crate) columns: usize,
    /// Working memory, of any size.
    pub(crate) scratch: &'a mut Vec<f32>,
}

impl<P: Source> Kernel for Unpack<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let Self { source, out, columns, scratch } = self;
        let nr = NV * S::F32_LANES;
        let rows = out.len() / columns;
        scratch.resize(rows * nr, 0.0);
        for column in (0..columns).step_by(nr) {
            source.fill::<S, NV>(s, column, scratch);
            for (out, row) in out.chunks_exact_mut(columns).zip(scratch.chunks_exact(nr)) {
                copy::<S>(row, &mut out[column..column + nr]);
            }
        }
    }
}
