//! Times of day.

use std::{fmt, str::FromStr};

use serde::Deserialize;

const DAY_MINUTES: u16 = 24 * 60;

/// A span of the day, local time, as in `22:00-07:00`: from its first minute to before its last
/// one. It may go over midnight; one that ends where it begins is the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    from: u16,
    to: u16,
}

impl Hours {
    /// Whether `minute` of the day is in it.
    pub fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |time: &str| {
            let (hour, minute) = time.trim().split_once(':')?;
            let is_plain =
                |part: &str, most| part.len() <= most && part.bytes().all(|b| b.is_ascii_digit());
            if !is_plain(hour, 2) || !is_plain(minute, 2) || minute.len() < 2 {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let of_day = hour * 60 + minute;
            (minute < 60 && of_day <= DAY_MINUTES).then_some(of_day)
        };
        let span = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        let (from, to) = span
            .filter(|(from, _)| *from < DAY_MINUTES)
            .ok_or_else(|| format!("“{text}” is no span of time; write it as in 22:00-07:00"))?;
        Ok(Self { from, to })
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from, self.to].map(|at| format!("{:02}:{:02}", at / 60, at % 60));
        write!(f, "{from}-{to}")
    }
}
