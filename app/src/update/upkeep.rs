//! Settings, the cache, file dialogs and file managers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    Desk,
    chores::Done,
    gib, next,
    picker::{Pick, Picked},
    settings,
    toasts::{Message, show_error},
};
use crate::{
    state::{CacheUse, Dialog, Settings, SongView, State},
    units,
};

/// Seconds without an answer after which the user is told of other ways than the file dialog.
const PICKER_PATIENCE_SECS: f32 = 10.0;

/// How often the list of recent songs is read again while songs are being worked on.
const RECENT_INTERVAL_SECS: f64 = 5.0;

/// How other computers find this one.
fn reach(settings: &Settings) -> (Option<String>, u16, bool) {
    let name = settings.computer_name.trim();
    let name = (!name.is_empty()).then(|| name.to_owned());
    (name, settings.worker_port, settings.announce)
}

impl Desk {
    pub(super) fn edit_settings(&mut self, state: &mut State, settings: Settings) {
        let old = std::mem::replace(&mut state.settings, settings);
        let new = &state.settings;
        if old.device != new.device {
            self.sound.choose_device(new.device.as_deref());
        }
        if old.cache_cap_gib != new.cache_cap_gib {
            self.engine.set_cache_cap_bytes(gib(new.cache_cap_gib));
        }
        let at_start = |settings: &Settings| {
            let Settings { threads, cache_dir, .. } = settings.clone();
            (threads, cache_dir)
        };
        self.reach_changed |= reach(&old) != reach(new);
        if at_start(&old) != at_start(new) {
            self.tell_next_start(state);
        }
    }

    /// Has other computers see the name and come to the port that were chosen. Not while they are
    /// being typed.
    pub(super) fn apply_reach(&mut self, state: &State) {
        if !self.reach_changed || state.dialog == Some(Dialog::Settings) {
            return;
        }
        self.reach_changed = false;
        let engine = Arc::clone(&self.engine);
        let (name, port, announce) = reach(&state.settings);
        self.chores.give(move || match engine.set_reach(name, port, announce) {
            Ok(()) => Done::Nothing,
            Err(error) => Done::Failed(error),
        });
    }

    pub(super) fn tell_next_start(&mut self, state: &mut State) {
        Message::warning("From the next start on")
            .text("This changes when Stemhive is started again.")
            .show(state, next(&mut self.last_key));
    }

    pub(super) fn count_cache(&self) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || {
            let usage = engine.cache_usage();
            Done::CacheUse(CacheUse { bytes: usage.total_bytes(), songs: usage.songs })
        });
    }

    pub(super) fn poll_picker(&mut self, state: &mut State) {
        state.picker_open_secs = self.picker.open_secs();
        if state.picker_open_secs.is_some_and(|secs| secs > PICKER_PATIENCE_SECS)
            && !self.picker_told
        {
            self.picker_told = true;
            let text = "Drop songs into this window instead, or type a path on the start screen.";
            Message::warning("No file dialog in sight?")
                .text(text)
                .show(state, next(&mut self.last_key));
        }
        match self.picker.poll() {
            None | Some(Picked::Nothing) => {}
            Some(Picked::NoDialog) => {
                let text = "Drop songs into this window, or type a path on the start screen.";
                Message::warning("There is no file dialog on this system")
                    .text(text)
                    .show(state, next(&mut self.last_key));
            }
            Some(Picked::Paths(Pick::Songs | Pick::SongFolder, paths)) => self.open_paths(paths),
            Some(Picked::Paths(Pick::ExportFolder(_), paths)) => {
                let folder = paths.into_iter().next();
                state.settings.export.folder.clone_from(&folder);
                state.export.folder = folder;
                self.ask_plan(state);
            }
            Some(Picked::Paths(Pick::CacheFolder, paths)) => {
                state.settings.cache_dir = paths.into_iter().next();
                self.tell_next_start(state);
            }
        }
        if state.picker_open_secs.is_some() {
            self.ctx.request_repaint_after(Duration::from_millis(500));
        }
    }

    pub(super) fn poll_chores(&mut self, state: &mut State) {
        for done in self.chores.poll() {
            match done {
                Done::Nothing => {}
                Done::Recent(recent) => state.recent = recent,
                Done::CacheUse(in_use) => state.cache_use = Some(in_use),
                Done::Cleared(freed) => {
                    let kept = match freed.songs {
                        0 => String::new(),
                        n => format!(" {} in use stayed.", units::count(n, "folder")),
                    };
                    Message::good("Cache cleared")
                        .text(format!("{} freed.{kept}", units::bytes(freed.bytes)))
                        .show(state, next(&mut self.last_key));
                }
                Done::Cover(key, cover) => {
                    if let Some(song) = state.songs.iter_mut().find(|song| song.key == key) {
                        song.cover = Some(Arc::new(cover));
                    }
                }
                Done::Models(cards) => self.show_models(state, cards),
                Done::Cores(cores, threads) => self.note_cores(state, cores, threads),
                Done::Fetching(name, fetch) => {
                    self.fetches.insert(name, fetch);
                }
                Done::Hub(hub) => self.take_hub(hub),
                Done::Ticket(ticket) => state.pairing.ticket = Some(ticket),
                Done::Songs(paths) => self.open_songs(state, paths),
                Done::Failed(error) => show_error(state, next(&mut self.last_key), &error),
            }
        }
        let on_start = state.current.is_none();
        let at_work = state.songs.iter().any(SongView::is_separating);
        if on_start && at_work && self.now_secs - self.recent_read_secs > RECENT_INTERVAL_SECS {
            self.read_recent();
        }
        if state.dialog == Some(Dialog::Settings) && state.cache_use.is_none() {
            state.cache_use = Some(CacheUse::default());
            self.count_cache();
        } else if state.dialog.is_none() {
            // Counted anew the next time the settings open.
            state.cache_use = None;
        }
    }

    pub(super) fn show_folder(&self, folder: PathBuf) {
        let program = if cfg!(target_os = "macos") {
            "open"
        } else if cfg!(windows) {
            "explorer"
        } else {
            "xdg-open"
        };
        self.chores.give(move || {
            let started = std::process::Command::new(program)
                .arg(&folder)
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn();
            match started {
                Ok(mut child) => {
                    // Someone must take its exit status; the file manager itself lives on.
                    let _ = std::thread::Builder::new()
                        .name("file manager".into())
                        .spawn(move || child.wait());
                    Done::Nothing
                }
                Err(cause) => Done::Failed(
                    engine::Error::io("open a file manager for", &folder, cause)
                        .advice("Open the folder by hand"),
                ),
            }
        });
    }

    pub(super) fn save_settings(&mut self, state: &State) {
        if state.settings == self.saved || self.ctx.egui_is_using_pointer() {
            return;
        }
        self.saved = state.settings.clone();
        let (Some(path), settings) = (self.settings_path.clone(), self.saved.clone()) else {
            return;
        };
        self.chores.give(move || match settings::save(&path, &settings) {
            Ok(()) => Done::Nothing,
            Err(error) => Done::Failed(error.kept("The change holds until Stemhive is closed")),
        });
    }

    pub(super) fn write_settings(&mut self, settings: &Settings) {
        if *settings != self.saved
            && let Some(path) = &self.settings_path
            && let Err(error) = settings::save(path, settings)
        {
            tracing::warn!(%error, "the settings are not saved");
        }
    }

    pub(super) fn quit(&mut self) {
        self.quitting = true;
        self.ctx.send_viewport_cmd(egui::ViewportCommand::Close);
    }
}
