//! The `stemhive` program: reads its arguments and starts the window or a command.

mod cli;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // RUST_LOG says more, as in RUST_LOG=engine=debug.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    cli::run(|songs, store| match stemhive::window::run(songs, store.config(None)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", cli::three_parts(&error));
            ExitCode::FAILURE
        }
    })
}
