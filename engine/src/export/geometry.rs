//! Which frames a file holds: from ranges at the work rate to exact lengths at the file's rate.

use std::ops::Range;

use super::source::{Blocks, Resampled, Sum, Term, Window};
use crate::{audio::WORK_RATE_HZ, error::Result, store::Track};

/// Frames around a sample that the resampler looks at, generously, unless the rates have so little
/// in common that its blocks are longer.
const RESAMPLER_REACH_FRAMES: u64 = 8192;

/// The song's length on both clocks, and the part that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Rate of the file.
    pub(super) rate_hz: u32,
    /// The song's frames at the work rate.
    work_frames: u64,
    /// Frames of the file, counted in the whole song at the file's rate.
    pub(super) range: Range<u64>,
}

impl Geometry {
    /// For a song of `work_frames` at the work rate, which decoded to `source_frames` at
    /// `source_hz`, written at `rate_hz`. A `part` keeps the grid of the whole: it is what cutting
    /// the whole song's file at the same times would give.
    pub(super) fn new(
        work_frames: u64,
        source_hz: u32,
        source_frames: Option<u64>,
        rate_hz: u32,
        part: Option<&Range<u64>>,
    ) -> Self {
        let whole = match source_frames {
            Some(frames) => scale(frames, rate_hz, source_hz, u128::div_ceil),
            None => scale(work_frames, rate_hz, WORK_RATE_HZ, u128::div_ceil),
        };
        let range = match part {
            None => 0..whole,
            Some(part) => {
                let at = |frame: u64| {
                    if frame >= work_frames {
                        whole
                    } else {
                        scale(frame, rate_hz, WORK_RATE_HZ, |a, b| (a + b / 2) / b).min(whole)
                    }
                };
                at(part.start)..at(part.end)
            }
        };
        Self { rate_hz, work_frames, range }
    }

    /// Frames of the file.
    pub(super) fn frames(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// The stream of exactly [`Self::frames`] frames of `terms`' sum (or of `minuend` minus it).
    pub(super) fn blocks(
        &self,
        terms: Vec<Term>,
        minuend: Option<std::sync::Arc<Track>>,
        channels: u16,
    ) -> Result<Box<dyn Blocks>> {
        if self.rate_hz == WORK_RATE_HZ {
            let sum = Sum::new(terms, minuend, channels, self.range.clone());
            return Ok(Box::new(sum));
        }
        // Start where both clocks tick together, far enough ahead for the resampler's filter.
        let common = gcd(self.rate_hz, WORK_RATE_HZ);
        let work_period = u64::from(WORK_RATE_HZ / common);
        let file_period = u64::from(self.rate_hz / common);
        let start = scale(self.range.start, WORK_RATE_HZ, self.rate_hz, |a, b| a / b);
        let reach = RESAMPLER_REACH_FRAMES.max(2 * work_period);
        let periods = start.saturating_sub(reach) / work_period;
        let end = scale(self.range.end, WORK_RATE_HZ, self.rate_hz, u128::div_ceil);
        let work = periods * work_period..(end + reach).min(self.work_frames);
        let sum = Box::new(Sum::new(terms, minuend, channels, work));
        let resampled = Box::new(Resampled::new(sum, channels, WORK_RATE_HZ, self.rate_hz)?);
        let skip = self.range.start - periods * file_period;
        Ok(Box::new(Window::new(resampled, channels, skip, self.frames())))
    }
}

/// `frames · to / from`, rounded by `divide`; saturating, for lengths no file can have.
fn scale(frames: u64, to: u32, from: u32, divide: impl Fn(u128, u128) -> u128) -> u64 {
    let scaled = divide(u128::from(frames) * u128::from(to), u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_whole_song_at_the_source_rate_is_what_it_decoded_to() {
        for (rate, frames) in [(44_100, 1), (48_000, 48_001), (8_000, 7), (96_000, 12_345)] {
            let work = u64::div_ceil(frames * 44_100, u64::from(rate));
            let geometry = Geometry::new(work, rate, Some(frames), rate, None);
            assert_eq!(geometry.range, 0..frames);
        }
    }

    proptest! {
        #[test]
        fn parts_that_touch_cover_the_song_once(
            frames in 1_u64..10_000_000, cut in 0.0_f64..1.0,
            source in 8_000_u32..192_000, rate in 8_000_u32..192_000,
        ) {
            let work = scale(frames, WORK_RATE_HZ, source, u128::div_ceil);
            let cut = (work as f64 * cut) as u64;
            let whole = Geometry::new(work, source, Some(frames), rate, None);
            let first = Geometry::new(work, source, Some(frames), rate, Some(&(0..cut)));
            let second = Geometry::new(work, source, Some(frames), rate, Some(&(cut..work)));
            prop_assert_eq!(first.range.start, 0);
            prop_assert_eq!(first.range.end, second.range.start);
            prop_assert_eq!(second.range.end, whole.range.end);
        }
    }
}
