//! The decoder on files made here: odd headers, damage, numbers that are none; and tags, covers and
//! protection in files made by others.

use std::path::{Path, PathBuf};

use engine::{Error, ErrorKind, decode::Decoder};
use flacenc::{component::BitRepr, error::Verify};
use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoderBuilder};

/// All channels of a file, and the decoder's notes.
fn decode(path: &Path) -> Result<(Vec<Vec<f32>>, Vec<String>), Error> {
    let mut decoder = Decoder::open(path)?;
    let mut channels = vec![Vec::new(); usize::from(decoder.info().source.channels)];
    while let Some(block) = decoder.next_block()? {
        channels.iter_mut().zip(block.channels()).for_each(|(all, new)| all.extend(new));
    }
    Ok((channels, decoder.notes()))
}

/// A WAV by hand: format tag, bits, sizes as claimed, and the sound.
fn wav(magic: &[u8; 4], tag: u16, bits: u16, data_size: u32, sound: &[u8]) -> Vec<u8> {
    let align = bits / 8;
    let mut bytes = magic.to_vec();
    bytes.extend(data_size.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVE");
    if magic == b"RF64" {
        bytes.extend(b"ds64");
        bytes.extend(28u32.to_le_bytes());
        bytes.extend((sound.len() as u64 + 72).to_le_bytes());
        bytes.extend((sound.len() as u64).to_le_bytes());
        bytes.extend([0; 12]);
    }
    bytes.extend(b"fmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(tag.to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(44_100u32.to_le_bytes());
    bytes.extend((44_100 * u32::from(align)).to_le_bytes());
    bytes.extend(align.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data_size.to_le_bytes());
    bytes.extend(sound);
    bytes
}

fn decode_bytes(name: &str, bytes: &[u8]) -> Result<(Vec<Vec<f32>>, Vec<String>), Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a new file");
    decode(&path)
}

#[test]
fn wav_sizes_may_be_wrong() {
    let sound: Vec<u8> = (0..1000i16).flat_map(|n| (n * 30).to_le_bytes()).collect();
    let expected: Vec<f32> = (0..1000i16).map(|n| f32::from(n * 30) / 32_768.0).collect();
    for (what, magic, size) in [
        ("right", b"RIFF", 2_000),
        ("never filled in", b"RIFF", 0),
        ("streamed", b"RIFF", u32::MAX),
        ("too large", b"RIFF", 5_000_000),
        ("64-bit", b"RF64", u32::MAX),
    ] {
        let (channels, _) = decode_bytes("a.wav", &wav(magic, 1, 16, size, &sound)).expect(what);
        assert_eq!((channels.len(), &channels[0]), (1, &expected), "{what}");
    }
}

#[test]
fn rf64_ends_where_its_64_bit_size_says() {
    let sound: Vec<u8> = (0..500i16).flat_map(i16::to_le_bytes).collect();
    let mut bytes = wav(b"RF64", 1, 16, u32::MAX, &sound);
    bytes.extend(b"LIST\x10\0\0\0INFOINAM\x04\0\0\0name");
    let (channels, _) = decode_bytes("a.wav", &bytes).expect("an RF64 file");
    assert_eq!(channels[0].len(), 500);
}

#[test]
fn what_is_no_sample_becomes_silence() {
    let samples = [0.5, f32::NAN, -0.25, f32::INFINITY, f32::NEG_INFINITY, 2.0, -1e18, 32768.0];
    let sound: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let bytes = wav(b"RIFF", 3, 32, sound.len() as u32, &sound);
    let (channels, notes) = decode_bytes("float.wav", &bytes).expect("a float file");
    assert_eq!(channels, [[0.5, 0.0, -0.25, 0.0, 0.0, 2.0, 0.0, 32768.0]]);
    assert_eq!(notes, ["4 samples were no numbers or beyond all measure and became silence"]);
}

/// Ogg Vorbis of these channels at 44.1 kHz.
fn write_vorbis(path: &Path, channels: &[Vec<f32>]) {
    let file = std::fs::File::create(path).expect("a new file");
    let count = u8::try_from(channels.len()).expect("few channels").try_into().expect("some");
    let rate = 44_100.try_into().expect("some");
    let mut builder = VorbisEncoderBuilder::new_with_serial(rate, count, file, 7);
    builder.bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr {
        target_quality: 0.9,
    });
    let mut encoder = builder.build().expect("an encoder");
    for start in (0..channels[0].len()).step_by(4_096) {
        let end = (start + 4_096).min(channels[0].len());
        let block: Vec<&[f32]> = channels.iter().map(|channel| &channel[start..end]).collect();
        encoder.encode_audio_block(block).expect("encoded");
    }
    encoder.finish().expect("room on the disk");
}

/// A tone of its own for every channel, deep enough for the one that is for low frequencies only,
/// swelling at its own pace, so that some are all but silent at times; the last but one is silent
/// throughout.
fn tones(channels: usize, frames: usize) -> Vec<Vec<f32>> {
    let tone = |channel: usize, frame: usize| {
        let turns = frame as f32 / 44_100.0 * std::f32::consts::TAU;
        let swell = (turns * (1.0 + channel as f32)).sin().max(0.0);
        (turns * (40.0 + 10.0 * channel as f32)).sin() * 0.3 * swell
    };
    (0..channels)
        .map(|channel| match channel + 2 == channels {
            true => vec![0.0; frames],
            false => (0..frames).map(|frame| tone(channel, frame)).collect(),
        })
        .collect()
}

/// Vorbis's own order of channels (Vorbis I § 4.3.9) as places in the order of WAV files.
fn wav_places(channels: usize) -> &'static [usize] {
    match channels {
        3 => &[0, 2, 1],
        4 => &[0, 1, 2, 3],
        5 => &[0, 2, 1, 3, 4],
        6 => &[0, 2, 1, 4, 5, 3],
        7 => &[0, 2, 1, 5, 6, 4, 3],
        _ => &[0, 2, 1, 6, 7, 4, 5, 3],
    }
}

#[test]
fn vorbis_in_surround_keeps_every_channel() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for channels in 3..=8 {
        let path = folder.path().join(format!("{channels}.ogg"));
        let sound = tones(channels, 60_001);
        write_vorbis(&path, &sound);
        let (decoded, notes) = decode(&path).expect("surround");
        assert_eq!((decoded.len(), notes), (channels, vec![]));
        for (sound, place) in sound.iter().zip(wav_places(channels)) {
            let heard = &decoded[*place];
            assert_eq!(heard.len(), 60_001, "{channels} channels");
            let error: f32 = heard.iter().zip(sound).map(|(a, b)| (a - b).powi(2)).sum();
            let error_db = 10.0 * (error / 60_001.0).log10();
            // The channel for low frequencies is coded coarsely.
            let most_db = if channels >= 6 && *place == 3 { -25.0 } else { -50.0 };
            assert!(error_db < most_db, "{channels} channels, place {place}: {error_db} dB");
        }
    }
}

#[test]
fn vorbis_in_surround_decodes_as_elsewhere_and_out_of_matroska() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for channels in [3, 6, 8] {
        let path = folder.path().join(format!("{channels}.ogg"));
        write_vorbis(&path, &tones(channels, 60_001));
        let (ours, _) = decode(&path).expect("surround");
        let Some(samples) = ffmpeg_samples(&path) else { return };
        // FFmpeg does not cut the last block at the stream's end.
        assert!(samples.len() >= 60_001 * channels);
        for (frame, theirs) in samples.chunks(channels).take(60_001).enumerate() {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours[frame] - theirs).abs() < 1e-4, "{channels} channels, frame {frame}");
            }
        }

        let matroska = path.with_extension("mka");
        ffmpeg(&path, &["-c", "copy", matroska.to_str().expect("UTF-8")]);
        let (again, notes) = decode(&matroska).expect("surround in Matroska");
        assert_eq!(notes, Vec::<String>::new());
        assert_eq!(again.len(), channels);
        // Matroska counts in milliseconds: its end is not to the sample.
        let frames = again[0].len().min(60_001);
        assert!(frames > 59_900, "{frames} frames");
        for (again, ours) in again.iter().zip(&ours) {
            assert_eq!(again[..frames], ours[..frames], "{channels} channels");
        }
    }
}

#[test]
fn damage_in_what_other_libraries_decode_is_skipped_or_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("whole.ogg");
    write_vorbis(&path, &tones(6, 60_001));
    let vorbis = std::fs::read(&path).expect("just written");
    let options = syom::EncodeOptions::adts().with_bitrate_bps(64_000).with_he(true);
    let aac = syom::encode_with(&tones(2, 60_001), 44_100, &options).expect("encoded");
    for (name, whole, most_frames) in [("a.ogg", vorbis, 60_001), ("a.aac", aac, 65_536)] {
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut bytes = whole.clone();
            let end = (at + 200).min(bytes.len());
            bytes[at..end].fill(0x55);
            if let Ok((channels, _)) = decode_bytes(name, &bytes) {
                assert!(channels[0].len() <= most_frames, "{name}, damage at {at}");
                assert!(channels.iter().all(|channel| channel.len() == channels[0].len()));
            }
        }
    }
}

/// Band-limited noise and tones, other ones for every channel.
fn music(channels: usize, frames: usize) -> Vec<Vec<f32>> {
    (0..channels as u32)
        .map(|channel| {
            let (mut random, mut smooth) = (channel.wrapping_mul(977) + 1, 0.0);
            (0..frames)
                .map(|frame| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    smooth += 0.4 * ((random >> 8) as f32 / 8_388_608.0 - 1.0 - smooth);
                    let tone = (frame as f32 * 0.02 * (channel + 1) as f32).sin();
                    0.2 * tone + 0.1 * smooth
                })
                .collect()
        })
        .collect()
}

/// The share of `theirs` in which `ours` differs, in dB, over the frames both have.
fn difference_db(ours: &[Vec<f32>], theirs: &[f32]) -> f64 {
    let (mut error, mut power) = (0.0, 0.0);
    for (frame, theirs) in theirs.chunks(ours.len()).take(ours[0].len()).enumerate() {
        for (ours, theirs) in ours.iter().zip(theirs) {
            error += f64::from(ours[frame] - theirs).powi(2);
            power += f64::from(*theirs).powi(2);
        }
    }
    10.0 * (error / power).log10()
}

#[test]
fn high_efficiency_aac_has_its_high_band_whether_announced_or_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Announced in MP4, not announced in ADTS; parametric stereo is one channel and a hint.
    let he = syom::EncodeOptions::m4a().with_bitrate_bps(64_000).with_he(true);
    let ps = syom::EncodeOptions::m4a().with_bitrate_bps(32_000).with_he_v2(true);
    let adts = he.clone().with_container(syom::EncodeContainer::Adts);
    for (name, channels, options) in
        [("he.m4a", 2, &he), ("mono.m4a", 1, &he), ("ps.m4a", 2, &ps), ("radio.aac", 2, &adts)]
    {
        let written = folder.path().join(format!("written {name}"));
        let bytes = syom::encode_with(&music(channels, 100_000), 44_100, options);
        std::fs::write(&written, bytes.expect("encoded")).expect("a new file");
        // The encoder's MP4 lacks a descriptor; FFmpeg's has it.
        let path = folder.path().join(name);
        let to = path.to_str().expect("UTF-8");
        if ffmpeg(&written, &["-c", "copy", to]).is_none() {
            return;
        }
        let decoder = Decoder::open(&path).expect(name);
        let source = decoder.info().source;
        // One channel may turn into two at any time by parametric stereo, so it is given as two.
        assert_eq!((source.sample_rate_hz, source.channels), (44_100, 2), "{name}");
        let (ours, notes) = decode(&path).expect(name);
        assert_eq!(notes, Vec::<String>::new(), "{name}");
        // An ADTS stream has the encoder's delay and padding in it.
        let frames = if name.ends_with("m4a") { 100_000 } else { 104_448 };
        assert_eq!(ours[0].len(), frames, "{name}");
        let theirs = ffmpeg_samples(&path).expect("FFmpeg is there");
        // FFmpeg 5.1 takes the delay off twice when the edit list says it too.
        let agrees = [0, 3_018].into_iter().any(|late| {
            let ours: Vec<_> = ours.iter().map(|channel| channel[late..].to_vec()).collect();
            difference_db(&ours, &theirs) < -110.0
        });
        assert!(agrees, "{name}: other samples than FFmpeg's");
    }
}

#[test]
fn aac_in_surround_keeps_every_channel() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for channels in [3, 4, 6, 8] {
        let wav = folder.path().join("song.wav");
        let spec = hound::WavSpec {
            channels: channels as u16,
            sample_rate: 44_100,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::create(&wav, spec).expect("a new file");
        let sound = music(channels, 50_000);
        for frame in 0..50_000 {
            for channel in &sound {
                writer.write_sample(channel[frame]).expect("room on the disk");
            }
        }
        writer.finalize().expect("room on the disk");
        for extension in ["m4a", "aac"] {
            let path = folder.path().join(format!("{channels}.{extension}"));
            let to = path.to_str().expect("UTF-8");
            if ffmpeg(&wav, &["-c:a", "aac", "-b:a", "400k", to]).is_none() {
                return;
            }
            let (ours, notes) = decode(&path).expect("surround");
            assert_eq!((ours.len(), notes), (channels, vec![]), "{extension}");
            let theirs = ffmpeg_samples(&path).expect("FFmpeg is there");
            let difference_db = difference_db(&ours, &theirs);
            println!(
                "{channels}.{extension}: {} frames, FFmpeg {}, differ by {difference_db:.1} dB",
                ours[0].len(),
                theirs.len() / channels
            );
        }
    }
}

/// What FFmpeg decodes, interleaved.
fn ffmpeg_samples(path: &Path) -> Option<Vec<f32>> {
    let bytes = ffmpeg(path, &["-f", "f32le", "-"])?;
    let (samples, _) = bytes.as_chunks::<4>();
    Some(samples.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// What FFmpeg, which shares no code with us, writes to its standard output.
fn ffmpeg(path: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(arguments);
    let Ok(output) = command.output() else {
        println!("skipped: FFmpeg is not installed, so its opinion is not asked");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn other_kinds_of_files_are_named() {
    for (name, bytes, says) in [
        ("a.ape", &b"MAC \x96\x0f"[..], "Monkey's Audio"),
        ("a.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "Windows Media"),
        ("cover.mp3", b"\x89PNG\r\n\x1a\n", "PNG"),
        ("tag.ape", b"ID3\x04\0\0\0\0\0\x02\0\0MAC \x96\x0f", "Monkey's Audio"),
    ] {
        let error = decode_bytes(name, bytes).expect_err(name);
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.what.contains(says) && error.what.contains(name), "{}", error.what);
    }
}

#[test]
fn damage_in_the_middle_of_an_mp3_is_skipped() {
    let Some(root) = shared_audio() else { return };
    let mut bytes = std::fs::read(root.join("songs/spleeter_audio_example.mp3")).expect("a song");
    let whole = decode_bytes("whole.mp3", &bytes).expect("a song").0[0].len();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 5_000].fill(0);
    let (channels, _) = decode_bytes("damaged.mp3", &bytes).expect("most of it is there");
    let lost = whole - channels[0].len();
    assert!((1..30_000).contains(&lost), "{lost} of {whole} frames lost");
}

#[test]
fn a_flac_that_lost_its_end_says_so() {
    let Some(root) = shared_audio() else { return };
    let whole = root.join("decoders/tinytag+tinytag/tinytag/tests/samples/flac1sMono.flac");
    let bytes = std::fs::read(whole).expect("a FLAC file");
    let (channels, notes) = decode_bytes("cut.flac", &bytes[..bytes.len() / 2]).expect("a half");
    assert!((10_000..40_000).contains(&channels[0].len()), "{} frames", channels[0].len());
    assert!(notes.iter().any(|note| note.contains("1.000")), "{notes:?}");
}

#[test]
fn flac_block_sizes_may_be_wrong_in_the_head() {
    const BLOCK: u16 = 4_096;
    let sound: Vec<i32> = (0..10_000).map(|n| n * 7_919 % 20_011 - 10_000).collect();
    let expected: Vec<f32> = sound.iter().map(|n| *n as f32 / 32_768.0).collect();
    let config = flacenc::config::Encoder::default().into_verified().expect("a configuration");
    let source = flacenc::source::MemSource::from_samples(&sound, 1, 16, 44_100);
    let stream = flacenc::encode_with_fixed_block_size(&config, source, usize::from(BLOCK));
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.expect("a stream").write(&mut sink).expect("memory");
    let mut bytes = sink.into_inner();
    // Behind the marker and the block's own head: smallest and largest block.
    assert_ne!(bytes[8..10], bytes[10..12], "flacenc counts the last block in");
    assert_eq!(decode_bytes("a.flac", &bytes).expect("a song").0[..], [&expected[..]]);
    for (smallest, largest) in [(BLOCK, BLOCK), (16, BLOCK), (16, 16), (1_024, 2_048), (0, 0)] {
        bytes[8..10].copy_from_slice(&smallest.to_be_bytes());
        bytes[10..12].copy_from_slice(&largest.to_be_bytes());
        let (channels, notes) = decode_bytes("a.flac", &bytes).expect("a song");
        assert_eq!(channels[..], [&expected[..]], "{smallest} to {largest}");
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn samples_of_24_bits_in_four_bytes_are_exact() {
    let Some(root) = shared_audio() else { return };
    let folder = root.join("decoders/ruuda+hound/testsamples");
    // By hound's own tests.
    let expected = [-96, 23_052, 8_388_607, -8_360_672].map(|n| n as f32 / 8_388_608.0);
    let name = "pcmwaveformat-24bit-4byte-48kHz-stereo.wav";
    let (channels, _) = decode(&folder.join(name)).expect("a 24-bit file");
    assert_eq!(channels, [[expected[0], expected[2]], [expected[1], expected[3]]], "{name}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pipe.wav");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    assert_eq!(decode(&path).expect_err("a pipe").kind, ErrorKind::Unsupported);
}

#[test]
fn protected_files_are_called_so() {
    let Some(root) = shared_audio() else { return };
    let folder = root.join("decoders/mozilla+mp4parse-rust");
    for name in ["mp4parse/tests/bipbop_cbcs_audio_init.mp4", "mp4parse_capi/tests/short-cenc.mp4"]
    {
        assert_eq!(decode(&folder.join(name)).expect_err(name).kind, ErrorKind::Protected);
    }
}

#[test]
fn tags_and_covers_come_along() {
    let Some(root) = shared_audio() else { return };
    let folder = root.join("decoders");
    for (name, title, artist, album, has_cover) in TAGGED {
        let decoder = Decoder::open(&folder.join(name)).expect(name);
        let info = decoder.info();
        assert_eq!(info.title, *title, "{name}");
        assert_eq!(info.artist.as_deref(), *artist, "{name}");
        assert_eq!(info.album.as_deref(), *album, "{name}");
        assert_eq!(info.cover.is_some(), *has_cover, "{name}: cover");
    }
}

/// File, title, artist, album, cover; as ffprobe reads them.
type Tagged = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, bool);
const TAGGED: &[Tagged] = &[
    (
        "tinytag+tinytag/tinytag/tests/samples/multiple_values_images.flac",
        "multiple_values_images",
        Some("artist 1; artist 2; artist 3"),
        Some("album 1; album 2"),
        true,
    ),
    (
        "tinytag+tinytag/tinytag/tests/samples/classical.m4a",
        "some title",
        Some("some artist"),
        Some("some album"),
        false,
    ),
    (
        "tinytag+tinytag/tinytag/tests/samples/ogg_with_image.ogg",
        "Sample Title",
        Some("Sample Artist"),
        None,
        true,
    ),
    (
        "tinytag+tinytag/tinytag/tests/samples/test-tagged.wav",
        "thetitle",
        Some("theartisst"),
        Some("thealbum"),
        false,
    ),
    (
        "tinytag+tinytag/tinytag/tests/samples/pluck-pcm8.aiff",
        "Pluck",
        Some("Serhiy Storchaka"),
        Some("Python Test Suite"),
        false,
    ),
    ("beetbox+beets/test/rsrc/image.mp3", "image", None, None, true),
    ("beetbox+beets/test/rsrc/full.mp3", "full", Some("the artist"), Some("the album"), false),
    ("beetbox+beets/test/rsrc/full.alac.m4a", "full", Some("the artist"), Some("the album"), false),
];

/// The folder of audio made by others, which is not part of the repository.
fn shared_audio() -> Option<PathBuf> {
    let path = std::env::var_os("STEMHIVE_SHARED_AUDIO").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/audio"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: “{}” is not there", path.display());
    None
}
