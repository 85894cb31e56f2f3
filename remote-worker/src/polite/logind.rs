//! The sessions of this computer as logind tells them, by `loginctl`, whose `show-session` is made to
//! be read by programs: one `Name=value` a line, an empty line between sessions.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// logind answers at once, or something is wrong with it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Most sessions that are looked at, and bytes of an answer about them.
const MAX_SESSIONS: usize = 64;
const MAX_ANSWER_BYTES: u64 = 60 << 10;

/// Someone who is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// It has a desktop, not only a terminal.
    pub is_graphical: bool,
    /// It is the one in front of its screen and keyboard.
    pub is_active: bool,
    /// Its screen is locked.
    pub is_locked: bool,
    /// Whether it is idle; `None` where its desktop never said so: it may be one that never does.
    pub is_idle: Option<bool>,
}

impl Session {
    /// Whether somebody could be at its desktop.
    pub fn is_at_screen(&self) -> bool {
        self.is_graphical && self.is_active && !self.is_locked
    }

    /// The people's sessions in an answer of `loginctl show-session`: no login screens, no
    /// background services.
    pub fn parse(answer: &str) -> Vec<Self> {
        let session = |part: &str| {
            let of = |name: &str| {
                let mut lines = part.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
            };
            let is_person = of("Class").starts_with("user");
            // Set once the desktop first said that it is idle, and at every change from then on.
            let has_told = !matches!(of("IdleSinceHint"), "" | "0");
            let is_idle = of("IdleHint") == "yes";
            is_person.then(|| Self {
                is_graphical: matches!(of("Type"), "x11" | "wayland" | "mir"),
                is_active: of("State") == "active",
                is_locked: of("LockedHint") == "yes",
                is_idle: (is_idle || has_told).then_some(is_idle),
            })
        };
        answer.split("\n\n").filter_map(session).collect()
    }
}

/// Who is logged in; `None` where there is no logind.
pub(super) fn sessions(loginctl: &Path) -> Option<Vec<Session>> {
    let list = answer(loginctl, &["list-sessions", "--no-legend", "--no-pager"])?;
    // The first column has been the session's name in every version.
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.take(MAX_SESSIONS).collect();
    if names.is_empty() {
        return Some(Vec::new());
    }
    let mut args = vec!["show-session", "--no-pager"];
    for property in ["Class", "Type", "State", "LockedHint", "IdleHint", "IdleSinceHint"] {
        args.extend(["-p", property]);
    }
    args.push("--");
    args.extend(names);
    // One that ended meanwhile makes it fail; then it is asked again soon.
    Some(Session::parse(&answer(loginctl, &args)?))
}

fn answer(program: &Path, args: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let asked = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if asked.elapsed() < ANSWER_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => {
                // One that ended meanwhile is as good.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut answer = String::new();
    child.stdout?.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).ok()?;
    status.success().then_some(answer)
}
