//! The test piece: before a computer's first chunk with a model, it computes a piece that this one
//! computed too, and both must come out the same to the bit.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OnceCell, oneshot};

use crate::{
    assemble::ChunkHash,
    audio::{Planar, WORK_RATE_HZ},
    crew::{Outcome, Signal, Work, compute},
    error::{Error, ErrorKind, Result},
    local::Pool,
    model::{ChunkInput, ModelInfo, Separator, SongStats},
    scheduler::MIN_PATIENCE,
    store::{read_bounded, write_atomically},
};

/// Name of the file in a data folder; the number rises whenever [`piece`] changes.
const FILE: &str = "test-pieces-1.json";

const MAX_FILE_BYTES: u64 = 1 << 20;

/// Longest patience with anybody, whatever it says of itself.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);

/// Most results remembered.
const MAX_REMEMBERED: usize = 256;

/// The first chunk of a song of noise that is one segment and the model's context long. Made by
/// integers, so that it is the same everywhere.
pub(super) fn piece(model: &ModelInfo) -> ChunkInput {
    let segment_frames = model.chunks.segment_frames as usize;
    let frames = segment_frames.saturating_add(model.chunks.context_frames as usize);
    let channel = |side: u32| {
        let sample = |n: u32| {
            // Loud and soft by turns, and unlike in both channels.
            let mut bits = (n ^ (side << 31)).wrapping_mul(0x9e37_79b1);
            bits = (bits ^ (bits >> 15)).wrapping_mul(0x85eb_ca77);
            bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae3d);
            ((bits ^ (bits >> 16)) as i32 >> (9 + (n >> 13) % 5)) as f32 / 8_388_608.0
        };
        (0..frames as u32).map(sample).collect()
    };
    ChunkInput {
        audio: Planar::from_channels(vec![channel(0), channel(1)]),
        context_before_frames: 0,
        segment_frames,
        start_frame: 0,
        song: SongStats {
            frames: frames as u64,
            mono_mean: 0.0,
            mono_std: 0.125,
            rms: 0.125,
            peak: 0.5,
        },
    }
}

/// For how long a computer may not get on with its test piece: as with any chunk, see
/// [`MIN_PATIENCE`], and four times that until it begins, since the way there may be slow.
pub(super) struct Patience {
    whole: Duration,
    seen: (bool, f32),
    since: Instant,
}

impl Patience {
    /// From `now` on, with a computer whose threads come to so many cores.
    pub(super) fn new(model: &ModelInfo, cores: f64, now: Instant) -> Self {
        let segment_secs = model.chunks.segment_frames as f64 / f64::from(WORK_RATE_HZ);
        // Who says that it has none gets as much time as with one.
        let cores = if cores > 0.0 { cores } else { 1.0 };
        let expected_secs = model.cost_core_secs_per_sec * segment_secs / cores;
        let expected = Duration::try_from_secs_f64(expected_secs).unwrap_or(MIN_PATIENCE);
        let whole = MIN_PATIENCE.max(expected.saturating_mul(4)).min(MOST_PATIENCE);
        Self { whole, seen: (false, 0.0), since: now }
    }

    /// Whether it is over now that the computer `has_started` and is so far (0.0..=1.0).
    pub(super) fn is_over(&mut self, now: Instant, has_started: bool, done: f32) -> bool {
        if self.seen != (has_started, done) {
            self.seen = (has_started, done);
            self.since = now;
        }
        let most = if has_started { self.whole } else { self.whole * 4 };
        now.saturating_duration_since(self.since) > most
    }
}

/// What test pieces come to on this computer, computed once for each model and choice of stems.
pub(super) struct Canaries {
    path: PathBuf,
    remembered: Mutex<BTreeMap<String, String>>,
    running: Mutex<BTreeMap<String, Arc<OnceCell<ChunkHash>>>>,
}

impl Canaries {
    /// Those remembered in `data_dir`. What cannot be read is computed again.
    pub(super) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let read = read_bounded(&path, MAX_FILE_BYTES).ok();
        let remembered = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path,
            remembered: Mutex::new(remembered.unwrap_or_default()),
            running: Mutex::default(),
        }
    }

    /// BLAKE3 of the test piece's result, as a chunk file has it.
    ///
    /// # Errors
    /// When this computer cannot compute it.
    pub(super) async fn expected(
        &self,
        pool: &Pool,
        separator: &Arc<dyn Separator>,
        work: &Work,
    ) -> Result<ChunkHash> {
        let key = key_of(work);
        if let Some(known) = lock(&self.remembered).get(&key).and_then(|hex| from_hex(hex)) {
            return Ok(known);
        }
        let cell = Arc::clone(lock(&self.running).entry(key.clone()).or_default());
        let computed = cell.get_or_try_init(|| compute_here(pool, separator, work)).await.copied();
        lock(&self.running).remove(&key);
        let computed = computed?;
        self.remember(key, computed);
        Ok(computed)
    }

    fn remember(&self, key: String, hash: ChunkHash) {
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        let hex = blake3::Hash::from_bytes(hash).to_hex().to_string();
        if remembered.insert(key, hex.clone()) == Some(hex) {
            return;
        }
        let written = write_atomically(&self.path, |mut file| {
            file.write_all(&serde_json::to_vec_pretty(&*remembered)?)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the test piece will be computed again next time");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(work: &Work) -> String {
    let mut key = blake3::Hash::from_bytes(work.model.hash).to_hex().to_string();
    for stem in &*work.keep {
        // A String takes everything.
        let _ = write!(key, "-{stem}");
    }
    key
}

fn from_hex(hex: &str) -> Option<ChunkHash> {
    blake3::Hash::from_hex(hex).ok().map(|hash| *hash.as_bytes())
}

async fn compute_here(
    pool: &Pool,
    separator: &Arc<dyn Separator>,
    work: &Work,
) -> Result<ChunkHash> {
    let (separator, keep) = (Arc::clone(separator), Arc::clone(&work.keep));
    let (tell, told) = oneshot::channel();
    pool.spawn(move || {
        let input = piece(separator.info());
        let result = match compute(separator.as_ref(), &input, &keep, &Signal::default()) {
            Outcome::Stems { stems, .. } => Ok(hash_of(&stems)),
            Outcome::Failed(_, error) | Outcome::Halted(error) => Err(error),
            Outcome::Stopped => Err(Error::cancelled()),
        };
        // Nobody may want it any more.
        let _ = tell.send(result);
    });
    told.await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Internal, "The test piece was not computed here"))
    })
}

fn hash_of(stems: &[Planar]) -> ChunkHash {
    let mut hasher = blake3::Hasher::new();
    for samples in stems.iter().flat_map(Planar::channels) {
        hasher.update(bytemuck::cast_slice::<f32, u8>(samples));
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spectral::Spectral;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn who_does_not_get_on_is_waited_for_half_a_minute_and_longer_before_it_begins() {
        let now = Instant::now();
        let mut patience = Patience::new(Spectral::new().info(), 4.0, now);
        assert!(!patience.is_over(now + secs(119), false, 0.0));
        assert!(patience.is_over(now + secs(121), false, 0.0));
        assert!(!patience.is_over(now + secs(122), true, 0.0), "it began");
        assert!(!patience.is_over(now + secs(151), true, 0.0));
        assert!(!patience.is_over(now + secs(151), true, 0.1), "it got on");
        assert!(!patience.is_over(now + secs(181), true, 0.1));
        assert!(patience.is_over(now + secs(182), true, 0.1));
    }

    #[test]
    fn slow_work_gets_four_times_what_is_expected_but_nobody_for_ever() {
        let now = Instant::now();
        let mut model = Spectral::new().info().clone();
        model.chunks.segment_frames = 10 * u64::from(WORK_RATE_HZ);
        model.cost_core_secs_per_sec = 4.0;
        let lasts = |model: &ModelInfo, cores| {
            let mut patience = Patience::new(model, cores, now);
            patience.is_over(now, true, 0.0);
            (1..).find(|&n| patience.is_over(now + secs(n), true, 0.0))
        };
        assert_eq!(lasts(&model, 2.0), Some(81));
        assert_eq!(lasts(&model, 0.0), Some(161), "it says that it has no cores");
        assert_eq!(lasts(&model, 1e-6), Some(3601));
        model.cost_core_secs_per_sec = f64::NAN;
        assert_eq!(lasts(&model, 2.0), Some(121));
    }
}
