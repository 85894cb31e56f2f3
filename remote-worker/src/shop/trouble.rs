//! When the computing process breaks down again and again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// So many crashes within this time are trouble.
const CRASHES: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// The first break and the longest one; each is twice as long as the one before it, until a whole
/// longest one passed without trouble.
const FIRST_BREAK: Duration = Duration::from_secs(60);
const LONGEST_BREAK: Duration = Duration::from_secs(3600);

/// The crashes of late and the break that they earned.
#[derive(Debug, Default)]
pub struct Trouble {
    crashes: VecDeque<Instant>,
    until: Option<Instant>,
    last_break: Option<Duration>,
}

impl Trouble {
    /// The process crashed; how long to pause if that was once too often.
    pub fn crashed(&mut self, now: Instant) -> Option<Duration> {
        self.crashes.retain(|crash| now.duration_since(*crash) < WITHIN);
        self.crashes.push_back(now);
        if self.crashes.len() < CRASHES {
            return None;
        }
        self.crashes.clear();
        let was_long_ago =
            self.until.is_some_and(|until| now.saturating_duration_since(until) > LONGEST_BREAK);
        let next = match self.last_break {
            Some(last) if !was_long_ago => (last * 2).min(LONGEST_BREAK),
            _ => FIRST_BREAK,
        };
        self.last_break = Some(next);
        self.until = Some(now + next);
        Some(next)
    }

    /// How long the break still is.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_double_and_are_forgiven() {
        let secs = Duration::from_secs;
        let mut now = Instant::now();
        let mut trouble = Trouble::default();
        assert_eq!(trouble.crashed(now), None);
        now += secs(61);
        // Long ago does not count.
        assert_eq!(trouble.crashed(now), None);
        assert_eq!(trouble.crashed(now), None);
        assert_eq!(trouble.crashed(now), Some(secs(60)));
        assert_eq!(trouble.left(now + secs(20)), Some(secs(40)));
        assert_eq!(trouble.left(now + secs(60)), None);
        let mut earned = Vec::new();
        for _ in 0..8 {
            now += secs(3000);
            earned.push((0..3).filter_map(|_| trouble.crashed(now)).sum::<Duration>().as_secs());
        }
        assert_eq!(earned, [120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        now += secs(2 * 3600 + 1);
        assert_eq!((0..3).find_map(|_| trouble.crashed(now)), Some(secs(60)));
    }
}
