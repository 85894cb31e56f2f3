//! WAV above 4 GiB: the RF64 header of EBU Tech 3306, whose `ds64` chunk holds 64-bit sizes.

use std::{
    fs::File,
    io::{BufWriter, Write},
};

use super::{
    encoder::{EncodeResult, Encoder, OUTPUT_BUFFER_BYTES},
    format::Bits,
    pcm::Quantizer,
};
use crate::audio::{Planar, StreamSpec};

/// Bytes before the first sample.
pub(super) const HEADER_BYTES: u64 = 12 + 36 + 48 + 8;

/// Writes RF64; the length is known beforehand, so nothing needs patching.
pub(super) struct Rf64Encoder<'f> {
    out: BufWriter<&'f File>,
    bits: Bits,
    quantizer: Quantizer,
    bytes: Vec<u8>,
    /// A pad byte and the tag's chunk, which follow the samples.
    trailer: Vec<u8>,
}

impl<'f> Rf64Encoder<'f> {
    /// Writes the header for exactly `frames` frames; `trailer` (whole chunks) follows them.
    pub(super) fn new(
        file: &'f File,
        bits: Bits,
        stream: StreamSpec,
        frames: u64,
        quantizer: Quantizer,
        chunks: &[u8],
    ) -> EncodeResult<Self> {
        let data_bytes = frames * bits.bytes() * u64::from(stream.channels);
        let mut trailer = vec![0; (data_bytes % 2) as usize];
        trailer.extend_from_slice(chunks);
        let riff_bytes = HEADER_BYTES - 8 + data_bytes + trailer.len() as u64;
        let mut out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file);
        out.write_all(&header(bits, stream, frames, data_bytes, riff_bytes))?;
        Ok(Self { out, bits, quantizer, bytes: Vec::new(), trailer })
    }
}

impl Encoder for Rf64Encoder<'_> {
    fn write(&mut self, block: &Planar) -> EncodeResult<()> {
        self.quantizer.interleave(block, self.bits, &mut self.bytes);
        self.out.write_all(&self.bytes)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> EncodeResult<()> {
        self.out.write_all(&self.trailer)?;
        self.out.flush()?;
        Ok(())
    }
}

/// `RF64`, `ds64`, a WAVEFORMATEXTENSIBLE `fmt ` and the start of `data`.
fn header(
    bits: Bits,
    stream: StreamSpec,
    frames: u64,
    data_bytes: u64,
    riff_bytes: u64,
) -> Vec<u8> {
    // KSDATAFORMAT_SUBTYPE_PCM and _IEEE_FLOAT differ in their first two bytes, the format tag.
    const SUBTYPE_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
    let tag: u16 = if bits == Bits::Float32 { 3 } else { 1 };
    let bits_per_sample = bits.bytes() as u16 * 8;
    let frame_bytes = bits.bytes() as u16 * stream.channels;
    let speakers: u32 = match stream.channels {
        1 => 0x4,
        2 => 0x3,
        _ => 0,
    };

    let mut h = Vec::with_capacity(HEADER_BYTES as usize);
    h.extend_from_slice(b"RF64\xFF\xFF\xFF\xFFWAVE");
    h.extend_from_slice(b"ds64");
    h.extend_from_slice(&28_u32.to_le_bytes());
    h.extend_from_slice(&riff_bytes.to_le_bytes());
    h.extend_from_slice(&data_bytes.to_le_bytes());
    h.extend_from_slice(&frames.to_le_bytes());
    h.extend_from_slice(&0_u32.to_le_bytes());
    h.extend_from_slice(b"fmt ");
    h.extend_from_slice(&40_u32.to_le_bytes());
    h.extend_from_slice(&0xFFFE_u16.to_le_bytes());
    h.extend_from_slice(&stream.channels.to_le_bytes());
    h.extend_from_slice(&stream.sample_rate_hz.to_le_bytes());
    h.extend_from_slice(&(stream.sample_rate_hz * u32::from(frame_bytes)).to_le_bytes());
    h.extend_from_slice(&frame_bytes.to_le_bytes());
    h.extend_from_slice(&bits_per_sample.to_le_bytes());
    h.extend_from_slice(&22_u16.to_le_bytes());
    h.extend_from_slice(&bits_per_sample.to_le_bytes());
    h.extend_from_slice(&speakers.to_le_bytes());
    h.extend_from_slice(&tag.to_le_bytes());
    h.extend_from_slice(&SUBTYPE_TAIL);
    h.extend_from_slice(b"data\xFF\xFF\xFF\xFF");
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format is the same at any size, so a small file tells.
    #[test]
    fn a_small_rf64_is_read_by_ffmpeg() {
        for (bits, channels, frames) in [(Bits::Int24, 1, 1_001), (Bits::Float32, 2, 500)] {
            let file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
            let stream = StreamSpec { sample_rate_hz: 44_100, channels };
            let audio: Vec<Vec<f32>> = (0..channels)
                .map(|c| (0..frames).map(|i| (i as f32 / 8_192.0) - f32::from(c) * 0.5).collect())
                .collect();
            let quantizer = Quantizer::new(24, usize::from(channels), None);
            let chunk = b"junk\x04\0\0\0abcd";
            let mut encoder = Box::new(
                Rf64Encoder::new(file.as_file(), bits, stream, frames as u64, quantizer, chunk)
                    .unwrap(),
            );
            encoder.write(&Planar::from_channels(audio.clone())).unwrap();
            encoder.finish().unwrap();

            let bytes = std::fs::read(file.path()).unwrap();
            let said = u64::from_le_bytes(bytes[20..28].try_into().unwrap());
            assert_eq!(said + 8, bytes.len() as u64, "the header knows the file's size");
            let Ok(output) = std::process::Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(file.path())
                .args(["-f", "f32le", "-"])
                .output()
            else {
                println!("skipped: ffmpeg is not installed");
                return;
            };
            let samples: Vec<f32> =
                output.stdout.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
            let expected: Vec<f32> =
                (0..frames).flat_map(|i| audio.iter().map(move |c| c[i])).collect();
            assert_eq!(samples, expected);
        }
    }
}
