//! MPEG audio (MP1, MP2, MP3): what a packet's own header says, and files cut off inside a packet.

use std::{
    fs::File,
    io::{Read, Result, Seek, SeekFrom},
};

use symphonia::core::{
    codecs::audio::{
        AudioCodecId,
        well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3},
    },
    formats::{
        FormatInfo,
        well_known::{FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3},
    },
    io::MediaSource,
    packet::Packet,
};

use crate::audio::StreamSpec;

/// Whether `codec` is one of the three MPEG layers.
pub(super) fn is_mpeg(codec: &AudioCodecId) -> bool {
    [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(codec)
}

/// Whether this is a bare stream of MPEG packets and not one in a container.
pub(super) fn is_bare_stream(format: &FormatInfo) -> bool {
    [FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3].contains(&format.format)
}

/// A file that ends in zeros enough for any packet, so that one that is cut off is filled up and
/// played, as FFmpeg does, and not dropped.
pub(super) struct Padded {
    file: File,
    file_bytes: u64,
    at: u64,
}

impl Padded {
    /// More than the longest packet: 384 kbit/s at 32 kHz in layer II, 320 at 32 in layer III.
    const ZEROS: u64 = 4096;

    /// Pads `file`.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn new(mut file: File) -> Result<Self> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, file_bytes, at: 0 })
    }
}

impl Read for Padded {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut read = match self.at < self.file_bytes {
            true => self.file.read(buffer)?,
            false => 0,
        };
        if read == 0 {
            let left = (self.file_bytes + Self::ZEROS).saturating_sub(self.at.max(self.file_bytes));
            read = buffer.len().min(left as usize);
            buffer[..read].fill(0);
            self.at = self.at.max(self.file_bytes);
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Padded {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        self.file.seek(SeekFrom::Start(self.at))
    }
}

impl MediaSource for Padded {
    fn is_seekable(&self) -> bool {
        true
    }

    /// That of the file: tags at its end are found from there.
    fn byte_len(&self) -> Option<u64> {
        Some(self.file_bytes)
    }
}

/// The rate and channels of an MPEG packet when they are not `spec`'s any more. Symphonia calls
/// such packets damaged, but skipping them would silently drop the rest of a song.
pub(super) fn changed_spec(
    codec: &AudioCodecId,
    packet: &Packet,
    spec: StreamSpec,
) -> Option<StreamSpec> {
    let now = is_mpeg(codec).then(|| header_spec(&packet.data))??;
    (spec.channels != 0 && now != spec).then_some(now)
}

/// Rate and channels in a frame header, ISO 11172-3 § 2.4.2.3 and 13818-3, MPEG 2.5 included.
fn header_spec(frame: &[u8]) -> Option<StreamSpec> {
    let [0xff, b1, b2, b3, ..] = *frame else { return None };
    let divisor = match (b1 >> 3) & 3 {
        0 => 4,
        2 => 2,
        3 => 1,
        _ => return None,
    };
    let rate = *[44_100, 48_000, 32_000].get(usize::from((b2 >> 2) & 3))?;
    let channels = if b3 >> 6 == 3 { 1 } else { 2 };
    Some(StreamSpec { sample_rate_hz: rate / divisor, channels })
}
