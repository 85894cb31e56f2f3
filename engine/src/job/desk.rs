//! Carries out what the scheduler wants: hands chunks to the pool, calls them back, and keeps
//! results until they are committed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Inputs;
use crate::{
    assemble::ChunkHash,
    crew::{ChunkTask, Ending, Signal},
    scheduler::{Comm, Lease},
};

/// What the pool tells about a lease.
pub(super) enum Report {
    Started(Lease),
    Ended(Lease, Ending),
}

/// A result that waits to be committed.
pub(super) struct Delivered {
    pub(super) file: PathBuf,
    pub(super) hash: ChunkHash,
    pub(super) took: Duration,
}

pub(super) struct Desk {
    inputs: Inputs,
    chunk_dir: PathBuf,
    reports: Sender<Report>,
    signals: BTreeMap<Lease, Arc<Signal>>,
    delivered: BTreeMap<Lease, Delivered>,
    to_store: Vec<Lease>,
    given_up: Vec<usize>,
}

impl Desk {
    /// A desk for at most `slots` leases at a time, and where their reports arrive.
    pub(super) fn new(inputs: Inputs, chunk_dir: &Path, slots: usize) -> (Self, Receiver<Report>) {
        // Two reports per lease: whoever computes never waits for the driver.
        let (reports, inbox) = bounded(2 * slots + 2);
        let desk = Self {
            inputs,
            chunk_dir: chunk_dir.into(),
            reports,
            signals: BTreeMap::new(),
            delivered: BTreeMap::new(),
            to_store: Vec::new(),
            given_up: Vec::new(),
        };
        (desk, inbox)
    }

    /// Share done of every lease that is out.
    pub(super) fn progress(&self) -> Vec<(Lease, f32)> {
        self.signals.iter().map(|(&lease, signal)| (lease, signal.done())).collect()
    }

    /// A lease was answered.
    pub(super) fn close(&mut self, lease: Lease) {
        self.signals.remove(&lease);
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
        let (started, ended) = (self.reports.clone(), self.reports.clone());
        self.inputs.pool.compute(
            task,
            signal,
            // Nobody is there to hear it once the job is over.
            move || _ = started.send(Report::Started(lease)),
            move |ending| _ = ended.send(Report::Ended(lease, ending)),
        );
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

    fn give_up(&mut self, chunk: usize) {
        self.given_up.push(chunk);
    }
}

/// A name that no other attempt, job or process uses.
fn temporary(chunk_dir: &Path, chunk: usize) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    chunk_dir.join(format!("{chunk}.{}-{count}.tmp", std::process::id()))
}
