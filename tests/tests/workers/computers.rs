//! A main PC and workers as real processes with homes of their own.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use integration_tests::{stemhive_path, stemhive_worker_path, synthetic_song, write_wav};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock::Clock;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

/// A song that keeps two slow threads busy for a while.
pub(crate) fn song(dir: &Path, secs: usize) -> PathBuf {
    let path = dir.join(format!("song-{secs}.wav"));
    write_wav(&path, &synthetic_song(secs * 44_100, 44_100), 44_100);
    path
}

/// The files a separation wrote, by name.
pub(crate) fn stems(dir: &Path) -> BTreeMap<String, blake3::Hash> {
    std::fs::read_dir(dir)
        .expect("the stems are there")
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, blake3::hash(&std::fs::read(path).expect("a readable file")))
        })
        .collect()
}

/// What a song of so many seconds gives on one computer alone; computed once for all tests.
fn stems_alone(secs: usize) -> BTreeMap<String, blake3::Hash> {
    static KNOWN: Mutex<BTreeMap<usize, BTreeMap<String, blake3::Hash>>> =
        Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("no other test failed here");
    known
        .entry(secs)
        .or_insert_with(|| {
            let main = MainPc::new();
            let song = song(main.dir(), secs);
            main.separate(&song, &main.path("alone"), &["--workers", "none"]).finish();
            stems(&main.path("alone").join(format!("song-{secs}")))
        })
        .clone()
}

/// Separates songs with `workers`, longer and longer ones, until they had part in it, which cannot be
/// known beforehand: `meanwhile` is called once one of them has done a piece. The stems must be
/// those of one computer alone. What was told of the song that they had part in.
pub(crate) fn separates_as_alone<const N: usize>(
    main: &MainPc,
    mut workers: [&mut Worker; N],
    mut meanwhile: impl FnMut(&mut Job, &mut [&mut Worker; N]),
) -> Value {
    for secs in [60, 240, 960] {
        let alone = stems_alone(secs);
        let song = song(main.dir(), secs);
        let mut job = main.separate(&song, &main.path("together"), &["--workers", "all"]);
        // After the main PC: who finds nobody tries less and less often.
        workers.iter_mut().for_each(|worker| worker.run());
        let helped = job.wait_for_piece_elsewhere();
        if helped {
            meanwhile(&mut job, &mut workers);
        }
        let done = job.finish();
        let together = stems(&main.path("together").join(format!("song-{secs}")));
        main.forget_songs();
        assert_eq!(together, alone, "{done}");
        if helped {
            return done;
        }
    }
    panic!("the workers never got a piece");
}

/// A UDP port that no other test of this process has, and that is free.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id() as u16 % 1_000) * 10 + n;
        if UdpSocket::bind(("::", port)).or_else(|_| UdpSocket::bind(("0.0.0.0", port))).is_ok() {
            return port;
        }
    }
}

/// `program`, run in a network namespace if there is one.
fn program_in(namespace: Option<&str>, program: PathBuf) -> Command {
    let Some(namespace) = namespace else { return Command::new(program) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// A computer with songs, and its home.
pub(crate) struct MainPc {
    home: TempDir,
    port: u16,
    namespace: Option<String>,
    clock: Option<Clock>,
}

impl MainPc {
    pub(crate) fn new() -> Self {
        Self::new_in(None)
    }

    /// One in a network namespace.
    pub(crate) fn new_in(namespace: Option<&str>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        Self { home, port: free_port(), namespace: namespace.map(str::to_owned), clock: None }
    }

    /// One whose clock can be set.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::new() }
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("it has one")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn stemhive(&self) -> Command {
        let mut command = program_in(self.namespace.as_deref(), stemhive_path());
        command
            .current_dir(self.dir())
            .env("HOME", self.dir())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("STEMHIVE_CACHE", self.path("cache"))
            .env("STEMHIVE_DATA", self.path("data"))
            .env("STEMHIVE_PORT", self.port.to_string())
            .env_remove("STEMHIVE_MODEL_LIST")
            .envs(self.clock.iter().flat_map(Clock::environment))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; what it wrote.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.stemhive().args(args).output().expect("stemhive runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}{errors}");
        said
    }

    /// Everything decoded and separated so far is forgotten.
    pub(crate) fn forget_songs(&self) {
        self.run(&["cache", "--clear"]);
    }

    /// Begins to separate.
    pub(crate) fn separate(&self, song: &Path, output: &Path, args: &[&str]) -> Job {
        self.separate_by(1, song, output, args)
    }

    /// The same with so many threads of its own.
    pub(crate) fn separate_by(
        &self,
        threads: usize,
        song: &Path,
        output: &Path,
        args: &[&str],
    ) -> Job {
        let mut command = self.stemhive();
        command
            .arg("separate")
            .arg(song)
            .arg("--output")
            .arg(output)
            .args(["--json", "--overwrite", "--threads", &threads.to_string()])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (child, lines) = Job::begin(&mut command);
        Job { command, child, lines, done: None, pieces_elsewhere: 0 }
    }

    /// Listens for workers until one is connected.
    pub(crate) fn wait_for(&self, worker: &Worker) {
        let mut listening = self
            .stemhive()
            .args(["workers", "pair", "--yes"])
            .stdout(Stdio::null())
            .spawn()
            .expect("stemhive starts");
        let begun = Instant::now();
        while !worker.is_connected() {
            assert!(begun.elapsed() < PATIENCE, "the worker does not come back");
            std::thread::sleep(Duration::from_millis(100));
        }
        end(&mut listening);
    }
}

/// A separation under way.
pub(crate) struct Job {
    command: Command,
    child: Child,
    lines: BufReader<ChildStdout>,
    done: Option<Value>,
    /// Of those, as it last told.
    pieces_elsewhere: u64,
}

impl Job {
    fn begin(command: &mut Command) -> (Child, BufReader<ChildStdout>) {
        let mut child = command.spawn().expect("stemhive starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        (child, lines)
    }

    /// As if the power failed, and came back.
    pub(crate) fn kill_and_begin_again(&mut self) {
        end(&mut self.child);
        (self.child, self.lines) = Self::begin(&mut self.command);
        self.done = None;
    }

    /// As if the computer hung for a while.
    pub(crate) fn freeze_for(&self, time: Duration) {
        let signal = |name: &str| {
            let pid = self.child.id().to_string();
            let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
            assert!(sent.success());
        };
        signal("-STOP");
        std::thread::sleep(time);
        signal("-CONT");
    }

    /// The next thing it tells; none at its end.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("readable lines");
        if line.is_empty() {
            return None;
        }
        let value: Value = serde_json::from_str(&line).expect("JSON");
        if value["event"] == "done" {
            self.done = Some(value.clone());
        }
        self.pieces_elsewhere = self.pieces_elsewhere.max(pieces_elsewhere(&value));
        Some(value)
    }

    /// Waits until another computer did a piece; whether one did before the end.
    pub(crate) fn wait_for_piece_elsewhere(&mut self) -> bool {
        let before = self.pieces_elsewhere;
        self.wait_for(|_| false, |job| job.pieces_elsewhere > before)
    }

    /// Waits until it notes something in which there is `text`; whether it did before the end.
    pub(crate) fn wait_for_note(&mut self, text: &str) -> bool {
        let is_it = |value: &Value| value["text"].as_str().is_some_and(|said| said.contains(text));
        self.wait_for(|value| value["event"] == "note" && is_it(value), |_| false)
    }

    fn wait_for(&mut self, told: impl Fn(&Value) -> bool, stands: impl Fn(&Self) -> bool) -> bool {
        while self.done.is_none() {
            let Some(value) = self.next() else { return false };
            if told(&value) || stands(self) {
                return true;
            }
        }
        false
    }

    /// Waits for its end, which must be good; what it told of it.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Value {
        while self.next().is_some() {}
        let status = self.child.wait().expect("our child");
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut errors);
        }
        assert!(status.success(), "separating failed: {errors}");
        self.done.take().expect("a song was done")
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Pieces that other computers did, as a line of `separate --json` tells.
fn pieces_elsewhere(line: &Value) -> u64 {
    line["pieces_elsewhere"].as_u64().unwrap_or(0)
}

/// A spare computer, its home, and its program while it runs.
pub(crate) struct Worker {
    home: TempDir,
    name: String,
    namespace: Option<String>,
    clock: Option<Clock>,
    running: Option<Child>,
}

impl Worker {
    /// Not paired yet.
    pub(crate) fn new(name: &str, namespace: Option<&str>) -> Self {
        Self::at_home(name, namespace, tempfile::tempdir().expect("a folder"))
    }

    fn at_home(name: &str, namespace: Option<&str>, home: TempDir) -> Self {
        let namespace = namespace.map(str::to_owned);
        Self { home, name: name.into(), namespace, clock: None, running: None }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("it has one")
    }

    /// Whether it is connected to a main PC.
    fn is_connected(&self) -> bool {
        let output = self.command().args(["status", "--json"]).output().expect("it runs");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mains = status["worker"]["mains"].as_array();
        mains.is_some_and(|mains| mains.iter().any(|main| main["state"] == "connected"))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = program_in(self.namespace.as_deref(), stemhive_worker_path());
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("STEMHIVE_WORKER_DATA_DIR", self.home.path().join("data"))
            .envs(self.clock.iter().flat_map(Clock::environment))
            .stdin(Stdio::null());
        command
    }

    /// Paired by `stemhive workers ticket` and `stemhive-worker join --ticket`.
    pub(crate) fn paired_by_ticket(main: &MainPc, name: &str) -> Self {
        Self::paired_in(main, name, None)
    }

    /// The same in a network namespace.
    pub(crate) fn paired_in(main: &MainPc, name: &str, namespace: Option<&str>) -> Self {
        let worker = Self::new(name, namespace);
        worker.pair_by_ticket(main, |_| {});
        worker
    }

    /// The same with a clock that can be set.
    pub(crate) fn paired_with_clock(main: &MainPc, name: &str, clock: Clock) -> Self {
        let mut worker = Self::new(name, None);
        worker.clock = Some(clock);
        worker.pair_by_ticket(main, |_| {});
        worker
    }

    /// Paired by a ticket that was first tried when it was no good: after the main PC's clock jumped
    /// by so many seconds.
    pub(crate) fn paired_after_jump(main: &MainPc, name: &str, jump_secs: i64) -> Self {
        let worker = Self::new(name, None);
        worker.pair_by_ticket(main, |ticket| {
            main.clock().jump(jump_secs);
            let tried = worker.try_join(&["--ticket"], ticket);
            assert!(tried.is_err(), "the ticket was good {jump_secs} s off");
            main.clock().jump(0);
        });
        worker
    }

    /// The same with its home on the disk that `dir` is on.
    pub(crate) fn paired_on_disk(main: &MainPc, name: &str, dir: &Path) -> Self {
        let home = tempfile::tempdir_in(dir).expect("a folder");
        let worker = Self::at_home(name, None, home);
        worker.pair_by_ticket(main, |_| {});
        worker
    }

    /// Pairs; `meanwhile` is given the ticket before it is used.
    fn pair_by_ticket(&self, main: &MainPc, meanwhile: impl FnOnce(&str)) {
        let mut waiting = main
            .stemhive()
            .args(["workers", "ticket", "--yes"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("stemhive starts");
        let mut lines = BufReader::new(waiting.stdout.take().expect("a pipe"));
        let mut ticket = String::new();
        while !ticket.starts_with("stemhive1") {
            ticket.clear();
            assert!(lines.read_line(&mut ticket).expect("readable lines") > 0, "a ticket");
        }
        meanwhile(&ticket);
        self.join(&["--ticket"], &ticket);
        // It may go on to tell that the ticket was used.
        let _ = std::io::copy(&mut lines, &mut std::io::sink());
        assert!(waiting.wait().expect("our child").success());
    }

    /// Paired by `stemhive workers pair` and the code it shows.
    pub(crate) fn paired_by_code(main: &MainPc, name: &str) -> Self {
        let worker = Self::new(name, None);
        let mut waiting = main
            .stemhive()
            .args(["workers", "pair", "--yes"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("stemhive starts");
        let mut lines = BufReader::new(waiting.stdout.take().expect("a pipe"));
        let code = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("readable lines") > 0, "a code");
            let digits: String = line.chars().filter(char::is_ascii_digit).collect();
            if line.to_lowercase().contains("code") && digits.len() == 6 {
                break digits;
            }
        };
        worker.join(&[&format!("127.0.0.1:{}", main.port)], &code);
        let _ = std::io::copy(&mut lines, &mut std::io::sink());
        assert!(waiting.wait().expect("our child").success());
        worker
    }

    /// Runs `join`, with `input` on its standard input.
    #[track_caller]
    pub(crate) fn join(&self, args: &[&str], input: &str) {
        self.try_join(args, input).unwrap_or_else(|said| panic!("joining failed: {said}"));
    }

    /// What it said if it failed.
    fn try_join(&self, args: &[&str], input: &str) -> Result<(), String> {
        let mut child = self
            .command()
            .args(["join", "--name", &self.name])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("stemhive-worker starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(format!("{}\n", input.trim()).as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{said}{errors}")) }
    }

    /// Starts to work, anew if need be, whatever anybody does on this computer.
    pub(crate) fn run(&mut self) {
        if let Some(mut before) = self.running.take() {
            end(&mut before);
        }
        let child = self
            .command()
            .args([
                "run",
                "--threads",
                "1",
                "--nice",
                "0",
                "--pause-when-used",
                "no",
                "--pause-on-battery",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("stemhive-worker starts");
        self.running = Some(child);
    }

    pub(crate) fn pid(&self) -> String {
        self.running.as_ref().expect("it runs").id().to_string()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// As if the plug was pulled.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.running.as_mut().expect("it runs").wait().expect("our child");
        self.running = None;
    }

    /// As if it hung.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Told to end; it must do so by itself, and well.
    pub(crate) fn stop_politely(&mut self) {
        self.signal("-TERM");
        let status = self.running.as_mut().expect("it runs").wait().expect("our child");
        assert!(status.success(), "{status}");
        self.running = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It may be over already.
    let _ = child.kill();
    let _ = child.wait();
}
