//! What the export tests share: songs made of numbers, and other people's decoders.

// Each test program uses a part.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::{path::Path, process::Command, sync::Arc};

use engine::{
    Error,
    audio::StreamSpec,
    decode::Decoder,
    export::{
        Bits, ClipPolicy, Existing, ExportRequest, Exported, Format, Item, Mp3Quality, Rate,
        VorbisQuality, start,
    },
    mix::LaneControl,
    model::Stem,
    song::SongInfo,
    store::Track,
};

/// Channels of equally many samples.
pub type Audio = Vec<Vec<f32>>;

/// Every format with every setting that changes how samples are stored.
pub const FORMATS: [Format; 8] = [
    Format::Wav(Bits::Int16),
    Format::Wav(Bits::Int24),
    Format::Wav(Bits::Float32),
    Format::Flac(Bits::Int16),
    Format::Flac(Bits::Int24),
    Format::Mp3(Mp3Quality::V0),
    Format::Mp3(Mp3Quality::Cbr320),
    Format::Vorbis(VorbisQuality(7)),
];

pub fn is_lossy(format: Format) -> bool {
    matches!(format, Format::Mp3(_) | Format::Vorbis(_))
}

/// Three tones and a little noise at up to `peak`; every seed and channel sounds different.
pub fn music(channels: usize, frames: usize, seed: u32, peak: f32) -> Audio {
    (0..channels as u32)
        .map(|channel| {
            let mut random = seed.wrapping_mul(2_654_435_761) ^ (channel + 1).wrapping_mul(97);
            let base = 0.01 + 0.007 * ((seed + 3 * channel) % 7) as f32;
            (0..frames)
                .map(|i| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let noise = random as f32 / u32::MAX as f32 - 0.5;
                    let t = i as f32;
                    let tones = (t * base).sin()
                        + (t * base * 2.51).sin() * 0.5
                        + (t * base * 5.03).sin() * 0.25;
                    peak * (tones * 0.5 + noise * 0.2)
                })
                .collect()
        })
        .collect()
}

pub fn track(dir: &Path, name: &str, audio: &Audio) -> Arc<Track> {
    let track = Track::create(dir, name, audio.len()).unwrap();
    track.write(0, audio).unwrap();
    Arc::new(track)
}

pub fn song_info(channels: u16, sample_rate_hz: u32, frames: u64) -> SongInfo {
    SongInfo {
        path: "does/not/exist.mp3".into(),
        title: "Lithium".into(),
        artist: Some("Software-Entwicklungskit".into()),
        album: None,
        codec: "MP3".into(),
        bitrate_bps: None,
        bits_per_sample: None,
        source: StreamSpec { sample_rate_hz, channels },
        source_frames: Some(frames),
        cover: None,
    }
}

/// A request for the original alone, at the work rate, into `dir`/out.
pub fn request(dir: &Path, mixture: &Audio, format: Format) -> ExportRequest {
    let frames = mixture[0].len() as u64;
    ExportRequest {
        song: song_info(mixture.len() as u16, 44_100, frames),
        model: "Basic".into(),
        mixture: track(dir, "mix", mixture),
        stems: Vec::new(),
        lanes: Vec::new(),
        items: vec![Item::Original],
        range: None,
        format,
        rate: Rate::Source,
        clipping: ClipPolicy::CommonGain,
        template: "{artist} - {title} ({stem})".into(),
        folder: dir.join("out"),
        copy_tags: false,
        existing: Existing::NumberUp,
    }
}

/// The same with stems, all of which and the mix are asked for.
pub fn request_with_stems(
    dir: &Path,
    mixture: &Audio,
    stems: &[(Stem, Audio)],
    format: Format,
) -> ExportRequest {
    let mut request = request(dir, mixture, format);
    request.stems =
        stems.iter().map(|(stem, audio)| (*stem, track(dir, stem.name(), audio))).collect();
    request.lanes = vec![LaneControl::default(); stems.len()];
    request.items = stems.iter().map(|(stem, _)| Item::Stem(*stem)).collect();
    request.items.push(Item::Mix);
    request
}

pub fn export(request: ExportRequest) -> Result<Arc<Exported>, Arc<Error>> {
    start(request, Arc::new(|| {})).wait()
}

/// Exports the original of `audio` and returns the file's path.
pub fn export_one(dir: &Path, audio: &Audio, format: Format) -> std::path::PathBuf {
    export(request(dir, audio, format)).unwrap().files[0].clone()
}

/// What Symphonia makes of a file.
pub fn decode(path: &Path) -> (StreamSpec, Audio) {
    let mut decoder = Decoder::open(path).unwrap();
    let spec = decoder.info().source;
    let mut audio = vec![Vec::new(); usize::from(spec.channels)];
    while let Some(block) = decoder.next_block().unwrap() {
        for (all, new) in audio.iter_mut().zip(block.channels()) {
            all.extend_from_slice(new);
        }
    }
    assert_eq!(decoder.notes(), Vec::<String>::new(), "{}", path.display());
    (spec, audio)
}

/// What a decoder that shares no code with ours makes of a file, if it is installed: FFmpeg, and for
/// Vorbis libvorbisfile by way of SoX, since FFmpeg does not cut the last block at the stream's end.
pub fn decode_by_others(path: &Path, channels: usize) -> Option<Audio> {
    let mut command;
    if path.extension().is_some_and(|e| e == "ogg") {
        command = Command::new("sox");
        command.arg(path).args(["-t", "f32", "-"]);
    } else {
        command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(path).args(["-f", "f32le", "-"]);
    }
    let Ok(output) = command.output() else {
        println!("skipped: {:?} is not installed, so its opinion is not asked", command);
        return None;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    let samples: Vec<f32> = output
        .stdout
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let of_channel = |c| samples.iter().skip(c).step_by(channels).copied().collect();
    Some((0..channels).map(of_channel).collect())
}

/// Names in a folder, sorted; none if there is no folder.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Root mean square of the difference.
pub fn rms_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

pub fn rms(a: &[f32]) -> f64 {
    rms_difference(a, &vec![0.0; a.len()])
}

/// Where the largest sample is.
pub fn loudest_frame(samples: &[f32]) -> usize {
    let mut loudest = 0;
    for (i, sample) in samples.iter().enumerate() {
        if sample.abs() > samples[loudest].abs() {
            loudest = i;
        }
    }
    loudest
}
