//! Waveform columns for deep zooms, read from the samples on a thread of their own.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::{
    store::Track,
    waveform::{BASE_FRAMES, columns_from_track},
};

use crate::state::{Detail, SongView};

/// Columns of a view; twice as fine as most screens are wide.
const COLUMNS: usize = 2048;

/// Most tracks of a song: its stems and the mixture.
const MOST_TRACKS: usize = 32;

/// What to read.
struct Order {
    song: u64,
    frames: Range<f64>,
    /// Lane index, `None` for the mixture.
    tracks: Vec<(Option<usize>, Arc<Track>)>,
}

/// What was read.
pub struct Read {
    /// Key of the song.
    pub song: u64,
    /// Lane index, `None` for the mixture.
    pub lane: Option<usize>,
    /// The columns.
    pub detail: Arc<Detail>,
}

/// The reader's thread and the last order given to it.
pub struct DetailReader {
    orders: Sender<Order>,
    results: Receiver<Read>,
    /// Song, stretch and ready frames of the newest order.
    ordered: Option<(u64, Range<f64>, u64)>,
}

impl DetailReader {
    /// Starts the thread; `wake` is called whenever something was read.
    pub fn start(wake: impl Fn() + Send + 'static) -> Option<Self> {
        let (orders, to_do) = bounded::<Order>(1);
        let (done, results) = bounded(MOST_TRACKS);
        let spawned = thread::Builder::new().name("waveform detail".into()).spawn(move || {
            let version = AtomicU64::new(1);
            for order in to_do {
                for (lane, track) in order.tracks {
                    let mut columns = Vec::new();
                    let wide = COLUMNS * 3;
                    if columns_from_track(&track, order.frames.clone(), wide, &mut columns).is_err()
                    {
                        // The coarser picture stays; playback reports the same error in words.
                        continue;
                    }
                    let version = version.fetch_add(1, Ordering::Relaxed);
                    let detail = Detail { version, frames: order.frames.clone(), columns };
                    if done.send(Read { song: order.song, lane, detail: detail.into() }).is_err() {
                        return;
                    }
                    wake();
                }
            }
        });
        match spawned {
            Ok(_) => Some(Self { orders, results, ordered: None }),
            Err(error) => {
                tracing::error!(%error, "no thread for waveform details");
                None
            }
        }
    }

    /// Orders what `song`'s view needs, if it is zoomed in far enough and was not read yet.
    pub fn order(
        &mut self,
        song: &SongView,
        tracks: impl FnOnce() -> Vec<(Option<usize>, Arc<Track>)>,
    ) {
        let length = song.view.end - song.view.start;
        if length / COLUMNS as f64 >= BASE_FRAMES as f64 {
            return;
        }
        let ready = song.job.as_ref().map_or(0, |job| job.ready.frames()) + song.decoded_frames;
        if let Some((key, frames, known)) = &self.ordered {
            let finer = (frames.end - frames.start) > 3.0 * 1.4 * length;
            let inside = frames.start <= song.view.start.max(0.0)
                && song.view.end.min(song.frames as f64) <= frames.end;
            if *key == song.key && inside && !finer && *known == ready {
                return;
            }
        }
        let frames = song.view.start - length..song.view.end + length;
        let order = Order { song: song.key, frames: frames.clone(), tracks: tracks() };
        match self.orders.try_send(order) {
            Ok(()) => self.ordered = Some((song.key, frames, ready)),
            // It is still reading; the next frame asks again.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// What has been read since the last call.
    pub fn poll(&self) -> impl Iterator<Item = Read> + '_ {
        self.results.try_iter()
    }
}
