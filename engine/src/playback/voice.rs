//! A place in the song being played: a queue of blocks and how far into them we are. The renderer
//! has one that sounds, one that is about to, and one that fades out.

use std::collections::VecDeque;

use crate::playback::{
    FADE_FRAMES, MAX_LANES, POOL_BLOCKS, block::Block, renderer::CHUNK_FRAMES, report::Gauges,
};

/// Left and right, up to a chunk of frames.
pub(super) type Bus = [[f32; CHUNK_FRAMES]; 2];

/// The mixer's moving values over one chunk.
#[derive(Debug)]
pub(super) struct Curves {
    /// Share of the stems that the user wants: 1 for stems, 0 for the original.
    pub(super) listen: [f32; CHUNK_FRAMES],
    /// Left and right factor of every lane.
    pub(super) lanes: [Bus; MAX_LANES],
}

/// Result of looking for a position in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Located {
    /// The queue now begins exactly there.
    Here,
    /// It lies just behind what was read so far.
    NotYet,
    /// It will not come.
    Elsewhere,
}

#[derive(Debug)]
pub(super) struct Voice {
    pub(super) generation: u64,
    pub(super) resume: bool,
    queue: VecDeque<Block>,
    offset: usize,
    available: usize,
    position: u64,
    /// Share of the stems in the last frame; `None` before the first and after a jump.
    share: Option<f32>,
    /// The last frame played, until a new order begins.
    last: Option<[f32; 2]>,
    /// The next frame does not follow the last: a loop begins again.
    jumped: bool,
    /// What is added to hide the last jump's step, falling to nothing over `step_left` frames.
    step: [f32; 2],
    step_left: usize,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self {
            generation: 0,
            resume: false,
            queue: VecDeque::with_capacity(POOL_BLOCKS),
            offset: 0,
            available: 0,
            position: 0,
            share: None,
            last: None,
            jumped: false,
            step: [0.0; 2],
            step_left: 0,
        }
    }

    /// Begins another order; the queue must have been emptied.
    pub(super) fn begin(&mut self, generation: u64, resume: bool) {
        debug_assert!(self.queue.is_empty());
        self.generation = generation;
        self.resume = resume;
        self.share = None;
        self.last = None;
        self.step_left = 0;
    }

    fn jump(&mut self, position: u64) {
        self.position = position;
        self.share = None;
        self.jumped = true;
    }

    pub(super) fn push(&mut self, block: Block) {
        self.available += block.frames;
        if self.queue.is_empty() && self.position != block.start {
            self.jump(block.start);
        }
        self.queue.push_back(block);
    }

    /// Takes the next block out, used or not.
    pub(super) fn pop(&mut self) -> Option<Block> {
        let block = self.queue.pop_front()?;
        self.available -= block.frames - self.offset;
        self.offset = 0;
        self.position = block.end_frame();
        if let Some(start) = self.queue.front().map(|next| next.start)
            && start != self.position
        {
            self.jump(start);
        }
        Some(block)
    }

    /// Takes the next block out if all of it was played.
    pub(super) fn pop_played(&mut self) -> Option<Block> {
        let front = self.queue.front()?;
        if front.end || self.offset < front.frames { None } else { self.pop() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next frame to be played.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The last frame it mixed.
    pub(super) fn last(&self) -> [f32; 2] {
        self.last.unwrap_or_default()
    }

    /// Frames in the queue.
    pub(super) fn available(&self) -> usize {
        self.available
    }

    /// Frames in the first block.
    pub(super) fn front_frames(&self) -> usize {
        self.queue.front().map_or(0, |block| block.frames - self.offset)
    }

    /// Whether the song's end is in the queue.
    pub(super) fn has_end(&self) -> bool {
        self.queue.back().is_some_and(|block| block.end)
    }

    /// Whether the song's end was reached.
    pub(super) fn finished(&self) -> bool {
        self.queue.front().is_some_and(|block| block.end)
    }

    /// Looks for `position`, handing blocks before it to `recycle`.
    pub(super) fn locate(&mut self, position: u64, mut recycle: impl FnMut(Block)) -> Located {
        let holds = |block: &Block| {
            let range = block.start..block.end_frame();
            range.contains(&position) || block.end && block.start == position
        };
        if let Some(index) = self.queue.iter().position(holds) {
            (0..index).filter_map(|_| self.pop()).for_each(&mut recycle);
            if let Some(front) = self.queue.front() {
                self.offset = (position - front.start) as usize;
                self.available -= self.offset;
                self.position = position;
            }
            return Located::Here;
        }
        let mut next = self.position;
        let straight = self.queue.iter().all(|block| {
            let follows = block.start == next && !block.end;
            next = block.end_frame();
            follows
        });
        if straight && position >= next { Located::NotYet } else { Located::Elsewhere }
    }

    /// Mixes the next `frames` frames of the first block into the beginning of `bus`, and goes on;
    /// does nothing if it has fewer, or for none. Peaks go to `gauges` if given.
    pub(super) fn mix(
        &mut self,
        frames: usize,
        curves: &Curves,
        bus: &mut Bus,
        gauges: Option<&Gauges>,
    ) {
        let Some(block) =
            self.queue.front().filter(|_| (1..=self.front_frames()).contains(&frames))
        else {
            return;
        };
        let range = self.offset..self.offset + frames;
        let mut shares = [0.0; CHUNK_FRAMES];
        let bounds = block.stem_share[range.clone()].iter().zip(&curves.listen);
        for (share, (bound, listen)) in shares.iter_mut().zip(bounds) {
            let risen = self.share.map_or(*bound, |share| share + 1.0 / FADE_FRAMES as f32);
            let now = risen.min(*bound);
            self.share = Some(now);
            *share = now * listen;
        }
        for (side, bus) in bus.iter_mut().enumerate() {
            let stems = &mut [0.0; CHUNK_FRAMES][..frames];
            for (lane, (channels, gains)) in block.lanes.iter().zip(&curves.lanes).enumerate() {
                let mut peak = 0f32;
                let samples = &channels[side.min(channels.len() - 1)][range.clone()];
                let factors = gains[side].iter().zip(&shares);
                for ((sum, sample), (gain, share)) in stems.iter_mut().zip(samples).zip(factors) {
                    let heard = sample * gain;
                    *sum += heard;
                    peak = peak.max((heard * share).abs());
                }
                if let Some(gauges) = gauges {
                    gauges.lane_peak(lane, side, peak);
                }
            }
            let original = &block.original[side.min(block.original.len() - 1)][range.clone()];
            for (((out, original), stem), share) in
                bus.iter_mut().zip(original).zip(stems).zip(&shares)
            {
                *out = crossfade(*original, *stem, *share);
            }
        }
        self.offset += frames;
        self.available -= frames;
        self.position += frames as u64;
        self.smooth_jump(frames, bus);
    }

    /// A loop must take up at its exact first sample, and lose nothing of an attack there; so the
    /// step from the last sample is taken out by an offset that dies away.
    fn smooth_jump(&mut self, frames: usize, bus: &mut Bus) {
        let first = [bus[0][0], bus[1][0]];
        if std::mem::take(&mut self.jumped)
            && let Some(last) = self.last
        {
            self.step = [last[0] - first[0], last[1] - first[1]];
            self.step_left = FADE_FRAMES;
        }
        let smoothed = self.step_left.min(frames);
        for (bus, step) in bus.iter_mut().zip(self.step) {
            for (sample, left) in bus.iter_mut().zip((0..=self.step_left).rev()).take(smoothed) {
                *sample += step * (left as f32 / (FADE_FRAMES + 1) as f32);
            }
        }
        self.step_left -= smoothed;
        self.last = Some([bus[0][frames - 1], bus[1][frames - 1]]);
    }
}

/// From `a` (`share` 0) to `b` (`share` 1), exact at both ends and where they are equal.
pub(super) fn crossfade(a: f32, b: f32, share: f32) -> f32 {
    if share >= 1.0 {
        b
    } else if share <= 0.0 {
        a
    } else {
        a + (b - a) * share
    }
}
