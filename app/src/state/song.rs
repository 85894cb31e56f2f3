//! An open song as the window shows it.

use std::{ops::Range, path::PathBuf, sync::Arc};

use egui::ColorImage;
use engine::{
    Error,
    job::{ChunkState, JobPhase, JobStatus},
    mix::{Audibility, LaneControl, audibility},
    model::Stem,
    song::{SongId, SongInfo},
    waveform::{Column, Waveform},
};

/// One open song. All frames are at the work rate.
#[derive(Debug, Clone)]
pub struct SongView {
    /// Number unique in this run; names the song in commands whatever its index.
    pub key: u64,
    /// The file it came from.
    pub path: PathBuf,
    /// Tags and format, once the file was probed.
    pub info: Option<Arc<SongInfo>>,
    /// Content id, once all of it was decoded.
    pub id: Option<SongId>,
    /// The cover in its tags, small; none until it is decoded.
    pub cover: Option<Arc<ColorImage>>,
    /// How far opening it is.
    pub opening: Opening,
    /// Length: exact once decoded, before that what the file claims or what has arrived.
    pub frames: u64,
    /// Frames that have arrived.
    pub decoded_frames: u64,
    /// The mixture's waveform, growing while decoding.
    pub wave: Option<Arc<Waveform>>,
    /// Columns of the mixture read from its samples, for zooms finer than the waveform's.
    pub detail: Option<Arc<Detail>>,
    /// Lanes in stem order; those of the chosen model before separation started.
    pub lanes: Vec<Lane>,
    /// The separation job's newest snapshot, once one was started or found half done.
    pub job: Option<Arc<JobStatus>>,
    /// Name of the model the job runs.
    pub job_model: Option<String>,
    /// It waits for its turn to be separated.
    pub queued: bool,
    /// An earlier run left this job half done and it waits for "Continue".
    pub half_done: bool,
    /// The stretch of the song on screen, in fractional frames.
    pub view: Range<f64>,
    /// Where playback is or will start.
    pub playhead: u64,
    /// The loop's edges, kept while the loop is off.
    pub loop_range: Option<Range<u64>>,
    /// Whether playback loops.
    pub loop_on: bool,
    /// The selected stretch.
    pub selection: Option<Range<u64>>,
}

/// How far opening a song is.
#[derive(Debug, Clone, Default)]
pub enum Opening {
    /// PCM is arriving.
    #[default]
    Decoding,
    /// All of it has arrived.
    Ready,
    /// It cannot be read.
    Failed(Arc<Error>),
}

impl SongView {
    /// A song about to be opened from `path`.
    pub fn new(key: u64, path: PathBuf) -> Self {
        Self {
            key,
            path,
            info: None,
            id: None,
            cover: None,
            opening: Opening::Decoding,
            frames: 0,
            decoded_frames: 0,
            wave: None,
            detail: None,
            lanes: Vec::new(),
            job: None,
            job_model: None,
            queued: false,
            half_done: false,
            view: 0.0..1.0,
            playhead: 0,
            loop_range: None,
            loop_on: false,
            selection: None,
        }
    }

    /// Title, or the file's name before the tags are known.
    pub fn title(&self) -> String {
        self.info.as_ref().map_or_else(
            || self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            |info| info.title.clone(),
        )
    }

    /// Frames whose stems can be heard.
    pub fn is_ready_at(&self, frame: u64) -> bool {
        self.job.as_ref().is_some_and(|job| job.ready.contains(frame))
    }

    /// Share of the song whose stems are ready, 0.0..=1.0.
    pub fn ready_fraction(&self) -> f32 {
        match &self.job {
            Some(job) if self.frames > 0 => job.ready.frames() as f32 / self.frames as f32,
            _ => 0.0,
        }
    }

    /// Whether a job is at work or waiting to be.
    pub fn is_separating(&self) -> bool {
        let at_work = self.job.as_ref().is_some_and(|job| {
            matches!(job.phase, JobPhase::Queued | JobPhase::Running | JobPhase::Paused)
        });
        self.queued || at_work && !self.half_done
    }

    /// Whether the job is done, every piece of it.
    pub fn is_separated(&self) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.phase, JobPhase::Done))
    }

    /// Stretches that were given up on, with the error of each, neighbours not merged.
    pub fn failed_pieces(&self) -> impl Iterator<Item = (&Range<u64>, &Arc<Error>)> {
        self.job.iter().flat_map(|job| {
            job.grid.iter().zip(&job.chunks).filter_map(|(range, chunk)| match chunk {
                ChunkState::Failed(error) => Some((range, error)),
                _ => None,
            })
        })
    }

    /// The rule of solo and mute for every lane.
    pub fn audibility(&self) -> Vec<Audibility> {
        audibility(&self.lanes.iter().map(|lane| lane.control).collect::<Vec<_>>())
    }
}

/// One stem's lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Which stem.
    pub stem: Stem,
    /// Fader, pan, solo, mute.
    pub control: LaneControl,
    /// Its level.
    pub meter: Meter,
    /// Its waveform where it is ready.
    pub wave: Option<Arc<Waveform>>,
    /// Columns read from its samples, for zooms finer than the waveform's.
    pub detail: Option<Arc<Detail>>,
}

/// Waveform columns read from a track itself, for a stretch somewhat wider than the view.
#[derive(Debug, PartialEq)]
pub struct Detail {
    /// Number unique in this run, for caching what was drawn.
    pub version: u64,
    /// The frames it divides evenly.
    pub frames: Range<f64>,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Detail {
    /// Replaces `out` by `count` columns over `frames`, merged from these; whether these cover
    /// `frames` at that fineness.
    pub fn columns(&self, frames: &Range<f64>, count: usize, out: &mut Vec<Column>) -> bool {
        let width = (self.frames.end - self.frames.start) / self.columns.len().max(1) as f64;
        let wanted = (frames.end - frames.start) / count.max(1) as f64;
        let covers = self.frames.start <= frames.start && frames.end <= self.frames.end;
        if !covers || width > 2.0 * wanted || self.columns.is_empty() {
            return false;
        }
        out.clear();
        out.extend((0..count).map(|index| {
            let start = (frames.start + index as f64 * wanted - self.frames.start) / width;
            let last = self.columns.len() - 1;
            let first = (start as usize).min(last);
            let end = ((start + wanted / width).ceil() as usize).clamp(first + 1, last + 1);
            let merged = &self.columns[first..end];
            let energy: f32 = merged.iter().map(|c| c.rms * c.rms).sum();
            Column {
                min: merged.iter().map(|c| c.min).fold(f32::INFINITY, f32::min),
                max: merged.iter().map(|c| c.max).fold(f32::NEG_INFINITY, f32::max),
                rms: (energy / merged.len() as f32).sqrt(),
            }
        }));
        true
    }
}

impl Lane {
    /// A lane with everything at its default.
    pub fn new(stem: Stem) -> Self {
        Self {
            stem,
            control: LaneControl::default(),
            meter: Meter::default(),
            wave: None,
            detail: None,
        }
    }
}

/// Name of a stem as shown.
pub fn stem_title(stem: Stem) -> &'static str {
    match stem {
        Stem::Drums => "Drums",
        Stem::Bass => "Bass",
        Stem::Other => "Other",
        Stem::Vocals => "Vocals",
        Stem::Guitar => "Guitar",
        Stem::Piano => "Piano",
    }
}

/// A level meter's picture: it falls 24 dB a second, the peak line stays 1.5 s, clipping stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meter {
    /// Level left and right in decibels below full scale.
    pub level_db: [f32; 2],
    /// Peak lines.
    pub hold_db: [f32; 2],
    /// Seconds each peak line has stayed.
    pub hold_secs: [f32; 2],
    /// Went over full scale since the cap was clicked.
    pub clipped: bool,
}

/// Bottom of every meter.
pub const METER_FLOOR_DB: f32 = -60.0;

impl Default for Meter {
    fn default() -> Self {
        Self {
            level_db: [METER_FLOOR_DB; 2],
            hold_db: [METER_FLOOR_DB; 2],
            hold_secs: [0.0; 2],
            clipped: false,
        }
    }
}

impl Meter {
    const FALL_DB_PER_SEC: f32 = 24.0;
    const HOLD_SECS: f32 = 1.5;

    /// Takes the largest samples of the last `dt_secs`, left and right, linear.
    pub fn feed(&mut self, peaks: [f32; 2], dt_secs: f32) {
        for (side, peak) in peaks.into_iter().enumerate() {
            let db = (20.0 * peak.max(1e-6).log10()).max(METER_FLOOR_DB);
            let fallen = self.level_db[side] - Self::FALL_DB_PER_SEC * dt_secs;
            self.level_db[side] = db.max(fallen).max(METER_FLOOR_DB);
            if db >= self.hold_db[side] {
                (self.hold_db[side], self.hold_secs[side]) = (db, 0.0);
            } else {
                self.hold_secs[side] += dt_secs;
                if self.hold_secs[side] > Self::HOLD_SECS {
                    let fallen = self.hold_db[side] - Self::FALL_DB_PER_SEC * dt_secs;
                    self.hold_db[side] = fallen.max(self.level_db[side]);
                }
            }
            self.clipped |= peak > 1.0;
        }
    }

    /// Whether nothing moves any more.
    pub fn is_still(&self) -> bool {
        self.level_db == [METER_FLOOR_DB; 2] && self.hold_db == [METER_FLOOR_DB; 2]
    }
}
