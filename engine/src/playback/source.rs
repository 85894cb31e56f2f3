//! What is played: the mixture and, if there are any, the stems.

use std::sync::Arc;

use crate::{
    audio::RangeSet,
    error::{Error, ErrorKind, Result},
    playback::MAX_LANES,
    store::Track,
};

/// A song to play. Cheap to clone.
#[derive(Clone)]
pub struct PlaybackSource {
    mixture: Arc<Track>,
    complete: Arc<dyn Fn() -> bool + Send + Sync>,
    stems: Option<StemSource>,
}

/// The stems of a song, one track per lane, and which of their frames are final.
#[derive(Clone)]
pub struct StemSource {
    lanes: Vec<Arc<Track>>,
    ready: Arc<dyn Fn() -> Arc<RangeSet> + Send + Sync>,
}

impl PlaybackSource {
    /// A mixture of 1 or 2 channels that has all its frames.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the channel count is another.
    pub fn complete(mixture: Arc<Track>) -> Result<Self> {
        Self::growing(mixture, || true)
    }

    /// A mixture of 1 or 2 channels that is still being decoded; `complete` says when it has all
    /// its frames. It is asked from the feeder's thread, often, and must be quick.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the channel count is another.
    pub fn growing(
        mixture: Arc<Track>,
        complete: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        check_channels(&mixture, "mixture")?;
        Ok(Self { mixture, complete: Arc::new(complete), stems: None })
    }

    /// The same song with stems, heard wherever `stems` are ready.
    #[must_use]
    pub fn with_stems(mut self, stems: StemSource) -> Self {
        self.stems = Some(stems);
        self
    }

    /// The stems, if there are any.
    pub fn stems(&self) -> Option<&StemSource> {
        self.stems.as_ref()
    }

    pub(super) fn mixture(&self) -> &Track {
        &self.mixture
    }

    /// Frames that can be played so far.
    pub fn frames(&self) -> u64 {
        self.mixture.frames()
    }

    /// The song's length, once it is known.
    pub fn final_frames(&self) -> Option<u64> {
        // Completeness first: the frames read after it cannot be fewer than all.
        (self.complete)().then(|| self.mixture.frames())
    }
}

impl StemSource {
    /// Lanes of 1 or 2 channels each; `ready` says which frames may be read. A range once ready
    /// stays ready. `ready` is asked from the feeder's thread, often, and must be quick.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is no lane, more than [`MAX_LANES`], or one with another
    /// channel count.
    pub fn new(
        lanes: Vec<Arc<Track>>,
        ready: impl Fn() -> Arc<RangeSet> + Send + Sync + 'static,
    ) -> Result<Self> {
        if lanes.is_empty() || lanes.len() > MAX_LANES {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("Cannot play {} stems at once, only 1 to {MAX_LANES}", lanes.len()),
            ));
        }
        lanes.iter().try_for_each(|lane| check_channels(lane, "stem"))?;
        Ok(Self { lanes, ready: Arc::new(ready) })
    }

    /// Lanes that are ready from end to end.
    ///
    /// # Errors
    /// As [`StemSource::new`].
    pub fn complete(lanes: Vec<Arc<Track>>) -> Result<Self> {
        let frames = lanes.iter().map(|lane| lane.frames()).max().unwrap_or(0);
        let mut all = RangeSet::new();
        all.insert(0..frames);
        let all = Arc::new(all);
        Self::new(lanes, move || all.clone())
    }

    pub(super) fn lanes(&self) -> &[Arc<Track>] {
        &self.lanes
    }

    pub(super) fn ready(&self) -> Arc<RangeSet> {
        (self.ready)()
    }
}

impl std::fmt::Debug for PlaybackSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaybackSource")
            .field("frames", &self.frames())
            .field("stems", &self.stems.as_ref().map(|stems| stems.lanes.len()))
            .finish()
    }
}

impl std::fmt::Debug for StemSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StemSource").field("lanes", &self.lanes.len()).finish()
    }
}

fn check_channels(track: &Track, what: &str) -> Result<()> {
    match track.channel_count() {
        1 | 2 => Ok(()),
        channels => Err(Error::new(
            ErrorKind::Invalid,
            format!("Cannot play a {what} of {channels} channels, only mono or stereo"),
        )),
    }
}
