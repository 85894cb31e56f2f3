//! The command line.
//!
//! What a command tells goes to standard output, errors to standard error. Exit status: 0 all done,
//! 1 it failed, 2 wrong usage, 3 nothing runs (`status`).

mod compute;
mod join;
mod manage;
mod run;
mod service;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use engine::{Error, Result};

use crate::folder::Folder;

/// Lets this computer work for Stemhive on another one.
#[derive(Debug, Parser)]
#[command(name = "stemhive-worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Folder for this computer's key, main PCs, settings and models.
    #[arg(
        long,
        value_name = "DIR",
        env = "STEMHIVE_WORKER_DATA_DIR",
        hide_env_values = true,
        global = true
    )]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Join(join::Args),
    Run(run::Args),
    Status(status::Args),
    Forget(manage::Forget),
    Allow(manage::Allow),
    /// Take a break: hand back what is being computed, until `resume`.
    Pause,
    /// End the break of `pause`.
    Resume,
    /// Have the worker run whenever you are logged in (systemd).
    InstallService,
    /// Undo `install-service`.
    UninstallService,
    #[command(hide = true)]
    Compute(compute::Args),
}

/// Reads the arguments and does what they ask. Wrong usage ends the process with status 2.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match obey(cli) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{}", in_lines(&error));
            ExitCode::FAILURE
        }
    }
}

fn obey(cli: Cli) -> Result<ExitCode> {
    let dir = cli.data_dir.unwrap_or_else(Folder::default_dir);
    let folder = Folder::open(&dir)?;
    match cli.command {
        Command::Join(args) => join::run(&args, &folder)?,
        Command::Run(args) => run::run(args, folder)?,
        Command::Status(args) => return status::run(&args, &folder),
        Command::Forget(args) => manage::forget(&args, &folder)?,
        Command::Allow(args) => manage::allow(&args, &folder)?,
        Command::Pause => manage::pause(&folder, true)?,
        Command::Resume => manage::pause(&folder, false)?,
        Command::InstallService => service::install(&folder)?,
        Command::UninstallService => service::uninstall()?,
        Command::Compute(args) => compute::run(args, &folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What happened, what was kept and what to do, each on a line.
fn in_lines(error: &Error) -> String {
    let kept = error.kept.iter().map(|kept| format!("\n  Kept: {kept}"));
    let advice = error.advice.iter().map(|advice| format!("\n  To do: {advice}"));
    format!("Error: {}{}", error.what, kept.chain(advice).collect::<String>())
}

/// Ends the process with `message` and status 2.
fn usage(message: &str) -> ! {
    use clap::CommandFactory;
    Cli::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
