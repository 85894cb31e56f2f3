//! Kernels for networks: feature maps, products with packed weights, norms, activations, attention.
//!
//! Everything is laid out channels first with positions (time) innermost, and every kernel computes
//! one output per SIMD lane: a lane adds up its terms one after another by fused multiply-add, in an
//! order that depends on the network only. So the vector width does not show in the result, and
//! neither does the number of threads: AVX2, AVX-512 and NEON give the same bits. Processors without
//! fused multiply-add ([`Kernels::fused`] is false) form a class of their own.
//!
//! Networks know these types; nothing of them leaves [`crate::model`].

mod attention;
mod map;
mod math;
mod matrix;
mod norm;
mod pointwise;
mod recurrent;
mod simd;
mod source;
mod speed;

pub(crate) use self::{
    attention::{Attention, Heads},
    map::{BLOCK, Map, MapRef},
    matrix::{Finish, Matrix, Multiply},
    norm::{Affine, GatedResidual, LayerNorm, Normalise, RmsNorm, Sums, sums},
    pointwise::{Compress, Softmax, transpose},
    recurrent::{Gru, GruScratch, Pass},
    source::{Dense, Strided, Tap, Taps, Unpack},
};
pub use self::{simd::Kernels, speed::product_flop_per_sec};
