//! How a song is cut into chunks and how the chunks are weighed when they are joined again. Pure:
//! song length and [`ChunkSpec`] decide everything, never who computes it.
//!
//! Chunk `n` starts at frame `n * stride` and yields one segment, cut at the song's end, as
//! `demucs/apply.py: apply_model` cuts (`range(0, length, stride)`). Where segments overlap, the
//! song falls into [`Cell`]s: the stretches between neighbouring chunk starts and ends, inside
//! which the same chunks contribute everywhere. A cell is final as soon as all its chunks are.

use std::{ops::Range, sync::Arc};

use crate::{
    error::{Error, ErrorKind, Result},
    model::{ChunkSpec, JoinWindow},
};

/// Version of the rules in this file; results of another version are never mixed with ours.
pub const GRID_VERSION: u32 = 1;

/// Most chunks a song may fall into; more means a damaged specification.
pub const MAX_CHUNKS: usize = 1 << 20;

/// Most chunks that may contribute to one frame.
pub const MAX_OVERLAP: u64 = 64;

/// A stretch of the song to which the same chunks contribute everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Where it lies.
    pub frames: Range<u64>,
    /// The chunks that cover it, at least one.
    pub chunks: Range<usize>,
}

/// The chunk grid of one song.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    song_frames: u64,
    spec: ChunkSpec,
    segments: Arc<[Range<u64>]>,
    cells: Vec<Cell>,
}

impl Plan {
    /// The grid of a song of `song_frames` frames; an empty song has no chunks.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a zero segment or stride, a stride beyond the segment (the song
    /// would have holes) or an overlap beyond [`MAX_OVERLAP`]; [`ErrorKind::TooLarge`] beyond
    /// [`MAX_CHUNKS`].
    pub fn new(song_frames: u64, spec: ChunkSpec) -> Result<Self> {
        let ChunkSpec { segment_frames: segment, stride_frames: stride, .. } = spec;
        if segment == 0 || stride == 0 || stride > segment {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("A model cannot cut songs into {segment} frames every {stride} frames"),
            ));
        }
        if segment.div_ceil(stride) > MAX_OVERLAP {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("More than {MAX_OVERLAP} chunks of the model would overlap"),
            ));
        }
        let count = usize::try_from(song_frames.div_ceil(stride))
            .ok()
            .filter(|&count| count <= MAX_CHUNKS)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::TooLarge,
                    format!("The song would fall into more than {MAX_CHUNKS} chunks"),
                )
            })?;
        let segments: Arc<[Range<u64>]> = (0..count as u64)
            .map(|n| n * stride..song_frames.min((n * stride).saturating_add(segment)))
            .collect();
        let cells = cells_of(&segments);
        Ok(Self { song_frames, spec, segments, cells })
    }

    /// Length of the song.
    pub fn song_frames(&self) -> u64 {
        self.song_frames
    }

    /// What the grid was made from.
    pub fn spec(&self) -> &ChunkSpec {
        &self.spec
    }

    /// Output range of every chunk, ascending in start and end.
    pub fn segments(&self) -> &Arc<[Range<u64>]> {
        &self.segments
    }

    /// The cells in order; together they are the song, without gaps or overlaps.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells that `chunk` covers; together they are its segment.
    pub fn cells_of_chunk(&self, chunk: usize) -> Range<usize> {
        let segment = &self.segments[chunk];
        self.cells.partition_point(|cell| cell.frames.end <= segment.start)
            ..self.cells.partition_point(|cell| cell.frames.start < segment.end)
    }

    /// Frames from this chunk's start to the next one's or the song's end; over all chunks they
    /// add up to the song.
    pub fn advance_frames(&self, chunk: usize) -> u64 {
        self.spec.stride_frames.min(self.song_frames - self.segments[chunk].start)
    }

    /// What a model gets to see for `chunk`: the segment with the spec's context on both sides. A
    /// short last segment lies in the middle of a full one (as Demucs's `TensorChunk.padded`
    /// takes it), so models of fixed input length get real samples wherever there are some. Cut at
    /// the song's own ends.
    pub fn input(&self, chunk: usize) -> Range<u64> {
        let segment = &self.segments[chunk];
        let ChunkSpec { segment_frames, context_frames, .. } = self.spec;
        let before = (segment_frames - (segment.end - segment.start)) / 2;
        let end = (segment.start + segment_frames - before).saturating_add(context_frames);
        segment.start.saturating_sub(before.saturating_add(context_frames))
            ..end.min(self.song_frames)
    }

    /// Weights of `chunk`'s output over `frames`, which lie inside its segment, into `weights`
    /// (as long as `frames`). Always above zero; the sum over a cell's chunks is divided out.
    pub fn weights(&self, chunk: usize, frames: Range<u64>, weights: &mut [f64]) {
        let segment = &self.segments[chunk];
        debug_assert!(segment.start <= frames.start && frames.end <= segment.end);
        debug_assert_eq!(weights.len() as u64, frames.end - frames.start);
        let length = self.spec.segment_frames;
        match self.spec.window {
            JoinWindow::Triangle => {
                let peak = (length - length / 2) as f64;
                for (weight, frame) in weights.iter_mut().zip(frames) {
                    let at = frame - segment.start;
                    let steps = if at < length / 2 { at + 1 } else { length - at };
                    *weight = steps as f64 / peak;
                }
            }
            JoinWindow::LinearFades => {
                let overlap = length - self.spec.stride_frames;
                let fades_in = segment.start > 0;
                let fades_out = segment.end < self.song_frames;
                for (weight, frame) in weights.iter_mut().zip(frames) {
                    let rise = if fades_in { frame - segment.start + 1 } else { u64::MAX };
                    let fall = if fades_out { segment.end - frame } else { u64::MAX };
                    let steps = rise.min(fall).min(overlap + 1);
                    *weight = steps as f64 / (overlap + 1) as f64;
                }
            }
        }
    }
}

/// The first chunk that reaches beyond `frame`: where work for a playhead at `frame` begins.
pub fn first_chunk_at(segments: &[Range<u64>], frame: u64) -> usize {
    segments.partition_point(|segment| segment.end <= frame)
}

fn cells_of(segments: &[Range<u64>]) -> Vec<Cell> {
    let mut edges: Vec<u64> = segments.iter().flat_map(|s| [s.start, s.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
        .windows(2)
        .map(|edge| Cell {
            frames: edge[0]..edge[1],
            chunks: first_chunk_at(segments, edge[0])
                ..segments.partition_point(|segment| segment.start <= edge[0]),
        })
        .collect()
}
