//! The decode thread: file → blocks → hash, downmix, work rate → track, waveform, statistics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Found, Keeper, Song, SongId, Wake};
use crate::{
    audio::{Planar, StreamSpec, WORK_RATE_HZ},
    decode::Decoder,
    error::{Error, ErrorKind, Result},
    model::SongStats,
    resample::StreamResampler,
    store::Track,
};

/// Frames collected before they are written and shown; a third of a second.
const FLUSH_FRAMES: usize = 16_384;

/// Least time between two wake-ups about progress.
const WAKE_INTERVAL: Duration = Duration::from_millis(50);

/// Decodes `song` to its end, whatever that is; never leaves it undecided.
pub(super) fn run(song: &Arc<Song>, keeper: &mut dyn Keeper, wake: &Wake) {
    let mut decoded = false;
    let open = || match keeper.find(&song.path)? {
        Found::Stored(stored) => Ok(song.restore(*stored)),
        Found::Unknown(dir) => {
            decoded = true;
            ingest(song, &dir, wake)
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Internal,
            format!("Opening “{}” failed by an error in this program", song.path.display()),
        )
        .advice("Please report this, with the file if you may share it"))
    });
    let ready = outcome.is_ok();
    song.settle(outcome.map_err(say_what_is_kept));
    wake();
    if ready
        && decoded
        && let Some(pin) = keeper.keep(song)
    {
        song.hold(pin);
    }
}

fn say_what_is_kept(error: Error) -> Error {
    if error.kind != ErrorKind::DiskFull {
        return error;
    }
    error.kept("Your music file is untouched").advice(
        "Free some space, or choose another cache folder in the settings, and open it again",
    )
}

fn ingest(song: &Arc<Song>, dir: &Path, wake: &Wake) -> Result<(SongId, SongStats)> {
    let mut decoder = Decoder::open(&song.path)?;
    let source = decoder.info().source;
    let mut notes = Vec::new();
    if decoder.downmix().is_needed() {
        notes.push(format!("Mixed down from {} channels to stereo", source.channels));
    }
    let mut sink = Sink::new(song, dir, source, wake)?;
    song.begin(decoder.info().clone(), Arc::clone(&sink.track), notes.clone());
    wake();

    let mut hash = PcmHash::new(source);
    let mut stereo = Planar::default();
    let downmix = decoder.downmix().clone();
    while let Some(block) = decoder.next_block()? {
        // Only this thread still holds the song: it was closed.
        if song.cancelled.load(Ordering::Acquire) || Arc::strong_count(song) == 1 {
            return Err(Error::cancelled());
        }
        hash.update(block);
        if downmix.is_needed() {
            downmix.mix(block, &mut stereo);
            sink.push(&stereo)?;
        } else {
            sink.push(block)?;
        }
    }

    notes.extend(decoder.notes());
    song.notes.store(Arc::new(notes));
    let mut info = decoder.info().clone();
    info.source_frames = Some(decoder.frames());
    let stats = sink.finish()?;
    song.info.store(Some(Arc::new(info)));
    Ok((hash.finish(decoder.frames()), stats))
}

/// Takes PCM at the source's rate and puts it, at the work rate, where it is to be seen.
struct Sink<'a> {
    song: &'a Song,
    wake: &'a Wake,
    woken: Instant,
    track: Arc<Track>,
    resampler: StreamResampler,
    pending: Vec<Vec<f32>>,
    stats: StatsBuilder,
}

impl<'a> Sink<'a> {
    fn new(song: &'a Song, dir: &Path, source: StreamSpec, wake: &'a Wake) -> Result<Self> {
        let channels = usize::from(source.channels).min(2);
        Ok(Self {
            song,
            wake,
            woken: Instant::now(),
            track: Arc::new(Track::create(dir, "mix", channels)?),
            resampler: StreamResampler::new(source.sample_rate_hz, WORK_RATE_HZ, channels)?,
            pending: vec![Vec::new(); channels],
            stats: StatsBuilder::default(),
        })
    }

    fn push(&mut self, block: &Planar) -> Result<()> {
        self.resampler.push(block.channels(), &mut self.pending);
        if self.pending[0].len() >= FLUSH_FRAMES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let at = self.stats.frames;
        self.track.write(at, &self.pending)?;
        self.song.waveform.extend(at, &self.pending);
        self.stats.add(&self.pending);
        self.pending.iter_mut().for_each(Vec::clear);
        self.song.decoded_frames.store(self.stats.frames, Ordering::Release);
        if self.woken.elapsed() >= WAKE_INTERVAL {
            self.woken = Instant::now();
            (self.wake)();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<SongStats> {
        let channels = self.pending.len();
        let empty = StreamResampler::new(WORK_RATE_HZ, WORK_RATE_HZ, channels)?;
        std::mem::replace(&mut self.resampler, empty).finish(&mut self.pending);
        self.flush()?;
        Ok(self.stats.finish(channels))
    }
}

/// The song's identity: BLAKE3 over rate, channel count, frame count and one BLAKE3 per channel of
/// its samples as little-endian f32. Planar, so it costs no interleaving, and how the PCM was cut into
/// blocks does not matter.
struct PcmHash {
    source: StreamSpec,
    channels: Vec<blake3::Hasher>,
}

impl PcmHash {
    fn new(source: StreamSpec) -> Self {
        let channels = vec![blake3::Hasher::new(); usize::from(source.channels)];
        Self { source, channels }
    }

    fn update(&mut self, block: &Planar) {
        // Tracks only build for little-endian machines, where this cast is the stored order.
        for (hasher, samples) in self.channels.iter_mut().zip(block.channels()) {
            hasher.update(bytemuck::cast_slice(samples));
        }
    }

    fn finish(self, frames: u64) -> SongId {
        let mut all = blake3::Hasher::new();
        all.update(&self.source.sample_rate_hz.to_le_bytes());
        all.update(&self.source.channels.to_le_bytes());
        all.update(&frames.to_le_bytes());
        for channel in self.channels {
            all.update(channel.finalize().as_bytes());
        }
        SongId(*all.finalize().as_bytes())
    }
}

/// Sums in f64 and in frame order, so the result does not depend on how blocks were cut.
#[derive(Default)]
struct StatsBuilder {
    frames: u64,
    mono_sum: f64,
    mono_squares: f64,
    squares: f64,
    peak: f32,
}

impl StatsBuilder {
    fn add(&mut self, channels: &[Vec<f32>]) {
        match channels {
            [mono] => {
                for sample in mono {
                    self.add_frame(f64::from(*sample), f64::from(*sample).powi(2), sample.abs());
                }
            }
            [left, right] => {
                for (l, r) in left.iter().zip(right) {
                    let (wide_l, wide_r) = (f64::from(*l), f64::from(*r));
                    let squares = wide_l * wide_l + wide_r * wide_r;
                    self.add_frame((wide_l + wide_r) / 2.0, squares, l.abs().max(r.abs()));
                }
            }
            _ => debug_assert!(false, "the mixture has one or two channels"),
        }
        self.frames += channels.first().map_or(0, |channel| channel.len() as u64);
    }

    #[inline]
    fn add_frame(&mut self, mono: f64, squares: f64, peak: f32) {
        self.mono_sum += mono;
        self.mono_squares += mono * mono;
        self.squares += squares;
        self.peak = self.peak.max(peak);
    }

    fn finish(self, channels: usize) -> SongStats {
        let frames = self.frames as f64;
        let mean = self.mono_sum / frames.max(1.0);
        let variance = (self.mono_squares - frames * mean * mean) / (frames - 1.0).max(1.0);
        SongStats {
            frames: self.frames,
            mono_mean: mean,
            mono_std: variance.max(0.0).sqrt(),
            rms: (self.squares / (frames * channels as f64).max(1.0)).sqrt(),
            peak: self.peak,
        }
    }
}
