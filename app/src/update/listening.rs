//! Where the user listens and looks: seeking, what is separated first, deep zooms.

use super::Desk;
use crate::state::{SongView, State};

impl Desk {
    pub(super) fn seek(&mut self, state: &mut State, target: impl FnOnce(&SongView) -> u64) {
        let Some(view) = state.song_mut() else { return };
        let frame = target(view);
        self.sound.seek(view, frame);
        self.told_playhead = (u64::MAX, 0);
    }

    /// Lets the job of the song on screen know where the user listens, so that it works there.
    pub(super) fn tell_playhead(&mut self, state: &mut State) {
        const STEP_FRAMES: u64 = 22_050;
        let told = self.told_playhead;
        let Some((view, open)) = self.current(state) else { return };
        let moved = view.playhead.abs_diff(told.1) >= STEP_FRAMES;
        if (told.0 != view.key || moved)
            && let Some(handle) = open.job.handle()
        {
            handle.set_playhead(view.playhead);
            self.told_playhead = (view.key, view.playhead);
        }
    }

    pub(super) fn read_details(&mut self, state: &mut State) {
        let Some(reader) = &mut self.details else { return };
        for read in reader.poll() {
            let Some(view) = state.songs.iter_mut().find(|view| view.key == read.song) else {
                continue;
            };
            match read.lane {
                None => view.detail = Some(read.detail),
                Some(lane) => {
                    if let Some(lane) = view.lanes.get_mut(lane) {
                        lane.detail = Some(read.detail);
                    }
                }
            }
        }
        let Some(view) = state.song() else { return };
        let Some(open) = self.open.iter().find(|open| open.key == view.key) else { return };
        reader.order(view, || {
            let mixture = open.song.mixture().map(|track| (None, track));
            let stems = open.job.handle().map(|handle| handle.stems().tracks.clone());
            let stems = stems.into_iter().flatten().enumerate();
            mixture.into_iter().chain(stems.map(|(lane, track)| (Some(lane), track))).collect()
        });
    }
}
