//! The stems of one song as they fill.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;

use crate::{audio::RangeSet, error::Result, model::Stem, store::Track, waveform::Waveform};

/// Stems on disk, readable while they grow. All vectors run in the same order.
#[derive(Debug)]
pub struct Stems {
    /// Which stems there are.
    pub stems: Vec<Stem>,
    /// Their samples, each track as long as the song and with as many channels as the mixture;
    /// final inside [`Self::ready`], silent or half-written outside.
    pub tracks: Vec<Arc<Track>>,
    /// Their waveforms.
    pub waveforms: Vec<Arc<Waveform>>,
    ready: ArcSwap<RangeSet>,
}

impl Stems {
    /// Makes empty tracks of `frames` frames in `dir`, replacing what was there.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(dir: &Path, stems: &[Stem], channels: usize, frames: u64) -> Result<Self> {
        Self::with(stems, |stem| {
            let track = Track::create(dir, stem.name(), channels)?;
            track.set_frames(frames)?;
            Ok(track)
        })
    }

    /// Opens tracks that are there; what of them is ready must be told by [`Self::set_ready`].
    ///
    /// # Errors
    /// When one is missing or not `frames` long.
    pub fn reopen(dir: &Path, stems: &[Stem], channels: usize, frames: u64) -> Result<Self> {
        Self::with(stems, |stem| Track::open(dir, stem.name(), channels, frames))
    }

    fn with(stems: &[Stem], track: impl Fn(Stem) -> Result<Track>) -> Result<Self> {
        Ok(Self {
            stems: stems.to_vec(),
            tracks: stems.iter().map(|&s| track(s).map(Arc::new)).collect::<Result<_>>()?,
            waveforms: stems.iter().map(|_| Arc::default()).collect(),
            ready: ArcSwap::default(),
        })
    }

    /// Makes what lies at `frame` differ from what was written there, so that its hash tells.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn spoil(&self, frame: u64) -> Result<()> {
        let Some(track) = self.tracks.first() else { return Ok(()) };
        let mut samples = vec![[0.0]; track.channel_count()];
        track.read(frame, &mut samples)?;
        for [sample] in &mut samples {
            // However often this is done, the old value does not come back.
            *sample = f32::from_bits(sample.to_bits().wrapping_add(1));
        }
        track.write(frame, &samples)
    }

    /// Frames whose samples are final.
    pub fn ready(&self) -> Arc<RangeSet> {
        self.ready.load_full()
    }

    /// Declares `ready` final.
    pub(crate) fn set_ready(&self, ready: RangeSet) {
        self.ready.store(Arc::new(ready));
    }

    /// Where the waveform of `stem` is kept.
    pub(crate) fn waveform_path(dir: &Path, stem: Stem) -> PathBuf {
        dir.join(format!("{}.wave", stem.name()))
    }
}
