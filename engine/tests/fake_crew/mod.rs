//! Other computers on threads of this process.
#![allow(dead_code, unreachable_pub, reason = "the tests and the table of figures use some of it")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{
    Error, ErrorKind,
    assemble::write_chunk,
    crew::{
        ChunkTask, Crew, DeviceId, Ending, FIRST_CHECKS, Member, Outcome, Present, Signal,
        Standing, Work, compute,
    },
    model::Progress,
    scheduler::{Cause, WorkerSpec},
    song::Wake,
};

/// What a computer does with its n-th chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    Compute,
    /// Computes it and changes a bit.
    Lie,
    Fail,
    HandBack,
    /// The connection breaks, which all it has is told.
    Die,
    /// The connection breaks, and nobody is told but by the roll.
    Vanish,
    /// Does nothing until it is called back.
    Stall,
}

pub type Temper = Arc<dyn Fn(usize, &Signal) -> Act + Send + Sync>;

type Started = Box<dyn FnOnce() + Send>;
type Ended = Box<dyn FnOnce(Ending) + Send>;
type Order = (ChunkTask, Arc<Signal>, Started, Ended);

pub struct FakeCrew {
    computers: Mutex<Vec<Present>>,
    watchers: Arc<Mutex<Vec<(usize, Wake)>>>,
    count: AtomicUsize,
    /// Results of each computer that were compared and found right.
    passed: Mutex<BTreeMap<usize, u32>>,
    proven: AtomicBool,
    pub accused: Mutex<Vec<DeviceId>>,
    /// Callbacks of connections that vanished.
    never: Mutex<Vec<(Started, Ended)>>,
}

pub fn device(letter: usize) -> DeviceId {
    DeviceId([(letter as u8).wrapping_mul(37); 32])
}

impl FakeCrew {
    /// A crew of nobody.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            computers: Mutex::default(),
            watchers: Arc::default(),
            count: AtomicUsize::new(0),
            passed: Mutex::default(),
            proven: AtomicBool::new(false),
            accused: Mutex::default(),
            never: Mutex::default(),
        })
    }

    /// Those that join from now on were compared often enough.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::SeqCst);
    }

    /// Results of computer `letter` that were compared and found right.
    pub fn passed(&self, letter: usize) -> u32 {
        self.passed.lock().unwrap().get(&letter).copied().unwrap_or(0)
    }

    /// Computer `letter` joins, or joins again with another connection.
    pub fn join(self: &Arc<Self>, letter: usize, slots: usize, temper: Temper) {
        let member = FakeMember::start(self, letter, slots, temper);
        self.stand(letter, Standing::Ready, Some(member));
    }

    /// Computer `letter` stands like this from now on.
    pub fn stand(&self, letter: usize, standing: Standing, member: Option<Arc<dyn Member>>) {
        let mut computers = self.computers.lock().unwrap();
        computers.retain(|present| present.letter != letter);
        computers.push(Present {
            device: device(letter),
            letter,
            name: format!("PC {letter}"),
            threads: 4,
            standing,
            member,
        });
        computers.sort_by_key(|present| present.letter);
        drop(computers);
        self.poke();
    }

    /// A connection is gone; there may be another one by now.
    fn miss(&self, member: &FakeMember) {
        let computers = self.computers.lock().unwrap().clone();
        let is_it = |present: &&Present| {
            let current = present.member.as_ref().map(Arc::as_ptr);
            current.is_some_and(|current| std::ptr::addr_eq(current, member))
        };
        if let Some(present) = computers.iter().find(is_it) {
            self.stand(present.letter, Standing::Away, None);
        }
    }

    fn poke(&self) {
        let watchers: Vec<Wake> =
            self.watchers.lock().unwrap().iter().map(|(_, wake)| Arc::clone(wake)).collect();
        watchers.iter().for_each(|wake| wake());
    }
}

impl Crew for FakeCrew {
    fn roll(&self, _: &Work) -> Vec<Present> {
        self.computers.lock().unwrap().clone()
    }

    fn watch(&self, poke: Wake) -> Box<dyn Send + Sync> {
        struct Watch(usize, Arc<Mutex<Vec<(usize, Wake)>>>);
        impl Drop for Watch {
            fn drop(&mut self) {
                self.1.lock().unwrap().retain(|(number, _)| *number != self.0);
            }
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.watchers.lock().unwrap().push((number, poke));
        Box::new(Watch(number, Arc::clone(&self.watchers)))
    }

    fn accuse(&self, device: DeviceId, _: &Work) {
        self.accused.lock().unwrap().push(device);
        let computers = self.computers.lock().unwrap().clone();
        let present = computers.into_iter().find(|present| present.device == device).unwrap();
        let why = "A result was wrong".to_owned();
        self.stand(present.letter, Standing::SetAside { left: None, why }, None);
    }
}

/// A computer with a thread per slot.
struct FakeMember {
    letter: usize,
    slots: usize,
    proven: bool,
    crew: Weak<FakeCrew>,
    orders: Sender<Order>,
    dead: AtomicBool,
    silent: AtomicBool,
    begun: AtomicUsize,
    temper: Temper,
}

impl FakeMember {
    fn start(crew: &Arc<FakeCrew>, letter: usize, slots: usize, temper: Temper) -> Arc<dyn Member> {
        let (orders, inbox) = bounded(slots + 1);
        let member = Arc::new(Self {
            letter,
            slots,
            proven: crew.proven.load(Ordering::SeqCst),
            crew: Arc::downgrade(crew),
            orders,
            dead: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
            temper,
        });
        for slot in 0..slots {
            let (member, inbox) = (Arc::downgrade(&member), inbox.clone());
            std::thread::Builder::new()
                .name(format!("computer {letter}, slot {slot}"))
                .spawn(move || Self::work(&member, &inbox))
                .unwrap();
        }
        member
    }

    fn work(member: &Weak<Self>, inbox: &Receiver<Order>) {
        for order in inbox {
            let Some(member) = member.upgrade() else { return };
            member.answer(order);
        }
    }

    fn answer(&self, (task, signal, started, ended): Order) {
        if signal.is_cancelled() {
            return ended(Ending::Stopped);
        }
        if self.is_dead() {
            return self.lose(started, ended);
        }
        let act = (self.temper)(self.begun.fetch_add(1, Ordering::SeqCst), &signal);
        if matches!(act, Act::Die | Act::Vanish) {
            self.silent.store(act == Act::Vanish, Ordering::SeqCst);
            self.dead.store(true, Ordering::SeqCst);
            started();
            self.lose(Box::new(|| {}), ended);
            if let Some(crew) = self.crew.upgrade() {
                crew.miss(self);
            }
            return;
        }
        if act == Act::HandBack {
            return ended(Ending::Stopped);
        }
        started();
        let ending = match act {
            Act::Fail => Ending::Failed(
                Cause::Error,
                Error::new(ErrorKind::Internal, "It does not work here"),
            ),
            Act::Stall => {
                while !signal.is_cancelled() && !self.is_dead() {
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                Ending::Stopped
            }
            Act::Lie => lie(task, &signal),
            _ => task.run(&signal),
        };
        if self.is_dead() { self.lose(Box::new(|| {}), ended) } else { ended(ending) }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// The connection is gone: either this is told, or never anything.
    fn lose(&self, started: Started, ended: Ended) {
        match self.crew.upgrade() {
            Some(crew) if self.silent.load(Ordering::SeqCst) => {
                crew.never.lock().unwrap().push((started, ended));
            }
            _ => {
                let error = Error::new(ErrorKind::Network, "The connection broke");
                ended(Ending::Failed(Cause::Lost, error));
            }
        }
    }
}

/// Computes a chunk, and gets one bit wrong.
fn lie(task: ChunkTask, signal: &Signal) -> Ending {
    let input = task.input().unwrap();
    match compute(task.separator.as_ref(), &input, &task.keep, signal) {
        Outcome::Stems { mut stems, took } => {
            let sample = &mut stems[0].channel_mut(0)[0];
            *sample = f32::from_bits(sample.to_bits() ^ 1);
            let hash = write_chunk(&task.target, &stems.iter().collect::<Vec<_>>()).unwrap();
            Ending::Stored { target: task.target, hash, took }
        }
        Outcome::Failed(cause, error) => Ending::Failed(cause, error),
        Outcome::Halted(error) => Ending::Halted(error),
        Outcome::Stopped => Ending::Stopped,
    }
}

impl Member for FakeMember {
    fn spec(&self) -> WorkerSpec {
        WorkerSpec {
            slots: self.slots,
            local: false,
            shares_threads: false,
            expected_secs_per_frame: 1e-7,
        }
    }

    fn checks_left(&self) -> u32 {
        let passed = |crew: Arc<FakeCrew>| crew.passed(self.letter);
        let passed = self.crew.upgrade().map_or(0, passed);
        if self.proven { 0 } else { FIRST_CHECKS.saturating_sub(passed) }
    }

    fn passed(&self) {
        if let Some(crew) = self.crew.upgrade() {
            *crew.passed.lock().unwrap().entry(self.letter).or_default() += 1;
        }
    }

    fn compute(&self, task: ChunkTask, signal: Arc<Signal>, started: Started, ended: Ended) {
        if self.is_dead() {
            return self.lose(started, ended);
        }
        self.orders.try_send((task, signal, started, ended)).expect("no more than its credits");
    }
}
