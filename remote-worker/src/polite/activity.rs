//! Whether someone uses the computer, on Linux: what terminals, desktops, screens, keyboards and mice
//! tell.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::{
    inputs::{Inputs, are_screens_off},
    logind::{Session, sessions},
};

/// What was used within this time is in use.
pub(super) const USED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// How often logind is asked. Keys and mice are looked at every time, so who comes back is noticed
/// sooner than that.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Until logind is asked again where it did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// By what someone was seen to use the computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A terminal was typed into.
    Terminal,
    /// A desktop says that it is not idle.
    Desktop,
    /// Keyboard or mouse moved.
    Inputs,
    /// Someone is logged in at a screen that is on, and nothing tells whether they are there.
    Unwatched,
}

/// Looks whether someone uses the computer.
#[derive(Debug)]
pub struct Activity {
    root: PathBuf,
    /// Where logind is asked.
    loginctl: Option<PathBuf>,
    ask_from: Option<Instant>,
    /// What logind said last.
    sessions: Option<Vec<Session>>,
    inputs: Inputs,
}

impl Activity {
    /// On the computer whose files lie below `root`; logind is asked by the program `loginctl`, if
    /// there is one.
    pub fn new(root: &Path, loginctl: Option<&Path>) -> Self {
        Self {
            root: root.to_owned(),
            loginctl: loginctl.map(Path::to_owned),
            ask_from: None,
            sessions: None,
            inputs: Inputs::new(root),
        }
    }

    /// By what someone uses it now, if someone does.
    pub fn look(&mut self) -> Option<Use> {
        let has_moved = self.inputs.moved_within(USED_WITHIN);
        if self.is_typed_into() {
            return Some(Use::Terminal);
        }
        self.ask_logind();
        let Some(sessions) = &self.sessions else { return has_moved.then_some(Use::Inputs) };
        let at_screen = || sessions.iter().filter(|session| session.is_at_screen());
        if at_screen().any(|session| session.is_idle == Some(false)) {
            return Some(Use::Desktop);
        }
        // Many desktops never tell, and those that do have not told yet before they were idle once.
        let tells_nothing = at_screen().any(|session| session.is_idle.is_none());
        if !tells_nothing || are_screens_off(&self.root) {
            return None;
        }
        if has_moved {
            return Some(Use::Inputs);
        }
        (!self.inputs.are_all_seen()).then_some(Use::Unwatched)
    }

    /// As `w` has it: reading what was typed changes a terminal's time of access.
    fn is_typed_into(&self) -> bool {
        let dev = self.root.join("dev");
        let used = |path: PathBuf| {
            let read = std::fs::metadata(path).and_then(|it| it.accessed());
            // One in the future is of a clock that was set back.
            read.is_ok_and(|at| {
                SystemTime::now().duration_since(at).is_ok_and(|ago| ago < USED_WITHIN)
            })
        };
        let is_tty = |name: &str| name.strip_prefix("tty").is_some_and(|n| n.parse::<u8>().is_ok());
        let is_number = |name: &str| name.parse::<u32>().is_ok();
        files(&dev, is_tty).chain(files(&dev.join("pts"), is_number)).any(used)
    }

    fn ask_logind(&mut self) {
        let Some(loginctl) = &self.loginctl else { return };
        let now = Instant::now();
        if self.ask_from.is_some_and(|from| now < from) {
            return;
        }
        self.sessions = sessions(loginctl);
        self.ask_from = Some(now + if self.sessions.is_some() { ASK_EVERY } else { ASK_AGAIN });
    }
}

/// What lies in `dir` and has such a name.
pub(super) fn files<F: Fn(&str) -> bool>(
    dir: &Path,
    which: F,
) -> impl Iterator<Item = PathBuf> + use<F> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_str().is_some_and(&which))
        .map(|entry| entry.path())
}
