//! Reads ahead of the playhead: decides what comes next (loop, end, decode edge), where stems may
//! be heard, and fills blocks.

use std::{ops::Range, sync::Arc, time::Duration};

use rtrb::{Consumer, Producer};

use crate::{
    audio::RangeSet,
    error::Result,
    playback::{
        BLOCK_FRAMES, FADE_FRAMES, POOL_BLOCKS, PlaybackSource, READ_AHEAD_BLOCKS, StemSource,
        block::Block,
        normalized_loop,
        player::{Link, Start},
    },
    store::Track,
};

/// How long the feeder's thread rests while playing; a small part of what it reads ahead.
const REST: Duration = Duration::from_millis(15);

/// What [`Feeder::fill`] left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeederState {
    /// As much as wanted is read ahead.
    Full,
    /// There is more to read, but it is not decoded yet or the renderer holds all blocks.
    Waiting,
    /// Nothing to read: no song, or its end was reached.
    Idle,
    /// The player is gone.
    Closed,
}

/// The reader of the mixer core. [`Feeder::fill`] does one round of work without waiting.
#[derive(Debug)]
pub struct Feeder {
    link: Arc<Link>,
    filled: Producer<Block>,
    free: Consumer<Block>,
    spare: Vec<Block>,
    generation: u64,
    source: Option<PlaybackSource>,
    loop_range: Option<Range<u64>>,
    resume: bool,
    next_frame: u64,
    /// Blocks of this generation that the renderer has not given back.
    in_flight: usize,
    at_end: bool,
    source_number: u64,
    error_reported: bool,
}

impl Feeder {
    pub(super) fn new(link: Arc<Link>, filled: Producer<Block>, free: Consumer<Block>) -> Self {
        Self {
            link,
            filled,
            free,
            spare: std::iter::repeat_with(Block::default).take(POOL_BLOCKS).collect(),
            generation: 0,
            source: None,
            loop_range: None,
            resume: false,
            next_frame: 0,
            in_flight: 0,
            at_end: false,
            source_number: 0,
            error_reported: false,
        }
    }

    /// The thread "playback feeder".
    pub(super) fn run(mut self) {
        loop {
            let playing = self.link.orders().playing;
            match self.fill() {
                FeederState::Closed => return,
                FeederState::Waiting => std::thread::park_timeout(REST),
                FeederState::Full if playing => std::thread::park_timeout(REST),
                // Every order wakes the thread, and one given since `fill` does so at once.
                FeederState::Full | FeederState::Idle => std::thread::park(),
            }
        }
    }

    /// Reads as far ahead as wanted.
    pub fn fill(&mut self) -> FeederState {
        loop {
            if !self.follow_orders() {
                return FeederState::Closed;
            }
            while let Ok(block) = self.free.pop() {
                self.in_flight -= usize::from(block.generation == self.generation);
                self.spare.push(block);
            }
            let Some(source) = self.source.clone().filter(|_| !self.at_end) else {
                return FeederState::Idle;
            };
            if self.in_flight >= READ_AHEAD_BLOCKS {
                return FeederState::Full;
            }
            let Some(frames) = self.next_block_frames(&source) else {
                return FeederState::Waiting;
            };
            let Some(mut block) = self.spare.pop() else {
                return FeederState::Waiting;
            };
            self.read(&source, &mut block, frames);
            // The ring has room for every block there is.
            if let Err(rtrb::PushError::Full(block)) = self.filled.push(block) {
                self.spare.push(block);
                return FeederState::Waiting;
            }
            self.in_flight += 1;
        }
    }

    /// Takes over the newest order; false when the player is gone.
    fn follow_orders(&mut self) -> bool {
        let orders = {
            let orders = self.link.orders();
            if orders.closed || orders.generation == self.generation {
                return !orders.closed;
            }
            orders.clone()
        };
        let loop_is_new = self.loop_range != orders.loop_range;
        self.generation = orders.generation;
        self.loop_range = orders.loop_range;
        self.in_flight = 0;
        self.at_end = false;
        self.source = orders.source;
        if self.source_number != orders.source_number {
            self.source_number = orders.source_number;
            self.error_reported = false;
        }
        (self.next_frame, self.resume) = match orders.start {
            Start::Jump(frame) => (frame, false),
            Start::Resume => self.resume_point(loop_is_new),
        };
        true
    }

    /// Where the renderer is, or the loop's start if it ran past its end: exactly to it (the next
    /// lap is due) or while the loop was being set.
    fn resume_point(&self, loop_is_new: bool) -> (u64, bool) {
        let frame = self.link.progress.read().next_frame;
        match &self.loop_range {
            Some(range) if frame == range.end || loop_is_new && frame > range.end => {
                (range.start, false)
            }
            _ => (frame, true),
        }
    }

    /// How many frames the next block has, `Some(0)` for the song's end, `None` if it is not
    /// decoded yet.
    fn next_block_frames(&mut self, source: &PlaybackSource) -> Option<usize> {
        let length = source.final_frames();
        let range = self.loop_range.as_ref().and_then(|range| normalized_loop(range, length));
        if let Some(range) = range.as_ref().filter(|range| range.end == self.next_frame) {
            self.next_frame = range.start;
        }
        let stop = range.map(|range| range.end).filter(|end| *end > self.next_frame);
        let decoded = length.unwrap_or_else(|| source.frames());
        let until =
            stop.unwrap_or(u64::MAX).min(self.next_frame.saturating_add(BLOCK_FRAMES as u64));
        match length {
            // Whole blocks only: a slow decoder must not fill the ring with crumbs.
            None if until > decoded => None,
            _ => Some(until.min(decoded).saturating_sub(self.next_frame) as usize),
        }
    }

    fn read(&mut self, source: &PlaybackSource, block: &mut Block, frames: usize) {
        let lanes = source.stems().map_or(&[][..], StemSource::lanes);
        block.reshape(
            source.mixture().channel_count(),
            lanes.iter().map(|lane| lane.channel_count()),
        );
        block.generation = self.generation;
        block.resume = self.resume;
        block.start = self.next_frame;
        block.frames = frames;
        block.end = frames == 0;
        self.at_end = block.end;
        if block.end {
            block.start = block.start.min(source.frames());
            return;
        }
        self.next_frame = block.end_frame();
        let mixture = read_part(source.mixture(), block.start, &mut block.original, 0..frames);
        let stems = read_stems(source, block);
        for failed in [mixture, stems].into_iter().filter_map(Result::err) {
            if !std::mem::replace(&mut self.error_reported, true) {
                self.link.report(failed);
            }
        }
    }
}

/// Reads those stems that are ready, silence elsewhere, and sets the bound of their share.
fn read_stems(source: &PlaybackSource, block: &mut Block) -> Result<()> {
    let frames = block.frames;
    block.stem_share[..frames].fill(0.0);
    for channel in block.lanes.iter_mut().flatten() {
        channel[..frames].fill(0.0);
    }
    let Some(stems) = source.stems() else { return Ok(()) };
    let length = source.final_frames();
    for (part, end) in ready_parts(&stems.ready(), block.start..block.end_frame()) {
        let at = block.start + part.start as u64;
        for (lane, channels) in stems.lanes().iter().zip(&mut block.lanes) {
            read_part(lane, at, channels, part.clone())?;
        }
        let to_end = length.is_some_and(|length| end >= length);
        for (share, frame) in block.stem_share[part].iter_mut().zip(at..) {
            let frames_left = if to_end { u64::MAX } else { end - frame };
            *share = frames_left.min(FADE_FRAMES as u64) as f32 / FADE_FRAMES as f32;
        }
    }
    Ok(())
}

/// The parts of `frames` that are ready, relative to its start, each with the frame at which its
/// ready range ends.
fn ready_parts(
    ready: &RangeSet,
    frames: Range<u64>,
) -> impl Iterator<Item = (Range<usize>, u64)> + '_ {
    ready.iter().filter_map(move |range| {
        let start = range.start.max(frames.start);
        let end = range.end.min(frames.end);
        (start < end)
            .then(|| ((start - frames.start) as usize..(end - frames.start) as usize, range.end))
    })
}

fn read_part(
    track: &Track,
    at_frame: u64,
    channels: &mut [Vec<f32>],
    part: Range<usize>,
) -> Result<()> {
    let mut slices: Vec<&mut [f32]> =
        channels.iter_mut().map(|channel| &mut channel[part.clone()]).collect();
    track.read(at_frame, &mut slices).inspect_err(|_| {
        for channel in channels {
            channel[part.clone()].fill(0.0);
        }
    })
}
