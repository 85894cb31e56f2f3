//! Carrying out an export: measure, write all files beside their places, then rename them all. It
//! happens as a whole or not at all.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use super::{
    encoder::{EncoderSpec, encoder},
    format::{Bits, Format},
    level::{Level, Treatment, ceiling},
    limiter::Limiter,
    parallel::in_parallel,
    place::{Folder, create_beside},
    plan::{ExportPlan, PlannedFile, measure_at, plan},
    request::ExportRequest,
    source::{Blocks, Levelled},
    tags::SongTags,
};
use crate::error::{Error, ErrorKind, Result};

/// What is left after a failure.
const KEPT: &str = "No half-written file was left behind; the separated stems are kept";

/// A finished export.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The files, in the order of the request's items.
    pub files: Vec<PathBuf>,
    /// The format they got.
    pub format: Format,
    /// The rate they got.
    pub rate_hz: u32,
    /// What every file was turned by, in decibels.
    pub gain_db: f32,
    /// Bytes written.
    pub bytes: u64,
    /// What the user should know, as sentences.
    pub warnings: Vec<String>,
}

/// Told what an export does; an error stops it.
pub(super) trait Observer: Sync {
    /// This many frames are going to be measured before files are written.
    fn measuring(&self, frames: u64);
    /// Frames of some file were measured.
    fn measured(&self, frames: u64) -> Result<()>;
    /// The files of `plan` are going to be written.
    fn writing(&self, plan: &ExportPlan);
    /// Frames of `file` were written, which has `bytes` now.
    fn written(&self, file: usize, frames: u64, bytes: u64) -> Result<()>;
    /// `file` is complete.
    fn file_done(&self, file: usize);
}

/// Runs `request` on this thread and a few of its own.
pub(super) fn run(request: &ExportRequest, observer: &dyn Observer) -> Result<Exported> {
    let first_plan = plan(request, None)?;
    refuse_if_too_large(request, &first_plan)?;
    let levels = if request.format.is_float() {
        None
    } else {
        observer.measuring(first_plan.files.iter().map(|file| file.frames).sum());
        Some(measure_at(request, first_plan.rate_hz, &|frames| observer.measured(frames))?)
    };
    let mut plan = plan(request, levels.as_deref())?;
    refuse_if_too_large(request, &plan)?;
    let (tags, warning) =
        if request.copy_tags { SongTags::of(&request.song) } else { (SongTags::none(), None) };
    plan.warnings.extend(warning);

    observer.writing(&plan);
    let folder = Folder::prepare(&request.folder)?;
    let written = in_parallel("export", plan.files.len(), |i| {
        let file = &plan.files[i];
        let temp = create_beside(&request.folder)?;
        let (blocks, spec) = content(request, &plan, file, &tags)?;
        let bytes = write_file(blocks, temp.as_file(), &file.path, &spec, &mut |frames, bytes| {
            observer.written(i, frames, bytes)
        })?;
        observer.file_done(i);
        Ok((temp, bytes))
    })
    .map_err(|error| nothing_left(error, KEPT))?;

    let bytes = written.iter().map(|(_, bytes)| bytes).sum();
    let mut files: Vec<PathBuf> = Vec::with_capacity(written.len());
    for ((temp, _), file) in written.into_iter().zip(&plan.files) {
        match file.destination.place(temp, file.name.clone()) {
            Ok(path) => files.push(path),
            Err(error) => return Err(take_back(error, &files, &plan)),
        }
    }
    folder.keep(&request.folder);
    Ok(Exported {
        files,
        format: plan.format,
        rate_hz: plan.rate_hz,
        gain_db: plan.gain_db,
        bytes,
        warnings: plan.warnings,
    })
}

/// Sizes known exactly must fit; of estimates the plan only warns.
fn refuse_if_too_large(request: &ExportRequest, plan: &ExportPlan) -> Result<()> {
    let exact: u64 = plan.files.iter().filter(|f| f.bytes_exact).map(|f| f.bytes).sum();
    match plan.free_bytes {
        Some(free) if free < exact => Err(Error::new(
            ErrorKind::DiskFull,
            format!(
                "The export needs {} MB and “{}” has {} MB free",
                exact.div_ceil(1_000_000),
                request.folder.display(),
                free / 1_000_000
            ),
        )
        .kept(KEPT)
        .advice("Free some space, choose another folder, or export FLAC, which is smaller")),
        _ => Ok(()),
    }
}

/// The samples of a file and how they are encoded.
fn content(
    request: &ExportRequest,
    plan: &ExportPlan,
    file: &PlannedFile,
    tags: &SongTags,
) -> Result<(Box<dyn Blocks>, EncoderSpec)> {
    let blocks = request.blocks(file.item, &request.geometry(plan.rate_hz))?;
    let seed = fnv1a(file.item.id());
    let (blocks, dither_seed) =
        treated(blocks, file.stream, plan.treatment, file.level.unwrap_or_default(), seed);
    let spec = EncoderSpec {
        format: plan.format,
        stream: file.stream,
        frames: file.frames,
        dither_seed,
        tags: tags.encoded(&request.song.title, Some(file.item.title())),
    };
    Ok((blocks, spec))
}

/// `blocks` turned down or limited as `treatment` says, and the dither's seed where samples have
/// to be rounded to 16 bits.
pub(super) fn treated(
    blocks: Box<dyn Blocks>,
    stream: crate::audio::StreamSpec,
    treatment: Treatment,
    level: Level,
    seed: u64,
) -> (Box<dyn Blocks>, Option<u64>) {
    let Treatment { format, gain, limit } = treatment;
    if format.is_float() {
        return (blocks, None);
    }
    let limiter = (limit && level.clips()).then(|| {
        Limiter::new(usize::from(stream.channels), stream.sample_rate_hz, ceiling(format))
    });
    let exact = level.fits_int16 && gain == 1.0 && limiter.is_none();
    let is_16_bit = matches!(format, Format::Wav(Bits::Int16) | Format::Flac(Bits::Int16));
    let blocks = Box::new(Levelled::new(blocks, stream.channels, gain, limiter));
    (blocks, (is_16_bit && !exact).then_some(seed))
}

/// Encodes `blocks` into the empty `file`, syncs it, and returns its size in bytes. `path` is only
/// named in errors.
pub(super) fn write_file(
    mut blocks: Box<dyn Blocks>,
    file: &File,
    path: &Path,
    spec: &EncoderSpec,
    on_block: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<u64> {
    let size = || file.metadata().map(|m| m.len()).map_err(|e| Error::io("write", path, e));
    let mut encoder = encoder(file, spec).map_err(|e| e.for_file(path))?;
    let mut frames = 0;
    while let Some(block) = blocks.next_block()? {
        encoder.write(block).map_err(|e| e.for_file(path))?;
        frames += block.frames() as u64;
        on_block(block.frames() as u64, size()?)?;
    }
    encoder.finish().map_err(|e| e.for_file(path))?;
    if frames != spec.frames {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("“{}” would get {frames} frames instead of {}", path.display(), spec.frames),
        ));
    }
    file.sync_all().map_err(|e| Error::io("write", path, e))?;
    size()
}

/// Adds to a failure while writing what is `kept`, and what to do.
pub(super) fn nothing_left(error: Error, kept: &str) -> Error {
    match error.kind {
        ErrorKind::Cancelled => error,
        ErrorKind::DiskFull => error.kept(kept).advice("Free some space or choose another folder"),
        _ => error.kept(kept),
    }
}

/// Removes the files already renamed, but not what replaced an older file: that one is gone.
fn take_back(error: Error, placed: &[PathBuf], plan: &ExportPlan) -> Error {
    let mut kept = Vec::new();
    for (path, file) in placed.iter().zip(&plan.files) {
        if file.replaces || std::fs::remove_file(path).is_err() {
            kept.push(format!("“{}”", path.display()));
        }
    }
    if kept.is_empty() {
        nothing_left(error, KEPT)
    } else {
        error.kept(format!("These files are complete: {}", kept.join(", ")))
    }
}

/// FNV-1a: turns a name into a seed.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
