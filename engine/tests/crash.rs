//! kill -9 at any moment: the next run goes on, computes no committed chunk again, and ends in the
//! same bytes as a run that was never disturbed.
//!
//! The test runs itself as a child process that tells every step on its standard output; the
//! parent kills it after some step.

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use common::{TestSeparator, pool, request, results, song, spec};
use engine::{
    job::{self, JobPhase},
    store::Journal,
};
use serde::{Deserialize, Serialize};

const HOME: &str = "STEMHIVE_CRASH_TEST_HOME";
const FRAMES: u64 = 400_000;
const STRIDE: u64 = 2_500;
const KILLS: u32 = 200;

/// A cell, its two sums and its hash.
type Cell = (u32, (f64, f64, [u8; 32]));

/// The journal's records as anyone reads them who knows the format.
#[derive(Serialize, Deserialize)]
enum Record {
    Committed { chunk: u32, worker: String, compute_secs: f32, hash: [u8; 32] },
    Joined(Vec<Cell>),
}

/// The chunks that are committed, and how many cells are joined.
fn journalled(dir: &Path) -> (BTreeSet<u64>, usize) {
    let (mut chunks, mut cells) = (BTreeSet::new(), 0);
    for record in Journal::<Record>::read(&dir.join("journal")).unwrap_or_default() {
        match record {
            Record::Committed { chunk, .. } => _ = chunks.insert(u64::from(chunk)),
            Record::Joined(joined) => cells += joined.len(),
        }
    }
    (chunks, cells)
}

/// Not a test of its own: what the child does.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Some(home) = std::env::var_os(HOME) else { return };
    separate(Path::new(&home), true);
}

fn separate(home: &Path, tell: bool) {
    let say = move |what: &str| {
        if tell {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{what}").and_then(|()| out.flush());
        }
    };
    let song = song(home, 2, FRAMES);
    let dir = home.join("job");
    let journal = dir.clone();
    let separator = Arc::new(TestSeparator::with(
        spec(3_300, STRIDE),
        Box::new(move |start, progress| {
            // The later chunks wait for the first stems to be synced and journalled, so that kills
            // come at that stage too however slow the disk is.
            while start / STRIDE >= 100 && journalled(&journal).1 == 0 && !progress.is_cancelled() {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            say(&format!("chunk {}", start / STRIDE));
            Ok(())
        }),
    ));
    let mut request = request(&song, &separator, &dir, &pool(2));
    request.wake = Arc::new(move || say("status"));
    say("start");
    let job = job::start(request).expect("the job starts");
    say("started");
    let status = job.wait();
    assert!(matches!(status.phase, JobPhase::Done), "{:?}", status.phase);
    say("done");
}

/// Runs the child and kills it after `steps` steps; the chunks it began, and whether it ended first.
fn run_and_kill(home: &Path, steps: usize) -> (BTreeSet<u64>, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut began, mut ended) = (BTreeSet::new(), false);
    let mut seen = 0;
    for line in lines.map_while(Result::ok) {
        if let Some(chunk) = line.strip_prefix("chunk ") {
            assert!(began.insert(chunk.parse().unwrap()), "chunk {chunk} is computed twice");
        }
        ended |= line == "done";
        seen += usize::from(matches!(line.split(' ').next(), Some("chunk" | "status" | "started")));
        if seen == steps {
            // SIGKILL; what it still wrote into the pipe is read to the end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (began, ended)
}

#[test]
fn killed_again_and_again_it_goes_on_and_ends_in_the_same_bytes() {
    let undisturbed = tempfile::tempdir().unwrap();
    separate(undisturbed.path(), false);
    let reference = results(&undisturbed.path().join("job"));

    // The song is the same; the job is begun anew when it ended before all kills were done.
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("job");
    let mut before = BTreeSet::new();
    let (mut kills, mut rounds, mut half_joined) = (0, 0, 0);
    let mut random = 0x9e37_79b9_u32;
    while kills < KILLS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (began, ended) = run_and_kill(home.path(), 1 + (random >> 16) as usize % 30);
        let again: Vec<_> = began.intersection(&before).collect();
        assert!(again.is_empty(), "committed chunks {again:?} were computed again");
        let (chunks, cells) = journalled(&dir);
        before = chunks;
        kills += 1;
        half_joined += u32::from(cells > 0 && dir.join("chunks").exists());
        if ended || (!dir.join("chunks").exists() && cells > 0) {
            assert_eq!(results(&dir), reference);
            std::fs::remove_dir_all(&dir).unwrap();
            before.clear();
            rounds += 1;
        }
    }
    let (began, ended) = run_and_kill(home.path(), usize::MAX);
    assert!(ended);
    assert!(began.is_disjoint(&before));
    assert_eq!(results(&dir), reference);
    assert!(half_joined > 0 && rounds > 0, "the kills came at all stages");
    println!("{kills} kills, {half_joined} of them half joined; {rounds} songs finished between");
}
