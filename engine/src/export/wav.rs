//! WAV up to 4 GiB by hound, with the tag chunks that hound does not know behind the samples.

use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{
    encoder::{EncodeError, EncodeResult, Encoder, OUTPUT_BUFFER_BYTES},
    format::Bits,
    pcm::Quantizer,
};
use crate::audio::{Planar, StreamSpec};

/// Writes RIFF WAVE.
pub(super) struct WavEncoder<'f> {
    file: &'f File,
    writer: WavWriter<BufWriter<&'f File>>,
    bits: Bits,
    quantizer: Quantizer,
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
        let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file);
        let writer = WavWriter::new(out, spec).map_err(from_hound)?;
        Ok(Self { file, writer, bits, quantizer, chunks })
    }
}

impl Encoder for WavEncoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        let channels = block.channels();
        let frames = block.frames();
        match self.bits {
            Bits::Int16 => {
                let mut writer = self.writer.get_i16_writer((frames * channels.len()) as u32);
                for i in 0..frames {
                    for (c, channel) in channels.iter().enumerate() {
                        writer.write_sample(self.quantizer.quantize(c, channel[i]) as i16);
                    }
                }
                writer.flush().map_err(from_hound)?;
            }
            Bits::Int24 => {
                for i in 0..frames {
                    for (c, channel) in channels.iter().enumerate() {
                        let value = self.quantizer.quantize(c, channel[i]);
                        self.writer.write_sample(value).map_err(from_hound)?;
                    }
                }
            }
            Bits::Float32 => {
                for i in 0..frames {
                    for channel in channels {
                        self.writer.write_sample(channel[i]).map_err(from_hound)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> EncodeResult<()> {
        let Self { mut file, writer, chunks, .. } = *self;
        writer.finalize().map_err(from_hound)?;
        // Chunks start at even offsets; hound leaves an odd number of sample bytes unpadded.
        let end = file.seek(SeekFrom::End(0))?;
        if end % 2 == 1 {
            file.write_all(&[0])?;
        }
        file.write_all(&chunks)?;
        let riff_bytes = file.stream_position()? - 8;
        file.seek(SeekFrom::Start(4))?;
        // The caller chose this encoder because the whole file stays below 4 GiB.
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
