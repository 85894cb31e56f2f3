//! What was mixed when: turns "what left the mixer some time ago" into a frame of the song.

/// More changes (loop points, seeks, pauses) than this within the device's latency are forgotten.
const SEGMENTS: usize = 64;

/// From `clock` on, the song ran on from `frame`, or stood there.
#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    clock: u64,
    frame: u64,
    generation: u64,
    moving: bool,
}

impl Segment {
    fn frame_at(&self, clock: u64) -> u64 {
        self.frame + if self.moving { clock.saturating_sub(self.clock) } else { 0 }
    }
}

/// The last changes of the playhead, on a clock that counts mixed frames, silent ones too.
#[derive(Debug)]
pub(super) struct History {
    segments: [Segment; SEGMENTS],
    newest: usize,
}

/// What was heard at some clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) generation: u64,
    pub(super) frame: u64,
    /// Frames that followed one after the other, at most up to the clock asked for.
    pub(super) run: u64,
}

impl History {
    pub(super) fn new() -> Self {
        Self { segments: [Segment::default(); SEGMENTS], newest: 0 }
    }

    /// From `clock` on the song runs on from `frame` (`moving`) or stands there.
    pub(super) fn record(&mut self, clock: u64, frame: u64, generation: u64, moving: bool) {
        let last = &self.segments[self.newest];
        let same = last.generation == generation && last.moving == moving;
        if same && last.frame_at(clock) == frame {
            return;
        }
        if last.clock != clock {
            self.newest = (self.newest + 1) % SEGMENTS;
        }
        self.segments[self.newest] = Segment { clock, frame, generation, moving };
    }

    /// What left the mixer at `clock`, knowing that it has run up to `now`.
    pub(super) fn at(&self, clock: u64, now: u64) -> Heard {
        let mut until = now;
        let mut segment = &self.segments[self.newest];
        for back in 0..SEGMENTS {
            segment = &self.segments[(self.newest + SEGMENTS - back) % SEGMENTS];
            if segment.clock <= clock {
                break;
            }
            until = segment.clock;
        }
        Heard {
            generation: segment.generation,
            frame: segment.frame_at(clock),
            run: if segment.moving { until.saturating_sub(clock) } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_back_through_a_loop_and_a_pause() {
        let mut history = History::new();
        history.record(0, 1000, 1, true); // plays 1000..1400
        history.record(200, 1200, 1, true); // no change
        history.record(400, 1000, 1, true); // loops
        history.record(500, 1100, 1, false); // pauses
        history.record(900, 5000, 2, false); // seeks while paused
        let heard = |generation, frame, run| Heard { generation, frame, run };
        assert_eq!(history.at(399, 1000), heard(1, 1399, 1));
        assert_eq!(history.at(400, 1000), heard(1, 1000, 100));
        assert_eq!(history.at(450, 1000), heard(1, 1050, 50));
        assert_eq!(history.at(700, 1000), heard(1, 1100, 0));
        assert_eq!(history.at(950, 1000), heard(2, 5000, 0));
    }
}
