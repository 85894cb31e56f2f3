//! Corners of the command line: names, loudness, the cache's cap, interruption, what JSON promises.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use integration_tests::{shared_audio, stemhive, synthetic_song, write_wav};
use serde_json::Value;

/// A folder with songs, results, and a cache of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A song of `secs` seconds at `rate_hz` called `name`.
    fn song(&self, name: &str, secs: f64, rate_hz: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_wav(&path, &synthetic_song((secs * f64::from(rate_hz)) as usize, rate_hz), rate_hz);
        path
    }

    /// `stemhive` with its cache and data here, run from here.
    fn stemhive(&self) -> Command {
        let mut command = stemhive();
        command
            .current_dir(self.dir.path())
            .env("STEMHIVE_CACHE", self.path("cache"))
            .env("STEMHIVE_DATA", self.path("data"))
            .env_remove("STEMHIVE_CACHE_SIZE");
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        Run::of(self.stemhive().args(args).output().unwrap())
    }

    /// Files below `folder`, as paths relative to it.
    fn files(&self, folder: &str) -> BTreeSet<String> {
        fn walk(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(root, &entry.path(), found);
                } else {
                    let relative = entry.path().strip_prefix(root).unwrap().to_owned();
                    found.insert(relative.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        let mut found = BTreeSet::new();
        let root = self.path(folder);
        walk(&root, &root, &mut found);
        found
    }
}

#[derive(Debug)]
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Every line of standard output as JSON.
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn events(&self, event: &str) -> Vec<Value> {
        self.json().into_iter().filter(|value| value["event"] == event).collect()
    }
}

fn wav(path: &Path) -> (hound::WavSpec, Vec<i32>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    (reader.spec(), reader.samples::<i32>().map(Result::unwrap).collect())
}

#[test]
fn separating_writes_a_folder_of_stems_as_long_as_the_song() {
    let place = Place::new();
    place.song("Ünïcødé — 音楽.wav", 4.0, 48_000);
    let run = place.run(&["separate", "Ünïcødé — 音楽.wav", "-o", "out"]).expect(0);
    let names = ["bass", "drums", "other", "vocals"];
    let expected: BTreeSet<_> = names.map(|s| format!("Ünïcødé — 音楽/{s}.wav")).into();
    assert_eq!(place.files("out"), expected);
    for line in run.stdout.lines() {
        let (spec, samples) = wav(&place.path(line));
        assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (48_000, 2, 24));
        assert_eq!(samples.len(), 4 * 48_000 * 2);
    }
    assert_eq!(run.stdout.lines().count(), 4);
    assert!(run.stderr.contains("Separating"), "{}", run.stderr);
}

#[test]
fn json_lines_tell_the_whole_story() {
    let place = Place::new();
    place.song("song.wav", 3.0, 44_100);
    let run = place.run(&["separate", "song.wav", "-o", "out", "--json"]).expect(0);
    assert_eq!(run.stderr, "");
    let events: Vec<_> =
        run.json().iter().map(|value| value["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events.first().unwrap(), "start");
    assert_eq!(events.last().unwrap(), "end");
    let progress = run.events("progress");
    assert!(progress.iter().all(|p| (0.0..=1.0).contains(&p["fraction"].as_f64().unwrap())));
    let stages: BTreeSet<_> =
        progress.iter().map(|p| p["stage"].as_str().unwrap().to_owned()).collect();
    assert!(stages.contains("separate"), "{stages:?}");
    let done = &run.events("done")[0];
    assert_eq!(done["song"], "song.wav");
    assert_eq!(done["files"].as_array().unwrap().len(), 4);
    assert_eq!(done["seconds"], 3.0);
    let test = &run.events("null_test")[0]["residual_db"];
    assert!(test.as_f64().is_none_or(|db| db < -90.0), "{test}");
    let indices: Vec<_> =
        run.events("piece").iter().map(|piece| piece["index"].as_u64().unwrap()).collect();
    assert_eq!(indices.len() as u64, done["pieces"].as_u64().unwrap());
    assert!(run.events("first_audio")[0]["secs"].as_f64().unwrap() > 0.0);
    assert_eq!(run.events("opened")[0]["seconds"], 3.0);
    let end = &run.events("end")[0];
    assert_eq!((&end["done"], &end["failed"]), (&1.into(), &0.into()));
}

#[test]
fn songs_of_one_name_do_not_collide() {
    let place = Place::new();
    place.song("a/song.wav", 1.0, 44_100);
    place.song("b/song.wav", 1.5, 44_100);
    let args = ["separate", "a/song.wav", "b/song.wav", "-o", "out", "--stems", "bass"];
    place.run(&args).expect(0);
    let frames = |file: &str| wav(&place.path("out").join(file)).1.len() / 2;
    assert_eq!(frames("song/bass.wav"), 44_100);
    assert_eq!(frames("song 2/bass.wav"), 66_150);

    assert_eq!(place.files("out").len(), 2);
}

#[test]
fn converting_keeps_every_sample_of_a_lossless_song() {
    let place = Place::new();
    let song = place.song("Ä song.wav", 1.3, 22_050);
    place.run(&["convert", "Ä song.wav", "--format", "flac", "-o", "out"]).expect(0);
    place.run(&["convert", "out/Ä song.flac", "--format", "wav", "-o", "back"]).expect(0);
    assert_eq!(wav(&place.path("back/Ä song.wav")), wav(&song));
    for format in ["mp3", "ogg"] {
        let run = place.run(&["convert", "Ä song.wav", "--format", format, "-o", "out", "--json"]);
        assert_eq!(run.expect(0).events("done")[0]["frames"], 28_665);
    }
    assert_eq!(place.files("cache").len(), 0, "converting needs no cache");
}

#[test]
fn info_tells_length_loudness_and_tags() {
    let place = Place::new();
    // 997 Hz in both channels at full scale is 0 LUFS by BS.1770; this is 20 dB below.
    let sine: Vec<f32> = (0..48_000 * 5)
        .map(|n| (n as f32 * 997.0 / 48_000.0 * std::f32::consts::TAU).sin() * 0.1)
        .collect();
    write_wav(&place.path("sine.wav"), &[&sine, &sine], 48_000);
    let run = place.run(&["info", "--json", "sine.wav"]).expect(0);
    let done = &run.events("done")[0];
    let near = |key: &str, value: f64, tolerance: f64| {
        let found = done[key].as_f64().unwrap();
        assert!((found - value).abs() <= tolerance, "{key}: {found}");
    };
    near("seconds", 5.0, 0.0);
    near("frames", 240_000.0, 0.0);
    near("sample_rate_hz", 48_000.0, 0.0);
    near("peak_dbfs", -20.0, 0.01);
    near("integrated_lufs", -20.0, 0.1);
    assert_eq!(done["title"], "sine");

    write_wav(&place.path("silence.wav"), &[vec![0.0; 44_100]], 44_100);
    let run = place.run(&["info", "silence.wav", "sine.wav"]).expect(0);
    assert!(run.stdout.contains("silence.wav\n") && run.stdout.contains("mono"));
    let run = place.run(&["info", "--json", "silence.wav"]).expect(0);
    assert!(run.events("done")[0]["integrated_lufs"].is_null());
    assert!(run.events("done")[0]["peak_dbfs"].is_null());
}

#[test]
fn info_reads_a_real_mp3() {
    let Some(audio) = shared_audio() else { return };
    let song = audio.join("songs/seed_test.mp3");
    let place = Place::new();
    let run = place.run(&["info", "--json", song.to_str().unwrap()]).expect(0);
    let done = &run.events("done")[0];
    assert_eq!(done["codec"], "MP3");
    assert!(done["integrated_lufs"].as_f64().is_some_and(|lufs| (-40.0..0.0).contains(&lufs)));
}

#[test]
fn models_are_listed_with_what_they_need() {
    let place = Place::new();
    let run = place.run(&["models"]).expect(0);
    assert!(run.stdout.contains("(default)") && run.stdout.contains("drums, bass, other, vocals"));
    let models = place.run(&["models", "--json"]).expect(0).json();
    assert_eq!(models.iter().filter(|model| model["default"] == true).count(), 1);
    for model in &models {
        assert_eq!(model["hash"].as_str().unwrap().len(), 64);
        assert!(model["memory_bytes"].as_u64().unwrap() > 0);
    }
    place.song("song.wav", 0.5, 44_100);
    let name = models[0]["name"].as_str().unwrap();
    place.run(&["separate", "song.wav", "--model", name]).expect(0);
}

#[test]
fn models_are_scored_on_multitracks() {
    let place = Place::new();
    let [left, right] = synthetic_song(3 * 44_100, 44_100);
    let halves =
        |gain: f32| [&left, &right].map(|c| c.iter().map(|s| s * gain).collect::<Vec<_>>());
    for (name, gain) in [("mixture", 0.5), ("drums", 0.375), ("vocals", 0.125)] {
        let path = place.path(&format!("songs/one/{name}.wav"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_wav(&path, &halves(gain), 44_100);
    }
    let lines = place.run(&["eval", "songs", "--json"]).expect(0).json();
    let of = |system: &str| lines.iter().find(|line| line["system"] == system).unwrap();
    // The mixture is 4/3 of the drums: an error of a third of them, 9.54 dB below.
    let mixture = &of("mixture")["scores"];
    let near = |value: &Value, db: f64| assert!((value.as_f64().unwrap() - db).abs() < 0.02);
    near(&mixture["drums"]["global_db"], 9.54);
    near(&mixture["vocals"]["global_db"], -9.54);
    near(&mixture["bass"]["leakage_db"], 0.0);
    assert!(of("spectral")["scores"]["vocals"]["global_db"].is_f64());
    // Both models of the program, and three references.
    assert_eq!(lines.iter().filter(|line| line["mean"] == "global").count(), 5);

    let table = place.run(&["eval", "songs", "--plot", "scores.svg"]).expect(0).stdout;
    assert!(table.lines().next().unwrap().contains("drums") && table.contains("(0.0)"), "{table}");
    let drawn = std::fs::read_to_string(place.path("scores.svg")).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
    for name in ["quick", "spectral", "mixture / 4", "ideal ratio mask", "drums", "mean", "1 songs"]
    {
        assert!(drawn.contains(name), "{name}: {drawn}");
    }
    // A bar each of five systems for drums, vocals and the mean, and a dot above the first two.
    assert_eq!(drawn.matches("<circle").count(), 10, "{drawn}");
    let again = place.run(&["eval", "songs", "--plot", "scores.svg"]).expect(1);
    assert!(again.stderr.contains("scores.svg") && again.stdout.lines().count() < 2, "{again:?}");
    assert_eq!(std::fs::read_to_string(place.path("scores.svg")).unwrap(), drawn);
    place.run(&["eval", "songs", "--models", "nonesuch"]).expect(2);
    let run = place.run(&["eval", "cache"]).expect(1);
    assert!(run.stderr.contains("no multitracks"), "{}", run.stderr);
}

#[test]
fn the_cache_is_shown_capped_and_cleared() {
    let place = Place::new();
    place.song("song.wav", 2.0, 44_100);
    let usage = |args: &[&str]| {
        place.run(&[&["cache", "--json"], args].concat()).expect(0).json().remove(0)
    };
    assert_eq!(usage(&[])["bytes"], 0);
    place.run(&["separate", "song.wav"]).expect(0);
    let full = usage(&[]);
    assert_eq!((&full["songs"], &full["jobs"]), (&1.into(), &1.into()));
    // At least the mixture and four stems in f32 stereo.
    assert!(full["bytes"].as_u64().unwrap() >= 5 * 88_200 * 8);
    assert_eq!(full["folder"].as_str().unwrap(), place.path("cache").to_str().unwrap());
    let shown = place.run(&["cache"]).expect(0).stdout;
    assert!(shown.contains(place.path("cache").to_str().unwrap()), "{shown}");

    let cleared = usage(&["--clear"]);
    assert_eq!((&cleared["bytes"], &cleared["freed_bytes"]), (&0.into(), &full["bytes"]));

    // A cache too small for the stems is an error that says so, not a broken run.
    let run = place.run(&["separate", "song.wav", "--cache-size", "0.001", "--json"]).expect(1);
    let error = &run.events("error")[0];
    assert_eq!(error["kind"], "DiskFull");
    assert!(error["kept"].is_string() && error["advice"].is_string());
}

#[test]
fn the_cache_folder_may_be_anywhere() {
    let place = Place::new();
    place.song("song.wav", 0.5, 44_100);
    place.run(&["separate", "song.wav", "--cache-dir", "élsewhere"]).expect(0);
    assert!(place.files("élsewhere").iter().any(|file| file.ends_with("song.json")));
    assert!(!place.path("cache").exists());
}

#[test]
fn wrong_usage_ends_with_status_2_and_touches_nothing() {
    let place = Place::new();
    place.song("song.wav", 0.5, 44_100);
    for args in [
        &["separate"][..],
        &["separate", "song.wav", "--stems", "kazoo"],
        &["separate", "song.wav", "--model", "nonsense"],
        &["separate", "song.wav", "--format", "mp3", "--bits", "24"],
        &["separate", "song.wav", "--format", "flac", "--bits", "32f"],
        &["separate", "song.wav", "--threads", "0"],
        &["mix", "song.wav"],
        &["mix", "song.wav", "-o", "x.txt"],
        &["mix", "song.wav", "-o", "x.wav", "--mute", "drums", "--solo", "bass"],
        &["mix", "song.wav", "-o", "x.wav", "--gain", "drums"],
        &["convert", "song.wav", "-o", "out"],
        &["info"],
        &["cache", "--wipe"],
    ] {
        let run = place.run(args).expect(2);
        assert!(!run.stderr.is_empty(), "{args:?}");
        assert_eq!(run.stdout, "", "{args:?}");
    }
    assert!(!place.path("stems").exists() && !place.path("out").exists());
    assert!(!place.path("x.wav").exists());
    assert!(place.run(&["--help"]).expect(0).stdout.contains("separate"));
}

#[test]
fn the_result_does_not_depend_on_threads() {
    let place = Place::new();
    place.song("song.wav", 12.0, 44_100);
    for threads in ["1", "3"] {
        place
            .run(&[
                "separate",
                "song.wav",
                "--threads",
                threads,
                "-o",
                threads,
                "--cache-dir",
                &format!("cache-{threads}"),
            ])
            .expect(0);
    }
    let read = |dir: &str| -> Vec<Vec<u8>> {
        place.files(dir).iter().map(|f| std::fs::read(place.path(dir).join(f)).unwrap()).collect()
    };
    assert_eq!(read("1").len(), 4);
    assert!(read("1") == read("3"), "files differ");
}

/// Starts separating and returns when its own JSON lines tell of the first piece.
fn one_piece_separated(place: &Place) -> std::process::Child {
    let mut child = place
        .stemhive()
        .args(["separate", "song.wav", "-o", "killed", "--threads", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if value["event"] == "piece" {
            return child;
        }
    }
    let status = child.wait().unwrap();
    panic!("it ended before it could be interrupted: {status}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_what_was_kept() {
    let place = Place::new();
    // Long enough that most of it is left whenever the signal arrives.
    place.song("song.wav", 120.0, 44_100);
    let child = one_piece_separated(&place);
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // Nobody reads its standard output any more; only the status is left to see.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(place.files("killed").len(), 0);
    let run = place.run(&["separate", "song.wav", "-o", "resumed", "--json"]).expect(0);
    assert!(run.events("done")[0]["resumed_pieces"].as_u64() > Some(0));
}
