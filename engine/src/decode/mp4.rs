//! What Symphonia keeps to itself about ISO media files (MP4, M4A, MOV): edit lists, which carry
//! the encoder delay of AAC, and copy protection. ISO 14496-12; only the few boxes needed are read.

use std::io::{Read, Result, Seek, SeekFrom};

/// Boxes looked at in one container at most, against files made to waste time.
const MAX_BOXES: usize = 10_000;

/// What an MP4 file says beside what Symphonia tells. Empty for all other files.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Some audio track is encrypted.
    pub(super) protected: bool,
    /// Made of fragments, whose total length the header does not know.
    pub(super) fragmented: bool,
    pub(super) tracks: Vec<Mp4Track>,
}

#[derive(Debug, Default)]
pub(super) struct Mp4Track {
    pub(super) id: u32,
    /// Ticks per second of the track's own clock.
    pub(super) timescale: u32,
    pub(super) edit: Option<Edit>,
}

/// The one stretch of a track that is to be heard, in the track's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: u64,
    /// `None`: to the end.
    pub(super) frames: Option<u64>,
    /// How much `frames` may be off: edits are written in ticks of the movie's coarser clock.
    pub(super) tick: u64,
}

/// How deep the boxes we look for are nested: trak, mdia, minf, stbl.
const MAX_DEPTH: u32 = 4;

/// A box's type and where its content lies.
struct Box {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

/// Reads the facts of `file`; nothing when it is no MP4. The read position moves back to the start.
///
/// # Errors
/// Only real read errors; a damaged structure just yields less.
pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Facts> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut facts = Facts::default();
    let top = children(file, 0, len)?;
    if top.first().is_some_and(|first| &first.kind == b"ftyp") {
        for moov in top.iter().filter(|b| &b.kind == b"moov") {
            read_movie(file, moov, &mut facts)?;
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(facts)
}

fn read_movie(file: &mut (impl Read + Seek), moov: &Box, facts: &mut Facts) -> Result<()> {
    let boxes = children(file, moov.start, moov.end)?;
    facts.fragmented |= boxes.iter().any(|b| &b.kind == b"mvex");
    let mut movie_timescale = 0;
    for mvhd in boxes.iter().filter(|b| &b.kind == b"mvhd") {
        let body: [u8; 24] = head(file, mvhd)?;
        movie_timescale = be32(&body, if body[0] == 1 { 20 } else { 12 });
    }
    for trak in boxes.iter().filter(|b| &b.kind == b"trak") {
        let mut track = Mp4Track::default();
        read_track(file, trak, movie_timescale, &mut track, &mut facts.protected, MAX_DEPTH)?;
        facts.tracks.push(track);
    }
    Ok(())
}

fn read_track(
    file: &mut (impl Read + Seek),
    parent: &Box,
    movie_timescale: u32,
    track: &mut Mp4Track,
    protected: &mut bool,
    depth: u32,
) -> Result<()> {
    let boxes = children(file, parent.start, parent.end)?;
    // The edit list is converted by the media's clock, so that one must be known first.
    for part in boxes.iter().filter(|b| &b.kind != b"edts") {
        match &part.kind {
            b"tkhd" => {
                let body: [u8; 24] = head(file, part)?;
                track.id = be32(&body, if body[0] == 1 { 20 } else { 12 });
            }
            b"mdhd" => {
                let body: [u8; 24] = head(file, part)?;
                track.timescale = be32(&body, if body[0] == 1 { 20 } else { 12 });
            }
            b"mdia" | b"minf" | b"stbl" if depth > 0 => {
                read_track(file, part, movie_timescale, track, protected, depth - 1)?;
            }
            b"stsd" => {
                let body: [u8; 16] = head(file, part)?;
                // `drms`: FairPlay; `enca`: common encryption.
                *protected |= matches!(&body[12..16], b"drms" | b"enca");
            }
            _ => {}
        }
    }
    for edts in boxes.iter().filter(|b| &b.kind == b"edts") {
        for elst in children(file, edts.start, edts.end)?.iter().filter(|b| &b.kind == b"elst") {
            let body: [u8; 8 + 2 * 20] = head(file, elst)?;
            track.edit = parse_edits(&body, movie_timescale, track.timescale);
        }
    }
    Ok(())
}

/// One edit, perhaps after an empty one that only delays the track; anything richer is a montage
/// that no audio encoder writes, and is played whole.
fn parse_edits(body: &[u8; 48], movie_timescale: u32, timescale: u32) -> Option<Edit> {
    let wide = body[0] == 1;
    let entry = |n: usize| {
        let at = 8 + n * if wide { 20 } else { 12 };
        let (duration, start) = if wide {
            (be64(body, at), be64(body, at + 8) as i64)
        } else {
            (u64::from(be32(body, at)), i64::from(be32(body, at + 4) as i32))
        };
        (duration, start)
    };
    let (duration, start) = match be32(body, 4) {
        1 => entry(0),
        2 if entry(0).1 == -1 => entry(1),
        _ => return None,
    };
    let start = u64::try_from(start).ok()?;
    let frames = (duration > 0 && movie_timescale > 0).then(|| {
        let ticks = u128::from(duration) * u128::from(timescale) / u128::from(movie_timescale);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    });
    let tick = u64::from(timescale).div_ceil(u64::from(movie_timescale.max(1)));
    Some(Edit { start, frames, tick })
}

/// The boxes between `start` and `end`, as far as they make sense.
fn children(file: &mut (impl Read + Seek), start: u64, end: u64) -> Result<Vec<Box>> {
    let mut boxes = Vec::new();
    let mut at = start;
    while at.saturating_add(8) <= end && boxes.len() < MAX_BOXES {
        let header: [u8; 16] = head(file, &Box { kind: [0; 4], start: at, end })?;
        let (size, header_len) = match be32(&header, 0) {
            0 => (end - at, 8),
            1 => (be64(&header, 8), 16),
            size => (u64::from(size), 8),
        };
        if size < header_len || size > end - at {
            break;
        }
        let kind = [header[4], header[5], header[6], header[7]];
        boxes.push(Box { kind, start: at + header_len, end: at + size });
        at += size;
    }
    Ok(boxes)
}

/// The first `N` bytes of a box's content, zeros beyond its end.
fn head<const N: usize>(file: &mut (impl Read + Seek), of: &Box) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let inside = N.min(usize::try_from(of.end - of.start).unwrap_or(N));
    file.seek(SeekFrom::Start(of.start))?;
    match file.read_exact(&mut bytes[..inside]) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok([0; N]),
        Err(e) => Err(e),
        Ok(()) => Ok(bytes),
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
