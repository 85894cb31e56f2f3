//! What passes between a job's handle and its driver: wishes one way, snapshots the other. Neither
//! ever waits for the other, except in [`Shared::wait`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::JobStatus;

/// What the user wants the job to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Run,
    Pause,
    /// For good.
    Cancel,
}

/// All wishes there are; the driver looks at them whenever it is poked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) want: Want,
    pub(super) playhead_frame: u64,
    /// Go on after an error that stopped the job.
    pub(super) go_on: bool,
    /// Try given-up chunks again.
    pub(super) retry: bool,
    /// Counts wishes that may end a rest.
    number: u64,
}

#[derive(Debug)]
struct Inner {
    wishes: Wishes,
    /// Number of the last wish before the job came to rest.
    rested_after: Option<u64>,
    /// The driver is gone.
    over: bool,
}

pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

pub(super) struct Shared {
    inner: Mutex<Inner>,
    rested: Condvar,
    poke: Sender<()>,
    status: ArcSwap<JobStatus>,
    wake: Wake,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        status: JobStatus,
        playhead_frame: u64,
        wake: Wake,
    ) -> (Arc<Self>, Receiver<()>) {
        let (poke, poked) = bounded(1);
        let wishes =
            Wishes { want: Want::Run, playhead_frame, go_on: false, retry: false, number: 0 };
        let shared = Self {
            inner: Mutex::new(Inner { wishes, rested_after: None, over: false }),
            rested: Condvar::new(),
            poke,
            status: ArcSwap::from_pointee(status),
            wake,
        };
        (Arc::new(shared), poked)
    }

    /// Makes the driver look; one poke that was not seen yet is as good as many.
    pub(super) fn poke(&self) {
        let _ = self.poke.try_send(());
    }

    pub(super) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        let mut inner = self.lock();
        if inner.wishes.want != Want::Cancel {
            change(&mut inner.wishes);
            inner.wishes.number += 1;
        }
        drop(inner);
        self.poke();
    }

    pub(super) fn seek(&self, frame: u64) {
        self.lock().wishes.playhead_frame = frame;
        self.poke();
    }

    /// The wishes as of now; those that are done once are handed out once.
    pub(super) fn wishes(&self) -> Wishes {
        let mut inner = self.lock();
        let wishes = inner.wishes;
        inner.wishes.go_on = false;
        inner.wishes.retry = false;
        wishes
    }

    /// Where the user listens now, for whoever cannot wait until the wishes are looked at.
    pub(super) fn playhead_frame(&self) -> u64 {
        self.lock().wishes.playhead_frame
    }

    pub(super) fn status(&self) -> Arc<JobStatus> {
        self.status.load_full()
    }

    pub(super) fn publish(&self, status: JobStatus) {
        self.status.store(Arc::new(status));
        (self.wake)();
    }

    /// The driver has done all it can with these wishes.
    pub(super) fn rest(&self, after: &Wishes) {
        self.lock().rested_after = Some(after.number);
        self.rested.notify_all();
    }

    /// The driver ends.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.rested.notify_all();
        (self.wake)();
    }

    /// Whether the driver is gone.
    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Whether the user wants no more of it.
    pub(super) fn is_cancelled(&self) -> bool {
        self.lock().wishes.want == Want::Cancel
    }

    /// Waits until the job rests: done, cancelled, or failed and not told to go on.
    pub(super) fn wait(&self) {
        let mut inner = self.lock();
        while !inner.over && inner.rested_after != Some(inner.wishes.number) {
            inner = self.rested.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
