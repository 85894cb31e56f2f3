//! Joins chunk results, in whatever order they come, into stems that do not depend on that order.
//!
//! Inside a [cell](crate::plan::Cell) the same chunks contribute to every frame, so a cell is joined
//! when all of them are there: the weighted sum in chunk order, in f64, over the sum of weights.
//! Joining a cell again writes the same bytes, so after a crash it is simply done again.

mod chunk_file;
mod stems;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::chunk_file::ChunkFile;
pub use self::{
    chunk_file::{ChunkHash, hash_chunk, write_chunk},
    stems::Stems,
};
use crate::{error::Result, plan::Plan, store::Track};

/// Frames joined at a time: the buffers stay in the processor's cache.
const BLOCK_FRAMES: usize = 1 << 14;

/// What a cell adds to the null test. Added up in cell order the result is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CellSums {
    /// Sum of squares of mixture minus all stems.
    pub residual: f64,
    /// Sum of squares of the mixture.
    pub mixture: f64,
}

/// BLAKE3 of a cell's samples: block by block, stem by stem, channel by channel, as little-endian f32.
pub type CellHash = [u8; 32];

/// What is known of a joined cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CellFacts {
    /// Its part of the null test.
    pub sums: CellSums,
    /// Tells whether its samples still are what they were.
    pub hash: CellHash,
}

/// Joins cells of one song.
#[derive(Debug)]
pub struct Assembler {
    plan: Arc<Plan>,
    chunk_dir: PathBuf,
    mixture: Arc<Track>,
    stems: Arc<Stems>,
    /// Cells whose waveform is drawn; adding them twice would count their energy twice.
    drawn: Vec<bool>,
}

impl Assembler {
    /// Joins chunk files in `chunk_dir` into `stems`, whose tracks have as many channels as the
    /// mixture: one or two. Waveforms that are whole already are left as they are.
    pub fn new(plan: Arc<Plan>, chunk_dir: &Path, mixture: Arc<Track>, stems: Arc<Stems>) -> Self {
        let whole = stems.waveforms.iter().all(|wave| wave.frames() >= plan.song_frames());
        let drawn = vec![whole; plan.cells().len()];
        Self { plan, chunk_dir: chunk_dir.into(), mixture, stems, drawn }
    }

    /// Whether the waveforms of `cell` are drawn.
    pub fn is_drawn(&self, cell: usize) -> bool {
        self.drawn[cell]
    }

    /// Where the result of `chunk` is looked for.
    pub fn chunk_path(chunk_dir: &Path, chunk: usize) -> PathBuf {
        chunk_dir.join(chunk.to_string())
    }

    /// Writes the final samples of `cell`, all chunks of which must be there.
    ///
    /// # Errors
    /// When a chunk cannot be read or a stem not be written. The cell may be joined again later.
    pub fn join(&self, cell: usize) -> Result<()> {
        let cell = &self.plan.cells()[cell];
        let mut parts =
            cell.chunks.clone().map(|chunk| self.part(chunk)).collect::<Result<Vec<_>>>()?;
        let mut sum = Accumulator::default();
        let mut left = Vec::new();
        let mut right = Vec::new();
        for block in blocks(&cell.frames) {
            let frames = (block.end - block.start) as usize;
            left.resize(frames, 0.0);
            right.resize(frames, 0.0);
            for part in &mut parts {
                part.weights.resize(frames, 0.0);
                self.plan.weights(part.chunk, block.clone(), &mut part.weights);
            }
            for (stem, track) in self.stems.tracks.iter().enumerate() {
                sum.blend(&mut parts, stem, 0, block.start, &mut left)?;
                sum.blend(&mut parts, stem, 1, block.start, &mut right)?;
                if track.channel_count() == 1 {
                    for (l, r) in left.iter_mut().zip(&right) {
                        *l = ((f64::from(*l) + f64::from(*r)) / 2.0) as f32;
                    }
                    track.write(block.start, &[&left])?;
                } else {
                    track.write(block.start, &[&left, &right])?;
                }
            }
        }
        Ok(())
    }

    /// Reads a joined cell once more: draws its waveforms, unless that was done, compares the sum of
    /// stems with the mixture, and hashes the stems.
    ///
    /// # Errors
    /// When a track cannot be read.
    pub fn inspect(&mut self, cell: usize) -> Result<CellFacts> {
        let channels = self.mixture.channel_count();
        let mut sums = CellSums::default();
        let mut hasher = blake3::Hasher::new();
        let mut mixture = vec![Vec::new(); channels];
        let mut stem = vec![Vec::new(); channels];
        let mut residual = vec![Vec::new(); channels];
        for block in blocks(&self.plan.cells()[cell].frames) {
            let frames = (block.end - block.start) as usize;
            mixture.iter_mut().chain(&mut stem).for_each(|c| c.resize(frames, 0.0));
            self.mixture.read(block.start, &mut mixture)?;
            for (rest, mixture) in residual.iter_mut().zip(&mixture) {
                rest.clear();
                rest.extend(mixture.iter().map(|&x| f64::from(x)));
                sums.mixture += rest.iter().map(|x| x * x).sum::<f64>();
            }
            for (track, waveform) in self.stems.tracks.iter().zip(&self.stems.waveforms) {
                track.read(block.start, &mut stem)?;
                hash_samples(&mut hasher, &stem);
                if !self.drawn[cell] {
                    waveform.extend(block.start, &stem);
                }
                for (rest, stem) in residual.iter_mut().zip(&stem) {
                    rest.iter_mut().zip(stem).for_each(|(rest, &x)| *rest -= f64::from(x));
                }
            }
            for rest in &residual {
                sums.residual += rest.iter().map(|x| x * x).sum::<f64>();
            }
        }
        self.drawn[cell] = true;
        Ok(CellFacts { sums, hash: hasher.finalize().into() })
    }

    /// Makes every joined cell survive a power cut.
    ///
    /// # Errors
    /// Whatever the file system says; what was joined since the last success must then be joined
    /// again, for the system may have dropped it.
    pub fn sync(&self) -> Result<()> {
        self.stems.tracks.iter().try_for_each(|track| track.sync())
    }

    fn part(&self, chunk: usize) -> Result<Part> {
        let segment = &self.plan.segments()[chunk];
        let path = Self::chunk_path(&self.chunk_dir, chunk);
        let file = ChunkFile::open(path, self.stems.stems.len(), segment.end - segment.start)?;
        Ok(Part { chunk, start_frame: segment.start, file, weights: Vec::new() })
    }
}

/// The hash of the cell `frames` as it lies in `stems`.
///
/// # Errors
/// When a track cannot be read.
pub fn hash_cell(stems: &Stems, frames: &Range<u64>) -> Result<CellHash> {
    let mut hasher = blake3::Hasher::new();
    let mut samples = Vec::new();
    for block in blocks(frames) {
        for track in &stems.tracks {
            samples.resize_with(track.channel_count(), Vec::new);
            samples.iter_mut().for_each(|c| c.resize((block.end - block.start) as usize, 0.0));
            track.read(block.start, &mut samples)?;
            hash_samples(&mut hasher, &samples);
        }
    }
    Ok(hasher.finalize().into())
}

fn hash_samples(hasher: &mut blake3::Hasher, channels: &[Vec<f32>]) {
    for samples in channels {
        hasher.update(bytemuck::cast_slice(samples));
    }
}

/// One chunk's share of a cell.
struct Part {
    chunk: usize,
    start_frame: u64,
    file: ChunkFile,
    weights: Vec<f64>,
}

impl Part {
    fn read(&mut self, stem: usize, channel: usize, at: u64, out: &mut [f32]) -> Result<()> {
        self.file.read(stem, channel, at - self.start_frame, out)
    }
}

#[derive(Default)]
struct Accumulator {
    samples: Vec<f32>,
    weighted: Vec<f64>,
    total: Vec<f64>,
}

impl Accumulator {
    /// The parts' weighted mean at `at`, into `out`. One part alone is copied.
    fn blend(
        &mut self,
        parts: &mut [Part],
        stem: usize,
        channel: usize,
        at: u64,
        out: &mut [f32],
    ) -> Result<()> {
        if let [part] = parts {
            return part.read(stem, channel, at, out);
        }
        self.samples.resize(out.len(), 0.0);
        for sums in [&mut self.weighted, &mut self.total] {
            sums.clear();
            sums.resize(out.len(), 0.0);
        }
        for part in parts {
            part.read(stem, channel, at, &mut self.samples)?;
            let sums = self.weighted.iter_mut().zip(&mut self.total);
            for ((sum, total), (x, weight)) in sums.zip(self.samples.iter().zip(&part.weights)) {
                *sum += weight * f64::from(*x);
                *total += weight;
            }
        }
        for (out, (sum, total)) in out.iter_mut().zip(self.weighted.iter().zip(&self.total)) {
            *out = (sum / total) as f32;
        }
        Ok(())
    }
}

fn blocks(frames: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = frames.end;
    frames.clone().step_by(BLOCK_FRAMES).map(move |at| at..end.min(at + BLOCK_FRAMES as u64))
}
