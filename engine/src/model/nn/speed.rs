//! How fast this processor multiplies matrices, to judge a network's speed by.

use std::time::Instant;

use super::{
    map::BLOCK,
    matrix::{Finish, Matrix, Multiply},
    simd::Kernels,
    source::Dense,
};

/// Sizes at which packing hardly counts and everything stays in the caches.
const ROWS: usize = 768;
const DEPTH: usize = 512;
const COLUMNS: usize = 14 * BLOCK;
const REPEATS: usize = 60;

/// Floating-point operations per second of products of large matrices, all threads of the current
/// rayon pool together. Takes about a quarter of a second; the best of several calls is the
/// processor's limit.
pub fn product_flop_per_sec(kernels: Kernels) -> f64 {
    let ramp = |count: usize| (0..count).map(|n| (n % 251) as f32 / 251.0).collect::<Vec<_>>();
    let matrix = Matrix::new(kernels, DEPTH, &ramp(ROWS * DEPTH), &[]);
    let columns = ramp(DEPTH * COLUMNS);
    let began = Instant::now();
    let threads = rayon::broadcast(|_| {
        let (mut out, mut scratch) = (vec![0.0; ROWS * COLUMNS], Vec::new());
        for _ in 0..REPEATS {
            kernels.run(Multiply {
                matrix: &matrix,
                source: Dense { data: &columns, stride: COLUMNS },
                columns: COLUMNS,
                rows: 0..ROWS,
                out: &mut out,
                finish: Finish::Store,
                scratch: &mut scratch,
            });
        }
        std::hint::black_box(out);
    });
    let products = threads.len() * REPEATS;
    (2 * ROWS * DEPTH * COLUMNS * products) as f64 / began.elapsed().as_secs_f64()
}
