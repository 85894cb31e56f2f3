//! Converting files without separation.

mod export_support;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use engine::{
    ErrorKind,
    decode::Decoder,
    export::{
        Bits, ClipPolicy, ConvertOptions, Converted, Existing, Format, Mp3Quality, Rate, convert,
    },
    model::{NoProgress, Progress},
};
use export_support::*;

fn options(folder: &Path, format: Format) -> ConvertOptions {
    ConvertOptions {
        format,
        rate: Rate::Source,
        clipping: ClipPolicy::CommonGain,
        folder: folder.to_owned(),
        copy_tags: true,
        existing: Existing::NumberUp,
    }
}

fn converted(input: &Path, format: Format) -> Converted {
    let folder = input.parent().unwrap().join("out");
    convert(input, &options(&folder, format), &NoProgress).unwrap()
}

/// A WAV of any channels and rate.
fn wav(path: &Path, audio: &Audio, sample_rate: u32) {
    let spec = hound::WavSpec {
        channels: audio.len() as u16,
        sample_rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..audio[0].len() {
        for channel in audio {
            writer.write_sample(channel[i]).unwrap();
        }
    }
    writer.finalize().unwrap();
}

#[test]
fn every_format_rate_and_channel_count_keeps_every_frame() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("Größe 1.wav");
    for (channels, rate, frames) in [
        (1, 8_000, 5_003),
        (2, 44_100, 1),
        (2, 96_000, 30_001),
        (1, 48_000, 576),
        (2, 192_000, 20_011),
        (1, 6_000, 3_001),
        (6, 48_000, 9_999),
    ] {
        let audio = music(channels, frames, 3, 0.3);
        wav(&input, &audio, rate);
        for format in FORMATS {
            let result = converted(&input, format);
            let (spec, decoded) = decode(&result.path);
            assert_eq!((spec, decoded[0].len() as u64), (result.stream, result.frames));
            if format.nearest_rate_hz(rate) != rate {
                assert_eq!(result.stream.sample_rate_hz, format.nearest_rate_hz(rate));
                assert!(!result.warnings.is_empty());
            } else {
                assert_eq!(result.frames, frames as u64, "{format:?}");
                assert_eq!(result.stream.sample_rate_hz, rate);
            }
            if channels > 2 && is_lossy(format) {
                assert_eq!(result.stream.channels, 2);
                assert!(result.warnings[0].contains("mixed down"), "{:?}", result.warnings);
            } else {
                assert_eq!(usize::from(result.stream.channels), channels);
            }
            let others = decode_by_others(&result.path, decoded.len());
            if let Some(others) = others.filter(|_| channels <= 2) {
                assert_eq!(others[0].len(), decoded[0].len(), "{rate} {format:?}");
            }
            if format == Format::Wav(Bits::Float32) {
                assert_eq!(decoded, audio);
            }
        }
    }
    let names = names_in(&dir.path().join("out"));
    assert!(names.contains(&"Größe 1.wav".into()) && names.contains(&"Größe 1 2.wav".into()));
    assert!(!names.iter().any(|name| name.contains("part")), "{names:?}");
}

#[test]
fn lossless_to_lossless_is_bit_exact() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 12_345, 7, 0.9);
    let flac = export_one(dir.path(), &audio, Format::Flac(Bits::Int16));
    let exact = decode(&flac).1;
    for format in [Format::Wav(Bits::Int16), Format::Flac(Bits::Int24), Format::Wav(Bits::Float32)]
    {
        let result = converted(&flac, format);
        assert_eq!(decode(&result.path).1, exact, "{format:?}: no dither where nothing is rounded");
    }
}

#[test]
fn a_hot_file_is_turned_down_and_says_by_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("hot.wav");
    wav(&input, &vec![vec![0.5, -2.0, 1.0, f32::NAN, 0.25]], 44_100);
    let result = converted(&input, Format::Wav(Bits::Int24));
    assert!((result.gain_db + 6.02).abs() < 0.01);
    let samples = &decode(&result.path).1[0];
    for (sample, expected) in samples.iter().zip([0.25, -1.0, 0.5, 0.0, 0.125]) {
        assert!((sample - expected).abs() < 1e-6, "{samples:?}");
    }
}

#[test]
fn real_songs_keep_their_length_in_every_format() {
    let folder = std::env::var_os("STEMHIVE_SHARED_AUDIO").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/audio"),
        Into::into,
    );
    let song = folder.join("songs/sorohanro_-_solo-trumpet-06.hq.ogg");
    if !song.exists() {
        println!("skipped: there is no shared audio at {}", folder.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let frames = decode(&song).1[0].len();
    for format in [Format::Mp3(Mp3Quality::V0), Format::Flac(Bits::Int16), FORMATS[7]] {
        let result = convert(&song, &options(dir.path(), format), &NoProgress).unwrap();
        assert_eq!(result.frames as usize, frames);
        assert_eq!(decode(&result.path).1[0].len(), frames, "{format:?}");
    }
}

#[test]
fn the_source_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wav");
    wav(&input, &music(2, 100, 1, 0.5), 44_100);
    let before = std::fs::read(&input).unwrap();
    let mut options = options(dir.path(), Format::Wav(Bits::Int16));
    options.existing = Existing::Overwrite;
    let result = convert(&input, &options, &NoProgress).unwrap();
    assert_eq!(result.path, dir.path().join("a 2.wav"));
    assert_eq!(std::fs::read(&input).unwrap(), before);
}

/// Cancels once half is done.
struct CancelHalfway(AtomicBool);

impl Progress for CancelHalfway {
    fn report(&self, done: f32) {
        self.0.fetch_or(done > 0.5, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn bad_input_and_cancelling_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let options = options(&out, Format::Wav(Bits::Int16));
    let text = dir.path().join("text.mp3");
    std::fs::write(&text, "not a song").unwrap();
    assert!(convert(&text, &options, &NoProgress).is_err());
    let missing = convert(&dir.path().join("no.wav"), &options, &NoProgress);
    assert_eq!(missing.unwrap_err().kind, ErrorKind::NotFound);
    assert!(!out.exists());

    let input = dir.path().join("a.wav");
    wav(&input, &music(2, 300_000, 1, 0.5), 44_100);
    let cancelled = convert(&input, &options, &CancelHalfway(AtomicBool::new(false)));
    assert_eq!(cancelled.unwrap_err().kind, ErrorKind::Cancelled);
    assert!(!out.exists());
    assert!(Decoder::open(&input).is_ok());
}
