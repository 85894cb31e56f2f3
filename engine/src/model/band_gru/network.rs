//! The network: bands of a spectrogram, mixed over time and over bands by recurrent units, and masks
//! of every stem (after Luo and Yu, "Music Source Separation with Band-Split RNN", 2023, with shared
//! units, real masks and a softmax over the stems).

use std::ops::Range;

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
};

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
        let over_time = |block| self.entering(block, seen, wanted).len();
        (0..self.config.blocks).map(|block| 2 * over_time(block) + mixer).sum::<usize>() + bands
    }

    /// The frames that `block` is given.
    fn entering(&self, block: usize, seen: &Range<usize>, wanted: &Range<usize>) -> Range<usize> {
        let reach = self.config.reach(block, wanted.clone());
        reach.start.max(seen.start)..reach.end.min(seen.end)
    }

    /// Masks `[grid bins][stems][2][width]` of the song's frames `wanted`, for the powers
    /// `[grid bins][4][width]` of its frames `seen`. Both widths are rounded up to whole
    /// [`BLOCK`]s, and the columns beyond the frames are without meaning.
    ///
    /// # Errors
    /// When cancelled.
    pub(super) fn forward(
        &self,
        mut powers: Vec<f32>,
        seen: &Range<usize>,
        wanted: &Range<usize>,
        steps: &Steps<'_>,
    ) -> Result<Vec<f32>> {
        let Self { kernels, config, .. } = self;
        let grid = self.shift.len() / INPUTS;
        let width = powers.len() / self.shift.len();
        kernels.run(Compress {
            data: &mut powers,
            width,
            floor: POWER_FLOOR,
            exponent: config.feature_exponent,
            shift: &self.shift,
            scale: &self.scale,
        });
        let mut x = vec![0.0; config.bands.len() * config.width * width];
        let tile_len = config.width * width;
        let mut scratch = Vec::new();
        for ((&(low, high), tile), matrix) in
            config.bands.iter().zip(x.chunks_exact_mut(tile_len)).zip(&self.split)
        {
            let rows = &powers[low * INPUTS * width..high * INPUTS * width];
            kernels.run(product(matrix, rows, width, tile, Finish::Store, &mut scratch));
        }
        drop(powers);

        let mut columns = seen.clone();
        for (n, block) in self.blocks.iter().enumerate() {
            let kept = self.entering(n + 1, seen, wanted);
            x = self.over_time(n, &block.time, x, columns, &kept, steps)?;
            let width = padded(kept.len());
            columns = kept;
            match &block.bands {
                Bands::Gru(unit) => unit.add(*kernels, &mut x, width, steps)?,
                Bands::Mlp { gain, expand, reduce } => {
                    self.over_bands(gain, expand, reduce, &mut x, width);
                    steps.step(1)?;
                }
            }
        }

        let width = padded(columns.len());
        let tile_len = config.width * width;
        let mut masks = vec![0.0; grid * OUTPUTS * width];
        let mut hidden = vec![0.0; config.head_hidden * width];
        for ((&(low, high), tile), [first, second]) in
            config.bands.iter().zip(x.chunks_exact(tile_len)).zip(&self.heads)
        {
            steps.step(1)?;
            kernels.run(product(first, tile, width, &mut hidden, Finish::Relu, &mut scratch));
            let out = &mut masks[low * OUTPUTS * width..high * OUTPUTS * width];
            kernels.run(product(second, &hidden, width, out, Finish::Store, &mut scratch));
        }
        kernels.run(Softmax {
            data: &mut masks,
            classes: STEMS.len(),
            apart: OUTPUTS / STEMS.len(),
            width,
            sharpness: config.mask_exponent,
        });
        Ok(masks)
    }

    /// Every band's features `[bands][features][width]` of the frames `kept`, with what the unit of
    /// `block` makes of those of `columns` over time added.
    fn over_time(
        &self,
        block: usize,
        unit: &Recurrent,
        mut x: Vec<f32>,
        columns: Range<usize>,
        kept: &Range<usize>,
        steps: &Steps<'_>,
    ) -> Result<Vec<f32>> {
        let width = padded(columns.len());
        let bands = self.config.bands.len();
        let features = self.config.width;
        // The bands lie side by side: `[frames][features][bands]`.
        let across = padded(bands);
        let tile_len = features * across;
        let mut turned = vec![0.0; columns.len() * tile_len];
        for n in 0..features {
            let (from, to) = (&x[n * width..], &mut turned[n * across..]);
            transpose(from, features * width, to, tile_len, bands, columns.len());
        }
        let mut rest = &mut turned[..];
        for window in self.config.windows(block, columns.clone()) {
            let (tiles, after) = rest.split_at_mut(window.len() * tile_len);
            unit.add(self.kernels, tiles, across, steps)?;
            rest = after;
        }
        let turned = &turned[(kept.start - columns.start) * tile_len..];
        let width = padded(kept.len());
        x.clear();
        x.resize(bands * features * width, 0.0);
        for n in 0..features {
            let (from, to) = (&turned[n * across..], &mut x[n * width..]);
            transpose(from, tile_len, to, features * width, kept.len(), bands);
        }
        Ok(x)
    }

    /// Adds what two layers over the bands make of every feature.
    fn over_bands(
        &self,
        gain: &[f32],
        expand: &Matrix,
        reduce: &Matrix,
        x: &mut [f32],
        width: usize,
    ) {
        let tile_len = gain.len() * width;
        let mut scratch = Vec::new();
        let mut normal = vec![0.0; x.len()];
        for (tile, out) in x.chunks_exact(tile_len).zip(normal.chunks_exact_mut(tile_len)) {
            let source = RmsNorm { data: tile, stride: width, gain };
            self.kernels.run(Unpack { source, out, columns: width, scratch: &mut scratch });
        }
        let mut hidden = vec![0.0; expand.rows() * tile_len];
        let expand = product(expand, &normal, tile_len, &mut hidden, Finish::Relu, &mut scratch);
        self.kernels.run(expand);
        self.kernels.run(product(reduce, &hidden, tile_len, x, Finish::Add, &mut scratch));
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
        steps: &Steps<'_>,
    ) -> Result<()> {
        let tile_len = self.gain.len() * width;
        let states_len = 2 * self.hidden * width;
        let mut states = vec![0.0; tiles.len() / tile_len * states_len];
        let mut scratch = GruScratch::default();
        for (n, unit) in self.units.iter().enumerate() {
            let rows: Range<usize> = n * self.hidden..(n + 1) * self.hidden;
            let pass = Pass {
                unit,
                tiles,
                width,
                gain: &self.gain,
                backwards: n == 1,
                out: &mut states,
                rows,
                scratch: &mut scratch,
            };
            pass.run(kernels, || steps.step(1))?;
        }
        let mut packed = Vec::new();
        for (tile, states) in tiles.chunks_exact_mut(tile_len).zip(states.chunks_exact(states_len))
        {
            kernels.run(product(&self.out, states, width, tile, Finish::Add, &mut packed));
        }
        Ok(())
    }
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
