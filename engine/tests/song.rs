//! Opening songs: what arrives is what the file holds, at the work rate, with an identity.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
};

use engine::{
    ErrorKind,
    song::{self, Song, SongState, Wake},
    store::Track,
    waveform::Waveform,
};
use tempfile::TempDir;

fn nobody() -> Wake {
    Arc::new(|| {})
}

/// Deterministic noise in −0.5..0.5, as 16-bit integers.
fn noise(samples: usize) -> Vec<i16> {
    (0..samples as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u16 as i16 / 2).collect()
}

fn write_wav(path: &Path, rate_hz: u32, channels: u16, bits: u16, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a new file");
    for sample in samples {
        writer.write_sample(i32::from(*sample) << (bits - 16)).expect("room on the disk");
    }
    writer.finalize().expect("room on the disk");
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn incoming(&self, name: &str) -> PathBuf {
        let dir = self.folder.path().join(name);
        std::fs::create_dir(&dir).expect("a new folder");
        dir
    }
}

fn mixture(song: &Song) -> Vec<Vec<f32>> {
    let track = song.mixture().expect("a mixture");
    let mut channels = vec![vec![0.0; track.frames() as usize]; track.channel_count()];
    track.read(0, &mut channels).expect("a readable track");
    channels
}

#[test]
fn a_44_1_khz_stereo_song_arrives_bit_for_bit() {
    let place = Place::new();
    let path = place.file("Ünïcödé 曲 🎵.wav");
    let samples = noise(2 * 100_003);
    write_wav(&path, 44_100, 2, 16, &samples);
    let song = song::open(&path, &place.incoming("in"), nobody());
    let (_, stats) = song.wait_ready().expect("a readable song");

    let expected: Vec<Vec<f32>> = (0..2)
        .map(|c| samples.iter().skip(c).step_by(2).map(|s| f32::from(*s) / 32_768.0).collect())
        .collect();
    assert_eq!(mixture(&song), expected);
    assert_eq!((stats.frames, song.decoded_frames()), (100_003, 100_003));
    assert_eq!((song.expected_frames(), song.fraction()), (Some(100_003), 1.0));
    assert_eq!(song.waveform().frames(), 100_003);
    assert!(song.notes().is_empty());

    let info = song.info().expect("facts");
    assert_eq!(info.title, "Ünïcödé 曲 🎵");
    assert_eq!((info.codec.as_str(), info.bits_per_sample), ("WAV", Some(16)));
    assert_eq!(info.source_frames, Some(100_003));

    let mono = |n: usize| f64::from(expected[0][n]).midpoint(f64::from(expected[1][n]));
    let mean = (0..100_003).map(mono).sum::<f64>() / 100_003.0;
    let variance = (0..100_003).map(|n| (mono(n) - mean).powi(2)).sum::<f64>() / 100_002.0;
    let squares: f64 = expected.iter().flatten().map(|s| f64::from(*s).powi(2)).sum();
    assert!((stats.mono_mean - mean).abs() < 1e-12);
    assert!((stats.mono_std - variance.sqrt()).abs() < 1e-12);
    assert!((stats.rms - (squares / 200_006.0).sqrt()).abs() < 1e-12);
    let peak = expected.iter().flatten().fold(0f32, |peak, s| peak.max(s.abs()));
    assert_eq!(stats.peak, peak);
}

#[test]
fn the_identity_is_the_sound_and_not_the_file() {
    let place = Place::new();
    let samples = noise(2 * 30_000);
    let mut ids = Vec::new();
    let mut different = samples.clone();
    different[59_999] ^= 1;
    for (name, rate_hz, channels, bits, samples) in [
        ("16.wav", 44_100, 2, 16, &samples),
        ("24.wav", 44_100, 2, 24, &samples),
        ("rate.wav", 48_000, 2, 16, &samples),
        ("mono.wav", 44_100, 1, 16, &samples),
        ("one bit.wav", 44_100, 2, 16, &different),
    ] {
        let path = place.file(name);
        write_wav(&path, rate_hz, channels, bits, samples);
        let song = song::open(&path, &place.incoming(&format!("{name} in")), nobody());
        ids.push(song.wait_ready().expect("a readable song").0);
    }
    assert_eq!(ids[0], ids[1], "the same sound in 16 and 24 bits");
    assert!(ids[2..].iter().all(|id| *id != ids[0]), "another rate, layout or sample");
}

#[test]
fn other_rates_arrive_at_the_work_rate() {
    let place = Place::new();
    for (rate_hz, frames) in [(48_000, 48_001), (8_000, 999), (96_000, 1), (11_025, 20_000)] {
        let path = place.file(&format!("{rate_hz}.wav"));
        write_wav(&path, rate_hz, 1, 16, &noise(frames));
        let song = song::open(&path, &place.incoming(&format!("{rate_hz} in")), nobody());
        let (_, stats) = song.wait_ready().expect("a readable song");
        let expected = (frames as u64 * 44_100).div_ceil(u64::from(rate_hz));
        assert_eq!(stats.frames, expected, "{frames} frames at {rate_hz} Hz");
        let track = song.mixture().expect("a mixture");
        assert_eq!((track.frames(), track.channel_count()), (expected, 1));
        assert_eq!(song.info().expect("facts").source_frames, Some(frames as u64));
    }
}

#[test]
fn surround_is_mixed_to_stereo_and_said() {
    let place = Place::new();
    let path = place.file("5.1.wav");
    write_wav(&path, 44_100, 6, 16, &noise(6 * 1_000));
    let song = song::open(&path, &place.incoming("in"), nobody());
    song.wait_ready().expect("a readable song");
    assert_eq!(song.mixture().expect("a mixture").channel_count(), 2);
    assert_eq!(song.info().expect("facts").source.channels, 6);
    assert_eq!(*song.notes(), ["Mixed down from 6 channels to stereo"]);
}

#[test]
fn cancelling_stops_in_the_middle() {
    let place = Place::new();
    let path = place.file("long.wav");
    write_wav(&path, 44_100, 2, 16, &noise(2 * 2_000_000));
    let (at_header, header_read) = sync_channel(1);
    let (go_on, may_go_on) = sync_channel::<()>(1);
    let may_go_on = Mutex::new(may_go_on);
    let calls = AtomicUsize::new(0);
    let wake: Wake = Arc::new(move || {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            at_header.send(()).expect("the test waits");
            may_go_on.lock().expect("only used here").recv().expect("the test answers");
        }
    });
    let song = song::open(&path, &place.incoming("in"), wake);
    header_read.recv().expect("the header is read");
    assert!(song.info().is_some() && song.mixture().is_some());
    assert!(matches!(song.state(), SongState::Decoding));
    song.cancel();
    go_on.send(()).expect("the decoder waits");
    assert_eq!(song.wait_ready().expect_err("cancelled").kind, ErrorKind::Cancelled);
    assert!(song.decoded_frames() < 2_000_000 && song.mixture().is_none());
}

#[test]
fn closing_the_song_stops_its_thread() {
    let place = Place::new();
    let path = place.file("long.wav");
    write_wav(&path, 44_100, 2, 16, &noise(2 * 2_000_000));
    let dir = place.incoming("in");
    let (closed, close) = sync_channel::<()>(1);
    let (done, ended) = sync_channel(1);
    let close = Mutex::new(close);
    let calls = AtomicUsize::new(0);
    let wake: Wake = Arc::new(move || match calls.fetch_add(1, Ordering::SeqCst) {
        0 => close.lock().expect("only used here").recv().expect("the test answers"),
        _ => _ = done.try_send(()),
    });
    let song = song::open(&path, &dir, wake);
    drop(song);
    closed.send(()).expect("the decoder waits");
    ended.recv().expect("the thread ends");
    let written = std::fs::metadata(dir.join("mix.0.f32")).expect("the begun track").len();
    assert!(written < 4 * 2_000_000, "it went on to the end");
}

#[test]
fn failures_name_the_file_and_wake() {
    let place = Place::new();
    let not_audio = place.file("letter.mp3");
    std::fs::write(&not_audio, "Dear Sir or Madam, ".repeat(500)).expect("a new file");
    let good = place.file("good.wav");
    write_wav(&good, 44_100, 1, 16, &noise(100));
    let dir = place.incoming("in");
    for (path, dir, kind) in [
        (place.file("missing.mp3"), dir.clone(), ErrorKind::NotFound),
        (not_audio, dir.clone(), ErrorKind::Unsupported),
        (place.folder.path().to_owned(), dir, ErrorKind::Unsupported),
        (good, place.file("no such folder"), ErrorKind::NotFound),
    ] {
        let seen = Arc::new(Mutex::new(Weak::new()));
        let (report, reported) = sync_channel(16);
        let inner = Arc::clone(&seen);
        let wake: Wake = Arc::new(move || {
            let song: Weak<Song> = Weak::clone(&inner.lock().expect("only used here"));
            _ = report.try_send(song.upgrade().map(|song| song.state()));
        });
        let song = {
            let mut seen = seen.lock().expect("only used here");
            let song = song::open(&path, &dir, wake);
            *seen = Arc::downgrade(&song);
            song
        };
        let error = song.wait_ready().expect_err("it cannot be opened");
        assert_eq!(error.kind, kind, "{}", error.what);
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(error.what.contains(&*name) || error.what.contains("no such folder"));
        assert!(song.mixture().is_none());
        let last = reported.recv().expect("a wake-up");
        assert!(matches!(last, Some(SongState::Failed(_))), "woken before the state was set");
    }
}

#[test]
fn a_cached_song_is_ready_at_once() {
    let place = Place::new();
    let path = place.file("song.wav");
    write_wav(&path, 44_100, 2, 16, &noise(2 * 10_000));
    let dir = place.incoming("in");
    let first = song::open(&path, &dir, nobody());
    let (id, stats) = first.wait_ready().expect("a readable song");
    let info = song::SongInfo::clone(&first.info().expect("facts"));
    let before = mixture(&first);
    drop(first);

    let track = Track::open(&dir, "mix", 2, stats.frames).expect("the kept track");
    let again = Song::from_cache(info, id, stats, track, Waveform::new());
    assert_eq!(again.wait_ready().expect("ready"), (id, stats));
    assert_eq!((mixture(&again), again.fraction()), (before, 1.0));
    assert_eq!(again.path(), path);
}
