//! Reading a file through once for what it says and how loud it is.

use std::path::Path;

use ebur128::{EbuR128, Mode};

use crate::{
    decode::Decoder,
    error::{Error, ErrorKind, Result},
    model::Progress,
    song::SongInfo,
};

/// Facts about a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Tags and format.
    pub info: SongInfo,
    /// Frames it decodes to, at its own rate.
    pub frames: u64,
    /// Largest sample of any channel in decibels below full scale; −∞ for silence.
    pub peak_dbfs: f64,
    /// Integrated loudness by EBU R 128, in LUFS; −∞ where the gate lets nothing through.
    pub loudness_lufs: f64,
    /// What is odd about the file, as sentences.
    pub notes: Vec<String>,
}

/// Decodes all of `path` at its own rate and measures it, a block at a time.
///
/// # Errors
/// As [`Decoder`]; [`ErrorKind::Cancelled`] when `progress` says so.
pub fn inspect(path: &Path, progress: &dyn Progress) -> Result<Facts> {
    let mut decoder = Decoder::open(path)?;
    let spec = decoder.info().source;
    let unmeasurable = |cause| {
        Error::new(ErrorKind::Unsupported, format!("“{}” cannot be measured", path.display()))
            .caused_by(Box::<dyn std::error::Error + Send + Sync>::from(cause))
    };
    let mut loudness = EbuR128::new(u32::from(spec.channels), spec.sample_rate_hz, Mode::I)
        .map_err(unmeasurable)?;
    let claimed_frames = decoder.info().source_frames.unwrap_or(0).max(1) as f32;
    let (mut frames, mut peak) = (0, 0.0f32);
    while let Some(block) = decoder.next_block()? {
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        frames += block.frames() as u64;
        peak = block.channels().iter().flatten().fold(peak, |peak, s| peak.max(s.abs()));
        let channels: Vec<&[f32]> = block.channels().iter().map(Vec::as_slice).collect();
        loudness.add_frames_planar_f32(&channels).map_err(unmeasurable)?;
        progress.report((frames as f32 / claimed_frames).min(1.0));
    }
    Ok(Facts {
        info: decoder.info().clone(),
        frames,
        peak_dbfs: 20.0 * f64::from(peak).log10(),
        loudness_lufs: loudness.loudness_global().map_err(unmeasurable)?,
        notes: decoder.notes(),
    })
}
