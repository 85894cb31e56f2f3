//! Native FLAC: how much of a file became sound, to notice what was passed over, and block sizes
//! that are wrong in the file's head. Symphonia's reader says nothing of what does not look like the
//! head and the stream's first frames (damaged, or of another rate, width or channel count); it
//! skips it, or hangs it on to the frame before.

use std::{
    fs::File,
    io::{Read, Result, Seek, SeekFrom},
};

use symphonia::core::{codecs::audio::AudioCodecParameters, io::MediaSource};

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

/// A file whose head (STREAMINFO) contradicts its first frame: the head counts the short last block
/// in, as one encoder in wide use does, or claims blocks smaller than they are. It is shown with
/// block sizes that fit, for Symphonia skips every frame that does not.
pub(super) struct Mended {
    file: File,
    at: u64,
    /// Where the head's block and frame sizes lie in the file.
    sizes_at: u64,
    /// Smallest and largest block in samples, smallest and largest frame in bytes (0: not known).
    sizes: [u8; 10],
}

impl Mended {
    /// `file` with its head mended; `None` when it is not native FLAC or needs none of that.
    ///
    /// # Errors
    /// Only real read errors.
    pub(super) fn open(mut file: File) -> Result<Option<Self>> {
        let found = match block_sizes(&mut file) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => None,
            found => found?,
        };
        file.seek(SeekFrom::Start(0))?;
        Ok(found.map(|(sizes_at, smallest, largest)| {
            let mut sizes = [0; 10];
            sizes[..2].copy_from_slice(&smallest.to_be_bytes());
            sizes[2..4].copy_from_slice(&largest.to_be_bytes());
            Self { file, at: 0, sizes_at, sizes }
        }))
    }
}

/// Where the sizes in the head lie, and what the smallest and the largest block should be there.
fn block_sizes(file: &mut (impl Read + Seek)) -> Result<Option<(u64, u16, u16)>> {
    let Some(stream) = stream_start(file)? else { return Ok(None) };
    let Some(frames) = frames_start(file)? else { return Ok(None) };
    let (mut head, mut frame) = ([0; 8], [0; 16]);
    file.seek(SeekFrom::Start(stream + 4))?;
    file.read_exact(&mut head)?;
    file.seek(SeekFrom::Start(frames))?;
    file.read_exact(&mut frame)?;
    let Some((is_fixed, block)) = first_block(&frame) else { return Ok(None) };
    let size = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (smallest, largest) = (size(4), size(6));
    let fits = block <= largest && is_fixed == (smallest == largest);
    if head[0] & 0x7f != 0 || fits {
        return Ok(None);
    }
    let (smallest, largest) = match is_fixed {
        true => (block.max(largest), block.max(largest)),
        false => (16, u16::MAX),
    };
    Ok(Some((stream + 8, smallest, largest)))
}

/// Whether all blocks but the last are as long as this one, and how long it is, from a frame's
/// first bytes (RFC 9639 § 9.1).
fn first_block(frame: &[u8; 16]) -> Option<(bool, u16)> {
    let is_fixed = match frame[..2] {
        [0xff, 0xf8] => true,
        [0xff, 0xf9] => false,
        _ => return None,
    };
    // The frame's number comes before sizes that need bytes of their own; it is coded as in UTF-8.
    let number_bytes = (frame[4].leading_ones() as usize).max(1);
    let after = frame.get(4 + number_bytes..)?;
    let block = match frame[2] >> 4 {
        1 => 192,
        code @ 2..=5 => 576 << (code - 2),
        6 => u16::from(*after.first()?) + 1,
        7 => u16::from_be_bytes([*after.first()?, *after.get(1)?]).checked_add(1)?,
        code @ 8..=15 => 256 << (code - 8),
        _ => return None,
    };
    Some((is_fixed, block))
}

impl Read for Mended {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read(buffer)?;
        for (at, byte) in (self.sizes_at..).zip(self.sizes) {
            let place = at.checked_sub(self.at).map_or(usize::MAX, |place| place as usize);
            if place < read {
                buffer[place] = byte;
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Mended {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl MediaSource for Mended {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.file.metadata().map(|metadata| metadata.len()).ok()
    }
}

/// Where the marker that begins the stream lies; `None` when there is none.
fn stream_start(file: &mut (impl Read + Seek)) -> Result<Option<u64>> {
    let mut head = [0; 10];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let mut at = 0;
    if head.starts_with(b"ID3") {
        at = 10 + head[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..4])?;
    }
    Ok(head.starts_with(b"fLaC").then_some(at))
}

/// Where the metadata ends and the frames begin.
fn frames_start(file: &mut (impl Read + Seek)) -> Result<Option<u64>> {
    let Some(stream) = stream_start(file)? else { return Ok(None) };
    let mut at = stream + 4;
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
