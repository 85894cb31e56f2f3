//! Jobs that other computers help with: the same stems whatever these do.

mod common;
mod fake_crew;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Gate, TestSeparator, copy_folder, pool, request, results, song, spec, start};
use engine::{
    crew::{PauseReason, Signal, Standing},
    job::{self, ChunkState, JobHandle, JobPhase, JobRequest, JobStatus, WorkerActivity},
    model::Progress,
};
use fake_crew::{Act, FakeCrew, Temper, device};

const SEGMENT: u64 = 1_000;
const STRIDE: u64 = 700;

/// Waits until a status fits; every new one wakes us.
struct Watcher(crossbeam_channel::Receiver<()>);

impl Watcher {
    fn start(mut request: JobRequest) -> (JobHandle, Self) {
        let (tell, news) = crossbeam_channel::bounded(1);
        request.wake = Arc::new(move || _ = tell.try_send(()));
        (job::start(request).unwrap(), Self(news))
    }

    fn until(&self, job: &JobHandle, fits: impl Fn(&JobStatus) -> bool) -> Arc<JobStatus> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let status = job.status();
            if fits(&status) {
                return status;
            }
            let news = self.0.recv_deadline(deadline);
            news.unwrap_or_else(|_| panic!("not in time: {:?}", job.status()));
        }
    }
}

fn is_done(status: &JobStatus) -> bool {
    matches!(status.phase, JobPhase::Done)
}

fn is_local() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("chunk-"))
}

/// A separator that waits at the gate where this computer, and only it, computes.
fn gated(gate: &Arc<Gate>) -> Arc<TestSeparator> {
    let shut = Arc::clone(gate);
    let hook: common::Hook =
        Box::new(move |_, progress| if is_local() { shut.pass(progress) } else { Ok(()) });
    Arc::new(TestSeparator::with(spec(SEGMENT, STRIDE), hook))
}

fn free() -> Arc<TestSeparator> {
    Arc::new(TestSeparator::new(spec(SEGMENT, STRIDE)))
}

fn reference(home: &Path, song: &common::TestSong) -> common::Results {
    let dir = home.join("reference");
    assert!(is_done(&start(song, &free(), &dir, &pool(1)).wait()));
    results(&dir)
}

fn with_crew(mut request: JobRequest, crew: &Arc<FakeCrew>) -> JobRequest {
    request.crew = Some(Arc::clone(crew) as _);
    request
}

fn always(act: Act) -> Temper {
    Arc::new(move |_, _| act)
}

fn who(status: &JobStatus) -> Vec<(usize, &str, usize)> {
    status.workers.iter().map(|w| (w.letter, w.name.as_str(), w.chunks_done)).collect()
}

#[test]
fn others_help_are_named_and_are_remembered() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song);
    let dir = home.path().join("job");
    let (gate, crew) = (Arc::new(Gate::default()), FakeCrew::new());
    crew.prove();
    crew.join(2, 2, always(Act::Compute));
    crew.join(1, 1, always(Act::Compute));
    crew.stand(3, Standing::GettingModel(0.5), None);
    let separator = gated(&gate);
    let plain = request(&song, &separator, &dir, &pool(1));
    let (job, watcher) = Watcher::start(with_crew(plain, &crew));
    watcher.until(&job, |status| status.committed() >= 10);
    gate.open(100);
    let status = job.wait();
    assert!(is_done(&status), "{:?}", status.phase);
    assert_eq!(results(&dir), reference);
    assert_eq!(status.workers[0].threads, 1);
    assert_eq!(status.workers[1].threads, 4);
    assert!(status.workers[1].speed_x_real_time.is_some());
    let absent = WorkerActivity::Absent(Standing::GettingModel(0.5));
    assert_eq!(status.workers[3].activity, absent);
    assert_eq!(status.workers.iter().map(|w| w.chunks_done).sum::<usize>(), 20);
    for chunk in &status.chunks {
        assert!(matches!(chunk, ChunkState::Committed { worker: 0..=2, .. }), "{chunk:?}");
    }
    drop(job);

    // Without them, in another run, they are still known as what they were.
    let again = start(&song, &separator, &dir, &pool(1)).wait();
    let before = who(&status);
    assert_eq!(before[0].1, "This PC");
    assert_eq!((before[1].0, before[1].1), (1, "PC 1"));
    let helped: Vec<_> = before[..3].iter().filter(|who| who.0 == 0 || who.2 > 0).collect();
    assert_eq!(who(&again).iter().collect::<Vec<_>>(), helped);
}

/// Right for its first three chunks; wrong from then on, but not before the gate is open.
fn turns(gate: &Arc<Gate>) -> Temper {
    let shut = Arc::clone(gate);
    Arc::new(move |n, signal| match n {
        0..3 => Act::Compute,
        _ if shut.pass(signal).is_ok() => Act::Lie,
        _ => Act::HandBack,
    })
}

#[test]
fn what_is_wrong_is_found_late_and_all_of_it_computed_again() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 140_000);
    let reference = reference(home.path(), &song);
    for (name, breaks_off) in [("whole", false), ("broken off", true)] {
        let dir = home.path().join(name);
        let (gate, crew) = (Arc::new(Gate::default()), FakeCrew::new());
        let lying = Arc::new(Gate::default());
        crew.join(1, 1, turns(&lying));
        let separator = gated(&gate);
        let plain = request(&song, &separator, &dir, &pool(1));
        let (job, watcher) = Watcher::start(with_crew(plain, &crew));
        // This computer goes on chunk by chunk until it has found the first ones right.
        let is_believed = |status: &JobStatus| {
            status.workers.get(1).is_some_and(|worker| worker.chunks_done >= 3)
        };
        while !is_believed(&job.status()) {
            let before = separator.computed().len();
            gate.open(1);
            watcher.until(&job, |now| is_believed(now) || separator.computed().len() > before);
        }
        gate.shut();
        lying.open(1_000);
        // Most of the song is there, and wrong, and some of it is final.
        let files = || std::fs::read_dir(dir.join("chunks")).unwrap().count();
        watcher.until(&job, |status| status.committed() >= 160 && files() < 150);
        assert_eq!(*crew.accused.lock().unwrap(), []);
        gate.open(if breaks_off { 10 } else { 1_000 });
        watcher.until(&job, |_| !crew.accused.lock().unwrap().is_empty());
        let status = watcher.until(&job, |status| status.workers[1].chunks_done == 0);
        assert!(matches!(
            status.workers[1].activity,
            WorkerActivity::Absent(Standing::SetAside { left: None, .. })
        ));
        if breaks_off {
            drop(job);
            // Even without the end of its journal the job knows what is wrong.
            let journal = std::fs::read(dir.join("journal")).unwrap();
            for n in 0..=12 {
                let copy = home.path().join(format!("cut {n}"));
                copy_folder(&dir, &copy);
                std::fs::write(copy.join("journal"), &journal[..journal.len() * n / 12]).unwrap();
                let status = start(&song, &free(), &copy, &pool(2)).wait();
                assert!(is_done(&status), "{n}: {:?}", status.phase);
                assert_eq!(results(&copy), reference, "cut {n}");
            }
        } else {
            let status = job.wait();
            assert!(is_done(&status), "{:?}", status.phase);
            assert_eq!(who(&status)[0].2, 200, "all of it is this computer's");
            assert_eq!(results(&dir), reference);
        }
        assert_eq!(*crew.accused.lock().unwrap(), [device(1)]);
    }
}

#[test]
fn what_comes_back_and_what_is_tried_again_is_shown() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song);
    let dir = home.path().join("job");
    let crew = FakeCrew::new();
    crew.prove();
    let gate = Arc::new(Gate::default());
    let separator = gated(&gate);
    // The first one breaks down while it sends, the next one waits until it may go on.
    let gates = [Arc::new(Gate::default()), Arc::new(Gate::default())];
    let sends = |gate: &Arc<Gate>, last: Act| -> Temper {
        let gate = Arc::clone(gate);
        Arc::new(move |_, signal: &Signal| {
            signal.report(1.0);
            signal.report_sent_back(0.25);
            let _ = gate.pass(signal);
            last
        })
    };
    crew.join(1, 1, sends(&gates[0], Act::Die));
    let plain = request(&song, &separator, &dir, &pool(1));
    let (job, watcher) = Watcher::start(with_crew(plain, &crew));
    let sent = |status: &JobStatus, by: usize, wanted_tries: u32| {
        let is_it = |chunk: &ChunkState| match chunk {
            ChunkState::Running { worker, sent_back: Some(share), tries, .. } => {
                (*worker, *share, *tries) == (by, 0.25, wanted_tries)
            }
            _ => false,
        };
        status.chunks.iter().any(is_it)
    };
    watcher.until(&job, |status| sent(status, 1, 1));
    gates[0].open(1);
    let is_gone =
        |status: &JobStatus| status.workers[1].activity == WorkerActivity::Absent(Standing::Away);
    watcher.until(&job, is_gone);
    crew.join(2, 1, sends(&gates[1], Act::Compute));
    watcher.until(&job, |status| sent(status, 2, 2));
    gates[1].open(100);
    gate.open(100);
    assert!(is_done(&job.wait()));
    assert_eq!(results(&dir), reference);
}

#[test]
fn nothing_of_a_liar_is_taken_before_its_first_results_were_compared() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song);
    let dir = home.path().join("job");
    let (gate, crew) = (Arc::new(Gate::default()), FakeCrew::new());
    crew.join(1, 1, always(Act::Lie));
    let plain = request(&song, &gated(&gate), &dir, &pool(1));
    let (job, watcher) = Watcher::start(with_crew(plain, &crew));
    let is_waiting = |chunk: &&ChunkState| matches!(chunk, ChunkState::Running { worker: 1, progress, .. } if *progress == 1.0);
    watcher.until(&job, |status| status.chunks.iter().filter(is_waiting).count() >= 18);
    assert_eq!(job.status().committed(), 0);
    gate.open(100);
    assert!(is_done(&job.wait()));
    assert_eq!(results(&dir), reference);
    assert_eq!(*crew.accused.lock().unwrap(), [device(1)]);
}

#[test]
fn who_takes_a_break_is_not_blamed_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song);
    let dir = home.path().join("job");
    let (gate, crew) = (Arc::new(Gate::default()), FakeCrew::new());
    crew.prove();
    let separator = gated(&gate);
    // Hands everything back from its third chunk on, before it has said why.
    let paused = Arc::new(AtomicBool::new(false));
    let (flag, lane) = (Arc::clone(&paused), Arc::downgrade(&crew));
    let temper: Temper = Arc::new(move |n, _| {
        if n < 2 {
            return Act::Compute;
        }
        if !flag.swap(true, Ordering::SeqCst)
            && let Some(crew) = lane.upgrade()
        {
            crew.stand(1, Standing::PausedThere(PauseReason::UserActive), None);
        }
        Act::HandBack
    });
    crew.join(1, 1, temper);
    let plain = request(&song, &separator, &dir, &pool(1));
    let (job, watcher) = Watcher::start(with_crew(plain, &crew));
    let absent = WorkerActivity::Absent(Standing::PausedThere(PauseReason::UserActive));
    watcher.until(&job, |status| status.workers.get(1).is_some_and(|w| w.activity == absent));
    assert_eq!(job.status().workers[1].chunks_done, 2);
    crew.join(1, 1, always(Act::Compute));
    watcher.until(&job, |status| status.workers[1].chunks_done >= 10);
    gate.open(100);
    assert!(is_done(&job.wait()));
    assert_eq!(results(&dir), reference);
}

#[test]
fn a_crew_of_nobody_or_of_failures_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let reference = reference(home.path(), &song);
    let tempers = [Act::Fail, Act::Die, Act::Vanish, Act::HandBack].map(Some);
    for (n, act) in tempers.into_iter().chain([None]).enumerate() {
        let dir = home.path().join(n.to_string());
        let crew = FakeCrew::new();
        if let Some(act) = act {
            crew.join(1, 2, always(act));
        }
        let plain = request(&song, &free(), &dir, &pool(2));
        let status = job::start(with_crew(plain, &crew)).unwrap().wait();
        assert!(is_done(&status), "{act:?}: {:?}", status.phase);
        assert_eq!(results(&dir), reference, "{act:?}");
        assert_eq!(status.workers[0].chunks_done, 20);
    }
}

#[test]
fn a_cancelled_job_does_not_wait_for_others() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 14_000);
    let (gate, crew) = (Arc::new(Gate::default()), FakeCrew::new());
    // Deaf: not even a call back ends it.
    let release = Arc::new(Gate::default());
    let held = Arc::clone(&release);
    crew.join(
        1,
        1,
        Arc::new(move |_, _| {
            let _ = held.pass(&engine::model::NoProgress);
            Act::HandBack
        }),
    );
    let plain = request(&song, &gated(&gate), &home.path().join("job"), &pool(1));
    let (job, watcher) = Watcher::start(with_crew(plain, &crew));
    watcher.until(&job, |status| {
        status.workers.get(1).is_some_and(|w| matches!(w.activity, WorkerActivity::Working(_)))
    });
    drop(job);
    release.open(100);
}

/// SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Computes, dies, vanishes, fails or hands back as the seed says; dead ones come back at once, later
/// or never.
fn unruly(crew: &Arc<FakeCrew>, letter: usize, seed: u64, lives: u64) {
    let (again, done) = (Arc::downgrade(crew), AtomicUsize::new(0));
    let temper: Temper = Arc::new(move |n, signal| {
        let dice = mix(seed ^ mix(letter as u64 ^ mix(n as u64)));
        let act = match dice % 16 {
            0 => Act::Die,
            1 => Act::Vanish,
            2 => Act::Fail,
            3 => Act::HandBack,
            4 if done.fetch_add(1, Ordering::SeqCst) == 0 => {
                // Stands still for a while.
                for _ in 0..20 {
                    if !signal.is_cancelled() {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                }
                Act::Compute
            }
            _ => Act::Compute,
        };
        if matches!(act, Act::Die | Act::Vanish)
            && lives > 0
            && let Some(crew) = again.upgrade()
        {
            // The old connection says that it is gone only after the new one is there.
            unruly(&crew, letter, mix(seed), lives - 1);
        }
        act
    });
    crew.join(letter, 1 + letter % 2, temper);
}

#[test]
fn whatever_the_others_do_the_stems_are_the_same() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 42_000);
    let reference = reference(home.path(), &song);
    for seed in 0..24 {
        let dir = home.path().join(seed.to_string());
        let crew = FakeCrew::new();
        for letter in 1..4 {
            unruly(&crew, letter, mix(seed), 3);
        }
        crew.join(4, 1, always(if seed % 2 == 0 { Act::Lie } else { Act::Stall }));
        let job = job::start(with_crew(request(&song, &free(), &dir, &pool(1)), &crew)).unwrap();
        // Whoever stalls is away before the others are through.
        if seed % 2 == 1 {
            crew.stand(4, Standing::Away, None);
        }
        let status = job.wait();
        assert!(is_done(&status), "{seed}: {:?}", status.phase);
        assert_eq!(results(&dir), reference, "{seed}");
        assert_eq!(status.workers.iter().map(|w| w.chunks_done).sum::<usize>(), 60, "{seed}");
    }
}
