//! The table, printed row by row.

use std::{io::Write, process::ExitCode};

/// Rows of "claim elsewhere | wanted | found".
pub(crate) struct Table {
    rows: usize,
    missed: Vec<String>,
}

impl Table {
    /// Prints the head, with the computer it is about.
    pub(crate) fn begin() -> Self {
        println!("{}\n", machine());
        println!("| claim elsewhere | wanted here | found |");
        println!("|---|---|---|");
        Self { rows: 0, missed: Vec::new() }
    }

    /// Something that was wanted, and whether it is so.
    pub(crate) fn row(&mut self, elsewhere: &str, wanted: &str, found: &str, is_met: bool) {
        self.rows += 1;
        let found = if is_met { found.to_owned() } else { format!("**missed:** {found}") };
        println!("| {elsewhere} | {wanted} | {found} |");
        // Whoever watches a long run wants to see it.
        let _ = std::io::stdout().flush();
        if !is_met {
            self.missed.push(wanted.to_owned());
        }
    }

    /// Something worth knowing of which nothing was wanted.
    pub(crate) fn fact(&mut self, what: &str, found: &str) {
        println!("| - | {what} | {found} |");
        let _ = std::io::stdout().flush();
    }

    /// Prints how many were met; success if all were.
    pub(crate) fn end(self) -> ExitCode {
        println!("\n{} of {} are as wanted", self.rows - self.missed.len(), self.rows);
        match self.missed.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{model}, {cores} cores, {}, load {load} before", std::env::consts::OS)
}
