//! The system's file dialogs, on a thread of their own: one with a broken portal may never answer.

use std::{path::PathBuf, thread, time::Instant};

use crossbeam_channel::{Receiver, bounded};

/// What a dialog is to pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Songs to open.
    Songs,
    /// A folder of songs to open.
    SongFolder,
    /// Where an export goes; starts there.
    ExportFolder(Option<PathBuf>),
    /// Where the cache lies.
    CacheFolder,
}

/// What became of a dialog.
#[derive(Debug, PartialEq, Eq)]
pub enum Picked {
    /// These were chosen.
    Paths(Pick, Vec<PathBuf>),
    /// Nothing was.
    Nothing,
    /// It closed before anyone can have seen it: there is no dialog on this system.
    NoDialog,
}

/// A dialog that closes sooner than this was never there.
const SEEN_SECS: f32 = 0.4;

/// File extensions that are opened from folders and offered in dialogs; anything else can still
/// be opened by name.
pub const EXTENSIONS: [&str; 21] = [
    "mp3", "flac", "wav", "wave", "ogg", "oga", "opus", "m4a", "mp4", "aac", "alac", "aif", "aiff",
    "aifc", "caf", "mka", "mkv", "webm", "mp2", "mp1", "m4b",
];

/// At most one open dialog.
#[derive(Debug, Default)]
pub struct Picker {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    pick: Pick,
    since: Instant,
    answer: Receiver<Vec<PathBuf>>,
}

impl Picker {
    /// Opens a dialog; `wake` is called when it has answered. Whether there was none open.
    pub fn open(&mut self, pick: Pick, wake: impl Fn() + Send + 'static) -> bool {
        if self.open.is_some() {
            return false;
        }
        let (send, answer) = bounded(1);
        let asked = pick.clone();
        let spawned = thread::Builder::new().name("picker".into()).spawn(move || {
            // The window may have stopped listening; then nobody needs the answer.
            let _ = send.send(show(&asked));
            wake();
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the picker's thread cannot be started");
            return false;
        }
        self.open = Some(Open { pick, since: Instant::now(), answer });
        true
    }

    /// Seconds the dialog has been open.
    pub fn open_secs(&self) -> Option<f32> {
        self.open.as_ref().map(|open| open.since.elapsed().as_secs_f32())
    }

    /// Stops waiting for the open dialog; whatever it answers is ignored.
    pub fn give_up(&mut self) {
        self.open = None;
    }

    /// The answer, once there is one.
    pub fn poll(&mut self) -> Option<Picked> {
        let open = self.open.as_ref()?;
        let paths = match open.answer.try_recv() {
            Ok(paths) => paths,
            Err(crossbeam_channel::TryRecvError::Empty) => return None,
            // The dialog's code panicked.
            Err(crossbeam_channel::TryRecvError::Disconnected) => Vec::new(),
        };
        let secs = open.since.elapsed().as_secs_f32();
        let pick = self.open.take()?.pick;
        Some(match paths.is_empty() {
            false => Picked::Paths(pick, paths),
            true if secs < SEEN_SECS => Picked::NoDialog,
            true => Picked::Nothing,
        })
    }
}

fn show(pick: &Pick) -> Vec<PathBuf> {
    let dialog = rfd::FileDialog::new();
    match pick {
        Pick::Songs => dialog
            .set_title("Open songs")
            .add_filter("Songs", &EXTENSIONS)
            .add_filter("All files", &["*"])
            .pick_files()
            .unwrap_or_default(),
        Pick::SongFolder => {
            dialog.set_title("Open a folder of songs").pick_folders().unwrap_or_default()
        }
        Pick::ExportFolder(start) => {
            let dialog = match start {
                Some(start) => dialog.set_directory(start),
                None => dialog,
            };
            dialog.set_title("Export to").pick_folder().into_iter().collect()
        }
        Pick::CacheFolder => {
            dialog.set_title("Folder of the cache").pick_folder().into_iter().collect()
        }
    }
}
