//! `stemhive convert`: songs into other formats, without separation.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use engine::{
    Error,
    decode::Decoder,
    export::{Bits, ConvertOptions, convert},
    model,
};
use serde_json::json;

use super::{
    Outcome,
    args::{FormatName, OutputArgs},
    context::{Context, Look},
    interrupt::Bell,
    report::{Progress, Reporter, Stage},
};

/// Convert songs to another format, at their own rate and length.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Songs to convert.
    #[arg(required = true, value_name = "SONG")]
    songs: Vec<PathBuf>,

    /// File format.
    #[arg(long, value_enum)]
    format: FormatName,

    /// Folder for the results.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    #[command(flatten)]
    files: OutputArgs,

    /// Tell what happens as JSON, one object a line: start, progress, note, done, error, end.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut context = Context::new(args.json);
    // Refuses bits that the format lacks before any song is touched.
    args.files.format(args.format, Bits::Int16);
    context.each_song(&args.songs, |context, path| {
        let source = Decoder::open(path)?.info().clone();
        let options = ConvertOptions {
            format: args.files.format(args.format, natural_bits(source.bits_per_sample)),
            rate: args.files.rate(),
            clipping: args.files.clipping(),
            folder: args.output.clone(),
            copy_tags: args.files.copy_tags(),
            existing: args.files.existing(),
        };
        let input = path.to_owned();
        let converted = in_background(context, Stage::Convert, move |progress| {
            convert(&input, &options, progress)
        })?;
        converted.warnings.iter().for_each(|warning| context.reporter.note(warning));
        let value = json!({
            "files": [&converted.path],
            "sample_rate_hz": converted.stream.sample_rate_hz,
            "channels": converted.stream.channels,
            "frames": converted.frames,
            "gain_db": converted.gain_db,
        });
        context.reporter.done(value, &[converted.path.display().to_string()]);
        Ok(())
    })
}

/// Bits that lose nothing of a lossless source; 16 for lossy ones.
fn natural_bits(source_bits: Option<u32>) -> Bits {
    match source_bits.unwrap_or(16) {
        0..=16 => Bits::Int16,
        17..=24 => Bits::Int24,
        _ => Bits::Float32,
    }
}

/// Share done and whether to stop, between the working thread and the one that reports.
#[derive(Debug)]
struct Shared {
    done: AtomicU32,
    bell: Arc<Bell>,
}

impl model::Progress for Shared {
    fn report(&self, done: f32) {
        self.done.store(done.to_bits(), Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.bell.is_interrupted()
    }
}

/// Runs `work` on a thread of its own and reports its progress as `stage`.
pub(super) fn in_background<T: Send + 'static>(
    context: &mut Context,
    stage: Stage,
    work: impl FnOnce(&dyn model::Progress) -> engine::Result<T> + Send + 'static,
) -> Result<T, Arc<Error>> {
    let shared = Arc::new(Shared { done: AtomicU32::new(0), bell: Arc::clone(&context.bell) });
    let of_thread = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name("work".into())
        .spawn(move || {
            let result = work(&*of_thread);
            of_thread.bell.ring();
            result
        })
        .map_err(|e| {
            Error::new(engine::ErrorKind::Internal, "No thread can be started").caused_by(e)
        })?;
    let look = |_: &Reporter| {
        if thread.is_finished() {
            return Look::Ended(());
        }
        let done = f32::from_bits(shared.done.load(Ordering::Relaxed));
        Look::Running(Progress::new(stage, done))
    };
    context.follow(look, || {});
    let result = thread.join().unwrap_or_else(|_| {
        Err(Error::new(engine::ErrorKind::Internal, "Working on this song failed by a bug of ours")
            .advice("Please report this, with the file if you may share it"))
    });
    Ok(result?)
}
