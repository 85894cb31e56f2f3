//! The scores of the shipped separator on real multitracks, against what costs nothing.

use std::path::{Path, PathBuf};

use engine::{
    ErrorKind,
    engine::{Engine, EngineConfig},
    eval::{self, Score, SongScores},
};

fn engine(dir: &Path) -> Engine {
    Engine::new(&EngineConfig {
        cache_dir: dir.join("cache"),
        data_dir: dir.join("data"),
        cache_cap_bytes: 4 << 30,
        threads: None,
        ..EngineConfig::default()
    })
    .unwrap()
}

fn shared_audio() -> Option<PathBuf> {
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

#[test]
fn the_classical_model_beats_the_mixture_on_every_class_and_a_quarter_of_it_on_the_mean() {
    let Some(shared) = shared_audio() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rows = eval::evaluate(
        &engine(dir.path()),
        &shared.join("multitracks"),
        &["spectral".into()],
        &mut |_| (),
    )
    .unwrap();
    for system in ["spectral", "mixture", "mixture / 4", "ideal ratio mask"] {
        println!(
            "{system}, global and median: {:.2?}",
            eval::means(&rows, system).map(Option::unwrap)
        );
    }
    let global = |system: &str| eval::means(&rows, system).map(|class| class.unwrap()[0]);
    let mean = |system: &str| global(system).iter().sum::<f64>() / 4.0;
    for (ours, mixture) in global("spectral").iter().zip(global("mixture")) {
        assert!(*ours > mixture + 3.0, "{ours} against {mixture}");
    }
    assert!(mean("spectral") > mean("mixture / 4") + 3.0);
    assert!(mean("ideal ratio mask") > mean("spectral") + 3.0);
}

/// Songs that nothing of ours was made or chosen on.
const UNSEEN: [&str; 2] = ["eif_hydrogen", "mdn_multitrack"];

#[test]
fn the_default_model_beats_the_classical_one_on_every_class() {
    let Some(shared) = shared_audio() else { return };
    let dir = tempfile::tempdir().unwrap();
    let songs = dir.path().join("songs");
    for song in UNSEEN {
        std::fs::create_dir_all(songs.join(song)).unwrap();
        for file in std::fs::read_dir(shared.join("multitracks").join(song)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), songs.join(song).join(file.file_name())).unwrap();
        }
    }
    let engine = engine(dir.path());
    let default = engine.default_model().name;
    let models = [default.clone(), "spectral".into()];
    let rows = eval::evaluate(&engine, &songs, &models, &mut |_| ()).unwrap();
    let means = |system: &str| eval::means(&rows, system).map(Option::unwrap);
    for system in [&default, "spectral", "mixture", "mixture / 4", "ideal ratio mask"] {
        println!("{system}, global and median: {:.2?}", means(system));
    }
    let mean = |system: &str| means(system).iter().map(|class| class[0]).sum::<f64>() / 4.0;
    for ([ours, _], [theirs, _]) in means(&default).iter().zip(means("spectral")) {
        assert!(*ours > theirs + 0.5, "{ours} against {theirs}");
    }
    assert!(mean(&default) > mean("spectral") + 2.5);
    assert!(mean("ideal ratio mask") > mean(&default) + 3.0);
}

/// A second of a square wave of the given height.
fn write(dir: &Path, name: &str, height: f32) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut wav = hound::WavWriter::create(dir.join(name), spec).unwrap();
    for n in 0..2 * 44_100 {
        wav.write_sample(if n / 100 % 2 == 0 { height } else { -height }).unwrap();
    }
    wav.finalize().unwrap();
}

#[test]
fn scores_are_as_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let song = dir.path().join("songs/square");
    std::fs::create_dir_all(&song).unwrap();
    write(&song, "mixture.wav", 0.5);
    write(&song, "drums.wav", 0.4);
    write(&song, "bass.wav", 0.1);
    let engine = engine(dir.path());
    let rows = eval::evaluate(&engine, &dir.path().join("songs"), &[], &mut |_| ()).unwrap();
    let scores = |system: &str| -> [Score; 4] {
        rows.iter().find(|row: &&SongScores| row.system == system).unwrap().scores
    };
    let is = |score: Score, db: f64| match score {
        Score::Distortion { global_db, median_db } => {
            assert!((global_db - db).abs() < 1e-3 && (median_db - db).abs() < 1e-3, "{score:?}");
        }
        Score::Leakage { db: leak } => assert!((leak - db).abs() < 1e-3, "{score:?}"),
    };
    is(scores("mixture")[0], 20.0 * 4.0f64.log10());
    is(scores("mixture")[1], -20.0 * 4.0f64.log10());
    is(scores("mixture")[3], 0.0);
    is(scores("mixture / 4")[2], -20.0 * 4.0f64.log10());
    is(scores("mixture / 4")[0], 20.0 * (0.4f64 / 0.275).log10());
}

#[test]
fn a_folder_without_multitracks_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let error = eval::evaluate(&engine, dir.path(), &[], &mut |_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

/// What `museval.evaluate(references, estimates, win=44100, hop=44100, mode="v4")` of museval 0.4
/// says of a quarter of the mixture as the estimate of each of four stems of noise, the second of
/// which is silent for a second.
#[test]
fn medians_are_those_of_museval() {
    let dir = tempfile::tempdir().unwrap();
    let song = dir.path().join("multitracks/noise");
    std::fs::create_dir_all(&song).unwrap();
    let frames = 4 * 44_100 + 20_000;
    let mut mixture = vec![0.0f64; 2 * frames];
    for (n, name) in (1u32..).zip(["drums", "bass", "other", "vocals"]) {
        let mut state = n;
        let planar: Vec<f32> = (0..2 * frames)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f64::from(state >> 8) / 8_388_608.0 - 1.0;
                let second = at % frames / 44_100;
                let silent = n == 2 && second == 1;
                let loud = (noise * 0.05 * f64::from(n)) as f32 * (second + 1) as f32;
                if silent { 0.0 } else { loud }
            })
            .collect();
        for (sum, x) in mixture.iter_mut().zip(&planar) {
            *sum += f64::from(*x);
        }
        write_planar(&song, name, &planar);
    }
    write_planar(&song, "mixture", &mixture.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let rows =
        eval::evaluate(&engine(dir.path()), &dir.path().join("multitracks"), &[], &mut |_| ());
    let medians = eval::means(&rows.unwrap(), "mixture / 4").map(|class| class.unwrap()[1]);
    let museval = [-3.752_782_68, 0.145_537_6, 1.503_086_48, 2.099_712_58];
    for (ours, museval) in medians.into_iter().zip(museval) {
        assert!((ours - museval).abs() < 1e-4, "{medians:?}");
    }
}

/// Left, then right, as stereo.
fn write_planar(dir: &Path, name: &str, planar: &[f32]) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut wav = hound::WavWriter::create(dir.join(format!("{name}.wav")), spec).unwrap();
    let (left, right) = planar.split_at(planar.len() / 2);
    for (left, right) in left.iter().zip(right) {
        wav.write_sample(*left).unwrap();
        wav.write_sample(*right).unwrap();
    }
    wav.finalize().unwrap();
}
