//! Commands that only change what is on screen or in the mixer. Sound and engine are told
//! afterwards, by comparing.

use std::ops::Range;

use engine::mix::{LaneControl, MAX_GAIN_DB, MIN_GAIN_DB};

use super::{
    undo::{Knob, UndoStack},
    view_range,
};
use crate::{
    command::Command,
    state::{Dialog, Listen, Meter, Opening, Region, SongView, State, secs_frame},
};

/// Shortest loop or selection, in frames: a hundredth of a second.
const MIN_RANGE_FRAMES: u64 = 441;

/// Zoom of one key press.
const ZOOM_STEP: f64 = 1.5;

/// Grants `command` if it is one of those this room knows; else gives it back.
pub fn apply(
    state: &mut State,
    undo: &mut UndoStack,
    now_secs: f64,
    command: Command,
) -> Option<Command> {
    match command {
        Command::EditPathField(text) => state.path_field = text,
        Command::EditPaletteQuery(text) => state.palette_query = text,
        Command::ShowSong(key) => {
            state.current = state.songs.iter().position(|song| song.key == key).or(state.current);
        }
        Command::ShowStart => state.current = None,
        Command::CloseOpenError => state.open_error = None,
        Command::ToggleSidePanel if state.narrow => state.side_panel_over ^= true,
        Command::ToggleSidePanel => state.settings.side_panel ^= true,
        Command::ShowComputers => {
            if state.narrow {
                state.side_panel_over = true;
            } else {
                state.settings.side_panel = true;
            }
            state.focus_request = Some(Region::SidePanel);
        }
        Command::MarkComputer(letter) => state.marked_computer = letter,
        Command::ChooseComputers(chosen) => state.chosen = chosen,
        Command::NextRegion => state.focus_request = Some(region_after(state, 1)),
        Command::PreviousRegion => state.focus_request = Some(region_after(state, -1)),
        Command::FocusRegion(region) => state.focus_request = Some(region),
        Command::ScaleUp => scale(state, 0.1),
        Command::ScaleDown => scale(state, -0.1),
        Command::ScaleReset => state.settings.ui_scale = 1.0,
        Command::OpenDialog(dialog) => {
            state.palette_query.clear();
            state.dialog = Some(dialog);
        }
        Command::CloseDialog => state.dialog = None,
        Command::DismissToast(key) => state.toasts.retain(|toast| toast.key != key),
        Command::SetListen(listen) => state.transport.listen = listen,
        Command::ToggleListen => {
            state.transport.listen = match state.transport.listen {
                Listen::Stems => Listen::Original,
                Listen::Original => Listen::Stems,
            };
        }
        Command::SetMasterDb(db) => {
            state.transport.master_db = clean(db, MIN_GAIN_DB, MAX_GAIN_DB);
        }
        Command::ClearClip(None) => state.transport.meter.clipped = false,
        other => {
            let Some(song) = state.song_mut() else { return Some(other) };
            let unknown = edit_song(song, undo, now_secs, other);
            state.can_undo = state.song().is_some_and(|song| undo.can_undo(song.key));
            return unknown;
        }
    }
    state.can_undo = state.song().is_some_and(|song| undo.can_undo(song.key));
    None
}

fn edit_song(
    song: &mut SongView,
    undo: &mut UndoStack,
    now_secs: f64,
    command: Command,
) -> Option<Command> {
    let mut remember = |song: &SongView, knob| {
        undo.remember(song.key, knob, now_secs, song.lanes.iter().map(|l| l.control).collect());
    };
    match command {
        Command::ToggleMute(lane) if lane < song.lanes.len() => {
            remember(song, Knob::Switch);
            song.lanes[lane].control.mute ^= true;
        }
        Command::ToggleSolo(lane) if lane < song.lanes.len() => {
            remember(song, Knob::Switch);
            song.lanes[lane].control.solo ^= true;
        }
        Command::SoloOnly(lane) if lane < song.lanes.len() => {
            remember(song, Knob::Switch);
            for (index, other) in song.lanes.iter_mut().enumerate() {
                other.control.solo = index == lane;
            }
        }
        Command::SetGainDb { lane, gain_db } if lane < song.lanes.len() => {
            remember(song, Knob::Gain(lane));
            song.lanes[lane].control.gain_db = clean(gain_db, MIN_GAIN_DB, MAX_GAIN_DB);
        }
        Command::SetPan { lane, pan } if lane < song.lanes.len() => {
            remember(song, Knob::Pan(lane));
            song.lanes[lane].control.pan = clean(pan, -1.0, 1.0);
        }
        Command::AllOn => {
            remember(song, Knob::Switch);
            for lane in &mut song.lanes {
                let LaneControl { mute, solo, .. } = &mut lane.control;
                (*mute, *solo) = (false, false);
            }
        }
        Command::ClearClip(Some(lane)) => {
            if let Some(Meter { clipped, .. }) = song.lanes.get_mut(lane).map(|l| &mut l.meter) {
                *clipped = false;
            }
        }
        Command::Undo => {
            if let Some(before) = undo.undo(song.key) {
                for (lane, control) in song.lanes.iter_mut().zip(before) {
                    lane.control = control;
                }
            }
        }

        Command::ToggleLoop => {
            // The first press without edges loops the selection, else what is on screen.
            if song.loop_range.is_none() {
                song.loop_range = song.selection.clone().or_else(|| on_screen(song));
            }
            song.loop_on = !song.loop_on && song.loop_range.is_some();
        }
        Command::LoopIn => {
            let end = song.loop_range.as_ref().map_or(song.frames, |range| range.end);
            let end = if end > song.playhead { end } else { song.frames };
            set_loop(song, song.playhead..end);
        }
        Command::LoopOut => {
            let start = song.loop_range.as_ref().map_or(0, |range| range.start);
            let start = if start < song.playhead { start } else { 0 };
            set_loop(song, start..song.playhead);
        }
        Command::SetLoop(range) => set_loop(song, range),
        Command::LoopSelection => {
            if let Some(range) = song.selection.clone() {
                set_loop(song, range);
            }
        }
        Command::ClearLoop => (song.loop_range, song.loop_on) = (None, false),
        Command::Select(range) => {
            song.selection = range.and_then(|range| inside(range, song.frames));
        }

        Command::ZoomIn => zoom(song, ZOOM_STEP),
        Command::ZoomOut => zoom(song, 1.0 / ZOOM_STEP),
        Command::ZoomAround { factor, at_frame } => {
            song.view = view_range::zoom(&song.view, factor, at_frame, song.frames);
        }
        Command::ZoomSelection => {
            if let Some(range) = &song.selection {
                song.view = view_range::zoom_to(range, song.frames);
            }
        }
        Command::ZoomFit => song.view = view_range::fit(song.frames),
        Command::SetView(view) => song.view = view_range::clamp(view, song.frames),
        other => return Some(other),
    }
    None
}

fn zoom(song: &mut SongView, factor: f64) {
    let anchor = view_range::anchor(&song.view, song.playhead);
    song.view = view_range::zoom(&song.view, factor, anchor, song.frames);
}

fn on_screen(song: &SongView) -> Option<Range<u64>> {
    inside(song.view.start as u64..song.view.end as u64, song.frames)
}

fn set_loop(song: &mut SongView, range: Range<u64>) {
    if let Some(range) = inside(range, song.frames) {
        (song.loop_range, song.loop_on) = (Some(range), true);
    }
}

/// `range` cut to the song; nothing if too little is left to loop or select.
fn inside(range: Range<u64>, frames: u64) -> Option<Range<u64>> {
    let range = range.start.min(frames)..range.end.min(frames);
    (range.end >= range.start + MIN_RANGE_FRAMES).then_some(range)
}

/// The frame that seeking by `secs` leads to.
pub fn seek_target(song: &SongView, secs: f64) -> u64 {
    let step = secs_frame(secs.abs());
    let target = if secs < 0.0 {
        song.playhead.saturating_sub(step)
    } else {
        song.playhead.saturating_add(step)
    };
    target.min(song.frames)
}

fn clean(value: f32, min: f32, max: f32) -> f32 {
    if value.is_finite() { value.clamp(min, max) } else { 0.0 }
}

fn scale(state: &mut State, by: f32) {
    let scaled = ((state.settings.ui_scale + by) * 10.0).round() / 10.0;
    state.settings.ui_scale = scaled.clamp(0.8, 2.0);
}

/// The region `step` after the focused one, of those on screen.
fn region_after(state: &State, step: isize) -> Region {
    let shown: Vec<Region> =
        Region::ALL.into_iter().filter(|region| is_shown(state, *region)).collect();
    // Pressed twice within a frame it goes two regions on.
    let now = state.focus_request.or(state.focused_region);
    let now = now.and_then(|now| shown.iter().position(|r| *r == now));
    let next = match now {
        Some(index) => (index as isize + step).rem_euclid(shown.len() as isize) as usize,
        None if step < 0 => shown.len() - 1,
        None => 0,
    };
    shown[next]
}

fn is_shown(state: &State, region: Region) -> bool {
    let Some(song) = state.song() else { return region == Region::TopBar };
    match region {
        Region::Progress => song.is_separating() || matches!(song.opening, Opening::Decoding),
        Region::SidePanel => state.side_panel_shown(),
        Region::TopBar | Region::Overview | Region::Ruler | Region::Lanes | Region::Transport => {
            true
        }
    }
}

/// Whether the quit dialog must be asked: exports are running.
pub fn must_ask_before_quitting(state: &State) -> bool {
    !state.exports.is_empty() && state.dialog != Some(Dialog::Quit)
}
