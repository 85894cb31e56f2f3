//! What a checkpoint says of its network.

use crate::{
    audio::WORK_RATE_HZ,
    error::{Error, ErrorKind, Result},
    model::{
        Stem,
        checkpoint::{Checkpoint, Value},
    },
};

/// The parts of `HTDemucs.__init__`'s arguments that differ between released models or decide
/// sizes. Everything else must be as in the released models and is checked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Sources in the order of the network's output.
    pub sources: Vec<Stem>,
    /// Frames of a segment: `int(segment * samplerate)`.
    pub segment_frames: usize,
    /// Channels after the first layer; each further layer doubles them.
    pub channels: usize,
    /// Layers of each encoder.
    pub depth: usize,
    /// Channels of the transformer, or 0 where it has those of the last encoder.
    pub bottom_channels: usize,
    /// Layers of the transformer.
    pub layers: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// Hidden units of the feed-forward blocks, over the transformer's channels.
    pub hidden_scale: usize,
    /// Channels of DConv's input over those of its inside.
    pub compress: usize,
}

/// The class in the file, as `torch.save` names it.
const CLASS: &str = "demucs.htdemucs.HTDemucs";

/// Transform length; the networks' first layers are made for it.
pub(super) const NFFT: usize = 4096;

/// Stride of every encoder layer.
pub(super) const STRIDE: usize = 4;

/// Taps of every strided convolution.
pub(super) const KERNEL: usize = 8;

impl Config {
    /// Reads the arguments that `checkpoint` was made with.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] naming the class or argument that this program does not run.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        if checkpoint.class != CLASS {
            return Err(unsupported(format!(
                "The model is a {}, which this program does not run yet",
                checkpoint.class
            )));
        }
        let arguments = Arguments(checkpoint);
        arguments.check_fixed()?;
        let sources = arguments.sources()?;
        let config = Self {
            sources,
            segment_frames: arguments.segment_frames()?,
            channels: arguments.size("channels", 48, 1..=1024)?,
            depth: arguments.size("depth", 4, 1..=4)?,
            bottom_channels: arguments.size("bottom_channels", 0, 0..=4096)?,
            layers: arguments.size("t_layers", 5, 1..=64)?,
            heads: arguments.size("t_heads", 8, 1..=64)?,
            hidden_scale: arguments.size("t_hidden_scale", 4, 1..=16)?,
            compress: arguments.size("dconv_comp", 8, 1..=64)?,
        };
        let dim = config.transformer_channels();
        if !dim.is_multiple_of(config.heads) || !dim.is_multiple_of(4) {
            return Err(unsupported(format!(
                "The model's {dim} channels cannot be shared by {} heads",
                config.heads
            )));
        }
        if config.hidden(0) == 0 {
            return Err(unsupported("The model's first layer has too few channels".into()));
        }
        Ok(config)
    }

    /// Channels of layer `index`.
    pub(super) fn layer_channels(&self, index: usize) -> usize {
        self.channels << index
    }

    /// Hidden channels of DConv in layer `index`.
    pub(super) fn hidden(&self, index: usize) -> usize {
        self.layer_channels(index) / self.compress
    }

    /// Channels of the transformer.
    pub(super) fn transformer_channels(&self) -> usize {
        if self.bottom_channels > 0 {
            self.bottom_channels
        } else {
            self.layer_channels(self.depth - 1)
        }
    }
}

struct Arguments<'a>(&'a Checkpoint);

impl Arguments<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.kwargs.get(name)
    }

    /// Arguments that must be what they are in the released models, where they are given.
    fn check_fixed(&self) -> Result<()> {
        let numbers: [(&str, f64); 25] = [
            ("audio_channels", 2.0),
            ("samplerate", f64::from(WORK_RATE_HZ)),
            ("growth", 2.0),
            ("nfft", NFFT as f64),
            ("kernel_size", KERNEL as f64),
            ("stride", STRIDE as f64),
            ("context", 1.0),
            ("context_enc", 0.0),
            ("freq_emb", 0.2),
            ("emb_scale", 10.0),
            ("dconv_mode", 3.0),
            ("dconv_depth", 2.0),
            ("t_max_period", 10_000.0),
            ("t_weight_pos_embed", 1.0),
            ("t_sin_random_shift", 0.0),
            ("cac", 1.0),
            ("rewrite", 1.0),
            ("t_norm_in", 1.0),
            ("t_norm_first", 1.0),
            ("t_norm_out", 1.0),
            ("t_layer_scale", 1.0),
            ("t_gelu", 1.0),
            ("t_norm_in_group", 0.0),
            ("t_group_norm", 0.0),
            ("use_train_segment", 1.0),
        ];
        let flags_off = ["t_sparse_self_attn", "t_sparse_cross_attn", "t_cross_first"];
        let numbers = numbers.into_iter().chain(flags_off.map(|name| (name, 0.0)));
        for (name, expected) in numbers {
            let Some(value) = self.get(name) else { continue };
            if number(value) != Some(expected) {
                return Err(self.refuse(name, value));
            }
        }
        for (name, expected) in [("t_emb", "sin")] {
            match self.get(name) {
                Some(Value::Text(text)) if text == expected => {}
                Some(value) => return Err(self.refuse(name, value)),
                None => {}
            }
        }
        for name in ["channels_time", "multi_freqs"] {
            match self.get(name) {
                None | Some(Value::None) => {}
                Some(Value::List(list)) if list.is_empty() => {}
                Some(value) => return Err(self.refuse(name, value)),
            }
        }
        // From that layer on there would be norms, which released models have none of.
        let depth = self.size("depth", 4, 1..=4)?;
        self.size("norm_starts", 4, depth..=64)?;
        if let Some(value) = self.0.args.get(1) {
            return Err(self.refuse("audio_channels", value));
        }
        Ok(())
    }

    fn sources(&self) -> Result<Vec<Stem>> {
        let value = self.get("sources").or(self.0.args.first());
        let Some(Value::List(names)) = value else {
            return Err(unsupported("The model does not name its sources".into()));
        };
        let mut sources = Vec::new();
        for name in names {
            let stem = match name {
                Value::Text(name) => Stem::from_name(name),
                _ => None,
            };
            let stem = stem.filter(|stem| !sources.contains(stem)).ok_or_else(|| {
                unsupported(format!("The model has a source that is no stem here: {name:?}"))
            })?;
            sources.push(stem);
        }
        if sources.is_empty() {
            return Err(unsupported("The model has no sources".into()));
        }
        Ok(sources)
    }

    fn segment_frames(&self) -> Result<usize> {
        let rate = f64::from(WORK_RATE_HZ);
        let frames = match self.get("segment") {
            Some(Value::Fraction(above, below)) if *above > 0 && *below > 0 => {
                (i128::from(*above) * i128::from(WORK_RATE_HZ) / i128::from(*below)) as f64
            }
            Some(Value::Int(secs)) => *secs as f64 * rate,
            Some(Value::Float(secs)) => (secs * rate).floor(),
            None => 10.0 * rate,
            Some(value) => return Err(self.refuse("segment", value)),
        };
        // Shorter ones cannot be reflected at the ends; longer ones cannot be held in memory.
        if !(2.0 * NFFT as f64..=60.0 * rate).contains(&frames) {
            return Err(unsupported(format!("The model's segment of {frames} samples")));
        }
        Ok(frames as usize)
    }

    fn size(
        &self,
        name: &str,
        default: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        let Some(value) = self.get(name) else { return Ok(default) };
        number(value)
            .filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n <= *allowed.end() as f64)
            .map(|n| n as usize)
            .filter(|n| allowed.contains(n))
            .ok_or_else(|| self.refuse(name, value))
    }

    fn refuse(&self, name: &str, value: &Value) -> Error {
        unsupported(format!("The model was made with {name} = {value:?}"))
    }
}

/// Numbers and truth values alike, as Python has them.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

fn unsupported(what: String) -> Error {
    Error::new(ErrorKind::Unsupported, what)
        .advice("Only models with the sizes and parts of the released HTDemucs models run here")
}
