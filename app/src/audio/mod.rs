//! Sound out of the computer: which device, what to do without one, and the short test tone.
//!
//! [`AudioOutput`] is all the window knows. Everything that may take time (looking for devices,
//! opening, closing) happens on the thread "audio output"; the renderer of
//! [`engine::playback`] wanders between the device's callback and the silent output, so the
//! playhead runs on whatever becomes of the device.

mod device;
mod null;
mod preview;
mod station;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use engine::{Error, ErrorKind, Result, audio::StreamSpec, playback::Renderer};

/// What there is to play to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceState {
    /// It is being opened.
    #[default]
    Opening,
    /// It is open.
    Open {
        /// Its name.
        name: String,
        /// Rate and channels it was opened with.
        output: StreamSpec,
    },
    /// There is none, or it cannot be opened. The playhead runs silently, and we look again every
    /// few seconds.
    NoDevice {
        /// Why, as a sentence without a final full stop.
        reason: String,
    },
}

/// The sound device, or its silent stand-in. No method waits for anything; dropping it stops the
/// sound.
#[derive(Debug)]
pub struct AudioOutput {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl AudioOutput {
    /// Plays what `renderer` renders through the device named `device`, or the system's default.
    /// `wake` is called, from another thread, whenever [`AudioOutput::state`] or the list of
    /// devices changed.
    ///
    /// # Errors
    /// When the system has no thread to give. A missing device is not an error but a state.
    pub fn start(
        renderer: Renderer,
        device: Option<String>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let silent = null::SilentOutput::start()?;
        let shared = Arc::new(Shared::new(device, Box::new(wake)));
        let thread = spawn("audio output", {
            let shared = shared.clone();
            move || station::run(&shared, silent, renderer)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What there is to play to.
    pub fn state(&self) -> DeviceState {
        self.shared.lock().state.clone()
    }

    /// Names of the devices there are, if others than at the last call.
    pub fn take_device_names(&self) -> Option<Vec<String>> {
        self.shared.lock().names.take()
    }

    /// Plays through another device, or the system's default; looks for devices again. Sound
    /// stops for a moment, the playhead does not.
    pub fn choose(&self, device: Option<&str>) {
        let mut inner = self.shared.lock();
        inner.device = device.map(str::to_owned);
        inner.reopen = true;
        self.shared.changed.notify_all();
    }

    /// Plays a short tone beside the song, to hear whether the device works.
    ///
    /// # Errors
    /// When there is no device. That the device refuses a second stream is learned later, by
    /// [`AudioOutput::take_error`].
    pub fn play_test_tone(&self) -> Result<()> {
        let mut inner = self.shared.lock();
        if !matches!(inner.state, DeviceState::Open { .. }) {
            return Err(Error::new(ErrorKind::NotFound, "There is no sound device to try")
                .advice("Connect one, or choose another in the settings"));
        }
        inner.tone = true;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// An error of something asked for earlier, once.
    pub fn take_error(&self) -> Option<Error> {
        self.shared.lock().error.take()
    }
}

impl Drop for AudioOutput {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was reported by itself.
            let _ = thread.join();
        }
    }
}

/// What the window wishes and what became of it.
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Name of the device wished for; `None` is the system's default.
    device: Option<String>,
    reopen: bool,
    tone: bool,
    closed: bool,
    /// Which opened stream broke, and why.
    failed: Option<(u64, String)>,
    state: DeviceState,
    /// Names of the devices when they were last listed, and those not told of yet.
    listed: Vec<String>,
    names: Option<Vec<String>>,
    error: Option<Error>,
}

/// What is to be done; all of it may be asked for at once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    reopen: bool,
    tone: bool,
    closed: bool,
    failed: Option<(u64, String)>,
}

impl Shared {
    fn new(device: Option<String>, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            inner: Mutex::new(Inner { device, ..Inner::default() }),
            changed: Condvar::new(),
            wake,
        }
    }

    /// Held for a few instructions only.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a wish, `patience` at most.
    fn wait(&self, patience: Duration) -> Wishes {
        let idle = |inner: &mut Inner| {
            !(inner.reopen || inner.tone || inner.closed || inner.failed.is_some())
        };
        let (mut inner, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, idle)
            .unwrap_or_else(PoisonError::into_inner);
        Wishes {
            reopen: std::mem::take(&mut inner.reopen),
            tone: std::mem::take(&mut inner.tone),
            closed: inner.closed,
            failed: inner.failed.take(),
        }
    }

    /// A stream broke; called from the sound system's thread.
    fn fail(&self, stream: u64, reason: String) {
        self.lock().failed = Some((stream, reason));
        self.changed.notify_all();
    }

    fn set_state(&self, state: DeviceState) {
        let changed = {
            let mut inner = self.lock();
            std::mem::replace(&mut inner.state, state.clone()) != state
        };
        if changed {
            tracing::info!(?state, "sound device");
            (self.wake)();
        }
    }

    fn set_names(&self, names: Vec<String>) {
        {
            let mut inner = self.lock();
            if inner.listed == names {
                return;
            }
            inner.listed.clone_from(&names);
            inner.names = Some(names);
        }
        (self.wake)();
    }

    fn report(&self, error: Error) {
        self.lock().error = Some(error);
        (self.wake)();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(body).map_err(|e| {
        Error::new(ErrorKind::Io, "Cannot start a thread for the sound")
            .advice("Close some programs and open Stemhive again")
            .caused_by(e)
    })
}
