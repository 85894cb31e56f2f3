//! A song on disk whose every sample is known, with a player, a feeder and a renderer driven by
//! the test's own thread, so that the same calls always give the same samples.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::{
    audio::{RangeSet, StreamSpec, WORK_RATE_HZ},
    playback::{self, Feeder, PlaybackSource, Player, Renderer, StemSource},
    store::Track,
};

pub(crate) const STEREO: StreamSpec = StreamSpec { sample_rate_hz: WORK_RATE_HZ, channels: 2 };

/// A sample of noise in ±0.25 that belongs to one place of one track.
pub(crate) fn noise(track: usize, side: usize, frame: u64) -> f32 {
    let mut x = frame ^ ((track as u64) << 40) ^ ((side as u64) << 50) ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..2 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    ((x >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.5
}

/// The track number of the mixture in [`noise`]; it is not the sum of the stems, so that a test
/// can tell them apart.
pub(crate) const MIXTURE: usize = 99;

pub(crate) type Signal = fn(track: usize, side: usize, frame: u64) -> f32;

pub(crate) struct Song {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) mixture: Arc<Track>,
    pub(crate) complete: Arc<AtomicBool>,
    pub(crate) lanes: Vec<Arc<Track>>,
    pub(crate) ready: Arc<Mutex<Arc<RangeSet>>>,
    signal: Signal,
}

impl Song {
    /// A complete stereo song; its stems are on disk but hold NaN until [`Song::make_ready`].
    pub(crate) fn new(frames: u64, lanes: usize, signal: Signal) -> Self {
        let song = Self::growing(2, frames, lanes, signal);
        song.decode(0..frames);
        song.complete.store(true, Ordering::SeqCst);
        song
    }

    /// A song of which nothing is decoded yet.
    pub(crate) fn growing(channels: usize, frames: u64, lanes: usize, signal: Signal) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mixture = Arc::new(Track::create(dir.path(), "mix", channels).unwrap());
        let lanes = (0..lanes)
            .map(|lane| {
                let track = Track::create(dir.path(), &format!("lane{lane}"), 2).unwrap();
                track.write(0, &vec![vec![f32::NAN; frames as usize]; 2]).unwrap();
                Arc::new(track)
            })
            .collect();
        let complete = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(Mutex::new(Arc::new(RangeSet::new())));
        Self { dir, mixture, complete, lanes, ready, signal }
    }

    fn write(&self, track: &Track, number: usize, range: std::ops::Range<u64>) {
        let channels: Vec<Vec<f32>> = (0..track.channel_count())
            .map(|side| range.clone().map(|frame| (self.signal)(number, side, frame)).collect())
            .collect();
        track.write(range.start, &channels).unwrap();
    }

    pub(crate) fn decode(&self, range: std::ops::Range<u64>) {
        self.write(&self.mixture, MIXTURE, range);
    }

    pub(crate) fn make_ready(&self, range: std::ops::Range<u64>) {
        for (number, lane) in self.lanes.iter().enumerate() {
            self.write(lane, number, range.clone());
        }
        let mut ready = self.ready.lock().unwrap();
        let mut more = RangeSet::clone(&ready);
        more.insert(range);
        *ready = Arc::new(more);
    }

    pub(crate) fn without_stems(&self) -> PlaybackSource {
        let complete = self.complete.clone();
        PlaybackSource::growing(self.mixture.clone(), move || complete.load(Ordering::SeqCst))
            .unwrap()
    }

    pub(crate) fn with_stems(&self) -> PlaybackSource {
        let ready = self.ready.clone();
        let stems =
            StemSource::new(self.lanes.clone(), move || ready.lock().unwrap().clone()).unwrap();
        self.without_stems().with_stems(stems)
    }
}

/// What unity gains give at a frame: the stems added in lane order.
pub(crate) fn sum(lanes: usize, side: usize, frame: u64) -> f32 {
    (0..lanes).fold(0.0, |sum, lane| sum + noise(lane, side, frame))
}

pub(crate) fn stems(lanes: usize, frame: u64) -> [f32; 2] {
    [0, 1].map(|side| sum(lanes, side, frame))
}

pub(crate) fn original(frame: u64) -> [f32; 2] {
    [0, 1].map(|side| noise(MIXTURE, side, frame))
}

pub(crate) struct Rig {
    pub(crate) player: Player,
    pub(crate) feeder: Feeder,
    pub(crate) renderer: Renderer,
}

impl Rig {
    pub(crate) fn new(output: StreamSpec) -> Self {
        let (player, feeder, renderer) = playback::new_unthreaded(output).unwrap();
        Self { player, feeder, renderer }
    }

    pub(crate) fn playing(source: PlaybackSource) -> Self {
        let mut rig = Self::new(STEREO);
        rig.player.load(source);
        rig.player.play();
        rig
    }

    /// Renders interleaved samples in callbacks of `callback` frames, reading ahead before each.
    pub(crate) fn interleaved(&mut self, frames: usize, callback: usize) -> Vec<f32> {
        let channels = usize::from(self.renderer.output().channels);
        let mut out = vec![f32::NAN; frames * channels];
        for buffer in out.chunks_mut(callback * channels) {
            self.feeder.fill();
            self.renderer.render(buffer, Duration::ZERO);
        }
        out
    }

    /// The same in stereo frames.
    pub(crate) fn run(&mut self, frames: usize, callback: usize) -> Vec<[f32; 2]> {
        self.interleaved(frames, callback).chunks(2).map(|f| [f[0], f[1]]).collect()
    }

    /// Renders without reading ahead.
    pub(crate) fn run_dry(&mut self, frames: usize) -> Vec<[f32; 2]> {
        let mut out = vec![f32::NAN; frames * 2];
        self.renderer.render(&mut out, Duration::ZERO);
        out.chunks(2).map(|f| [f[0], f[1]]).collect()
    }
}
