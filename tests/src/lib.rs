//! What the integration tests share: the built program, songs made on the spot, and where other
//! people's audio lies.

use std::{
    f32::consts::TAU,
    path::{Path, PathBuf},
    process::Command,
};

/// The `stemhive` program built beside the running test.
///
/// # Panics
/// When it has not been built; `cargo test --workspace` and `cargo build` both build it.
pub fn stemhive() -> Command {
    Command::new(stemhive_path())
}

/// Path of the `stemhive` program built beside the running test.
///
/// # Panics
/// As [`stemhive`].
pub fn stemhive_path() -> PathBuf {
    built("stemhive")
}

/// Path of the `stemhive-worker` program built beside the running test.
///
/// # Panics
/// As [`stemhive`].
pub fn stemhive_worker_path() -> PathBuf {
    built("stemhive-worker")
}

fn built(program: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the test has a path");
    // target/<profile>/deps/<test> → target/<profile>/<program>
    let dir = exe.parent().and_then(Path::parent).expect("two folders up");
    let path = dir.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "“{}” is missing: run cargo build first", path.display());
    path
}

/// The folder of songs, multitracks and decoder files made by others, which is not part of the
/// repository: `$STEMHIVE_SHARED_AUDIO`, else `shared/audio` beside the repository. `None`, with a
/// line that says so, when it is not there.
pub fn shared_audio() -> Option<PathBuf> {
    let path = std::env::var_os("STEMHIVE_SHARED_AUDIO").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/audio"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: “{}” is not there", path.display());
    None
}

/// A small piece of music, the same every time: kick and hi-hat, a bass line, chords panned apart
/// and a vibrato voice in the centre. Planar stereo at `rate_hz`, `frames` long, peak below 1.
pub fn synthetic_song(frames: usize, rate_hz: u32) -> [Vec<f32>; 2] {
    let rate = rate_hz as f32;
    let beat_frames = (rate * 0.5) as usize;
    let roots_hz = [110.0, 87.31, 130.81, 98.0];
    let mut noise = 1u32;
    let mut channels = [Vec::with_capacity(frames), Vec::with_capacity(frames)];
    for frame in 0..frames {
        let beat = frame / beat_frames;
        let in_beat_secs = (frame % beat_frames) as f32 / rate;
        // Phases restart each bar so that f32 keeps its precision in hour-long songs.
        let bar_secs = (frame % (beat_frames * 4)) as f32 / rate;
        let root_hz = roots_hz[beat / 4 % roots_hz.len()];
        let tone = |hz: f32| (TAU * hz * bar_secs).sin();

        let kick = (TAU * (45.0 * in_beat_secs + 12.0 * (1.0 - (-30.0 * in_beat_secs).exp())))
            .sin()
            * (-9.0 * in_beat_secs).exp();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = (noise >> 8) as f32 / 8_388_608.0 - 1.0;
        let half_secs = (frame % (beat_frames / 2).max(1)) as f32 / rate;
        let hat = white * (-60.0 * half_secs).exp();
        let bass = tone(root_hz / 2.0) + 0.4 * tone(root_hz);
        let left_chord = tone(root_hz * 2.0) + tone(root_hz * 2.5);
        let right_chord = tone(root_hz * 3.0) + tone(root_hz * 2.5);
        let sings = beat / 2 % 2 == 1;
        let vibrato = 0.008 * (TAU * 5.5 * bar_secs).sin();
        let voice = if sings {
            (1..6)
                .map(|h| (TAU * 330.0 * h as f32 * (bar_secs + vibrato * 0.1)).sin() / h as f32)
                .sum()
        } else {
            0.0
        };
        let centre = 0.28 * kick + 0.12 * hat + 0.14 * bass + 0.08 * voice;
        channels[0].push(centre + 0.06 * left_chord);
        channels[1].push(centre + 0.06 * right_chord);
    }
    channels
}

/// Writes `channels` as a 16-bit WAV.
///
/// # Panics
/// When the file cannot be written.
pub fn write_wav(path: &Path, channels: &[impl AsRef<[f32]>], rate_hz: u32) {
    let spec = hound::WavSpec {
        channels: u16::try_from(channels.len()).expect("few channels"),
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a writable path");
    let frames = channels.first().map_or(0, |c| c.as_ref().len());
    for frame in 0..frames {
        for channel in channels {
            let sample = (channel.as_ref()[frame] * 32_767.0).round().clamp(-32_768.0, 32_767.0);
            writer.write_sample(sample as i16).expect("room on the disk");
        }
    }
    writer.finalize().expect("room on the disk");
}
