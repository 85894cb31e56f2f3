//! `stemhive separate`: songs into files, one per stem.

use std::{path::PathBuf, sync::Arc};

use engine::{
    Error, ErrorKind,
    engine::Engine,
    export::{Bits, ExportRequest, Item},
    job::{JobHandle, JobStatus},
    mix::LaneControl,
    model::Stem,
    song::{Song, SongInfo},
};
use serde_json::{Value, json};
use stemhive::units;

use super::{
    Outcome,
    args::{FormatName, ModelArgs, OutputArgs, StemName, StoreArgs, usage},
    context::{Context, Failure, pieces_elsewhere},
    output::{SongFolders, export},
};

/// Separate songs into stems: DIR/<song>/<stem>.<ext>
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Songs to separate.
    #[arg(required = true, value_name = "SONG")]
    songs: Vec<PathBuf>,

    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "stems")]
    output: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// Stems to write [default: all].
    #[arg(long, value_name = "STEM,STEM", value_delimiter = ',')]
    stems: Vec<StemName>,

    /// File format.
    #[arg(long, value_enum, default_value = "wav")]
    format: FormatName,

    #[command(flatten)]
    files: OutputArgs,

    /// Tell what happens as JSON, one object a line: start, progress, note, done, error, end.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let mut context = Context::new(args.json);
    // 24 bits hold every stem of 16-bit music with nothing audible lost.
    let format = args.files.format(args.format, Bits::Int24);
    let Some(engine) = context.engine(store, args.model.threads()) else {
        return Outcome::SomeFailed;
    };
    let Some(choice) = args.model.choose(&context, &engine) else {
        return Outcome::SomeFailed;
    };
    let model = choice.model.clone();
    let stems = chosen_stems(&engine, &model, &args.stems);
    let mut folders = SongFolders::new(&args.output);

    context.each_song(&args.songs, |context, path| {
        let song = context.open(&engine, path)?;
        let (job, status) = context.separate(&engine, &song, &choice, &stems)?;
        let request = ExportRequest {
            items: stems.iter().copied().map(Item::Stem).collect(),
            format,
            rate: args.files.rate(),
            clipping: args.files.clipping(),
            template: "{id}".into(),
            folder: folders.choose(path),
            copy_tags: args.files.copy_tags(),
            existing: args.files.existing(),
            ..whole_song(&song, &job, &model)?
        };
        let exported = export(context, request)?;
        let value = json!({
            "files": exported.files,
            "model": model,
            "seconds": song_secs(&song),
            "elapsed_secs": status.elapsed.as_secs_f64(),
            "speed_x_real_time": status.speed_x_real_time,
            "resumed_pieces": status.resumed_chunks,
            "pieces": status.chunks.len(),
            "gain_db": exported.gain_db,
            "workers": who(&status),
        });
        if let Some(text) = shared(&status) {
            context.reporter.note(&text);
        }
        let lines: Vec<_> = exported.files.iter().map(|f| f.display().to_string()).collect();
        context.reporter.done(value, &lines);
        Ok(())
    })
}

/// Who computed how many pieces.
fn who(status: &JobStatus) -> Value {
    let took_part = status.workers.iter().filter(|worker| worker.chunks_done > 0);
    took_part.map(|worker| json!({ "name": worker.name, "pieces": worker.chunks_done })).collect()
}

/// The same in words, where it was not this computer alone.
fn shared(status: &JobStatus) -> Option<String> {
    let took_part = status.workers.iter().filter(|worker| worker.chunks_done > 0);
    let parts: Vec<_> = took_part
        .map(|worker| format!("{} by {}", units::count(worker.chunks_done, "piece"), worker.name))
        .collect();
    (pieces_elsewhere(status) > 0).then(|| parts.join(", "))
}

/// The stems asked for, in lane order; all of the model's where none were. Ends the process with
/// a usage error on one that the model does not yield.
pub(super) fn chosen_stems(engine: &Engine, model: &str, names: &[StemName]) -> Vec<Stem> {
    let yields = engine
        .models()
        .into_iter()
        .find(|info| info.name == model)
        .map(|info| info.stems)
        .unwrap_or_default();
    if let Some(StemName(stem)) = names.iter().find(|name| !yields.contains(&name.0)) {
        let has: Vec<_> = yields.iter().map(|stem| stem.name()).collect();
        usage(&format!("the model {model} has no {}; it has {}", stem.name(), has.join(", ")));
    }
    yields.into_iter().filter(|stem| names.is_empty() || names.contains(&StemName(*stem))).collect()
}

/// A request for the whole of a separated song, in which the caller fills in what and where.
pub(super) fn whole_song(
    song: &Song,
    job: &JobHandle,
    model: &str,
) -> Result<ExportRequest, Failure> {
    let (Some(info), Some(mixture)) = (song.info(), song.mixture()) else {
        return Err(Arc::new(Error::new(ErrorKind::Internal, "The song was closed")));
    };
    let stems = job.stems();
    let tracks: Vec<_> = stems.stems.iter().copied().zip(stems.tracks.iter().cloned()).collect();
    Ok(ExportRequest {
        song: SongInfo::clone(&info),
        model: model.to_owned(),
        mixture,
        lanes: vec![LaneControl::default(); tracks.len()],
        stems: tracks,
        items: Vec::new(),
        range: None,
        format: engine::export::Format::Wav(Bits::Int24),
        rate: engine::export::Rate::Source,
        clipping: engine::export::ClipPolicy::CommonGain,
        template: String::new(),
        folder: PathBuf::new(),
        copy_tags: true,
        existing: engine::export::Existing::NumberUp,
    })
}

fn song_secs(song: &Song) -> f64 {
    song.decoded_frames() as f64 / f64::from(engine::audio::WORK_RATE_HZ)
}
