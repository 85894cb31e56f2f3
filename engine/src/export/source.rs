//! Where the samples of a written file come from: streams of blocks, each bounded, summed from
//! tracks, resampled, cut to length, turned down or limited.

use std::sync::Arc;

use super::limiter::Limiter;
use crate::{audio::Planar, error::Result, resample::StreamResampler, store::Track};

/// Frames of one block read from tracks: half a megabyte of stereo.
pub(super) const BLOCK_FRAMES: usize = 65_536;

/// A stream of blocks of samples.
pub(super) trait Blocks: Send {
    /// The next block, with at least one frame; none at the end.
    fn next_block(&mut self) -> Result<Option<&Planar>>;
}

/// A track with its factors for left and right.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) track: Arc<Track>,
    pub(super) gains: [f32; 2],
}

/// The sum of terms over a range of frames, in order, or a track minus that sum. A single term
/// with factors 1 comes out bit for bit.
#[derive(Debug)]
pub(super) struct Sum {
    terms: Vec<Term>,
    minuend: Option<Arc<Track>>,
    at: u64,
    end: u64,
    block: Planar,
    scratch: Planar,
}

impl Sum {
    /// `channels` is 1 or 2. Stereo tracks are averaged for one channel, which gives back a mono
    /// song that was doubled.
    pub(super) fn new(
        terms: Vec<Term>,
        minuend: Option<Arc<Track>>,
        channels: u16,
        range: std::ops::Range<u64>,
    ) -> Self {
        let tracks = terms.iter().map(|term| &term.track).chain(&minuend);
        let widest = tracks.map(|track| track.channel_count()).max().unwrap_or(0);
        Self {
            terms,
            minuend,
            at: range.start,
            end: range.end,
            block: Planar::silence(usize::from(channels), 0),
            scratch: Planar::silence(widest, 0),
        }
    }

    /// Applies `combine(sum, sample)` to every sample of the block, with `track` as it sounds in
    /// this block's channels.
    fn fold(&mut self, track: &Track, mut combine: impl FnMut(usize, &mut f32, f32)) -> Result<()> {
        let parts = &mut self.scratch.channels_mut()[..track.channel_count()];
        track.read(self.at, parts)?;
        let mono_block = self.block.channel_count() == 1;
        for (c, channel) in self.block.channels_mut().iter_mut().enumerate() {
            match &*parts {
                [left, right, ..] if mono_block => {
                    for ((sum, l), r) in channel.iter_mut().zip(left).zip(right) {
                        combine(c, sum, (l + r) * 0.5);
                    }
                }
                parts => {
                    for (sum, sample) in channel.iter_mut().zip(&parts[c.min(parts.len() - 1)]) {
                        combine(c, sum, *sample);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Blocks for Sum {
    fn next_block(&mut self) -> Result<Option<&Planar>> {
        let frames = (self.end.saturating_sub(self.at)).min(BLOCK_FRAMES as u64) as usize;
        if frames == 0 {
            return Ok(None);
        }
        self.block.resize(frames);
        self.scratch.resize(frames);
        if self.terms.is_empty() {
            self.block.channels_mut().iter_mut().for_each(|channel| channel.fill(0.0));
        }
        for i in 0..self.terms.len() {
            let Term { track, gains } = self.terms[i].clone();
            if i == 0 {
                self.fold(&track, |c, sum, sample| *sum = gains[c] * sample)?;
            } else {
                self.fold(&track, |c, sum, sample| *sum += gains[c] * sample)?;
            }
        }
        if let Some(minuend) = self.minuend.clone() {
            self.fold(&minuend, |_, sum, sample| *sum = sample - *sum)?;
        }
        self.at += frames as u64;
        Ok(Some(&self.block))
    }
}

/// A stream at another rate.
pub(super) struct Resampled {
    inner: Box<dyn Blocks>,
    resampler: Option<StreamResampler>,
    block: Planar,
}

impl Resampled {
    /// `inner` from `from_hz` to `to_hz`, which differ.
    pub(super) fn new(
        inner: Box<dyn Blocks>,
        channels: u16,
        from_hz: u32,
        to_hz: u32,
    ) -> Result<Self> {
        Ok(Self {
            inner,
            resampler: Some(StreamResampler::new(from_hz, to_hz, usize::from(channels))?),
            block: Planar::silence(usize::from(channels), 0),
        })
    }
}

impl Blocks for Resampled {
    fn next_block(&mut self) -> Result<Option<&Planar>> {
        self.block.resize(0);
        while self.block.frames() == 0 {
            let Some(resampler) = &mut self.resampler else { return Ok(None) };
            if let Some(input) = self.inner.next_block()? {
                resampler.push(input.channels(), self.block.channels_mut());
            } else if let Some(resampler) = self.resampler.take() {
                resampler.finish(self.block.channels_mut());
            }
        }
        Ok((self.block.frames() > 0).then_some(&self.block))
    }
}

/// Exactly `left` frames of a stream after dropping `skip`; silence if it ends too early.
pub(super) struct Window {
    inner: Box<dyn Blocks>,
    skip: u64,
    left: u64,
    block: Planar,
}

impl Window {
    pub(super) fn new(inner: Box<dyn Blocks>, channels: u16, skip: u64, frames: u64) -> Self {
        Self { inner, skip, left: frames, block: Planar::silence(usize::from(channels), 0) }
    }
}

impl Blocks for Window {
    fn next_block(&mut self) -> Result<Option<&Planar>> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let Some(block) = self.inner.next_block()? else {
                let frames = self.left.min(BLOCK_FRAMES as u64) as usize;
                self.block.resize(0);
                self.block.resize(frames);
                break;
            };
            let frames = block.frames() as u64;
            if frames <= self.skip {
                self.skip -= frames;
                continue;
            }
            let from = self.skip as usize;
            let to = frames.min(self.skip + self.left) as usize;
            self.skip = 0;
            for (own, channel) in self.block.channels_mut().iter_mut().zip(block.channels()) {
                own.clear();
                own.extend_from_slice(&channel[from..to]);
            }
            break;
        }
        self.left -= self.block.frames() as u64;
        Ok(Some(&self.block))
    }
}

/// A stream as an encoder may see it: turned down, with nothing above full scale where the format
/// would clip, and without infinities and NaN, which no codec survives.
pub(super) struct Levelled {
    inner: Box<dyn Blocks>,
    gain: f32,
    limiter: Option<Limiter>,
    ended: bool,
    scaled: Planar,
    block: Planar,
}

impl Levelled {
    pub(super) fn new(
        inner: Box<dyn Blocks>,
        channels: u16,
        gain: f32,
        limiter: Option<Limiter>,
    ) -> Self {
        let empty = Planar::silence(usize::from(channels), 0);
        Self { inner, gain, limiter, ended: false, scaled: empty.clone(), block: empty }
    }
}

impl Blocks for Levelled {
    fn next_block(&mut self) -> Result<Option<&Planar>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let input = self.inner.next_block()?;
            self.ended = input.is_none();
            if let Some(input) = input {
                for (own, channel) in self.scaled.channels_mut().iter_mut().zip(input.channels()) {
                    own.clear();
                    own.extend(
                        channel.iter().map(|s| if s.is_finite() { s * self.gain } else { 0.0 }),
                    );
                }
            }
            match (&mut self.limiter, self.ended) {
                (None, true) => return Ok(None),
                (None, false) => return Ok(Some(&self.scaled)),
                (Some(limiter), false) => limiter.process(&self.scaled, &mut self.block),
                (Some(limiter), true) => limiter.finish(&mut self.block),
            }
            if self.block.frames() > 0 {
                return Ok(Some(&self.block));
            }
        }
    }
}
