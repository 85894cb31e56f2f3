//! Feature maps, cut into tiles that lie in memory one after another.

use pulp::Simd;

/// Widths of tiles are multiples of this many positions, so that every instruction set's tile of
/// the matrix product divides them.
pub(crate) const BLOCK: usize = 48;

/// Positions in a tile of a [`Layout::Line`]: what one matrix product works on at a time.
const LINE_TILE: usize = 7 * BLOCK;

/// What the tiles of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Rows of a picture, each as long as all (a spectrogram's frequencies over time).
    Rows,
    /// Pieces of one line (time), one after another.
    Line,
}

/// Activations of shape `[tiles][channels][width]`; positions beyond the valid ones hold anything.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    data: Vec<f32>,
    layout: Layout,
    tiles: usize,
    channels: usize,
    width: usize,
    frames: usize,
}

impl Map {
    /// `rows` rows of `frames` positions, zeros.
    pub(crate) fn rows(rows: usize, channels: usize, frames: usize) -> Self {
        Self::new(Layout::Rows, rows, channels, frames.next_multiple_of(BLOCK), frames)
    }

    /// One line of `frames` positions, zeros.
    pub(crate) fn line(channels: usize, frames: usize) -> Self {
        let width = LINE_TILE.min(frames.next_multiple_of(BLOCK)).max(BLOCK);
        Self::new(Layout::Line, frames.div_ceil(width), channels, width, frames)
    }

    fn new(layout: Layout, tiles: usize, channels: usize, width: usize, frames: usize) -> Self {
        Self { data: vec![0.0; tiles * channels * width], layout, tiles, channels, width, frames }
    }

    /// A map of zeros cut as this one, with `channels` channels.
    pub(crate) fn like(&self, channels: usize) -> Self {
        Self::new(self.layout, self.tiles, channels, self.width, self.frames)
    }

    pub(crate) fn tiles(&self) -> usize {
        self.tiles
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Positions of a tile in memory.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Valid positions: of each row, or of the whole line.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Valid positions of a tile.
    pub(crate) fn valid(&self, tile: usize) -> usize {
        self.view().valid(tile)
    }

    /// Floats of a tile.
    pub(crate) fn tile_len(&self) -> usize {
        self.channels * self.width
    }

    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    pub(crate) fn tile(&self, tile: usize) -> &[f32] {
        &self.data[tile * self.tile_len()..][..self.tile_len()]
    }

    /// The map, to read.
    pub(crate) fn view(&self) -> MapRef<'_> {
        MapRef {
            data: &self.data,
            layout: self.layout,
            tiles: self.tiles,
            channels: self.channels,
            width: self.width,
            frames: self.frames,
        }
    }
}

/// A map to read from, at any position: there are zeros outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapRef<'a> {
    data: &'a [f32],
    layout: Layout,
    tiles: usize,
    pub(crate) channels: usize,
    width: usize,
    frames: usize,
}

impl<'a> MapRef<'a> {
    /// One row of its own: `[channels][width]` with `frames` valid positions.
    pub(crate) fn row(data: &'a [f32], channels: usize, frames: usize) -> Self {
        let width = data.len() / channels;
        Self { data, layout: Layout::Rows, tiles: 1, channels, width, frames }
    }

    fn valid(&self, tile: usize) -> usize {
        match self.layout {
            Layout::Rows => self.frames,
            Layout::Line => self.width.min(self.frames - tile * self.width),
        }
    }

    /// Position at which `tile` begins, as [`Self::read`] counts.
    pub(crate) fn start(&self, tile: usize) -> (isize, isize) {
        match self.layout {
            Layout::Rows => (tile as isize, 0),
            Layout::Line => (0, (tile * self.width) as isize),
        }
    }

    /// Where in memory `count` positions of the first channel from `position` of `row` on lie, if
    /// they lie in one tile; those of the next channel are [`Self::stride`] further.
    #[inline(always)]
    pub(super) fn inside(&self, row: isize, position: isize, count: usize) -> Option<usize> {
        let (tile, at) = match self.layout {
            Layout::Rows => (usize::try_from(row).ok()?, usize::try_from(position).ok()?),
            Layout::Line => {
                let position = usize::try_from(position).ok()?;
                (position / self.width, position % self.width)
            }
        };
        let fits = tile < self.tiles && at + count <= self.valid(tile);
        fits.then_some(tile * self.channels * self.width + at)
    }

    /// Floats from one channel to the next.
    pub(super) fn stride(&self) -> usize {
        self.width
    }

    pub(super) fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Reads as many positions of `channel` as `out` has, from `position` of `row` on.
    #[inline(never)]
    pub(super) fn read(&self, channel: usize, row: isize, position: isize, out: &mut [f32]) {
        out.fill(0.0);
        let inside = match self.layout {
            Layout::Rows => (0..self.tiles as isize).contains(&row),
            Layout::Line => row == 0,
        };
        if !inside {
            return;
        }
        let first = (-position).clamp(0, out.len() as isize) as usize;
        let last = (self.frames as isize - position).clamp(0, out.len() as isize) as usize;
        let mut i = first;
        while i < last {
            let at = (position + i as isize) as usize;
            let (tile, offset) = match self.layout {
                Layout::Rows => (row as usize, at),
                Layout::Line => (at / self.width, at % self.width),
            };
            let run = (last - i).min(self.width - offset);
            let start = (tile * self.channels + channel) * self.width + offset;
            out[i..i + run].copy_from_slice(&self.data[start..start + run]);
            i += run;
        }
    }

    /// Reads every `stride`th position of a line.
    #[inline(always)]
    pub(super) fn read_strided(
        &self,
        channel: usize,
        position: isize,
        stride: usize,
        out: &mut [f32],
    ) {
        let mut rest = out;
        let mut position = position;
        while position < 0 && !rest.is_empty() {
            rest[0] = 0.0;
            rest = &mut rest[1..];
            position += stride as isize;
        }
        let mut at = position as usize;
        while at < self.frames && !rest.is_empty() {
            let (tile, offset) = (at / self.width, at % self.width);
            let row = &self.data[(tile * self.channels + channel) * self.width..];
            let row = &row[offset..self.valid(tile)];
            let count = row.len().div_ceil(stride).min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            for (out, x) in now.iter_mut().zip(row.iter().step_by(stride)) {
                *out = *x;
            }
            at += count * stride;
            rest = later;
        }
        rest.fill(0.0);
    }
}

/// Copies by vectors; much shorter than a call of `memcpy` at these lengths.
#[inline(always)]
pub(super) fn copy<S: Simd>(from: &[f32], to: &mut [f32]) {
    let (from, from_rest) = S::as_simd_f32s(from);
    let (to, to_rest) = S::as_mut_simd_f32s(to);
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}
