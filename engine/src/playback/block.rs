//! The unit that travels between feeder and renderer: consecutive frames of mixture and stems.

use crate::playback::BLOCK_FRAMES;

/// Up to [`BLOCK_FRAMES`] consecutive frames of one song. Made and resized by the feeder only; the
/// renderer reads it and sends it back.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The order it was read for.
    pub(super) generation: u64,
    /// Whether the renderer should go on from where it is rather than jump to the first block.
    pub(super) resume: bool,
    /// First frame of the song in it.
    pub(super) start: u64,
    /// Frames in it; the buffers may be longer.
    pub(super) frames: usize,
    /// Marks the song's end: it has no frames and nothing comes after it.
    pub(super) end: bool,
    /// The mixture, 1 or 2 channels.
    pub(super) original: Vec<Vec<f32>>,
    /// Per lane 1 or 2 channels; silence where the stems are not ready.
    pub(super) lanes: Vec<Vec<Vec<f32>>>,
    /// Upper bound for the share of the stems: 0 where they are not ready, sloping down to the
    /// next place where they are not, 1 elsewhere.
    pub(super) stem_share: Vec<f32>,
}

impl Block {
    /// Gives the buffers the right shape; allocates only when the source changed its shape.
    pub(super) fn reshape(
        &mut self,
        channels: usize,
        lane_channels: impl ExactSizeIterator<Item = usize>,
    ) {
        reshape_channels(&mut self.original, channels);
        self.lanes.resize_with(lane_channels.len(), Vec::new);
        for (lane, channels) in self.lanes.iter_mut().zip(lane_channels) {
            reshape_channels(lane, channels);
        }
        self.stem_share.resize(BLOCK_FRAMES, 0.0);
    }

    /// The frame after the last.
    pub(super) fn end_frame(&self) -> u64 {
        self.start + self.frames as u64
    }
}

fn reshape_channels(channels: &mut Vec<Vec<f32>>, count: usize) {
    channels.resize_with(count, || vec![0.0; BLOCK_FRAMES]);
}
