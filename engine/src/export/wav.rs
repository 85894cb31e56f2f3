//! WAV up to 4 GiB: hound's header, then samples in whole blocks, for hound takes them one by one, and
//! the tag chunks that it does not know.

use std::{
    fs::File,
    io::{Cursor, Seek, SeekFrom, Write},
};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{
    encoder::{EncodeError, EncodeResult, Encoder},
    format::Bits,
    pcm::Quantizer,
};
use crate::audio::{Planar, StreamSpec};

/// Writes RIFF WAVE.
pub(super) struct WavEncoder<'f> {
    file: &'f File,
    bits: Bits,
    quantizer: Quantizer,
    bytes: Vec<u8>,
    header_bytes: u64,
    data_bytes: u64,
    chunks: Vec<u8>,
}

impl<'f> WavEncoder<'f> {
    /// Writes the header; `chunks` (whole RIFF chunks) will follow the samples.
    pub(super) fn new(
        file: &'f File,
        bits: Bits,
        stream: StreamSpec,
        quantizer: Quantizer,
        chunks: Vec<u8>,
    ) -> EncodeResult<Self> {
        let spec = WavSpec {
            channels: stream.channels,
            sample_rate: stream.sample_rate_hz,
            bits_per_sample: bits.bytes() as u16 * 8,
            sample_format: match bits {
                Bits::Float32 => SampleFormat::Float,
                Bits::Int16 | Bits::Int24 => SampleFormat::Int,
            },
        };
        let mut header = Cursor::new(Vec::new());
        WavWriter::new(&mut header, spec).and_then(WavWriter::finalize).map_err(from_hound)?;
        let (mut out, header) = (file, header.into_inner());
        out.write_all(&header)?;
        let header_bytes = header.len() as u64;
        Ok(Self { file, bits, quantizer, bytes: Vec::new(), header_bytes, data_bytes: 0, chunks })
    }
}

impl Encoder for WavEncoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        self.quantizer.interleave(block, self.bits, &mut self.bytes);
        self.file.write_all(&self.bytes)?;
        self.data_bytes += self.bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> EncodeResult<()> {
        let Self { mut file, header_bytes, data_bytes, chunks, .. } = *self;
        // Chunks start at even offsets.
        if data_bytes % 2 == 1 {
            file.write_all(&[0])?;
        }
        file.write_all(&chunks)?;
        let riff_bytes = file.stream_position()? - 8;
        // The caller chose this encoder because the whole file stays below 4 GiB. The header ends
        // with the size of the samples.
        file.seek(SeekFrom::Start(header_bytes - 4))?;
        file.write_all(&(data_bytes as u32).to_le_bytes())?;
        file.seek(SeekFrom::Start(4))?;
        file.write_all(&(riff_bytes as u32).to_le_bytes())?;
        Ok(())
    }
}

fn from_hound(error: hound::Error) -> EncodeError {
    match error {
        hound::Error::IoError(cause) => EncodeError::Io(cause),
        other => EncodeError::Codec(other.to_string()),
    }
}
