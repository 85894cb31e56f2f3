//! Whether someone uses the computer, on Linux: what logind says, else when terminals and input
//! devices were last read from.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

/// A terminal or input device that was read from within this time is in use.
const USED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// logind answers at once, or something is wrong with it: then it is left alone for a while.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Looks whether someone uses the computer.
#[derive(Debug)]
pub struct Activity {
    root: PathBuf,
    ask_from: Option<Instant>,
}

impl Activity {
    /// On the computer whose files lie below `root`. logind is asked only where that is `/`.
    pub fn new(root: &Path) -> Self {
        let asks = cfg!(target_os = "linux") && root == Path::new("/");
        Self { root: root.to_owned(), ask_from: asks.then(Instant::now) }
    }

    /// Whether someone uses it now.
    pub fn is_used(&mut self) -> bool {
        if self.ask_from.is_some_and(|from| from <= Instant::now()) {
            match idle_hint() {
                Some(idle) => return !idle,
                None => self.ask_from = Some(Instant::now() + ASK_AGAIN),
            }
        }
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
            || files(&dev.join("input"), |name| name.starts_with("event")).any(used)
    }
}

fn files(dir: &Path, which: impl Fn(&str) -> bool) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_str().is_some_and(&which))
        .map(|entry| entry.path())
}

/// logind's `IdleHint` over all sessions; `None` where there is no logind.
fn idle_hint() -> Option<bool> {
    let mut child = Command::new("busctl")
        .args(["--system", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"])
        .args(["org.freedesktop.login1.Manager", "IdleHint"])
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
    child.stdout?.take(64).read_to_string(&mut answer).ok()?;
    match (status.success(), answer.trim()) {
        (true, "b true") => Some(true),
        (true, "b false") => Some(false),
        _ => None,
    }
}
