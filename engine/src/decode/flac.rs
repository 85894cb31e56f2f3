//! Native FLAC: how much of a file became sound, to notice what was passed over. Symphonia's reader
//! says nothing of what does not look like the stream's first frames (damaged, or of another
//! rate, width or channel count); it skips it, or hangs it on to the frame before.

use std::io::{Read, Result, Seek, SeekFrom};

use symphonia::core::codecs::audio::AudioCodecParameters;

use crate::audio::Planar;

/// Bytes that may remain unexplained: tags that other programs append.
const TOLERATED_BYTES: u64 = 65_536;

/// Bytes of frames in a file against bytes that were decoded.
#[derive(Debug)]
pub(super) struct Account {
    frame_bytes: u64,
    decoded_bytes: u64,
}

impl Account {
    /// The account of `file`, by the layout of its metadata (RFC 9639 § 8); `None` when it is not
    /// native FLAC. The read position moves back to the start.
    ///
    /// # Errors
    /// Only real read errors.
    pub(super) fn open(file: &mut (impl Read + Seek)) -> Result<Option<Self>> {
        let len = file.seek(SeekFrom::End(0))?;
        let start = match frames_start(file) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => None,
            start => start?,
        };
        file.seek(SeekFrom::Start(0))?;
        Ok(start.map(|start| Self { frame_bytes: len.saturating_sub(start), decoded_bytes: 0 }))
    }

    /// Books a packet that became `block`. A frame is never longer than its samples stored plainly,
    /// so what a packet has beyond that was not decoded.
    pub(super) fn decoded(
        &mut self,
        packet_bytes: usize,
        block: &Planar,
        of: &AudioCodecParameters,
    ) {
        // A side channel has one bit more.
        let sample_bits = of.bits_per_sample.unwrap_or(32) as usize + 1;
        let plain_bytes = block.frames() * block.channel_count() * sample_bits / 8 + 256;
        self.decoded_bytes += packet_bytes.min(plain_bytes) as u64;
    }

    /// Whether a large part of the file did not become sound.
    pub(super) fn is_short(&self) -> bool {
        let passed_over = self.frame_bytes.saturating_sub(self.decoded_bytes);
        passed_over > TOLERATED_BYTES.max(self.decoded_bytes / 8)
    }
}

fn frames_start(file: &mut (impl Read + Seek)) -> Result<Option<u64>> {
    let mut head = [0; 10];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let mut at = 0;
    if head.starts_with(b"ID3") {
        at = 10 + head[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..4])?;
    }
    if !head.starts_with(b"fLaC") {
        return Ok(None);
    }
    at += 4;
    loop {
        let mut block = [0; 4];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        at += 4 + (u64::from(block[1]) << 16 | u64::from(block[2]) << 8 | u64::from(block[3]));
        if block[0] & 0x80 != 0 {
            return Ok(Some(at));
        }
    }
}
