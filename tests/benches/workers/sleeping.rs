//! Sleeping engine: hub, workers and QUIC are real and on this computer; a piece takes a set time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    job::{self, JobPhase},
    model::Separator,
};

use crate::{
    common::{Results, TestSeparator, TestSong, pool, request, results, song, spec},
    remote_rig::{Main, Shop, Worker, work},
    table::Table,
};

/// As many pieces as HTDemucs cuts a song of 59:04 into, each a tenth as long.
const CHUNKS: u64 = 606;
const SEGMENT: u64 = 34_398;
const STRIDE: u64 = 25_798;

/// What a piece takes at speed 1.
const CHUNK_TIME: Duration = Duration::from_millis(150);

pub(crate) fn rows(table: &mut Table) {
    let home = tempfile::tempdir().expect("a folder");
    let song = song(home.path(), 2, CHUNKS * STRIDE);
    let (_, stems) = separate(&song, &[f64::INFINITY]);
    // One that does nothing but compute.
    let ideal_secs = CHUNK_TIME.as_secs_f64() * CHUNKS as f64;
    let gain = |table: &mut Table, elsewhere: &str, speeds: &[f64], least: Option<f64>| {
        let (took, found) = separate(&song, speeds);
        let gain = ideal_secs / took.as_secs_f64();
        let is_same = found == stems;
        let what = format!("{CHUNKS} pieces at speeds {speeds:?}, sleeping engine");
        let same = if is_same { "identical" } else { "DIFFERENT" };
        let found = format!("{gain:.2}x, stems {same}");
        let wanted = least.map_or(what.clone(), |least| format!("{what}: >= {least:.2}x"));
        table.row(elsewhere, &wanted, &found, gain >= least.unwrap_or(0.0) && is_same);
    };
    gain(table, "student system, a 59:04 song: 2.13x on 2 workers", &[1.0; 2], Some(1.9));
    gain(table, "the same: 2.86x on 4", &[1.0; 4], Some(3.6));
    gain(table, "-", &[1.0; 8], None);
    for speeds in [&[1.0, 0.5, 0.25][..], &[1.0, 1.0, 0.3, 2.5]] {
        gain(table, "-", speeds, Some(0.9 * speeds.iter().sum::<f64>()));
    }
}

/// A separator that takes its time.
fn sleeper(speed: f64) -> Arc<TestSeparator> {
    TestSeparator::sleeping(CHUNK_TIME.div_f64(speed), spec(SEGMENT, STRIDE))
}

/// How long a job takes on computers of these speeds, the first of which is this one, and what came
/// out.
fn separate(song: &TestSong, speeds: &[f64]) -> (Duration, Results) {
    let home = tempfile::tempdir().expect("a folder");
    let here = sleeper(speeds[0]);
    let shop = |speed: &f64| Shop::new(vec![sleeper(*speed)]);
    let mut others: Vec<Worker> = (1..)
        .zip(&speeds[1..])
        .map(|(n, speed)| Worker::new(&n.to_string(), shop(speed)))
        .collect();
    let main = Main::with(vec![Arc::clone(&here) as _], &others.iter().collect::<Vec<_>>());
    others.iter_mut().for_each(Worker::start);
    let work = work(here.as_ref() as &dyn Separator);
    others.iter().for_each(|worker| _ = main.member(worker, &work));

    let dir = home.path().join("job");
    let mut request = request(song, &here, &dir, &pool(1));
    request.crew = Some(main.crew());
    let began = Instant::now();
    let status = job::start(request).expect("the job starts").wait();
    let took = began.elapsed();
    assert!(matches!(status.phase, JobPhase::Done), "{:?}", status.phase);
    (took, results(&dir))
}
