//! `stemhive cache`: where decoded songs and stems are, how much room they take, and away with
//! them.

use serde_json::json;

use super::{Outcome, args::StoreArgs, context::Context, report::print_line};

/// Show the cache, or clear it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove every decoded song and separation that is not in use.
    #[arg(long)]
    clear: bool,

    /// Tell it as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let context = Context::new(args.json);
    let Some(engine) = context.engine(store, None) else {
        return Outcome::SomeFailed;
    };
    let cleared = args.clear.then(|| engine.clear_cache());
    let usage = engine.cache_usage();
    let folder = engine.cache_dir().display().to_string();
    if args.json {
        let value = json!({
            "folder": folder,
            "bytes": usage.total_bytes(),
            "cap_bytes": usage.cap_bytes,
            "songs": usage.songs,
            "song_bytes": usage.song_bytes,
            "jobs": usage.jobs,
            "job_bytes": usage.job_bytes,
            "incoming_bytes": usage.incoming_bytes,
            "freed_bytes": cleared.map(|(freed, _)| freed),
            "in_use": cleared.map(|(_, kept)| kept),
        });
        print_line(&value.to_string());
        return Outcome::Done;
    }
    if let Some((freed, kept)) = cleared {
        print_line(&format!("Freed   {}", megabytes(freed)));
        if kept > 0 {
            print_line(&format!("Kept    {kept} in use by another Stemhive"));
        }
    }
    print_line(&format!("Folder  {folder}"));
    let total = megabytes(usage.total_bytes());
    print_line(&format!("Size    {total} of at most {}", megabytes(usage.cap_bytes)));
    print_line(&format!("Songs   {} ({})", usage.songs, megabytes(usage.song_bytes)));
    print_line(&format!("Stems   {} ({})", usage.jobs, megabytes(usage.job_bytes)));
    Outcome::Done
}

/// Bytes as people count a disk.
fn megabytes(bytes: u64) -> String {
    if bytes >= 1_000_000_000 {
        format!("{:.1} GB", bytes as f64 / 1e9)
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}
