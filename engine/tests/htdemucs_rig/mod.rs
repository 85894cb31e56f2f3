//! What tests/data/htdemucs/make.py made, and the same songs as it makes; also read by the tests
//! inside the model, so nothing here is of the engine.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

use std::{
    collections::BTreeMap,
    f64::consts::{PI, TAU},
    path::PathBuf,
};

use serde::Deserialize;

/// Least signal over error that counts as the same, in dB: an error of 1e-5 of the RMS.
pub const PARITY_DB: f64 = 100.0;

/// A file of tests/data/htdemucs.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/htdemucs").join(name)
}

/// What PyTorch computes.
#[derive(Deserialize)]
pub struct Expected {
    pub four: Network,
    pub six: Network,
    /// Stems of whole songs.
    pub songs: BTreeMap<String, Vec<Digest>>,
}

#[derive(Deserialize)]
pub struct Network {
    /// What flows between the parts, for the song of the first of [`FORWARD_SEEDS`].
    pub layers: BTreeMap<String, Digest>,
    /// Stems of a segment of each of [`FORWARD_SEEDS`].
    pub forward: Vec<Vec<Digest>>,
}

pub const FORWARD_SEEDS: [u32; 3] = [1, 2, 3];

pub fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(path("expected.json")).expect("readable")).expect("JSON")
}

/// Some values of a tensor, and sums of all of them with pseudo-random signs: for two tensors, the
/// mean square of the differences of these sums estimates the sum of squares of the tensors'
/// difference (Johnson and Lindenstrauss 1984), so that no value anywhere may be wrong.
#[derive(Debug, Deserialize)]
pub struct Digest {
    pub shape: Vec<usize>,
    pub rms: f64,
    sums: Vec<f64>,
    points: Vec<f64>,
}

impl Digest {
    pub fn of(shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        let (mut sums, mut squares) = ([0.0; 16], 0.0);
        for (i, &value) in (0..).zip(values) {
            let value = f64::from(value);
            squares += value * value;
            let bits = hashed(i);
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum += if (bits >> k) & 1 == 1 { -value } else { value };
            }
        }
        let point = |k: u32| {
            let at = (u64::from(k.wrapping_mul(2_654_435_761)) * values.len() as u64) >> 32;
            f64::from(values[at as usize])
        };
        Self {
            shape: shape.to_vec(),
            rms: (squares / values.len() as f64).sqrt(),
            sums: sums.to_vec(),
            points: (1..=32).map(point).collect(),
        }
    }

    /// Stereo or mono audio as `[channels][frames]`.
    pub fn of_audio(channels: &[Vec<f32>]) -> Self {
        Self::of(&[channels.len(), channels[0].len()], &channels.concat())
    }

    /// Signal over error of `ours`, in dB. Infinite where there is neither.
    pub fn snr_db(&self, ours: &Self) -> f64 {
        assert_eq!(self.shape, ours.shape);
        let squares = self.sums.iter().zip(&ours.sums).map(|(a, b)| (a - b).powi(2));
        let noise = squares.sum::<f64>() / self.sums.len() as f64;
        let signal = self.rms * self.rms * self.shape.iter().product::<usize>() as f64;
        if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
    }

    /// Fails unless `ours` is the same to [`PARITY_DB`], and each point to 1e-4 of the RMS.
    pub fn check(&self, name: &str, ours: &Self) {
        let snr_db = self.snr_db(ours);
        assert!(snr_db >= PARITY_DB, "{name}: {snr_db:.1} dB");
        assert!((ours.rms - self.rms).abs() <= 1e-4 * self.rms, "{name}: RMS {}", ours.rms);
        for (a, b) in self.points.iter().zip(&ours.points) {
            assert!((a - b).abs() <= 1e-4 * self.rms, "{name}: {b} instead of {a}");
        }
    }
}

/// `MurmurHash3`'s last step.
fn hashed(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// Partials that swell, a floor of noise and bursts.
pub fn song(frames: usize, seed: u32, channels: usize) -> Vec<Vec<f64>> {
    let noise = |n: usize, stream: u32| {
        f64::from(hashed((n as u32).wrapping_add(stream << 20))) / 2f64.powi(31) - 1.0
    };
    let mut song = tones(frames, 44_100.0, seed, channels);
    for (side, x) in (0..).zip(&mut song) {
        for (n, x) in x.iter_mut().enumerate() {
            let decay = (-((n % 11025) as f64) / 900.0).exp();
            *x += 0.02 * noise(n, 2 * seed + side) + 0.4 * noise(n, 1000 + 2 * seed + side) * decay;
        }
    }
    song
}

fn tones(frames: usize, rate_hz: f64, seed: u32, channels: usize) -> Vec<Vec<f64>> {
    let seed = f64::from(seed);
    let mut song = vec![vec![0.0; frames]; channels];
    for (side, channel) in song.iter_mut().enumerate() {
        for partial in 0..12 {
            let (side, k) = (side as f64, f64::from(partial));
            let frequency_hz = 50.0 * 2f64.powf(0.7 * k + 0.013 * seed);
            let gain = 0.12 / (1.0 + 0.3 * k) * (1.0 + 0.5 * (k + 2.0 * side).cos());
            for (n, x) in channel.iter_mut().enumerate() {
                let turn = TAU * n as f64 / rate_hz;
                let tone = (frequency_hz * turn + k * k + seed + 0.5 * k * side).sin();
                *x += gain * tone * (0.5 + 0.5 * ((0.3 + 0.37 * k) * turn + k).sin());
            }
        }
    }
    song
}

/// A song that begins and ends in silence and has nothing above 12 kHz: the same at every rate.
pub fn swelling(frames: usize, rate_hz: f64, seed: u32) -> Vec<Vec<f64>> {
    let mut song = tones(frames, rate_hz, seed, 2);
    for channel in &mut song {
        for (n, x) in channel.iter_mut().enumerate() {
            *x *= (PI * n as f64 / frames as f64).sin().powi(2);
        }
    }
    song
}

/// [`song`] as samples.
pub fn samples(song: &[Vec<f64>]) -> Vec<Vec<f32>> {
    song.iter().map(|channel| channel.iter().map(|x| *x as f32).collect()).collect()
}
