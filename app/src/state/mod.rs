//! Everything the window shows, as plain data. Views read it and push [`crate::command::Command`]s;
//! only `update` changes it.

pub mod computers;
mod export;
mod settings;
mod song;

use std::{path::PathBuf, sync::Arc};

pub use engine::playback::Listen;
use engine::{
    Error,
    audio::WORK_RATE_HZ,
    crew::DeviceId,
    model::ModelInfo,
    remote::{Chosen, HubStatus},
    song::SongId,
};

pub use self::{
    computers::PairingView,
    export::{
        ClipChoice, ExportBits, ExportForm, ExportFormat, ExportPart, ExportPlan, ExportRun,
        PlannedFile,
    },
    settings::{CacheUse, Settings, ThemeChoice},
    song::{Detail, Lane, METER_FLOOR_DB, Meter, Opening, SongView, stem_title},
};

/// All the window knows.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Open songs in the order they were opened; they are separated in this order.
    pub songs: Vec<SongView>,
    /// Index into [`Self::songs`] of the one on screen; `None` shows the start screen.
    pub current: Option<usize>,
    /// Models to choose from.
    pub models: Vec<ModelCard>,
    /// Songs opened before, newest first.
    pub recent: Vec<RecentSong>,
    /// Everything about other computers.
    pub computers: Arc<HubStatus>,
    /// Which of them work on the songs started from now on.
    pub chosen: Chosen,
    /// Letter index of the computer whose pieces stand out.
    pub marked_computer: Option<usize>,
    /// The dialog that adds a computer.
    pub pairing: PairingView,
    /// Memory this computer could still give, in bytes, where known.
    pub free_memory_bytes: Option<u64>,
    /// What the user chose, kept between runs.
    pub settings: Settings,
    /// Sound: playing, position, device, meters.
    pub transport: Transport,
    /// Messages at the bottom right, oldest first.
    pub toasts: Vec<Toast>,
    /// The dialog on top, if any.
    pub dialog: Option<Dialog>,
    /// The export form, filled in when its dialog opens.
    pub export: ExportForm,
    /// Running exports.
    pub exports: Vec<ExportRun>,
    /// The path field of the start screen.
    pub path_field: String,
    /// What was typed in the command palette.
    pub palette_query: String,
    /// A file dialog is open on its own thread, since this many seconds.
    pub picker_open_secs: Option<f32>,
    /// A song that could not be opened; shown as a card until closed.
    pub open_error: Option<OpenError>,
    /// Bytes the cache holds and may hold, once counted.
    pub cache_use: Option<CacheUse>,
    /// The window is so narrow that the side panel would lie over the lanes; noted by the app.
    pub narrow: bool,
    /// The side panel lies over the lanes of a narrow window; it starts hidden there.
    pub side_panel_over: bool,
    /// The region that has the keyboard focus, noted by the app after every frame.
    pub focused_region: Option<Region>,
    /// The region that F6 asked to focus; views hand over the focus, the app clears it.
    pub focus_request: Option<Region>,
    /// Newest message for screen readers; the number changes with every message.
    pub announcement: (u64, String),
    /// Whether a mixer change can be undone.
    pub can_undo: bool,
}

impl State {
    /// The song on screen.
    pub fn song(&self) -> Option<&SongView> {
        self.songs.get(self.current?)
    }

    /// The song on screen, to change.
    pub fn song_mut(&mut self) -> Option<&mut SongView> {
        self.songs.get_mut(self.current?)
    }

    /// Whether the side panel is shown, beside the lanes or over them.
    pub fn side_panel_shown(&self) -> bool {
        if self.narrow { self.side_panel_over } else { self.settings.side_panel }
    }

    /// The model new songs are separated with.
    pub fn model(&self) -> Option<&ModelCard> {
        self.models
            .iter()
            .find(|card| card.info.name == self.settings.model && card.is_here())
            .or_else(|| self.models.first())
    }
}

/// Position in frames as seconds at the work rate.
pub fn frame_secs(frame: u64) -> f64 {
    frame as f64 / f64::from(WORK_RATE_HZ)
}

/// Seconds as frames at the work rate.
pub fn secs_frame(secs: f64) -> u64 {
    (secs.max(0.0) * f64::from(WORK_RATE_HZ)).round() as u64
}

/// Sound.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// Whether the playhead runs.
    pub playing: bool,
    /// Stems or the original.
    pub listen: Listen,
    /// Master volume in decibels.
    pub master_db: f32,
    /// Master level.
    pub meter: Meter,
    /// The sound device.
    pub device: Device,
    /// Names of the devices there are, once listed.
    pub devices: Vec<String>,
}

/// The sound device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Device {
    /// Not opened yet.
    #[default]
    Unknown,
    /// Open.
    Open {
        /// Its name.
        name: String,
    },
    /// There is none, or it cannot be opened; the playhead runs silently.
    Missing {
        /// Why, for "Show details".
        reason: String,
    },
}

/// A model to choose, with what it costs here.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// The model.
    pub info: ModelInfo,
    /// Expected seconds for a song of four minutes on this computer.
    pub secs_for_4_min: f32,
    /// Working memory with the threads chosen, in bytes.
    pub memory_bytes: u64,
    /// How good its stems are, in plain words; empty where the description says it.
    pub quality: String,
    /// Whether it is here, and how to get it.
    pub supply: Supply,
}

impl ModelCard {
    /// Whether songs can be separated with it now.
    pub fn is_here(&self) -> bool {
        matches!(self.supply, Supply::BuiltIn | Supply::Installed { .. })
    }
}

/// Where a model's weights are.
#[derive(Debug, Clone, PartialEq)]
pub enum Supply {
    /// In the program.
    BuiltIn,
    /// On this computer.
    Installed {
        /// Bytes on disk.
        bytes: u64,
    },
    /// To be downloaded.
    Missing {
        /// Bytes still to come.
        bytes: u64,
    },
    /// Being downloaded.
    Coming {
        /// Bytes here.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A file is there and wrong.
    Damaged,
}

/// A song of the library.
#[derive(Debug, Clone)]
pub struct RecentSong {
    /// Content id.
    pub id: SongId,
    /// Where its file was last seen.
    pub path: PathBuf,
    /// Title.
    pub title: String,
    /// Artist, where the tags name one.
    pub artist: Option<String>,
    /// Length in seconds.
    pub duration_secs: f64,
    /// What became of it.
    pub standing: Standing,
    /// Peaks 0.0..=1.0 for the small picture, left to right.
    pub peaks: Arc<[f32]>,
}

/// How far a song of the library is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// No stems yet.
    NotSeparated,
    /// Part of the pieces are done.
    HalfDone {
        /// Share done, 0.0..=1.0.
        fraction: f32,
    },
    /// All stems are there.
    Separated {
        /// How many.
        stems: usize,
    },
}

/// A dialog.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialog {
    /// Export.
    Export,
    /// Settings.
    Settings,
    /// All keys.
    Shortcuts,
    /// All commands, searchable (Ctrl+K).
    Palette,
    /// Add a computer.
    AddComputer,
    /// A computer was paired: compare its fingerprint.
    Paired(DeviceId),
    /// Everything about a paired computer.
    Computer(DeviceId),
    /// Exports are running and the user wants to quit.
    Quit,
    /// Details of an error, copyable.
    Details {
        /// What happened.
        title: String,
        /// The chain of causes, one a line.
        lines: Vec<String>,
    },
}

/// A song that could not be opened.
#[derive(Debug, Clone)]
pub struct OpenError {
    /// File name.
    pub name: String,
    /// Why.
    pub error: Arc<Error>,
}

/// A message at the bottom right.
#[derive(Debug, Clone)]
pub struct Toast {
    /// Number unique in this run.
    pub key: u64,
    /// Good news, a warning or an error.
    pub tone: Tone,
    /// What happened.
    pub title: String,
    /// More about it.
    pub text: Option<String>,
    /// What was kept.
    pub kept: Option<String>,
    /// Buttons: label and what they do.
    pub buttons: Vec<(String, crate::command::Command)>,
    /// Seconds until it leaves; `None` stays until dismissed.
    pub left_secs: Option<f32>,
}

/// Tone of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something is done.
    Good,
    /// Something to know.
    Warning,
    /// Something failed.
    Error,
}

/// Parts of the song screen that F6 jumps between, in focus order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// Title, model, export.
    TopBar,
    /// Progress, pause, cancel.
    Progress,
    /// Whole song.
    Overview,
    /// Time ruler.
    Ruler,
    /// Stem lanes.
    Lanes,
    /// Side panel.
    SidePanel,
    /// Play and volume.
    Transport,
}

impl Region {
    /// All regions in focus order.
    pub const ALL: [Self; 7] = [
        Self::TopBar,
        Self::Progress,
        Self::Overview,
        Self::Ruler,
        Self::Lanes,
        Self::SidePanel,
        Self::Transport,
    ];
}
