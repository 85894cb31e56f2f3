//! A song in the window: its facts, its decoded mixture at the work rate, and how far decoding is.
//!
//! [`open`] returns at once and decodes on a thread of its own; whoever watches reads snapshots
//! that never wait for the disk.

mod ingest;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};

use crate::{
    audio::{StreamSpec, WORK_RATE_HZ},
    error::{Error, Result},
    model::SongStats,
    resample::StreamResampler,
    store::{Pin, StoredSong, Track},
    waveform::Waveform,
};

/// BLAKE3 of the song's decoded PCM, rate and channel count: the same audio has the same id
/// whatever file it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SongId(pub [u8; 32]);

impl std::fmt::Display for SongId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a file says about itself, and what decoding found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SongInfo {
    /// The file it was opened from.
    pub path: PathBuf,
    /// Title from the tags, else the file's stem.
    pub title: String,
    /// Artist from the tags.
    pub artist: Option<String>,
    /// Album from the tags.
    pub album: Option<String>,
    /// Codec in the user's words: "MP3", "FLAC", "AAC".
    pub codec: String,
    /// Bits per second of the compressed file, where that means something.
    pub bitrate_bps: Option<u32>,
    /// Bits per sample of lossless sources.
    pub bits_per_sample: Option<u32>,
    /// Rate and channels as decoded.
    pub source: StreamSpec,
    /// Frames at the source's rate: exact once decoding ended, before that the file's own claim.
    pub source_frames: Option<u64>,
    /// Front cover, encoded as in the file, when there is one of at most 16 MiB.
    #[serde(skip)]
    pub cover: Option<Arc<[u8]>>,
}

/// How far opening a song has come.
#[derive(Debug, Clone)]
pub enum SongState {
    /// PCM is arriving; what has arrived can be played and seen.
    Decoding,
    /// Everything has arrived.
    Ready {
        /// Content id.
        id: SongId,
        /// Statistics at the work rate.
        stats: SongStats,
    },
    /// It cannot be read; the error says why. What had arrived is gone.
    Failed(Arc<Error>),
}

/// Called when there is something new to see; from the decode thread, at most about 20 times per
/// second and once per change of state.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// An open song. All accessors return at once; sizes in frames are at [`WORK_RATE_HZ`].
pub struct Song {
    path: PathBuf,
    info: ArcSwapOption<SongInfo>,
    state: ArcSwap<SongState>,
    mixture: ArcSwapOption<Track>,
    waveform: Arc<Waveform>,
    notes: ArcSwap<Vec<String>>,
    decoded_frames: AtomicU64,
    /// 0 while unknown.
    expected_frames: AtomicU64,
    cancelled: AtomicBool,
    /// Keeps the files of the mixture in the cache.
    pin: OnceLock<Pin>,
    /// Guards changes of `state` away from decoding, for [`Song::wait_ready`].
    settled: Mutex<()>,
    on_settled: Condvar,
}

/// Starts decoding `path` on a thread named "decode" and returns at once. The mixture is written
/// as track `mix` into `incoming_dir`, which exists and belongs to this song alone; whoever made
/// it moves it away once the song is ready, or deletes it after a failure.
///
/// Decoding also stops when the returned handle and all its clones are dropped.
pub fn open(path: &Path, incoming_dir: &Path, wake: Wake) -> Arc<Song> {
    open_with(path, incoming_dir.to_owned(), wake)
}

/// Where an opened song is looked up before it is decoded, and kept afterwards. Called on the
/// song's own thread, so it may take its time.
pub trait Keeper: Send {
    /// The song in `path` if it is known, else the folder to decode it into.
    ///
    /// # Errors
    /// When there is no such folder; the song fails with that.
    fn find(&mut self, path: &Path) -> Result<Found>;

    /// `song` was decoded and is ready; others read it already. Returns what keeps its files in
    /// place for as long as it is open.
    fn keep(&mut self, song: &Song) -> Option<Pin>;
}

/// What a [`Keeper`] knows of a file.
#[derive(Debug)]
pub enum Found {
    /// It was decoded before.
    Stored(Box<StoredSong>),
    /// It is to be decoded into this folder, as in [`open`].
    Unknown(PathBuf),
}

/// The folder alone: nothing is known before or kept afterwards.
impl Keeper for PathBuf {
    fn find(&mut self, _path: &Path) -> Result<Found> {
        Ok(Found::Unknown(std::mem::take(self)))
    }

    fn keep(&mut self, _song: &Song) -> Option<Pin> {
        None
    }
}

/// As [`open`], with `keeper` deciding where the song comes from and goes to. It is dropped when
/// the song's thread ends.
pub fn open_with(path: &Path, keeper: impl Keeper + 'static, wake: Wake) -> Arc<Song> {
    let song = Arc::new(Song::new(path.to_owned(), Waveform::new(), SongState::Decoding));
    let (worker, mut keeper) = (Arc::clone(&song), keeper);
    let started = std::thread::Builder::new()
        .name("decode".into())
        .spawn(move || ingest::run(&worker, &mut keeper, &wake));
    if let Err(error) = started {
        song.settle(Err(Error::io("start a thread to decode", path, error)));
    }
    song
}

impl Song {
    fn new(path: PathBuf, waveform: Waveform, state: SongState) -> Self {
        Self {
            path,
            info: ArcSwapOption::empty(),
            state: ArcSwap::from_pointee(state),
            mixture: ArcSwapOption::empty(),
            waveform: Arc::new(waveform),
            notes: ArcSwap::default(),
            decoded_frames: AtomicU64::new(0),
            expected_frames: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            pin: OnceLock::new(),
            settled: Mutex::new(()),
            on_settled: Condvar::new(),
        }
    }

    /// A song decoded before, from what the cache kept of it.
    pub fn from_cache(
        info: SongInfo,
        id: SongId,
        stats: SongStats,
        track: Track,
        waveform: Waveform,
    ) -> Arc<Self> {
        let song = Self::new(info.path.clone(), waveform, SongState::Ready { id, stats });
        song.fill(info, track);
        Arc::new(song)
    }

    /// What [`Keeper::find`] found, put into a song that was still to be decoded.
    fn restore(&self, stored: StoredSong) -> (SongId, SongStats) {
        self.waveform.replace(stored.waveform);
        self.fill(stored.info, stored.mixture);
        self.hold(stored.pin);
        (stored.id, stored.stats)
    }

    fn fill(&self, info: SongInfo, mixture: Track) {
        self.decoded_frames.store(mixture.frames(), Ordering::Release);
        self.expected_frames.store(mixture.frames(), Ordering::Release);
        self.info.store(Some(Arc::new(info)));
        self.mixture.store(Some(Arc::new(mixture)));
    }

    fn hold(&self, pin: Pin) {
        // A song is restored or kept, once; a second pin would change nothing.
        let _ = self.pin.set(pin);
    }

    /// The file it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about itself; `None` until its header was read. The length becomes exact
    /// when decoding ends.
    pub fn info(&self) -> Option<Arc<SongInfo>> {
        self.info.load_full()
    }

    /// How far opening has come.
    pub fn state(&self) -> SongState {
        SongState::clone(&self.state.load())
    }

    /// The mixture at the work rate, one or two channels, growing while the song decodes; `None`
    /// until the header was read and after a failure.
    pub fn mixture(&self) -> Option<Arc<Track>> {
        self.mixture.load_full()
    }

    /// The waveform of the mixture, growing with it.
    pub fn waveform(&self) -> &Arc<Waveform> {
        &self.waveform
    }

    /// Sentences the user should know: channels mixed down, damaged places skipped. Complete once
    /// the song is ready.
    pub fn notes(&self) -> Arc<Vec<String>> {
        self.notes.load_full()
    }

    /// Frames of the mixture so far.
    pub fn decoded_frames(&self) -> u64 {
        self.decoded_frames.load(Ordering::Acquire)
    }

    /// Frames the mixture should get by the file's own claim, which may be wrong; exact once ready.
    pub fn expected_frames(&self) -> Option<u64> {
        match self.expected_frames.load(Ordering::Acquire) {
            0 => None,
            frames => Some(frames),
        }
    }

    /// Share of the song that is decoded, 0.0..=1.0; 0 while its length is unknown.
    pub fn fraction(&self) -> f32 {
        self.expected_frames().map_or(0.0, |expected| {
            (self.decoded_frames() as f64 / expected as f64).min(1.0) as f32
        })
    }

    /// Stops decoding soon; the state becomes [`SongState::Failed`] with
    /// [`crate::ErrorKind::Cancelled`]. Without effect once ready.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Waits until the song is ready. For threads that have nothing else to do; the window reads
    /// [`Song::state`].
    ///
    /// # Errors
    /// Why it failed or was cancelled.
    pub fn wait_ready(&self) -> Result<(SongId, SongStats), Arc<Error>> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.state() {
                SongState::Ready { id, stats } => return Ok((id, stats)),
                SongState::Failed(error) => return Err(error),
                SongState::Decoding => {}
            }
            settled = self.on_settled.wait(settled).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The header was read: fills in what it tells and shows the empty mixture.
    fn begin(&self, info: SongInfo, mixture: Arc<Track>, notes: Vec<String>) {
        if let Some(frames) = info.source_frames {
            let expected =
                StreamResampler::output_frames(info.source.sample_rate_hz, WORK_RATE_HZ, frames);
            self.expected_frames.store(expected, Ordering::Release);
        }
        self.notes.store(Arc::new(notes));
        self.info.store(Some(Arc::new(info)));
        self.mixture.store(Some(mixture));
    }

    /// Ends decoding one way or the other and lets waiters go.
    fn settle(&self, outcome: Result<(SongId, SongStats), Error>) {
        let state = match outcome {
            Ok((id, stats)) => {
                self.expected_frames.store(stats.frames, Ordering::Release);
                SongState::Ready { id, stats }
            }
            Err(error) => {
                self.mixture.store(None);
                SongState::Failed(Arc::new(error))
            }
        };
        let _settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.store(Arc::new(state));
        self.on_settled.notify_all();
    }
}

impl std::fmt::Debug for Song {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Song")
            .field("path", &self.path)
            .field("state", &self.state())
            .field("decoded_frames", &self.decoded_frames())
            .finish_non_exhaustive()
    }
}
