//! `stemhive-worker run`: works until it is told to stop.

use std::path::PathBuf;

use engine::Result;

use super::usage;
use crate::{folder::Folder, log::Log, polite::Hours, run, run::RunConfig, settings::Settings};

/// Work for the paired main PCs until Ctrl+C or SIGTERM.
///
/// What is said here goes before the settings in worker.toml in the data folder.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of this computer, as main PCs show it [default: the computer's].
    #[arg(long)]
    name: Option<String>,

    /// Threads to compute with [default: all but one].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Megabytes that pieces computed at the same time may take together.
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,

    /// How far computing steps back for other programs, 0 to 19 [default: 10].
    #[arg(long, value_name = "N")]
    nice: Option<i32>,

    /// Use the disk only when nobody else does [default: yes].
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    idle_io: Option<bool>,

    /// Pause while someone uses this computer [default: yes].
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    pause_when_used: Option<bool>,

    /// Pause while this computer runs on its battery [default: yes].
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    pause_on_battery: Option<bool>,

    /// Work only then, as in 22:00-07:00; may be given several times.
    #[arg(long, value_name = "FROM-TO")]
    hours: Vec<Hours>,

    /// Tell what happens as JSON, one object a line.
    #[arg(long)]
    json: bool,

    /// List of models to use instead of the one inside the program.
    #[arg(long, value_name = "FILE", env = "STEMHIVE_MODEL_LIST", hide = true)]
    model_list: Option<PathBuf>,
}

pub(super) fn run(args: Args, folder: Folder) -> Result<()> {
    let mut settings = Settings::read(&folder.settings_path())?;
    settings.name = args.name.or(settings.name);
    settings.threads = args.threads.or(settings.threads);
    settings.memory_mb = args.memory.unwrap_or(settings.memory_mb);
    settings.nice = args.nice.unwrap_or(settings.nice);
    settings.idle_io = args.idle_io.unwrap_or(settings.idle_io);
    settings.pause_when_used = args.pause_when_used.unwrap_or(settings.pause_when_used);
    settings.pause_on_battery = args.pause_on_battery.unwrap_or(settings.pause_on_battery);
    if !args.hours.is_empty() {
        settings.hours = args.hours;
    }
    if let Err(what) = settings.check() {
        usage(&what);
    }
    let log = Log::new(args.json);
    run::run(RunConfig { folder, settings, model_list: args.model_list, log })
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}
