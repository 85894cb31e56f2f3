//! Whether this computer should work for others now. Everything is read below a root folder, so
//! that tests can lay out a computer of their own.

mod activity;
mod hours;
mod inputs;
mod logind;
mod power;

use std::path::{Path, PathBuf};

use engine::{crew::PauseReason, protocol::Running};

pub use self::{
    activity::{Activity, Use},
    hours::Hours,
    logind::Session,
    power::on_battery,
};
use crate::settings::Settings;

/// Looks whether to work.
#[derive(Debug)]
pub struct Manners {
    root: PathBuf,
    activity: Activity,
    /// What was seen last.
    seen: Option<Use>,
    pause_when_used: bool,
    pause_on_battery: bool,
    hours: Vec<Hours>,
}

impl Manners {
    /// Those that `settings` want, on the computer whose files lie below `root`: `/`, but in tests.
    /// logind is asked only where it is `/`.
    pub fn new(root: &Path, settings: &Settings) -> Self {
        let asks_logind = cfg!(target_os = "linux") && root == Path::new("/");
        Self {
            root: root.to_owned(),
            activity: Activity::new(root, asks_logind.then_some(Path::new("loginctl"))),
            seen: None,
            pause_when_used: settings.pause_when_used,
            pause_on_battery: settings.pause_on_battery,
            hours: settings.hours.clone(),
        }
    }

    /// Whether to work now: what lasts longest is named first. `minute` is that of the day, local
    /// time.
    pub fn look(&mut self, paused_by_owner: bool, minute: u16, trouble: bool) -> Running {
        self.seen = if self.pause_when_used { self.activity.look() } else { None };
        let is_outside = !self.hours.is_empty() && !self.hours.iter().any(|h| h.contains(minute));
        let reason = if paused_by_owner {
            PauseReason::Owner
        } else if is_outside {
            PauseReason::Schedule
        } else if self.pause_on_battery && on_battery(&self.root) {
            PauseReason::Battery
        } else if self.seen.is_some() {
            PauseReason::UserActive
        } else if trouble {
            PauseReason::Trouble
        } else {
            return Running::Ready;
        };
        Running::Paused(reason)
    }

    /// Why it pauses and what to do about it, as a sentence.
    pub fn why(&self, reason: PauseReason) -> String {
        let why = match reason {
            PauseReason::Owner => {
                return "you paused it; go on with: stemhive-worker resume".into();
            }
            PauseReason::Battery => return "this computer runs on its battery".into(),
            PauseReason::Schedule => return "it is outside the hours set for it".into(),
            PauseReason::Trouble => {
                return "the computing process broke down again and again".into();
            }
            PauseReason::UserActive => match self.seen {
                Some(Use::Terminal) => "a terminal was typed into within the last 5 minutes",
                Some(Use::Inputs) => "keyboard or mouse were used within the last 5 minutes",
                Some(Use::Unwatched) => {
                    "someone is logged in, and nothing tells whether they are there; lock the \
                     screen or switch it off to let it work"
                }
                Some(Use::Desktop) | None => "someone uses this computer, its desktop says",
            },
        };
        format!("{why}; to work all the same, put pause_when_used = false into worker.toml")
    }
}
