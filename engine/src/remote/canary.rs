//! The test piece: before a computer's first chunk with a model, it computes a piece that this one
//! computed too, and both must come out the same to the bit.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OnceCell, oneshot};

use crate::{
    assemble::ChunkHash,
    audio::Planar,
    crew::{Outcome, Signal, Work, compute},
    error::{Error, ErrorKind, Result},
    local::Pool,
    model::{ChunkInput, ModelInfo, Separator, SongStats},
    store::{read_bounded, write_atomically},
};

/// Name of the file in a data folder; the number rises whenever [`piece`] changes.
const FILE: &str = "test-pieces-1.json";

const MAX_FILE_BYTES: u64 = 1 << 20;

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
