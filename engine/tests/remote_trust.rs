//! What is remembered of computers whose results were compared: who was right is believed in later
//! jobs, who changed or lied is not.

mod common;
mod remote_rig;

use std::sync::Arc;

use common::{Gate, TestSeparator, pool, request, song, spec};
use engine::{
    crew::{FIRST_CHECKS, Work},
    job::{self, JobHandle, JobPhase},
};
use remote_rig::{Main, Shop, Worker, wait_until, work};

fn model() -> TestSeparator {
    TestSeparator::new(spec(1_000, 700))
}

/// A main PC and a worker, and the gate at which the main PC waits when it computes chunks itself.
struct Rig {
    main: Main,
    worker: Worker,
    gate: Arc<Gate>,
    here: Arc<TestSeparator>,
    work: Work,
}

impl Rig {
    fn new() -> Self {
        let gate = Arc::new(Gate::default());
        let here = TestSeparator::behind(&gate, spec(1_000, 700));
        let mut worker = Worker::new("Spare", Shop::new(vec![Arc::new(model())]));
        // What the hub computes for the test piece does not wait at the gate.
        let main = Main::with(vec![Arc::new(model())], &[&worker]);
        worker.start();
        let work = work(here.as_ref());
        Self { main, worker, gate, here, work }
    }

    fn checks_left(&self) -> u32 {
        self.main.member(&self.worker, &self.work).checks_left()
    }

    /// Begins to separate a song of 20 pieces together.
    fn separate(&self) -> (JobHandle, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let song = song(dir.path(), 2, 14_000);
        let mut request = request(&song, &self.here, &dir.path().join("job"), &pool(1));
        request.crew = Some(self.main.crew());
        (job::start(request).unwrap(), dir)
    }

    /// Has the worker's first results compared, in a job of its own.
    fn prove(&self) {
        let (job, _dir) = self.separate();
        while self.checks_left() > 0 {
            let before = self.here.computed().len();
            self.gate.open(1);
            wait_until("this computer to compute a piece, or to be done with comparing", || {
                self.checks_left() == 0
                    || self.here.computed().len() > before
                    || !matches!(job.status().phase, JobPhase::Running)
            });
        }
        self.gate.open(1_000);
        assert!(matches!(job.wait().phase, JobPhase::Done));
        self.gate.shut();
    }

    fn restart_main(&mut self) {
        self.main.close();
        self.main.open();
    }

    fn restart_worker(&mut self) {
        self.worker.stop();
        self.worker.start();
    }
}

#[test]
fn who_was_right_twice_is_believed_in_later_jobs_and_after_a_restart() {
    let mut rig = Rig::new();
    assert_eq!(rig.checks_left(), FIRST_CHECKS);
    {
        // As long as nothing was compared, nothing of it counts.
        let (job, _dir) = rig.separate();
        wait_until("results to wait", || {
            job.status().workers.get(1).is_some_and(|w| w.speed_x_real_time.is_some())
        });
        assert_eq!(job.status().committed(), 0);
    }
    rig.prove();
    assert_eq!(rig.checks_left(), 0);
    rig.restart_main();
    rig.restart_worker();
    assert_eq!(rig.checks_left(), 0);
    // Some are still compared, and a picked one waits; but this computer has not computed any.
    let before = rig.here.computed().len();
    let (job, _dir) = rig.separate();
    wait_until("its pieces to be kept", || job.status().committed() >= 3);
    assert_eq!(rig.here.computed().len(), before);
    rig.gate.open(1_000);
    assert!(matches!(job.wait().phase, JobPhase::Done));
}

#[test]
fn another_program_other_kernels_or_another_model_are_new() {
    let mut rig = Rig::new();
    rig.prove();
    let mut other = rig.work.clone();
    Arc::make_mut(&mut other.model).hash = [8; 32];
    let peer = rig.main.peers().find(rig.worker.identity.device()).unwrap();
    let mut setup = peer.passed[0].setup.clone();
    assert_eq!(peer.checks_left(&setup), 0);
    setup.model = other.model.hash;
    assert_eq!(peer.checks_left(&setup), FIRST_CHECKS);

    let change = |rig: &mut Rig, how: fn(&mut engine::protocol::Hello)| {
        how(&mut rig.worker.shop.hello.lock().unwrap());
        let before = rig.main.member(&rig.worker, &rig.work);
        rig.restart_worker();
        wait_until("another connection", || {
            let present = rig.main.present(&rig.worker, &rig.work);
            let now = present.and_then(|present| present.member);
            now.is_some_and(|now| !Arc::ptr_eq(&now, &before))
        });
        rig.checks_left()
    };
    assert_eq!(change(&mut rig, |hello| hello.program = "0.2.0".into()), FIRST_CHECKS);
    assert_eq!(change(&mut rig, |hello| hello.program = "0.1.0".into()), 0);
    assert_eq!(change(&mut rig, |hello| hello.kernels = "NEON".into()), FIRST_CHECKS);
}

#[test]
fn who_lied_is_new_when_the_user_tries_it_again() {
    let mut rig = Rig::new();
    rig.prove();
    let device = rig.worker.identity.device();
    rig.main.crew().accuse(device, &rig.work);
    rig.restart_main();
    rig.main.hub().try_again(device).unwrap();
    assert_eq!(rig.checks_left(), FIRST_CHECKS);
}
