//! The program as the owner of a spare computer meets it.
#![cfg(target_os = "linux")]

mod rig;

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Instant,
};

use engine::{crew::DeviceId, remote::Peers};
use rig::{PATIENCE, PROGRAM, runs, send_signal, until};
use serde_json::Value;

fn worker(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env("STEMHIVE_WORKER_DATA_DIR", dir).env_remove("STEMHIVE_MODEL_LIST");
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end: status, standard output, standard error.
#[track_caller]
fn told(command: &mut Command) -> (Option<i32>, String, String) {
    let done = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// A worker that runs, and what it tells.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let polite = ["--pause-when-used", "no", "--pause-on-battery", "no", "--threads", "1"];
        let mut command = worker(dir, &["run"]);
        let mut child = command.args(polite).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line in which there is `what`.
    #[track_caller]
    fn line(&mut self, what: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref().map(Result::unwrap) {
            if line.contains(what) {
                return line;
            }
            seen.push(line);
        }
        panic!("it ended without “{what}”: {seen:?}");
    }

    #[track_caller]
    fn end(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(dir: &Path) -> Value {
    let (code, text, _) = told(&mut worker(dir, &["status", "--json"]));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(if value["running"] == true { 0 } else { 3 }));
    value
}

/// Waits until a worker that was just started tells its status.
#[track_caller]
fn has_status(dir: &Path) {
    until("the status is there", || told(&mut worker(dir, &["status", "--json"])).0 == Some(0));
}

#[test]
fn it_runs_tells_its_status_pauses_and_ends_when_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (code, text, _) = told(&mut worker(dir, &["status"]));
    assert_eq!(code, Some(3));
    assert!(text.contains("No worker runs"), "{text}");
    assert_eq!(status(dir)["running"], false);

    let mut running = Running::start(dir, &["--name", "Attic", "--memory", "512"]);
    let line = running.line("works with 1 thread");
    assert!(line.contains("“Attic”"), "{line}");
    running.line("stemhive-worker join");
    let pid = running.child.id();
    has_status(dir);
    let told_of = status(dir)["worker"].clone();
    assert_eq!(
        (told_of["pid"].as_u64(), told_of["state"].as_str()),
        (Some(pid.into()), Some("unpaired"))
    );
    assert_eq!(told_of["memory_bytes"], 512 << 20);
    assert_eq!(told_of["threads"], 1);
    let bench = told_of["bench_pid"].as_u64().unwrap() as u32;
    assert!(runs(bench));
    let fingerprint = told_of["fingerprint"].as_str().unwrap();
    let (_, text, _) = told(&mut worker(dir, &["status"]));
    assert!(text.contains("Attic") && text.contains(fingerprint), "{text}");

    let (code, _, stderr) = told(&mut worker(dir, &["run"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("runs already"), "{stderr}");

    told(&mut worker(dir, &["pause"]));
    running.line("Paused: you paused it");
    until("the status tells of the break", || status(dir)["worker"]["state"] == "paused");
    told(&mut worker(dir, &["resume"]));
    running.line("Works again");

    send_signal("-TERM", pid);
    running.line("Leaving");
    running.line("Ended");
    assert_eq!(running.end().code(), Some(0));
    assert_eq!(status(dir)["running"], false);
    until("the computing process ended too", || !runs(bench));
}

#[test]
fn its_log_can_be_json_and_ctrl_c_ends_it() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("worker.toml"), "name = \"Of the file\"\n").unwrap();
    let mut running = Running::start(temp.path(), &["--json"]);
    let ready: Value = serde_json::from_str(&running.line("")).unwrap();
    assert_eq!((&ready["event"], &ready["name"]), (&"ready".into(), &"Of the file".into()));
    assert!(ready["time"].as_str().unwrap().ends_with('Z'));
    send_signal("-INT", running.child.id());
    let ended: Value = serde_json::from_str(&running.line("ended")).unwrap();
    assert_eq!(ended["event"], "ended");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_worker_that_is_killed_leaves_no_process_and_no_lock_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut running = Running::start(temp.path(), &[]);
    running.line("works with");
    has_status(temp.path());
    let mut bench = 0;
    until("the computing process is known", || {
        bench = status(temp.path())["worker"]["bench_pid"].as_u64().unwrap_or(0) as u32;
        bench != 0
    });
    send_signal("-KILL", running.child.id());
    until("the computing process ended too", || !runs(bench));
    drop(running);
    assert_eq!(status(temp.path())["running"], false);
    Running::start(temp.path(), &[]).line("works with");
}

#[test]
fn wrong_settings_are_told_by_name() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("worker.toml"), "nice = 10\nthread = 4\n").unwrap();
    let (code, _, stderr) = told(&mut worker(temp.path(), &["run"]));
    assert_eq!(code, Some(1));
    for hint in ["worker.toml", "line 2", "thread", "To do:"] {
        assert!(stderr.contains(hint), "{stderr}");
    }
    fs::remove_file(temp.path().join("worker.toml")).unwrap();
    for wrong in [["--hours", "late"], ["--nice", "40"], ["--threads", "0"], ["--idle-io", "maybe"]]
    {
        let (code, _, stderr) = told(worker(temp.path(), &["run"]).args(wrong));
        assert_eq!(code, Some(2), "{wrong:?}: {stderr}");
    }
}

#[test]
fn secrets_are_never_arguments() {
    let temp = tempfile::tempdir().unwrap();
    for wrong in [
        vec!["join", "192.168.1.2", "123456"],
        vec!["join", "--code", "123456"],
        vec!["join", "--ticket=stemhive1-abc"],
    ] {
        assert_eq!(told(&mut worker(temp.path(), &wrong)).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn main_pcs_are_forgotten_by_name_by_fingerprint_or_all() {
    let temp = tempfile::tempdir().unwrap();
    let peers = Peers::open(temp.path()).unwrap();
    for (n, name) in (1..).zip(["Anna", "Bert", "Cleo", "Dora"]) {
        peers.add(DeviceId([n; 32]), name, Vec::new()).unwrap();
    }
    let left = || {
        peers.refresh().unwrap();
        peers.list().into_iter().map(|peer| peer.name).collect::<Vec<_>>()
    };
    let (code, text, _) = told(&mut worker(temp.path(), &["forget", "Anna"]));
    assert!(code == Some(0) && text.contains("Anna"), "{text}");
    let bert = DeviceId([2; 32]).fingerprint().replace(' ', "").to_lowercase();
    told(&mut worker(temp.path(), &["forget", &bert]));
    assert_eq!(left(), ["Cleo", "Dora"]);
    let (code, _, stderr) = told(&mut worker(temp.path(), &["forget", "Anna"]));
    assert!(code == Some(1) && stderr.contains("Cleo, Dora"), "{stderr}");
    assert_eq!(told(&mut worker(temp.path(), &["forget"])).0, Some(2));
    told(&mut worker(temp.path(), &["forget", "--all"]));
    assert!(left().is_empty());
}

#[test]
fn the_service_is_a_unit_of_the_user() {
    let temp = tempfile::tempdir().unwrap();
    let (data, config) = (temp.path().join("da\"ta 100%"), temp.path().join("config"));
    // Nowhere to be found, so that the test starts no service.
    let run = |what: &str| {
        told(worker(&data, &[what]).env("XDG_CONFIG_HOME", &config).env("PATH", temp.path()))
    };
    let (code, text, stderr) = run("install-service");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("systemctl --user enable --now stemhive-worker.service"), "{text}");
    let path = config.join("systemd/user/stemhive-worker.service");
    let unit = fs::read_to_string(&path).unwrap();
    let quoted = format!("\"{}/da\\\"ta 100%%\"", temp.path().display());
    assert!(unit.contains(&format!("ExecStart=\"{PROGRAM}\" run --data-dir {quoted}\n")), "{unit}");
    assert!(unit.contains("KillMode=mixed\n"), "{unit}");
    assert_eq!(run("uninstall-service").0, Some(0));
    assert!(!path.exists());
    assert!(run("uninstall-service").1.contains("No service"));
}
