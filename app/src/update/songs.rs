//! Open songs: from a path to a decoded song on screen, and away again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{
    ErrorKind,
    engine::{Engine, Standing as EngineStanding},
    song::{Song, SongState, Wake},
};

use super::{chores::Done, jobs::Job, speech::Told, view_range};
use crate::state::{Lane, OpenError, Opening, RecentSong, SongView, Standing, State};

/// A song the engine has open, beside its [`SongView`] of the same key.
pub struct OpenSong {
    /// Key of its view.
    pub key: u64,
    /// The engine's song.
    pub song: Arc<Song>,
    /// Its separation.
    pub job: Job,
    /// What the screen reader was told of it.
    pub told: Told,
}

/// What changed for the window by looking at a song.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing of note.
    None,
    /// All of it has arrived.
    BecameReady,
    /// It cannot be read and is to be closed.
    Failed,
}

/// Opens `path` and puts it at the end of the queue, or finds it there. Returns its key, and the
/// song if it is new.
pub fn open(
    state: &mut State,
    engine: &Engine,
    key: u64,
    path: &Path,
    wake: Wake,
) -> (u64, Option<OpenSong>) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(known) = state.songs.iter().find(|song| song.path == path) {
        return (known.key, None);
    }
    let song = engine.open_song(&path, wake);
    let mut view = SongView::new(key, path);
    if let Some(card) = state.model() {
        view.lanes = card.info.stems.iter().map(|stem| Lane::new(*stem)).collect();
    }
    state.songs.push(view);
    (key, Some(OpenSong { key, song, job: Job::default(), told: Told::default() }))
}

/// Brings `view` up to date with the engine's song.
pub fn look(view: &mut SongView, song: &Song) -> Change {
    if !matches!(view.opening, Opening::Decoding) {
        return Change::None;
    }
    if view.info.is_none() {
        view.info = song.info();
    }
    view.wave = Some(song.waveform().clone());
    view.decoded_frames = song.decoded_frames();
    let change = match song.state() {
        SongState::Decoding => Change::None,
        SongState::Ready { id, stats } => {
            view.id = Some(id);
            view.info = song.info();
            view.decoded_frames = stats.frames;
            view.opening = Opening::Ready;
            Change::BecameReady
        }
        SongState::Failed(error) => {
            view.opening = Opening::Failed(error);
            Change::Failed
        }
    };
    let claimed = match view.opening {
        Opening::Decoding => song.expected_frames().unwrap_or(0),
        Opening::Ready | Opening::Failed(_) => 0,
    };
    let frames = claimed.max(view.decoded_frames);
    if frames != view.frames {
        view.view = view_range::grow(&view.view, view.frames, frames);
        view.frames = frames;
        view.playhead = view.playhead.min(frames);
    }
    change
}

/// The card that says why a song cannot be opened; none when the user cancelled it.
pub fn open_error(view: &SongView) -> Option<OpenError> {
    let Opening::Failed(error) = &view.opening else { return None };
    let name = view.path.file_name().unwrap_or(view.path.as_os_str());
    (error.kind != ErrorKind::Cancelled)
        .then(|| OpenError { name: name.to_string_lossy().into_owned(), error: error.clone() })
}

/// Most songs of the list of recent ones.
const RECENT: u32 = 50;

/// Reads the list of recent songs; a chore.
pub fn recent(engine: &Engine) -> Done {
    match engine.recent(RECENT) {
        Ok(songs) => Done::Recent(songs.into_iter().map(recent_song).collect()),
        Err(error) => Done::Failed(error),
    }
}

fn recent_song(song: engine::engine::RecentSong) -> RecentSong {
    let engine::engine::RecentSong { known, standing } = song;
    RecentSong {
        id: known.id,
        path: known.path,
        title: known.title,
        artist: known.artist,
        duration_secs: known.duration_secs,
        standing: match standing {
            EngineStanding::NotSeparated => Standing::NotSeparated,
            EngineStanding::Paused { fraction } => Standing::HalfDone { fraction },
            EngineStanding::Ready { stems } => Standing::Separated { stems },
        },
        peaks: known.peaks.into(),
    }
}

/// The path that was typed: quotes and a leading "~" as shells take them, "file://" as file
/// managers copy it.
pub fn typed_path(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    let text = text.strip_prefix("file://").unwrap_or(text);
    let quoted = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote).and_then(|text| text.strip_suffix(*quote)));
    let text = quoted.unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    if let Some(rest) = text.strip_prefix("~/")
        && let Some(user) = directories::UserDirs::new()
    {
        return Some(user.home_dir().join(rest));
    }
    Some(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_paths_are_taken_as_shells_take_them() {
        let path = |text| typed_path(text).map(|p| p.to_string_lossy().into_owned());
        assert_eq!(path("  /a b/c.mp3 ").as_deref(), Some("/a b/c.mp3"));
        assert_eq!(path("\"/a b/c.mp3\"").as_deref(), Some("/a b/c.mp3"));
        assert_eq!(path("file:///a/c.mp3").as_deref(), Some("/a/c.mp3"));
        assert_eq!(path("  "), None);
        assert!(path("~/x").is_some_and(|p| !p.starts_with('~')));
    }
}
