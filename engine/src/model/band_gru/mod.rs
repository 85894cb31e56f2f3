//! A small network of our own, trained in `engine/training`: masks for middle and side from a
//! band-split recurrent network, fast enough to be the default.
//!
//! It looks at a song in pieces with some seconds around each, all that decide about the piece: its
//! samples are those of the song in one piece. `other` is the mixture minus the rest, so the stems
//! add up to it.
//! The song's level is left as it is: nothing of the whole song need be known for its first piece.

mod config;
mod network;
mod spectrum;

use std::sync::{Arc, LazyLock};

use self::{
    config::{Config, STEMS},
    network::Network,
    spectrum::Spectrum,
};
use super::{
    ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Separator, Stem,
    checkpoint::Checkpoint,
    mid_side::{finish, mid_side, segment_of},
    nn::Kernels,
    steps::Steps,
};
use crate::{audio::Planar, error::Result, parallel::across};

/// Changes whenever a single output sample may change.
const VERSION: &str = "band_gru 4";

/// Frames of a segment: 26.7 s, the first of which is there in two thirds of a second on two cores.
/// Whole windows of the shipped network; what lies around them costs the less the longer they are.
const SEGMENT_HOPS: usize = 1152;

/// A network of this kind as a separator.
#[derive(Debug)]
pub struct BandGru {
    info: ModelInfo,
    network: Network,
    spectrum: Spectrum,
}

/// The network that comes with the program; assets/models/README.md is its model card.
static QUICK: &[u8] = include_bytes!("../../../../assets/models/quick.safetensors");

impl BandGru {
    /// The network that comes with the program, read when it is first asked for. `None` if its file
    /// does not fit the program, which a test watches.
    pub fn quick() -> Option<Arc<Self>> {
        static NETWORK: LazyLock<Option<Arc<BandGru>>> = LazyLock::new(|| {
            let description = "Fair stems at once and everywhere, without a download";
            let network = BandGru::new(QUICK, "quick", "Quick", description);
            network.inspect_err(|error| tracing::error!(%error, "quick")).ok().map(Arc::new)
        });
        NETWORK.clone()
    }

    /// The network in `file`, safetensors as `engine/training` writes them, under a name and title
    /// of its own.
    ///
    /// # Errors
    /// When the file is damaged or of another kind.
    pub fn new(file: &[u8], name: &str, title: &str, description: &str) -> Result<Self> {
        Self::with_kernels(file, name, title, description, Kernels::detect())
    }

    /// The same with chosen vector instructions.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_kernels(
        file: &[u8],
        name: &str,
        title: &str,
        description: &str,
        kernels: Kernels,
    ) -> Result<Self> {
        let (checkpoint, json) = Checkpoint::own(file, "band_gru", name)?;
        let config = Config::read(&json)?;
        let hop = config.hop as u64;
        let mut hash = blake3::Hasher::new_derive_key("stemhive 2026 band_gru v1");
        hash.update(VERSION.as_bytes());
        hash.update(&[u8::from(kernels.fused())]);
        hash.update(blake3::hash(file).as_bytes());
        let info = ModelInfo {
            name: name.into(),
            title: title.into(),
            description: description.into(),
            stems: STEMS.to_vec(),
            chunks: ChunkSpec {
                segment_frames: SEGMENT_HOPS as u64 * hop,
                stride_frames: SEGMENT_HOPS as u64 * hop,
                context_frames: config.most_reach() as u64 * hop + config.n_fft as u64,
                window: JoinWindow::LinearFades,
            },
            hash: hash.finalize().into(),
            memory_bytes_per_chunk: 192 << 20,
            cost_core_secs_per_sec: 0.03,
            sums_to_mixture: true,
        };
        let spectrum = Spectrum::new(&config);
        let network = Network::load(checkpoint, config, kernels)?;
        Ok(Self { info, network, spectrum })
    }
}

impl Separator for BandGru {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> Result<Vec<Planar>> {
        let samples = segment_of(input)?;
        let around = self.spectrum.surroundings(input, &mid_side(&input.audio));
        let wanted = around.wanted();
        let seen = around.here(self.network.reach(wanted.clone()));
        let steps = self.network.steps(&seen, &wanted) + self.spectrum.steps(&seen, &samples);
        let steps = Steps::new(progress, steps);
        let mut analysis = across(|| self.spectrum.analyse(&around, &seen, &steps))?;
        let powers = std::mem::take(&mut analysis.powers);
        let masks = self.network.forward(powers, &seen, &wanted, &steps)?;
        let classes = [Stem::Drums, Stem::Bass, Stem::Vocals].map(place);
        let start = input.start_frame as i64;
        let segment = start..start + samples.len() as i64;
        let stems = across(|| {
            self.spectrum.synthesise(&around, &analysis, &masks, classes, segment, &steps)
        })?;
        Ok(finish(stems, input, samples))
    }

    fn uses_all_threads(&self) -> bool {
        true
    }
}

/// Which of the network's stems `stem` is.
fn place(stem: Stem) -> usize {
    STEMS.iter().position(|&own| own == stem).unwrap_or(0)
}
