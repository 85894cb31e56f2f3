//! Which of the decoded frames a file means to be heard: encoders put silence before and after,
//! and say so in as many ways as there are formats.

use symphonia::core::{
    codecs::audio::{AudioCodecParameters, well_known::CODEC_ID_OPUS},
    formats::{MediaInfo, Track},
};

use super::{facts::Tags, mp4, mpeg};
use crate::audio::Planar;

/// A length in frames of some clock, which need not be the decoded rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) frames: u64,
    pub(super) clock_hz: u32,
}

impl Claim {
    /// The same length in frames at `rate_hz`, to the nearest.
    pub(super) fn rescale_to(self, rate_hz: u32) -> u64 {
        rescale(self.frames, self.clock_hz, rate_hz)
    }
}

/// Drops frames by their place in the decoder's raw output: everything before `start`, and
/// everything in `gap` (which may be open-ended).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    start: u64,
    gap: std::ops::Range<u64>,
    /// Rate in which `start` and `gap` are counted; 0 when that is the decoded rate.
    clock_hz: u32,
    /// Whether the track's claimed length includes what is before `start`.
    counts_start: bool,
    raw: u64,
}

impl Window {
    /// The window of `track`, from whichever source knows best.
    pub(super) fn new(
        track: &Track,
        params: &AudioCodecParameters,
        mp4: &mp4::Facts,
        tags: &Tags,
    ) -> Self {
        let mut window = Self {
            start: 0,
            gap: u64::MAX..u64::MAX,
            clock_hz: 0,
            counts_start: params.codec == CODEC_ID_OPUS,
            raw: 0,
        };
        let delay = u64::from(track.delay.unwrap_or(0));
        if let Some(in_mp4) = mp4.tracks.iter().find(|t| t.id == track.id) {
            window.clock_hz = in_mp4.timescale;
            // The samples' lengths sum up to the end of the sound, when they are known already.
            let total = track.duration.filter(|_| !mp4.fragmented).map(|total| total.get());
            if let Some(gapless) = tags.itunes_gapless {
                window.clock_hz = params.sample_rate.unwrap_or(in_mp4.timescale);
                window.start = gapless.delay_frames;
                window.gap.start = gapless.delay_frames.saturating_add(gapless.frames);
            } else if let Some(edit) = in_mp4.edit {
                let end = edit.frames.map(|frames| edit.start.saturating_add(frames));
                window.start = edit.start;
                window.gap.start = match (end, total) {
                    (Some(end), Some(total)) if total.abs_diff(end) <= edit.tick => total,
                    (end, total) => end.or(total).unwrap_or(u64::MAX),
                };
            } else {
                window.gap.start = total.filter(|total| *total > 0).unwrap_or(u64::MAX);
            }
        } else if params.codec == CODEC_ID_OPUS {
            window.start = delay.max(super::opus::pre_skip(params));
        } else if mpeg::is_mpeg(&params.codec) {
            // LAME's tag counts from the frame after itself. What follows the padding belongs to
            // somebody who appended it; it is kept.
            window.start = delay;
            if let (Some(padding), Some(frames)) = (track.padding, track.num_frames) {
                window.gap.start = frames.saturating_add(delay);
                window.gap.end = window.gap.start.saturating_add(u64::from(padding));
            }
        }
        window
    }

    /// How long the track claims to be, windowed.
    pub(super) fn claimed_frames(&self, track: &Track) -> Option<Claim> {
        let base_hz = track.time_base.map(|base| base.denom.get() / base.numer.get());
        let raw = track.num_frames.or(track.duration.map(|duration| duration.get()));
        let raw = raw.filter(|frames| *frames > 0);
        if self.clock_hz != 0 {
            let end = raw.unwrap_or(u64::MAX).min(self.gap.start);
            return (end != u64::MAX).then(|| Claim {
                frames: end.saturating_sub(self.start),
                clock_hz: self.clock_hz,
            });
        }
        // Ogg counts the pre-skip of Opus in; the start of other streams is not counted.
        let skipped = if self.counts_start { self.start } else { 0 };
        Some(Claim { frames: raw?.saturating_sub(skipped), clock_hz: base_hz? })
    }

    /// Tells the decoded rate once it is known.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        if self.clock_hz != 0 && self.clock_hz != rate_hz {
            let scale = |frames| match frames {
                u64::MAX => u64::MAX,
                frames => rescale(frames, self.clock_hz, rate_hz),
            };
            (self.start, self.gap) =
                (scale(self.start), scale(self.gap.start)..scale(self.gap.end));
        }
        self.clock_hz = 0;
    }

    /// Drops from the next raw block what is not to be heard.
    pub(super) fn trim(&mut self, block: &mut Planar) {
        let from = self.raw;
        let to = from + block.frames() as u64;
        self.raw = to;
        let at = |frame: u64| frame.clamp(from, to).abs_diff(from) as usize;
        let (head, gap) = (at(self.start), at(self.gap.start)..at(self.gap.end));
        if head == 0 && gap.is_empty() {
            return;
        }
        for channel in block.channels_mut() {
            channel.drain(gap.clone());
            channel.drain(..head.min(channel.len()));
        }
    }
}

/// How long a file claims to be as a whole, for tracks that do not say.
pub(super) fn media_claim(media: &MediaInfo) -> Option<Claim> {
    let (duration, base) = (media.duration?.get(), media.time_base?);
    let frames = duration.checked_mul(u64::from(base.numer.get())).filter(|frames| *frames > 0)?;
    Some(Claim { frames, clock_hz: base.denom.get() })
}

/// `frames × to ÷ from`, to the nearest.
pub(super) fn rescale(frames: u64, from_hz: u32, to_hz: u32) -> u64 {
    if from_hz == 0 {
        return frames;
    }
    let scaled =
        (u128::from(frames) * u128::from(to_hz) + u128::from(from_hz) / 2) / u128::from(from_hz);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the raw stream is cut into blocks, the same frames are kept.
        #[test]
        fn trimming_does_not_depend_on_blocks(
            start in 0u64..50,
            gap_at in 50u64..120,
            gap_frames in 0u64..40,
            cuts in proptest::collection::vec(1usize..30, 1..20),
        ) {
            let mut window =
                Window { start, gap: gap_at..gap_at + gap_frames, clock_hz: 0, counts_start: false, raw: 0 };
            let (mut next, mut kept) = (0, Vec::new());
            for frames in cuts {
                let samples: Vec<f32> = (next..next + frames).map(|n| n as f32).collect();
                next += frames;
                let mut block = Planar::from_channels(vec![samples]);
                window.trim(&mut block);
                kept.extend_from_slice(block.channel(0));
            }
            let expected: Vec<f32> = (0..next as u64)
                .filter(|n| *n >= start && !(gap_at..gap_at + gap_frames).contains(n))
                .map(|n| n as f32)
                .collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
