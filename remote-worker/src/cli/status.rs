//! `stemhive-worker status`: what the worker that runs does.

use std::process::ExitCode;

use engine::Result;
use serde_json::json;

use crate::{
    folder::{Folder, Status},
    log::print_line,
};

/// Tell what the worker does; status 3 when none runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tell it as JSON.
    #[arg(long)]
    json: bool,
}

/// What the process ends with when no worker runs.
const NOTHING_RUNS: u8 = 3;

pub(super) fn run(args: &Args, folder: &Folder) -> Result<ExitCode> {
    let status = folder.status()?;
    if args.json {
        let value = match &status {
            Some(status) => json!({ "running": true, "worker": status }),
            None => json!({ "running": false }),
        };
        print_line(&value.to_string());
    } else {
        match &status {
            Some(status) => in_words(status).iter().for_each(|line| print_line(line)),
            None => print_line("No worker runs; start one with: stemhive-worker run"),
        }
    }
    Ok(if status.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NOTHING_RUNS) })
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn in_words(status: &Status) -> Vec<String> {
    let megabytes = status.memory_bytes >> 20;
    let mut lines = vec![
        format!("“{}”  {}", status.name, status.fingerprint),
        match &status.paused {
            Some(why) => format!("  State    paused: {why}"),
            None => format!("  State    {}", status.state),
        },
        format!("  Uses     {}, {megabytes} MB for pieces", count(status.threads as u64, "thread")),
    ];
    let speed = status.speed_x_real_time.map(|x| format!(", {x:.1} x real time"));
    let done = count(status.chunks_done, "piece");
    lines.push(format!("  Done     {done}{}", speed.unwrap_or_default()));
    for main in &status.mains {
        let address = main.address.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        lines.push(format!(
            "  For      {} ({}): {}{address}; {} running, {} done",
            main.name, main.fingerprint, main.state, main.chunks_running, main.chunks_done
        ));
    }
    if status.mains.is_empty() {
        lines.push("  For      nobody yet; pair with: stemhive-worker join".to_owned());
    }
    let refused = status.refused.iter();
    lines.extend(refused.map(|(why, count)| format!("  Refused  {count} x: {why}")));
    lines
}
