//! MP3 by LAME, sample-exact.
//!
//! LAME delays and pads; a decoder can only undo that if the Info tag says by how much. LAME
//! writes an empty frame first to keep the tag's place and knows the numbers at the end, so the
//! placeholder is overwritten then. `FlushGap` (LAME's plain flush) is what sets the padding.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
};

use mp3lame_encoder::{
    Bitrate, Builder, DualPcm, Encoder as Lame, FlushGap, MonoPcm, Quality, VbrMode,
    max_required_buffer_size,
};

use super::{
    encoder::{EncodeError, EncodeResult, Encoder},
    format::Mp3Quality,
};
use crate::audio::{Planar, StreamSpec};

/// Bytes that LAME asks for at least when flushing (lame.h).
const FLUSH_BYTES: usize = 7200;

/// Writes MP3.
pub(super) struct Mp3Encoder<'f> {
    file: &'f File,
    lame: Lame,
    /// Offset of LAME's first frame: behind the ID3v2 tag.
    audio_at: u64,
    encoded: Vec<u8>,
}

impl<'f> Mp3Encoder<'f> {
    /// Writes the `id3v2` tag, which may be empty.
    pub(super) fn new(
        mut file: &'f File,
        quality: Mp3Quality,
        stream: StreamSpec,
        id3v2: &[u8],
    ) -> EncodeResult<Self> {
        let mut builder =
            Builder::new().ok_or_else(|| EncodeError::Codec("LAME is out of memory".into()))?;
        let rate = std::num::NonZeroU32::new(stream.sample_rate_hz);
        builder.set_num_channels(stream.channels as u8).map_err(EncodeError::codec)?;
        builder.set_sample_rate(stream.sample_rate_hz).map_err(EncodeError::codec)?;
        builder.set_output_sample_rate(rate).map_err(EncodeError::codec)?;
        match quality {
            Mp3Quality::V0 => {
                builder.set_vbr_mode(VbrMode::Mtrh).map_err(EncodeError::codec)?;
                builder.set_vbr_quality(Quality::Best).map_err(EncodeError::codec)?;
            }
            // LAME takes the highest bit rate there is where 320 is not defined for the rate.
            Mp3Quality::Cbr320 => {
                builder.set_brate(Bitrate::Kbps320).map_err(EncodeError::codec)?;
            }
        }
        builder.set_to_write_vbr_tag(true).map_err(EncodeError::codec)?;
        let lame = builder.build().map_err(EncodeError::codec)?;
        file.write_all(id3v2)?;
        Ok(Self { file, lame, audio_at: id3v2.len() as u64, encoded: Vec::new() })
    }
}

impl Encoder for Mp3Encoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        self.encoded.clear();
        self.encoded.reserve(max_required_buffer_size(block.frames()));
        match block.channels() {
            [mono] => self.lame.encode_to_vec(MonoPcm(mono), &mut self.encoded),
            [left, right] => self.lame.encode_to_vec(DualPcm { left, right }, &mut self.encoded),
            other => return Err(EncodeError::Codec(format!("{} channels", other.len()))),
        }
        .map_err(EncodeError::codec)?;
        self.file.write_all(&self.encoded)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> EncodeResult<()> {
        self.encoded.clear();
        self.encoded.reserve(FLUSH_BYTES);
        self.lame.flush_to_vec::<FlushGap>(&mut self.encoded).map_err(EncodeError::codec)?;
        self.file.write_all(&self.encoded)?;

        self.encoded.clear();
        self.encoded.reserve(self.lame.lame_tag_size());
        self.lame
            .lame_tag_encode_to_vec(&mut self.encoded)
            .ok_or_else(|| EncodeError::Codec("LAME has no Info tag".into()))?;
        self.file.seek(SeekFrom::Start(self.audio_at))?;
        self.file.write_all(&self.encoded)?;
        Ok(())
    }
}
