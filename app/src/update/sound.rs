//! Sound: the player follows the state, the state follows the player.

use std::{ops::Range, sync::Arc};

use engine::{
    mix::LaneControl,
    playback::{Listen, PlaybackSource, Player, StemSource},
    song::{Song, SongState},
};

use super::{songs::OpenSong, view_range};
use crate::{
    audio::{AudioOutput, DeviceState},
    state::{Device, METER_FLOOR_DB, Meter, SongView, State},
};

/// The player, the device it plays to, and what they were last told.
pub struct Sound {
    player: Player,
    output: AudioOutput,
    /// Key of the song in the player.
    song: Option<u64>,
    /// Whether the player knows that song's stems.
    stems_of: Option<usize>,
    told: Told,
}

#[derive(Default, PartialEq)]
struct Told {
    lanes: Vec<LaneControl>,
    listen: Listen,
    master_db: f32,
    loop_range: Option<Range<u64>>,
}

impl Sound {
    /// Plays through `output`.
    pub fn new(player: Player, output: AudioOutput) -> Self {
        Self { player, output, song: None, stems_of: None, told: Told::default() }
    }

    /// Plays or stops the song on screen.
    pub fn play_or_stop(&mut self, state: &mut State) {
        if self.player.is_playing() {
            self.player.pause();
        } else {
            self.player.play();
            if let Some(song) = state.song_mut() {
                song.view = view_range::follow(&song.view, song.playhead, song.frames);
            }
        }
        state.transport.playing = self.player.is_playing();
    }

    /// Goes to a frame of the song on screen.
    pub fn seek(&mut self, song: &mut SongView, frame: u64) {
        song.playhead = frame.min(song.frames);
        if self.song == Some(song.key) {
            self.player.seek(song.playhead);
        }
        song.view = view_range::follow(&song.view, song.playhead, song.frames);
    }

    /// Opens another device, or looks for one again.
    pub fn choose_device(&self, name: Option<&str>) {
        self.output.choose(name);
    }

    /// A short tone, to hear whether the device works.
    ///
    /// # Errors
    /// When there is no device.
    pub fn test_tone(&self) -> engine::Result<()> {
        self.output.play_test_tone()
    }

    /// Puts the song on screen into the player, tells it what changed and takes over what it
    /// says. `dt_secs` is the time since the last call.
    pub fn poll(&mut self, state: &mut State, open: &[OpenSong], dt_secs: f32) {
        self.follow_screen(state, open);
        self.tell(state);
        self.listen_in(state, dt_secs);
        state.transport.device = match self.output.state() {
            DeviceState::Opening => Device::Unknown,
            DeviceState::Open { name, .. } => Device::Open { name },
            DeviceState::NoDevice { reason } => Device::Missing { reason },
        };
        if let Some(names) = self.output.take_device_names() {
            state.transport.devices = names;
        }
    }

    /// An error of reading or of the device, once.
    pub fn take_error(&self) -> Option<engine::Error> {
        self.player.take_error().or_else(|| self.output.take_error())
    }

    fn follow_screen(&mut self, state: &mut State, open: &[OpenSong]) {
        let wanted = state.song().and_then(|view| {
            let song = open.iter().find(|song| song.key == view.key)?;
            song.song.mixture().map(|mixture| (view, song, mixture))
        });
        let Some((view, song, mixture)) = wanted else {
            if self.song.take().is_some() {
                self.player.unload();
                state.transport.playing = false;
            }
            return;
        };
        let stems = song.job.handle().map(|handle| handle.stems().clone());
        let stems_of = stems.as_ref().map(|stems| Arc::as_ptr(stems) as usize);
        if self.song == Some(view.key) && self.stems_of == stems_of {
            return;
        }
        let source = PlaybackSource::growing(mixture, is_complete(&song.song)).and_then(|source| {
            let Some(stems) = stems else { return Ok(source) };
            let tracks = stems.tracks.clone();
            Ok(source.with_stems(StemSource::new(tracks, move || stems.ready())?))
        });
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                tracing::error!(%error, "the song cannot be played");
                return;
            }
        };
        if self.song == Some(view.key) {
            self.player.set_source(source);
        } else {
            self.player.load(source);
            self.player.seek(view.playhead);
            self.told = Told { loop_range: None, ..std::mem::take(&mut self.told) };
        }
        (self.song, self.stems_of) = (Some(view.key), stems_of);
    }

    fn tell(&mut self, state: &State) {
        let transport = &state.transport;
        if self.told.listen != transport.listen {
            self.told.listen = transport.listen;
            self.player.set_listen(transport.listen);
        }
        if self.told.master_db != transport.master_db {
            self.told.master_db = transport.master_db;
            self.player.set_master_gain_db(transport.master_db);
        }
        let Some(view) = state.song().filter(|view| self.song == Some(view.key)) else { return };
        let lanes: Vec<LaneControl> = view.lanes.iter().map(|lane| lane.control).collect();
        if self.told.lanes != lanes {
            self.player.set_lanes(&lanes);
            self.told.lanes = lanes;
        }
        let loop_range = view.loop_range.clone().filter(|_| view.loop_on);
        if self.told.loop_range != loop_range {
            self.player.set_loop(loop_range.clone());
            self.told.loop_range = loop_range;
        }
    }

    fn listen_in(&mut self, state: &mut State, dt_secs: f32) {
        let playing = self.player.is_playing();
        state.transport.playing = playing;
        let peaks = self.player.meters();
        feed(&mut state.transport.meter, peaks.master, dt_secs);
        let key = self.song;
        let Some(view) = state.song_mut().filter(|view| key == Some(view.key)) else { return };
        for (index, lane) in view.lanes.iter_mut().enumerate() {
            let peak = peaks.lanes.get(index).copied().unwrap_or_default();
            feed(&mut lane.meter, peak, dt_secs);
        }
        if !playing && !self.player.ended() {
            return;
        }
        let was_on_screen = view.view.contains(&(view.playhead as f64));
        view.playhead = self.player.position_frame().min(view.frames);
        if playing && was_on_screen {
            view.view = view_range::follow(&view.view, view.playhead, view.frames);
        }
    }
}

fn feed(meter: &mut Meter, peaks: [f32; 2], dt_secs: f32) {
    if peaks != [0.0; 2] || !meter.is_still() {
        meter.feed(peaks, dt_secs);
    }
}

/// Whether any meter still moves, so that the window must go on drawing.
pub fn meters_move(state: &State) -> bool {
    let lanes = state.song().map_or(&[][..], |song| &song.lanes);
    let meters = lanes.iter().map(|lane| &lane.meter).chain([&state.transport.meter]);
    meters.into_iter().any(|meter| meter.level_db != [METER_FLOOR_DB; 2] || !meter.is_still())
}

fn is_complete(song: &Arc<Song>) -> impl Fn() -> bool + Send + Sync + 'static {
    let song = Arc::downgrade(song);
    move || song.upgrade().is_none_or(|song| !matches!(song.state(), SongState::Decoding))
}
