//! The network: bands of a spectrogram, mixed over time and over bands by recurrent units, and masks
//! of every stem (after Luo and Yu, "Music Source Separation with Band-Split RNN", 2023, with shared
//! units, real masks and a softmax over the stems).

use std::ops::Range;

use rayon::prelude::*;

use super::config::{Config, INPUTS, Mixer, OUTPUTS, POWER_FLOOR, STEMS};
use crate::{
    error::Result,
    model::{
        checkpoint::Checkpoint,
        nn::{
            BLOCK, Compress, Dense, Finish, Gru, GruScratch, Kernels, Matrix, Multiply, Pass,
            RmsNorm, Softmax, Unpack, transpose,
        },
        steps::Steps,
        weights::Weights,
    },
    parallel::across,
};

/// Frames of a piece. Whatever does not look over time is computed piece by piece, for a piece's
/// values stay in a core's own cache from step to step, and pieces are what threads share out.
/// Every column is computed by itself, so nothing depends on where pieces begin.
pub(super) const PIECE: usize = BLOCK;

/// The network with its weights.
#[derive(Debug)]
pub(super) struct Network {
    kernels: Kernels,
    config: Config,
    /// A value each grid bin and input, of [`Compress`].
    shift: Vec<f32>,
    scale: Vec<f32>,
    /// Each band's powers to its features.
    split: Vec<Matrix>,
    blocks: Vec<Block>,
    /// Each band's features to its masks, by way of a hidden layer.
    heads: Vec<[Matrix; 2]>,
}

#[derive(Debug)]
struct Block {
    time: Recurrent,
    bands: Bands,
}

/// Norm, a recurrent unit both ways, and back to the features that it is added to.
#[derive(Debug)]
struct Recurrent {
    gain: Vec<f32>,
    /// Forwards and backwards.
    units: [Gru; 2],
    hidden: usize,
    out: Matrix,
}

#[derive(Debug)]
enum Bands {
    Mlp { gain: Vec<f32>, expand: Matrix, reduce: Matrix },
    Gru(Box<Recurrent>),
}

impl Network {
    /// Takes the network's weights out of its file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] when a tensor is missing or has another shape,
    /// [`crate::ErrorKind::Unsupported`] when one is left.
    pub(super) fn load(
        mut checkpoint: Checkpoint,
        config: Config,
        kernels: Kernels,
    ) -> Result<Self> {
        let mut weights = Weights { checkpoint: &mut checkpoint, kernels };
        let grid = config.bands.last().map_or(0, |&(_, high)| high);
        let Config { width, head_hidden, .. } = config;
        let shift = weights.tensor("shift", &[grid, INPUTS])?;
        let scale = weights.tensor("scale", &[grid, INPUTS])?;
        let (mut split, mut heads) = (Vec::new(), Vec::new());
        for (band, (low, high)) in config.bands.iter().enumerate() {
            let bins = high - low;
            split.push(weights.matrix(&format!("split.{band}"), &[width, bins * INPUTS])?);
            heads.push([
                weights.matrix(&format!("head.{band}.hidden"), &[head_hidden, width])?,
                weights.matrix(&format!("head.{band}.out"), &[bins * OUTPUTS, head_hidden])?,
            ]);
        }
        let block = |n| Block::load(&mut weights, &format!("blocks.{n}"), &config);
        let blocks = (0..config.blocks).map(block).collect::<Result<_>>()?;
        weights.finish()?;
        Ok(Self { kernels, config, shift, scale, split, blocks, heads })
    }

    /// The song's frames that decide about `frames`. They may lie beyond the song's end.
    pub(super) fn reach(&self, frames: Range<usize>) -> Range<usize> {
        self.config.reach(0, frames)
    }

    /// Steps, as [`Steps`] counts them, of [`Self::forward`].
    pub(super) fn steps(&self, seen: &Range<usize>, wanted: &Range<usize>) -> usize {
        let bands = self.config.bands.len();
        let mixer = if self.config.mixer == Mixer::Gru { 2 * bands } else { 1 };
        let block = |n| {
            let kept = self.entering(n + 1, seen, wanted);
            2 * self.entering(n, seen, wanted).len() + mixer * pieces(kept.len())
        };
        (0..self.config.blocks).map(block).sum::<usize>()
            + pieces(seen.len())
            + pieces(wanted.len())
    }

    /// The frames that `block` is given.
    fn entering(&self, block: usize, seen: &Range<usize>, wanted: &Range<usize>) -> Range<usize> {
        let reach = self.config.reach(block, wanted.clone());
        reach.start.max(seen.start)..reach.end.min(seen.end)
    }

    /// Masks `[pieces][grid bins][stems][2][PIECE]` of the song's frames `wanted`, for the powers
    /// `[pieces][grid bins][4][PIECE]` of its frames `seen`. The last piece's columns beyond the
    /// frames are without meaning.
    ///
    /// # Errors
    /// When cancelled.
    pub(super) fn forward(
        &self,
        powers: Vec<f32>,
        seen: &Range<usize>,
        wanted: &Range<usize>,
        steps: &Steps<'_>,
    ) -> Result<Vec<f32>> {
        let mut x = across(|| self.split(powers, steps))?;
        let mut columns = seen.clone();
        for (n, block) in self.blocks.iter().enumerate() {
            let kept = self.entering(n + 1, seen, wanted);
            x = across(|| self.over_time(n, &block.time, x, columns, &kept, steps))?;
            columns = kept;
            across(|| {
                x.par_chunks_mut(self.piece_len()).try_for_each_init(
                    Scratch::default,
                    |scratch, piece| match &block.bands {
                        Bands::Gru(unit) => unit.add(self.kernels, piece, PIECE, scratch, steps),
                        Bands::Mlp { gain, expand, reduce } => {
                            self.over_bands(gain, expand, reduce, piece);
                            steps.step(1)
                        }
                    },
                )
            })?;
        }
        across(|| self.masks(&x, steps))
    }

    /// Floats of a piece's features.
    fn piece_len(&self) -> usize {
        self.config.bands.len() * self.config.width * PIECE
    }

    /// Every band's features `[pieces][bands][features][PIECE]`.
    fn split(&self, mut powers: Vec<f32>, steps: &Steps<'_>) -> Result<Vec<f32>> {
        let Self { kernels, config, .. } = self;
        let powers_len = self.shift.len() * PIECE;
        let mut x = vec![0.0; powers.len() / powers_len * self.piece_len()];
        x.par_chunks_mut(self.piece_len())
            .zip(powers.par_chunks_mut(powers_len))
            .try_for_each_init(Vec::new, |scratch, (x, powers)| {
                kernels.run(Compress {
                    data: powers,
                    width: PIECE,
                    floor: POWER_FLOOR,
                    exponent: config.feature_exponent,
                    shift: &self.shift,
                    scale: &self.scale,
                });
                let tiles = x.chunks_exact_mut(config.width * PIECE);
                for ((&(low, high), tile), matrix) in
                    config.bands.iter().zip(tiles).zip(&self.split)
                {
                    let rows = &powers[low * INPUTS * PIECE..high * INPUTS * PIECE];
                    kernels.run(product(matrix, rows, PIECE, tile, Finish::Store, scratch));
                }
                steps.step(1)
            })?;
        Ok(x)
    }

    /// Every piece's features with what the unit of `block` makes of them over time added: those of
    /// the frames `columns` go in, those of the frames `kept` come out.
    fn over_time(
        &self,
        block: usize,
        unit: &Recurrent,
        mut x: Vec<f32>,
        columns: Range<usize>,
        kept: &Range<usize>,
        steps: &Steps<'_>,
    ) -> Result<Vec<f32>> {
        let (bands, features) = (self.config.bands.len(), self.config.width);
        // The bands lie side by side: `[frames][features][bands]`.
        let across = padded(bands);
        let tile_len = features * across;
        let mut turned = vec![0.0; columns.len() * tile_len];
        turned.par_chunks_mut(PIECE * tile_len).zip(x.par_chunks(self.piece_len())).for_each(
            |(tiles, piece)| {
                let frames = tiles.len() / tile_len;
                for n in 0..features {
                    let (from, to) = (&piece[n * PIECE..], &mut tiles[n * across..]);
                    transpose(from, features * PIECE, to, tile_len, bands, frames);
                }
            },
        );
        let mut rest = &mut turned[..];
        let windows = self.config.windows(block, columns.clone());
        let windows: Vec<_> =
            windows.map_while(|w| rest.split_off_mut(..w.len() * tile_len)).collect();
        windows.into_par_iter().try_for_each_init(Scratch::default, |scratch, tiles| {
            unit.add(self.kernels, tiles, across, scratch, steps)
        })?;
        let turned = &turned[(kept.start - columns.start) * tile_len..][..kept.len() * tile_len];
        x.clear();
        x.resize(pieces(kept.len()) * self.piece_len(), 0.0);
        x.par_chunks_mut(self.piece_len()).zip(turned.par_chunks(PIECE * tile_len)).for_each(
            |(piece, tiles)| {
                let frames = tiles.len() / tile_len;
                for n in 0..features {
                    let (from, to) = (&tiles[n * across..], &mut piece[n * PIECE..]);
                    transpose(from, tile_len, to, features * PIECE, frames, bands);
                }
            },
        );
        Ok(x)
    }

    /// Adds what two layers over the bands make of every feature of a piece.
    fn over_bands(&self, gain: &[f32], expand: &Matrix, reduce: &Matrix, piece: &mut [f32]) {
        let tile_len = gain.len() * PIECE;
        let mut scratch = Vec::new();
        let mut normal = vec![0.0; piece.len()];
        for (tile, out) in piece.chunks_exact(tile_len).zip(normal.chunks_exact_mut(tile_len)) {
            let source = RmsNorm { data: tile, stride: PIECE, gain };
            self.kernels.run(Unpack { source, out, columns: PIECE, scratch: &mut scratch });
        }
        let mut hidden = vec![0.0; expand.rows() * tile_len];
        let expand = product(expand, &normal, tile_len, &mut hidden, Finish::Relu, &mut scratch);
        self.kernels.run(expand);
        self.kernels.run(product(reduce, &hidden, tile_len, piece, Finish::Add, &mut scratch));
    }

    /// What the heads make of every band's features.
    fn masks(&self, x: &[f32], steps: &Steps<'_>) -> Result<Vec<f32>> {
        let Self { kernels, config, .. } = self;
        let masks_len = self.shift.len() / INPUTS * OUTPUTS * PIECE;
        let mut masks = vec![0.0; x.len() / self.piece_len() * masks_len];
        masks.par_chunks_mut(masks_len).zip(x.par_chunks(self.piece_len())).try_for_each_init(
            Scratch::default,
            |scratch, (masks, x)| {
                let Scratch { states: hidden, packed, .. } = scratch;
                hidden.resize(config.head_hidden * PIECE, 0.0);
                let tiles = x.chunks_exact(config.width * PIECE);
                for ((&(low, high), tile), [first, second]) in
                    config.bands.iter().zip(tiles).zip(&self.heads)
                {
                    kernels.run(product(first, tile, PIECE, hidden, Finish::Relu, packed));
                    let out = &mut masks[low * OUTPUTS * PIECE..high * OUTPUTS * PIECE];
                    kernels.run(product(second, hidden, PIECE, out, Finish::Store, packed));
                }
                kernels.run(Softmax {
                    data: masks,
                    classes: STEMS.len(),
                    apart: OUTPUTS / STEMS.len(),
                    width: PIECE,
                    sharpness: config.mask_exponent,
                });
                steps.step(1)
            },
        )?;
        Ok(masks)
    }
}

impl Block {
    fn load(weights: &mut Weights<'_>, prefix: &str, config: &Config) -> Result<Self> {
        let Config { width, time_hidden, band_hidden, .. } = *config;
        let bands = format!("{prefix}.bands");
        Ok(Self {
            time: Recurrent::load(weights, &format!("{prefix}.time"), width, time_hidden)?,
            bands: match config.mixer {
                Mixer::Gru => {
                    Bands::Gru(Box::new(Recurrent::load(weights, &bands, width, band_hidden)?))
                }
                Mixer::Mlp => {
                    let count = config.bands.len();
                    Bands::Mlp {
                        gain: weights.tensor(&format!("{bands}.norm"), &[width])?,
                        expand: weights.matrix(&format!("{bands}.expand"), &[2 * count, count])?,
                        reduce: weights.matrix(&format!("{bands}.reduce"), &[count, 2 * count])?,
                    }
                }
            },
        })
    }
}

impl Recurrent {
    fn load(weights: &mut Weights<'_>, prefix: &str, width: usize, hidden: usize) -> Result<Self> {
        let mut unit = |suffix: &str| {
            let mut matrix = |part: &str, depth: usize| {
                let weight = format!("{prefix}.gru.weight_{part}{suffix}");
                let weight = weights.tensor(&weight, &[3 * hidden, depth])?;
                let bias = format!("{prefix}.gru.bias_{part}{suffix}");
                let bias = weights.tensor(&bias, &[3 * hidden])?;
                Ok(Matrix::new(weights.kernels, depth, &weight, &bias))
            };
            Ok(Gru::new(matrix("ih", width)?, matrix("hh", hidden)?))
        };
        let units = [unit("")?, unit("_reverse")?];
        Ok(Self {
            gain: weights.tensor(&format!("{prefix}.norm"), &[width])?,
            units,
            hidden,
            out: weights.matrix(&format!("{prefix}.out"), &[width, 2 * hidden])?,
        })
    }

    /// Adds to `tiles`, each `[features][width]`, what the unit makes of them one after another.
    fn add(
        &self,
        kernels: Kernels,
        tiles: &mut [f32],
        width: usize,
        scratch: &mut Scratch,
        steps: &Steps<'_>,
    ) -> Result<()> {
        let tile_len = self.gain.len() * width;
        let states_len = 2 * self.hidden * width;
        let Scratch { gru, states, packed } = scratch;
        states.resize(tiles.len() / tile_len * states_len, 0.0);
        for (n, unit) in self.units.iter().enumerate() {
            let pass = Pass {
                unit,
                tiles,
                width,
                gain: &self.gain,
                backwards: n == 1,
                out: states,
                rows: n * self.hidden..(n + 1) * self.hidden,
                scratch: gru,
            };
            pass.run(kernels, || steps.step(1))?;
        }
        for (tile, states) in tiles.chunks_exact_mut(tile_len).zip(states.chunks_exact(states_len))
        {
            kernels.run(product(&self.out, states, width, tile, Finish::Add, packed));
        }
        Ok(())
    }
}

/// Working memory of a thread; every part is as long as its last user made it.
#[derive(Default)]
struct Scratch {
    gru: GruScratch,
    states: Vec<f32>,
    packed: Vec<f32>,
}

/// Pieces that so many frames fill.
fn pieces(frames: usize) -> usize {
    frames.div_ceil(PIECE)
}

/// Columns in memory for so many that count.
fn padded(columns: usize) -> usize {
    columns.next_multiple_of(BLOCK)
}

/// All rows of `matrix` times the rows `data`, each `width` long.
fn product<'a>(
    matrix: &'a Matrix,
    data: &'a [f32],
    width: usize,
    out: &'a mut [f32],
    finish: Finish,
    scratch: &'a mut Vec<f32>,
) -> Multiply<'a, Dense<'a>> {
    Multiply {
        matrix,
        source: Dense { data, stride: width },
        columns: width,
        rows: 0..matrix.rows(),
        out,
        finish,
        scratch,
    }
}
