//! Hybrid Transformer Demucs (Rouard, Massa and Défossez 2023) from its official checkpoints.
//!
//! One file per block of the network, named as in the paper and in the reference implementation
//! (`facebookresearch/demucs`, MIT), whose functions the comments name. Shapes are channels first.
//! PERFORMANCE.md tells how fast it is and why.

mod config;
mod dconv;
mod decoder;
mod encoder;
mod network;
#[cfg(test)]
mod parity;
mod position;
mod spectrum;
mod transformer;

use std::sync::{Arc, Mutex, PoisonError};

pub use self::{config::Config, network::Network};
use super::{
    ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Quality, Separator, Stem,
    checkpoint::Checkpoint, nn::Kernels,
};
use crate::{
    audio::{Planar, WORK_RATE_HZ},
    error::{Error, ErrorKind, Result},
};

/// Changes whenever a single output sample may change.
const VERSION: &str = "htdemucs 2";

/// Longest shift of the shift trick: half a second, as in `apply.py: apply_model`.
const MAX_SHIFT_FRAMES: u64 = WORK_RATE_HZ as u64 / 2;

/// Most shifts: beyond ten nobody has measured a gain.
const MAX_SHIFTS: u32 = 100;

/// Floating-point operations of one second of audio in a segment of the released models, and what
/// one core of the 2020s does of them in a second; for estimates before anything was measured.
const FLOP_PER_SEC: f64 = 334.9e9 / 7.8;
const FLOP_PER_CORE_SEC: f64 = 80e9;

/// What is known of a model before its weights are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Identifier ("htdemucs").
    pub name: String,
    /// Name in the window.
    pub title: String,
    /// One plain sentence.
    pub description: String,
    /// Stems, in the order of the networks' sources.
    pub sources: Vec<Stem>,
    /// Frames of a segment.
    pub segment_frames: usize,
    /// How much each network of a bag counts for each source: `[network][source]`. A single network
    /// counts for all.
    pub weights: Vec<Vec<f32>>,
    /// Hash of the weight files.
    pub weights_hash: [u8; 32],
}

/// Reads the checkpoint of network `n` of a bag.
pub type Load = dyn Fn(usize) -> Result<Checkpoint> + Send + Sync;

/// One network or a bag of them as a separator. Weights are read when they are first needed.
pub struct Htdemucs {
    info: ModelInfo,
    /// For each stem of `info`, its index among the sources.
    sources: Vec<usize>,
    shifts: Vec<u64>,
    bag: Arc<Bag>,
}

/// What the variants of a model share.
struct Bag {
    profile: Profile,
    kernels: Kernels,
    load: Arc<Load>,
    networks: Vec<Mutex<Option<Arc<Network>>>>,
}

impl Htdemucs {
    /// A model of which `profile` is known, whose checkpoints `load` reads.
    pub fn new(profile: Profile, load: Box<Load>) -> Self {
        Self::with_kernels(profile, load, Kernels::detect())
    }

    /// The same with chosen vector instructions.
    pub fn with_kernels(profile: Profile, load: Box<Load>, kernels: Kernels) -> Self {
        Self::variant(Bag::new(profile, kernels, load.into()), Quality::default())
    }

    /// The same model with weights of its own, which are not read yet.
    #[must_use]
    pub fn unloaded(&self) -> Self {
        let Bag { profile, kernels, load, .. } = &*self.bag;
        Self {
            info: self.info.clone(),
            sources: self.sources.clone(),
            shifts: self.shifts.clone(),
            bag: Bag::new(profile.clone(), *kernels, Arc::clone(load)),
        }
    }

    fn variant(bag: Arc<Bag>, quality: Quality) -> Self {
        let Profile { name, title, description, sources, segment_frames, .. } = &bag.profile;
        let shifted = if quality.shifts > 0 { MAX_SHIFT_FRAMES } else { 0 };
        let segment_frames = *segment_frames as u64 - shifted;
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|&source| sources[source]);
        let mut hash = blake3::Hasher::new_derive_key("stemhive 2026 htdemucs v1");
        hash.update(VERSION.as_bytes());
        hash.update(&[u8::from(bag.kernels.fused())]);
        hash.update(&bag.profile.weights_hash);
        for weight in bag.profile.weights.iter().flatten() {
            hash.update(&weight.to_le_bytes());
        }
        hash.update(&quality.shifts.to_le_bytes());
        hash.update(&quality.overlap.to_le_bytes());
        let networks = bag.profile.weights.len() as f64;
        let passes = f64::from(quality.shifts.max(1)) / (1.0 - quality.overlap) * networks;
        let info = ModelInfo {
            name: name.clone(),
            title: title.clone(),
            description: description.clone(),
            stems: order.iter().map(|&source| sources[source]).collect(),
            chunks: ChunkSpec {
                segment_frames,
                // As Demucs cuts: `int((1 - overlap) * segment_length)`.
                stride_frames: (((1.0 - quality.overlap) * segment_frames as f64) as u64).max(1),
                context_frames: shifted,
                window: JoinWindow::Triangle,
            },
            hash: hash.finalize().into(),
            memory_bytes_per_chunk: memory_bytes(&bag.profile),
            cost_core_secs_per_sec: FLOP_PER_SEC / FLOP_PER_CORE_SEC * passes,
            sums_to_mixture: false,
        };
        Self { info, sources: order, shifts: shifts(quality.shifts), bag }
    }

    /// The bag's networks that count for any of these sources, with what they count.
    fn networks(&self, wanted: &[usize]) -> Result<Vec<(Arc<Network>, &[f32])>> {
        let counts = |weights: &&Vec<f32>| wanted.iter().any(|&source| weights[source] != 0.0);
        let weights = self.bag.profile.weights.iter().enumerate();
        let needed = weights.filter(|(_, weights)| counts(weights));
        needed.map(|(n, weights)| Ok((self.bag.network(n)?, &weights[..]))).collect()
    }
}

impl Bag {
    fn new(profile: Profile, kernels: Kernels, load: Arc<Load>) -> Arc<Self> {
        let networks = profile.weights.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self { profile, kernels, load, networks })
    }

    /// Network `n`, read by whoever comes first.
    fn network(&self, n: usize) -> Result<Arc<Network>> {
        let mut place = self.networks[n].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = &*place {
            return Ok(Arc::clone(network));
        }
        let network = Network::load((self.load)(n)?, self.kernels)?;
        let Config { sources, segment_frames, .. } = network.config();
        if (sources, *segment_frames) != (&self.profile.sources, self.profile.segment_frames) {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("The model “{}” is not what it was when it came", self.profile.title),
            )
            .advice("Remove it and get it again"));
        }
        Ok(Arc::clone(place.insert(Arc::new(network))))
    }
}

impl Separator for Htdemucs {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> Result<Vec<Planar>> {
        let all: Vec<usize> = (0..self.info.stems.len()).collect();
        self.separate_some(input, &all, progress)
    }

    fn separate_some(
        &self,
        input: &ChunkInput,
        keep: &[usize],
        progress: &dyn Progress,
    ) -> Result<Vec<Planar>> {
        let wanted: Vec<usize> = keep.iter().map(|&stem| self.sources[stem]).collect();
        let networks = self.networks(&wanted)?;
        let level = Level::of(input);
        let mut stems = vec![Planar::silence(2, input.segment_frames); wanted.len()];
        let passes = networks.len() * self.shifts.len();
        for (pass, &shift) in self.shifts.iter().enumerate() {
            let (segment, begin) = self.segment(input, level, shift);
            for (n, (network, weights)) in networks.iter().enumerate() {
                let given: Vec<usize> =
                    wanted.iter().copied().filter(|&source| weights[source] != 0.0).collect();
                let part = Part { progress, done: pass * networks.len() + n, of: passes };
                let results = network.forward([&segment[0], &segment[1]], &given, &part)?;
                for (source, result) in given.into_iter().zip(results) {
                    let total: f32 = networks.iter().map(|(_, weights)| weights[source]).sum();
                    let share = weights[source] / total / self.shifts.len() as f32;
                    let Some(stem) = wanted.iter().position(|&wanted| wanted == source) else {
                        continue;
                    };
                    for (out, samples) in stems[stem].channels_mut().iter_mut().zip(result) {
                        let samples = &samples[begin..][..input.segment_frames];
                        for (out, x) in out.iter_mut().zip(samples) {
                            *out += x * share;
                        }
                    }
                }
            }
        }
        for sample in stems.iter_mut().flat_map(|stem| stem.channels_mut()).flatten() {
            *sample = level.undo(*sample);
        }
        Ok(stems)
    }

    fn prepare(&self, keep: &[usize]) -> Result<()> {
        let wanted: Vec<usize> = keep.iter().map(|&stem| self.sources[stem]).collect();
        self.networks(&wanted).map(drop)
    }

    fn uses_all_threads(&self) -> bool {
        true
    }

    fn with_quality(&self, quality: Quality) -> Option<Arc<dyn Separator>> {
        let room = self.bag.profile.segment_frames as u64 > MAX_SHIFT_FRAMES;
        let shifts = if room { 0..=MAX_SHIFTS } else { 0..=0 };
        let possible = shifts.contains(&quality.shifts) && (0.0..=0.9).contains(&quality.overlap);
        possible.then(|| Arc::new(Self::variant(Arc::clone(&self.bag), quality)) as _)
    }
}

impl Htdemucs {
    /// What a network gets to see of a chunk: normalised, `shift` frames early, with silence beyond
    /// the song; and where in it the chunk's segment begins.
    fn segment(&self, input: &ChunkInput, level: Level, shift: u64) -> ([Vec<f32>; 2], usize) {
        let length = self.bag.profile.segment_frames;
        let shifted =
            if self.info.chunks.context_frames > 0 { MAX_SHIFT_FRAMES as usize } else { 0 };
        let begin = (length - shifted - input.segment_frames) / 2 + shift as usize;
        let segment = [0, 1].map(|side| {
            let channel = input.audio.channel(side);
            let mut out = vec![0.0; length];
            // Negative where the surroundings given begin before the segment does.
            let skipped = input.context_before_frames.saturating_sub(begin);
            let silent = begin.saturating_sub(input.context_before_frames);
            for (out, x) in out[silent..].iter_mut().zip(&channel[skipped.min(channel.len())..]) {
                *out = level.normalise(*x);
            }
            out
        });
        (segment, begin)
    }
}

/// Mean and deviation of the whole song, by which its samples are normalised
/// (`api.py: separate_tensor`).
#[derive(Debug, Clone, Copy)]
struct Level {
    mean: f32,
    deviation: f32,
}

impl Level {
    fn of(input: &ChunkInput) -> Self {
        Self { mean: input.song.mono_mean as f32, deviation: (input.song.mono_std + 1e-8) as f32 }
    }

    fn normalise(self, x: f32) -> f32 {
        (x - self.mean) / self.deviation
    }

    fn undo(self, x: f32) -> f32 {
        x * self.deviation + self.mean
    }
}

/// The frames by which each pass is shifted: the same for every chunk and on every machine.
fn shifts(count: u32) -> Vec<u64> {
    if count == 0 {
        return vec![0];
    }
    // SplitMix64 (Steele, Lea and Flood 2014), from a fixed seed.
    let mut state = 0u64;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % (MAX_SHIFT_FRAMES + 1)
    };
    std::iter::repeat_with(next).take(count as usize).collect()
}

/// Working memory of one running segment of the released models (200 MB of it for activations,
/// measured), its input and its stems; the weights, which all segments share, come on top.
fn memory_bytes(profile: &Profile) -> u64 {
    profile.segment_frames as u64 * 750
}

/// One pass among several.
struct Part<'a> {
    progress: &'a dyn Progress,
    done: usize,
    of: usize,
}

impl Progress for Part<'_> {
    fn report(&self, done: f32) {
        self.progress.report((self.done as f32 + done) / self.of as f32);
    }

    fn is_cancelled(&self) -> bool {
        self.progress.is_cancelled()
    }
}
