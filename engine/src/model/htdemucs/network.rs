//! The whole network (`htdemucs.py: HTDemucs.forward`): two U-nets, one over the spectrogram and one
//! over the waveform, joined by a transformer at the bottom and summed at the end.

use rayon::prelude::*;

use super::{
    config::{Config, STRIDE},
    decoder::Decoder,
    encoder::Encoder,
    spectrum::{BINS, Level, Spectrum},
    transformer::Transformer,
};
use crate::{
    error::Result,
    model::{
        Progress,
        checkpoint::Checkpoint,
        nn::{Kernels, Map, sums},
        steps::Steps,
        weights::Weights,
    },
    parallel::across,
};

/// Working memory of one task; every part is as large as its last user made it.
#[derive(Default)]
pub(super) struct Scratch {
    /// Packed columns of a product.
    pub(super) packed: Vec<f32>,
    /// One row's activations.
    pub(super) row: Vec<f32>,
    /// The inside of DConv.
    pub(super) narrow: Vec<f32>,
    /// The wide inside of DConv or of a feed-forward block.
    pub(super) wide: Vec<f32>,
}

/// Gets to see activations: what they come from, counted among its kind.
pub(super) type Watch<'a> = &'a dyn Fn(&'static str, usize, &Map);

/// A network ready to run.
pub struct Network {
    config: Config,
    kernels: Kernels,
    spectrum: Spectrum,
    encoders: Vec<Encoder>,
    time_encoders: Vec<Encoder>,
    /// `[rows][channels]` after the first layer, already scaled.
    embedding: Vec<f32>,
    transformer: Transformer,
    decoders: Vec<Decoder>,
    time_decoders: Vec<Decoder>,
}

impl Network {
    /// Packs the weights of `checkpoint` for `kernels`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] for a network that this program does not run, or what
    /// [`Checkpoint::take`] says of tensors that are missing or of another shape.
    pub fn load(mut checkpoint: Checkpoint, kernels: Kernels) -> Result<Self> {
        let config = Config::of(&checkpoint)?;
        let mut weights = Weights { checkpoint: &mut checkpoint, kernels };
        let (mut encoders, mut time_encoders) = (Vec::new(), Vec::new());
        for index in 0..config.depth {
            let channels = config.layer_channels(index);
            let hidden = config.hidden(index);
            let inputs = |first| if index == 0 { first } else { config.layer_channels(index - 1) };
            let name = format!("encoder.{index}");
            encoders.push(Encoder::load(&mut weights, &name, inputs(4), channels, hidden, &[1])?);
            let name = format!("tencoder.{index}");
            time_encoders.push(Encoder::load(
                &mut weights,
                &name,
                inputs(2),
                channels,
                hidden,
                &[],
            )?);
        }
        let shape = [BINS / STRIDE, config.channels];
        let mut embedding = weights.tensor("freq_emb.embedding.weight", &shape)?;
        // `emb_scale`, then `freq_emb`, in f32 as there.
        embedding.iter_mut().for_each(|x| *x = *x * 10.0 * 0.2);
        let transformer = Transformer::load(&mut weights, &config)?;
        let (mut decoders, mut time_decoders) = (Vec::new(), Vec::new());
        let sources = config.sources.len();
        for (index, layer) in (0..config.depth).rev().enumerate() {
            let channels = config.layer_channels(layer);
            let hidden = config.hidden(layer);
            let last = layer == 0;
            let outputs = |own| if last { own * sources } else { config.layer_channels(layer - 1) };
            let name = format!("decoder.{index}");
            decoders.push(Decoder::load_rows(
                &mut weights,
                &name,
                channels,
                outputs(4),
                hidden,
                last,
            )?);
            let name = format!("tdecoder.{index}");
            time_decoders.push(Decoder::load_line(
                &mut weights,
                &name,
                channels,
                outputs(2),
                hidden,
                last,
            )?);
        }
        weights.finish()?;
        Ok(Self {
            config,
            kernels,
            spectrum: Spectrum::new(),
            encoders,
            time_encoders,
            embedding,
            transformer,
            decoders,
            time_decoders,
        })
    }

    /// What the checkpoint said.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One segment of normalised stereo audio, [`Config::segment_frames`] long → stereo audio of
    /// the wanted sources (indices into [`Config::sources`]), as long.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`] soon after `progress` says so.
    pub fn forward(
        &self,
        audio: [&[f32]; 2],
        wanted: &[usize],
        progress: &dyn Progress,
    ) -> Result<Vec<[Vec<f32>; 2]>> {
        self.forward_watched(audio, wanted, progress, &|_, _, _| {})
    }

    /// [`Self::forward`] that shows `watch` what flows between its parts.
    pub(super) fn forward_watched(
        &self,
        audio: [&[f32]; 2],
        wanted: &[usize],
        progress: &dyn Progress,
        watch: Watch<'_>,
    ) -> Result<Vec<[Vec<f32>; 2]>> {
        let kernels = self.kernels;
        let steps = Steps::new(progress, 2 * self.config.depth * 2 + 5 * self.config.layers);
        let (input, level) = across(|| self.spectrum.analyse(kernels, audio));
        let (input_t, level_t) = waveform(kernels, audio);
        watch("spectrogram", 0, &input);
        watch("waveform", 0, &input_t);
        let (mut skips, mut skips_t): (Vec<Map>, Vec<Map>) = Default::default();
        let mut lengths = Vec::new();
        for (index, (encoder, encoder_t)) in
            self.encoders.iter().zip(&self.time_encoders).enumerate()
        {
            let x = skips_t.last().unwrap_or(&input_t);
            lengths.push(x.frames());
            let x = across(|| encoder_t.line(kernels, x));
            watch("tencoder", index, &x);
            skips_t.push(x);
            steps.step(1)?;
            let embedding = if index == 0 { &self.embedding[..] } else { &[] };
            let before = skips.last().unwrap_or(&input);
            let x = across(|| encoder.rows(kernels, before, embedding));
            watch("encoder", index, &x);
            skips.push(x);
            steps.step(1)?;
        }
        let mut x = skips.last().unwrap_or(&input).clone();
        let mut xt = skips_t.last().unwrap_or(&input_t).clone();
        drop((input, input_t));
        (x, xt) = self.transformer.run(kernels, x, xt, watch, || steps.step(5))?;
        watch("bottom", 0, &x);
        watch("bottom_t", 0, &xt);
        for (index, (decoder, decoder_t)) in
            self.decoders.iter().zip(&self.time_decoders).enumerate()
        {
            if let (Some(skip), Some(length)) = (skips_t.pop(), lengths.pop()) {
                xt = across(|| decoder_t.line(kernels, xt, skip, length));
                watch("tdecoder", index, &xt);
                steps.step(1)?;
            }
            if let Some(skip) = skips.pop() {
                x = across(|| decoder.rows(kernels, x, skip));
                watch("decoder", index, &x);
                steps.step(1)?;
            }
        }
        let stem = |&source: &usize| {
            let mut stem = [0, 1].map(|side| line_of(&xt, 2 * source + side, level_t));
            let [left, right] = &mut stem;
            self.spectrum.synthesise(&x, level, source, [left, right]);
            stem
        };
        Ok(across(|| wanted.par_iter().map(stem).collect()))
    }
}

/// The time branch's input: normalised audio as `[2][frames]`.
fn waveform(kernels: Kernels, audio: [&[f32]; 2]) -> (Map, Level) {
    let length = audio[0].len();
    let both = audio.map(|channel| kernels.run(sums(channel, length, length)));
    let level = Level::of(both[0].and(both[1]));
    let mut map = Map::line(2, length);
    let (width, tile_len) = (map.width(), map.tile_len());
    for (tile, out) in map.data_mut().chunks_exact_mut(tile_len).enumerate() {
        for (out, channel) in out.chunks_exact_mut(width).zip(audio) {
            for (out, x) in out.iter_mut().zip(&channel[tile * width..]) {
                *out = level.normalise(*x);
            }
        }
    }
    (map, level)
}

/// One channel of a line, with its level.
fn line_of(map: &Map, channel: usize, level: Level) -> Vec<f32> {
    let width = map.width();
    let tiles =
        (0..map.tiles()).flat_map(|tile| &map.tile(tile)[channel * width..][..map.valid(tile)]);
    tiles.map(|x| level.undo(*x)).collect()
}
