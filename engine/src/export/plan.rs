//! What an export will do, told before anything is written.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use super::{
    format::{Bits, Format, RIFF_LIMIT_BYTES},
    geometry::Geometry,
    level::{Level, Treatment},
    names::{Fields, Template},
    parallel::in_parallel,
    place::{Destination, free_bytes},
    request::{ExportRequest, Item},
    source::{Blocks, Term},
};
use crate::{
    audio::{StreamSpec, WORK_RATE_HZ},
    error::{Error, ErrorKind, Result},
    mix::stereo_gains,
    model::Progress,
};

/// What an export will write.
#[derive(Debug, Clone)]
pub struct ExportPlan {
    /// The files, in the order of the request's items.
    pub files: Vec<PlannedFile>,
    /// The format they get: the one asked for, or 32-bit float WAV where floats must be kept.
    pub format: Format,
    /// The rate they get.
    pub rate_hz: u32,
    /// What every file is turned by, in decibels; 0 leaves them as they are.
    pub gain_db: f32,
    /// Estimated bytes of all files.
    pub total_bytes: u64,
    /// Free bytes on the disk they go to, where the system tells.
    pub free_bytes: Option<u64>,
    /// What the user should know before starting, as sentences.
    pub warnings: Vec<String>,
    pub(super) treatment: Treatment,
}

/// One file of a plan.
#[derive(Debug, Clone)]
pub struct PlannedFile {
    /// What is in it.
    pub item: Item,
    /// Name with extension.
    pub name: String,
    /// Where it goes.
    pub path: PathBuf,
    /// The number that was added because the name is taken ("name taken, 2 added").
    pub number_added: Option<u32>,
    /// Whether it replaces a file, as was asked for.
    pub replaces: bool,
    /// Rate and channels.
    pub stream: StreamSpec,
    /// Frames it will hold, exactly.
    pub frames: u64,
    /// Bytes without tags, estimated unless [`Self::bytes_exact`].
    pub bytes: u64,
    /// Whether the size is known exactly.
    pub bytes_exact: bool,
    /// Peak before anything is done about it; known once measured.
    pub level: Option<Level>,
    pub(super) destination: Destination,
}

/// Reads everything that `request` would write and finds its peaks, one [`Level`] per item. This
/// takes a moment (hundreds of megabytes for a whole song): call it off the window's thread. The
/// result holds as long as items, range, rate, lanes and tracks do.
///
/// # Errors
/// As [`plan`], [`ErrorKind::Cancelled`] when `progress` says so, or whatever reading says.
pub fn measure(request: &ExportRequest, progress: &dyn Progress) -> Result<Vec<Level>> {
    request.check()?;
    let rate_hz = request.rate_hz()?;
    let total = request.geometry(rate_hz).frames() * request.items.len() as u64;
    let done = std::sync::atomic::AtomicU64::new(0);
    measure_at(request, rate_hz, &|frames| {
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        let done = done.fetch_add(frames, std::sync::atomic::Ordering::Relaxed) + frames;
        progress.report(done as f32 / total.max(1) as f32);
        Ok(())
    })
}

/// [`measure`] at a known rate; `on_block` is told frames and can stop it by an error.
pub(super) fn measure_at(
    request: &ExportRequest,
    rate_hz: u32,
    on_block: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Vec<Level>> {
    let geometry = request.geometry(rate_hz);
    in_parallel("measure", request.items.len(), |i| {
        let mut blocks = request.blocks(request.items[i], &geometry)?;
        super::level::measure(&mut *blocks, &mut |frames| on_block(frames))
    })
}

/// Plans an export: names, sizes, space, and, given the `levels` that [`measure`] found, what is
/// done about clipping. Touches the disk only to look for names and free space.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the request makes no sense: no items, an unknown stem, an empty
/// range, a bad template, a rate or format that cannot be.
pub fn plan(request: &ExportRequest, levels: Option<&[Level]>) -> Result<ExportPlan> {
    request.check()?;
    let template = Template::parse(&request.template)?;
    let treatment = Treatment::choose(request.format, request.clipping, levels.unwrap_or_default());
    let asked_hz = request.asked_rate_hz()?;
    let rate_hz = request.rate_hz()?;
    let geometry = request.geometry(rate_hz);
    let frames = geometry.frames();
    if frames == 0 {
        return Err(Error::new(ErrorKind::Invalid, "The part to export is empty")
            .advice("Select a longer part, or export the whole song"));
    }

    let mut taken = HashSet::new();
    let mut files = Vec::with_capacity(request.items.len());
    for (index, &item) in request.items.iter().enumerate() {
        let destination = Destination {
            folder: request.folder.clone(),
            base: template.render(&Fields {
                artist: request.song.artist.as_deref().unwrap_or_default(),
                title: &request.song.title,
                album: request.song.album.as_deref().unwrap_or_default(),
                stem: item.title(),
                id: item.id(),
                n: index + 1,
                model: &request.model,
            }),
            extension: treatment.format.extension(),
            existing: request.existing,
            source: request.song.path.clone(),
        };
        let chosen = destination.choose(&taken);
        taken.insert(chosen.name.to_lowercase());
        let stream = StreamSpec { sample_rate_hz: rate_hz, channels: request.channels(item) };
        let (bytes, bytes_exact) = treatment.format.estimated_bytes(stream, frames);
        files.push(PlannedFile {
            item,
            path: request.folder.join(&chosen.name),
            name: chosen.name,
            number_added: chosen.number,
            replaces: chosen.replaces,
            stream,
            frames,
            bytes,
            bytes_exact,
            level: levels.and_then(|levels| levels.get(index).copied()),
            destination,
        });
    }

    let mut plan = ExportPlan {
        format: treatment.format,
        rate_hz,
        gain_db: if treatment.gain == 1.0 { 0.0 } else { 20.0 * treatment.gain.log10() },
        total_bytes: files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
        free_bytes: free_bytes(&request.folder),
        warnings: Vec::new(),
        treatment,
        files,
    };
    plan.warnings = warnings(request, &plan, asked_hz);
    Ok(plan)
}

fn warnings(request: &ExportRequest, plan: &ExportPlan, asked_hz: u32) -> Vec<String> {
    let khz = |hz: u32| format!("{} kHz", f64::from(hz) / 1000.0);
    let mut warnings = Vec::new();
    if plan.rate_hz != asked_hz {
        warnings.push(format!(
            "{} cannot hold {}; the files get {}",
            plan.format.describe(),
            khz(asked_hz),
            khz(plan.rate_hz)
        ));
    }
    if plan.rate_hz > WORK_RATE_HZ && request.song.source.sample_rate_hz > WORK_RATE_HZ {
        warnings.push(format!(
            "Stems are computed at {}, so nothing above {} is in them",
            khz(WORK_RATE_HZ),
            khz(WORK_RATE_HZ / 2)
        ));
    }
    if request.song.source.channels > 2 {
        warnings.push(format!(
            "The song has {} channels; it was mixed down to stereo",
            request.song.source.channels
        ));
    }
    if plan.format != request.format {
        warnings.push("A file would clip, so all are written as 32-bit float WAV".into());
    }
    let limited = plan.files.iter().filter(|f| f.level.is_some_and(Level::clips)).count();
    if plan.treatment.limit && limited > 0 {
        warnings.push(match limited {
            1 => "The peaks of one file are cut".into(),
            n => format!("The peaks of {n} files are cut; they no longer add up exactly"),
        });
    }
    if request.items.contains(&Item::Mix)
        && stereo_gains(&request.lanes).iter().flatten().all(|&gain| gain == 0.0)
    {
        warnings.push("No lane is audible: the mix will be silence".into());
    }
    if matches!(plan.format, Format::Wav(_))
        && plan.files.iter().any(|file| file.bytes > RIFF_LIMIT_BYTES)
    {
        warnings.push(
            "Files above 4 GB are written as RF64, which some programs cannot open; FLAC is \
             smaller"
                .into(),
        );
    }
    if plan.free_bytes.is_some_and(|free| free < plan.total_bytes) {
        warnings.push("There may not be enough free space".into());
    }
    warnings
}

impl ExportRequest {
    /// The rate asked for.
    fn asked_rate_hz(&self) -> Result<u32> {
        self.rate.hz(self.song.source.sample_rate_hz)
    }

    /// The rate the format can give.
    fn rate_hz(&self) -> Result<u32> {
        Ok(self.format.nearest_rate_hz(self.asked_rate_hz()?))
    }

    /// The frames of every file at `rate_hz`.
    pub(super) fn geometry(&self, rate_hz: u32) -> Geometry {
        Geometry::new(
            self.mixture.frames(),
            self.song.source.sample_rate_hz,
            self.song.source_frames,
            rate_hz,
            self.range.as_ref(),
        )
    }

    /// Channels of an item's file: mono songs stay mono, unless a lane of the mix is panned.
    pub(super) fn channels(&self, item: Item) -> u16 {
        let panned = || stereo_gains(&self.lanes).iter().any(|[left, right]| left != right);
        if self.song.source.channels >= 2 || (item == Item::Mix && panned()) { 2 } else { 1 }
    }

    /// The samples of an item.
    pub(super) fn blocks(&self, item: Item, geometry: &Geometry) -> Result<Box<dyn Blocks>> {
        let whole =
            |track: &Arc<crate::store::Track>| Term { track: Arc::clone(track), gains: [1.0, 1.0] };
        let stems = self.stems.iter();
        let (terms, minuend) = match item {
            Item::Original => (vec![whole(&self.mixture)], None),
            Item::Stem(stem) => {
                (stems.filter(|(s, _)| *s == stem).map(|(_, t)| whole(t)).take(1).collect(), None)
            }
            Item::Remainder => {
                (stems.map(|(_, t)| whole(t)).collect(), Some(Arc::clone(&self.mixture)))
            }
            Item::Mix => {
                let terms = stems
                    .zip(stereo_gains(&self.lanes))
                    .filter(|(_, gains)| *gains != [0.0, 0.0])
                    .map(|((_, track), gains)| Term { track: Arc::clone(track), gains });
                (terms.collect(), None)
            }
        };
        geometry.blocks(terms, minuend, self.channels(item))
    }

    /// Refuses what makes no sense.
    fn check(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if self.items.is_empty() {
            return invalid("Nothing is selected for export".into());
        }
        for (i, item) in self.items.iter().enumerate() {
            if self.items[..i].contains(item) {
                return invalid(format!("“{}” is selected twice", item.id()));
            }
            if let Item::Stem(stem) = item
                && !self.stems.iter().any(|(s, _)| s == stem)
            {
                return invalid(format!("This song has no stem “{}”", stem.name()));
            }
        }
        if self.lanes.len() != self.stems.len() {
            return invalid(format!("{} lanes for {} stems", self.lanes.len(), self.stems.len()));
        }
        if let Some(range) = &self.range
            && (range.start >= range.end || range.end > self.mixture.frames())
        {
            return invalid("The part to export is empty or beyond the song's end".into());
        }
        if self.format == Format::Flac(Bits::Float32) {
            return Err(Error::new(ErrorKind::Invalid, "FLAC has no 32-bit float")
                .advice("Take 24 bits, or WAV for floats"));
        }
        if self.folder.as_os_str().is_empty() {
            return invalid("No folder is chosen".into());
        }
        Ok(())
    }
}
