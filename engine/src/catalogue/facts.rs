//! What a checkpoint that nobody knows says of itself.

use std::path::Path;

use crate::{
    error::{Error, Result},
    model::{
        Stem,
        checkpoint::Checkpoint,
        htdemucs::{Config, Network},
        nn::Kernels,
    },
};

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Stems it yields, in its own order.
    pub(super) stems: Vec<Stem>,
    /// Frames of its segments.
    pub(super) segment_frames: usize,
}

/// Loads the model in the file at `path`, called `name` by the user, to see that it runs here.
///
/// # Errors
/// [`crate::ErrorKind::Unsupported`] or [`crate::ErrorKind::Damaged`] when it does not; what the
/// disk says.
pub(super) fn read_facts(path: &Path, name: &str) -> Result<Facts> {
    let load = || {
        let checkpoint = Checkpoint::read(path)?;
        Network::load(checkpoint, Kernels::detect())
    };
    let network = load().map_err(|error| Error {
        what: format!("“{name}” holds no model that runs here: {}", error.what),
        kept: Some("Nothing was copied".into()),
        ..error
    })?;
    let Config { sources, segment_frames, .. } = network.config();
    Ok(Facts { stems: sources.clone(), segment_frames: *segment_frames })
}
