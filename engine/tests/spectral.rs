//! The promises of the separator without a network: stems that add up, the same samples however
//! the song is cut and whoever computes, nothing strange on strange input.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use engine::{
    ErrorKind,
    audio::Planar,
    model::{ChunkInput, NoProgress, Progress, Separator, SongStats, spectral::Spectral},
    plan::Plan,
};

/// Uniform noise from a small generator, -1 to 1.
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

/// A loop with a beat, a bass, chords and a wandering voice, made by additions and products only,
/// so that it is the same everywhere.
fn song(frames: usize) -> Planar {
    let mut hiss = noise(1);
    let triangle = |phase: f32| 1.0 - 4.0 * (phase - phase.floor() - 0.5).abs();
    let [mut left, mut right] = [(); 2].map(|()| Vec::with_capacity(frames));
    let mut sung = 0.0;
    for n in 0..frames {
        let secs = n as f32 / 44_100.0;
        let beat = (n % 22_050) as f32 / 22_050.0;
        let fall = (1.0 - beat) * (1.0 - beat) * (1.0 - beat);
        let kick = triangle(60.0 * secs) * fall * fall;
        let snare = hiss() * fall * fall * if n / 22_050 % 2 == 1 { 0.5 } else { 0.0 };
        let root = [55.0, 65.4, 49.0, 58.3][n / 88_200 % 4];
        let bass = triangle(root * secs);
        let chord_left = triangle(4.0 * root * secs) + triangle(5.0 * root * secs);
        let chord_right = triangle(6.0 * root * secs);
        sung += (300.0 + 100.0 * triangle(0.37 * secs) + 8.0 * triangle(5.5 * secs)) / 44_100.0;
        let voice = if n / 66_150 % 2 == 1 { triangle(sung) } else { 0.0 };
        let middle = 0.3 * kick + 0.2 * snare + 0.2 * bass + 0.2 * voice;
        left.push(middle + 0.08 * chord_left);
        right.push(middle + 0.08 * chord_right);
    }
    Planar::from_channels(vec![left, right])
}

fn input(song: &Planar, segment: std::ops::Range<u64>, given: std::ops::Range<u64>) -> ChunkInput {
    let cut = |c: &Vec<f32>| c[given.start as usize..given.end as usize].to_vec();
    ChunkInput {
        audio: Planar::from_channels(song.channels().iter().map(cut).collect()),
        context_before_frames: (segment.start - given.start) as usize,
        segment_frames: (segment.end - segment.start) as usize,
        start_frame: segment.start,
        song: SongStats { frames: song.frames() as u64, ..SongStats::default() },
    }
}

/// The whole song as one chunk.
fn in_one_piece(song: &Planar) -> Vec<Planar> {
    let all = 0..song.frames() as u64;
    Spectral::new().separate(&input(song, all.clone(), all), &NoProgress).unwrap()
}

/// Largest difference of the stems' sum, in lane order, from the mixture.
fn largest_residual(stems: &[Planar], mixture: &Planar) -> f32 {
    let mut largest = 0.0f32;
    for (channel, mixture) in mixture.channels().iter().enumerate() {
        for (n, x) in mixture.iter().enumerate() {
            let sum = stems.iter().fold(0.0f32, |sum, stem| sum + stem.channel(channel)[n]);
            largest = largest.max((sum - x).abs());
        }
    }
    largest
}

fn hash(stems: &[Planar]) -> String {
    let mut hasher = blake3::Hasher::new();
    for sample in stems.iter().flat_map(|stem| stem.channels()).flatten() {
        // Negative zero is zero to every ear.
        hasher.update(&(sample + 0.0).to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn stems_add_up_to_the_mixture() {
    let song = song(200_000);
    let stems = in_one_piece(&song);
    let residual = largest_residual(&stems, &song);
    // One rounding step of samples below 1, -138 dB of full scale.
    assert!(residual <= f32::EPSILON, "{residual}");
    // And each of them holds something.
    for stem in &stems {
        let energy: f32 = stem.channel(0).iter().map(|x| x * x).sum();
        assert!(energy > 10.0, "{energy}");
    }
}

#[test]
fn a_song_in_chunks_is_the_song_in_one_piece_to_the_bit() {
    let model = Spectral::new();
    let chunk = model.info().chunks.segment_frames as usize;
    // The last chunk is short and not on the transform's grid.
    let song = song(2 * chunk + chunk / 3 + 77);
    let whole = in_one_piece(&song);
    let plan = Plan::new(song.frames() as u64, model.info().chunks).unwrap();
    for (n, segment) in plan.segments().iter().enumerate() {
        let input = input(&song, segment.clone(), plan.input(n));
        for (stem, (part, whole)) in
            model.separate(&input, &NoProgress).unwrap().iter().zip(&whole).enumerate()
        {
            for (part, whole) in part.channels().iter().zip(whole.channels()) {
                let whole = &whole[segment.start as usize..segment.end as usize];
                assert!(part == whole, "stem {stem} of chunk {n} differs");
            }
        }
    }
    assert_eq!(plan.segments().len(), 3);
}

#[test]
fn every_thread_and_every_run_gives_the_same_bits() {
    let model = Spectral::new();
    let song = song(120_000);
    let all = 0..song.frames() as u64;
    let input = input(&song, all.clone(), all);
    let once = model.separate(&input, &NoProgress).unwrap();
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..3).map(|_| scope.spawn(|| model.separate(&input, &NoProgress).unwrap())).collect();
        for run in runs {
            assert!(run.join().unwrap() == once);
        }
    });
}

/// The same samples on every machine, and results of an older version are never taken for those
/// of a newer: when this hash has to change, change `VERSION` with it.
#[test]
fn the_output_is_the_known_one() {
    assert_eq!(
        hash(&in_one_piece(&song(150_000))),
        "7b5a768722870ed5d0149239cd994d23e0c1d2c0c1cfdecf01857ca9a2f7498d"
    );
}

#[test]
fn silence_stays_silence() {
    for stem in in_one_piece(&Planar::silence(2, 60_000)) {
        assert!(stem.channels().iter().flatten().all(|&x| x == 0.0));
    }
}

#[test]
fn mono_stays_mono() {
    let one = song(60_000).channel(0).to_vec();
    for stem in in_one_piece(&Planar::from_channels(vec![one.clone(), one])) {
        assert!(stem.channel(0) == stem.channel(1));
    }
}

#[test]
fn strange_songs_are_taken() {
    let mut hiss = noise(3);
    let constant = |x: f32, frames: usize| vec![x; frames];
    let mut clipped: Vec<f32> = (0..50_000).map(|_| hiss() * 8.0).collect();
    clipped.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
    let faint: Vec<f32> = (0..50_000).map(|_| hiss() * 1e-30).collect();
    let songs = [
        constant(0.7, 1),
        constant(-1.0, 2),
        constant(0.5, 1023),
        constant(0.5, 1025),
        constant(1.0, 50_000),
        clipped,
        faint,
        (0..4097).map(|n| if n == 4000 { 1.0 } else { 0.0 }).collect(),
    ];
    for (n, left) in songs.into_iter().enumerate() {
        let right = left.iter().map(|x| x * -0.25).collect();
        let song = Planar::from_channels(vec![left, right]);
        let stems = in_one_piece(&song);
        assert!(stems.iter().all(|stem| stem.frames() == song.frames()), "song {n}");
        assert!(stems.iter().flat_map(|s| s.channels()).flatten().all(|x| x.is_finite()));
        assert!(largest_residual(&stems, &song) <= 2.0 * f32::EPSILON, "song {n}");
    }
}

#[test]
fn what_is_no_number_is_muted_where_it_stands() {
    let mut broken = song(30_000);
    broken.channels_mut()[0][10_000] = f32::NAN;
    broken.channels_mut()[1][20_000] = f32::NEG_INFINITY;
    let stems = in_one_piece(&broken);
    assert!(stems.iter().flat_map(|s| s.channels()).flatten().all(|x| x.is_finite()));
}

#[test]
fn an_input_that_does_not_fit_is_refused() {
    let song = song(1000);
    let good = input(&song, 0..1000, 0..1000);
    let model = Spectral::new();
    for bad in [
        ChunkInput { segment_frames: 1001, ..good.clone() },
        ChunkInput { context_before_frames: usize::MAX, ..good.clone() },
        ChunkInput { start_frame: u64::MAX, ..good.clone() },
        ChunkInput { context_before_frames: 10, segment_frames: 10, ..good.clone() },
        ChunkInput { audio: Planar::silence(1, 1000), ..good.clone() },
    ] {
        assert_eq!(model.separate(&bad, &NoProgress).unwrap_err().kind, ErrorKind::Internal);
    }
}

/// Notes every report, and stops at a given look.
struct Watch {
    reports: Mutex<Vec<f32>>,
    looks_left: AtomicUsize,
}

impl Progress for Watch {
    fn report(&self, done: f32) {
        self.reports.lock().unwrap().push(done);
    }

    fn is_cancelled(&self) -> bool {
        let left = self.looks_left.load(Ordering::Relaxed);
        self.looks_left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
}

#[test]
fn it_reports_as_it_goes_and_stops_when_told() {
    let song = song(200_000);
    let all = 0..song.frames() as u64;
    let input = input(&song, all.clone(), all);
    let model = Spectral::new();

    let watch = Watch { reports: Mutex::default(), looks_left: AtomicUsize::new(usize::MAX) };
    model.separate(&input, &watch).unwrap();
    let reports = watch.reports.into_inner().unwrap();
    assert!(reports.len() > 300, "{} reports", reports.len());
    assert!(reports.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(reports.last(), Some(&1.0));

    for looks in [0, 1, 150, reports.len() - 1] {
        let watch = Watch { reports: Mutex::default(), looks_left: AtomicUsize::new(looks) };
        let error = model.separate(&input, &watch).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert_eq!(watch.reports.into_inner().unwrap().len(), looks);
    }
}
