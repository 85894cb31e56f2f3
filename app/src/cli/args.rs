//! Arguments that several subcommands share, and what they mean to the engine.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, ValueEnum};
use engine::{
    Error,
    engine::{Engine, EngineConfig},
    export::{Bits, ClipPolicy, Existing, Format, Mp3Quality, Rate, VorbisQuality},
    mix::{MAX_GAIN_DB, MIN_GAIN_DB},
    model::{Quality, Stem},
    remote::Chosen,
};
use stemhive::update::settings;

use super::{context::Context, workers};

/// Where Stemhive keeps what it works on.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StoreArgs {
    /// Folder for decoded songs and stems.
    #[arg(long, value_name = "DIR", env = "STEMHIVE_CACHE", hide_env_values = true, global = true)]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Folder for the list of recent songs.
    #[arg(long, value_name = "DIR", env = "STEMHIVE_DATA", global = true, hide = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// UDP port at which other computers reach this one.
    #[arg(long, value_name = "N", env = "STEMHIVE_PORT", global = true, hide = true)]
    pub(crate) port: Option<u16>,

    /// List of models to use instead of the one inside the program.
    #[arg(long, value_name = "FILE", env = "STEMHIVE_MODEL_LIST", global = true, hide = true)]
    pub(crate) model_list: Option<PathBuf>,

    /// Most gigabytes the cache may hold.
    #[arg(
        long,
        value_name = "GB",
        env = "STEMHIVE_CACHE_SIZE",
        hide_env_values = true,
        value_parser = gigabytes,
        global = true
    )]
    pub(crate) cache_size: Option<f64>,
}

impl StoreArgs {
    /// The engine's configuration: what was said here, else what was chosen in the window, else
    /// the engine's own defaults.
    pub(crate) fn config(&self, threads: Option<usize>) -> EngineConfig {
        let mut config = EngineConfig::default();
        if let Some(dir) = &self.cache_dir {
            config.cache_dir.clone_from(dir);
        }
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        if let Some(gigabytes) = self.cache_size {
            config.cache_cap_bytes = (gigabytes * 1e9) as u64;
        }
        if threads.is_some() {
            config.threads = threads;
        }
        if let Some(port) = self.port {
            config.worker_port = port;
        }
        config.model_list.clone_from(&self.model_list);
        let settings = settings::default_path().map(|path| settings::load(&path));
        match settings {
            Some(Ok(settings)) => settings::configured(config, &settings),
            Some(Err(error)) => {
                tracing::warn!(%error, "the settings are left aside");
                config
            }
            None => config,
        }
    }
}

/// A size that is a number and not negative.
fn gigabytes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gigabytes) if gigabytes.is_finite() && gigabytes >= 0.0 => Ok(gigabytes),
        _ => Err("write a number of gigabytes, as in 20 or 0.5".to_owned()),
    }
}

/// Which model separates.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Model to separate with: one of `stemhive models`, or a file (.th, .safetensors).
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) model: Option<String>,

    /// Separate each piece N times, shifted by another part of half a second, and take the mean:
    /// a little better, N times as slow.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    shifts: u32,

    /// Share of each piece that overlaps the next one, 0 to 0.9: more is smoother and slower.
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, value_parser = share)]
    overlap: f64,

    /// Threads to compute with [default: all but one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Other computers that help: all, none, or some of `stemhive workers list` by name.
    #[arg(long, value_name = "all|none|NAME,NAME", default_value = "all")]
    workers: String,
}

impl ModelArgs {
    pub(super) fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// The model and who computes, or `None` after telling what cannot be read. Ends the process
    /// with a usage error when there is no such model or computer.
    pub(super) fn choose(&self, context: &Context, engine: &Engine) -> Option<Choice> {
        let quality = Quality { shifts: self.shifts, overlap: self.overlap };
        let workers = match workers::chosen(&self.workers, engine) {
            Ok(workers) => workers,
            Err(error) => {
                context.reporter.failed(&error);
                return None;
            }
        };
        let Some(name) = &self.model else {
            return Some(Choice { model: engine.default_model().name, quality, workers });
        };
        let models = engine.models();
        if models.iter().any(|model| &model.name == name) {
            return Some(Choice { model: name.clone(), quality, workers });
        }
        if Path::new(name).is_file() {
            return match engine.open_model(Path::new(name)) {
                Ok(model) => Some(Choice { model, quality, workers }),
                Err(error) => {
                    context.reporter.failed(&error);
                    None
                }
            };
        }
        if let Ok(entry) = engine.catalogue().entry(name) {
            let name = entry.model.name;
            usage(&format!(
                "the model {name} is not on this computer; get it with: stemhive models fetch {name}"
            ));
        }
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        usage(&format!("there is no model “{name}”; there is: {}", names.join(", ")));
    }
}

/// A model, how hard it works, and where.
pub(super) struct Choice {
    pub(super) model: String,
    pub(super) quality: Quality,
    /// Which of the paired computers take part.
    pub(super) workers: Chosen,
}

/// An overlap that leaves something new in each piece.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.9).contains(&share) => Ok(share),
        _ => Err("write a number from 0 to 0.9".to_owned()),
    }
}

/// File formats by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// RIFF WAVE; RF64 above 4 GiB
    Wav,
    /// FLAC
    Flac,
    /// MP3, LAME V0
    Mp3,
    /// Ogg Vorbis, quality 7
    Ogg,
}

/// Sample formats of WAV and FLAC by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum BitsName {
    /// 16-bit integers, dithered
    #[value(name = "16")]
    Int16,
    /// 24-bit integers
    #[value(name = "24")]
    Int24,
    /// 32-bit floats (WAV only)
    #[value(name = "32f")]
    Float32,
}

/// What to do where a file would clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClipName {
    /// Turn all files of a song down alike, so that they still add up
    Gain,
    /// Limit the peaks of the files that would clip
    Limit,
    /// Write 32-bit float WAV instead
    Float,
}

/// How files are written.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Bits per sample of WAV and FLAC.
    #[arg(long, value_enum)]
    bits: Option<BitsName>,

    /// Sample rate in hertz [default: the song's].
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(8_000..=384_000))]
    rate: Option<u32>,

    /// What to do where a file would clip.
    #[arg(long, value_enum, value_name = "HOW", default_value = "gain")]
    clip: ClipName,

    /// Replace files that exist instead of choosing another name.
    #[arg(long)]
    overwrite: bool,

    /// Leave tags and cover out.
    #[arg(long)]
    no_tags: bool,
}

impl OutputArgs {
    /// The format to write. `natural_bits` is what to take where nothing was said. Ends the
    /// process with a usage error on bits the format does not have.
    pub(super) fn format(&self, name: FormatName, natural_bits: Bits) -> Format {
        let bits = self.bits.map_or(natural_bits, |bits| match bits {
            BitsName::Int16 => Bits::Int16,
            BitsName::Int24 => Bits::Int24,
            BitsName::Float32 => Bits::Float32,
        });
        match (name, bits, self.bits) {
            (FormatName::Wav, bits, _) => Format::Wav(bits),
            (FormatName::Flac, Bits::Float32, Some(_)) => {
                usage("FLAC has no 32-bit floats: take --bits 24 or --format wav")
            }
            (FormatName::Flac, Bits::Float32, None) => Format::Flac(Bits::Int24),
            (FormatName::Flac, bits, _) => Format::Flac(bits),
            (FormatName::Mp3 | FormatName::Ogg, _, Some(_)) => {
                usage("--bits is for WAV and FLAC; MP3 and Ogg Vorbis have none")
            }
            (FormatName::Mp3, _, None) => Format::Mp3(Mp3Quality::V0),
            (FormatName::Ogg, _, None) => Format::Vorbis(VorbisQuality::default()),
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate.map_or(Rate::Source, Rate::Hz)
    }

    pub(super) fn clipping(&self) -> ClipPolicy {
        match self.clip {
            ClipName::Gain => ClipPolicy::CommonGain,
            ClipName::Limit => ClipPolicy::Limit,
            ClipName::Float => ClipPolicy::KeepFloat,
        }
    }

    pub(super) fn existing(&self) -> Existing {
        if self.overwrite { Existing::Overwrite } else { Existing::NumberUp }
    }

    pub(super) fn copy_tags(&self) -> bool {
        !self.no_tags
    }
}

/// A stem named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StemName(pub(super) Stem);

impl FromStr for StemName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Stem::from_name(name.trim()).map(Self).ok_or_else(|| {
            let names = Stem::ALL.map(Stem::name).join(", ");
            format!("there is no such stem as “{name}”; there are {names}")
        })
    }
}

/// `STEM=DB` as in `drums=-3`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StemGain {
    pub(super) stem: Stem,
    pub(super) gain_db: f32,
}

impl FromStr for StemGain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stem, gain) = text
            .split_once('=')
            .ok_or_else(|| format!("“{text}” is not of the form STEM=DB, as in drums=-3"))?;
        let StemName(stem) = stem.parse()?;
        let number = gain.trim().trim_end_matches("dB").trim_end();
        let gain_db: f32 =
            number.parse().map_err(|_| format!("“{gain}” is not a number of decibels"))?;
        if !(MIN_GAIN_DB..=MAX_GAIN_DB).contains(&gain_db) {
            return Err(format!("gains go from {MIN_GAIN_DB} to {MAX_GAIN_DB} dB"));
        }
        Ok(Self { stem, gain_db })
    }
}

/// Ends the process with `message` and status 2.
pub(super) fn usage(message: &str) -> ! {
    use clap::CommandFactory;
    super::Cli::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

/// Three parts on separate lines: what happened, what was kept, what to do.
pub(crate) fn three_parts(error: &Error) -> String {
    let mut text = format!("Error: {}", error.what);
    // Writing to a string cannot fail.
    if let Some(kept) = &error.kept {
        let _ = write!(text, "\n  Kept: {kept}");
    }
    if let Some(advice) = &error.advice {
        let _ = write!(text, "\n  To do: {advice}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_and_gains_are_read_as_people_write_them() {
        assert_eq!("Drums".parse(), Ok(StemName(Stem::Drums)));
        assert!("drum".parse::<StemName>().is_err());
        for (text, expected) in [
            ("drums=-3", Some((Stem::Drums, -3.0))),
            ("Vocals=+2.5", Some((Stem::Vocals, 2.5))),
            ("bass = -60dB", Some((Stem::Bass, -60.0))),
            ("bass", None),
            ("bass=", None),
            ("bass=NaN", None),
            ("bass=100", None),
            ("=3", None),
        ] {
            let read = text.parse::<StemGain>().ok().map(|gain| (gain.stem, gain.gain_db));
            assert_eq!(read, expected, "{text}");
        }
    }
}
