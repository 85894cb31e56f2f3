//! Whether this computer should work for others now. Everything is read below a root folder, so
//! that tests can lay out a computer of their own.

mod activity;
mod hours;
mod power;

use std::path::{Path, PathBuf};

use engine::{crew::PauseReason, protocol::Running};

pub use self::{activity::Activity, hours::Hours, power::on_battery};
use crate::settings::Settings;

/// Looks whether to work.
#[derive(Debug)]
pub struct Manners {
    root: PathBuf,
    activity: Activity,
    pause_when_used: bool,
    pause_on_battery: bool,
    hours: Vec<Hours>,
}

impl Manners {
    /// Those that `settings` want, on the computer whose files lie below `root`: `/`, but in tests.
    pub fn new(root: &Path, settings: &Settings) -> Self {
        Self {
            root: root.to_owned(),
            activity: Activity::new(root),
            pause_when_used: settings.pause_when_used,
            pause_on_battery: settings.pause_on_battery,
            hours: settings.hours.clone(),
        }
    }

    /// Whether to work now: what lasts longest is named first. `minute` is that of the day, local
    /// time.
    pub fn look(&mut self, paused_by_owner: bool, minute: u16, trouble: bool) -> Running {
        let is_outside = !self.hours.is_empty() && !self.hours.iter().any(|h| h.contains(minute));
        let reason = if paused_by_owner {
            PauseReason::Owner
        } else if is_outside {
            PauseReason::Schedule
        } else if self.pause_on_battery && on_battery(&self.root) {
            PauseReason::Battery
        } else if self.pause_when_used && self.activity.is_used() {
            PauseReason::UserActive
        } else if trouble {
            PauseReason::Trouble
        } else {
            return Running::Ready;
        };
        Running::Paused(reason)
    }
}

/// Why it pauses, as a sentence.
pub fn why(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::Owner => "you paused it; go on with: stemhive-worker resume",
        PauseReason::UserActive => "someone uses this computer",
        PauseReason::Battery => "this computer runs on its battery",
        PauseReason::Schedule => "it is outside the hours set for it",
        PauseReason::Trouble => "the computing process broke down again and again",
    }
}
