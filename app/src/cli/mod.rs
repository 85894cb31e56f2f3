//! The command line: every subcommand on the same engine as the window.
//!
//! Results (paths, tables, JSON lines) go to standard output; progress, notes and errors to
//! standard error. Exit status: 0 all done, 1 some song failed, 2 wrong usage, 130 interrupted.

mod args;
mod cache;
mod context;
mod convert;
mod eval;
mod info;
mod interrupt;
mod mix;
mod models;
mod output;
mod report;
mod separate;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

pub(crate) use args::{StoreArgs, three_parts};

/// Separates songs into stems, plays and exports them.
#[derive(Debug, Parser)]
#[command(name = "stemhive", version, subcommand_precedence_over_arg = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,

    /// Songs to open in the window.
    #[arg(value_name = "SONG")]
    songs: Vec<PathBuf>,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Separate(separate::Args),
    Mix(mix::Args),
    Convert(convert::Args),
    Info(info::Args),
    Models(models::Args),
    Cache(cache::Args),
    Eval(eval::Args),
}

/// How a command ended, if not by an error that stopped everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    SomeFailed,
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::SomeFailed => Self::from(1),
            // As shells report a program that ended by SIGINT.
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// Reads the arguments and does what they ask; `window` opens the window on songs.
///
/// Wrong usage ends the process with status 2.
pub(crate) fn run(window: impl FnOnce(Vec<PathBuf>, StoreArgs) -> ExitCode) -> ExitCode {
    let cli = Cli::parse();
    let store = &cli.store;
    if cli.command.is_some() && !cli.songs.is_empty() {
        args::usage("a command comes before its songs; a song called like one is opened as ./NAME");
    }
    let outcome = match cli.command {
        None => return window(cli.songs, cli.store),
        Some(Subcommands::Separate(args)) => separate::run(&args, store),
        Some(Subcommands::Mix(args)) => mix::run(&args, store),
        Some(Subcommands::Convert(args)) => convert::run(&args),
        Some(Subcommands::Info(args)) => info::run(&args),
        Some(Subcommands::Models(args)) => models::run(&args, store),
        Some(Subcommands::Cache(args)) => cache::run(&args, store),
        Some(Subcommands::Eval(args)) => eval::run(&args, store),
    };
    outcome.into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
