//! Times as people read them.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use crate::{state::frame_secs, units};

/// "3:11", "1:02:03"; whole seconds, cut off like a clock.
pub fn clock(secs: f64) -> String {
    let secs = secs.max(0.0) as u64;
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// "3:11.4".
pub fn clock_tenths(secs: f64) -> String {
    let tenths = (secs.max(0.0) * 10.0) as u64;
    format!("{}.{}", clock((tenths / 10) as f64), tenths % 10)
}

/// "3:11" at `decimals` = 0, "3:11.425" at 3; for ruler labels, rounded rather than cut.
pub fn clock_decimals(secs: f64, decimals: usize) -> String {
    if decimals == 0 {
        return clock(secs + 0.5e-3);
    }
    let scale = 10u64.pow(decimals as u32);
    let units = (secs.max(0.0) * scale as f64).round() as u64;
    format!("{}.{:0decimals$}", clock((units / scale) as f64), units % scale)
}

/// "0:42–0:50" of a range of frames at the work rate.
pub fn frames_range(range: &Range<u64>) -> String {
    format!("{}–{}", clock(frame_secs(range.start)), clock(frame_secs(range.end)))
}

/// "3:04.0 – 3:20.0".
pub fn frames_range_tenths(range: &Range<u64>) -> String {
    format!("{} – {}", clock_tenths(frame_secs(range.start)), clock_tenths(frame_secs(range.end)))
}

/// "1:23" of a duration.
pub fn duration(duration: Duration) -> String {
    clock(duration.as_secs_f64())
}

/// "3 minutes 11 seconds", for screen readers.
pub fn spoken(secs: f64) -> String {
    let secs = secs.max(0.0) as u64;
    let (minutes, seconds) = (secs / 60, secs % 60);
    let unit = |n: u64, name: &str| format!("{n} {name}{}", if n == 1 { "" } else { "s" });
    if minutes == 0 {
        unit(seconds, "second")
    } else {
        format!("{} {}", unit(minutes, "minute"), unit(seconds, "second"))
    }
}

/// "just now", "5 minutes ago", "3 days ago".
pub fn ago(then: SystemTime, now: SystemTime) -> String {
    let secs = now.duration_since(then).unwrap_or_default().as_secs();
    let (number, unit) = match secs {
        0..120 => return "just now".into(),
        120..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    format!("{} ago", units::count(number as usize, unit))
}

/// Distances of ruler marks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticks {
    /// Seconds between labels.
    pub label_secs: f64,
    /// Small marks between two labels, the label's own mark included.
    pub minor: u32,
    /// Decimals that labels need.
    pub decimals: usize,
}

/// Ruler marks whose labels are at least `min_label_points` apart.
pub fn ticks(points_per_sec: f64, min_label_points: f64) -> Ticks {
    const STEPS: [(f64, u32); 16] = [
        (0.01, 5),
        (0.02, 4),
        (0.05, 5),
        (0.1, 5),
        (0.2, 4),
        (0.5, 5),
        (1.0, 5),
        (2.0, 4),
        (5.0, 5),
        (10.0, 5),
        (15.0, 3),
        (30.0, 3),
        (60.0, 6),
        (120.0, 4),
        (300.0, 5),
        (600.0, 5),
    ];
    let (label_secs, minor) = STEPS
        .into_iter()
        .find(|(step, _)| step * points_per_sec >= min_label_points)
        .unwrap_or_else(|| {
            let hours = (min_label_points / points_per_sec / 1800.0).ceil().max(1.0);
            (hours * 1800.0, 3)
        });
    let decimals = match label_secs {
        step if step >= 1.0 => 0,
        step if step >= 0.1 => 1,
        _ => 2,
    };
    Ticks { label_secs, minor, decimals }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_read_as_on_a_player() {
        assert_eq!(clock(0.0), "0:00");
        assert_eq!(clock(59.99), "0:59");
        assert_eq!(clock(327.14), "5:27");
        assert_eq!(clock(3544.0), "59:04");
        assert_eq!(clock(4360.0), "1:12:40");
        assert_eq!(clock_tenths(52.46), "0:52.4");
        assert_eq!(clock_tenths(59.99), "0:59.9");
        assert_eq!(clock_decimals(61.25, 2), "1:01.25");
        assert_eq!(clock_decimals(59.9999, 1), "1:00.0");
        assert_eq!(frames_range(&(64 * 44_100..72 * 44_100)), "1:04–1:12");
        assert_eq!(spoken(61.0), "1 minute 1 second");
    }

    #[test]
    fn times_past_read_well() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let said = |secs| ago(now - Duration::from_secs(secs), now);
        assert_eq!(said(30), "just now");
        assert_eq!(said(130), "2 minutes ago");
        assert_eq!(said(7_300), "2 hours ago");
        assert_eq!(said(400_000), "4 days ago");
        assert_eq!(ago(now + Duration::from_secs(900), now), "just now", "clocks differ");
    }

    #[test]
    fn labels_never_crowd() {
        for exponent in -6..14 {
            let points_per_sec = 1.7f64.powi(exponent);
            let ticks = ticks(points_per_sec, 64.0);
            let apart = ticks.label_secs * points_per_sec;
            assert!(
                apart >= 64.0 || ticks.label_secs == 0.01,
                "{apart} points at {points_per_sec}"
            );
        }
        assert_eq!(
            ticks(868.0 / 330.0, 64.0),
            Ticks { label_secs: 30.0, minor: 3, decimals: 0 },
            "the mock-up's whole song"
        );
    }
}
