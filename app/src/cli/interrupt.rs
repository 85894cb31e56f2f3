//! Ctrl-C and SIGTERM: the first asks the work to stop and say what was kept, the second ends the
//! process at once.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Rung by whoever has news for the main thread, from any thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    on_ring: Condvar,
    interrupted: AtomicBool,
}

impl Bell {
    /// A bell that Ctrl-C and SIGTERM ring too. To be made once per process.
    pub(super) fn with_interrupts() -> Arc<Self> {
        let bell = Arc::new(Self::default());
        let for_signals = Arc::clone(&bell);
        let handler = move || {
            if for_signals.interrupted.swap(true, Ordering::AcqRel) {
                std::process::exit(130);
            }
            for_signals.ring();
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            // Then they end the process at once, which loses nothing that was committed.
            tracing::warn!(%error, "signals cannot be handled");
        }
        bell
    }

    /// Wakes whoever waits.
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.on_ring.notify_all();
    }

    /// Waits until it rings, at most `most`.
    pub(super) fn wait(&self, most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .on_ring
            .wait_timeout_while(rung, most, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }

    /// Whether the user asked to stop.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    /// A callback that rings it.
    pub(super) fn waker(self: &Arc<Self>) -> Arc<dyn Fn() + Send + Sync> {
        let bell = Arc::clone(self);
        Arc::new(move || bell.ring())
    }
}
