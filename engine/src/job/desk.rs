//! Carries out what the scheduler wants: hands chunks to the pool and to other computers, calls them
//! back, and keeps results until they are committed.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Inputs, ledger::LOCAL};
use crate::{
    assemble::ChunkHash,
    crew::{ChunkTask, Ending, Member, Signal},
    scheduler::{Comm, Lease, WorkerId},
};

/// What whoever computes tells about a lease.
pub(super) enum Report {
    Started(Lease),
    Ended(Lease, Ending),
}

/// A result that waits to be committed.
pub(super) struct Delivered {
    pub(super) file: PathBuf,
    pub(super) hash: ChunkHash,
    pub(super) took: Duration,
    /// The other computer it came from.
    pub(super) by: Option<Arc<dyn Member>>,
}

pub(super) struct Desk {
    inputs: Inputs,
    chunk_dir: PathBuf,
    inbox: Arc<Inbox>,
    /// The other computers that take chunks; the pool is not among them.
    members: BTreeMap<WorkerId, Arc<dyn Member>>,
    signals: BTreeMap<Lease, Arc<Signal>>,
    delivered: BTreeMap<Lease, Delivered>,
    to_store: Vec<Lease>,
    given_up: Vec<usize>,
    accused: Vec<WorkerId>,
}

impl Desk {
    /// A desk, and what is heard of when reports have arrived.
    pub(super) fn new(inputs: Inputs, chunk_dir: &Path) -> (Self, Receiver<()>) {
        let (bell, rung) = bounded(1);
        let desk = Self {
            inputs,
            chunk_dir: chunk_dir.into(),
            inbox: Arc::new(Inbox { reports: Mutex::default(), bell }),
            members: BTreeMap::new(),
            signals: BTreeMap::new(),
            delivered: BTreeMap::new(),
            to_store: Vec::new(),
            given_up: Vec::new(),
            accused: Vec::new(),
        };
        (desk, rung)
    }

    /// The next report.
    pub(super) fn next_report(&self) -> Option<Report> {
        self.inbox.reports().pop_front()
    }

    /// Share done of every lease that is out.
    pub(super) fn progress(&self) -> Vec<(Lease, f32)> {
        self.signals.iter().map(|(&lease, signal)| (lease, signal.done())).collect()
    }

    /// Share of a result that came back so far, once it is on its way.
    pub(super) fn sent_back(&self, lease: Lease) -> Option<f32> {
        self.signals.get(&lease)?.sent_back()
    }

    /// A lease was answered; false when nobody waits for that any more.
    pub(super) fn close(&mut self, lease: Lease) -> bool {
        self.signals.remove(&lease).is_some()
    }

    /// The computer that takes the chunks of `worker`.
    pub(super) fn member(&self, worker: WorkerId) -> Option<&Arc<dyn Member>> {
        self.members.get(&worker)
    }

    /// All workers that are other computers.
    pub(super) fn members(&self) -> impl Iterator<Item = WorkerId> {
        self.members.keys().copied()
    }

    /// Hands the chunks of `worker` to `member` from now on.
    pub(super) fn add_member(&mut self, worker: WorkerId, member: Arc<dyn Member>) {
        self.members.insert(worker, member);
    }

    /// The computer is lost; what it may still answer is not waited for.
    pub(super) fn remove_member(&mut self, worker: WorkerId) -> Option<Arc<dyn Member>> {
        self.signals.retain(|lease, signal| {
            let stays = lease.worker != worker;
            if !stays {
                signal.cancel();
            }
            stays
        });
        self.members.remove(&worker)
    }

    /// Keeps a result for [`Comm::store`] or [`Comm::discard`].
    pub(super) fn deliver(&mut self, lease: Lease, delivered: Delivered) {
        self.delivered.insert(lease, delivered);
    }

    /// The next result that the scheduler wants stored.
    pub(super) fn next_to_store(&mut self) -> Option<(Lease, Delivered)> {
        let lease = self.to_store.pop()?;
        Some((lease, self.delivered.remove(&lease)?))
    }

    /// Chunks given up since the last call.
    pub(super) fn take_given_up(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.given_up)
    }

    /// A worker whose results are to be withdrawn.
    pub(super) fn accused(&self) -> Option<WorkerId> {
        self.accused.last().copied()
    }

    /// [`Self::accused`] was seen to.
    pub(super) fn forget_accused(&mut self) {
        self.accused.pop();
    }

    /// Throws away results of `worker` that were to be stored; their chunks.
    pub(super) fn discard_unstored(&mut self, worker: WorkerId) -> Vec<usize> {
        let (theirs, others) =
            self.to_store.drain(..).partition(|lease: &Lease| lease.worker == worker);
        self.to_store = others;
        let theirs: Vec<Lease> = theirs;
        for &lease in &theirs {
            self.discard(lease);
        }
        theirs.into_iter().map(|lease| lease.chunk).collect()
    }
}

impl Comm for Desk {
    fn dispatch(&mut self, lease: Lease) {
        let signal = Arc::new(Signal::default());
        self.signals.insert(lease, Arc::clone(&signal));
        let task = ChunkTask {
            separator: Arc::clone(&self.inputs.separator),
            mixture: Arc::clone(&self.inputs.mixture),
            song: self.inputs.stats,
            plan: Arc::clone(&self.inputs.plan),
            chunk: lease.chunk,
            keep: Arc::clone(&self.inputs.keep),
            target: temporary(&self.chunk_dir, lease.chunk),
        };
        let inbox = Arc::clone(&self.inbox);
        let started = move || inbox.put(Report::Started(lease));
        let answer = Answer { lease, inbox: Arc::clone(&self.inbox), given: false };
        let ended = move |ending| answer.give(ending);
        match self.members.get(&lease.worker) {
            Some(member) => member.compute(task, signal, Box::new(started), Box::new(ended)),
            None if lease.worker == LOCAL => self.inputs.pool.compute(task, signal, started, ended),
            None => ended(Ending::Stopped),
        }
    }

    fn revoke(&mut self, lease: Lease) {
        if let Some(signal) = self.signals.get(&lease) {
            signal.cancel();
        }
    }

    fn store(&mut self, lease: Lease) {
        self.to_store.push(lease);
    }

    fn discard(&mut self, lease: Lease) {
        if let Some(delivered) = self.delivered.remove(&lease) {
            // What stays behind is removed at the next start.
            let _ = std::fs::remove_file(delivered.file);
        }
    }

    fn agree(&self, held: Lease, local: Lease) -> bool {
        let hash = |lease| self.delivered.get(&lease).map(|delivered| delivered.hash);
        let is_right = hash(held) == hash(local);
        if is_right && let Some(Delivered { by: Some(by), .. }) = self.delivered.get(&held) {
            by.passed();
        }
        is_right
    }

    fn accuse(&mut self, worker: WorkerId) {
        self.accused.push(worker);
    }

    fn give_up(&mut self, chunk: usize) {
        self.given_up.push(chunk);
    }
}

/// Where reports arrive. Putting one in never waits, and none is lost; a lease has two at most, and
/// the scheduler's credits bound how many leases are out.
struct Inbox {
    reports: Mutex<VecDeque<Report>>,
    bell: Sender<()>,
}

impl Inbox {
    fn put(&self, report: Report) {
        self.reports().push_back(report);
        // One that was not heard yet is as good as many.
        let _ = self.bell.try_send(());
    }

    fn reports(&self) -> std::sync::MutexGuard<'_, VecDeque<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one answer to a lease. Dropped by whoever forgot it, it says that the chunk was handed back.
struct Answer {
    lease: Lease,
    inbox: Arc<Inbox>,
    given: bool,
}

impl Answer {
    fn give(mut self, ending: Ending) {
        self.given = true;
        self.inbox.put(Report::Ended(self.lease, ending));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.given {
            self.inbox.put(Report::Ended(self.lease, Ending::Stopped));
        }
    }
}

/// A name that no other attempt, job or process uses.
fn temporary(chunk_dir: &Path, chunk: usize) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    chunk_dir.join(format!("{chunk}.{}-{count}.tmp", std::process::id()))
}
