//! The command line as a user or a script meets it: every subcommand on small songs, exit statuses,
//! JSON, names, and runs that are killed and started again.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use integration_tests::{stemhive, synthetic_song, write_wav};
use serde_json::Value;
use tempfile::TempDir;

const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// A folder with a cache of its own and songs to work on.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A stereo song of `frames` frames at 44.1 kHz.
    fn song(&self, name: &str, frames: usize) -> PathBuf {
        let path = self.path(name);
        write_wav(&path, &synthetic_song(frames, 44_100), 44_100);
        path
    }

    fn stemhive(&self) -> Command {
        let mut command = stemhive();
        command.arg("--cache-dir").arg(self.path("cache")).stdin(Stdio::null());
        command
    }
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8 output");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}")))
        .collect()
}

fn events<'a>(lines: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["event"] == event)
}

/// Samples of a WAV as f64, interleaved, with its rate and channels.
fn read_wav(path: &Path) -> (hound::WavSpec, Vec<f64>) {
    let mut reader =
        hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    let samples = match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.samples::<f32>().map(|s| f64::from(s.expect("samples"))).collect()
        }
        hound::SampleFormat::Int => {
            let scale = f64::from(1u32 << (spec.bits_per_sample - 1));
            reader.samples::<i32>().map(|s| f64::from(s.expect("samples")) / scale).collect()
        }
    };
    (spec, samples)
}

#[test]
fn separate_writes_stems_that_add_up_to_the_song() {
    let desk = Desk::new();
    let song = desk.song("A song.wav", 44_100 * 3 + 7);
    let out = desk.path("out");
    let (status, stdout, stderr) =
        run(desk.stemhive().arg("separate").arg(&song).arg("-o").arg(&out).args(["--bits", "32f"]));
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(stdout.lines().count(), 4, "one path per file: {stdout}");
    let (_, mixture) = read_wav(&song);
    let mut sum = vec![0.0; mixture.len()];
    for stem in STEMS {
        let (spec, samples) = read_wav(&out.join("A song").join(format!("{stem}.wav")));
        assert_eq!((spec.channels, spec.sample_rate), (2, 44_100));
        assert_eq!(samples.len(), mixture.len(), "{stem} is as long as the song");
        for (sum, sample) in sum.iter_mut().zip(samples) {
            *sum += sample;
        }
    }
    let worst = sum.iter().zip(&mixture).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-6, "the stems add up to the song, but for {worst}");
}

#[test]
fn every_format_and_choice_of_stems_is_written() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 44_100);
    for (format, extension) in [("wav", "wav"), ("flac", "flac"), ("mp3", "mp3"), ("ogg", "ogg")] {
        let out = desk.path(format);
        let (status, _, stderr) = run(desk
            .stemhive()
            .arg("separate")
            .arg(&song)
            .arg("-o")
            .arg(&out)
            .args(["--format", format, "--stems", "vocals,drums"]));
        assert_eq!(status, 0, "{stderr}");
        let mut names: Vec<_> = std::fs::read_dir(out.join("s"))
            .expect("the song's folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        assert_eq!(names, [format!("drums.{extension}"), format!("vocals.{extension}")]);
        let written = out.join("s").join(&names[0]);
        let (status, stdout, _) = run(desk.stemhive().arg("info").arg(written).arg("--json"));
        assert_eq!(status, 0);
        assert_eq!(json_lines(&stdout)[0]["frames"], 44_100, "{format} keeps the length");
    }
}

#[test]
fn a_rate_and_channel_count_that_come_in_go_out() {
    let desk = Desk::new();
    let path = desk.path("mono 48k.wav");
    let [left, _] = synthetic_song(48_000 * 2 + 1, 48_000);
    write_wav(&path, &[left], 48_000);
    let out = desk.path("out");
    let (status, _, stderr) = run(desk.stemhive().arg("separate").arg(&path).arg("-o").arg(&out));
    assert_eq!(status, 0, "{stderr}");
    for stem in STEMS {
        let (spec, samples) = read_wav(&out.join("mono 48k").join(format!("{stem}.wav")));
        assert_eq!((spec.channels, spec.sample_rate), (1, 48_000));
        assert_eq!(samples.len(), 48_000 * 2 + 1);
    }
}

#[test]
fn one_bad_song_does_not_stop_the_others() {
    let desk = Desk::new();
    let good = desk.song("夜の列車.wav", 30_000);
    let bad = desk.path("letter.mp3");
    std::fs::write(&bad, "Dear musician, this is not a song.").expect("a writable folder");
    let missing = desk.path("missing.flac");
    let out = desk.path("out");
    let (status, stdout, stderr) = run(desk
        .stemhive()
        .arg("separate")
        .args([&bad, &missing, &good])
        .arg("-o")
        .arg(&out)
        .arg("--json"));
    assert_eq!(status, 1, "{stderr}");
    let lines = json_lines(&stdout);
    let failed: Vec<_> = events(&lines, "error").collect();
    assert_eq!(failed.len(), 2, "{stdout}");
    assert!(failed[0]["what"].as_str().expect("text").contains("letter.mp3"));
    assert_eq!(failed[1]["kind"], "NotFound");
    assert_eq!(events(&lines, "done").count(), 1);
    assert!(out.join("夜の列車").join("vocals.wav").is_file());
}

#[test]
fn nothing_is_overwritten_without_being_told() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 20_000);
    let out = desk.path("out");
    let separate = |extra: &[&str]| {
        let mut command = desk.stemhive();
        command.arg("separate").arg(&song).arg("-o").arg(&out).args(["--stems", "bass"]);
        assert_eq!(run(command.args(extra)).0, 0);
    };
    separate(&[]);
    let first = out.join("s").join("bass.wav");
    std::fs::write(&first, "mine").expect("a writable folder");
    separate(&[]);
    assert_eq!(std::fs::read(&first).expect("still there"), b"mine");
    assert!(out.join("s").join("bass 2.wav").is_file());
    separate(&["--overwrite"]);
    assert_ne!(std::fs::read(&first).expect("still there"), b"mine");

    let mix = desk.path("mix.wav");
    std::fs::write(&mix, "mine").expect("a writable folder");
    let (status, _, stderr) =
        run(desk.stemhive().arg("mix").arg(&song).args(["--mute", "vocals", "-o"]).arg(&mix));
    assert_eq!(status, 1);
    assert!(stderr.contains("exists already") && stderr.contains("--overwrite"), "{stderr}");
    assert_eq!(std::fs::read(&mix).expect("still there"), b"mine");
}

#[test]
fn a_mix_is_the_stems_it_names() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 44_100);
    let out = desk.path("out");
    let float = ["--bits", "32f"];
    assert_eq!(
        run(desk.stemhive().arg("separate").arg(&song).arg("-o").arg(&out).args(float)).0,
        0
    );
    let stem = |name: &str| read_wav(&out.join("s").join(format!("{name}.wav"))).1;
    let mix = |name: &str, choice: &[&str]| {
        let path = desk.path(name);
        let mut command = desk.stemhive();
        let (status, _, stderr) =
            run(command.arg("mix").arg(&song).args(choice).arg("-o").arg(&path).args(float));
        assert_eq!(status, 0, "{stderr}");
        read_wav(&path).1
    };
    let close = |a: &[f64], b: Vec<f64>| {
        assert_eq!(a.len(), b.len());
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "off by {worst}");
    };
    let sum = |names: &[&str]| {
        names
            .iter()
            .map(|name| stem(name))
            .reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect())
    };
    close(
        &mix("no vocals.wav", &["--mute", "vocals"]),
        sum(&["drums", "bass", "other"]).expect("stems"),
    );
    close(&mix("{rhythm}.wav", &["--solo", "drums,bass"]), sum(&["drums", "bass"]).expect("stems"));
    let softer = 10f64.powf(-6.0 / 20.0);
    close(
        &mix("soft.wav", &["--solo", "drums", "--gain", "drums=-6"]),
        stem("drums").iter().map(|s| s * softer).collect(),
    );
}

#[test]
fn convert_keeps_every_sample() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 12_345);
    let out = desk.path("out");
    let (status, _, stderr) = run(desk
        .stemhive()
        .arg("convert")
        .arg(&song)
        .args(["--format", "flac", "--bits", "16", "-o"])
        .arg(&out));
    assert_eq!(status, 0, "{stderr}");
    let back = desk.path("back");
    let (status, _, stderr) = run(desk
        .stemhive()
        .arg("convert")
        .arg(out.join("s.flac"))
        .args(["--format", "wav", "--bits", "16", "-o"])
        .arg(&back));
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(read_wav(&back.join("s.wav")).1, read_wav(&song).1);
}

#[test]
fn usage_errors_exit_with_2_and_say_why() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 1_000);
    let song = song.to_str().expect("UTF-8");
    for (arguments, hint) in [
        (vec!["separate"], "SONG"),
        (vec!["separate", song, "--stems", "kazoo"], "no such stem"),
        (vec!["separate", song, "--format", "flac", "--bits", "32f"], "FLAC"),
        (vec!["separate", song, "--format", "mp3", "--bits", "16"], "--bits"),
        (vec!["separate", song, "--threads", "0"], "threads"),
        (vec!["cache", "--cache-size", "nan"], "gigabytes"),
        (vec!["cache", "--cache-size=-1"], "gigabytes"),
        (vec!["separate", song, "--model", "nonesuch"], "nonesuch"),
        (vec!["mix", song, "--gain", "drums=loud", "-o", "x.wav"], "loud"),
        (vec!["mix", song, "--mute", "piano", "-o", "x.wav"], "piano"),
        (vec!["mix", song, "-o", "x.doc"], ".doc"),
        (vec!["convert", song, "--format", "opus"], "opus"),
    ] {
        let (status, _, stderr) = run(desk.stemhive().args(&arguments));
        assert_eq!(status, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(hint), "{arguments:?}: {stderr}");
    }
}

#[test]
fn models_and_cache_tell_what_there_is() {
    let desk = Desk::new();
    let (status, stdout, _) = run(desk.stemhive().args(["models", "--json"]));
    assert_eq!(status, 0);
    let models = json_lines(&stdout);
    assert!(
        models.iter().any(|m| m["name"] == "spectral" && m["stems"][3] == "vocals"),
        "{stdout}"
    );

    let song = desk.song("s.wav", 44_100);
    let out = desk.path("out");
    assert_eq!(run(desk.stemhive().arg("separate").arg(&song).arg("-o").arg(&out)).0, 0);
    let cache = |arguments: &[&str]| {
        let (status, stdout, stderr) = run(desk.stemhive().arg("cache").args(arguments));
        assert_eq!(status, 0, "{stderr}");
        json_lines(&stdout).remove(0)
    };
    let full = cache(&["--json"]);
    assert_eq!((&full["songs"], &full["jobs"]), (&1.into(), &1.into()));
    // The song and four stems, stereo f32.
    assert!(full["bytes"].as_u64().expect("a number") >= 5 * 2 * 4 * 44_100);
    let empty = cache(&["--clear", "--json"]);
    assert_eq!((&empty["songs"], &empty["jobs"]), (&0.into(), &0.into()));
    assert_eq!(empty["bytes"], 0);
}

/// Pieces that a run computed.
fn computed(lines: &[Value]) -> Vec<u64> {
    events(lines, "piece").map(|piece| piece["index"].as_u64().expect("an index")).collect()
}

#[test]
fn the_same_song_is_never_separated_twice() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 44_100 * 2);
    let copy = desk.path("copy under another name.wav");
    std::fs::copy(&song, &copy).expect("a copy");
    let separate = |song: &Path, out: &str| {
        let (status, stdout, stderr) = run(desk
            .stemhive()
            .arg("separate")
            .arg(song)
            .arg("-o")
            .arg(desk.path(out))
            .arg("--json"));
        assert_eq!(status, 0, "{stderr}");
        json_lines(&stdout)
    };
    assert!(!computed(&separate(&song, "first")).is_empty());
    assert!(computed(&separate(&song, "second")).is_empty());
    assert!(computed(&separate(&copy, "third")).is_empty());
}

#[test]
fn killed_at_any_moment_only_missing_pieces_are_computed_and_samples_are_the_same() {
    let desk = Desk::new();
    let song = desk.song("s.wav", 44_100 * 100);
    let command = |cache: &str, out: &Path| {
        let mut command = stemhive();
        command
            .arg("--cache-dir")
            .arg(desk.path(cache))
            .arg("separate")
            .arg(&song)
            .args(["--json", "--bits", "32f", "-o"])
            .arg(out)
            .stdin(Stdio::null());
        command
    };
    let untouched = desk.path("untouched");
    assert_eq!(run(command("cache 1", &untouched).args(["--threads", "2"])).0, 0);

    // Killed after every second piece, so at different places in its work.
    let out = desk.path("killed");
    let mut pieces = HashSet::new();
    let mut kills = 0;
    loop {
        let mut child = command("cache 2", &out)
            .args(["--threads", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut heard = 0;
        let mut line = String::new();
        while heard < 2 && reader.read_line(&mut line).expect("text") > 0 {
            let event: Value = serde_json::from_str(&line).expect("JSON");
            line.clear();
            if event["event"] == "piece" {
                heard += 1;
                let index = event["index"].as_u64().expect("an index");
                assert!(pieces.insert(index), "piece {index} was computed twice");
            }
        }
        if heard < 2 {
            assert!(child.wait().expect("it ends").success());
            break;
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        kills += 1;
        // What it had told of before it died counts as well.
        for line in reader.lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if event["event"] == "piece" {
                pieces.insert(event["index"].as_u64().expect("an index"));
            }
        }
    }
    assert!(kills >= 2, "it was killed {kills} times");
    for stem in STEMS {
        let name = format!("s/{stem}.wav");
        let (one, other) = (untouched.join(&name), out.join(&name));
        assert!(
            std::fs::read(one).expect("a stem") == std::fs::read(other).expect("a stem"),
            "{stem} differs after kills"
        );
    }
}
