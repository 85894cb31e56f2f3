//! Where tokens are: sines and cosines added to the transformer's input (`transformer.py`).
//!
//! PyTorch computes the phases in f32, whose rounding shows at high positions; so does this.

use crate::model::nn::Map;

/// Longest period (`t_max_period`).
const MAX_PERIOD: f32 = 10_000.0;

/// `create_2d_sin_embedding`: the first half of the channels tells the frame, the second half the
/// row; sines on even channels, cosines on odd ones.
pub(super) fn add_rows(x: &mut Map) {
    let (channels, width, frames) = (x.channels(), x.width(), x.frames());
    let half = channels / 2;
    let step = -f64::from(MAX_PERIOD).ln() / half as f64;
    let tile_len = x.tile_len();
    for (row, tile) in x.data_mut().chunks_exact_mut(tile_len).enumerate() {
        for (channel, values) in tile.chunks_exact_mut(width).enumerate() {
            let pair = (channel % half) & !1;
            let factor = f64::from(pair as f32 * step as f32).exp() as f32;
            let wave = |position: usize| {
                let phase = f64::from(position as f32 * factor);
                (if channel % 2 == 0 { phase.sin() } else { phase.cos() }) as f32
            };
            if channel < half {
                for (frame, x) in values[..frames].iter_mut().enumerate() {
                    *x += wave(frame);
                }
            } else {
                let offset = wave(row);
                values[..frames].iter_mut().for_each(|x| *x += offset);
            }
        }
    }
}

/// `create_sin_embedding`: cosines of the position, then sines.
pub(super) fn add_line(x: &mut Map) {
    let (channels, width, tile_len) = (x.channels(), x.width(), x.tile_len());
    let half = channels / 2;
    let valid: Vec<usize> = (0..x.tiles()).map(|tile| x.valid(tile)).collect();
    for (tile, values) in x.data_mut().chunks_exact_mut(tile_len).enumerate() {
        for (channel, values) in values.chunks_exact_mut(width).enumerate() {
            let exponent = (channel % half) as f32 / (half - 1) as f32;
            let period = f64::from(MAX_PERIOD).powf(f64::from(exponent)) as f32;
            for (i, x) in values[..valid[tile]].iter_mut().enumerate() {
                let phase = f64::from((tile * width + i) as f32 / period);
                *x += (if channel < half { phase.cos() } else { phase.sin() }) as f32;
            }
        }
    }
}
