//! FLAC by flacenc, frame by frame, so that memory does not grow with the song.
//!
//! flacenc's own stream writer keeps every frame in memory and counts the short last block in
//! STREAMINFO's minimum block size, which some decoders take for a variable block size and
//! refuse; so STREAMINFO is written here (RFC 9639, section 8.2), once empty at the start and
//! again at the end, when length, frame sizes and the MD5 of the samples are known.

use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
};

use flacenc::{
    bitsink::ByteSink,
    component::{BitRepr, StreamInfo},
    config,
    error::{Verified, Verify},
    source::{Context, Fill, FrameBuf},
};

use super::{
    encoder::{EncodeError, EncodeResult, Encoder, OUTPUT_BUFFER_BYTES},
    format::Bits,
    pcm::Quantizer,
    tags::EncodedTags,
};
use crate::audio::{Planar, StreamSpec};

const BLOCK_FRAMES: usize = 4096;

/// Offset of STREAMINFO's body: behind `fLaC` and the block's header.
const STREAMINFO_AT: u64 = 8;

/// Room left for tag editors, so that they need not rewrite the file.
const PADDING_BYTES: usize = 8192;

/// Largest body of a metadata block, which has 24 bits for its size.
const BLOCK_BODY_LIMIT_BYTES: usize = (1 << 24) - 1;

/// Writes FLAC.
pub(super) struct FlacEncoder<'f> {
    out: BufWriter<&'f File>,
    config: Verified<config::Encoder>,
    /// What flacenc must know to encode a frame; the real STREAMINFO is [`Self::stream_info`].
    frame_info: StreamInfo,
    stream: StreamSpec,
    bytes_per_sample: usize,
    quantizer: Quantizer,
    /// Interleaved integers of the frame being collected, and the same as bytes for the MD5.
    pending: Vec<i32>,
    pending_bytes: Vec<u8>,
    frame: FrameBuf,
    digest: Context,
    encoded: ByteSink,
    frames_encoded: usize,
    frame_bytes: Option<(usize, usize)>,
}

impl<'f> FlacEncoder<'f> {
    /// Writes the metadata blocks.
    pub(super) fn new(
        file: &'f File,
        bits: Bits,
        stream: StreamSpec,
        quantizer: Quantizer,
        tags: &EncodedTags,
    ) -> EncodeResult<Self> {
        let channels = usize::from(stream.channels);
        let bytes_per_sample = bits.bytes() as usize;
        let mut config = config::Encoder::default();
        // flacenc compares fixed predictors by estimates, and those are wrong for loud 24-bit blocks:
        // one estimate knows no limit of Rice parameters, the other overflows, and a block may then
        // come out a thousand times larger than it went in. Linear prediction is compared with
        // plain samples by the bits it really takes.
        config.subframe_coding.use_fixed = false;
        let config = config.into_verified().map_err(|(_, e)| EncodeError::codec(e))?;
        // flacenc refuses rates above 96 kHz. 95 999 Hz has no code in a frame's header, so
        // frames then say "as in STREAMINFO", where the true rate stands.
        let frame_rate_hz =
            if stream.sample_rate_hz > 96_000 { 95_999 } else { stream.sample_rate_hz };
        let mut encoder = Self {
            out: BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file),
            config,
            frame_info: StreamInfo::new(frame_rate_hz as usize, channels, bytes_per_sample * 8)
                .map_err(EncodeError::codec)?,
            stream,
            bytes_per_sample,
            quantizer,
            pending: Vec::with_capacity(BLOCK_FRAMES * channels),
            pending_bytes: Vec::with_capacity(BLOCK_FRAMES * channels * bytes_per_sample),
            frame: FrameBuf::with_size(channels, BLOCK_FRAMES).map_err(EncodeError::codec)?,
            digest: Context::new(bytes_per_sample * 8, channels),
            encoded: ByteSink::new(),
            frames_encoded: 0,
            frame_bytes: None,
        };
        encoder.write_metadata(tags)?;
        Ok(encoder)
    }

    fn write_metadata(&mut self, tags: &EncodedTags) -> EncodeResult<()> {
        const STREAMINFO: u8 = 0;
        const PADDING: u8 = 1;
        const VORBIS_COMMENT: u8 = 4;
        const PICTURE: u8 = 6;
        const LAST: u8 = 0x80;
        self.out.write_all(b"fLaC")?;
        let info = self.stream_info();
        self.write_metadata_block(STREAMINFO, &info)?;
        self.write_metadata_block(VORBIS_COMMENT, &tags.vorbis_comment_block())?;
        for picture in tags.flac_pictures() {
            self.write_metadata_block(PICTURE, &picture)?;
        }
        self.write_metadata_block(PADDING | LAST, &[0; PADDING_BYTES])
    }

    /// Writes a block, or nothing where it is too large for one.
    fn write_metadata_block(&mut self, kind: u8, body: &[u8]) -> EncodeResult<()> {
        if body.len() <= BLOCK_BODY_LIMIT_BYTES {
            let size = (body.len() as u32).to_be_bytes();
            self.out.write_all(&[kind, size[1], size[2], size[3]])?;
            self.out.write_all(body)?;
        }
        Ok(())
    }

    /// STREAMINFO's 34 bytes for what was encoded so far.
    fn stream_info(&self) -> [u8; 34] {
        let (min_bytes, max_bytes) = self.frame_bytes.unwrap_or((0, 0));
        let mut info = [0; 34];
        info[0..2].copy_from_slice(&(BLOCK_FRAMES as u16).to_be_bytes());
        info[2..4].copy_from_slice(&(BLOCK_FRAMES as u16).to_be_bytes());
        info[4..7].copy_from_slice(&(min_bytes as u32).to_be_bytes()[1..]);
        info[7..10].copy_from_slice(&(max_bytes as u32).to_be_bytes()[1..]);
        // 20 bits of rate, 3 of channels − 1, 5 of bits − 1, 36 of total frames.
        let packed = u64::from(self.stream.sample_rate_hz) << 44
            | u64::from(self.stream.channels - 1) << 41
            | (self.bytes_per_sample as u64 * 8 - 1) << 36
            | (self.digest.total_samples() as u64 & ((1 << 36) - 1));
        info[10..18].copy_from_slice(&packed.to_be_bytes());
        info[18..34].copy_from_slice(&self.digest.md5_digest());
        info
    }

    fn encode_pending(&mut self) -> EncodeResult<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.digest
            .fill_le_bytes(&self.pending_bytes, self.bytes_per_sample)
            .map_err(EncodeError::codec)?;
        self.frame.fill_interleaved(&self.pending).map_err(EncodeError::codec)?;
        let frame = flacenc::encode_fixed_size_frame(
            &self.config,
            &self.frame,
            self.frames_encoded,
            &self.frame_info,
        )
        .map_err(EncodeError::codec)?;
        self.encoded.clear();
        frame.write(&mut self.encoded).map_err(EncodeError::codec)?;
        let bytes = self.encoded.as_slice();
        self.out.write_all(bytes)?;
        let (min, max) = self.frame_bytes.unwrap_or((usize::MAX, 0));
        self.frame_bytes = Some((min.min(bytes.len()), max.max(bytes.len())));
        self.frames_encoded += 1;
        self.pending.clear();
        self.pending_bytes.clear();
        Ok(())
    }
}

impl Encoder for FlacEncoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        let full = BLOCK_FRAMES * block.channel_count();
        for i in 0..block.frames() {
            for (c, channel) in block.channels().iter().enumerate() {
                let value = self.quantizer.quantize(c, channel[i]);
                self.pending.push(value);
                self.pending_bytes.extend_from_slice(&value.to_le_bytes()[..self.bytes_per_sample]);
            }
            if self.pending.len() == full {
                self.encode_pending()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> EncodeResult<()> {
        self.encode_pending()?;
        let info = self.stream_info();
        self.out.seek(SeekFrom::Start(STREAMINFO_AT))?;
        self.out.write_all(&info)?;
        self.out.flush()?;
        Ok(())
    }
}
