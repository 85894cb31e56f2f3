//! The only place where commands meet the engine, the sound device and dialogs.

pub mod chores;
mod computers;
pub mod covers;
pub mod detail;
pub mod edit;
mod exporting;
pub mod exports;
pub mod jobs;
mod listening;
mod models;
pub mod picker;
mod queue;
pub mod settings;
pub mod songs;
pub mod sound;
pub mod speech;
pub mod toasts;
pub mod undo;
mod upkeep;
pub mod view_range;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use engine::{Result, catalogue::Fetch, engine::Engine, job::JobPhase, remote::Hub, song::Wake};

use self::{
    chores::{Chores, Done},
    detail::DetailReader,
    exports::{Exports, Planner},
    jobs::Job,
    picker::{Pick, Picker},
    songs::OpenSong,
    sound::Sound,
    toasts::show_error,
    undo::UndoStack,
};
use crate::{
    command::Command,
    state::{CacheUse, Dialog, ExportForm, Listen, Opening, Settings, SongView, Standing, State},
};

/// While separating or decoding the window is drawn this often.
const WORK_INTERVAL: Duration = Duration::from_millis(100);

/// Everything behind the window: grants commands and keeps the [`State`] true.
pub struct Desk {
    ctx: egui::Context,
    engine: Arc<Engine>,
    sound: Sound,
    open: Vec<OpenSong>,
    undo: UndoStack,
    picker: Picker,
    chores: Chores,
    /// Other computers, once there was reason to look for them, and what has them wake the window.
    hub: Option<(Arc<Hub>, Box<dyn Send + Sync>)>,
    pairing: Option<computers::Pairing>,
    /// Name or port were changed, and the hub was not told yet.
    reach_changed: bool,
    /// Downloads of models, by name.
    fetches: BTreeMap<String, Fetch>,
    planner: Planner,
    exports: Exports,
    details: Option<DetailReader>,
    settings_path: Option<PathBuf>,
    saved: Settings,
    last_key: u64,
    /// Time of the last look, in seconds since the program's start.
    now_secs: f64,
    recent_read_secs: f64,
    /// Where the job of the song on screen was last told that the user listens.
    told_playhead: (u64, u64),
    picker_told: bool,
    quitting: bool,
}

impl Desk {
    /// A desk over `engine` and `sound`; wakes the window of `ctx`. Settings are kept at
    /// `settings_path`. Fills in what `state` can show before the first song.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn new(
        ctx: egui::Context,
        engine: Arc<Engine>,
        sound: Sound,
        settings_path: Option<PathBuf>,
        state: &mut State,
    ) -> Result<Self> {
        let waker = || {
            let ctx = ctx.clone();
            move || ctx.request_repaint()
        };
        let mut desk = Self {
            engine,
            sound,
            open: Vec::new(),
            undo: UndoStack::default(),
            picker: Picker::default(),
            chores: Chores::start(waker())?,
            hub: None,
            pairing: None,
            reach_changed: false,
            fetches: BTreeMap::new(),
            planner: Planner::start(waker())?,
            exports: Exports::default(),
            details: DetailReader::start(waker()),
            settings_path,
            saved: state.settings.clone(),
            last_key: 0,
            now_secs: 0.0,
            recent_read_secs: 0.0,
            told_playhead: (0, 0),
            picker_told: false,
            quitting: false,
            ctx,
        };
        state.models = models::cards(&desk.engine, state.settings.measured_cores);
        desk.measure_cores();
        desk.look_for_computers();
        if !state.models.iter().any(|card| card.info.name == state.settings.model) {
            // Chosen in another version, or never.
            state.settings.model = desk.engine.default_model().name;
        }
        state.free_memory_bytes = free_memory_bytes();
        for notice in desk.engine.notices() {
            show_error(state, next(&mut desk.last_key), notice);
        }
        desk.read_recent();
        Ok(desk)
    }

    /// Grants one command.
    pub fn apply(&mut self, state: &mut State, command: Command) {
        let shown = state.current;
        let asked = edit::apply(state, &mut self.undo, self.now_secs, command);
        if let Some(command) = asked {
            self.act(state, command);
        }
        if state.current != shown {
            state.transport.listen = Listen::Stems;
            self.read_recent();
        }
    }

    fn act(&mut self, state: &mut State, command: Command) {
        match command {
            Command::OpenFiles => self.pick(Pick::Songs),
            Command::OpenFolder => self.pick(Pick::SongFolder),
            Command::OpenPaths(paths) => self.open_paths(paths),
            Command::OpenPathField => {
                if let Some(path) = songs::typed_path(&state.path_field) {
                    state.path_field.clear();
                    self.open_paths(vec![path]);
                }
            }
            Command::OpenRecent(id) => {
                let known = state.recent.iter().find(|song| song.id == id);
                if let Some(song) = known {
                    let (path, half_done) = (song.path.clone(), song.standing);
                    self.open_song(state, path);
                    // "Continue" was pressed on it.
                    if matches!(half_done, Standing::HalfDone { .. })
                        && let Some((view, open)) = self.current(state)
                    {
                        open.job.enqueue(view);
                    }
                }
            }
            Command::ForgetRecent(id) => {
                let engine = Arc::clone(&self.engine);
                state.recent.retain(|song| song.id != id);
                self.chores.give(move || match engine.forget(id) {
                    Ok(()) => songs::recent(&engine),
                    Err(error) => Done::Failed(error),
                });
            }
            Command::CloseSong(key) => self.close(state, key),

            Command::ChooseModel(name) => self.choose_model(state, name),
            Command::FetchModel(name) => self.fetch_model(state, name),
            Command::CancelFetch(name) => self.cancel_fetch(state, &name),
            Command::RemoveModel(name) => self.remove_model(state, name),
            Command::Separate => self.separate(state),
            Command::PauseOrContinue => self.pause_or_continue(state),
            Command::CancelSeparation => {
                if let Some((view, open)) = self.current(state) {
                    open.job.cancel(view);
                }
            }
            Command::RetryFailed => {
                if let Some((_, open)) = self.current(state)
                    && let Some(handle) = open.job.handle()
                {
                    handle.retry_failed();
                }
            }

            Command::StartPairing => self.ask_hub(|hub| hub.start_pairing()),
            Command::MakeTicket => self.make_ticket(),
            Command::ConfirmComputer(device) => self.ask_hub(move |hub| hub.confirm(device)),
            Command::ForgetComputer(device) => self.ask_hub(move |hub| hub.forget(device)),
            Command::RenameComputer(device, name) => {
                self.ask_hub(move |hub| hub.rename(device, &name));
            }
            Command::PauseComputer { device, paused } => {
                self.ask_hub(move |hub| hub.set_paused(device, paused));
            }
            Command::TryComputerAgain(device) => self.ask_hub(move |hub| hub.try_again(device)),

            Command::PlayOrStop => self.sound.play_or_stop(state),
            Command::Seek(frame) => self.seek(state, |_| frame),
            Command::SeekBy(secs) => self.seek(state, |song| edit::seek_target(song, secs)),
            Command::SeekStart => self.seek(state, |_| 0),
            Command::SeekEnd => self.seek(state, |song| song.frames),

            Command::OpenExport => self.open_export(state),
            Command::EditExport(form) => {
                let plan = state.export.plan.take();
                state.export = ExportForm { plan, ..*form };
                self.ask_plan(state);
            }
            Command::PickExportFolder => {
                self.pick(Pick::ExportFolder(state.export.folder.clone()));
            }
            Command::StartExport => self.start_export(state),
            Command::CancelExport(key) => self.exports.cancel(key),

            Command::EditSettings(settings) => self.edit_settings(state, *settings),
            Command::PickCacheFolder => self.pick(Pick::CacheFolder),
            Command::ClearCache => {
                let engine = Arc::clone(&self.engine);
                self.chores.give(move || {
                    let (bytes, kept) = engine.clear_cache();
                    Done::Cleared(CacheUse { bytes, songs: kept })
                });
                self.count_cache();
                self.read_recent();
            }
            Command::LookForDevice => {
                self.sound.choose_device(state.settings.device.as_deref());
            }
            Command::PlayTestTone => {
                if let Err(error) = self.sound.test_tone() {
                    show_error(state, next(&mut self.last_key), &error);
                }
            }
            Command::ShowFolder(folder) => self.show_folder(folder),
            Command::Copy(text) => self.ctx.copy_text(text),
            Command::Quit if edit::must_ask_before_quitting(state) => {
                state.dialog = Some(Dialog::Quit);
            }
            Command::Quit | Command::QuitNow => self.quit(),
            other => tracing::debug!(?other, "needs a song on screen"),
        }
    }

    /// Keeps `state` true; call once before every frame. `dt_secs` is the time since the last one.
    pub fn poll(&mut self, state: &mut State, now_secs: f64, dt_secs: f32) {
        self.now_secs = now_secs;
        self.poll_songs(state);
        self.start_next(state);
        self.sound.poll(state, &self.open, dt_secs);
        if let Some(error) = self.sound.take_error() {
            show_error(state, next(&mut self.last_key), &error);
        }
        self.tell_playhead(state);
        self.poll_picker(state);
        self.poll_chores(state);
        self.poll_fetches(state);
        self.poll_computers(state, dt_secs);
        self.apply_reach(state);
        if let Some(answer) = self.planner.poll()
            && state.dialog == Some(Dialog::Export)
        {
            state.export.plan = Some(answer.map_err(|error| match error.advice {
                Some(advice) => format!("{}. {advice}", error.what),
                None => error.what,
            }));
        }
        self.exports.poll(state);
        if state.dialog == Some(Dialog::Quit) && self.exports.is_empty() {
            self.quit();
        }
        self.read_details(state);
        if let Some(left) = toasts::age(state, dt_secs) {
            self.ctx.request_repaint_after(Duration::from_secs_f32(left.max(0.05)));
        }
        self.save_settings(state);
        self.schedule_repaint(state);
    }

    /// Whether the window may close; if not, the user is being asked.
    pub fn may_close(&mut self, state: &mut State) -> bool {
        if self.quitting || !edit::must_ask_before_quitting(state) && self.exports.is_empty() {
            return true;
        }
        state.dialog = Some(Dialog::Quit);
        false
    }

    /// Ends everything in order; call once the window is gone.
    pub fn shut_down(&mut self, state: &State) {
        self.write_settings(&state.settings);
        self.exports.cancel_all();
        while !self.exports.is_empty() {
            let mut last = state.clone();
            self.exports.poll(&mut last);
            std::thread::sleep(Duration::from_millis(5));
        }
        for open in &mut self.open {
            open.song.cancel();
            open.job = Job::None;
        }
        self.open.clear();
    }

    fn wake(&self) -> Wake {
        let ctx = self.ctx.clone();
        // Work wakes the window often; it is drawn at its own pace.
        Arc::new(move || ctx.request_repaint_after(WORK_INTERVAL))
    }

    /// The song on screen on both sides.
    fn current<'a>(
        &'a mut self,
        state: &'a mut State,
    ) -> Option<(&'a mut SongView, &'a mut OpenSong)> {
        let view = state.song_mut()?;
        let open = self.open.iter_mut().find(|open| open.key == view.key)?;
        Some((view, open))
    }

    /// 60 frames a second while playing, 10 while working, otherwise only on input.
    fn schedule_repaint(&self, state: &State) {
        let works = |view: &SongView| {
            let running =
                view.job.as_ref().is_some_and(|job| matches!(job.phase, JobPhase::Running));
            running || view.queued || matches!(view.opening, Opening::Decoding)
        };
        if state.transport.playing || sound::meters_move(state) {
            self.ctx.request_repaint();
        } else if state.songs.iter().any(works) || !self.exports.is_empty() {
            self.ctx.request_repaint_after(WORK_INTERVAL);
        }
    }
}

fn next(key: &mut u64) -> u64 {
    *key += 1;
    *key
}

fn speech_say(announcement: &mut (u64, String), text: String) {
    announcement.0 += 1;
    announcement.1 = text;
}

/// GiB as bytes.
pub fn gib(gib: f32) -> u64 {
    (f64::from(gib.max(0.0)) * f64::from(1 << 30)) as u64
}

/// Memory that programs can still get, in bytes; known on Linux.
fn free_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
