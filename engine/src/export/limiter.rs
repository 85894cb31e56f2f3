//! A look-ahead peak limiter: nothing comes out above the ceiling, and what lies below it, away
//! from peaks, passes bit for bit.
//!
//! Per frame, the gain that the loudest channel needs is r = min(1, ceiling / |x|). Its minimum
//! over the next `L` frames starts turning down before a peak; it rises again exponentially; and
//! a moving average over the last `L` frames makes every turn a smooth ramp. Each averaged value
//! is the minimum of a window that contains the frame in question, so the average is never above
//! that frame's r: there are no overs, by construction. The delay of `L` frames is taken out.

use std::collections::VecDeque;

use crate::audio::Planar;

/// Time to turn down before a peak.
const LOOKAHEAD_SECS: f64 = 0.005;

/// Time constant of turning up again.
const RELEASE_SECS: f64 = 0.08;

/// Limits a stream of blocks; all channels get the same gain, so the stereo image stays.
#[derive(Debug)]
pub(super) struct Limiter {
    ceiling: f32,
    lookahead: usize,
    /// Share of the way back to 1 that is gone per frame.
    release: f64,
    /// Frames received so far.
    received: u64,
    /// (frame, gain needed), gains ascending: the front is the minimum of the look-ahead window.
    minima: VecDeque<(u64, f64)>,
    /// The minimum after release smoothing.
    held: f64,
    /// The last `lookahead + 1` values of `held`, their sum, and how many are below 1.
    ramp: VecDeque<f64>,
    ramp_sum: f64,
    ramp_active: usize,
    /// Frames waiting for their gain, interleaved per channel.
    waiting: Vec<VecDeque<f32>>,
}

impl Limiter {
    /// For `channels` channels at `rate_hz`, nothing above `ceiling`.
    pub(super) fn new(channels: usize, rate_hz: u32, ceiling: f32) -> Self {
        let rate = f64::from(rate_hz);
        let lookahead = (rate * LOOKAHEAD_SECS).ceil() as usize;
        let ramp = VecDeque::from(vec![1.0; lookahead + 1]);
        Self {
            ceiling,
            lookahead,
            release: 1.0 - (-1.0 / (rate * RELEASE_SECS)).exp(),
            received: 0,
            minima: VecDeque::new(),
            held: 1.0,
            ramp_sum: ramp.len() as f64,
            ramp_active: 0,
            ramp,
            waiting: vec![VecDeque::with_capacity(lookahead + 1); channels],
        }
    }

    /// Takes `input` and replaces `output` by the frames that are ready: fewer at the start.
    pub(super) fn process(&mut self, input: &Planar, output: &mut Planar) {
        output.resize(0);
        let mut frame = vec![0.0; input.channel_count()];
        for i in 0..input.frames() {
            for (sample, channel) in frame.iter_mut().zip(input.channels()) {
                *sample = channel[i];
            }
            self.push(&frame, output);
        }
    }

    /// Replaces `output` by the frames still waiting; in all, as many come out as went in.
    pub(super) fn finish(&mut self, output: &mut Planar) {
        output.resize(0);
        let silence = vec![0.0; self.waiting.len()];
        let waiting = self.waiting[0].len();
        for _ in 0..self.lookahead {
            self.push(&silence, output);
        }
        // A stream shorter than the look-ahead has not pushed anything out in front of itself.
        output.resize(waiting);
    }

    fn push(&mut self, frame: &[f32], output: &mut Planar) {
        let peak = frame.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let needed =
            if peak > self.ceiling { f64::from(self.ceiling) / f64::from(peak) } else { 1.0 };

        while self.minima.back().is_some_and(|&(_, gain)| gain >= needed) {
            self.minima.pop_back();
        }
        self.minima.push_back((self.received, needed));
        while self
            .minima
            .front()
            .is_some_and(|&(at, _)| at + (self.lookahead as u64) < self.received)
        {
            self.minima.pop_front();
        }
        let minimum = self.minima.front().map_or(1.0, |&(_, gain)| gain);

        let released = self.held + (1.0 - self.held) * self.release;
        self.held = minimum.min(if released > 1.0 - 1e-4 { 1.0 } else { released });
        self.ramp_active += usize::from(self.held < 1.0);
        self.ramp_sum += self.held;
        self.ramp.push_back(self.held);
        if let Some(oldest) = self.ramp.pop_front() {
            self.ramp_active -= usize::from(oldest < 1.0);
            self.ramp_sum -= oldest;
        }
        if self.ramp_active == 0 {
            // Exactly 1 again: no rounding left over from the running sum.
            self.ramp_sum = self.ramp.len() as f64;
        }

        for (waiting, &sample) in self.waiting.iter_mut().zip(frame) {
            waiting.push_back(sample);
        }
        self.received += 1;
        if self.received > self.lookahead as u64 {
            let gain = self.ramp_sum / self.ramp.len() as f64;
            let limited = self.ramp_active > 0;
            for (channel, waiting) in output.channels_mut().iter_mut().zip(&mut self.waiting) {
                let sample = waiting.pop_front().unwrap_or(0.0);
                channel.push(if limited {
                    // The clamp only catches the last bit's rounding.
                    ((f64::from(sample) * gain) as f32).clamp(-self.ceiling, self.ceiling)
                } else {
                    sample
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(channels: Vec<Vec<f32>>, ceiling: f32, block: usize) -> Planar {
        let input = Planar::from_channels(channels);
        let mut limiter = Limiter::new(input.channel_count(), 8_000, ceiling);
        let mut out = vec![Vec::new(); input.channel_count()];
        let mut piece = Planar::silence(input.channel_count(), 0);
        let mut append = |piece: &Planar| {
            for (all, new) in out.iter_mut().zip(piece.channels()) {
                all.extend_from_slice(new);
            }
        };
        let mut at = 0;
        while at < input.frames() {
            let end = (at + block).min(input.frames());
            let part = input.channels().iter().map(|c| c[at..end].to_vec()).collect();
            limiter.process(&Planar::from_channels(part), &mut piece);
            append(&piece);
            at = end;
        }
        limiter.finish(&mut piece);
        append(&piece);
        Planar::from_channels(out)
    }

    proptest! {
        #[test]
        fn no_overs_same_length_and_same_samples_for_any_blocks(
            samples in proptest::collection::vec(-4.0_f32..4.0, 0..900),
            block in 1_usize..300,
        ) {
            let limited = limit(vec![samples.clone()], 0.9, block);
            prop_assert_eq!(limited.frames(), samples.len());
            prop_assert!(limited.channel(0).iter().all(|s| s.abs() <= 0.9));
            prop_assert_eq!(limited, limit(vec![samples], 0.9, 4096));
        }

        #[test]
        fn quiet_passes_untouched(samples in proptest::collection::vec(-0.9_f32..0.9, 0..900)) {
            let limited = limit(vec![samples.clone()], 0.9, 100);
            prop_assert_eq!(limited.channel(0), samples.as_slice());
        }
    }

    #[test]
    fn a_peak_is_turned_down_in_place_smoothly_and_recovers() {
        let mut left = vec![0.5_f32; 12_000];
        left[4_000] = 2.0;
        let right = vec![0.25_f32; 12_000];
        let limited = limit(vec![left, right], 1.0, 512);
        let (left, right) = (limited.channel(0), limited.channel(1));
        assert!((left[4_000] - 1.0).abs() < 1e-6, "the peak sits at the ceiling, in its place");
        assert_eq!(left[3_900], 0.5, "nothing happens before the look-ahead");
        assert_eq!(left[11_999], 0.5, "and nothing is left long after");
        assert!((right[4_000] - 0.125).abs() < 1e-6, "channels share one gain");
        for pair in right.windows(2) {
            assert!((pair[1] - pair[0]).abs() < 0.25 * 0.03, "a jump of gain clicks");
        }
    }
}
