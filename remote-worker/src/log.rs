//! What the worker tells on standard output: plain words, or one JSON object a line.

use std::io::Write;

use engine::Error;
use jiff::Zoned;
use serde_json::{Value, json};

/// Tells what happens. Clones write to the same place.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    json: bool,
}

impl Log {
    /// One that writes JSON, or words.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Something happened: its name and facts for programs, a sentence for people.
    pub fn say(self, event: &str, mut facts: Value, words: impl FnOnce() -> String) {
        let now = Zoned::now();
        if self.json {
            facts["event"] = event.into();
            facts["time"] = now.timestamp().to_string().into();
            print_line(&facts.to_string());
        } else {
            print_line(&format!("{}  {}", now.strftime("%H:%M:%S"), words()));
        }
    }

    /// Something went wrong that does not end the program.
    pub fn error(self, error: &Error) {
        let facts = json!({ "what": error.what, "advice": error.advice });
        self.say("error", facts, || match &error.advice {
            Some(advice) => format!("{}. {advice}", error.what),
            None => error.what.clone(),
        });
    }
}

/// Prints to standard output. Whoever read it may be gone (`| head`), which is no error of ours.
pub(crate) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
