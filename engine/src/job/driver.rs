//! The thread that owns a job: feeds the scheduler with events, commits results, has cells joined,
//! and publishes what it is at.

mod others;

use std::{
    collections::BTreeMap,
    mem::{Discriminant, discriminant},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, select};

use self::others::Others;
use super::{
    ChunkState, Inputs, JobPhase, JobStatus, Stems,
    control::{Shared, Want, Wishes},
    desk::{Delivered, Desk, Report},
    folder::{By, Committed, Folder, Past},
    joiner::{Joiner, Reply},
    ledger::{Done, LOCAL, Ledger, given_up_error, null_test},
    meter::Meter,
};
use crate::{
    assemble::Assembler,
    audio::WORK_RATE_HZ,
    crew::Ending,
    error::{Error, ErrorKind, Result},
    local::Turn,
    scheduler::{Cause, Phase, State, WorkerSpec},
};

/// Between two looks at progress and clock, and between two snapshots.
const BEAT: Duration = Duration::from_millis(50);

/// How long a cancelled job waits for chunks that do not stop.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    inputs: Inputs,
    folder: Folder,
    stems: Arc<Stems>,
    shared: Arc<Shared>,
    state: State,
    desk: Desk,
    others: Option<Others>,
    joiner: Joiner,
    meter: Meter,
    epoch: Instant,
    ledger: Ledger,
    errors: BTreeMap<usize, Arc<Error>>,
    /// Why the job stands still until it is told to go on.
    halted: Option<Arc<Error>>,
    cancelled: Option<Instant>,
    paused: bool,
    finished: bool,
    playhead_frame: u64,
    turn: Option<Turn>,
    /// Chunks are being handed out.
    active: bool,
    last_tick: Instant,
    published: Option<Instant>,
    published_phase: Option<Discriminant<JobPhase>>,
    changed: Change,
}

/// Whether there is something to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    /// With the next beat.
    Little,
    /// At once.
    Much,
}

impl Driver {
    /// The whole life of the thread.
    pub(super) fn run(
        inputs: Inputs,
        folder: Folder,
        past: Past,
        stems: Arc<Stems>,
        shared: Arc<Shared>,
        poked: Receiver<()>,
    ) {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let (mut driver, bell) = Self::new(inputs, folder, past, stems, Arc::clone(&shared))?;
            driver.work(&poked, &bell);
            Ok(())
        }));
        let error = match ran {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(Error::new(ErrorKind::Internal, "The separation broke off")),
        };
        if let Some(error) = error {
            let error = error
                .kept("What was finished is saved")
                .advice("Start the separation again; it goes on from there");
            let status = JobStatus::clone(&shared.status());
            shared.publish(JobStatus { phase: JobPhase::Failed(Arc::new(error)), ..status });
        }
        shared.end();
    }

    fn new(
        inputs: Inputs,
        folder: Folder,
        mut past: Past,
        stems: Arc<Stems>,
        shared: Arc<Shared>,
    ) -> Result<(Self, Receiver<()>)> {
        let plan = &inputs.plan;
        folder.verify(&mut past, plan, &stems, &|| shared.is_cancelled());
        let chunk_dir = folder.chunk_dir();
        let assembler = Assembler::new(
            Arc::clone(plan),
            &chunk_dir,
            Arc::clone(&inputs.mixture),
            Arc::clone(&stems),
        );
        let mut joiner = Joiner::start(Arc::clone(plan), assembler, &past.cells)?;
        let ledger = Ledger::of(&past);
        ledger.committed().for_each(|chunk| joiner.on_committed(chunk));
        let playhead_frame = shared.wishes().playhead_frame;
        let mut state = State::new(Arc::clone(plan.segments()), playhead_frame, ledger.committed());
        let (mut desk, bell) = Desk::new(inputs.clone(), &chunk_dir);
        // Nothing is handed out before it is this job's turn.
        state.on_pause(&mut desk);
        let slots = inputs.pool.slots(inputs.separator.info());
        let shares_threads = inputs.separator.uses_all_threads();
        let threads_per_slot =
            if shares_threads { inputs.pool.threads() as f64 / slots as f64 } else { 1.0 };
        let cost = inputs.separator.info().cost_core_secs_per_sec / threads_per_slot;
        let expected_secs_per_frame = cost / f64::from(WORK_RATE_HZ);
        let spec = WorkerSpec { slots, local: true, shares_threads, expected_secs_per_frame };
        state.on_worker_joined(&mut desk, Duration::ZERO, LOCAL, spec);
        let now = Instant::now();
        let mut driver = Self {
            others: Others::new(&inputs, &shared),
            inputs,
            folder,
            stems,
            shared,
            state,
            desk,
            joiner,
            meter: Meter::new(),
            epoch: now,
            ledger,
            errors: BTreeMap::new(),
            halted: None,
            cancelled: None,
            paused: false,
            finished: false,
            playhead_frame,
            turn: None,
            active: false,
            last_tick: now,
            published: None,
            published_phase: None,
            changed: Change::Much,
        };
        driver.show_ready();
        Ok((driver, bell))
    }

    fn work(&mut self, poked: &Receiver<()>, bell: &Receiver<()>) {
        loop {
            let wishes = self.shared.wishes();
            self.obey(&wishes);
            self.call_roll();
            self.store_results();
            self.advance();
            self.publish_if_due();
            if self.finished || self.may_leave() {
                self.changed = Change::Much;
                self.publish_if_due();
                return;
            }
            if self.rests() {
                self.shared.rest(&wishes);
            }
            let replies = self.joiner.replies().clone();
            select! {
                recv(poked) -> _ => {}
                recv(bell) -> _ => {
                    while let Some(report) = self.desk.next_report() {
                        self.on_report(report);
                        self.store_results();
                    }
                }
                recv(replies) -> reply => match reply {
                    Ok(reply) => self.on_reply(reply),
                    Err(_) => {
                        self.fail_for_good();
                        return;
                    }
                },
                default(self.patience()) => {}
            }
            if self.last_tick.elapsed() >= BEAT {
                self.tick();
            }
        }
    }

    /// Brings what the job does in line with what the user wants.
    fn obey(&mut self, wishes: &Wishes) {
        let now = self.epoch.elapsed();
        self.playhead_frame = wishes.playhead_frame;
        self.state.on_playhead(wishes.playhead_frame);
        if wishes.want == Want::Cancel && self.cancelled.is_none() {
            self.cancelled = Some(Instant::now());
            self.state.on_cancel(&mut self.desk);
            self.changed = Change::Much;
        }
        if wishes.go_on && self.halted.take().is_some() {
            self.changed = Change::Much;
        }
        if wishes.retry {
            self.errors.clear();
            self.state.on_retry_failed(&mut self.desk, now);
            self.changed = Change::Much;
        }
        let wanted = wishes.want == Want::Run
            && self.cancelled.is_none()
            && self.halted.is_none()
            && !self.state.is_finished();
        if !wanted {
            self.changed = self.changed.max(match self.turn.take() {
                Some(_) => Change::Much,
                None => Change::Nothing,
            });
        } else if self.turn.is_none() {
            let shared = Arc::clone(&self.shared);
            self.turn = Some(self.inputs.pool.queue_up(move || shared.poke()));
            self.changed = Change::Much;
        }
        let active = self.turn.as_ref().is_some_and(Turn::has_come);
        if active != self.active {
            self.active = active;
            self.changed = Change::Much;
            if active {
                self.state.on_resume(&mut self.desk, now);
            } else {
                self.state.on_pause(&mut self.desk);
            }
        }
        self.paused = wishes.want == Want::Pause;
        let running = matches!(self.phase(), JobPhase::Running);
        self.meter.set_running(running);
    }

    /// Commits the results that the scheduler chose.
    fn store_results(&mut self) {
        if !self.withdraw_accused() {
            return;
        }
        while let Some((lease, Delivered { file, hash, took, .. })) = self.desk.next_to_store() {
            let chunk = lease.chunk;
            let by = self.ledger.device(lease.worker).map_or(By::Local, By::Computer);
            let committed = Committed { by, compute_secs: took.as_secs_f32(), hash };
            let who = self.ledger.introduction(lease.worker);
            match self.folder.commit(chunk, &file, &committed, who) {
                Ok(()) => {
                    let compute_secs = committed.compute_secs;
                    self.ledger.note(chunk, Done { worker: lease.worker, compute_secs });
                    self.errors.remove(&chunk);
                    self.meter.on_committed(self.inputs.plan.advance_frames(chunk));
                    let now = self.epoch.elapsed();
                    self.state.on_committed(&mut self.desk, now, lease.worker, chunk);
                    self.joiner.on_committed(chunk);
                    self.changed = self.changed.max(Change::Little);
                }
                Err(error) => {
                    let _ = std::fs::remove_file(&file);
                    self.state.on_pause(&mut self.desk);
                    self.active = false;
                    self.state.on_store_failed(chunk);
                    self.halt(error);
                }
            }
        }
        for chunk in self.desk.take_given_up() {
            let stalled = || Error::new(ErrorKind::Internal, "The model did not get on with it");
            let error = self.errors.entry(chunk).or_insert_with(|| Arc::new(stalled()));
            tracing::warn!("gave up on piece {chunk}: {error}");
            self.changed = Change::Much;
        }
    }

    /// Has the next cells joined, and notices the end.
    fn advance(&mut self) {
        if self.halted.is_some() || self.cancelled.is_some() {
            return;
        }
        let ends = self.state.is_finished();
        self.joiner.pump(self.playhead_frame, ends);
        if ends && self.joiner.is_idle() && self.failed_chunks().next().is_none() {
            match self.folder.finish(&self.stems) {
                Ok(()) => {
                    self.finished = true;
                    self.changed = Change::Much;
                }
                Err(error) => self.halt(error),
            }
        }
    }

    fn on_report(&mut self, report: Report) {
        let now = self.epoch.elapsed();
        // The next chunk is handed out in answer to this one; a seek made before it counts.
        self.state.on_playhead(self.shared.playhead_frame());
        let (lease, ending) = match report {
            Report::Started(lease) => {
                self.state.on_started(now, lease.worker, lease.chunk, lease.attempt);
                self.changed = self.changed.max(Change::Little);
                return;
            }
            Report::Ended(lease, ending) => (lease, ending),
        };
        if !self.desk.close(lease) {
            if let Ending::Stored { target, .. } = ending {
                // What stays behind is removed at the next start.
                let _ = std::fs::remove_file(target);
            }
            return;
        }
        self.changed = self.changed.max(Change::Little);
        let (worker, chunk, attempt) = (lease.worker, lease.chunk, lease.attempt);
        let (state, desk) = (&mut self.state, &mut self.desk);
        match ending {
            Ending::Stored { target, hash, took } => {
                let by = desk.member(worker).cloned();
                desk.deliver(lease, Delivered { file: target, hash, took, by });
                state.on_result(desk, now, worker, chunk, attempt);
            }
            Ending::Failed(Cause::Lost, error) if worker != LOCAL => {
                self.on_lost(worker, chunk, error);
            }
            Ending::Failed(cause, error) => {
                tracing::info!("piece {chunk}, attempt {attempt}: {error}");
                self.errors.insert(chunk, Arc::new(error));
                state.on_failed(desk, now, worker, chunk, attempt, cause);
            }
            Ending::Stopped => {
                state.on_stopped(desk, now, worker, chunk, attempt);
                self.ask_soon();
            }
            Ending::Halted(error) => {
                state.on_pause(desk);
                self.active = false;
                state.on_stopped(desk, now, worker, chunk, attempt);
                self.halt(error);
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        match self.joiner.on_reply(reply) {
            Ok(true) => match self.folder.note_joined(self.joiner.synced()) {
                Ok(()) => {
                    for chunk in self.joiner.on_journalled() {
                        self.folder.remove_chunk(chunk);
                    }
                }
                Err(error) => self.halt(error),
            },
            Ok(false) => {}
            Err(error) => self.halt(error),
        }
        self.show_ready();
    }

    fn show_ready(&mut self) {
        if self.stems.ready().frames() != self.joiner.ready().frames() {
            self.stems.set_ready(self.joiner.ready().clone());
            let is_first = self.meter.on_audio();
            self.changed = self.changed.max(if is_first { Change::Much } else { Change::Little });
        }
    }

    /// Looks at progress and clock.
    fn tick(&mut self) {
        self.last_tick = Instant::now();
        let now = self.epoch.elapsed();
        for (lease, done) in self.desk.progress() {
            self.state.on_progress(now, lease.worker, lease.chunk, lease.attempt, done);
        }
        self.state.on_tick(&mut self.desk, now);
        if self.active {
            self.changed = self.changed.max(Change::Little);
        }
    }

    /// Stands still until told to go on; the first error is the one that counts.
    fn halt(&mut self, error: Error) {
        let (done, all) = (self.ledger.committed().count(), self.ledger.len());
        let advice = match error.kind {
            ErrorKind::DiskFull => "Free some space and press Continue",
            _ => "See to the disk and press Continue",
        };
        tracing::warn!("stopped: {error}");
        let error = error.kept(format!("{done} of {all} pieces are done and saved")).advice(advice);
        self.halted.get_or_insert_with(|| Arc::new(error));
        self.changed = Change::Much;
    }

    fn fail_for_good(&mut self) {
        self.state.on_cancel(&mut self.desk);
        self.halt(Error::new(ErrorKind::Internal, "Joining the stems broke off"));
        self.publish_if_due();
    }

    /// Whether a cancelled job has waited long enough for its chunks.
    fn may_leave(&self) -> bool {
        self.cancelled.is_some_and(|since| self.state.is_quiet() || since.elapsed() >= LEAVE_AFTER)
    }

    /// Whether nothing will happen until the user wishes something.
    fn rests(&self) -> bool {
        let stopped = self.halted.is_some();
        let given_up = self.state.is_finished() && self.joiner.is_idle();
        (stopped || given_up) && self.cancelled.is_none() && self.changed == Change::Nothing
    }

    /// How long to wait for an event.
    fn patience(&self) -> Duration {
        let until_publishing = match self.changed {
            Change::Nothing => Duration::MAX,
            _ => BEAT,
        };
        let until_tick = if self.active || self.cancelled.is_some() { BEAT } else { Duration::MAX };
        until_publishing.min(until_tick).min(Duration::from_secs(3600))
    }

    fn failed_chunks(&self) -> impl Iterator<Item = usize> {
        (0..self.ledger.len()).filter(|&chunk| self.state.phase(chunk) == Phase::Failed)
    }

    fn phase(&self) -> JobPhase {
        if self.cancelled.is_some() {
            JobPhase::Cancelled
        } else if let Some(error) = &self.halted {
            JobPhase::Failed(Arc::clone(error))
        } else if self.finished {
            JobPhase::Done
        } else if self.state.is_finished() {
            if self.joiner.is_idle() && self.failed_chunks().next().is_some() {
                let segments = self.inputs.plan.segments();
                let failed: Vec<usize> = self.failed_chunks().collect();
                let first = self.errors.get(&failed[0]).cloned();
                JobPhase::Failed(Arc::new(given_up_error(segments, &failed, first)))
            } else {
                JobPhase::Running
            }
        } else if self.paused {
            JobPhase::Paused
        } else if self.active {
            JobPhase::Running
        } else {
            JobPhase::Queued
        }
    }

    fn publish_if_due(&mut self) {
        let phase = discriminant(&self.phase());
        if self.published_phase != Some(phase) {
            self.published_phase = Some(phase);
            self.changed = Change::Much;
        }
        let rested = self.published.is_none_or(|at| at.elapsed() >= BEAT);
        if self.changed == Change::Much || (self.changed == Change::Little && rested) {
            self.changed = Change::Nothing;
            self.published = Some(Instant::now());
            let status = self.status();
            self.shared.publish(status);
        }
    }

    fn status(&mut self) -> JobStatus {
        let plan = &self.inputs.plan;
        let mut status = self.ledger.status(&self.inputs, self.phase());
        let place = self.ledger.places();
        for chunk in 0..status.chunks.len() {
            match self.state.phase(chunk) {
                Phase::Received | Phase::Checking => {
                    let worker = place[self.state.checked_worker(chunk).unwrap_or(LOCAL)];
                    let tries = self.state.tries(chunk);
                    let state =
                        ChunkState::Running { worker, progress: 1.0, sent_back: None, tries };
                    status.chunks[chunk] = state;
                }
                Phase::Failed => {
                    if let Some(error) = self.errors.get(&chunk) {
                        status.chunks[chunk] = ChunkState::Failed(Arc::clone(error));
                    }
                }
                Phase::Pending | Phase::Leased | Phase::Committed => {}
            }
        }
        let mut working = vec![0; status.workers.len()];
        let mut partial_frames = 0.0;
        for (lease, done) in self.state.leases() {
            working[place[lease.worker]] += 1;
            // Of two copies the one that is further counts.
            let state = &mut status.chunks[lease.chunk];
            let before = match state {
                ChunkState::Running { progress, .. } => *progress,
                _ => -1.0,
            };
            if done > before {
                *state = ChunkState::Running {
                    worker: place[lease.worker],
                    progress: done,
                    sent_back: self.desk.sent_back(lease),
                    tries: self.state.tries(lease.chunk),
                };
                let gain = f64::from(done - before.max(0.0));
                partial_frames += gain * plan.advance_frames(lease.chunk) as f64;
            }
        }
        let is_paused = matches!(status.phase, JobPhase::Paused);
        for (id, &place) in place.iter().enumerate() {
            let worker = &mut status.workers[place];
            worker.activity = self.activity(id, working[place], is_paused);
            let speed = self.state.measured_frames_per_sec(id);
            worker.speed_x_real_time = speed.map(|speed| (speed / f64::from(WORK_RATE_HZ)) as f32);
        }

        let unfinished: u64 = (0..self.ledger.len())
            .filter(|&n| !matches!(self.state.phase(n), Phase::Committed | Phase::Failed))
            .map(|chunk| plan.advance_frames(chunk))
            .sum();
        let (sums, frames) = self.joiner.sums();
        status.ready = self.stems.ready();
        status.null_test = null_test(&self.inputs, sums, frames);
        status.elapsed = self.meter.elapsed();
        status.speed_x_real_time = self.meter.speed_x_real_time(partial_frames);
        if matches!(status.phase, JobPhase::Running | JobPhase::Paused) {
            status.eta = self.meter.eta(unfinished, partial_frames);
        }
        status.first_audio = self.meter.first_audio();
        status.fraction_floor = self.meter.floor(status.fraction());
        status
    }
}
