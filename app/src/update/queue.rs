//! The queue of open songs: opening, closing, and whose separation runs.

use std::{path::PathBuf, sync::Arc};

use engine::job::JobPhase;

use super::{
    Desk,
    chores::{self, Done},
    covers, jobs, next,
    picker::Pick,
    songs::{self, Change},
    speech_say,
    toasts::Message,
};
use crate::state::{Opening, Standing, State};

impl Desk {
    pub(super) fn pick(&mut self, pick: Pick) {
        let ctx = self.ctx.clone();
        self.picker.open(pick, move || ctx.request_repaint());
        self.picker_told = false;
    }

    /// Opens files, and what is in folders, which takes a look at the disk first.
    pub(super) fn open_paths(&mut self, paths: Vec<PathBuf>) {
        self.chores.give(move || Done::Songs(chores::songs_in(paths)));
    }

    pub(super) fn open_song(&mut self, state: &mut State, path: PathBuf) {
        let (key, wake) = (next(&mut self.last_key), self.wake());
        let (key, new) = songs::open(state, &self.engine, key, &path, wake);
        self.open.extend(new);
        state.open_error = None;
        state.current = state.songs.iter().position(|song| song.key == key);
    }

    pub(super) fn open_songs(&mut self, state: &mut State, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            let text = "Stemhive opens MP3, WAV, FLAC, M4A, Ogg, Opus, AIFF and others.";
            Message::warning("No songs found there")
                .text(text)
                .show(state, next(&mut self.last_key));
            return;
        }
        let mut first = None;
        for path in paths {
            self.open_song(state, path);
            first = first.or(state.current);
        }
        // The first of several comes on screen, the others queue up.
        state.current = first;
    }

    pub(super) fn close(&mut self, state: &mut State, key: u64) {
        let Some(index) = state.songs.iter().position(|song| song.key == key) else { return };
        let shown = state.song().map(|song| song.key).filter(|shown| *shown != key);
        state.songs.remove(index);
        state.current = match shown {
            Some(shown) => state.songs.iter().position(|song| song.key == shown),
            None if state.songs.is_empty() => None,
            None => Some(index.min(state.songs.len() - 1)),
        };
        if let Some(at) = self.open.iter().position(|open| open.key == key) {
            let mut open = self.open.remove(at);
            open.song.cancel();
            open.job.close();
        }
        self.undo.forget(key);
        self.read_recent();
    }

    pub(super) fn poll_songs(&mut self, state: &mut State) {
        let mut failed = Vec::new();
        let mut news = Vec::new();
        let (wake, separate) = (self.wake(), state.settings.separate_on_open);
        let (model, chosen) =
            (state.model().map(|card| card.info.name.clone()), state.chosen.clone());
        for open in &mut self.open {
            let Some(view) = state.songs.iter_mut().find(|view| view.key == open.key) else {
                continue;
            };
            let was_unknown = view.info.is_none();
            let change = songs::look(view, &open.song);
            if was_unknown && let Some(cover) = view.info.as_ref().and_then(|i| i.cover.clone()) {
                let key = view.key;
                self.chores.give(move || {
                    covers::thumbnail(&cover).map_or(Done::Nothing, |small| Done::Cover(key, small))
                });
            }
            match change {
                Change::None => {}
                Change::BecameReady => {
                    for note in open.song.notes().iter() {
                        news.push(Message::warning(view.title()).text(note.clone()));
                    }
                    let known = view.id.and_then(|id| state.recent.iter().find(|s| s.id == id));
                    let stems_exist =
                        known.is_some_and(|song| song.standing != Standing::NotSeparated);
                    if separate {
                        open.job.enqueue(view);
                    } else if stems_exist && let Some(model) = &model {
                        // Shows what an earlier run left, and computes nothing.
                        let (engine, song) = (&self.engine, &open.song);
                        let options =
                            jobs::options(view, model.clone(), chosen.clone(), wake.clone());
                        open.job.start(view, engine, song, options, true);
                    }
                }
                Change::Failed => failed.push(open.key),
            }
            if let Some(Err(error)) = open.job.poll(view) {
                news.push(Message::error(&error));
            }
            if let Some(handle) = open.job.handle() {
                view.job = Some(handle.status());
            }
            if let Some(text) = open.told.news(view) {
                speech_say(&mut state.announcement, text);
            }
        }
        for message in news {
            message.show(state, next(&mut self.last_key));
        }
        for key in failed {
            let view = state.songs.iter().find(|view| view.key == key);
            state.open_error = view.and_then(songs::open_error).or(state.open_error.take());
            self.close(state, key);
            if let (Some(error), Some(_)) = (&state.open_error, state.song()) {
                // The start screen shows the card; over another song it is a message.
                let message = Message::error(&error.error);
                message.show(state, next(&mut self.last_key));
                state.open_error = None;
            }
        }
    }

    pub(super) fn read_recent(&mut self) {
        self.recent_read_secs = self.now_secs;
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || songs::recent(&engine));
    }

    pub(super) fn start_next(&mut self, state: &mut State) {
        let Some(key) = jobs::next(state, &self.open) else { return };
        let Some(model) = state.model().map(|card| card.info.name.clone()) else { return };
        let (wake, chosen) = (self.wake(), state.chosen.clone());
        let view = state.songs.iter_mut().find(|view| view.key == key);
        let open = self.open.iter_mut().find(|open| open.key == key);
        if let (Some(view), Some(open)) = (view, open) {
            let options = jobs::options(view, model, chosen, wake);
            open.job.start(view, &self.engine, &open.song, options, false);
        }
    }

    pub(super) fn separate(&mut self, state: &mut State) {
        let Some((view, open)) = self.current(state) else { return };
        match open.job.handle().map(|handle| (handle, handle.status().phase.clone())) {
            Some((handle, JobPhase::Paused | JobPhase::Failed(_))) => {
                handle.resume();
                view.half_done = false;
            }
            Some((_, JobPhase::Running | JobPhase::Queued | JobPhase::Done)) => {}
            Some((_, JobPhase::Cancelled)) | None => open.job.enqueue(view),
        }
    }

    pub(super) fn pause_or_continue(&mut self, state: &mut State) {
        let Some((_, open)) = self.current(state) else { return };
        match open.job.handle().map(|handle| (handle, handle.status().phase.clone())) {
            Some((handle, JobPhase::Running | JobPhase::Queued)) => handle.pause(),
            Some((handle, JobPhase::Paused)) => handle.resume(),
            _ => {}
        }
    }

    /// Chooses the model for new songs, and separates the song on screen with it.
    pub(super) fn choose_model(&mut self, state: &mut State, name: String) {
        state.settings.model.clone_from(&name);
        let Some((view, open)) = self.current(state) else { return };
        if view.job_model.as_ref() == Some(&name) || view.job.is_none() && !view.queued {
            return;
        }
        if matches!(view.opening, Opening::Ready) {
            open.job.cancel(view);
            open.job.enqueue(view);
        }
    }
}
