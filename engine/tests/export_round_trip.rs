//! What is written decodes to the same number of frames and, as far as the format can, to the same
//! samples, by Symphonia and by decoders that share no code with it.

mod export_support;

use std::path::Path;

use engine::export::{Bits, Format};
use export_support::*;
use proptest::prelude::*;

/// Lengths around the frame sizes of the codecs.
const LENGTHS: [usize; 12] = [1, 2, 31, 575, 576, 577, 1151, 1152, 1153, 4096, 4097, 44_107];

/// Largest difference a lossless format may make: its rounding, and its dither.
fn tolerance(format: Format) -> Option<f32> {
    match format {
        Format::Wav(Bits::Float32) => Some(0.0),
        // Half a step of rounding.
        Format::Wav(Bits::Int24) | Format::Flac(Bits::Int24) => Some(0.5 / 8_388_608.0),
        // And a whole one of dither.
        Format::Wav(Bits::Int16) | Format::Flac(Bits::Int16) => Some(1.5 / 32_768.0),
        Format::Flac(Bits::Float32) | Format::Mp3(_) | Format::Vorbis(_) => None,
    }
}

fn assert_close(format: Format, original: &Audio, decoded: &Audio, by: &str) {
    let what = format!("{format:?}, {} ch, {} frames, {by}", original.len(), original[0].len());
    assert_eq!(decoded.len(), original.len(), "channels of {what}");
    for (original, decoded) in original.iter().zip(decoded) {
        assert_eq!(decoded.len(), original.len(), "frames of {what}");
        match tolerance(format) {
            Some(tolerance) => {
                for (i, (a, b)) in original.iter().zip(decoded).enumerate() {
                    assert!((a - b).abs() <= tolerance, "{what}: {a} became {b} at {i}");
                }
            }
            // Lossy codecs need some length before they have any quality to speak of.
            None if original.len() >= 4096 => {
                let error_db = 20.0 * (rms_difference(original, decoded) / rms(original)).log10();
                assert!(error_db < -20.0, "{what}: error {error_db:.1} dB");
            }
            None => {}
        }
    }
}

fn check(dir: &Path, format: Format, audio: &Audio) {
    let path = export_one(dir, audio, format);
    let (spec, decoded) = decode(&path);
    assert_eq!(spec.sample_rate_hz, 44_100);
    assert_eq!(usize::from(spec.channels), audio.len(), "mono stays mono, stereo stays stereo");
    assert_close(format, audio, &decoded, "Symphonia");
    if let Some(decoded) = decode_by_others(&path, audio.len()) {
        assert_close(format, audio, &decoded, "another decoder");
    }
}

fn check_lengths(format: Format) {
    let dir = tempfile::tempdir().unwrap();
    for channels in [1, 2] {
        for frames in LENGTHS {
            check(dir.path(), format, &music(channels, frames, frames as u32, 0.6));
        }
    }
}

#[test]
fn wav_16_holds_every_frame() {
    check_lengths(Format::Wav(Bits::Int16));
}

#[test]
fn wav_24_holds_every_frame() {
    check_lengths(Format::Wav(Bits::Int24));
}

#[test]
fn wav_float_holds_every_frame() {
    check_lengths(Format::Wav(Bits::Float32));
}

#[test]
fn flac_16_holds_every_frame() {
    check_lengths(Format::Flac(Bits::Int16));
}

#[test]
fn flac_24_holds_every_frame() {
    check_lengths(Format::Flac(Bits::Int24));
}

#[test]
fn mp3_v0_holds_every_frame() {
    check_lengths(FORMATS[5]);
}

#[test]
fn mp3_320_holds_every_frame() {
    check_lengths(FORMATS[6]);
}

#[test]
fn vorbis_holds_every_frame() {
    check_lengths(FORMATS[7]);
}

#[test]
fn a_click_stays_at_its_frame() {
    let dir = tempfile::tempdir().unwrap();
    for format in FORMATS {
        for at in [0, 1, 600, 5_000, 9_998] {
            let mut audio = music(2, 10_000, 5, 0.01);
            for channel in &mut audio {
                channel[at] = 0.9;
            }
            let (_, decoded) = decode(&export_one(dir.path(), &audio, format));
            for channel in decoded {
                assert_eq!(loudest_frame(&channel), at, "{format:?}");
            }
        }
    }
}

#[test]
fn samples_of_16_bits_come_back_bit_for_bit_from_every_lossless_format() {
    let dir = tempfile::tempdir().unwrap();
    let mut audio: Audio = music(2, 20_000, 3, 0.9);
    for sample in audio.iter_mut().flatten() {
        *sample = (*sample * 32_768.0).round() / 32_768.0;
    }
    audio[0][77] = -1.0;
    audio[1][78] = 32_767.0 / 32_768.0;
    for format in FORMATS.into_iter().filter(|format| !is_lossy(*format)) {
        assert_eq!(decode(&export_one(dir.path(), &audio, format)).1, audio, "{format:?}");
    }
}

#[test]
fn float_wav_keeps_every_bit_even_above_full_scale() {
    let dir = tempfile::tempdir().unwrap();
    let audio = vec![vec![1.5, -3.0, f32::MIN_POSITIVE / 8.0, -0.0, 1.0 + f32::EPSILON, 1e-30]];
    let path = export_one(dir.path(), &audio, Format::Wav(Bits::Float32));
    let mut reader = hound::WavReader::open(path).unwrap();
    let bits: Vec<u32> = reader.samples::<f32>().map(|s| s.unwrap().to_bits()).collect();
    assert_eq!(bits, audio[0].iter().map(|s| s.to_bits()).collect::<Vec<_>>());
}

#[test]
fn flac_says_length_and_digest_and_the_reference_decoder_agrees() {
    let dir = tempfile::tempdir().unwrap();
    for (bits, frames) in [(Bits::Int16, 44_107), (Bits::Int24, 9_001), (Bits::Int24, 5)] {
        let path = export_one(dir.path(), &music(2, frames, 9, 0.9), Format::Flac(bits));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[8..10], bytes[10..12], "smallest block size = largest block size");
        let total = u64::from_be_bytes(bytes[18..26].try_into().unwrap()) & 0xF_FFFF_FFFF;
        assert_eq!(total, frames as u64);
        assert_ne!(bytes[26..42], [0; 16], "there is an MD5");
        match std::process::Command::new("flac").args(["-t", "-s"]).arg(&path).output() {
            // It recomputes the MD5 and refuses a wrong one.
            Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
            Err(_) => println!("skipped: flac is not installed, so its opinion is not asked"),
        }
    }
}

#[test]
fn flac_never_grows_what_it_cannot_shrink() {
    let dir = tempfile::tempdir().unwrap();
    for (bits, peak) in [(Bits::Int16, 0.9), (Bits::Int24, 0.9), (Bits::Int24, 0.1)] {
        let audio = music(2, 100_000, 2, peak);
        let flac = export_one(dir.path(), &audio, Format::Flac(bits)).metadata().unwrap().len();
        let wav = export_one(dir.path(), &audio, Format::Wav(bits)).metadata().unwrap().len();
        assert!(flac < wav + 10_000, "{bits:?}: {flac} instead of {wav}");
    }
}

#[test]
fn flac_shrinks_noise_of_every_loudness_or_leaves_it() {
    let dir = tempfile::tempdir().unwrap();
    // Passes slowly through every power of two that a sum over a block can reach.
    let mut random = 1_u32;
    let frames = 1_200_000;
    let swelling = (0..frames)
        .map(|i| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (random >> 8) as f32 / 8_388_608.0 - 1.0;
            noise * 0.9 * (-10.0 * (1.0 - i as f32 / frames as f32)).exp2()
        })
        .collect();
    let path = export_one(dir.path(), &vec![swelling], Format::Flac(Bits::Int24));
    let bytes = path.metadata().unwrap().len();
    assert!(bytes < 3 * frames as u64 + 10_000, "{bytes} bytes for {frames} frames");
}

#[test]
fn the_same_export_yields_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 30_000, 4, 0.7);
    for format in FORMATS {
        let first = std::fs::read(export_one(dir.path(), &audio, format)).unwrap();
        let second = std::fs::read(export_one(dir.path(), &audio, format)).unwrap();
        assert!(first == second, "{format:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_samples_of_any_length_round_trip(
        format in prop::sample::select(FORMATS.as_slice()),
        channels in 1_usize..3,
        frames in 1_usize..9_000,
        noise in any::<u32>(),
        loud in 0.0_f32..1.0,
    ) {
        let dir = tempfile::tempdir().unwrap();
        // White noise is the hardest thing for the predictors of FLAC.
        let mut random = noise;
        let audio: Audio = (0..channels).map(|_| (0..frames).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((random >> 8) as f32 / 8_388_608.0 - 1.0) * loud
        }).collect()).collect();
        let (_, decoded) = decode(&export_one(dir.path(), &audio, format));
        prop_assert_eq!(decoded[0].len(), frames);
        if !is_lossy(format) {
            assert_close(format, &audio, &decoded, "Symphonia");
        }
    }
}
