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
mod pairing;
mod report;
mod score_plot;
mod separate;
mod workers;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

pub(crate) use args::{StoreArgs, three_parts};

/// Separates songs into stems, plays and exports them.
#[derive(Debug, Parser)]
#[command(name = "stemhive", version)]
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
    Workers(workers::Args),
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
    // After a song everything is a song, so that folders may be called like commands elsewhere.
    let is_command = |song: &PathBuf| {
        let names = Cli::command();
        names.get_subcommands().any(|command| song.as_os_str() == command.get_name())
    };
    if cli.songs.iter().any(|song| is_command(song) && !song.exists()) {
        args::usage("a command comes before its songs");
    }
    let outcome = match cli.command {
        None => return window(cli.songs, cli.store),
        Some(Subcommands::Separate(args)) => separate::run(&args, store),
        Some(Subcommands::Mix(args)) => mix::run(&args, store),
        Some(Subcommands::Convert(args)) => convert::run(&args),
        Some(Subcommands::Info(args)) => info::run(&args),
        Some(Subcommands::Models(args)) => models::run(&args, store),
        Some(Subcommands::Workers(args)) => workers::run(&args, store),
        Some(Subcommands::Cache(args)) => cache::run(&args, store),
        Some(Subcommands::Eval(args)) => eval::run(&args, store),
    };
    outcome.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn folders_and_songs_may_be_called_like_commands() {
        let cli = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        let with_folder = cli("stemhive --cache-dir cache separate models");
        assert_eq!(with_folder.store.cache_dir.unwrap().as_os_str(), "cache");
        assert!(matches!(with_folder.command, Some(Subcommands::Separate(_))));
        let window = cli("stemhive --cache-dir cache a.mp3 info");
        assert!(window.command.is_none());
        assert_eq!(window.songs, ["a.mp3", "info"].map(PathBuf::from));
        assert!(matches!(cli("stemhive info a.mp3").command, Some(Subcommands::Info(_))));
    }
}
