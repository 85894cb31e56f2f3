//! `stemhive models`: what separates, and getting it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use engine::{
    Error, ErrorKind,
    catalogue::{Catalogue, Entry, FetchStatus, ModelState},
    engine::Engine,
    model::{self, ModelInfo, Stem, nn::Kernels},
};
use serde_json::{Value, json};

use super::{
    Outcome,
    args::StoreArgs,
    context::{Context, Failure, Look},
    convert::in_background,
    report::{Progress, Reporter, Stage, print_line},
};

/// List the models and what they need; download, import, check and remove them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// Tell it as JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the models and what they need (also without a word).
    List,
    /// Download a model; goes on where an earlier download stopped.
    Fetch {
        /// The model, as the list names it.
        name: String,
    },
    /// Take in a model's file that you have already.
    Import {
        /// A .th file of Demucs 4, or safetensors.
        file: PathBuf,
    },
    /// Remove a model's files.
    Remove {
        /// The model, as the list names it.
        name: String,
    },
    /// Read the files of all models and compare their hashes.
    Verify,
}

/// Length of the song that the list's expected times are for.
const SECS: f64 = 240.0;

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let json = args.json;
    match &args.action {
        None | Some(Action::List) => list(json, store),
        Some(Action::Fetch { name }) => {
            with_catalogue(Context::new(json), store, |context, catalogue| {
                context.reporter.start_model(name);
                fetch(context, catalogue, name)
            })
        }
        Some(Action::Import { file }) => {
            with_catalogue(Context::facts_only(json), store, |context, catalogue| {
                import(context, catalogue, file)
            })
        }
        Some(Action::Remove { name }) => {
            with_catalogue(Context::facts_only(json), store, |context, catalogue| {
                context.reporter.start_model(name);
                let bytes = catalogue.remove(name)?;
                let line = format!("Removed {name} ({})", megabytes(bytes));
                context.reporter.done(json!({ "freed_bytes": bytes }), &[line]);
                Ok(())
            })
        }
        Some(Action::Verify) => with_catalogue(Context::facts_only(json), store, verify),
    }
}

/// Does `work` with the catalogue alone: no cache, no threads.
fn with_catalogue(
    mut context: Context,
    store: &StoreArgs,
    work: impl FnOnce(&mut Context, &Arc<Catalogue>) -> Result<(), Failure>,
) -> Outcome {
    let catalogue = store.config(None).catalogue(&model::built_in()).map(Arc::new);
    let done = catalogue.map_err(Arc::new).and_then(|catalogue| work(&mut context, &catalogue));
    if let Err(error) = &done {
        context.reporter.failed(error);
    }
    let interrupted = context.bell.is_interrupted();
    context.reporter.end(usize::from(done.is_ok()), usize::from(done.is_err()), interrupted);
    match done {
        Ok(()) => Outcome::Done,
        Err(_) if interrupted => Outcome::Interrupted,
        Err(_) => Outcome::SomeFailed,
    }
}

fn fetch(context: &mut Context, catalogue: &Arc<Catalogue>, name: &str) -> Result<(), Failure> {
    let fetch = catalogue.fetch(name, context.bell.waker())?;
    let look = |_: &Reporter| {
        let status = fetch.status();
        if status.has_ended() { Look::Ended(()) } else { Look::Running(progress(&status)) }
    };
    context.follow(look, || fetch.cancel());
    fetch.wait()?;
    let bytes = catalogue.entry(name)?.model.bytes();
    let line = format!("{name} is ready ({})", megabytes(bytes));
    context.reporter.done(json!({ "folder": catalogue.dir(), "bytes": bytes }), &[line]);
    Ok(())
}

fn progress(status: &FetchStatus) -> Progress {
    let left = (status.bytes_total - status.bytes_done) as f64;
    let secs = status.bytes_per_sec.map(|rate| left / rate).filter(|secs| *secs < 1e6);
    Progress {
        eta: secs.map(Duration::from_secs_f64),
        bytes: Some((status.bytes_done, status.bytes_total)),
        ..Progress::new(Stage::Download, status.fraction())
    }
}

fn import(context: &mut Context, catalogue: &Arc<Catalogue>, file: &Path) -> Result<(), Failure> {
    context.reporter.start(file);
    let (of_thread, source) = (Arc::clone(catalogue), file.to_owned());
    let imported =
        in_background(context, Stage::Import, move |progress| of_thread.import(&source, progress))?;
    let value = json!({
        "model": imported.model,
        "file": imported.file,
        "was_there": imported.was_there,
        "missing": imported.missing,
    });
    let name = &imported.model;
    let mut lines = vec![match (imported.missing.is_empty(), imported.was_there) {
        (true, false) => format!("{name} is ready"),
        (true, true) => format!("{name} was there already"),
        (false, _) => format!("{} is there and belongs to {name}", imported.file),
    }];
    if !imported.missing.is_empty() {
        let missing = imported.missing.join(", ");
        lines.push(format!("Missing  {missing}; get the rest with: stemhive models fetch {name}"));
    }
    context.reporter.done(value, &lines);
    Ok(())
}

fn verify(context: &mut Context, catalogue: &Arc<Catalogue>) -> Result<(), Failure> {
    let of_thread = Arc::clone(catalogue);
    let verdicts =
        in_background(context, Stage::Check, move |progress| of_thread.verify(progress))?;
    let mut worst = Ok(());
    for verdict in &verdicts {
        let name = &verdict.model;
        context.reporter.start_model(name);
        let Some(problem) = &verdict.problem else {
            let line = format!("{name}  {} is as it should be", verdict.file);
            context.reporter.done(json!({ "file": verdict.file }), &[line]);
            continue;
        };
        let error = Error::new(ErrorKind::Damaged, problem)
            .advice(format!("Download it again with: stemhive models fetch {name}"));
        // The last one is told by the caller.
        if let Err(error) = std::mem::replace(&mut worst, Err(Arc::new(error))) {
            context.reporter.failed(&error);
        }
    }
    if verdicts.is_empty() {
        context.reporter.note("No model is downloaded");
    }
    worst
}

fn list(json: bool, store: &StoreArgs) -> Outcome {
    let context = Context::without_interrupts(json);
    let Some(engine) = context.engine(store, None) else {
        return Outcome::SomeFailed;
    };
    let entries = engine.catalogue().list();
    let in_catalogue = |name: &str| entries.iter().any(|entry| entry.model.name == name);
    let infos = engine.models();
    let built_in = infos.iter().filter(|info| !in_catalogue(&info.name));
    let rows = built_in
        .map(|info| Row::built_in(&engine, info))
        .chain(entries.iter().map(|entry| Row::of(&engine, entry)));
    for row in rows {
        if json {
            print_line(&row.as_json().to_string());
        } else {
            row.as_text().iter().for_each(|line| print_line(line));
        }
    }
    Outcome::Done
}

/// One model of the list and what it needs here.
struct Row<'a> {
    name: &'a str,
    title: &'a str,
    description: &'a str,
    stems: Vec<Stem>,
    /// What makes its results what they are: of the method, or of the weights.
    hash: [u8; 32],
    sums_to_mixture: bool,
    /// `None` for one that is part of the program.
    entry: Option<&'a Entry>,
    is_default: bool,
    threads: usize,
    secs_per_4_min: f64,
    memory_bytes: u64,
}

impl<'a> Row<'a> {
    fn built_in(engine: &Engine, info: &'a ModelInfo) -> Self {
        let threads = engine.threads();
        let at_once = engine.chunks_at_once(info.memory_bytes_per_chunk) as u64;
        Self {
            name: &info.name,
            title: &info.title,
            description: &info.description,
            stems: info.stems.clone(),
            hash: info.hash,
            sums_to_mixture: info.sums_to_mixture,
            entry: None,
            is_default: info.name == engine.default_model().name,
            threads,
            secs_per_4_min: info.cost_core_secs_per_sec * SECS / threads as f64,
            memory_bytes: info.memory_bytes_per_chunk.saturating_mul(at_once),
        }
    }

    fn of(engine: &Engine, entry: &'a Entry) -> Self {
        let model = &entry.model;
        let threads = engine.threads();
        let mut stems = model.stems.clone();
        stems.sort();
        Self {
            name: &model.name,
            title: &model.title,
            description: &model.description,
            stems,
            hash: model.weights_hash(),
            sums_to_mixture: false,
            entry: Some(entry),
            is_default: model.name == engine.default_model().name,
            threads,
            secs_per_4_min: model.estimated_secs(SECS, threads),
            memory_bytes: model.memory_bytes(engine.chunks_at_once(model.memory_bytes_per_chunk)),
        }
    }

    fn stems(&self) -> Vec<&'static str> {
        self.stems.iter().map(|stem| stem.name()).collect()
    }

    fn as_json(&self) -> Value {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut value = json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "stems": self.stems(),
            "default": self.is_default,
            "memory_bytes": self.memory_bytes,
            "estimated_secs_per_4_min": self.secs_per_4_min,
            "sums_to_mixture": self.sums_to_mixture,
            "hash": hash,
            "kernels": Kernels::detect().name(),
            "state": "built in",
        });
        if let Some(Entry { model, imported, state }) = self.entry {
            let (state, here_bytes, problem) = match state {
                ModelState::Installed => ("installed", model.bytes(), None),
                ModelState::NotDownloaded { here_bytes, .. } => {
                    ("not downloaded", *here_bytes, None)
                }
                ModelState::Damaged { why } => ("damaged", 0, Some(why)),
            };
            let files = model.files.iter().map(|file| {
                json!({
                    "name": file.name,
                    "url": file.url,
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                })
            });
            value["state"] = state.into();
            value["imported"] = (*imported).into();
            value["bytes"] = model.bytes().into();
            value["here_bytes"] = here_bytes.into();
            value["problem"] = json!(problem);
            value["quality"] = model.quality.as_str().into();
            value["sdr_db"] = json!(model.sdr_db);
            value["licence"] = model.licence.as_str().into();
            value["homepage"] = json!(model.homepage);
            value["files"] = files.collect();
        }
        value
    }

    fn as_text(&self) -> Vec<String> {
        let mark = if self.is_default { "  (default)" } else { "" };
        let mut lines = vec![
            format!("{}  “{}”{mark}", self.name, self.title),
            format!("  {}", self.description),
            format!("  Stems    {}", self.stems().join(", ")),
            format!(
                "  Needs    about {:.0} s for a 4-minute song and {} MB of memory on {} threads",
                self.secs_per_4_min.max(1.0),
                self.memory_bytes.div_ceil(1_000_000),
                self.threads,
            ),
        ];
        let Some(Entry { model, state, .. }) = self.entry else {
            lines.push("  State    part of Stemhive".to_owned());
            return lines;
        };
        let sdr = model.sdr_db.map(|db| format!(" ({db:.1} dB)")).unwrap_or_default();
        lines.push(format!("  Runs     with {} instructions", Kernels::detect().name()));
        lines.push(format!("  Quality  {}{sdr}", model.quality));
        lines.push(format!("  Licence  {}", model.licence));
        let way = format!("stemhive models fetch {}", model.name);
        lines.push(match state {
            ModelState::Installed => format!("  State    here ({})", megabytes(model.bytes())),
            ModelState::NotDownloaded { here_bytes, .. } => {
                let left = megabytes(model.bytes().saturating_sub(*here_bytes));
                format!("  State    not downloaded; {left} with: {way}")
            }
            ModelState::Damaged { why } => format!("  State    damaged: {why}; again with: {way}"),
        });
        lines
    }
}

/// Bytes as people count a download.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
