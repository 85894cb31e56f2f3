//! `stemhive mix`: a song without some of its stems, or with others of their volume.

use std::path::PathBuf;

use engine::{
    Error, ErrorKind,
    engine::Engine,
    export::{Bits, Existing, ExportRequest, Item},
    mix::{LaneControl, stereo_gains},
    model::Stem,
};
use serde_json::json;

use super::{
    Outcome,
    args::{FormatName, ModelArgs, OutputArgs, StemGain, StemName, StoreArgs, usage},
    context::Context,
    output::export,
    separate::{chosen_stems, whole_song},
};

/// Write a song with stems muted, soloed or turned up and down.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The song.
    #[arg(value_name = "SONG")]
    song: PathBuf,

    /// Stems to leave out.
    #[arg(long, value_name = "STEM,STEM", value_delimiter = ',', conflicts_with = "solo")]
    mute: Vec<StemName>,

    /// The only stems to keep.
    #[arg(long, value_name = "STEM,STEM", value_delimiter = ',')]
    solo: Vec<StemName>,

    /// Volume of a stem in decibels.
    #[arg(long, value_name = "STEM=DB", value_delimiter = ',')]
    gain: Vec<StemGain>,

    /// File to write; its extension says the format (wav, flac, mp3, ogg).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    files: OutputArgs,

    /// Tell what happens as JSON, one object a line: start, progress, note, done, error, end.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let mut context = Context::new(args.json);
    let (Some(name), Some(extension)) = (args.output.file_stem(), args.output.extension()) else {
        usage("-o needs a file name that ends in .wav, .flac, .mp3 or .ogg");
    };
    let format = match extension.to_string_lossy().to_lowercase().as_str() {
        "wav" => FormatName::Wav,
        "flac" => FormatName::Flac,
        "mp3" => FormatName::Mp3,
        "ogg" => FormatName::Ogg,
        other => usage(&format!("“.{other}” is not a format; there are .wav, .flac, .mp3, .ogg")),
    };
    let format = args.files.format(format, Bits::Int24);
    let folder = match args.output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let Some(engine) = context.engine(store, args.model.threads()) else {
        return Outcome::SomeFailed;
    };
    let Some(choice) = args.model.choose(&context, &engine) else {
        return Outcome::SomeFailed;
    };
    let model = choice.model.clone();
    let named: Vec<_> = args
        .mute
        .iter()
        .chain(&args.solo)
        .copied()
        .chain(args.gain.iter().map(|gain| StemName(gain.stem)))
        .collect();
    // Checks that the model has them all.
    chosen_stems(&engine, &model, &named);
    let needed = args.needed_stems(&engine, &model);

    context.each_song(std::slice::from_ref(&args.song), |context, path| {
        args.check_target()?;
        let song = context.open(&engine, path)?;
        let (job, _) = context.separate(&engine, &song, &choice, &needed)?;
        let whole = whole_song(&song, &job, &model)?;
        let lanes: Vec<_> = whole.stems.iter().map(|(stem, _)| args.lane(*stem)).collect();
        if stereo_gains(&lanes).iter().flatten().all(|gain| *gain == 0.0) {
            context.reporter.note("Every stem is silent, and so is the file");
        }
        let request = ExportRequest {
            lanes,
            items: vec![Item::Mix],
            format,
            rate: args.files.rate(),
            clipping: args.files.clipping(),
            // The name as it is: braces in a value are no fields.
            model: name.to_string_lossy().into_owned(),
            template: "{model}".into(),
            folder: folder.clone(),
            copy_tags: args.files.copy_tags(),
            existing: args.files.existing(),
            ..whole
        };
        let exported = export(context, request)?;
        let value = json!({
            "files": exported.files,
            "model": model,
            "gain_db": exported.gain_db,
        });
        let lines: Vec<_> = exported.files.iter().map(|f| f.display().to_string()).collect();
        context.reporter.done(value, &lines);
        Ok(())
    })
}

impl Args {
    /// The file was named by the user, so another name instead would be a surprise.
    fn check_target(&self) -> engine::Result<()> {
        if self.files.existing() == Existing::NumberUp && self.output.symlink_metadata().is_ok() {
            let what = format!("“{}” exists already", self.output.display());
            return Err(Error::new(ErrorKind::Exists, what)
                .kept("It was left as it is")
                .advice("Say --overwrite to replace it, or choose another name"));
        }
        Ok(())
    }

    /// The stems that are heard, where leaving others out saves a bag's networks; else all, which the
    /// next mix of the song may want.
    fn needed_stems(&self, engine: &Engine, model: &str) -> Vec<Stem> {
        let all = chosen_stems(engine, model, &[]);
        let is_bag = engine.catalogue().entry(model).is_ok_and(|entry| entry.model.files.len() > 1);
        let lanes: Vec<_> = all.iter().map(|stem| self.lane(*stem)).collect();
        let gains = stereo_gains(&lanes);
        let heard = |place: &usize| !is_bag || gains[*place].iter().any(|gain| *gain != 0.0);
        (0..all.len()).filter(heard).map(|place| all[place]).collect()
    }

    fn lane(&self, stem: Stem) -> LaneControl {
        let gain = self.gain.iter().rfind(|gain| gain.stem == stem);
        LaneControl {
            gain_db: gain.map_or(0.0, |gain| gain.gain_db),
            mute: self.mute.contains(&StemName(stem)),
            solo: self.solo.contains(&StemName(stem)),
            ..LaneControl::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use engine::engine::EngineConfig;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_bag_is_asked_for_what_is_heard_and_other_models_for_everything() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let models = folder.path().join("data/models");
        std::fs::create_dir_all(&models).expect("a folder");
        let mut list = String::from(
            r#"
            [[model]]
            name = "bag"
            title = "Bag"
            description = "Four networks."
            quality = "Good"
            stems = ["drums", "bass", "other", "vocals"]
            architecture = "htdemucs"
            licence = "None"
            cost_core_secs_per_sec = 1.0
            weights_bytes = 4
            memory_bytes_per_chunk = 4
            "#,
        );
        for (stem, sha256) in [("drums", '1'), ("bass", '2'), ("other", '3'), ("vocals", '4')] {
            std::fs::write(models.join(format!("{stem}.th")), "x").expect("a new file");
            let sha256 = String::from(sha256).repeat(64);
            list += &format!(
                "[[model.file]]\nurl = \"https://localhost/{stem}.th\"\nbytes = 1\n\
                 sha256 = \"{sha256}\"\nstem = \"{stem}\"\n"
            );
        }
        std::fs::write(folder.path().join("list.toml"), list).expect("a new file");
        let engine = Engine::new(&EngineConfig {
            cache_dir: folder.path().join("cache"),
            data_dir: folder.path().join("data"),
            model_list: Some(folder.path().join("list.toml")),
            ..EngineConfig::default()
        })
        .expect("an engine");
        let needed = |model: &str, how: &[&str]| {
            let line = ["mix", "song.wav", "-o", "mix.wav"].iter().chain(how);
            Line::parse_from(line).args.needed_stems(&engine, model)
        };
        let all = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];
        assert_eq!(needed("bag", &["--mute", "vocals"]), all[..3]);
        assert_eq!(needed("bag", &["--solo", "vocals,bass"]), [Stem::Bass, Stem::Vocals]);
        assert_eq!(needed("bag", &["--gain", "drums=-3"]), all);
        assert_eq!(needed("spectral", &["--solo", "vocals"]), all);
    }
}
