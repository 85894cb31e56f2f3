//! `stemhive-worker compute`: the computing process, which the worker starts.

use std::path::PathBuf;

use engine::{Result, engine::EngineConfig};

use crate::{
    bench::{BenchConfig, serve, step_back},
    folder::Folder,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(long)]
    model_list: Option<PathBuf>,

    #[arg(long)]
    threads: Option<usize>,

    #[arg(long)]
    memory_bytes: u64,

    #[arg(long, default_value_t = 0)]
    nice: i32,

    #[arg(long)]
    idle_io: bool,
}

pub(super) fn run(args: Args, folder: &Folder) -> Result<()> {
    // Before any thread is made, so that all of them inherit it.
    step_back(args.nice, args.idle_io);
    let engine = EngineConfig {
        data_dir: folder.dir().to_owned(),
        threads: args.threads,
        model_list: args.model_list,
        ..EngineConfig::default()
    };
    let config = BenchConfig { engine, memory_bytes: args.memory_bytes };
    serve(&config, std::io::stdin().lock(), std::io::stdout())
}
