//! The network of our own against PyTorch (data/band_gru/make.py), and against itself cut otherwise.

use std::path::Path;

use engine::{
    ErrorKind,
    audio::Planar,
    model::{
        ChunkInput, NoProgress, Progress, Separator, SongStats, Stem, band_gru::BandGru,
        nn::Kernels,
    },
    plan::Plan,
};
use proptest::prelude::*;
use safetensors::SafeTensors;

const NETWORKS: [&str; 2] = ["mlp", "gru"];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/band_gru");
    std::fs::read(folder.join(name)).expect("the fixture")
}

fn network(name: &str, kernels: Kernels) -> BandGru {
    let weights = file(&format!("{name}.safetensors"));
    BandGru::with_kernels(&weights, name, name, "", kernels).expect("a network")
}

/// The song of the fixture, and what PyTorch made of it.
fn reference(name: &str) -> (Planar, Vec<Planar>) {
    let bytes = file(&format!("{name}_stems.safetensors"));
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let channels = |name: &str| {
        let tensor = tensors.tensor(name).expect("there");
        let len = tensor.shape()[tensor.shape().len() - 1];
        let values = tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
        values.collect::<Vec<_>>().chunks(len).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let song = Planar::from_channels(channels("song"));
    let stems = channels("stems");
    (song, stems.chunks(2).map(|pair| Planar::from_channels(pair.to_vec())).collect())
}

/// The frames `segment` of `song` separated with so many frames around them.
fn separate(
    model: &dyn Separator,
    song: &Planar,
    segment: std::ops::Range<usize>,
    context: usize,
) -> Vec<Planar> {
    let from = segment.start.saturating_sub(context);
    let until = (segment.end + context).min(song.frames());
    let cut = |channel: &Vec<f32>| channel[from..until].to_vec();
    let input = ChunkInput {
        audio: Planar::from_channels(song.channels().iter().map(cut).collect()),
        context_before_frames: segment.start - from,
        segment_frames: segment.len(),
        start_frame: segment.start as u64,
        song: SongStats { frames: song.frames() as u64, ..SongStats::default() },
    };
    model.separate(&input, &NoProgress).expect("stems")
}

fn whole(model: &dyn Separator, song: &Planar) -> Vec<Planar> {
    separate(model, song, 0..song.frames(), 0)
}

fn energy(audio: &Planar) -> f64 {
    audio.channels().iter().flatten().map(|x| f64::from(*x).powi(2)).sum()
}

/// Energy of the difference.
fn distance(a: &Planar, b: &Planar) -> f64 {
    assert_eq!(a.frames(), b.frames());
    let pairs = a.channels().iter().flatten().zip(b.channels().iter().flatten());
    pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn snr_db(expected: &Planar, found: &Planar) -> f64 {
    10.0 * (energy(expected) / distance(expected, found).max(1e-30)).log10()
}

#[test]
fn stems_are_what_pytorch_computes_with_every_instruction_set() {
    for name in NETWORKS {
        let (song, expected) = reference(name);
        let mut fused: Option<Vec<Planar>> = None;
        for kernels in Kernels::available() {
            let stems = whole(&network(name, kernels), &song);
            for ((expected, stem), which) in expected.iter().zip(&stems).zip(Stem::ALL) {
                let snr_db = snr_db(expected, stem);
                println!("{name} {which:?} by {}: {snr_db:.1} dB", kernels.name());
                assert!(snr_db > 80.0, "{name} {which:?} by {}: {snr_db:.1} dB", kernels.name());
            }
            if kernels.fused() {
                let first = fused.get_or_insert_with(|| stems.clone());
                assert_eq!(*first, stems, "{name} by {}", kernels.name());
            }
        }
    }
}

#[test]
fn stems_add_up_to_the_mixture() {
    let (song, _) = reference("gru");
    let stems = whole(&network("gru", Kernels::detect()), &song);
    for (channel, mixture) in song.channels().iter().enumerate() {
        for (n, &x) in mixture.iter().enumerate() {
            let [drums, bass, other, vocals] = [0, 1, 2, 3].map(|s| stems[s].channel(channel)[n]);
            let sum = drums + bass + other + vocals;
            assert!((sum - x).abs() <= f32::EPSILON * x.abs().max(0.25), "{sum} for {x}");
        }
    }
}

#[test]
fn silence_stays_silence() {
    let silence = Planar::silence(2, 5000);
    let stems = whole(&network("mlp", Kernels::detect()), &silence);
    assert!(stems.iter().all(|stem| stem.channels().iter().flatten().all(|&x| x == 0.0)));
}

#[test]
fn a_cancelled_chunk_says_so() {
    struct Cancelled;
    impl Progress for Cancelled {
        fn report(&self, _done: f32) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let (song, _) = reference("mlp");
    let input = ChunkInput {
        segment_frames: song.frames(),
        context_before_frames: 0,
        start_frame: 0,
        song: SongStats { frames: song.frames() as u64, ..SongStats::default() },
        audio: song,
    };
    let error = network("mlp", Kernels::detect()).separate(&input, &Cancelled);
    assert_eq!(error.expect_err("cancelled").kind, ErrorKind::Cancelled);
}

#[test]
fn files_that_are_cut_or_of_another_kind_are_refused() {
    let good = file("gru.safetensors");
    let open = |bytes: &[u8]| BandGru::new(bytes, "x", "x", "").map(|_| ()).map_err(|e| e.kind);
    assert_eq!(open(&good), Ok(()));
    assert_eq!(open(&good[..good.len() - 2]), Err(ErrorKind::Damaged));
    assert_eq!(open(&file("gru_stems.safetensors")), Err(ErrorKind::Unsupported));
    let text = String::from_utf8_lossy(&good[8..]);
    for (from, to) in [
        ("\\\"hop\\\":128", "\\\"hop\\\":000"),
        ("[0,7]", "[1,7]"),
        ("vocals", "vocalz"),
        ("\\\"window\\\":10", "\\\"window\\\":11"),
    ] {
        assert!(text.contains(from), "{from}");
        let mut bad = good.clone();
        let at = bad.windows(from.len()).position(|w| w == from.as_bytes()).expect("there");
        bad[at..at + to.len()].copy_from_slice(to.as_bytes());
        assert_eq!(open(&bad), Err(ErrorKind::Damaged), "{to}");
    }
}

/// Chords, a bass line, beats of noise and a gliding tone with vibrato, which change all the time.
fn music(secs: usize) -> Planar {
    let rate = 44_100.0f32;
    let mut state = 1u32;
    let mut channels = [Vec::new(), Vec::new()];
    for n in 0..secs * 44_100 {
        let t = n as f32 / rate;
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        let tone = |hz: f32| (std::f32::consts::TAU * (hz * t).fract()).sin();
        let root = [110.0, 87.31, 130.81, 98.0][n / 88_200 % 4];
        let beat = noise * (-(t * 2.0).fract() * 18.0).exp();
        let bass = tone(root / 2.0) * (-(t * 4.0).fract() * 3.0).exp();
        let chord = tone(root * 2.0) + tone(root * 2.52) + tone(root * 3.0);
        let voice = tone(440.0 + 30.0 * tone(0.3)) * (0.5 + 0.5 * tone(0.7)).max(0.0);
        channels[0].push(0.2 * beat + 0.2 * bass + 0.06 * chord + 0.1 * voice);
        channels[1].push(0.15 * beat + 0.2 * bass - 0.03 * chord + 0.1 * voice);
    }
    Planar::from_channels(channels.into())
}

/// The network that comes with the program, cut as it says, against one piece.
#[test]
fn pieces_of_a_song_are_those_of_the_song_in_one_piece() {
    let model = BandGru::quick().expect("it comes with the program");
    let song = music(70);
    let plan = Plan::new(song.frames() as u64, model.info().chunks).expect("a plan");
    assert!(plan.segments().len() > 2);
    let expected = whole(model.as_ref(), &song);
    for (chunk, segment) in plan.segments().iter().enumerate() {
        let given = plan.input(chunk);
        let context = (segment.start - given.start).max(given.end - segment.end) as usize;
        let segment = segment.start as usize..segment.end as usize;
        let stems = separate(model.as_ref(), &song, segment.clone(), context);
        for (stem, expected) in stems.iter().zip(&expected) {
            for channel in 0..2 {
                assert!(stem.channel(channel) == &expected.channel(channel)[segment.clone()]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Songs of any length, down to a single sample, come out as long as they went in, and it does
    /// not matter how they are cut.
    #[test]
    fn any_length_and_any_cut_give_the_same_samples(
        frames in 1usize..6000,
        at in 0.0f64..1.0,
        which in 0usize..2,
    ) {
        let (song, _) = reference(NETWORKS[which]);
        let song = Planar::from_channels(
            song.channels().iter().map(|c| c.iter().cycle().take(frames).copied().collect()).collect(),
        );
        let model = network(NETWORKS[which], Kernels::detect());
        let stems = whole(&model, &song);
        let cut = (at * frames as f64) as usize;
        let context = model.info().chunks.context_frames as usize;
        let parts = [0..cut, cut..frames].map(|part| separate(&model, &song, part, context));
        for (stem, expected) in stems.iter().enumerate() {
            prop_assert_eq!(expected.frames(), frames);
            for channel in 0..2 {
                let joined = [parts[0][stem].channel(channel), parts[1][stem].channel(channel)];
                prop_assert!(expected.channel(channel) == joined.concat());
            }
        }
    }
}
