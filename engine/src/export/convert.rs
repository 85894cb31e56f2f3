//! One audio file into another, without separation.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    encoder::EncoderSpec,
    format::{Bits, Format},
    level::{ClipPolicy, Treatment, measure},
    names::safe_name,
    place::{Destination, Folder, create_beside},
    request::{Existing, Rate},
    run::{fnv1a, nothing_left, treated, write_file},
    source::{Blocks, Resampled},
    tags::SongTags,
};
use crate::{
    audio::{Planar, StreamSpec},
    decode::Decoder,
    error::{Error, ErrorKind, Result},
    model::Progress,
};

/// What is left after a failure.
const KEPT: &str = "No half-written file was left behind";

/// Share of the time that the first reading takes.
const FIRST_PASS_SHARE: f32 = 0.4;

/// How [`convert`] writes.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// Format of the file.
    pub format: Format,
    /// Sample rate of the file.
    pub rate: Rate,
    /// What to do where the file would clip.
    pub clipping: ClipPolicy,
    /// Where the file goes, named as the source with another extension.
    pub folder: PathBuf,
    /// Whether tags and cover are carried over.
    pub copy_tags: bool,
    /// What to do about a file that exists; the source itself is never replaced.
    pub existing: Existing,
}

/// A converted file.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The file.
    pub path: PathBuf,
    /// The format it got: the one asked for, or 32-bit float WAV where floats had to be kept.
    pub format: Format,
    /// Rate and channels.
    pub stream: StreamSpec,
    /// Frames in it; at the source's rate, as many as the source decodes to.
    pub frames: u64,
    /// What it was turned by, in decibels.
    pub gain_db: f32,
    /// Bytes written.
    pub bytes: u64,
    /// What the user should know, as sentences.
    pub warnings: Vec<String>,
}

/// Decodes `input` and encodes it again, on this thread, in bounded memory. The source is decoded
/// twice: the first time for its exact length and peak, so that damage is found before anything
/// is written.
///
/// # Errors
/// As [`Decoder`]; [`ErrorKind::Invalid`] for a format or rate that cannot be;
/// [`ErrorKind::Cancelled`] when `progress` says so; or whatever writing says. Nothing unfinished
/// is left behind.
pub fn convert(
    input: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    if options.format == Format::Flac(Bits::Float32) {
        return Err(Error::new(ErrorKind::Invalid, "FLAC has no 32-bit float")
            .advice("Take 24 bits, or WAV for floats"));
    }
    let decoder = Decoder::open(input)?;
    let song = decoder.info().clone();
    let mut warnings = Vec::new();
    let asked_hz = options.rate.hz(song.source.sample_rate_hz)?;
    let channels = if song.source.channels > options.format.max_channels() {
        warnings.push(format!(
            "{} channels were mixed down to stereo for {}",
            song.source.channels,
            options.format.describe()
        ));
        2
    } else {
        song.source.channels
    };
    let stream = StreamSpec { sample_rate_hz: options.format.nearest_rate_hz(asked_hz), channels };
    if stream.sample_rate_hz != asked_hz {
        warnings.push(format!(
            "{} cannot hold {asked_hz} Hz; the file gets {} Hz",
            options.format.describe(),
            stream.sample_rate_hz
        ));
    }
    let open = |decoder| blocks(decoder, stream);

    // First pass: length and level.
    let claimed = song.source_frames.unwrap_or(0) as f32 * stream.sample_rate_hz as f32
        / song.source.sample_rate_hz as f32;
    let mut frames = 0;
    let level = measure(&mut *open(decoder)?, &mut |block| {
        frames += block;
        progress.report((frames as f32 / claimed.max(1.0)).min(1.0) * FIRST_PASS_SHARE);
        if progress.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    })?;

    // Second pass.
    let treatment = Treatment::choose(options.format, options.clipping, &[level]);
    if treatment.format != options.format {
        warnings.push("The file would clip, so it is written as 32-bit float WAV".into());
    }
    if treatment.limit {
        warnings.push("The peaks are cut".into());
    }
    let (tags, warning) =
        if options.copy_tags { SongTags::of(&song) } else { (SongTags::none(), None) };
    warnings.extend(warning);
    let stem = input.file_stem().unwrap_or(input.as_os_str()).to_string_lossy();
    let destination = Destination {
        folder: options.folder.clone(),
        base: safe_name(&stem),
        extension: treatment.format.extension(),
        existing: options.existing,
        source: input.to_owned(),
    };
    let folder = Folder::prepare(&options.folder)?;
    let chosen = destination.choose(&HashSet::new());
    let (samples, dither_seed) =
        treated(open(Decoder::open(input)?)?, stream, treatment, level, fnv1a("convert"));
    let spec = EncoderSpec {
        format: treatment.format,
        stream,
        frames,
        dither_seed,
        tags: tags.encoded(&song.title, None),
    };
    let temp = create_beside(&options.folder)?;
    let target = options.folder.join(&chosen.name);
    let mut done = 0;
    let bytes = write_file(samples, temp.as_file(), &target, &spec, &mut |block, _| {
        done += block;
        let share = done as f32 / frames.max(1) as f32;
        progress.report(FIRST_PASS_SHARE + (1.0 - FIRST_PASS_SHARE) * share);
        if progress.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    })
    .map_err(|error| nothing_left(error, KEPT))?;
    let path = destination.place(temp, chosen.name).map_err(|error| nothing_left(error, KEPT))?;
    folder.keep(&options.folder);
    Ok(Converted {
        path,
        format: treatment.format,
        stream,
        frames,
        gain_db: 20.0 * treatment.gain.log10(),
        bytes,
        warnings,
    })
}

/// The decoder's samples in the channels and at the rate of `stream`.
fn blocks(decoder: Decoder, stream: StreamSpec) -> Result<Box<dyn Blocks>> {
    let from_hz = decoder.info().source.sample_rate_hz;
    let to_stereo = decoder.info().source.channels != stream.channels;
    let decoded = Box::new(Decoded { decoder, to_stereo, stereo: Planar::default() });
    if from_hz == stream.sample_rate_hz {
        return Ok(decoded);
    }
    Ok(Box::new(Resampled::new(decoded, stream.channels, from_hz, stream.sample_rate_hz)?))
}

/// A decoder as a stream of blocks.
struct Decoded {
    decoder: Decoder,
    to_stereo: bool,
    stereo: Planar,
}

impl Blocks for Decoded {
    fn next_block(&mut self) -> Result<Option<&Planar>> {
        if !self.to_stereo {
            return self.decoder.next_block();
        }
        let downmix = self.decoder.downmix().clone();
        let Some(block) = self.decoder.next_block()? else { return Ok(None) };
        downmix.mix(block, &mut self.stereo);
        Ok(Some(&self.stereo))
    }
}
