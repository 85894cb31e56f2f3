//! What separators that work on middle and side do alike: where a chunk's segment lies, to middle
//! and side and back, what is left for `other`.

use std::ops::Range;

use super::ChunkInput;
use crate::{
    audio::Planar,
    error::{Error, ErrorKind, Result},
};

/// Samples beyond this are taken for damage and muted in the analysis; no music comes near it.
const LOUDEST: f32 = 1e9;

/// Where the segment lies in the input's samples.
pub(super) fn segment_of(input: &ChunkInput) -> Result<Range<usize>> {
    let start = input.context_before_frames;
    let end = start.checked_add(input.segment_frames);
    let fits = input.audio.channel_count() == 2
        && end.is_some_and(|end| end <= input.audio.frames())
        && i64::try_from(input.start_frame).is_ok_and(|at| at >= start as i64 && at < 1 << 48);
    if !fits {
        return Err(Error::new(ErrorKind::Internal, "A chunk's input does not fit its segment"));
    }
    Ok(start..start + input.segment_frames)
}

/// Half the sum and half the difference of left and right; unusable samples are muted.
pub(super) fn mid_side(audio: &Planar) -> [Vec<f32>; 2] {
    let usable = |x: f32| if x.abs() <= LOUDEST { x } else { 0.0 };
    let pairs = || {
        let [left, right] = [audio.channel(0), audio.channel(1)];
        left.iter().zip(right).map(move |(&l, &r)| (usable(l), usable(r)))
    };
    [pairs().map(|(l, r)| 0.5 * (l + r)).collect(), pairs().map(|(l, r)| 0.5 * (l - r)).collect()]
}

/// Middle and side of drums, bass and vocals to left and right, and `other` as what they leave.
pub(super) fn finish(
    mut stems: [[Vec<f32>; 2]; 3],
    input: &ChunkInput,
    samples: Range<usize>,
) -> Vec<Planar> {
    for [mid, side] in &mut stems {
        for (a, b) in mid.iter_mut().zip(side) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
    let [drums, bass, vocals] = stems;
    let other = std::array::from_fn::<Vec<f32>, 2, _>(|channel| {
        let mixture = &input.audio.channel(channel)[samples.clone()];
        mixture
            .iter()
            .zip(&drums[channel])
            .zip(&bass[channel])
            .zip(&vocals[channel])
            .map(|(((mixture, drums), bass), vocals)| remainder(*mixture, drums + bass, *vocals))
            .collect()
    });
    [drums, bass, other, vocals]
        .into_iter()
        .map(|stem| Planar::from_channels(stem.into()))
        .collect()
}

/// What makes `(before + it) + after` the mixture, as exactly as f32 can.
fn remainder(mixture: f32, before: f32, after: f32) -> f32 {
    if mixture.abs() <= LOUDEST {
        let rest = (mixture - after) - before;
        rest + (mixture - ((before + rest) + after))
    } else {
        0.0
    }
}
