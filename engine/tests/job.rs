//! Whole jobs with a separator whose stems are known: results, order, pause, failures, resuming.

mod common;
mod small_disk;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use common::{Gate, TestSeparator, expected, pool, request, results, samples, song, spec, start};
use engine::{
    Error, ErrorKind,
    job::{self, ChunkState, JobHandle, JobPhase, JobStatus, Stems},
    model::{ChunkSpec, JoinWindow, Stem},
};
use proptest::prelude::*;
use small_disk::{fill_disk, run_on_small_disk, small_disk};

const SPEC: ChunkSpec = ChunkSpec {
    segment_frames: 1000,
    stride_frames: 700,
    context_frames: 1,
    window: JoinWindow::Triangle,
};

/// Waits until a status fits; every new one wakes us.
struct Watcher {
    news: crossbeam_channel::Receiver<()>,
}

impl Watcher {
    fn start(mut request: job::JobRequest) -> (JobHandle, Self) {
        let (tell, news) = crossbeam_channel::bounded(1);
        request.wake = Arc::new(move || _ = tell.try_send(()));
        (job::start(request).unwrap(), Self { news })
    }

    fn until(&self, job: &JobHandle, fits: impl Fn(&JobStatus) -> bool) -> Arc<JobStatus> {
        loop {
            let status = job.status();
            if fits(&status) {
                return status;
            }
            self.news.recv_timeout(std::time::Duration::from_secs(120)).expect("news in time");
        }
    }
}

fn is_done(status: &JobStatus) -> bool {
    matches!(status.phase, JobPhase::Done)
}

fn failure(status: &JobStatus) -> Arc<Error> {
    match &status.phase {
        JobPhase::Failed(error) => Arc::clone(error),
        phase => panic!("the job is {phase:?} instead of failed"),
    }
}

/// The results of an undisturbed run.
fn reference(dir: &Path, song: &common::TestSong, chunks: ChunkSpec) -> common::Results {
    let dir = dir.join("reference");
    let separator = Arc::new(TestSeparator::new(chunks));
    assert!(is_done(&start(song, &separator, &dir, &pool(1)).wait()));
    results(&dir)
}

#[test]
fn stems_are_the_weighted_means_of_the_chunks_and_add_up_to_the_song() {
    let home = tempfile::tempdir().unwrap();
    for (channels, frames) in [(2, 10_321), (1, 4_999), (2, 999), (2, 1), (1, 0)] {
        let song = song(home.path(), channels, frames);
        let dir = home.path().join(format!("{channels}-{frames}"));
        let separator = Arc::new(TestSeparator::new(SPEC));
        let job = start(&song, &separator, &dir, &pool(2));
        let status = job.wait();
        assert!(is_done(&status), "{:?}", status.phase);
        assert_eq!(status.fraction(), 1.0);
        assert_eq!(status.committed(), frames.div_ceil(700) as usize);
        assert_eq!(status.ready.frames(), frames);
        let stems = job.stems();
        assert_eq!(stems.stems, [Stem::Bass, Stem::Vocals]);
        assert_eq!(stems.ready().frames(), frames);
        for (track, expected) in stems.tracks.iter().zip(expected(&song, SPEC)) {
            assert_eq!(samples(track), expected);
        }
        if frames > 0 {
            let null = status.null_test.expect("all stems are there");
            assert!(null.residual_db < -120.0, "{null:?}");
            assert_eq!(null.frames, frames);
            assert_eq!(stems.waveforms[0].frames(), frames);
        }
        assert!(!dir.join("chunks").exists(), "chunk files are cleared away");
    }
}

#[test]
fn threads_and_playhead_do_not_change_a_sample() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 30_000);
    let reference = reference(home.path(), &song, SPEC);
    assert_eq!(reference.len(), 6, "two stereo stems and their waveforms");
    for (threads, playhead) in [(1, 29_999), (2, 0), (3, 12_345), (8, 20_000), (8, 7)] {
        let dir = home.path().join(format!("{threads}-{playhead}"));
        let separator = Arc::new(TestSeparator::new(SPEC));
        let mut request = request(&song, &separator, &dir, &pool(threads));
        request.playhead_frame = playhead;
        let job = job::start(request).unwrap();
        job.set_playhead(playhead / 2);
        assert!(is_done(&job.wait()));
        assert_eq!(results(&dir), reference, "{threads} threads from {playhead}");
        assert_eq!(separator.computed().len(), 43);
    }
}

#[test]
fn only_the_wanted_stems_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 5_000);
    let separator = Arc::new(TestSeparator::new(SPEC));
    let dir = home.path().join("vocals");
    let mut wanted = request(&song, &separator, &dir, &pool(2));
    wanted.stems = vec![Stem::Vocals];
    let job = job::start(wanted).unwrap();
    let status = job.wait();
    assert!(is_done(&status));
    assert_eq!(status.null_test, None, "one stem is not the song");
    assert_eq!(samples(&job.stems().tracks[0]), expected(&song, SPEC)[1]);
    assert!(!dir.join("bass.0.f32").exists());

    for (stems, what) in [(vec![], "none"), (vec![Stem::Drums], "not the model's")] {
        let mut senseless = request(&song, &separator, &home.path().join("no"), &pool(1));
        senseless.stems = stems;
        assert_eq!(job::start(senseless).unwrap_err().kind, ErrorKind::Invalid, "{what}");
    }
}

#[test]
fn a_finished_job_opens_again_at_once() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 9_000);
    let dir = home.path().join("job");
    let separator = Arc::new(TestSeparator::new(SPEC));
    assert_eq!(Stems::open(&dir).unwrap_err().kind, ErrorKind::NotFound);
    let first = start(&song, &separator, &dir, &pool(2)).wait();
    let before = results(&dir);

    let again = start(&song, &separator, &dir, &pool(2));
    let status = again.status();
    assert!(is_done(&status), "without waiting");
    assert_eq!(status.resumed_chunks, 13);
    assert_eq!(status.null_test, first.null_test);
    assert_eq!(status.workers[0].chunks_done, 13);
    assert_eq!(separator.computed().len(), 13, "nothing was computed again");
    assert_eq!(results(&dir), before);

    let opened = Stems::open(&dir).unwrap();
    assert_eq!(samples(&opened.tracks[1]), expected(&song, SPEC)[1]);
    assert_eq!(opened.ready().frames(), 9_000);
    assert_eq!(opened.waveforms[1].frames(), 9_000);

    // A lost waveform is drawn again, a lost stem separated again.
    std::fs::remove_file(dir.join("bass.wave")).unwrap();
    assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()));
    assert_eq!((results(&dir), separator.computed().len()), (before.clone(), 13));
    std::fs::remove_file(dir.join("bass.0.f32")).unwrap();
    assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()));
    assert_eq!((results(&dir), separator.computed().len()), (before, 26));
}

#[test]
fn damage_in_finished_stems_is_found_and_only_what_is_damaged_computed_again() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let (dir, separator) = (home.path().join("job"), Arc::new(TestSeparator::new(SPEC)));
    assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()));
    let before = results(&dir);
    assert_eq!(separator.computed().len(), 20);

    let path = dir.join("vocals.1.f32");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4 * 5_000 + 2] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (job, watcher) = Watcher::start(request(&song, &separator, &dir, &pool(2)));
    let status = job.wait();
    assert!(is_done(&status) && job.is_over(), "{:?}", status.phase);
    assert_eq!(results(&dir), before);
    // Frame 5 000 lies in the seventh and eighth chunk, of which no more than the cell was lost.
    assert!((21..=22).contains(&separator.computed().len()), "{:?}", separator.computed());
    assert_eq!(job.stems().ready().frames(), 14_000);
    assert_eq!(job.stems().waveforms[1].frames(), 14_000);
    drop((job, watcher));

    // The whole track zeroed, as a disk might.
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()));
    assert_eq!(results(&dir), before);
}

#[test]
fn a_job_whose_description_is_damaged_starts_over() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 2_000);
    let (dir, separator) = (home.path().join("job"), Arc::new(TestSeparator::new(SPEC)));
    assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()));
    let before = results(&dir);
    let description = std::fs::read(dir.join("job.json")).unwrap();
    for at in (0..description.len()).step_by(29) {
        let mut damaged = description.clone();
        damaged[at] ^= 1;
        std::fs::write(dir.join("job.json"), damaged).unwrap();
        assert!(is_done(&start(&song, &separator, &dir, &pool(2)).wait()), "bit {at}");
        assert_eq!(results(&dir), before);
    }
}

#[test]
fn a_folder_belongs_to_one_job_and_one_writer() {
    let home = tempfile::tempdir().unwrap();
    let stereo = song(home.path(), 2, 9_000);
    let dir = home.path().join("job");
    let gate = Arc::new(Gate::default());
    let separator = TestSeparator::behind(&gate, SPEC);
    let job = start(&stereo, &separator, &dir, &pool(1));
    let second = job::start(request(&stereo, &separator, &dir, &pool(1)));
    let error = second.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.kept.is_some() && error.advice.is_some());
    drop(job);
    gate.open(100);
    assert!(is_done(&start(&stereo, &separator, &dir, &pool(1)).wait()), "it is free again");

    let other = Arc::new(TestSeparator::new(spec(2000, 2000)));
    let error = job::start(request(&stereo, &other, &dir, &pool(1))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[test]
fn chunks_from_the_playhead_on_go_first_and_seeking_changes_the_order() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 7_000);
    let gate = Arc::new(Gate::default());
    let (entered, entering) = crossbeam_channel::bounded(100);
    let shut = Arc::clone(&gate);
    let hook: common::Hook = Box::new(move |start, progress| {
        entered.send(start / 700).unwrap();
        shut.pass(progress)
    });
    let separator = Arc::new(TestSeparator::with(SPEC, hook));
    let mut request = request(&song, &separator, &home.path().join("job"), &pool(1));
    request.playhead_frame = 3_600;
    let (job, watcher) = Watcher::start(request);
    assert_eq!(entering.recv().unwrap(), 4, "3 600 lies in chunks 4 and 5");
    gate.open(1);
    assert_eq!(entering.recv().unwrap(), 5);
    job.set_playhead(1_500);
    gate.open(1);
    // Chunk 6 may have been handed out before the driver saw the seek, but nothing after it.
    let mut order = vec![entering.recv().unwrap()];
    gate.open(8);
    order.extend(entering.iter().take(7));
    let after_seek = if order[0] == 6 { &order[1..] } else { &order[..] };
    let expected =
        if order[0] == 6 { vec![1, 2, 3, 7, 8, 9, 0] } else { vec![1, 2, 3, 6, 7, 8, 9, 0] };
    assert_eq!(after_seek, expected);
    watcher.until(&job, is_done);
}

#[test]
fn pausing_stops_what_runs_and_resuming_computes_only_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song, SPEC);
    let gate = Arc::new(Gate::default());
    let separator = TestSeparator::behind(&gate, SPEC);
    let dir = home.path().join("job");
    let (job, watcher) = Watcher::start(request(&song, &separator, &dir, &pool(2)));
    gate.open(5);
    watcher.until(&job, |status| status.committed() == 5);
    job.pause();
    let status = watcher.until(&job, |status| matches!(status.phase, JobPhase::Paused));
    assert!(
        !status.chunks.iter().any(|chunk| matches!(chunk, ChunkState::Running { .. })),
        "nothing runs any more"
    );
    gate.open(100);
    job.resume();
    let status = job.wait();
    assert!(is_done(&status));
    assert_eq!(separator.computed().len(), 20, "no chunk was computed twice");
    assert_eq!(results(&dir), reference);
}

/// The separator runs until it is told to stop, so without a working cancel this never ends.
#[test]
fn cancelling_stops_a_chunk_in_the_middle_and_keeps_what_is_done() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 7_000);
    let gate = Arc::new(Gate::default());
    let separator = TestSeparator::behind(&gate, SPEC);
    let dir = home.path().join("job");
    let (job, watcher) = Watcher::start(request(&song, &separator, &dir, &pool(2)));
    gate.open(3);
    watcher.until(&job, |status| status.committed() == 3);
    job.cancel();
    let status = job.wait();
    assert!(matches!(status.phase, JobPhase::Cancelled));
    assert_eq!(status.committed(), 3);
    job.resume();
    assert!(matches!(job.wait().phase, JobPhase::Cancelled), "for good");
    drop(job);

    gate.open(100);
    let again = start(&song, &separator, &dir, &pool(2));
    let status = again.wait();
    assert!(is_done(&status));
    assert_eq!(status.resumed_chunks, 3);
    assert_eq!(separator.computed().len(), 10);
}

#[test]
fn chunks_that_fail_are_tried_again_and_given_up_one_by_one() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 70_000);
    let chunks = spec(7_000, 5_000);
    let reference = reference(home.path(), &song, chunks);
    let broken = Arc::new(AtomicBool::new(true));
    let tries = Arc::new(AtomicUsize::new(0));
    let once = AtomicBool::new(true);
    let (still, count) = (Arc::clone(&broken), Arc::clone(&tries));
    let hook: common::Hook = Box::new(move |start, _| match start / 5_000 {
        3 if once.swap(false, Ordering::SeqCst) => panic!("an accident"),
        9 if still.load(Ordering::SeqCst) => {
            count.fetch_add(1, Ordering::SeqCst);
            Err(Error::new(ErrorKind::Internal, "Does not work"))
        }
        _ => Ok(()),
    });
    let separator = Arc::new(TestSeparator::with(chunks, hook));
    let dir = home.path().join("job");
    let job = start(&song, &separator, &dir, &pool(2));
    let status = job.wait();
    let error = failure(&status);
    assert_eq!(error.what, "1 of 14 pieces could not be separated: 0:01–0:01");
    assert!(error.kept.is_some() && error.advice.is_some());
    assert!(error.details().contains(&"Does not work".to_owned()));
    assert_eq!(tries.load(Ordering::SeqCst), 3, "twice and once alone");
    assert_eq!(status.committed(), 13);
    let failed = &status.chunks[9];
    assert!(matches!(failed, ChunkState::Failed(error) if error.what == "Does not work"));
    assert!(!status.ready.contains(47_000) && status.ready.contains(44_999));
    let stem = samples(&job.stems().tracks[0]);
    assert_eq!(stem[0][45_000..52_000], vec![0.0; 7_000], "where it failed nothing is written");

    broken.store(false, Ordering::SeqCst);
    job.retry_failed();
    assert!(is_done(&job.wait()));
    assert_eq!(results(&dir), reference);
    assert_eq!(separator.computed().len(), 14);
}

#[test]
fn results_of_the_wrong_shape_or_not_finite_are_not_taken() {
    struct Bad(common::TestSeparator, fn(&mut Vec<engine::audio::Planar>));
    impl engine::model::Separator for Bad {
        fn info(&self) -> &engine::model::ModelInfo {
            &self.0.info
        }
        fn separate(
            &self,
            input: &engine::model::ChunkInput,
            progress: &dyn engine::model::Progress,
        ) -> engine::Result<Vec<engine::audio::Planar>> {
            let mut stems = self.0.separate(input, progress)?;
            (self.1)(&mut stems);
            Ok(stems)
        }
    }
    let spoil: [fn(&mut Vec<engine::audio::Planar>); 4] = [
        |stems| _ = stems.pop(),
        |stems| stems[1].resize(3),
        |stems| stems[1].channel_mut(1)[0] = f32::NAN,
        |stems| _ = stems[0].channels_mut()[0].pop(),
    ];
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 1_000);
    let good = Arc::new(TestSeparator::new(SPEC));
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut request = request(&song, &good, &home.path().join(n.to_string()), &pool(1));
        request.separator = Arc::new(Bad(TestSeparator::new(SPEC), spoil));
        let status = job::start(request).unwrap().wait();
        assert_eq!(failure(&status).kind, ErrorKind::Internal, "kind {n}");
        assert_eq!(status.committed(), 0);
    }
}

#[test]
fn when_nothing_can_be_written_the_job_stands_still_and_goes_on_later() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song, SPEC);
    let gate = Arc::new(Gate::default());
    let separator = TestSeparator::behind(&gate, SPEC);
    let dir = home.path().join("job");
    let (job, watcher) = Watcher::start(request(&song, &separator, &dir, &pool(2)));
    gate.open(6);
    watcher.until(&job, |status| status.committed() == 6 && status.ready.frames() > 0);
    // The folder is gone as if the disk had been pulled.
    let chunks = dir.join("chunks");
    std::fs::rename(&chunks, dir.join("away")).unwrap();
    gate.open(1);
    let status = job.wait();
    let error = failure(&status);
    assert_eq!(error.kept.as_deref(), Some("6 of 20 pieces are done and saved"));
    assert!(error.advice.is_some());
    std::fs::rename(dir.join("away"), &chunks).unwrap();
    gate.open(100);
    job.resume();
    let status = job.wait();
    assert!(is_done(&status), "{:?}", status.phase);
    assert_eq!(results(&dir), reference);
}

/// Runs only inside [`a_full_disk_stops_the_job_and_free_space_lets_it_go_on`].
#[test]
fn on_a_full_disk() {
    let Some(disk) = small_disk() else { return };
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 140_000);
    let chunks = spec(10_000, 7_000);
    let reference = reference(home.path(), &song, chunks);
    let filler = disk.join("filler");
    // Less than the stems take.
    fill_disk(&filler, 2 << 20);
    let separator = Arc::new(TestSeparator::new(chunks));
    let dir = disk.join("job");
    let job = start(&song, &separator, &dir, &pool(2));
    let status = job.wait();
    let error = failure(&status);
    assert_eq!(error.kind, ErrorKind::DiskFull, "{error}");
    assert_eq!(error.advice.as_deref(), Some("Free some space and press Continue"));
    job.resume();
    assert_eq!(failure(&job.wait()).kind, ErrorKind::DiskFull, "still full");
    std::fs::remove_file(filler).unwrap();
    job.resume();
    let status = job.wait();
    assert!(is_done(&status), "{:?}", status.phase);
    assert_eq!(results(&dir), reference);
}

#[test]
fn a_full_disk_stops_the_job_and_free_space_lets_it_go_on() {
    run_on_small_disk("on_a_full_disk", "8m");
}

#[test]
fn one_job_at_a_time_has_the_pool_and_a_paused_one_lets_the_next_in() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 7_000);
    let gate = Arc::new(Gate::default());
    let separator = TestSeparator::behind(&gate, SPEC);
    let pool = pool(2);
    let (first, news) = Watcher::start(request(&song, &separator, &home.path().join("1"), &pool));
    news.until(&first, |status| matches!(status.phase, JobPhase::Running));
    let (second, news2) = Watcher::start(request(&song, &separator, &home.path().join("2"), &pool));
    news2.until(&second, |status| matches!(status.phase, JobPhase::Queued));
    first.pause();
    news2.until(&second, |status| matches!(status.phase, JobPhase::Running));
    first.resume();
    news.until(&first, |status| matches!(status.phase, JobPhase::Queued));
    gate.open(20);
    assert!(is_done(&second.wait()));
    assert!(is_done(&first.wait()));
}

#[test]
fn progress_only_rises_and_estimates_come_after_three_chunks() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 44_100);
    let separator = Arc::new(TestSeparator::with(
        SPEC,
        Box::new(|start, progress| {
            for step in 0..4 {
                progress.report(step as f32 / 4.0);
            }
            // One in eight fails once in a while, and its progress is lost.
            if start % 8 == 0 && progress_is_new(start) {
                return Err(Error::new(ErrorKind::Internal, "Once"));
            }
            Ok(())
        }),
    ));
    let seen = Arc::new(Mutex::new(Vec::<Arc<JobStatus>>::new()));
    let job: Arc<Mutex<Option<JobHandle>>> = Arc::default();
    let mut request = request(&song, &separator, &home.path().join("job"), &pool(3));
    let (log, slot) = (Arc::clone(&seen), Arc::clone(&job));
    request.wake = Arc::new(move || {
        if let Ok(job) = slot.try_lock()
            && let Some(job) = &*job
        {
            log.lock().unwrap().push(job.status());
        }
    });
    *job.lock().unwrap() = Some(job::start(request).unwrap());
    let handle = job.lock().unwrap().take().unwrap();
    let last = handle.wait();
    assert!(is_done(&last));
    assert!(last.first_audio.is_some() && last.speed_x_real_time.is_some());
    let mut statuses = seen.lock().unwrap().clone();
    statuses.push(last);
    for pair in statuses.windows(2) {
        assert!(pair[0].fraction() <= pair[1].fraction());
        assert!(pair[0].ready.frames() <= pair[1].ready.frames());
    }
    for status in statuses {
        assert!(status.eta.is_none() || status.committed() >= 3);
    }
}

/// Whether `start` is asked about for the first time.
fn progress_is_new(start: u64) -> bool {
    static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let mut seen = SEEN.lock().unwrap();
    let new = !seen.contains(&start);
    seen.push(start);
    new
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Runs broken off anywhere, on any number of threads, with files cut short or spoilt in
    /// between, end in the same bytes; and unless something was spoilt, nothing is computed twice.
    #[test]
    fn broken_off_runs_end_in_the_same_bytes(
        runs in proptest::collection::vec((0usize..14, 1usize..4, 0u64..15_000, 0u8..6), 1..6),
        seed in any::<u32>(),
        overlapping in any::<bool>(),
    ) {
        let home = tempfile::tempdir().unwrap();
        let song = song(home.path(), 2, 14_000);
        let chunks = if overlapping { spec(2_000, 700) } else { SPEC };
        let reference = reference(home.path(), &song, chunks);
        let dir = home.path().join("job");
        let mut spoilt = false;
        let mut computed = 0;
        for (permits, threads, playhead, damage) in runs {
            let gate = Arc::new(Gate::default());
            gate.open(permits);
            let separator = TestSeparator::behind(&gate, chunks);
            let mut request = request(&song, &separator, &dir, &pool(threads));
            request.playhead_frame = playhead;
            let (job, watcher) = Watcher::start(request);
            watcher.until(&job, |status| {
                is_done(status) || status.committed() >= status.resumed_chunks + permits.min(20)
                    || status.committed() == 20
            });
            drop(job);
            computed += separator.computed().len();
            // What a crash or a bad disk may do to what is not synced yet.
            let file = match damage {
                0 => dir.join("journal"),
                1 => match std::fs::read_dir(dir.join("chunks")).ok().and_then(|mut d| d.next()) {
                    Some(entry) => entry.unwrap().path(),
                    None => continue,
                },
                2 => dir.join("bass.1.f32"),
                _ => continue,
            };
            let mut bytes = std::fs::read(&file).unwrap();
            if !bytes.is_empty() {
                let at = seed as usize % bytes.len();
                if seed % 2 == 0 { bytes.truncate(at) } else { bytes[at] ^= 0x10 }
                std::fs::write(&file, bytes).unwrap();
                spoilt = true;
            }
        }
        let separator = Arc::new(TestSeparator::new(chunks));
        let status = start(&song, &separator, &dir, &pool(2)).wait();
        prop_assert!(is_done(&status), "{:?}", status.phase);
        computed += separator.computed().len();
        prop_assert_eq!(results(&dir), reference);
        if !spoilt {
            prop_assert_eq!(computed, 20);
        }
    }
}
