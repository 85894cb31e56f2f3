//! Planar f32 audio on disk, read and written in blocks at any position.
//!
//! One file per channel, raw little-endian f32 without a header, named `<name>.<channel>.f32`.
//! Positional reads and writes instead of a memory map: pages then belong to the system's cache
//! and not to our resident memory, and a file cut short is an error, not a SIGBUS.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::{Error, Result};

const SAMPLE_BYTES: u64 = size_of::<f32>() as u64;

/// A growing or complete planar f32 track on disk. All methods take `&self`; writers of disjoint
/// ranges and readers may run at the same time.
#[derive(Debug)]
pub struct Track {
    channels: Vec<(PathBuf, File)>,
    frames: AtomicU64,
}

impl Track {
    /// Creates an empty track, replacing one of the same name.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(dir: &Path, name: &str, channels: usize) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Self::with(dir, name, channels, 0, &options)
    }

    /// Opens an existing track of known length, for reading and writing.
    ///
    /// # Errors
    /// When a channel's file is missing or not `frames` long.
    pub fn open(dir: &Path, name: &str, channels: usize, frames: u64) -> Result<Self> {
        let track =
            Self::with(dir, name, channels, frames, OpenOptions::new().read(true).write(true))?;
        for (path, file) in &track.channels {
            let bytes = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
            if bytes != frames * SAMPLE_BYTES {
                return Err(Error::new(
                    crate::ErrorKind::Damaged,
                    format!(
                        "“{}” holds {bytes} bytes instead of {}",
                        path.display(),
                        frames * SAMPLE_BYTES
                    ),
                ));
            }
        }
        Ok(track)
    }

    fn with(
        dir: &Path,
        name: &str,
        channels: usize,
        frames: u64,
        options: &OpenOptions,
    ) -> Result<Self> {
        let channels = (0..channels)
            .map(|channel| {
                let path = dir.join(format!("{name}.{channel}.f32"));
                let file = options.open(&path).map_err(|e| Error::io("open", &path, e))?;
                Ok((path, file))
            })
            .collect::<Result<_>>()?;
        Ok(Self { channels, frames: AtomicU64::new(frames) })
    }

    /// Number of channels.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Length in frames: the furthest frame written or set so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// Sets the length; frames not written yet read as silence and take no space.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn set_frames(&self, frames: u64) -> Result<()> {
        for (path, file) in &self.channels {
            file.set_len(frames * SAMPLE_BYTES).map_err(|e| Error::io("resize", path, e))?;
        }
        self.frames.store(frames, Ordering::Release);
        Ok(())
    }

    /// Writes equally long slices, one per channel, from `at_frame` on.
    ///
    /// # Errors
    /// Whatever the file system says, a full disk above all.
    pub fn write(&self, at_frame: u64, channels: &[impl AsRef<[f32]>]) -> Result<()> {
        debug_assert_eq!(channels.len(), self.channels.len());
        for ((path, file), samples) in self.channels.iter().zip(channels) {
            write_all_at(file, as_le_bytes(samples.as_ref()), at_frame * SAMPLE_BYTES)
                .map_err(|e| Error::io("write", path, e))?;
        }
        let written = channels.first().map_or(0, |c| c.as_ref().len() as u64);
        self.frames.fetch_max(at_frame + written, Ordering::AcqRel);
        Ok(())
    }

    /// Fills equally long slices, one per channel, from `at_frame` on; beyond the end is silence.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn read(&self, at_frame: u64, channels: &mut [impl AsMut<[f32]>]) -> Result<()> {
        debug_assert_eq!(channels.len(), self.channels.len());
        let available = self.frames().saturating_sub(at_frame);
        for ((path, file), samples) in self.channels.iter().zip(channels) {
            let samples = samples.as_mut();
            let inside = samples.len().min(usize::try_from(available).unwrap_or(usize::MAX));
            let (wanted, beyond) = samples.split_at_mut(inside);
            read_exact_at(file, bytemuck::cast_slice_mut(wanted), at_frame * SAMPLE_BYTES)
                .map_err(|e| Error::io("read", path, e))?;
            from_le(wanted);
            beyond.fill(0.0);
        }
        Ok(())
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&self) -> Result<()> {
        for (path, file) in &self.channels {
            file.sync_data().map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    }
}

#[cfg(target_endian = "little")]
fn as_le_bytes(samples: &[f32]) -> &[u8] {
    bytemuck::cast_slice(samples)
}

#[cfg(target_endian = "little")]
fn from_le(_samples: &mut [f32]) {}

#[cfg(not(target_endian = "little"))]
compile_error!("tracks are stored little-endian and cast in place");

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_write(bytes, at)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            n => {
                bytes = &bytes[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_read(bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = &mut bytes[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}
