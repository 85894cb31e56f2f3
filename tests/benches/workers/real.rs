//! The real programs with the real engine: one computer of one thread, and two of them.

use integration_tests::stemhive_worker_path;

use crate::{
    computers::{MainPc, Worker, song, stems},
    table::Table,
};

use engine::catalogue::Sha256;

/// A network of HTDemucs's layout with random weights. It is small and its pieces are short, so each is
/// computed [`SHIFTS`] times, which takes as long for a minute of music as the real one.
const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/data/htdemucs/four.th");
const SHIFTS: &str = "12";

pub(crate) fn rows(table: &mut Table) {
    assert!(stemhive_worker_path().is_file());
    let heavy = ["--model", NETWORK, "--shifts", SHIFTS];
    compare(table, "a small HTDemucs, 12 shifts", 180, &heavy, Some(0.9));
    compare(table, "the default model", 600, &["--model", "quick"], None);
}

/// A song on one computer, and twice with a second one whose program is started after the job: the
/// first time it also computes a test piece that is computed here too, and its first results are
/// compared.
///
/// Main PC and worker are cores of one machine here, which share its caches and its memory. What these
/// leave of two cores is measured by two programs that know nothing of each other and separate the same
/// song at once: `least` is the wanted share of what they get done.
fn compare(table: &mut Table, what: &str, secs: usize, model: &[&str], least: Option<f64>) {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    let hash = Sha256::of(&std::fs::read(NETWORK).expect("part of the repository")).to_string();
    let allowed = worker.command().args(["allow", &hash]).output().expect("stemhive-worker runs");
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));

    let song = song(main.dir(), secs);
    let mut separate = |threads, workers: &str| {
        let output = main.path(workers);
        let args = [&["--workers", workers], model].concat();
        let job = main.separate_by(threads, &song, &output, &args);
        if workers == "all" {
            worker.run();
        }
        let done = job.finish();
        main.forget_songs();
        let files = stems(&output.join(format!("song-{secs}")));
        let took = done["elapsed_secs"].as_f64().expect("seconds");
        (took, files, done["workers"].clone())
    };
    let (alone, files, _) = separate(1, "none");
    let (first, files_of_first, _) = separate(1, "all");
    let (together, files_of_second, who) = separate(1, "all");
    let (by_two_threads, ..) = separate(2, "none");
    let other = MainPc::new();
    let at_once = [&main, &other].map(|pc| {
        let args = [&["--workers", "none"], model].concat();
        pc.separate_by(1, &song, &pc.path("at once"), &args)
    });
    let beside = at_once.map(|job| job.finish()["elapsed_secs"].as_f64().expect("seconds"));
    let most = 2.0 * alone / beside[0].max(beside[1]);
    let is_same = files == files_of_first && files == files_of_second;
    let gain = alone / together;
    let found = format!(
        "{gain:.2}x ({alone:.1} s, {together:.1} s), {:.2} of {most:.2}x; {:.2}x the first time; \
         files {}; {}",
        gain / most,
        alone / first,
        if is_same { "identical" } else { "DIFFERENT" },
        pieces(&who),
    );
    let minutes = secs / 60;
    match least {
        Some(least) => table.row(
            "student system: 2.13x on 2 workers",
            &format!(
                "{minutes}-minute song, 1 thread here and 1 in a worker program that is known, \
                 {what}: >= {least} of what two unrelated programs on these cores gain"
            ),
            &found,
            gain >= least * most && is_same,
        ),
        None => table.row(
            "the same",
            &format!("{minutes}-minute song, likewise, {what}: identical files"),
            &found,
            is_same,
        ),
    }
    table.fact(
        "the same song by two threads of one PC",
        &format!("{:.2}x ({by_two_threads:.1} s)", alone / by_two_threads),
    );
}

fn pieces(who: &serde_json::Value) -> String {
    let each = who.as_array().into_iter().flatten();
    let words: Vec<String> = each
        .map(|one| format!("{} pieces by {}", one["pieces"], one["name"].as_str().unwrap_or("?")))
        .collect();
    words.join(", ")
}
