//! The one trait behind which every file format is written, block by block.

use std::{fs::File, io, path::Path};

use super::{
    flac::FlacEncoder,
    format::{Bits, Format, RIFF_LIMIT_BYTES},
    mp3::Mp3Encoder,
    pcm::Quantizer,
    rf64::Rf64Encoder,
    tags::EncodedTags,
    vorbis::OggVorbisEncoder,
    wav::WavEncoder,
};
use crate::{
    audio::{Planar, StreamSpec},
    error::{Error, ErrorKind},
};

/// Bytes collected before they go to the system.
pub(super) const OUTPUT_BUFFER_BYTES: usize = 256 * 1024;

/// Writes one file: header at creation, samples by blocks, the rest at the end. Memory is bounded
/// by the block, not by the song.
pub(super) trait Encoder {
    /// Appends a block with the channel count that the encoder was made for.
    fn write(&mut self, block: &Planar) -> EncodeResult<()>;

    /// Writes what is pending and completes the header.
    fn finish(self: Box<Self>) -> EncodeResult<()>;
}

/// What an encoder must know before the first sample.
#[derive(Debug, Clone)]
pub(super) struct EncoderSpec {
    /// Format and its settings.
    pub(super) format: Format,
    /// Rate and channels of the file.
    pub(super) stream: StreamSpec,
    /// Exactly how many frames will be written.
    pub(super) frames: u64,
    /// Seed of the dither; none where nothing has to be rounded.
    pub(super) dither_seed: Option<u64>,
    /// Tags and cover, in the format's own encoding.
    pub(super) tags: EncodedTags,
}

/// Starts writing a file of `spec` at the beginning of the empty `file`.
pub(super) fn encoder<'f>(
    file: &'f File,
    spec: &EncoderSpec,
) -> EncodeResult<Box<dyn Encoder + 'f>> {
    let &EncoderSpec { format, stream, frames, dither_seed, ref tags } = spec;
    let quantizer = |bits| {
        let (bits, seed) = if bits == Bits::Int16 { (16, dither_seed) } else { (24, None) };
        Quantizer::new(bits, usize::from(stream.channels), seed)
    };
    Ok(match format {
        Format::Wav(bits) => {
            let chunks = tags.riff_chunks();
            let bytes = format.estimated_bytes(stream, frames).0 + chunks.len() as u64;
            if bytes > RIFF_LIMIT_BYTES {
                Box::new(Rf64Encoder::new(file, bits, stream, frames, quantizer(bits), &chunks)?)
            } else {
                Box::new(WavEncoder::new(file, bits, stream, quantizer(bits), chunks)?)
            }
        }
        Format::Flac(bits) => {
            Box::new(FlacEncoder::new(file, bits, stream, quantizer(bits), tags)?)
        }
        Format::Mp3(quality) => Box::new(Mp3Encoder::new(file, quality, stream, &tags.id3v2)?),
        Format::Vorbis(quality) => Box::new(OggVorbisEncoder::new(file, quality, stream, tags)?),
    })
}

/// Why a block could not be encoded; becomes an [`Error`] where the file's name is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The codec refused.
    #[error("{0}")]
    Codec(String),
}

impl EncodeError {
    /// A refusal by the codec, in its own words.
    pub(super) fn codec(cause: impl std::fmt::Debug) -> Self {
        Self::Codec(format!("{cause:?}"))
    }

    /// The same, naming the file.
    pub(super) fn for_file(self, path: &Path) -> Error {
        match self {
            Self::Io(cause) => Error::io("write", path, cause),
            Self::Codec(cause) => Error::new(
                ErrorKind::Internal,
                format!("The encoder gave up on “{}”: {cause}", path.display()),
            ),
        }
    }
}

/// Result of encoding.
pub(super) type EncodeResult<T> = Result<T, EncodeError>;
