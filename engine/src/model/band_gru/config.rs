//! What a network of this kind is made of, as its file says.

use std::ops::Range;

use serde::Deserialize;

use crate::{
    audio::WORK_RATE_HZ,
    dsp::stft::Stft,
    error::{Error, ErrorKind, Result},
    model::Stem,
};

/// Stems a network of this kind yields, in its order.
pub(super) const STEMS: [Stem; 4] = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];

/// Values that a network sees of each grid bin: power of left, right, middle and side.
pub(super) const INPUTS: usize = 4;

/// Masks of each grid bin: every stem's for middle and for side.
pub(super) const OUTPUTS: usize = 2 * STEMS.len();

/// Added to powers.
pub(super) const POWER_FLOOR: f32 = 1e-7;

/// Shape of the network and of its spectrogram: JSON in the file's metadata.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    version: u32,
    sample_rate_hz: u32,
    stems: Vec<String>,
    /// Length of the transform's frames in samples.
    pub(super) n_fft: usize,
    /// Samples between frames.
    pub(super) hop: usize,
    /// The frequency grid: from one of these bins to the next, as many bins are pooled as the width
    /// says. What does not fill a pool belongs to the one before.
    grid_edges: Vec<usize>,
    grid_widths: Vec<usize>,
    /// Where in the grid each band begins and ends, ascending and without gaps.
    pub(super) bands: Vec<(usize, usize)>,
    /// Features of a band.
    pub(super) width: usize,
    /// Hidden values of the recurrent units over time, each direction.
    pub(super) time_hidden: usize,
    /// Frames of the windows in which the units over time run, even; see [`Config::windows`].
    window: usize,
    /// Blocks.
    pub(super) blocks: usize,
    /// What mixes the bands.
    pub(super) mixer: Mixer,
    /// Hidden values of the units over bands, each direction.
    pub(super) band_hidden: usize,
    /// Hidden values of the heads.
    pub(super) head_hidden: usize,
    /// Powers are raised to it.
    pub(super) feature_exponent: f32,
    /// Masks are raised to it and made to add up to one again.
    pub(super) mask_exponent: f32,
}

/// What mixes the bands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mixer {
    /// Two layers with twice as many bands between them.
    Mlp,
    /// A bidirectional recurrent unit from band to band.
    Gru,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] saying what is wrong with it.
    pub(super) fn read(json: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(json).map_err(|e| fault(&e.to_string()))?;
        let Self { n_fft, hop, width, time_hidden, head_hidden, blocks, .. } = config;
        let framed = hop > 0
            && n_fft.is_multiple_of(2 * hop)
            && (4..=64).contains(&(n_fft / hop))
            && n_fft <= 1 << 16
            && Stft::fits(n_fft, hop);
        let mut next = 0;
        let gapless = config.bands.iter().all(|&(low, high)| {
            let follows = low == next && high > low;
            next = high;
            follows
        });
        let windowed = (2..=1 << 14).contains(&config.window) && config.window.is_multiple_of(2);
        let band_hidden = if config.mixer == Mixer::Gru { config.band_hidden } else { 1 };
        let sizes = [width, time_hidden, band_hidden, head_hidden, blocks];
        let trouble = if (config.version, config.sample_rate_hz) != (1, WORK_RATE_HZ) {
            format!("its version is {} at {} Hz", config.version, config.sample_rate_hz)
        } else if config.stems != STEMS.map(Stem::name) {
            format!("its stems are {:?}", config.stems)
        } else if !framed {
            format!("it has frames of {n_fft} every {hop}")
        } else if !gapless || next == 0 || config.pools().map(|pools| pools.len()) != Some(next) {
            "its bands do not cover its grid".into()
        } else if !windowed {
            format!("its windows are of {} frames", config.window)
        } else if sizes.iter().any(|size| !(1..=1024).contains(size)) {
            format!("its sizes are {sizes:?}")
        } else {
            return Ok(config);
        };
        Err(fault(&trouble))
    }

    /// The windows of `block` in the song's frames `frames`, cut off where those end. The units over
    /// time begin each from nothing, so that what they say of a frame depends on some seconds
    /// around it only, wherever a song is cut. Windows of one block begin in the middle of those
    /// of the next, as the windows of a Swin transformer do (Liu et al. 2021). Those of the last
    /// block are the ones moved: a segment of whole windows wants a few frames more on each side,
    /// which then cost half a window each instead of a whole one.
    pub(super) fn windows(
        &self,
        block: usize,
        frames: Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> {
        let mut start = frames.start;
        std::iter::from_fn(move || {
            let end = self.window_end(block, start).min(frames.end);
            let window = start..end;
            start = end;
            (!window.is_empty()).then_some(window)
        })
    }

    /// The frames that decide what the blocks from `first_block` on say of `frames`: whole windows.
    /// They may lie beyond the song's end.
    pub(super) fn reach(&self, first_block: usize, frames: Range<usize>) -> Range<usize> {
        (first_block..self.blocks).rev().fold(frames, |frames, block| {
            let end = |frame| self.window_end(block, frame);
            end(frames.start).saturating_sub(self.window)..end(frames.end.max(1) - 1)
        })
    }

    /// At most so many frames on each side decide about a frame.
    pub(super) fn most_reach(&self) -> usize {
        self.window + (self.blocks - 1) * (self.window / 2)
    }

    /// Where the window of `block` in which `frame` lies ends.
    fn window_end(&self, block: usize, frame: usize) -> usize {
        let shift = (self.blocks - block) % 2 * (self.window / 2);
        (frame + self.window - shift) / self.window * self.window + shift
    }

    /// The bins that each bin of the grid pools; `None` for a grid that does not fit the transform.
    pub(super) fn pools(&self) -> Option<Vec<Range<usize>>> {
        let bins = self.n_fft / 2 + 1;
        let edges = &self.grid_edges;
        let fits = edges.first() == Some(&0)
            && edges.last() == Some(&bins)
            && edges.len() == self.grid_widths.len() + 1;
        let mut pools: Vec<Range<usize>> = Vec::new();
        for (edge, &width) in edges.windows(2).zip(&self.grid_widths) {
            if !fits || width == 0 || edge[1] < edge[0].saturating_add(width) {
                return None;
            }
            let starts = (edge[0]..=edge[1] - width).step_by(width);
            pools.extend(starts.map(|start| start..start + width));
            pools.last_mut()?.end = edge[1];
        }
        fits.then_some(pools)
    }
}

fn fault(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("The model's description cannot be used: {what}"))
}
