//! Sample rates, planar blocks and sets of frame ranges: the words every other room uses.
//!
//! A *frame* is one sample of every channel at one instant. Audio inside the engine is planar
//! `f32`, nominal full scale ±1.0, never clipped.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The rate at which separation and playback run, in hertz. Sources at other rates are resampled
/// on the way in and back on the way out.
pub const WORK_RATE_HZ: u32 = 44_100;

/// Most channels a source may have (7.1 and a little room); more is refused as damaged.
pub const MAX_CHANNELS: usize = 32;

/// Rate and channel count of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Frames per second.
    pub sample_rate_hz: u32,
    /// Channels per frame.
    pub channels: u16,
}

impl StreamSpec {
    /// Length of `frames` in seconds.
    pub fn secs(self, frames: u64) -> f64 {
        frames as f64 / f64::from(self.sample_rate_hz)
    }
}

/// A block of planar audio: one equally long `Vec` per channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planar {
    channels: Vec<Vec<f32>>,
}

impl Planar {
    /// `channels` channels of `frames` zeros.
    pub fn silence(channels: usize, frames: usize) -> Self {
        Self { channels: vec![vec![0.0; frames]; channels] }
    }

    /// Takes over `channels`, which must all be equally long.
    pub fn from_channels(channels: Vec<Vec<f32>>) -> Self {
        debug_assert!(channels.windows(2).all(|pair| pair[0].len() == pair[1].len()));
        Self { channels }
    }

    /// Number of channels.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// The samples of one channel.
    pub fn channel(&self, channel: usize) -> &[f32] {
        &self.channels[channel]
    }

    /// The samples of one channel, to change.
    pub fn channel_mut(&mut self, channel: usize) -> &mut [f32] {
        &mut self.channels[channel]
    }

    /// All channels.
    pub fn channels(&self) -> &[Vec<f32>] {
        &self.channels
    }

    /// All channels, to change; keep them equally long.
    pub fn channels_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.channels
    }

    /// The channels themselves.
    pub fn into_channels(self) -> Vec<Vec<f32>> {
        self.channels
    }

    /// Sets every channel to `frames` frames, filling with silence.
    pub fn resize(&mut self, frames: usize) {
        for channel in &mut self.channels {
            channel.resize(frames, 0.0);
        }
    }
}

/// Sorted, disjoint, non-adjacent ranges of frames.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `range`, merging what it touches.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|r| r.end < range.start);
        let last = self.ranges.partition_point(|r| r.start <= range.end);
        let merged = self.ranges[first..last]
            .iter()
            .fold(range, |acc, r| acc.start.min(r.start)..acc.end.max(r.end));
        self.ranges.splice(first..last, [merged]);
    }

    /// Whether `frame` is in the set.
    pub fn contains(&self, frame: u64) -> bool {
        let next = self.ranges.partition_point(|r| r.end <= frame);
        self.ranges.get(next).is_some_and(|r| r.start <= frame)
    }

    /// Whether the whole of `range` is in the set; an empty range always is.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let next = self.ranges.partition_point(|r| r.end <= range.start);
        self.ranges.get(next).is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.ranges.iter()
    }

    /// Total frames in the set.
    pub fn frames(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}
