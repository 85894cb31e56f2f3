//! Arithmetic on signals without policy: transforms and filters that models share.
//!
//! Everything here gives the same bits on every processor: plain IEEE 754 additions,
//! multiplications, divisions and square roots in a fixed order, no fused multiply-add, and vectors
//! only where every lane computes a value of its own. Sines and cosines come from f64 tables rounded
//! to f32, where the last-digit differences between mathematics libraries vanish.

mod fft;
pub mod median;
pub mod stft;
