//! Everything a user can ask for, as one enum; and the table of those commands that have a name,
//! which feeds keys, buttons, the command palette and the list of keys.

use std::{ops::Range, path::PathBuf};

use egui::{Key, Modifiers};
use engine::{crew::DeviceId, remote::Chosen, song::SongId};

use crate::state::{Dialog, ExportForm, Listen, Region, Settings, State};

/// One wish of the user. Views push it, `update` grants it. Frames are at the work rate, lanes are
/// indices into the lanes of the song on screen.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "the variants say it; payloads are documented where it is not plain"
)]
pub enum Command {
    // Songs
    /// Show the system's file dialog.
    OpenFiles,
    /// Show the system's folder dialog.
    OpenFolder,
    /// Open files, and folders with all songs in them.
    OpenPaths(Vec<PathBuf>),
    /// The path field's text changed.
    EditPathField(String),
    /// Open what the path field says.
    OpenPathField,
    OpenRecent(SongId),
    /// Take a song off the list of recent songs; its cached stems go too.
    ForgetRecent(SongId),
    /// Put the song with this key on screen.
    ShowSong(u64),
    /// Close the song with this key; what is computed stays in the cache.
    CloseSong(u64),
    ShowStart,
    CloseOpenError,

    // Separation
    ChooseModel(String),
    /// Download the model of this name.
    FetchModel(String),
    CancelFetch(String),
    /// Delete a downloaded model's files.
    RemoveModel(String),
    /// Start, or continue a half-done or cancelled job.
    Separate,
    PauseOrContinue,
    CancelSeparation,
    RetryFailed,

    // Other computers
    /// Bring the side panel up, which shows them.
    ShowComputers,
    /// Let the pieces of the computer with this letter stand out.
    MarkComputer(Option<usize>),
    /// Which of them work on the songs started from now on.
    ChooseComputers(Chosen),
    /// A new code, after too many wrong ones.
    StartPairing,
    MakeTicket,
    /// The fingerprints were compared.
    ConfirmComputer(DeviceId),
    ForgetComputer(DeviceId),
    RenameComputer(DeviceId, String),
    PauseComputer {
        device: DeviceId,
        paused: bool,
    },
    /// Use one again that was set aside.
    TryComputerAgain(DeviceId),

    // Playing
    PlayOrStop,
    Seek(u64),
    /// Seconds forward, or back when negative.
    SeekBy(f64),
    SeekStart,
    SeekEnd,
    SetListen(Listen),
    ToggleListen,
    SetMasterDb(f32),
    ToggleLoop,
    LoopIn,
    LoopOut,
    /// Set both edges and switch the loop on.
    SetLoop(Range<u64>),
    ClearLoop,
    Select(Option<Range<u64>>),
    LoopSelection,

    // Mixer
    ToggleMute(usize),
    ToggleSolo(usize),
    SoloOnly(usize),
    SetGainDb {
        lane: usize,
        gain_db: f32,
    },
    SetPan {
        lane: usize,
        pan: f32,
    },
    AllOn,
    /// Forget that a lane clipped; `None` = the master meter.
    ClearClip(Option<usize>),
    Undo,

    // What is on screen
    ZoomIn,
    ZoomOut,
    /// Zoom by a factor (above 1 = closer) around a frame that stays where it is.
    ZoomAround {
        factor: f64,
        at_frame: f64,
    },
    ZoomSelection,
    ZoomFit,
    /// Show this stretch.
    SetView(Range<f64>),
    ToggleSidePanel,
    NextRegion,
    PreviousRegion,
    FocusRegion(Region),
    ScaleUp,
    ScaleDown,
    ScaleReset,

    // Dialogs
    OpenExport,
    OpenDialog(Dialog),
    CloseDialog,
    EditExport(Box<ExportForm>),
    PickExportFolder,
    StartExport,
    CancelExport(u64),
    EditSettings(Box<Settings>),
    PickCacheFolder,
    ClearCache,
    EditPaletteQuery(String),
    LookForDevice,
    /// A short tone through the sound device, to hear whether it works.
    PlayTestTone,
    DismissToast(u64),
    ShowFolder(PathBuf),
    Copy(String),
    Quit,
    /// Quit though exports are running; they are cancelled.
    QuitNow,
}

/// A key with its modifiers; modifiers match exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// Modifiers.
    pub modifiers: Modifiers,
    /// Key.
    pub key: Key,
}

impl Shortcut {
    /// As shown: "Ctrl+Shift+E", "?", "Space".
    pub fn label(self) -> String {
        let mut parts = Vec::new();
        if self.modifiers.command {
            parts.push(if cfg!(target_os = "macos") { "Cmd" } else { "Ctrl" });
        }
        if self.modifiers.alt {
            parts.push("Alt");
        }
        // A question mark needs Shift on most keyboards; naming it would only confuse.
        if self.modifiers.shift {
            parts.push("Shift");
        }
        parts.push(match self.key {
            Key::ArrowLeft => "Left",
            Key::ArrowRight => "Right",
            Key::Plus => "+",
            Key::Minus => "-",
            Key::Questionmark => "?",
            Key::Backslash => "\\",
            Key::Equals => "=",
            Key::Comma => ",",
            key => key.name(),
        });
        parts.join("+")
    }
}

/// Where a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Not while typing in a field.
    Window,
    /// Also while typing in a field, but not in a dialog.
    Everywhere,
    /// Whatever has the focus.
    Always,
    /// Not while typing, nor while a slider or list that wants the arrows has the focus.
    Arrows,
}

/// A named command.
#[derive(Debug)]
pub struct Entry {
    /// What it does.
    pub command: Command,
    /// Name in the palette and the list of keys; also what a screen reader says of its button.
    pub label: &'static str,
    /// Group in the list of keys.
    pub group: Group,
    /// Keys, most usual first.
    pub keys: &'static [Shortcut],
    /// Where the keys work.
    pub scope: Scope,
    /// Holding the key down repeats it.
    pub repeats: bool,
    /// Whether it can be done now.
    pub enabled: fn(&State) -> bool,
}

/// Groups of the list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Songs and files.
    Song,
    /// Play and position.
    Playing,
    /// Lanes.
    Mixer,
    /// Zoom and panels.
    View,
    /// Separation.
    Separation,
}

impl Group {
    /// All groups in the order shown.
    pub const ALL: [Self; 5] =
        [Self::Playing, Self::Mixer, Self::View, Self::Song, Self::Separation];

    /// Name as shown.
    pub fn title(self) -> &'static str {
        match self {
            Self::Song => "Song",
            Self::Playing => "Playing",
            Self::Mixer => "Mixer",
            Self::View => "View",
            Self::Separation => "Separation",
        }
    }
}

const PLAIN: Modifiers = Modifiers::NONE;
const SHIFT: Modifiers = Modifiers::SHIFT;
const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

const fn on(modifiers: Modifiers, key: Key) -> Shortcut {
    Shortcut { modifiers, key }
}

const fn entry(
    group: Group,
    label: &'static str,
    command: Command,
    keys: &'static [Shortcut],
    enabled: fn(&State) -> bool,
) -> Entry {
    Entry { command, label, group, keys, scope: Scope::Window, repeats: false, enabled }
}

impl Entry {
    const fn everywhere(mut self) -> Self {
        self.scope = Scope::Everywhere;
        self
    }

    const fn always(mut self) -> Self {
        self.scope = Scope::Always;
        self
    }

    const fn repeating(mut self) -> Self {
        self.repeats = true;
        self
    }

    const fn arrow(mut self) -> Self {
        self.scope = Scope::Arrows;
        self.repeats = true;
        self
    }

    /// The keys as shown, "Ctrl+E"; empty without.
    pub fn keys_label(&self) -> String {
        self.keys.first().map(|key| key.label()).unwrap_or_default()
    }
}

/// The named command that equals `command`.
pub fn entry_of(command: &Command) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.command == *command)
}

fn always(_: &State) -> bool {
    true
}

fn has_song(state: &State) -> bool {
    state.song().is_some_and(|song| song.frames > 0)
}

fn has_job(state: &State) -> bool {
    state.song().is_some_and(super::state::SongView::is_separating)
}

fn can_separate(state: &State) -> bool {
    use crate::state::Opening;
    state.song().is_some_and(|song| {
        matches!(song.opening, Opening::Ready) && !song.is_separating() && !song.is_separated()
    })
}

fn has_failed(state: &State) -> bool {
    state.song().is_some_and(|song| song.failed_pieces().next().is_some())
}

fn has_selection(state: &State) -> bool {
    state.song().is_some_and(|song| song.selection.is_some())
}

fn has_loop(state: &State) -> bool {
    state.song().is_some_and(|song| song.loop_range.is_some())
}

fn can_undo(state: &State) -> bool {
    state.can_undo
}

fn has_lane<const LANE: usize>(state: &State) -> bool {
    state.song().is_some_and(|song| LANE < song.lanes.len())
}

use Group::{Mixer, Playing, Separation, Song, View};

/// Every named command, in the order of the palette.
pub static TABLE: &[Entry] = &[
    entry(Playing, "Play or stop", Command::PlayOrStop, &[on(PLAIN, Key::Space)], has_song),
    entry(Playing, "Go to the start", Command::SeekStart, &[on(PLAIN, Key::Home)], has_song)
        .arrow(),
    entry(Playing, "Go to the end", Command::SeekEnd, &[on(PLAIN, Key::End)], has_song).arrow(),
    entry(Playing, "Back 1 second", Command::SeekBy(-1.0), &[on(PLAIN, Key::ArrowLeft)], has_song)
        .arrow(),
    entry(
        Playing,
        "Forward 1 second",
        Command::SeekBy(1.0),
        &[on(PLAIN, Key::ArrowRight)],
        has_song,
    )
    .arrow(),
    entry(
        Playing,
        "Back 15 seconds",
        Command::SeekBy(-15.0),
        &[on(SHIFT, Key::ArrowLeft)],
        has_song,
    )
    .arrow(),
    entry(
        Playing,
        "Forward 15 seconds",
        Command::SeekBy(15.0),
        &[on(SHIFT, Key::ArrowRight)],
        has_song,
    )
    .arrow(),
    entry(
        Playing,
        "Switch between stems and original",
        Command::ToggleListen,
        &[on(PLAIN, Key::A)],
        has_song,
    ),
    entry(Playing, "Loop on or off", Command::ToggleLoop, &[on(PLAIN, Key::L)], has_song),
    entry(Playing, "Loop starts here", Command::LoopIn, &[on(PLAIN, Key::I)], has_song),
    entry(Playing, "Loop ends here", Command::LoopOut, &[on(PLAIN, Key::O)], has_song),
    entry(Playing, "Loop the selection", Command::LoopSelection, &[], has_selection),
    entry(Playing, "Remove the loop", Command::ClearLoop, &[], has_loop),
    entry(Mixer, "Mute lane 1", Command::ToggleMute(0), &[on(PLAIN, Key::Num1)], has_lane::<0>),
    entry(Mixer, "Mute lane 2", Command::ToggleMute(1), &[on(PLAIN, Key::Num2)], has_lane::<1>),
    entry(Mixer, "Mute lane 3", Command::ToggleMute(2), &[on(PLAIN, Key::Num3)], has_lane::<2>),
    entry(Mixer, "Mute lane 4", Command::ToggleMute(3), &[on(PLAIN, Key::Num4)], has_lane::<3>),
    entry(Mixer, "Mute lane 5", Command::ToggleMute(4), &[on(PLAIN, Key::Num5)], has_lane::<4>),
    entry(Mixer, "Mute lane 6", Command::ToggleMute(5), &[on(PLAIN, Key::Num6)], has_lane::<5>),
    entry(Mixer, "Solo lane 1", Command::ToggleSolo(0), &[on(SHIFT, Key::Num1)], has_lane::<0>),
    entry(Mixer, "Solo lane 2", Command::ToggleSolo(1), &[on(SHIFT, Key::Num2)], has_lane::<1>),
    entry(Mixer, "Solo lane 3", Command::ToggleSolo(2), &[on(SHIFT, Key::Num3)], has_lane::<2>),
    entry(Mixer, "Solo lane 4", Command::ToggleSolo(3), &[on(SHIFT, Key::Num4)], has_lane::<3>),
    entry(Mixer, "Solo lane 5", Command::ToggleSolo(4), &[on(SHIFT, Key::Num5)], has_lane::<4>),
    entry(Mixer, "Solo lane 6", Command::ToggleSolo(5), &[on(SHIFT, Key::Num6)], has_lane::<5>),
    entry(Mixer, "All lanes on", Command::AllOn, &[on(PLAIN, Key::Num0)], has_lane::<0>),
    entry(Mixer, "Undo the last mixer change", Command::Undo, &[on(CTRL, Key::Z)], can_undo)
        .repeating(),
    entry(
        View,
        "Zoom in",
        Command::ZoomIn,
        &[on(PLAIN, Key::Plus), on(PLAIN, Key::Equals)],
        has_song,
    )
    .repeating(),
    entry(View, "Zoom out", Command::ZoomOut, &[on(PLAIN, Key::Minus)], has_song).repeating(),
    entry(
        View,
        "Zoom to the selection",
        Command::ZoomSelection,
        &[on(CTRL, Key::E)],
        has_selection,
    ),
    entry(View, "Show the whole song", Command::ZoomFit, &[on(CTRL, Key::F)], has_song),
    entry(
        View,
        "Show or hide the side panel",
        Command::ToggleSidePanel,
        &[on(CTRL, Key::Backslash)],
        has_song,
    ),
    entry(View, "Next region", Command::NextRegion, &[on(PLAIN, Key::F6)], always).everywhere(),
    entry(View, "Previous region", Command::PreviousRegion, &[on(SHIFT, Key::F6)], always)
        .everywhere(),
    entry(View, "Everything larger", Command::ScaleUp, &[on(CTRL_SHIFT, Key::Plus)], always)
        .always()
        .repeating(),
    entry(View, "Everything smaller", Command::ScaleDown, &[on(CTRL_SHIFT, Key::Minus)], always)
        .always()
        .repeating(),
    entry(View, "Usual size", Command::ScaleReset, &[on(CTRL_SHIFT, Key::Num0)], always).always(),
    entry(Song, "Open a song…", Command::OpenFiles, &[on(CTRL, Key::O)], always).everywhere(),
    entry(Song, "Open a folder…", Command::OpenFolder, &[on(CTRL_SHIFT, Key::O)], always)
        .everywhere(),
    entry(Song, "Export…", Command::OpenExport, &[on(CTRL_SHIFT, Key::E)], has_song).everywhere(),
    entry(Song, "All songs", Command::ShowStart, &[], always),
    entry(
        Song,
        "Settings…",
        Command::OpenDialog(Dialog::Settings),
        &[on(CTRL, Key::Comma)],
        always,
    )
    .everywhere(),
    entry(Song, "All commands…", Command::OpenDialog(Dialog::Palette), &[on(CTRL, Key::K)], always)
        .everywhere(),
    entry(
        Song,
        "All keys…",
        Command::OpenDialog(Dialog::Shortcuts),
        &[on(PLAIN, Key::Questionmark), on(PLAIN, Key::F1)],
        always,
    ),
    entry(Song, "Quit", Command::Quit, &[on(CTRL, Key::Q)], always).everywhere(),
    entry(Separation, "Separate this song", Command::Separate, &[], can_separate),
    entry(
        Separation,
        "Pause or continue separating",
        Command::PauseOrContinue,
        &[on(PLAIN, Key::P)],
        has_job,
    ),
    entry(Separation, "Cancel separating", Command::CancelSeparation, &[], has_job),
    entry(Separation, "Add a computer…", Command::OpenDialog(Dialog::AddComputer), &[], always),
    entry(Separation, "Try the failed pieces again", Command::RetryFailed, &[], has_failed),
    entry(Song, "Look for a sound device again", Command::LookForDevice, &[], always),
];
