//! The other computers of a job: who joined, who left, and what follows when one gave a wrong
//! result.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Change, Driver};
use crate::{
    assemble::Assembler,
    crew::{Crew, DeviceId, Member, Present, Standing, Work},
    error::{Error, Result},
    job::{Inputs, WorkerActivity, control::Shared, joiner::Joiner, ledger::LOCAL},
    scheduler::{Scrutiny, WorkerId},
    waveform::Waveform,
};

/// The roll is asked for so often although nobody poked.
const ROLL_EVERY: Duration = Duration::from_secs(1);

/// The crew as the driver asks it.
pub(super) struct Others {
    crew: Arc<dyn Crew>,
    work: Work,
    poked: Arc<AtomicBool>,
    asked: Option<Instant>,
    /// Members that are worth nothing any more, until the roll shows another in their place.
    spent: BTreeMap<WorkerId, Arc<dyn Member>>,
    leaving: BTreeSet<WorkerId>,
    /// Pokes us as long as it lives.
    _watch: Box<dyn Send + Sync>,
}

impl Others {
    /// `None` where the job is for this computer alone.
    pub(super) fn new(inputs: &Inputs, shared: &Arc<Shared>) -> Option<Self> {
        let crew = Arc::clone(inputs.crew.as_ref()?);
        let work = Work {
            model: Arc::new(inputs.separator.info().clone()),
            quality: inputs.quality,
            keep: Arc::clone(&inputs.keep),
        };
        let poked = Arc::new(AtomicBool::new(true));
        let (flag, shared) = (Arc::clone(&poked), Arc::clone(shared));
        let watch = crew.watch(Arc::new(move || {
            flag.store(true, Ordering::Release);
            shared.poke();
        }));
        Some(Self {
            crew,
            work,
            poked,
            asked: None,
            spent: BTreeMap::new(),
            leaving: BTreeSet::new(),
            _watch: watch,
        })
    }

    fn roll_if_due(&mut self) -> Option<Vec<Present>> {
        let poked = self.poked.swap(false, Ordering::AcqRel);
        if !poked && self.asked.is_some_and(|at| at.elapsed() < ROLL_EVERY) {
            return None;
        }
        self.asked = Some(Instant::now());
        Some(self.crew.roll(&self.work))
    }

    fn is_spent(&self, worker: WorkerId, member: &Arc<dyn Member>) -> bool {
        self.spent.get(&worker).is_some_and(|spent| Arc::ptr_eq(spent, member))
    }
}

impl Driver {
    /// Keeps the scheduler in step with who is there. Nobody is asked to get ready before the job's
    /// turn has come.
    pub(super) fn call_roll(&mut self) {
        if !self.active {
            return;
        }
        let Some(roll) = self.others.as_mut().and_then(Others::roll_if_due) else { return };
        let mut gone: BTreeSet<WorkerId> = self.desk.members().collect();
        self.ledger.forget_standings();
        for present in &roll {
            let id = self.ledger.meet(present);
            gone.remove(&id);
            self.meet(id, present);
        }
        for id in gone {
            self.lose(id);
        }
        self.changed = self.changed.max(Change::Little);
    }

    fn meet(&mut self, id: WorkerId, present: &Present) {
        let Some(others) = &mut self.others else { return };
        let usable = present
            .member
            .as_ref()
            .filter(|member| present.standing == Standing::Ready && !others.is_spent(id, member));
        let known = self.desk.member(id);
        let is_same = known.zip(usable).is_some_and(|(old, new)| Arc::ptr_eq(old, new));
        match (known.is_some(), usable) {
            (true, Some(_)) if is_same && !others.leaving.contains(&id) => {}
            (was_there, Some(member)) => {
                others.leaving.remove(&id);
                others.spent.remove(&id);
                let member = Arc::clone(member);
                if was_there && !is_same {
                    self.lose(id);
                }
                // All this before it joins, for it is given chunks at once.
                let first = self.state.passed(id) + member.checks_left();
                self.state.on_scrutiny(id, Scrutiny { first, seed: seed(present.device) });
                self.desk.add_member(id, Arc::clone(&member));
                let now = self.epoch.elapsed();
                self.state.on_worker_joined(&mut self.desk, now, id, member.spec());
            }
            (true, None) if present.standing == Standing::Away => self.lose(id),
            (true, None) => {
                if others.leaving.insert(id) {
                    let now = self.epoch.elapsed();
                    self.state.on_worker_leaving(&mut self.desk, now, id);
                }
            }
            (false, None) => {}
        }
    }

    /// The connection to a computer is gone, and with it what it had.
    fn lose(&mut self, id: WorkerId) {
        if let Some(others) = &mut self.others {
            others.leaving.remove(&id);
        }
        self.desk.remove_member(id);
        let now = self.epoch.elapsed();
        self.state.on_worker_lost(&mut self.desk, now, id);
    }

    /// As [`Self::lose`]; its member is of no use any more, whatever the roll says, until there is
    /// another one.
    fn drop_member(&mut self, id: WorkerId) {
        if let (Some(others), Some(member)) = (&mut self.others, self.desk.member(id)) {
            others.spent.insert(id, Arc::clone(member));
        }
        self.lose(id);
    }

    /// A computer handed a chunk back; the roll most likely says why.
    pub(super) fn ask_soon(&self) {
        if let Some(others) = &self.others {
            others.poked.store(true, Ordering::Release);
        }
    }

    /// Sees to computers that gave wrong results. True unless that is still to be done.
    pub(super) fn withdraw_accused(&mut self) -> bool {
        while let Some(worker) = self.desk.accused() {
            if self.halted.is_some() {
                return false;
            }
            if let Err(error) = self.withdraw(worker) {
                self.state.on_pause(&mut self.desk);
                self.active = false;
                self.halt(error);
                return false;
            }
            self.desk.forget_accused();
        }
        true
    }

    /// Has everything computed again that `worker` computed of this job, earlier runs included: what
    /// is committed, and the stems where it is in them. Their neighbours' results are not kept once
    /// they are joined, so some of these are computed again, too.
    fn withdraw(&mut self, worker: WorkerId) -> Result<()> {
        for chunk in self.desk.discard_unstored(worker) {
            self.state.on_store_failed(chunk);
        }
        let theirs = self.ledger.done_by(worker);
        let name = self.ledger.name(worker);
        tracing::warn!("{name} gave a wrong result: {} pieces are withdrawn", theirs.len());
        self.folder.withdraw(&theirs, &self.inputs.plan, &self.stems)?;
        if let (Some(others), Some(device)) = (&self.others, self.ledger.device(worker)) {
            others.crew.accuse(device, &others.work);
        }
        self.drop_member(worker);

        self.joiner.stop();
        let plan = &self.inputs.plan;
        let mut finals = self.joiner.finals();
        let before = finals.clone();
        for cell in theirs.iter().flat_map(|&chunk| plan.cells_of_chunk(chunk)) {
            finals[cell] = None;
        }
        let again: Vec<usize> = self
            .ledger
            .committed()
            .filter(|chunk| {
                let cells = plan.cells_of_chunk(*chunk);
                let has_no_file = before[cells.clone()].iter().all(Option::is_some);
                let is_needed = finals[cells].iter().any(Option::is_none);
                theirs.binary_search(chunk).is_ok() || (has_no_file && is_needed)
            })
            .collect();
        for waveform in &self.stems.waveforms {
            waveform.replace(Waveform::new());
        }
        let assembler = Assembler::new(
            Arc::clone(plan),
            &self.folder.chunk_dir(),
            Arc::clone(&self.inputs.mixture),
            Arc::clone(&self.stems),
        );
        self.joiner = Joiner::start(Arc::clone(plan), assembler, &finals)?;
        again.iter().for_each(|&chunk| self.ledger.forget(chunk));
        self.ledger.committed().for_each(|chunk| self.joiner.on_committed(chunk));
        self.stems.set_ready(self.joiner.ready().clone());
        let now = self.epoch.elapsed();
        self.state.on_withdrawn(&mut self.desk, now, &again);
        self.changed = Change::Much;
        Ok(())
    }

    /// What the worker of this number does, with `working` chunks in its hands.
    pub(super) fn activity(&self, id: WorkerId, working: usize, is_paused: bool) -> WorkerActivity {
        let at_work = match working {
            _ if is_paused => WorkerActivity::Paused,
            0 => WorkerActivity::Idle,
            chunks => WorkerActivity::Working(chunks),
        };
        if id == LOCAL || working > 0 {
            return at_work;
        }
        if let Some(left) = self.state.quarantine_left(self.epoch.elapsed(), id) {
            let why = "Too many pieces failed on it".into();
            return WorkerActivity::Absent(Standing::SetAside { left: Some(left), why });
        }
        match self.ledger.standing(id) {
            Some(Standing::Ready) if self.desk.member(id).is_some() => at_work,
            None | Some(Standing::Ready) => WorkerActivity::Absent(Standing::Away),
            Some(standing) => WorkerActivity::Absent(standing.clone()),
        }
    }

    /// The computer's connection went while it had a chunk.
    pub(super) fn on_lost(&mut self, worker: WorkerId, chunk: usize, error: Error) {
        tracing::info!("piece {chunk}: {error}");
        self.errors.insert(chunk, Arc::new(error));
        self.drop_member(worker);
    }
}

/// Two computers are checked on different chunks.
fn seed(device: DeviceId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&device.0[..8]);
    u64::from_le_bytes(bytes)
}
