//! The remote control of the mixer core.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use crate::{
    audio::WORK_RATE_HZ,
    error::{Error, ErrorKind, Result},
    mix::{self, LaneControl},
    playback::{
        Listen, Meters, PlaybackSource,
        controls::{Controls, ControlsCell},
        feeder::Feeder,
        normalized_loop,
        report::{Gauges, Progress, ProgressCell},
    },
};

/// All that player, feeder and renderer share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) controls: ControlsCell,
    pub(super) progress: ProgressCell,
    pub(super) gauges: Gauges,
    /// Zero of [`Progress::at_nanos`].
    pub(super) epoch: Instant,
    orders: Mutex<Orders>,
    error: Mutex<Option<Error>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            controls: ControlsCell::default(),
            progress: ProgressCell::default(),
            gauges: Gauges::default(),
            epoch: Instant::now(),
            orders: Mutex::default(),
            error: Mutex::default(),
        }
    }
}

impl Link {
    /// Orders to the feeder; held for a few instructions only, and never by the renderer.
    pub(super) fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first error until somebody takes it.
    pub(super) fn report(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What the feeder shall read; a newer one replaces an older one that was not carried out yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    /// Counts orders. Blocks carry the number of the order they were read for.
    pub(super) generation: u64,
    /// Where to begin.
    pub(super) start: Start,
    /// The loop as the user set it.
    pub(super) loop_range: Option<Range<u64>>,
    /// The song, if there is one.
    pub(super) source: Option<PlaybackSource>,
    /// Counts sources, so that an error is reported once for each.
    pub(super) source_number: u64,
    /// Whether blocks are being used up.
    pub(super) playing: bool,
    /// The player is gone.
    pub(super) closed: bool,
}

/// Where an order begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Start {
    /// Where the renderer is, without a gap.
    #[default]
    Resume,
    /// At this frame.
    Jump(u64),
}

/// Plays, pauses, seeks, loops and mixes; see [`crate::playback`]. Dropping it ends the feeder.
#[derive(Debug)]
pub struct Player {
    link: Arc<Link>,
    controls: Controls,
    source: Option<PlaybackSource>,
    source_number: u64,
    loop_range: Option<Range<u64>>,
    /// The newest order that jumped, and where to.
    jump: (u64, u64),
    feeder: Option<JoinHandle<()>>,
}

impl Player {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            controls: Controls::default(),
            source: None,
            source_number: 0,
            loop_range: None,
            jump: (0, 0),
            feeder: None,
        }
    }

    pub(super) fn start_feeder(&mut self, feeder: Feeder) -> Result<()> {
        let thread = std::thread::Builder::new()
            .name("playback feeder".into())
            .spawn(move || feeder.run())
            .map_err(|e| {
                Error::new(ErrorKind::Io, "Cannot start the thread that reads for playback")
                    .advice("Close some programs and open Stemhive again")
                    .caused_by(e)
            })?;
        self.feeder = Some(thread);
        Ok(())
    }

    /// Puts a song in: stopped at its start, without a loop. Mixer settings stay.
    pub fn load(&mut self, source: PlaybackSource) {
        self.replace(Some(source));
    }

    /// Takes the song out.
    pub fn unload(&mut self) {
        self.replace(None);
    }

    fn replace(&mut self, source: Option<PlaybackSource>) {
        self.source = source;
        self.source_number += 1;
        self.loop_range = None;
        self.controls.playing = false;
        self.order(Start::Jump(0));
    }

    /// Exchanges what is known of the same song, such as its stems, without a gap in the sound.
    pub fn set_source(&mut self, source: PlaybackSource) {
        self.settle_end();
        self.source = Some(source);
        self.source_number += 1;
        self.order(Start::Resume);
    }

    /// Plays from the position; from the start, or the loop's start, when the song had run out.
    /// Without a song it does nothing.
    pub fn play(&mut self) {
        if self.source.is_none() || self.is_playing() {
            return;
        }
        let at_end = self.ended()
            || self.final_frames().is_some_and(|frames| self.position_frame() >= frames);
        self.controls.playing = true;
        self.order(if at_end { Start::Jump(self.loop_start()) } else { Start::Resume });
    }

    /// Stops where it is, with a short fade.
    pub fn pause(&mut self) {
        self.controls.playing = false;
        self.link.orders().playing = false;
        self.publish();
    }

    /// Whether the transport runs. It stops by itself at the song's end.
    pub fn is_playing(&self) -> bool {
        self.controls.playing && !self.ended()
    }

    /// Whether the song was played to its end, with no order since.
    pub fn ended(&self) -> bool {
        self.source.is_some()
            && self.controls.generation > 0
            && self.progress().ended == self.controls.generation
    }

    /// Goes to a frame, the song's end at most, playing on or staying paused.
    pub fn seek(&mut self, frame: u64) {
        self.settle_end();
        let frame = self.final_frames().map_or(frame, |frames| frame.min(frames));
        self.order(Start::Jump(frame));
    }

    /// The frame that is being heard now: the device's delay is allowed for, and time since the
    /// last callback. After a seek it is the target at once.
    pub fn position_frame(&self) -> u64 {
        let progress = self.progress();
        let (jump, target) = self.jump;
        if progress.heard < jump {
            return self.final_frames().map_or(target, |frames| target.min(frames));
        }
        let now = self.link.epoch.elapsed().as_nanos();
        let since = now.saturating_sub(u128::from(progress.at_nanos));
        let passed = since * u128::from(WORK_RATE_HZ) / 1_000_000_000;
        progress.heard_frame + progress.heard_run.min(passed.try_into().unwrap_or(u64::MAX))
    }

    /// The song's length so far; 0 without a song.
    pub fn length_frames(&self) -> u64 {
        self.source.as_ref().map_or(0, PlaybackSource::frames)
    }

    /// Loops a range from now on, or no longer. The playhead goes on without a gap; one that has
    /// already passed the loop's end jumps to its start.
    pub fn set_loop(&mut self, range: Option<Range<u64>>) {
        self.settle_end();
        self.loop_range =
            range.as_ref().and_then(|range| normalized_loop(range, self.final_frames()));
        let position = self.pending_jump().unwrap_or_else(|| self.progress().next_frame);
        let passed = self.loop_range.as_ref().filter(|range| position >= range.end);
        self.order(passed.map_or(Start::Resume, |range| Start::Jump(range.start)));
    }

    /// The loop as it is played.
    pub fn loop_range(&self) -> Option<Range<u64>> {
        self.loop_range.clone()
    }

    /// Sets every lane's fader, balance, mute and solo; lanes beyond the slice keep theirs.
    pub fn set_lanes(&mut self, lanes: &[LaneControl]) {
        for (gains, new) in self.controls.lane_gains.iter_mut().zip(mix::stereo_gains(lanes)) {
            *gains = new;
        }
        self.publish();
    }

    /// Chooses between stems and original, sample-aligned with a short crossfade.
    pub fn set_listen(&mut self, listen: Listen) {
        self.controls.listen = listen;
        self.publish();
    }

    /// What is listened to.
    pub fn listen(&self) -> Listen {
        self.controls.listen
    }

    /// Sets the gain of everything; 0 dB leaves samples untouched.
    pub fn set_master_gain_db(&mut self, gain_db: f32) {
        self.controls.master_gain = mix::linear_gain(gain_db);
        self.publish();
    }

    /// Peaks since the last call.
    pub fn meters(&self) -> Meters {
        let stems = self.source.as_ref().and_then(PlaybackSource::stems);
        self.link.gauges.take(stems.map_or(0, |stems| stems.lanes().len()))
    }

    /// How often the sound had to stop because the next frames were not read, or not decoded, yet.
    pub fn underruns(&self) -> u64 {
        self.link.gauges.underruns()
    }

    /// The first read error since the last call. What could not be read is silent; where only the
    /// stems could not be read the original plays.
    pub fn take_error(&self) -> Option<Error> {
        self.link.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn progress(&self) -> Progress {
        self.link.progress.read()
    }

    fn final_frames(&self) -> Option<u64> {
        self.source.as_ref().and_then(PlaybackSource::final_frames)
    }

    fn loop_start(&self) -> u64 {
        self.loop_range.as_ref().map_or(0, |range| range.start)
    }

    /// Target of a jump that the renderer has not made yet.
    fn pending_jump(&self) -> Option<u64> {
        let (generation, target) = self.jump;
        (self.progress().adopted < generation).then_some(target)
    }

    /// A song that ran out stays stopped whatever order comes next.
    fn settle_end(&mut self) {
        self.controls.playing &= !self.ended();
    }

    fn order(&mut self, start: Start) {
        let start = match (start, self.pending_jump()) {
            (Start::Resume, Some(target)) => Start::Jump(target),
            (start, _) => start,
        };
        self.controls.generation += 1;
        let generation = self.controls.generation;
        if let Start::Jump(target) = start {
            self.jump = (generation, target);
        }
        *self.link.orders() = Orders {
            generation,
            start,
            loop_range: self.loop_range.clone(),
            source: self.source.clone(),
            source_number: self.source_number,
            playing: self.controls.playing,
            closed: false,
        };
        self.publish();
        self.wake_feeder();
    }

    fn publish(&self) {
        self.link.controls.write(&self.controls);
    }

    fn wake_feeder(&self) {
        if let Some(feeder) = &self.feeder {
            feeder.thread().unpark();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // The renderer may live on; it must not keep the song's files open.
        *self.link.orders() = Orders { closed: true, ..Orders::default() };
        self.wake_feeder();
        if let Some(feeder) = self.feeder.take() {
            // It ends after at most one block; a panic there has been reported by its own thread.
            let _ = feeder.join();
        }
    }
}
