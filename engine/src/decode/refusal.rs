//! Saying no clearly: what a file is, why it cannot be opened, what to do.

use std::{
    fs::Metadata,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use symphonia::core::errors::Error as SymphoniaError;

use crate::error::{Error, ErrorKind, Result};

const CONVERT: &str = "Convert it to FLAC, WAV or MP3 and open that";
const FORMATS: &str = "MP3, FLAC, WAV, AIFF, Ogg Vorbis, Opus, M4A (AAC or Apple Lossless), CAF and Matroska can be opened";

/// What is looked at of a file's start: enough for two packets of MPEG transport streams.
type Magic = [u8; 192];

/// Formats we recognise in order to refuse them by name: offset, magic bytes, name.
const REFUSED: &[(usize, &[u8], &str)] = &[
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"MP+", "Musepack"),
    (0, b"MPCK", "Musepack"),
    (0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11], "Windows Media"),
    (28, b"Speex   ", "Speex"),
    (0, b"TTA1", "True Audio"),
    (0, b"TTA2", "True Audio"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b".snd", "Sun AU"),
    (0, b"#!AMR", "AMR"),
    (0, b".RMF", "RealMedia"),
    (0, b"MThd", "MIDI"),
    (8, b"AVI ", "AVI video"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x0b\x77", "Dolby Digital"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"\x7fELF", "a program"),
];

/// Refuses folders, pipes and empty files.
pub(super) fn check_kind(path: &Path, metadata: &Metadata) -> Result<()> {
    if !metadata.is_file() {
        return Err(unsupported(path, "is not a file".into(), "Choose a file instead"));
    }
    if metadata.len() == 0 {
        return Err(Error::new(ErrorKind::Damaged, format!("“{}” is empty", path.display()))
            .advice("Get a complete copy of the file"));
    }
    Ok(())
}

/// Refuses formats known by name; leaves `file` at its start.
pub(super) fn check_magic(path: &Path, file: &mut (impl Read + Seek)) -> Result<()> {
    let magic = magic_after_id3(file).map_err(|e| Error::io("read", path, e))?;
    let known = REFUSED.iter().find(|(at, bytes, _)| magic[*at..].starts_with(bytes));
    let transport_stream = (magic[0] == 0x47 && magic[188] == 0x47).then_some("an MPEG broadcast");
    match known.map(|(.., name)| *name).or(transport_stream) {
        Some(name) => Err(unsupported(path, format!("is {name}, which cannot be opened"), CONVERT)),
        None => Ok(()),
    }
}

/// The first bytes after an ID3v2 tag, if one is in front; zeros beyond the end.
fn magic_after_id3(file: &mut (impl Read + Seek)) -> std::io::Result<Magic> {
    let mut magic = read_magic(file, 0)?;
    if magic.starts_with(b"ID3") {
        let size = magic[6..10].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        magic = read_magic(file, size + 10)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(magic)
}

fn read_magic(file: &mut (impl Read + Seek), at: u64) -> std::io::Result<Magic> {
    let mut magic = [0; size_of::<Magic>()];
    file.seek(SeekFrom::Start(at))?;
    let mut filled = 0;
    while filled < magic.len() {
        match file.read(&mut magic[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(magic)
}

/// The error for a file that Symphonia recognises nothing in.
pub(super) fn unreadable(path: &Path, error: SymphoniaError) -> Error {
    match error {
        SymphoniaError::IoError(e)
            if !matches!(
                e.kind(),
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::Other
            ) =>
        {
            Error::io("read", path, e)
        }
        SymphoniaError::IoError(e) => Error::new(
            ErrorKind::Damaged,
            format!("“{}” breaks off before its audio starts", path.display()),
        )
        .advice("Get a complete copy of the file")
        .caused_by(e),
        SymphoniaError::Unsupported(why) if why.contains("no suitable format reader") => {
            unsupported(path, "is no audio file that we know".into(), FORMATS)
        }
        SymphoniaError::Unsupported(why) => {
            unsupported(path, format!("is of a kind that cannot be read ({why})"), CONVERT)
        }
        other => Error::new(
            ErrorKind::Damaged,
            format!("“{}” is damaged at its start: {other}", path.display()),
        )
        .advice("Get an undamaged copy of the file"),
    }
}

/// The error for a container without a track that we can decode; `refused` is the first one that
/// has sound, by codec name, and what its decoder said.
pub(super) fn no_track(path: &Path, refused: Option<(String, SymphoniaError)>) -> Error {
    match refused {
        None => unsupported(path, "has no audio track".into(), FORMATS),
        Some((codec, SymphoniaError::DecodeError(why))) => Error::new(
            ErrorKind::Damaged,
            format!("“{}”: the {codec} header is damaged ({why})", path.display()),
        )
        .advice("Get an undamaged copy of the file"),
        Some((codec, error)) => {
            unsupported(path, format!("holds {codec}, which cannot be decoded ({error})"), CONVERT)
        }
    }
}

/// The error for copy protection.
pub(super) fn protected(path: &Path) -> Error {
    Error::new(
        ErrorKind::Protected,
        format!("“{}” is copy-protected; only its shop's own player can open it", path.display()),
    )
    .advice(
        "Use an unprotected copy, for example from a CD or a shop that sells without protection",
    )
}

fn unsupported(path: &Path, what: String, advice: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("“{}” {what}", path.display())).advice(advice)
}
