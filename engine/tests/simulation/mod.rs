//! The scheduler amid workers with speeds, faults and lies, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "the tests and the table of figures use some of it")]

pub mod figures;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use engine::scheduler::{Cause, Comm, Lease, Phase, Scrutiny, State, WorkerId, WorkerSpec};

/// How long a silent connection is believed in.
pub const SILENCE_SECS: f64 = 8.0;

/// Between two ticks.
const TICK_SECS: f64 = 0.25;

/// What a worker is like. Number 0 is the local one.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    pub slots: usize,
    /// Seconds for one chunk on one slot.
    pub chunk_secs: f64,
    /// Seconds from one computer to the other.
    pub link_secs: f64,
    pub scrutiny: Option<Scrutiny>,
    pub honesty: Honesty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honesty {
    Honest,
    /// Every result is wrong.
    Liar,
    /// Right at first, wrong from so many results on.
    Turns(u32),
    /// One in so many is wrong.
    Sometimes(u32),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// It dies without a word; noticed by the silence.
    Kill(WorkerId),
    /// It is there again, with another connection.
    Return(WorkerId),
    /// It stops at once, and goes on after so many seconds.
    Freeze(WorkerId, f64),
    /// From now on everything takes so many times as long.
    Slow(WorkerId, f64),
    /// What computes breaks down, which is told at once; the connection lives.
    Crash(WorkerId),
    /// It hands back what it has, and goes.
    Leave(WorkerId),
    /// The user listens elsewhere.
    Seek(u64),
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Tick,
    Fault(Fault),
    /// An order, a call back or a result, and the connection it was sent on.
    Order(Lease, u32),
    CallBack(Lease, u32),
    Answer(Lease, u32, bool),
    /// A chunk is computed, unless its epoch is over.
    Done(Lease, u32),
    Thaw(WorkerId, u32),
    Silence(WorkerId, u32),
}

#[derive(Debug)]
struct Job {
    lease: Lease,
    /// Seconds of computing left at `since`, without slowness.
    left_secs: f64,
    since: f64,
    epoch: u32,
}

#[derive(Debug)]
struct Worker {
    nature: Nature,
    alive: bool,
    frozen: bool,
    joined: bool,
    connection: u32,
    slowness: f64,
    results: u32,
    queue: VecDeque<Lease>,
    jobs: Vec<Job>,
    /// What arrived while it was frozen.
    unread: Vec<Event>,
}

/// What the scheduler wants, and what became of it.
#[derive(Debug, Default)]
pub struct World {
    outgoing: Vec<(Lease, bool)>,
    to_store: Vec<Lease>,
    to_accuse: Vec<WorkerId>,
    wrong: BTreeSet<Lease>,
    compared: std::cell::RefCell<BTreeSet<Lease>>,
    /// Who committed what.
    pub committed: BTreeMap<usize, Lease>,
    pub accused: BTreeSet<WorkerId>,
    pub given_up: BTreeSet<usize>,
    pub withdrawn: usize,
    pub checks: usize,
}

impl Comm for World {
    fn dispatch(&mut self, lease: Lease) {
        assert!(!self.committed.contains_key(&lease.chunk), "{lease:?} is committed");
        assert!(!self.accused.contains(&lease.worker), "{lease:?} goes to a liar");
        self.outgoing.push((lease, true));
    }

    fn revoke(&mut self, lease: Lease) {
        self.outgoing.push((lease, false));
    }

    fn store(&mut self, lease: Lease) {
        self.to_store.push(lease);
    }

    fn discard(&mut self, _: Lease) {}

    fn agree(&self, held: Lease, local: Lease) -> bool {
        assert!(!self.wrong.contains(&local), "{local:?} is always right");
        self.compared.borrow_mut().insert(held);
        !self.wrong.contains(&held)
    }

    fn accuse(&mut self, worker: WorkerId) {
        self.to_accuse.push(worker);
    }

    fn give_up(&mut self, chunk: usize) {
        self.given_up.insert(chunk);
    }
}

pub struct Simulation {
    pub state: State,
    pub world: World,
    pub now_secs: f64,
    segments: Arc<[Range<u64>]>,
    workers: Vec<Worker>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    by_number: BTreeMap<u64, Event>,
    count: u64,
}

impl Simulation {
    pub fn new(segments: Arc<[Range<u64>]>, natures: &[Nature]) -> Self {
        let idle = |&nature: &Nature| Worker {
            nature,
            alive: true,
            frozen: false,
            joined: false,
            connection: 0,
            slowness: 1.0,
            results: 0,
            queue: VecDeque::new(),
            jobs: Vec::new(),
            unread: Vec::new(),
        };
        let mut sim = Self {
            state: State::new(Arc::clone(&segments), 0, []),
            world: World::default(),
            now_secs: 0.0,
            segments,
            workers: natures.iter().map(idle).collect(),
            events: BinaryHeap::new(),
            by_number: BTreeMap::new(),
            count: 0,
        };
        for id in 0..natures.len() {
            sim.join(id);
        }
        sim.after(TICK_SECS, Event::Tick);
        sim
    }

    /// Has something happen at `at_secs`.
    pub fn plan(&mut self, at_secs: f64, fault: Fault) {
        self.after(at_secs - self.now_secs, Event::Fault(fault));
    }

    /// Runs to the end; how long that took.
    pub fn run(&mut self) -> f64 {
        self.run_until(f64::INFINITY);
        assert!(self.state.is_finished());
        self.now_secs
    }

    pub fn run_until(&mut self, secs: f64) {
        self.carry_out();
        while !self.state.is_finished() {
            let Some(&Reverse((at, number))) = self.events.peek() else {
                panic!("nothing happens")
            };
            let at_secs = at as f64 / 1e6;
            if at_secs > secs {
                return;
            }
            assert!(at_secs < 1e6, "the job does not finish: {:?}", self.state);
            self.events.pop();
            self.now_secs = at_secs;
            if let Some(event) = self.by_number.remove(&number) {
                self.happen(event);
            }
            self.carry_out();
        }
    }

    pub fn now(&self) -> Duration {
        Duration::from_secs_f64(self.now_secs)
    }

    /// Wrong results that are committed, and those of them that were compared.
    pub fn wrong(&self) -> (Vec<Lease>, usize) {
        let committed = self.world.committed.values().copied();
        let wrong: Vec<Lease> = committed.filter(|l| self.world.wrong.contains(l)).collect();
        let compared = self.world.compared.borrow();
        let seen = wrong.iter().filter(|lease| compared.contains(lease)).count();
        (wrong, seen)
    }

    fn after(&mut self, secs: f64, event: Event) {
        self.count += 1;
        let at = ((self.now_secs + secs.max(0.0)) * 1e6).ceil() as u64;
        self.events.push(Reverse((at, self.count)));
        self.by_number.insert(self.count, event);
    }

    fn chunk_secs(&self, lease: Lease) -> f64 {
        let frames = |chunk: usize| (self.segments[chunk].end - self.segments[chunk].start) as f64;
        self.workers[lease.worker].nature.chunk_secs * frames(lease.chunk) / frames(0)
    }

    fn join(&mut self, id: WorkerId) {
        let Nature { slots, chunk_secs, scrutiny, .. } = self.workers[id].nature;
        let length = self.segments.first().map_or(1, |s| s.end - s.start) as f64;
        let spec = WorkerSpec {
            slots,
            local: id == 0,
            shares_threads: false,
            // Nobody knows beforehand.
            expected_secs_per_frame: if id == 0 { chunk_secs } else { 1.0 } / length,
        };
        if let Some(scrutiny) = scrutiny {
            self.state.on_scrutiny(id, scrutiny);
        }
        self.workers[id].joined = true;
        let now = self.now();
        self.state.on_worker_joined(&mut self.world, now, id, spec);
    }

    /// The connection and everything on it is gone.
    fn cut(&mut self, id: WorkerId) {
        let now = self.now();
        self.forget_work(id);
        let worker = &mut self.workers[id];
        worker.connection += 1;
        worker.unread.clear();
        if std::mem::take(&mut worker.joined) {
            self.state.on_worker_lost(&mut self.world, now, id);
        }
    }

    fn forget_work(&mut self, id: WorkerId) -> Vec<Lease> {
        let worker = &mut self.workers[id];
        let jobs = worker.jobs.drain(..).map(|job| job.lease);
        jobs.chain(worker.queue.drain(..)).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.tick();
                self.after(TICK_SECS, Event::Tick);
            }
            Event::Fault(fault) => self.fault(fault),
            Event::Order(lease, connection) | Event::CallBack(lease, connection) => {
                let worker = &mut self.workers[lease.worker];
                if worker.connection != connection || !worker.alive {
                } else if worker.frozen {
                    worker.unread.push(event);
                } else if let Event::Order(..) = event {
                    worker.queue.push_back(lease);
                    self.begin(lease.worker);
                } else {
                    let had = worker.jobs.len() + worker.queue.len();
                    worker.jobs.retain(|job| job.lease != lease);
                    worker.queue.retain(|&queued| queued != lease);
                    if worker.jobs.len() + worker.queue.len() < had {
                        let link = worker.nature.link_secs;
                        self.after(link, Event::Answer(lease, connection, false));
                    }
                    self.begin(lease.worker);
                }
            }
            Event::Answer(lease, connection, is_result) => {
                let Lease { worker, chunk, attempt, .. } = lease;
                let now = self.now();
                if self.workers[worker].connection == connection {
                    let world = &mut self.world;
                    match is_result {
                        true => self.state.on_result(world, now, worker, chunk, attempt),
                        false => self.state.on_stopped(world, now, worker, chunk, attempt),
                    }
                }
            }
            Event::Done(lease, epoch) => self.done(lease, epoch),
            Event::Thaw(id, connection) => {
                if !std::mem::take(&mut self.workers[id].frozen) {
                    return;
                }
                if self.workers[id].connection != connection {
                    return self.fault(Fault::Return(id));
                }
                self.reschedule(id, 0.0);
                for event in std::mem::take(&mut self.workers[id].unread) {
                    self.happen(event);
                }
            }
            Event::Silence(id, connection) => {
                let worker = &self.workers[id];
                if worker.connection == connection && (worker.frozen || !worker.alive) {
                    self.cut(id);
                }
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(id) => {
                self.forget_work(id);
                self.workers[id].alive = false;
                let connection = self.workers[id].connection;
                self.after(SILENCE_SECS, Event::Silence(id, connection));
            }
            Fault::Return(id) => {
                if !self.world.accused.contains(&id) {
                    self.cut(id);
                    self.workers[id].alive = true;
                    self.workers[id].frozen = false;
                    self.join(id);
                }
            }
            Fault::Freeze(id, secs) => {
                if self.workers[id].alive && !self.workers[id].frozen {
                    self.reschedule(id, f64::INFINITY);
                    self.workers[id].frozen = true;
                    let connection = self.workers[id].connection;
                    self.after(SILENCE_SECS, Event::Silence(id, connection));
                    self.after(secs, Event::Thaw(id, connection));
                }
            }
            Fault::Slow(id, slowness) => {
                if !self.workers[id].frozen {
                    self.reschedule(id, 0.0);
                    self.workers[id].slowness = slowness;
                    self.reschedule(id, 0.0);
                }
            }
            Fault::Crash(id) => {
                if self.workers[id].joined && self.workers[id].alive && !self.workers[id].frozen {
                    let now = self.now();
                    for Lease { worker, chunk, attempt, .. } in self.forget_work(id) {
                        let world = &mut self.world;
                        self.state.on_failed(world, now, worker, chunk, attempt, Cause::Panic);
                    }
                }
            }
            Fault::Leave(id) => {
                if self.workers[id].joined && self.workers[id].alive && !self.workers[id].frozen {
                    let now = self.now();
                    self.state.on_worker_leaving(&mut self.world, now, id);
                    for Lease { worker, chunk, attempt, .. } in self.forget_work(id) {
                        self.state.on_stopped(&mut self.world, now, worker, chunk, attempt);
                    }
                    self.workers[id].alive = false;
                    let connection = self.workers[id].connection;
                    self.after(0.5, Event::Silence(id, connection));
                }
            }
            Fault::Seek(frame) => self.state.on_playhead(frame),
        }
    }

    /// Takes stock of what runs, and goes on `pause` seconds later.
    fn reschedule(&mut self, id: WorkerId, pause: f64) {
        let now = self.now_secs;
        let worker = &mut self.workers[id];
        let (slowness, frozen) = (worker.slowness, worker.frozen);
        let mut due = Vec::new();
        for job in &mut worker.jobs {
            if !frozen && job.since.is_finite() {
                job.left_secs -= (now - job.since) / slowness;
            }
            job.since = now + pause;
            job.epoch += 1;
            due.push((job.left_secs * slowness, Event::Done(job.lease, job.epoch)));
        }
        if pause.is_finite() {
            due.into_iter().for_each(|(secs, event)| self.after(secs, event));
        }
    }

    fn begin(&mut self, id: WorkerId) {
        loop {
            let worker = &mut self.workers[id];
            if worker.jobs.len() >= worker.nature.slots {
                return;
            }
            let Some(lease) = worker.queue.pop_front() else { return };
            let slowness = worker.slowness;
            let left_secs = self.chunk_secs(lease);
            let since = self.now_secs;
            self.workers[id].jobs.push(Job { lease, left_secs, since, epoch: 0 });
            self.state.on_started(self.now(), id, lease.chunk, lease.attempt);
            self.after(left_secs * slowness, Event::Done(lease, 0));
        }
    }

    fn done(&mut self, lease: Lease, epoch: u32) {
        let worker = &mut self.workers[lease.worker];
        let is_it = |job: &Job| job.lease == lease && job.epoch == epoch;
        let Some(at) = worker.jobs.iter().position(is_it) else { return };
        worker.jobs.swap_remove(at);
        worker.results += 1;
        let is_wrong = match worker.nature.honesty {
            Honesty::Honest => false,
            Honesty::Liar => true,
            Honesty::Turns(after) => worker.results > after,
            Honesty::Sometimes(one_in) => worker.results.is_multiple_of(one_in),
        };
        if is_wrong {
            self.world.wrong.insert(lease);
        }
        let (link, connection) = (worker.nature.link_secs, worker.connection);
        self.after(link, Event::Answer(lease, connection, true));
        self.begin(lease.worker);
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut moved = Vec::new();
        for worker in self.workers.iter().filter(|w| w.alive && !w.frozen && w.joined) {
            for job in &worker.jobs {
                let all = self.chunk_secs(job.lease);
                let left = job.left_secs - (self.now_secs - job.since) / worker.slowness;
                moved.push((job.lease, (1.0 - left / all) as f32));
            }
        }
        for (lease, done) in moved {
            self.state.on_progress(now, lease.worker, lease.chunk, lease.attempt, done.min(0.99));
        }
        self.state.on_tick(&mut self.world, now);
    }

    /// Does what the scheduler wants, as a driver would.
    fn carry_out(&mut self) {
        loop {
            for (lease, is_order) in std::mem::take(&mut self.world.outgoing) {
                let Worker { nature, connection, .. } = &self.workers[lease.worker];
                let event = if is_order { Event::Order } else { Event::CallBack };
                self.after(nature.link_secs, event(lease, *connection));
            }
            let now = self.now();
            if let Some(id) = self.world.to_accuse.pop() {
                self.world.accused.insert(id);
                self.world.to_store.retain(|lease| {
                    if lease.worker == id {
                        self.state.on_store_failed(lease.chunk);
                    }
                    lease.worker != id
                });
                let theirs: Vec<usize> = self
                    .world
                    .committed
                    .iter()
                    .filter(|(_, lease)| lease.worker == id)
                    .map(|(&chunk, _)| chunk)
                    .collect();
                theirs.iter().for_each(|chunk| _ = self.world.committed.remove(chunk));
                self.world.withdrawn += theirs.len();
                self.cut(id);
                self.state.on_withdrawn(&mut self.world, now, &theirs);
            } else if let Some(lease) = self.world.to_store.pop() {
                self.world.given_up.remove(&lease.chunk);
                let before = self.world.committed.insert(lease.chunk, lease);
                assert_eq!(before, None, "{lease:?} is committed twice");
                self.state.on_committed(&mut self.world, now, lease.worker, lease.chunk);
            } else if self.world.outgoing.is_empty() {
                break;
            }
        }
        self.world.checks = self.world.compared.borrow().len();
        if self.state.is_finished() {
            for chunk in 0..self.segments.len() {
                let is_committed = self.world.committed.contains_key(&chunk);
                assert_eq!(self.state.phase(chunk) == Phase::Committed, is_committed, "{chunk}");
            }
        }
    }
}
