//! The result of one chunk on disk: for every stem its left and right channel, little-endian f32
//! without a header. Whether it is whole is told by its BLAKE3 in the journal.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    audio::Planar,
    error::{Error, ErrorKind, Result},
};

/// BLAKE3 of a chunk file.
pub type ChunkHash = [u8; 32];

const SAMPLE_BYTES: u64 = size_of::<f32>() as u64;

/// Writes the stems of one chunk, all stereo and equally long, and returns the file's hash. Not
/// synced: after a power cut the hash tells.
///
/// # Errors
/// Whatever the file system says; nothing is left behind then.
pub fn write_chunk(path: &Path, stems: &[&Planar]) -> Result<ChunkHash> {
    let mut hasher = blake3::Hasher::new();
    let written = File::create(path).and_then(|mut file| {
        for samples in stems.iter().flat_map(|stem| stem.channels()) {
            let bytes: &[u8] = bytemuck::cast_slice(samples);
            hasher.update(bytes);
            file.write_all(bytes)?;
        }
        Ok(())
    });
    match written {
        Ok(()) => Ok(hasher.finalize().into()),
        Err(e) => {
            // The error that matters is the first one.
            let _ = std::fs::remove_file(path);
            Err(Error::io("write", path, e))
        }
    }
}

/// The hash of a chunk file as it lies there.
///
/// # Errors
/// Whatever the file system says.
pub fn hash_chunk(path: &Path) -> Result<ChunkHash> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|h| h.finalize().into()))
        .map_err(|e| Error::io("read", path, e))
}

/// An open chunk file.
#[derive(Debug)]
pub(super) struct ChunkFile {
    path: PathBuf,
    file: File,
    frames: u64,
}

impl ChunkFile {
    /// Opens the file of a chunk of `stems` stems of `frames` frames.
    pub(super) fn open(path: PathBuf, stems: usize, frames: u64) -> Result<Self> {
        let failed = |e| Error::io("read", &path, e);
        let file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes != stems as u64 * 2 * frames * SAMPLE_BYTES {
            let what = format!("“{}” is {bytes} bytes long, which is wrong", path.display());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        Ok(Self { path, file, frames })
    }

    /// Fills `samples` from one channel (0 or 1) of one stem.
    pub(super) fn read(
        &mut self,
        stem: usize,
        channel: usize,
        at_frame: u64,
        samples: &mut [f32],
    ) -> Result<()> {
        let at = ((stem * 2 + channel) as u64 * self.frames + at_frame) * SAMPLE_BYTES;
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(bytemuck::cast_slice_mut(samples)))
            .map_err(|e| Error::io("read", &self.path, e))
    }
}
