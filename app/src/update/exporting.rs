//! The export dialog and what it starts.

use std::sync::Arc;

use super::{
    Desk,
    exports::{self, Material},
    next,
    toasts::Message,
};
use crate::state::{Dialog, ExportForm, ExportPart, Opening, State};

impl Desk {
    /// What can be exported of the song on screen.
    pub(super) fn material(&self, state: &State) -> Option<Material> {
        let view = state.song()?;
        let open = self.open.iter().find(|open| open.key == view.key)?;
        let stems = open.job.handle().map(|handle| handle.stems().clone());
        let (tracks, ready) = match &stems {
            Some(stems) => {
                let named = stems.stems.iter().copied().zip(stems.tracks.iter().cloned());
                (named.collect(), stems.ready())
            }
            None => (Vec::new(), Arc::default()),
        };
        Some(Material {
            info: open.song.info()?,
            model: view.job_model.clone().unwrap_or_default(),
            mixture: open.song.mixture()?,
            lanes: view.lanes.iter().take(tracks.len()).map(|lane| lane.control).collect(),
            stems: tracks,
            ready,
            frames: view.frames,
            playhead: view.playhead,
            loop_range: view.loop_range.clone(),
            selection: view.selection.clone(),
        })
    }

    pub(super) fn open_export(&mut self, state: &mut State) {
        let Some(view) = state.song() else { return };
        if !matches!(view.opening, Opening::Ready) {
            Message::warning("The song is still being read")
                .text("It can be exported as soon as all of it has arrived.")
                .show(state, next(&mut self.last_key));
            return;
        }
        let chosen = &state.settings.export;
        let title = view.title();
        // A folder chosen earlier holds for other songs too: each gets its own inside.
        let folder = match &chosen.folder {
            Some(folder) => folder.clone(),
            None => exports::default_folder(&title),
        };
        let stems = view.lanes.iter().map(|lane| lane.stem);
        state.export = ExportForm {
            stems: stems.filter(|stem| chosen.stems.contains(stem)).collect(),
            folder: Some(folder),
            part: ExportPart::Whole,
            plan: None,
            ..chosen.clone()
        };
        state.dialog = Some(Dialog::Export);
        self.ask_plan(state);
    }

    pub(super) fn ask_plan(&self, state: &State) {
        if let Some(material) = self.material(state) {
            self.planner.ask(&material, &state.export);
        }
    }

    pub(super) fn start_export(&mut self, state: &mut State) {
        let Some(material) = self.material(state) else { return };
        let request = material.request(&state.export);
        let key = next(&mut self.last_key);
        let wake = self.wake();
        self.exports.start(state, key, request, wake);
        state.dialog = None;
        // The form comes back the next time, without what belongs to this song.
        let folder = state.settings.export.folder.clone();
        state.settings.export = ExportForm { plan: None, folder, ..state.export.clone() };
    }
}
