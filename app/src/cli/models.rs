//! `stemhive models`: what separates.

use serde_json::json;

use super::{Outcome, args::StoreArgs, context::Context, report::print_line};

/// List the models and what they need.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tell it as JSON, one model a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let context = Context::new(args.json);
    let Some(engine) = context.engine(store, None) else {
        return Outcome::SomeFailed;
    };
    let default = engine.default_model().name;
    for model in engine.models() {
        let stems: Vec<_> = model.stems.iter().map(|stem| stem.name()).collect();
        let threads = engine.threads();
        let memory_bytes = model.memory_bytes_per_chunk.saturating_mul(threads as u64);
        let secs_per_4_min = model.cost_core_secs_per_sec * 240.0 / threads as f64;
        let hash: String = model.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if args.json {
            let value = json!({
                "name": model.name,
                "title": model.title,
                "description": model.description,
                "stems": stems,
                "default": model.name == default,
                "memory_bytes": memory_bytes,
                "estimated_secs_per_4_min": secs_per_4_min,
                "sums_to_mixture": model.sums_to_mixture,
                "hash": hash,
            });
            print_line(&value.to_string());
            continue;
        }
        let mark = if model.name == default { "  (default)" } else { "" };
        print_line(&format!("{}  “{}”{mark}", model.name, model.title));
        print_line(&format!("  {}", model.description));
        print_line(&format!("  Stems    {}", stems.join(", ")));
        print_line(&format!(
            "  Needs    about {:.0} s for a 4-minute song and {} MB of memory on {threads} threads",
            secs_per_4_min.max(1.0),
            memory_bytes.div_ceil(1_000_000),
        ));
    }
    Outcome::Done
}
