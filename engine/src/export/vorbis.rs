//! Ogg Vorbis by libvorbis (aoTuV/Lancer). The last page's granule position is the exact length.

use std::{
    fs::File,
    io::{BufWriter, Write},
    num::{NonZeroU8, NonZeroU32},
};

use vorbis_rs::{
    VorbisBitrateManagementStrategy, VorbisEncoder, VorbisEncoderBuilder, VorbisError,
};

use super::{
    encoder::{EncodeError, EncodeResult, Encoder, OUTPUT_BUFFER_BYTES},
    format::VorbisQuality,
    tags::EncodedTags,
};
use crate::audio::{Planar, StreamSpec};

/// libvorbis slows down sharply when handed much more than a window at a time.
const BLOCK_FRAMES: usize = 4096;

/// A stream's serial only has to differ from others in the same file, and there is one; a fixed
/// one makes the same export yield the same bytes.
const SERIAL: i32 = 0x5354_454D;

/// Writes Ogg Vorbis.
pub(super) struct OggVorbisEncoder<'f> {
    vorbis: VorbisEncoder<BufWriter<&'f File>>,
}

impl<'f> OggVorbisEncoder<'f> {
    /// Writes the three header packets, tags and cover included.
    pub(super) fn new(
        file: &'f File,
        quality: VorbisQuality,
        stream: StreamSpec,
        tags: &EncodedTags,
    ) -> EncodeResult<Self> {
        let (Some(rate), Some(channels)) =
            (NonZeroU32::new(stream.sample_rate_hz), NonZeroU8::new(stream.channels as u8))
        else {
            return Err(EncodeError::Codec(format!("no Vorbis of {stream:?}")));
        };
        let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file);
        let mut builder = VorbisEncoderBuilder::new_with_serial(rate, channels, out, SERIAL);
        builder.bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr {
            target_quality: f32::from(quality.0.clamp(-1, 10)) / 10.0,
        });
        for (key, value) in tags.comments_with_pictures() {
            // The library takes C strings; a comment with a NUL inside is left out.
            if !key.contains('\0') && !value.contains('\0') {
                builder.comment_tag(key, value).map_err(from_vorbis)?;
            }
        }
        Ok(Self { vorbis: builder.build().map_err(from_vorbis)? })
    }
}

impl Encoder for OggVorbisEncoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        for start in (0..block.frames()).step_by(BLOCK_FRAMES) {
            let end = (start + BLOCK_FRAMES).min(block.frames());
            let part: Vec<&[f32]> =
                block.channels().iter().map(|channel| &channel[start..end]).collect();
            self.vorbis.encode_audio_block(part).map_err(from_vorbis)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> EncodeResult<()> {
        self.vorbis.finish().map_err(from_vorbis)?.flush()?;
        Ok(())
    }
}

fn from_vorbis(error: VorbisError) -> EncodeError {
    match error {
        VorbisError::Io(cause) => EncodeError::Io(cause),
        other => EncodeError::Codec(other.to_string()),
    }
}
