//! Speed and memory of the main job, printed as a table: `script/bench`, or
//! `cargo bench -p integration-tests --bench main_job -- [hour]`.
//!
//! Songs are synthesised, so that anyone gets the same ones. Everything runs through the released
//! program except the waveform pyramid, which is timed through the library. `hour` adds the
//! 59-minute song, which takes some minutes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use engine::{
    store::Track,
    waveform::{Waveform, columns_from_track},
};
use integration_tests::{stemhive, synthetic_song, write_wav};
use serde_json::Value;

const RATE_HZ: u32 = 44_100;

fn main() {
    let hour = std::env::args().any(|argument| argument == "hour");
    let desk = tempfile::TempDir::new().expect("a temporary folder");
    println!("{}", machine());
    println!("{:<58} {:>12}  wanted", "what", "measured");
    main_job(desk.path(), "4-minute mp3", 240, hour);
    if hour {
        main_job(desk.path(), "59:04 mp3", 59 * 60 + 4, hour);
        pyramid(desk.path());
    }
}

fn row(what: &str, measured: &str, wanted: &str) {
    println!("{what:<58} {measured:>12}  {wanted}");
}

fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    format!("{model}, {cores} cores, {}", std::env::consts::OS)
}

/// An mp3 of `secs` seconds, made of one synthetic bar sequence after another.
fn mp3(folder: &Path, secs: usize) -> PathBuf {
    let wav = folder.join(format!("{secs}.wav"));
    write_wav(&wav, &synthetic_song(secs * RATE_HZ as usize, RATE_HZ), RATE_HZ);
    let status = stemhive()
        .arg("convert")
        .arg(&wav)
        .args(["--format", "mp3", "-o"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program starts");
    assert!(status.success(), "the song can be written as mp3");
    fs::remove_file(&wav).expect("our own file");
    folder.join(format!("{secs}.mp3"))
}

fn main_job(folder: &Path, name: &str, secs: usize, hour: bool) {
    let song = mp3(folder, secs);
    let run = |threads: &str| {
        let cache = folder.join("cache");
        let out = folder.join("out");
        let started = Instant::now();
        let mut child = stemhive()
            .arg("--cache-dir")
            .arg(&cache)
            .arg("separate")
            .arg(&song)
            .args(["--json", "--threads", threads, "-o"])
            .arg(&out)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let pid = child.id();
        let output = child.stdout.take().expect("a pipe");
        let reader = thread::spawn(move || watch(output, started));
        let mut peak_bytes = 0;
        let status = loop {
            peak_bytes = peak_bytes.max(resident_peak_bytes(pid));
            match child.try_wait().expect("our child") {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        let took = started.elapsed().as_secs_f64();
        assert!(status.success(), "the song can be separated");
        let marks = reader.join().expect("the reader");
        let _ = fs::remove_dir_all(&cache);
        let _ = fs::remove_dir_all(&out);
        (took, peak_bytes, marks)
    };
    let (two, peak_bytes, marks) = run("2");
    let x = secs as f64 / two;
    row(&format!("{name} to four WAVs, 2 threads"), &format!("{x:.1}× real"), "≥ 40× real time");
    row(
        &format!("{name}: reading it (decode, resample, hash, waveform)"),
        &format!("{:.2} s", marks.opened_secs),
        "",
    );
    row(
        &format!("{name}: from separate to the first stem audio"),
        &format!("{:.2} s", marks.first_audio_secs),
        "≤ 1 s",
    );
    row(
        &format!("{name}: from the start of the program to it"),
        &format!("{:.2} s", marks.opened_secs + marks.first_audio_secs),
        if secs < 600 { "≤ 2 s" } else { "" },
    );
    row(
        &format!("{name}: most resident memory"),
        &format!("{} MB", peak_bytes / 1_000_000),
        "≤ 600 MB",
    );
    if !hour {
        let (one, ..) = run("1");
        row(&format!("{name}: 2 threads against 1"), &format!("{:.2}×", one / two), "");
    }
}

#[derive(Debug, Default)]
struct Marks {
    opened_secs: f64,
    first_audio_secs: f64,
}

fn watch(output: impl std::io::Read, started: Instant) -> Marks {
    let mut marks = Marks::default();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        match event["event"].as_str() {
            Some("opened") => marks.opened_secs = started.elapsed().as_secs_f64(),
            Some("first_audio") => {
                marks.first_audio_secs = event["secs"].as_f64().unwrap_or(f64::NAN);
            }
            _ => {}
        }
    }
    marks
}

/// Peak resident memory so far, mapped pages included, as Linux counts it; 0 elsewhere.
fn resident_peak_bytes(pid: u32) -> u64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kb| kb.trim().parse::<u64>().ok())
        .map_or(0, |kb| kb * 1024)
}

/// The waveform of an hour of stereo: building it, and drawing it.
fn pyramid(folder: &Path) {
    const COLUMNS: usize = 1600;
    let minute = synthetic_song(60 * RATE_HZ as usize, RATE_HZ);
    let frames_per_minute = minute[0].len() as u64;
    let wave = Waveform::new();
    let started = Instant::now();
    for at in 0..60 {
        wave.extend(at * frames_per_minute, &minute);
    }
    let built = started.elapsed().as_secs_f64();
    row("1 hour: waveform pyramid, all of it at once", &format!("{built:.2} s"), "≤ 1 s");
    let mut out = Vec::new();
    let mut worst = Duration::ZERO;
    let frames = 60 * frames_per_minute;
    for zoom in 0..20 {
        let shown = (frames >> zoom).max(1) as f64;
        let started = Instant::now();
        wave.columns(0.0..shown, COLUMNS, &mut out);
        worst = worst.max(started.elapsed());
    }
    row(
        "1 hour: 1600 columns of it, worst zoom",
        &format!("{:.2} ms", worst.as_secs_f64() * 1e3),
        "≤ 8 ms a frame",
    );
    let track = Track::create(folder, "hour", 2).expect("room on the disk");
    for at in 0..60 {
        track.write(at * frames_per_minute, &minute).expect("room on the disk");
    }
    let started = Instant::now();
    columns_from_track(&track, 1_000_000.0..1_100_000.0, COLUMNS, &mut out)
        .expect("a readable track");
    row(
        "1 hour: 1600 columns from the samples themselves",
        &format!("{:.2} ms", started.elapsed().as_secs_f64() * 1e3),
        "",
    );
    // Kept so that the linker keeps the work.
    assert_eq!(out.len(), COLUMNS);
}
