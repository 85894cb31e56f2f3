//! Devices of other rates, and the player on its own threads.

mod playback_rig;

use std::time::Duration;

use engine::{
    audio::StreamSpec,
    playback::{self, FADE_FRAMES},
};
use playback_rig::{Rig, STEREO, Song, noise};

const TONE_HZ: f64 = 997.0;

fn tone(_: usize, side: usize, frame: u64) -> f32 {
    let turns = frame as f64 * TONE_HZ / 44_100.0 + side as f64 * 0.25;
    (turns * std::f64::consts::TAU).sin() as f32 * 0.5
}

/// Best-fitting sine of the tone's frequency: its amplitude, and the rest relative to it in dB.
fn fit(samples: &[f32], rate_hz: u32) -> (f64, f64) {
    let angle = |i: usize| i as f64 * TONE_HZ / f64::from(rate_hz) * std::f64::consts::TAU;
    // Least squares for a·sin + b·cos by the normal equations.
    let (mut ss, mut sc, mut cc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let (sin, cos) = angle(i).sin_cos();
        let x = f64::from(*sample);
        (ss, sc, cc) = (ss + sin * sin, sc + sin * cos, cc + cos * cos);
        (xs, xc) = (xs + x * sin, xc + x * cos);
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
    let rest: f64 = samples
        .iter()
        .enumerate()
        .map(|(i, sample)| {
            let (sin, cos) = angle(i).sin_cos();
            (f64::from(*sample) - a * sin - b * cos).powi(2)
        })
        .sum();
    let power = (a * a + b * b) / 2.0 * samples.len() as f64;
    (a.hypot(b), 10.0 * (rest / power).log10())
}

#[test]
fn other_rates_hear_the_same_tone() {
    for rate_hz in [8000, 22_050, 32_000, 48_000, 88_200, 96_000, 192_000] {
        let song = Song::new(100_000, 0, tone);
        let mut rig = Rig::new(StreamSpec { sample_rate_hz: rate_hz, channels: 2 });
        rig.player.load(song.without_stems());
        rig.player.play();
        let out = rig.run(rate_hz as usize, 441);
        for side in 0..2 {
            let samples: Vec<f32> = out[rate_hz as usize / 10..].iter().map(|f| f[side]).collect();
            let (amplitude, rest_db) = fit(&samples, rate_hz);
            println!("{rate_hz} Hz: amplitude {amplitude:.5}, rest {rest_db:.1} dB");
            assert!((amplitude - 0.5).abs() < 1e-3, "{rate_hz} Hz: {amplitude}");
            assert!(rest_db < -90.0, "{rate_hz} Hz: {rest_db} dB");
        }
        // One second of the device is one second of the song.
        let position = rig.player.position_frame();
        assert!(position.abs_diff(44_100) < 1000, "{rate_hz} Hz: {position}");
        assert_eq!(rig.player.underruns(), 0);
    }
}

#[test]
fn controls_act_within_twelve_milliseconds_at_other_rates() {
    let song = Song::new(100_000, 0, tone);
    let mut rig = Rig::new(StreamSpec { sample_rate_hz: 48_000, channels: 2 });
    rig.player.load(song.without_stems());
    rig.player.play();
    rig.run(20_000, 480);
    rig.player.set_master_gain_db(-60.0);
    let out = rig.run(4800, 480);
    let quiet_from = out.iter().rposition(|frame| frame[0].abs() > 1e-5).unwrap();
    let millis = quiet_from as f64 / 48.0;
    println!("silent after {millis:.1} ms, of which {:.1} are the ramp", FADE_FRAMES as f64 / 44.1);
    assert!(millis < 12.0);
}

#[test]
fn another_device_in_the_middle_plays_on() {
    let song = Song::new(100_000, 0, tone);
    let mut rig = Rig::playing(song.without_stems());
    rig.run(10_000, 500);
    rig.renderer.set_output(StreamSpec { sample_rate_hz: 48_000, channels: 2 }).unwrap();
    rig.run(10_000, 500);
    let position = rig.player.position_frame();
    assert!(position.abs_diff(10_000 + 10_000 * 441 / 480) < 700, "{position}");
    rig.renderer.set_output(STEREO).unwrap();
    let next = rig.run(3, 3)[0];
    assert!(next.iter().all(|sample| sample.abs() <= 0.5));
}

#[test]
fn impossible_outputs_are_refused() {
    for (sample_rate_hz, channels) in [(0, 2), (44_100, 0), (u32::MAX, 2), (48_000, 1000)] {
        assert!(playback::new(StreamSpec { sample_rate_hz, channels }).is_err());
    }
}

#[test]
fn the_feeders_thread_keeps_up_and_ends_with_the_player() {
    let song = Song::new(120_000, 2, noise);
    song.make_ready(20_000..90_000);
    let (mut player, mut renderer) = playback::new(STEREO).unwrap();
    player.load(song.with_stems());
    player.play();
    let mut buffer = vec![0.0; 2 * 512];
    let mut heard = 0u64;
    // Far faster than any device: only as many frames as the song has may sound.
    while !player.ended() {
        renderer.render(&mut buffer, Duration::ZERO);
        heard += buffer.chunks(2).filter(|frame| **frame != [0.0; 2]).count() as u64;
        std::thread::yield_now();
    }
    renderer.render(&mut buffer, Duration::ZERO);
    assert_eq!(player.position_frame(), 120_000);
    assert!(heard.abs_diff(120_000) <= player.underruns() * 2 + 64, "{heard}");
    drop(player);
    // Nobody holds the song any more.
    assert_eq!(std::sync::Arc::strong_count(&song.mixture), 1);
    renderer.render(&mut buffer, Duration::ZERO);
}
