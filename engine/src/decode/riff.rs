//! WAV and AIFF files that Symphonia gives up on or misreads: 64-bit WAV (RF64, EBU Tech 3306),
//! 24-bit samples in four bytes (as `arecord` writes them), recordings whose writer died before it
//! filled in the sizes, broken chunks after the sound, MP3 inside WAV. The format and the sound are
//! found leniently and shown as a clean file.

use std::{
    fs::File,
    io::{Read, Result, Seek, SeekFrom},
};

use symphonia::core::io::MediaSource;

/// Chunks looked at in one file at most.
const MAX_CHUNKS: usize = 1_000;

/// Largest format chunk that makes sense, in bytes.
const MAX_FORMAT_BYTES: u64 = 128;

/// WAVE format tags of MPEG audio.
const MPEG_TAGS: [u64; 2] = [0x50, 0x55];

/// WAVE format tag of formats that say more behind the usual fields.
const EXTENSIBLE: u64 = 0xfffe;

/// A made-up header followed by a stretch of the real file.
pub(super) struct Stitched {
    header: Vec<u8>,
    file: File,
    start: u64,
    len: u64,
    at: u64,
    /// Symphonia would not refuse the file but take it for something else.
    pub(super) is_misread: bool,
}

/// A chunk's kind, where its content starts and how long it claims to be.
struct Chunk {
    kind: [u8; 4],
    start: u64,
    len: u64,
}

/// The sound of a WAV or AIFF file behind a clean header; `None` when it is neither, or holds no
/// format and sound.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn stitch(mut file: File) -> Result<Option<Stitched>> {
    let file_len = file.seek(SeekFrom::End(0))?;
    let Some(top) = read_at::<12>(&mut file, 0)? else { return Ok(None) };
    let (magic, form) = (&top[..4], &top[8..12]);
    let wave = matches!(magic, b"RIFF" | b"RF64" | b"BW64") && form == b"WAVE";
    let aiff = magic == b"FORM" && matches!(form, b"AIFF" | b"AIFC");
    if !wave && !aiff {
        return Ok(None);
    }
    let (format_kind, sound_kind) = if wave { (b"fmt ", b"data") } else { (b"COMM", b"SSND") };

    let mut format = Vec::new();
    let mut long_sound = None;
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        let Some(chunk) = chunk_at(&mut file, at, wave)? else { break };
        if &chunk.kind == format_kind && (14..=MAX_FORMAT_BYTES).contains(&chunk.len) {
            format = vec![0; chunk.len as usize];
            file.seek(SeekFrom::Start(chunk.start))?;
            if file.read_exact(&mut format).is_err() {
                break;
            }
        } else if &chunk.kind == b"ds64" {
            long_sound = read_at::<16>(&mut file, chunk.start)?.map(|sizes| le(&sizes[8..16]));
        } else if &chunk.kind == sound_kind && !format.is_empty() {
            let sized = if chunk.len == u64::from(u32::MAX) { long_sound } else { Some(chunk.len) };
            let rest = file_len - chunk.start;
            let unfinished = chunk.len == 0 && !chunk_follows(&mut file, chunk.start, wave)?;
            let len = sized.filter(|_| !unfinished).unwrap_or(rest).min(rest);
            if wave {
                fill_in_widths(&mut format);
            }
            let padded = wave && widen_padded_24_bit(&mut format);
            let mut header =
                if wave { wave_header(&format, len) } else { aiff_header(&top, &format, len) };
            // One byte later, three bytes and their padding read as 32 bits with the padding lowest.
            header.extend(padded.then_some(0));
            let len = len - u64::from(padded && len > 0);
            let is_misread = padded || magic != b"RIFF" && wave;
            return Ok(Some(Stitched { header, file, start: chunk.start, len, at: 0, is_misread }));
        }
        at = chunk.start + chunk.len + chunk.len % 2;
    }
    Ok(None)
}

/// Fills in a sample's width, and that of all channels together, where an extensible WAV format has
/// only the number of its valid bits.
fn fill_in_widths(format: &mut [u8]) {
    if format.len() < 40 || le(&format[..2]) != EXTENSIBLE || le(&format[12..16]) != 0 {
        return;
    }
    let (channels, bits) = (le(&format[2..4]), le(&format[18..20]).next_multiple_of(8));
    if let Ok(bytes) = u16::try_from(channels * bits / 8) {
        format[12..14].copy_from_slice(&bytes.to_le_bytes());
        format[14..16].copy_from_slice(&(bits as u16).to_le_bytes());
    }
}

/// Whether a WAV format has 24-bit samples low in four bytes each; makes it one of 32 bits then.
fn widen_padded_24_bit(format: &mut [u8]) -> bool {
    const PCM: u64 = 1;
    let (channels, block_bytes, bits) =
        (le(&format[2..4]), le(&format[12..14]), format.get(14..16).map_or(0, le));
    let padded = le(&format[..2]) == PCM && bits == 24 && block_bytes == channels * 4;
    if padded {
        format[14..16].copy_from_slice(&32u16.to_le_bytes());
    }
    padded
}

fn chunk_at(file: &mut File, at: u64, little_endian: bool) -> Result<Option<Chunk>> {
    Ok(read_at::<8>(file, at)?.map(|head| {
        let size = [head[4], head[5], head[6], head[7]];
        let len = if little_endian { u32::from_le_bytes(size) } else { u32::from_be_bytes(size) };
        let kind = [head[0], head[1], head[2], head[3]];
        Chunk { kind, start: at + 8, len: u64::from(len) }
    }))
}

/// Whether something called like a chunk starts at `at`.
fn chunk_follows(file: &mut File, at: u64, little_endian: bool) -> Result<bool> {
    let chunk = chunk_at(file, at, little_endian)?;
    Ok(chunk.is_some_and(|chunk| chunk.kind.iter().all(|c| matches!(c, b' '..=b'~'))))
}

/// `N` bytes at `at`, unless the file ends before.
fn read_at<const N: usize>(file: &mut File, at: u64) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
        Ok(()) => Ok(Some(bytes)),
    }
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The header of a WAV of `len` bytes of sound; nothing for MPEG, whose stream speaks for itself.
fn wave_header(format: &[u8], len: u64) -> Vec<u8> {
    let tag = match le(&format[..2]) {
        EXTENSIBLE if format.len() >= 26 => le(&format[24..26]),
        tag => tag,
    };
    if MPEG_TAGS.contains(&tag) {
        return Vec::new();
    }
    // Symphonia reads the largest size as "until the file ends".
    let size = |more: u64| u32::try_from(len + more).unwrap_or(u32::MAX).to_le_bytes();
    let mut header = b"RIFF".to_vec();
    header.extend(size(20 + format.len() as u64));
    header.extend(b"WAVEfmt ");
    header.extend((format.len() as u32).to_le_bytes());
    header.extend(format);
    header.extend(b"data");
    header.extend(size(0));
    header
}

fn aiff_header(top: &[u8; 12], format: &[u8], len: u64) -> Vec<u8> {
    let size = |more: u64| u32::try_from(len + more).unwrap_or(u32::MAX).to_be_bytes();
    let mut header = b"FORM".to_vec();
    header.extend(size(20 + format.len() as u64));
    header.extend(&top[8..12]);
    header.extend(b"COMM");
    header.extend((format.len() as u32).to_be_bytes());
    header.extend(format);
    header.extend(b"SSND");
    header.extend(size(0));
    header
}

impl Stitched {
    fn total(&self) -> u64 {
        self.header.len() as u64 + self.len
    }
}

impl Read for Stitched {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let header_len = self.header.len() as u64;
        let read = if self.at < header_len {
            (&self.header[self.at as usize..]).read(buffer)?
        } else {
            let inside = self.at - header_len;
            let left = self.len.saturating_sub(inside);
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.file.seek(SeekFrom::Start(self.start + inside))?;
            self.file.read(&mut buffer[..wanted])?
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Stitched {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.total().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for Stitched {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.total())
    }
}
