//! `stemhive eval`: how well models separate, on multitracks whose stems are known.

use std::path::PathBuf;

use engine::eval::{CLASSES, Score, SongScores, evaluate, means};
use serde_json::{Map, Value, json};

use super::{
    Outcome,
    args::{StoreArgs, usage},
    context::Context,
    report::print_line,
    score_plot,
};

/// Score models on multitracks: signal-to-distortion ratios in decibels, more is better
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of songs: each a folder with mixture.<ext> and one file per stem (drums, bass,
    /// other, vocals).
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Models to score [default: all].
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    models: Vec<String>,

    /// Draw the global ratios as a new SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Tell it as JSON, one object a result.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let context = Context::without_interrupts(args.json);
    let Some(engine) = context.engine(store, None) else {
        return Outcome::SomeFailed;
    };
    let all: Vec<_> = engine.models().into_iter().map(|model| model.name).collect();
    if let Some(unknown) = args.models.iter().find(|name| !all.contains(name)) {
        usage(&format!("there is no model “{unknown}”; there is: {}", all.join(", ")));
    }
    if let Some(Err(error)) = args.plot.as_deref().map(score_plot::check_free) {
        context.reporter.failed(&error);
        return Outcome::SomeFailed;
    }
    let models = if args.models.is_empty() { all } else { args.models.clone() };

    if !args.json {
        print_line(&row("song", "system", CLASSES.map(|class| class.name().to_owned()), "mean"));
    }
    let mut on_row = |scores: &SongScores| {
        if args.json {
            print_line(&as_json(scores).to_string());
        } else {
            let mean = mean(scores.scores.iter().filter_map(global));
            print_line(&row(&scores.song, &scores.system, scores.scores.map(cell), &mean));
        }
    };
    let rows = match evaluate(&engine, &args.folder, &models, &mut on_row) {
        Ok(rows) => rows,
        Err(error) => {
            context.reporter.failed(&error);
            return Outcome::SomeFailed;
        }
    };
    let mut systems: Vec<&str> = Vec::new();
    for scores in &rows {
        if !systems.contains(&scores.system.as_str()) {
            systems.push(&scores.system);
        }
    }
    for (figure, name) in ["global", "median"].into_iter().enumerate() {
        for system in &systems {
            let means = means(&rows, system).map(|mean| mean.map(|mean| mean[figure]));
            if args.json {
                let scores: Map<_, _> = CLASSES
                    .iter()
                    .zip(means)
                    .map(|(class, db)| (class.name().to_owned(), json!(db)))
                    .collect();
                let value = json!({ "mean": name, "system": system, "db": scores });
                print_line(&value.to_string());
            } else {
                let cells = means.map(|db| db.map_or_else(String::new, |db| format!("{db:.2}")));
                let mean = mean(means.iter().flatten().copied());
                print_line(&row(&format!("all songs, {name}"), system, cells, &mean));
            }
        }
    }
    if let Some(path) = &args.plot
        && let Err(error) = score_plot::write(&rows, &systems, path)
    {
        context.reporter.failed(&error);
        return Outcome::SomeFailed;
    }
    if !args.json {
        print_line(
            "In brackets: what is heard of a stem that the song does not have, against the mixture",
        );
    }
    Outcome::Done
}

fn global(score: &Score) -> Option<f64> {
    match score {
        Score::Distortion { global_db, .. } => Some(*global_db),
        Score::Leakage { .. } => None,
    }
}

fn cell(score: Score) -> String {
    match score {
        Score::Distortion { global_db, .. } => format!("{global_db:.2}"),
        Score::Leakage { db } => format!("({db:.1})"),
    }
}

/// The mean of what there is.
fn mean(values: impl Iterator<Item = f64>) -> String {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), db| (sum + db, count + 1));
    if count == 0 { String::new() } else { format!("{:.2}", sum / f64::from(count)) }
}

fn row(song: &str, system: &str, cells: [String; 4], mean: &str) -> String {
    let [drums, bass, other, vocals] = cells;
    format!("{song:<24} {system:<17} {drums:>8} {bass:>8} {other:>8} {vocals:>8} {mean:>8}")
}

fn as_json(scores: &SongScores) -> Value {
    let classes: Map<_, _> = CLASSES
        .iter()
        .zip(scores.scores)
        .map(|(class, score)| {
            let value = match score {
                Score::Distortion { global_db, median_db } => {
                    json!({ "global_db": global_db, "median_db": median_db })
                }
                Score::Leakage { db } => json!({ "leakage_db": db }),
            };
            (class.name().to_owned(), value)
        })
        .collect();
    json!({ "song": scores.song, "system": scores.system, "scores": classes })
}
