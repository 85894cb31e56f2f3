//! Gated recurrent units (Cho et al. 2014), in the variant that PyTorch and cuDNN compute.

use std::ops::Range;

use pulp::Simd;

use super::{
    map::BLOCK,
    math::{sigmoid, tanh},
    matrix::{Finish, Matrix, Multiply},
    norm::RmsNorm,
    simd::{Kernel, Kernels},
    source::Dense,
};

/// Weights of one direction: both matrices have three times as many rows as there are hidden values,
/// for the gates "reset", "update" and for the new value, in this order (`torch.nn.GRU`).
#[derive(Debug, Clone)]
pub(crate) struct Gru {
    input: Matrix,
    hidden: Matrix,
}

/// Working memory of a pass; every part is as large as its last user made it.
#[derive(Debug, Default)]
pub(crate) struct GruScratch {
    packed: Vec<f32>,
    from_input: Vec<f32>,
    from_hidden: Vec<f32>,
    state: Vec<f32>,
}

impl Gru {
    /// The unit with these matrices, whose depths are the sizes of the input and of the state.
    pub(crate) fn new(input: Matrix, hidden: Matrix) -> Self {
        Self { input, hidden }
    }
}

/// A unit's way over tiles, one after the other, from a state of zeros.
pub(crate) struct Pass<'a> {
    pub(crate) unit: &'a Gru,
    /// `[tiles][inputs][width]`: in each tile `width` sequences side by side.
    pub(crate) tiles: &'a [f32],
    pub(crate) width: usize,
    /// What inputs are normalised by first, one an input; see [`RmsNorm`].
    pub(crate) gain: &'a [f32],
    /// Whether the last tile comes first.
    pub(crate) backwards: bool,
    /// `[tiles][…][width]`, of which the states of each tile are written to `rows`.
    pub(crate) out: &'a mut [f32],
    pub(crate) rows: Range<usize>,
    pub(crate) scratch: &'a mut GruScratch,
}

impl Pass<'_> {
    /// Goes that way; `before` is asked before every tile whether to go on.
    pub(crate) fn run<E>(
        self,
        kernels: Kernels,
        mut before: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { unit, tiles, width, gain, backwards, out, rows, scratch } = self;
        debug_assert!(width.is_multiple_of(BLOCK));
        let hidden = rows.len();
        let tile_len = gain.len() * width;
        let count = tiles.len() / tile_len;
        let out_len = out.len() / count.max(1);
        let GruScratch { packed, from_input, from_hidden, state } = scratch;
        from_input.resize(3 * hidden * width, 0.0);
        from_hidden.resize(3 * hidden * width, 0.0);
        state.clear();
        state.resize(hidden * width, 0.0);
        for step in 0..count {
            before()?;
            let tile = if backwards { count - 1 - step } else { step };
            let tile_data = &tiles[tile * tile_len..][..tile_len];
            kernels.run(Multiply {
                matrix: &unit.input,
                source: RmsNorm { data: tile_data, stride: width, gain },
                columns: width,
                rows: 0..3 * hidden,
                out: from_input,
                finish: Finish::Store,
                scratch: packed,
            });
            kernels.run(Multiply {
                matrix: &unit.hidden,
                source: Dense { data: state, stride: width },
                columns: width,
                rows: 0..3 * hidden,
                out: from_hidden,
                finish: Finish::Store,
                scratch: packed,
            });
            kernels.run(Gates { from_input, from_hidden, state });
            out[tile * out_len..][rows.start * width..rows.end * width].copy_from_slice(state);
        }
        Ok(())
    }
}

/// The state's next value from the products: `r = σ(i₀ + h₀)`, `z = σ(i₁ + h₁)`,
/// `n = tanh(i₂ + r h₂)`, `h ← n + z (h - n)`.
struct Gates<'a> {
    /// `[3][hidden · width]`, and so is the next.
    from_input: &'a [f32],
    from_hidden: &'a [f32],
    /// `[hidden · width]`.
    state: &'a mut [f32],
}

impl Kernel for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let len = self.state.len();
        let parts = |all| {
            let vectors = |n: usize| S::as_simd_f32s(&<[f32]>::as_ref(all)[n * len..][..len]).0;
            [vectors(0), vectors(1), vectors(2)]
        };
        let [i0, i1, i2] = parts(self.from_input);
        let [h0, h1, h2] = parts(self.from_hidden);
        for (n, h) in S::as_mut_simd_f32s(self.state).0.iter_mut().enumerate() {
            let reset = sigmoid(s, s.add_f32s(i0[n], h0[n]));
            let update = sigmoid(s, s.add_f32s(i1[n], h1[n]));
            let new = tanh(s, s.mul_add_e_f32s(reset, h2[n], i2[n]));
            *h = s.mul_add_e_f32s(update, s.sub_f32s(*h, new), new);
        }
    }
}
