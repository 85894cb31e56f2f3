//! Whole songs through engine and HTDemucs come out as the official pipeline makes them
//! (`demucs.api.Separator.separate_tensor` without shifts, with an overlap of a quarter).

mod htdemucs_rig;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use engine::{
    audio::Planar,
    engine::{Engine, EngineConfig, SeparateOptions},
    job::JobPhase,
    model::{
        ChunkInput, NoProgress, Quality, Separator, SongStats, Stem,
        checkpoint::Checkpoint,
        htdemucs::{Config, Htdemucs, Network, Profile},
        nn::Kernels,
    },
    store::Track,
};
use htdemucs_rig::{Digest, Expected, expected, path, samples, song, swelling};

type Channels = Vec<Vec<f32>>;

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::read(&path(&format!("{name}.th"))).expect("a checkpoint")
}

/// A bag of these networks, and how many times each was read.
fn bag(networks: Vec<Checkpoint>, weights: Vec<Vec<f32>>) -> (Htdemucs, Arc<Vec<AtomicUsize>>) {
    let Config { sources, segment_frames, .. } = Config::of(&networks[0]).expect("HTDemucs");
    let profile = Profile {
        name: "tiny".into(),
        title: "Tiny".into(),
        description: "For tests".into(),
        sources,
        segment_frames,
        weights,
        weights_hash: [1; 32],
    };
    let loads: Arc<Vec<_>> = Arc::new(networks.iter().map(|_| AtomicUsize::new(0)).collect());
    let counts = Arc::clone(&loads);
    let load = move |n: usize| {
        counts[n].fetch_add(1, Ordering::Relaxed);
        Ok(networks[n].clone())
    };
    (Htdemucs::new(profile, Box::new(load)), loads)
}

fn single(name: &str) -> Htdemucs {
    let checkpoint = checkpoint(name);
    let sources = Config::of(&checkpoint).expect("HTDemucs").sources.len();
    bag(vec![checkpoint], vec![vec![1.0; sources]]).0
}

/// The same network with other results by `factor`.
fn scaled(factor: f32) -> Checkpoint {
    let mut network = checkpoint("four");
    for (name, tensor) in &mut network.tensors {
        if name.contains("decoder.3.conv_tr") {
            tensor.values.iter_mut().for_each(|x| *x *= factor);
        }
    }
    network
}

/// A place with an engine whose one model is `model`.
struct Place {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Place {
    fn new(model: Htdemucs) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let config = EngineConfig {
            cache_dir: dir.path().join("cache"),
            data_dir: dir.path().join("data"),
            cache_cap_bytes: 1 << 30,
            threads: Some(2),
            ..EngineConfig::default()
        };
        let engine = Engine::with_models(&config, vec![Arc::new(model)]).expect("an engine");
        Self { dir, engine }
    }

    /// The mixture as the engine has it, and the stems in lane order.
    fn separate(&self, name: &str, rate_hz: u32, song: &Channels) -> (Channels, Vec<Channels>) {
        let path = self.dir.path().join(name).with_extension("wav");
        write_wav(&path, rate_hz, song);
        let song = self.engine.open_song(&path, Arc::new(|| ()));
        song.wait_ready().expect("a song");
        let options = SeparateOptions {
            model: "tiny".into(),
            quality: Quality::default(),
            stems: Vec::new(),
            playhead_frame: 0,
            workers: engine::remote::Chosen::None,
            wake: Arc::new(|| ()),
        };
        let job = self.engine.separate(&song, options).expect("a job");
        let status = job.wait();
        assert!(matches!(status.phase, JobPhase::Done), "{:?}", status.phase);
        let mixture = read(&song.mixture().expect("a mixture"));
        (mixture, job.stems().tracks.iter().map(|track| read(track)).collect())
    }
}

fn write_wav(path: &Path, rate_hz: u32, song: &Channels) {
    let spec = hound::WavSpec {
        channels: song.len() as u16,
        sample_rate: rate_hz,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    for frame in 0..song[0].len() {
        song.iter().for_each(|channel| writer.write_sample(channel[frame]).expect("room"));
    }
    writer.finalize().expect("room");
}

fn read(track: &Track) -> Channels {
    let mut all = vec![vec![0.0; track.frames() as usize]; track.channel_count()];
    track.read(0, &mut all).expect("readable");
    all
}

fn check(expected: &Expected, name: &str, stems: &[Channels]) {
    let expected = &expected.songs[name];
    assert_eq!(stems.len(), expected.len());
    for (n, (expected, stem)) in expected.iter().zip(stems).enumerate() {
        expected.check(&format!("stem {n} of “{name}”"), &Digest::of_audio(stem));
    }
}

/// What is done to a sample on this side at this frame.
type Change = fn(f64, side: usize, frame: usize) -> f64;

/// Name, seed, frames and channels as in make.py.
const SONGS: [(&str, u32, usize, usize, Change); 10] = [
    ("short", 10, 12345, 2, |x, _, _| x),
    ("a segment", 11, 44100, 2, |x, _, _| x),
    ("a frame beyond the stride", 12, 33076, 2, |x, _, _| x),
    ("a frame beyond a segment", 13, 44101, 2, |x, _, _| x),
    ("several segments", 14, 150_001, 2, |x, _, _| x),
    ("silence", 15, 50000, 2, |_, _, _| 0.0),
    ("an end of silence", 16, 100_000, 2, |x, _, n| if n < 40000 { x } else { 0.0 }),
    ("mono", 17, 60000, 1, |x, _, _| x),
    ("an offset", 18, 60000, 2, |x, side, _| x + [0.5, 0.25][side]),
    ("beyond full scale", 19, 60000, 2, |x, _, _| 6.0 * x),
];

fn made((_, seed, frames, channels, change): (&str, u32, usize, usize, Change)) -> Channels {
    let mut song = song(frames, seed, channels);
    for (side, channel) in song.iter_mut().enumerate() {
        channel.iter_mut().enumerate().for_each(|(n, x)| *x = change(*x, side, n));
    }
    samples(&song)
}

#[test]
fn songs_are_separated_as_the_official_pipeline_does() {
    let expected = expected();
    let place = Place::new(single("four"));
    for song in SONGS {
        let given = made(song);
        let (mixture, stems) = place.separate(song.0, 44100, &given);
        assert!(mixture == given, "“{}” is stored as it is", song.0);
        check(&expected, song.0, &stems);
    }
    assert!(made(SONGS[9]).iter().flatten().any(|x| x.abs() > 2.0));
}

#[test]
fn six_stems_are_separated_as_the_official_pipeline_does() {
    let expected = expected();
    let place = Place::new(single("six"));
    for song in [("six stems", 21, 90001), ("six stems, short", 22, 5000)] {
        let given = samples(&htdemucs_rig::song(song.2, song.1, 2));
        check(&expected, song.0, &place.separate(song.0, 44100, &given).1);
    }
}

#[test]
fn a_song_at_another_rate_is_separated_as_what_it_is_resampled_to() {
    let place = Place::new(single("four"));
    let (mixture, stems) = place.separate("48", 48000, &samples(&swelling(72000, 48000.0, 5)));
    assert_eq!(mixture[0].len(), 66150);
    let (again, same) = place.separate("44", 44100, &mixture);
    assert!(again == mixture && same == stems);

    // Against PyTorch with a song resampled without any error.
    let expected = expected();
    check(&expected, "48 kHz", &stems);
}

#[test]
fn a_bag_is_weighed_as_the_official_pipeline_does() {
    let weights = vec![vec![1.0, 0.0, 0.25, 0.5], vec![0.0, 1.0, 0.75, 0.5]];
    let (bag, loads) = bag(vec![checkpoint("four"), scaled(-0.5)], weights);
    let place = Place::new(bag);
    let stems = place.separate("bag", 44100, &samples(&song(50000, 20, 2))).1;
    check(&expected(), "a bag", &stems);
    assert!(loads.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

/// One chunk of a song, with statistics as if it were all of it.
fn chunk(model: &dyn Separator, seed: u32) -> ChunkInput {
    let spec = model.info().chunks;
    let context = spec.context_frames as usize;
    let segment_frames = spec.segment_frames as usize;
    let audio = samples(&song(segment_frames + 2 * context, seed, 2));
    ChunkInput {
        audio: Planar::from_channels(audio),
        context_before_frames: context,
        segment_frames,
        start_frame: context as u64,
        song: SongStats { mono_mean: 0.01, mono_std: 0.25, ..SongStats::default() },
    }
}

fn separate(model: &dyn Separator, keep: &[usize]) -> Vec<Planar> {
    model.separate_some(&chunk(model, 3), keep, &NoProgress).expect("stems")
}

#[test]
fn of_a_bag_only_the_needed_networks_are_read_and_once() {
    let factors = [1.0, -0.5, 0.25, 2.0];
    let identity = (0..4).map(|n| (0..4).map(|s| f32::from(u8::from(n == s))).collect());
    let (bag, loads) = bag(factors.map(scaled).to_vec(), identity.collect());
    let loads = || loads.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    assert_eq!(bag.info().stems, [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals]);
    assert_eq!(loads(), [0, 0, 0, 0]);

    let vocals = separate(&bag, &[3]);
    assert_eq!(loads(), [0, 0, 0, 1]);
    let some = separate(&bag, &[3, 1]);
    assert_eq!(loads(), [0, 1, 0, 1]);
    let all = separate(&bag, &[0, 1, 2, 3]);
    separate(&bag, &[0, 1, 2, 3]);
    assert_eq!(loads(), [1, 1, 1, 1]);
    assert!(vocals[0] == all[3] && some[0] == all[3] && some[1] == all[1]);

    for (stem, factor) in factors.into_iter().enumerate() {
        let alone = self::bag(vec![scaled(factor)], vec![vec![1.0; 4]]).0;
        assert!(separate(&alone, &[stem])[0] == all[stem], "stem {stem}");
    }
}

/// The first shifts: SplitMix64 from 0 (E220A8397B1DCDAF, 6E789E6AA1B965F4, 06C45D188009454F),
/// modulo half a second and one. Results depend on them, so they must never change.
const SHIFTS: [usize; 3] = [122, 5048, 20293];

#[test]
fn shifted_passes_are_shifted_back_and_averaged() {
    let plain = single("four");
    let network = Network::load(checkpoint("four"), Kernels::detect()).expect("a network");
    let better = |shifts| {
        let quality = Quality { shifts, ..Quality::default() };
        plain.with_quality(quality).expect("possible")
    };
    let mut hashes = vec![plain.info().hash];
    let mut last = Vec::new();
    for count in 1..=3 {
        let model = better(count);
        hashes.push(model.info().hash);
        assert_eq!(model.info().chunks.segment_frames, 22050);
        let input = chunk(&*model, 3);
        let stems = model.separate(&input, &NoProgress).expect("stems");
        assert!(better(count).separate(&input, &NoProgress).expect("stems") == stems);
        assert!(stems != last);

        let mut expected = vec![vec![vec![0.0; 22050]; 2]; 4];
        for shift in &SHIFTS[..count as usize] {
            let shifted = [0, 1].map(|side| {
                let seen = &input.audio.channel(side)[22050 - shift..][..44100];
                seen.iter().map(|x| (x - 0.01) / 0.25).collect::<Vec<f32>>()
            });
            let sides = [&shifted[0][..], &shifted[1][..]];
            let given = network.forward(sides, &[0, 1, 2, 3], &NoProgress).expect("a forward");
            for (sum, given) in expected.iter_mut().flatten().zip(given.iter().flatten()) {
                for (sum, x) in sum.iter_mut().zip(&given[*shift..]) {
                    *sum += (x * 0.25 + 0.01) / count as f32;
                }
            }
        }
        for (stem, expected) in stems.iter().zip(&expected) {
            for (a, b) in stem.channels().iter().flatten().zip(expected.iter().flatten()) {
                assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
            }
        }
        last = stems;
    }
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn qualities_that_make_no_sense_are_not_to_be_had() {
    let model = single("four");
    let quality = |shifts, overlap| model.with_quality(Quality { shifts, overlap });
    assert!(quality(0, 0.0).is_some() && quality(2, 0.9).is_some());
    assert!(quality(0, -0.1).is_none() && quality(0, 1.0).is_none());
    assert!(quality(0, f64::NAN).is_none() && quality(u32::MAX, 0.25).is_none());
    // A segment no longer than the longest shift.
    let mut short = checkpoint("four");
    let secs = engine::model::checkpoint::Value::Fraction(1, 2);
    short.kwargs.insert("segment".to_owned(), secs);
    let short = bag(vec![short], vec![vec![1.0; 4]]).0;
    assert!(short.with_quality(Quality { shifts: 1, overlap: 0.25 }).is_none());
}

#[test]
fn another_network_than_the_profile_says_is_refused() {
    let model = bag(vec![checkpoint("six"), checkpoint("four")], vec![vec![1.0; 6]; 2]).0;
    let error = model.separate(&chunk(&model, 1), &NoProgress).expect_err("refused");
    assert!(error.what.contains("Tiny"), "{}", error.what);
}
