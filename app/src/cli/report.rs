//! What the user sees of a command: a bar on a terminal, plain lines elsewhere, or JSON lines.
//!
//! JSON lines, one object each, all with `event` and, except `end`, with `song` (or `model`, where
//! it is about one):
//! - `start`
//! - `opened`: `id`, `seconds`, `sample_rate_hz`, `channels`
//! - `resumed`: `pieces` that an earlier run had done, of `of`
//! - `progress`: `stage` ("open", "separate", "export", "convert", "measure", "download"),
//!   `fraction`, `elapsed_secs`, `eta_secs` and `speed_x_real_time` where known; `bytes` of
//!   `of_bytes` of a download
//! - `piece`: `index` of a piece that this run separated and stored, `compute_secs`, `worker`
//! - `first_audio`: `secs` from the start of separating to the first stem samples
//! - `null_test`: `residual_db` of mixture minus stems against the mixture; null when it is zero
//! - `note`: `text`
//! - `done`: what came of it; `files` where files were written
//! - `error`: `kind`, `what`, `kept`, `advice`, `details`
//! - `end`: `done` and `failed` songs, `interrupted`

use std::{
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use engine::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::args::three_parts;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Separate,
    Export,
    Convert,
    Measure,
    Download,
    Import,
    Check,
}

impl Stage {
    fn id(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Separate => "separate",
            Self::Export => "export",
            Self::Convert => "convert",
            Self::Measure => "measure",
            Self::Download => "download",
            Self::Import => "import",
            Self::Check => "check",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Open => "Opening",
            Self::Separate => "Separating",
            Self::Export => "Exporting",
            Self::Convert => "Converting",
            Self::Measure => "Measuring",
            Self::Download => "Downloading",
            Self::Import => "Importing",
            Self::Check => "Checking",
        }
    }

    /// What is done, and to what; all models where none is named.
    fn titled(self, name: &str) -> String {
        format!("{} {}", self.title(), if name.is_empty() { "the models" } else { name })
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    /// 0.0..=1.0
    pub(super) fraction: f32,
    pub(super) eta: Option<Duration>,
    pub(super) speed_x_real_time: Option<f32>,
    /// Bytes here, and bytes in all.
    pub(super) bytes: Option<(u64, u64)>,
    /// Pieces that other computers did.
    pub(super) pieces_elsewhere: usize,
}

impl Progress {
    pub(super) fn new(stage: Stage, fraction: f32) -> Self {
        Self {
            stage,
            fraction,
            eta: None,
            speed_x_real_time: None,
            bytes: None,
            pieces_elsewhere: 0,
        }
    }
}

/// Tells the user.
#[derive(Debug)]
pub(super) struct Reporter {
    style: Style,
    /// What it is about: the song's path or the model's name.
    subject: String,
    /// "song" or "model".
    subject_kind: &'static str,
    name: String,
    stage: Option<Stage>,
    stage_began: Instant,
    /// Only `done` and `error` are told in JSON.
    facts_only: bool,
}

#[derive(Debug)]
enum Style {
    Bar(ProgressBar),
    /// When progress was told last.
    Plain(Instant),
    /// When progress was told last.
    Json(Instant),
}

/// Least time between two plain lines about progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Least time between two JSON lines about progress.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

impl Reporter {
    pub(super) fn new(json: bool) -> Self {
        let now = Instant::now();
        let style = if json {
            Style::Json(now)
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            let template = "{prefix} {wide_bar:.yellow/dim} {percent:>3} %  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━━─"));
            }
            Style::Bar(bar)
        } else {
            Style::Plain(now)
        };
        Self {
            style,
            subject: String::new(),
            subject_kind: "song",
            name: String::new(),
            stage: None,
            stage_began: now,
            facts_only: false,
        }
    }

    /// Tells in JSON only what is and what failed.
    pub(super) fn facts_only(json: bool) -> Self {
        Self { facts_only: true, ..Self::new(json) }
    }

    /// From here on it is about `song`.
    pub(super) fn start(&mut self, song: &Path) {
        let name = song.file_name().unwrap_or(song.as_os_str()).to_string_lossy().into_owned();
        self.start_about("song", song.to_string_lossy().into_owned(), name);
    }

    /// From here on it is about the model called `name`.
    pub(super) fn start_model(&mut self, name: &str) {
        self.start_about("model", name.to_owned(), name.to_owned());
    }

    fn start_about(&mut self, kind: &'static str, subject: String, name: String) {
        (self.subject_kind, self.subject, self.name) = (kind, subject, name);
        self.stage = None;
        if let Style::Bar(bar) = &self.style {
            bar.reset();
        }
        self.event("start", json!({}));
    }

    /// How far it is; to be told as often as one likes.
    pub(super) fn progress(&mut self, progress: Progress) {
        let new_stage = self.stage != Some(progress.stage);
        if new_stage {
            self.stage = Some(progress.stage);
            self.stage_began = Instant::now();
        }
        let fraction = progress.fraction.clamp(0.0, 1.0);
        let elapsed = self.stage_began.elapsed();
        match &mut self.style {
            Style::Bar(bar) => {
                bar.set_prefix(progress.stage.titled(&self.name));
                bar.set_position((fraction * 1000.0) as u64);
                bar.set_message(speed_and_time(&progress));
            }
            Style::Plain(told) => {
                let what = progress.stage.titled(&self.name);
                if new_stage {
                    *told = Instant::now();
                    eprintln!("{what}");
                } else if told.elapsed() >= PLAIN_INTERVAL {
                    *told = Instant::now();
                    let percent = (fraction * 100.0) as u8;
                    eprintln!(
                        "{}",
                        format!("{what}  {percent} %  {}", speed_and_time(&progress)).trim_end()
                    );
                }
            }
            Style::Json(told) => {
                if new_stage || told.elapsed() >= JSON_INTERVAL {
                    *told = Instant::now();
                    let mut value = json!({
                        "stage": progress.stage.id(),
                        "fraction": fraction,
                        "elapsed_secs": elapsed.as_secs_f64(),
                        "eta_secs": progress.eta.map(|eta| eta.as_secs_f64()),
                        "speed_x_real_time": progress.speed_x_real_time,
                    });
                    if progress.pieces_elsewhere > 0 {
                        value["pieces_elsewhere"] = progress.pieces_elsewhere.into();
                    }
                    if let Some((bytes, of_bytes)) = progress.bytes {
                        value["bytes"] = bytes.into();
                        value["of_bytes"] = of_bytes.into();
                    }
                    self.event("progress", value);
                }
            }
        }
    }

    /// Something the user should know that is no error.
    pub(super) fn note(&self, text: &str) {
        match &self.style {
            Style::Json(_) => self.event("note", json!({ "text": text })),
            Style::Bar(bar) => bar.suspend(|| eprintln!("Note: {text}")),
            Style::Plain(_) => eprintln!("Note: {text}"),
        }
    }

    /// The song is done. `value` describes it in JSON; `lines` go to standard output otherwise.
    pub(super) fn done(&self, value: Value, lines: &[String]) {
        self.clear();
        match self.style {
            Style::Json(_) => self.event("done", value),
            Style::Bar(_) | Style::Plain(_) => lines.iter().for_each(|line| print_line(line)),
        }
    }

    /// The song, or everything where no song was started, failed.
    pub(super) fn failed(&self, error: &Error) {
        self.clear();
        match self.style {
            Style::Json(_) => self.event(
                "error",
                json!({
                    "kind": format!("{:?}", error.kind),
                    "what": error.what,
                    "kept": error.kept,
                    "advice": error.advice,
                    "details": error.details(),
                }),
            ),
            Style::Bar(_) | Style::Plain(_) => eprintln!("{}", three_parts(error)),
        }
    }

    /// All songs are through.
    pub(super) fn end(&mut self, done: usize, failed: usize, interrupted: bool) {
        self.clear();
        self.subject.clear();
        if matches!(self.style, Style::Json(_)) {
            let value = json!({ "done": done, "failed": failed, "interrupted": interrupted });
            self.event("end", value);
        } else if failed > 0 && done + failed > 1 {
            eprintln!("{done} of {} songs are done, {failed} failed", done + failed);
        }
    }

    /// Takes the bar off the screen; the next progress brings it back.
    fn clear(&self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    /// A JSON line, where JSON was asked for.
    pub(super) fn event(&self, event: &str, mut value: Value) {
        let is_fact = matches!(event, "done" | "error");
        if !matches!(self.style, Style::Json(_)) || (self.facts_only && !is_fact) {
            return;
        }
        if let Value::Object(fields) = &mut value {
            fields.insert("event".into(), event.into());
            if !self.subject.is_empty() {
                fields.insert(self.subject_kind.into(), self.subject.as_str().into());
            }
        }
        print_line(&value.to_string());
    }
}

/// Prints to standard output. Whoever read it may be gone (`| head`), which is no error of ours.
pub(super) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn speed_and_time(progress: &Progress) -> String {
    let bytes = progress
        .bytes
        .map(|(bytes, of)| format!("{:.1} of {:.1} MB", bytes as f64 / 1e6, of as f64 / 1e6));
    let speed = progress.speed_x_real_time.map(|speed| format!("{speed:.1}x"));
    let left = progress.eta.map(|eta| format!("{} left", clock(eta.as_secs_f64())));
    [bytes, speed, left].into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// 75.2 → "1:15", 3675 → "1:01:15".
pub(super) fn clock(secs: f64) -> String {
    let secs = secs.max(0.0).round() as u64;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{secs:02}")
    } else {
        format!("{minutes}:{secs:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_a_player() {
        for (secs, text) in [(0.0, "0:00"), (75.2, "1:15"), (59.6, "1:00"), (3675.0, "1:01:15")] {
            assert_eq!(clock(secs), text);
        }
    }
}
