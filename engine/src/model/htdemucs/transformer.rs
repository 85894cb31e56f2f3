//! The cross-domain transformer (`transformer.py: CrossTransformerEncoder`, Rouard, Massa and
//! Défossez, "Hybrid Transformers for Music Source Separation", 2023).
//!
//! Two streams of tokens, one of the spectrogram and one of the waveform. Even layers attend within
//! a stream, odd ones across. All layers are pre-norm with layer scale, and end in a group norm over
//! all tokens and channels. Layer scales are folded into the weights before them.

use rayon::prelude::*;

use super::{
    config::Config,
    network::{Scratch, Watch},
    position,
};
use crate::{
    error::Result,
    model::{
        nn::{
            Affine, Attention, Dense, Finish, Heads, Kernels, LayerNorm, Map, Matrix, Multiply,
            Normalise, Sums, Unpack, sums,
        },
        weights::Weights,
    },
    parallel::across,
};

/// `[rows][channels][frames]` and `[channels][frames']` to the same shapes.
pub(super) struct Transformer {
    /// 1×1 convolutions to the transformer's channels and back, where it has channels of its own.
    bottleneck: Option<[Stream<Matrix>; 2]>,
    norm_in: Stream<Affine>,
    layers: Vec<Stream<Layer>>,
}

/// Something for both streams.
struct Stream<T> {
    spectrogram: T,
    waveform: T,
}

struct Layer {
    heads: usize,
    norm_query: Affine,
    norm_key: Affine,
    /// `[dim][dim]`.
    query: Matrix,
    /// `[2 × dim][dim]`, keys then values.
    key_value: Matrix,
    /// `[dim][dim]`, scaled.
    out: Matrix,
    norm_hidden: Affine,
    /// `[hidden][dim]`.
    linear1: Matrix,
    /// `[dim][hidden]`, scaled.
    linear2: Matrix,
    norm_out: Affine,
}

impl Transformer {
    pub(super) fn load(weights: &mut Weights<'_>, config: &Config) -> Result<Self> {
        let dim = config.transformer_channels();
        let outside = config.layer_channels(config.depth - 1);
        let bottleneck = if config.bottom_channels > 0 {
            let mut both = |name: &str, shape: [usize; 3]| {
                Ok::<_, crate::Error>(Stream {
                    spectrogram: weights.matrix(&format!("channel_{name}"), &shape)?,
                    waveform: weights.matrix(&format!("channel_{name}_t"), &shape)?,
                })
            };
            let into = both("upsampler", [dim, outside, 1])?;
            Some([into, both("downsampler", [outside, dim, 1])?])
        } else {
            None
        };
        let norm_in = Stream {
            spectrogram: weights.norm("crosstransformer.norm_in", dim)?,
            waveform: weights.norm("crosstransformer.norm_in_t", dim)?,
        };
        let layers = (0..config.layers).map(|index| {
            let mut load = |name: &str| {
                Layer::load(weights, &format!("crosstransformer.{name}.{index}"), index, config)
            };
            Ok(Stream { spectrogram: load("layers")?, waveform: load("layers_t")? })
        });
        Ok(Self { bottleneck, norm_in, layers: layers.collect::<Result<_>>()? })
    }

    /// `step` is called after each layer and may stop the work.
    pub(super) fn run(
        &self,
        kernels: Kernels,
        mut x: Map,
        mut xt: Map,
        watch: Watch<'_>,
        step: impl Fn() -> Result<()>,
    ) -> Result<(Map, Map)> {
        if let Some([into, _]) = &self.bottleneck {
            x = across(|| product(kernels, &into.spectrogram, &x));
            xt = across(|| product(kernels, &into.waveform, &xt));
        }
        x = across(|| normalised(kernels, &self.norm_in.spectrogram, &x));
        position::add_rows(&mut x);
        xt = across(|| normalised(kernels, &self.norm_in.waveform, &xt));
        position::add_line(&mut xt);
        watch("tokens", 0, &x);
        watch("tokens_t", 0, &xt);
        for (index, layer) in self.layers.iter().enumerate() {
            if index % 2 == 0 {
                across(|| layer.spectrogram.run(kernels, &mut x, None));
                across(|| layer.waveform.run(kernels, &mut xt, None));
            } else {
                let before = x.clone();
                across(|| layer.spectrogram.run(kernels, &mut x, Some(&xt)));
                across(|| layer.waveform.run(kernels, &mut xt, Some(&before)));
            }
            watch("layers", index, &x);
            watch("layers_t", index, &xt);
            step()?;
        }
        if let Some([_, back]) = &self.bottleneck {
            x = across(|| product(kernels, &back.spectrogram, &x));
            xt = across(|| product(kernels, &back.waveform, &xt));
        }
        Ok((x, xt))
    }
}

impl Layer {
    fn load(
        weights: &mut Weights<'_>,
        prefix: &str,
        index: usize,
        config: &Config,
    ) -> Result<Self> {
        let dim = config.transformer_channels();
        let hidden = dim * config.hidden_scale;
        let cross = index % 2 == 1;
        let name = |part: &str| format!("{prefix}.{part}");
        let attention = if cross { "cross_attn" } else { "self_attn" };
        let in_proj =
            weights.tensor(&name(&format!("{attention}.in_proj_weight")), &[3 * dim, dim])?;
        let in_bias = weights.tensor(&name(&format!("{attention}.in_proj_bias")), &[3 * dim])?;
        let (query, key_value) = in_proj.split_at(dim * dim);
        let (query_bias, key_value_bias) = in_bias.split_at(dim);
        let scale1 = weights.tensor(&name("gamma_1.scale"), &[dim])?;
        let scale2 = weights.tensor(&name("gamma_2.scale"), &[dim])?;
        let norm_query = weights.norm(&name("norm1"), dim)?;
        let second = weights.norm(&name("norm2"), dim)?;
        let (norm_key, norm_hidden) = if cross {
            (second, weights.norm(&name("norm3"), dim)?)
        } else {
            (norm_query.clone(), second)
        };
        Ok(Self {
            heads: config.heads,
            norm_query,
            norm_key,
            query: Matrix::new(weights.kernels, dim, query, query_bias),
            key_value: Matrix::new(weights.kernels, dim, key_value, key_value_bias),
            out: weights.scaled(&name(&format!("{attention}.out_proj")), &[dim, dim], &scale1)?,
            norm_hidden,
            linear1: weights.matrix(&name("linear1"), &[hidden, dim])?,
            linear2: weights.scaled(&name("linear2"), &[dim, hidden], &scale2)?,
            norm_out: weights.norm(&name("norm_out"), dim)?,
        })
    }

    /// Attends from `x` to `other`, or to itself; then the feed-forward block.
    fn run(&self, kernels: Kernels, x: &mut Map, other: Option<&Map>) {
        let dim = self.query.rows();
        let per_head = dim / self.heads;
        let queries = projected(kernels, &self.query, &self.norm_query, x);
        let keys_values = projected(kernels, &self.key_value, &self.norm_key, other.unwrap_or(x));
        let heads = Heads::pack(kernels, &keys_values, 0, self.heads, per_head);
        drop(keys_values);

        let width = x.width();
        let mut attended = x.like(dim);
        let head_len = per_head * width;
        let parts =
            attended.data_mut().par_chunks_mut(head_len).zip(queries.data().par_chunks(head_len));
        parts.enumerate().for_each_init(Vec::new, |scratch, (part, (out, queries))| {
            let head = part % self.heads;
            kernels.run(Attention { queries, heads: &heads, head, out, scratch });
        });

        let valid: Vec<usize> = (0..x.tiles()).map(|tile| x.valid(tile)).collect();
        let tile_len = x.tile_len();
        let tiles = x.data_mut().par_chunks_mut(tile_len).zip(attended.data().par_chunks(tile_len));
        let all: Vec<Sums> = tiles
            .zip(&valid)
            .map_init(Scratch::default, |scratch, ((x, attended), valid)| {
                self.feed_forward(kernels, x, attended, scratch);
                kernels.run(sums(x, width, *valid))
            })
            .collect();
        let all = all.into_iter().fold(Sums::default(), Sums::and);
        x.data_mut().par_chunks_mut(tile_len).for_each(|x| {
            kernels.run(Normalise { data: x, norm: &self.norm_out, sums: all, activate: false });
        });
    }

    /// What follows attention, token by token: `[dim][width]` in place.
    fn feed_forward(
        &self,
        kernels: Kernels,
        x: &mut [f32],
        attended: &[f32],
        scratch: &mut Scratch,
    ) {
        let dim = self.query.rows();
        let width = x.len() / dim;
        let Scratch { packed, wide, .. } = scratch;
        kernels.run(Multiply {
            matrix: &self.out,
            source: Dense { data: attended, stride: width },
            columns: width,
            rows: 0..dim,
            out: x,
            finish: Finish::Add,
            scratch: packed,
        });
        wide.resize(self.linear1.rows() * width, 0.0);
        kernels.run(Multiply {
            matrix: &self.linear1,
            source: LayerNorm { data: x, stride: width, norm: &self.norm_hidden },
            columns: width,
            rows: 0..self.linear1.rows(),
            out: wide,
            finish: Finish::Gelu,
            scratch: packed,
        });
        kernels.run(Multiply {
            matrix: &self.linear2,
            source: Dense { data: wide, stride: width },
            columns: width,
            rows: 0..dim,
            out: x,
            finish: Finish::Add,
            scratch: packed,
        });
    }
}

/// `matrix · x`, a tile at a time.
fn product(kernels: Kernels, matrix: &Matrix, x: &Map) -> Map {
    each_tile(x, matrix.rows(), |tile, out, scratch| {
        let source = Dense { data: x.tile(tile), stride: x.width() };
        let rows = 0..matrix.rows();
        let finish = Finish::Store;
        kernels.run(Multiply { matrix, source, columns: x.width(), rows, out, finish, scratch });
    })
}

/// `matrix · norm(x)`, a tile at a time.
fn projected(kernels: Kernels, matrix: &Matrix, norm: &Affine, x: &Map) -> Map {
    each_tile(x, matrix.rows(), |tile, out, scratch| {
        let source = LayerNorm { data: x.tile(tile), stride: x.width(), norm };
        let rows = 0..matrix.rows();
        let finish = Finish::Store;
        kernels.run(Multiply { matrix, source, columns: x.width(), rows, out, finish, scratch });
    })
}

/// `norm(x)`, a tile at a time.
fn normalised(kernels: Kernels, norm: &Affine, x: &Map) -> Map {
    each_tile(x, x.channels(), |tile, out, scratch| {
        let source = LayerNorm { data: x.tile(tile), stride: x.width(), norm };
        kernels.run(Unpack { source, out, columns: x.width(), scratch });
    })
}

fn each_tile(
    x: &Map,
    channels: usize,
    run: impl Fn(usize, &mut [f32], &mut Vec<f32>) + Sync,
) -> Map {
    let mut out = x.like(channels);
    let tile_len = out.tile_len();
    let tiles = out.data_mut().par_chunks_mut(tile_len).enumerate();
    tiles.for_each_init(Vec::new, |scratch, (tile, out)| run(tile, out, scratch));
    out
}
