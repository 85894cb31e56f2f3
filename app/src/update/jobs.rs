//! Separations of open songs: one at a time, the song on screen first.

use std::{sync::Arc, thread};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use engine::{
    Error, ErrorKind, Result,
    engine::{Engine, SeparateOptions},
    job::{JobHandle, JobPhase},
    model::Quality,
    remote::Chosen,
    song::{Song, Wake},
};

use super::songs::OpenSong;
use crate::state::{Lane, Opening, SongView, State};

/// Where the separation of an open song is.
#[derive(Default)]
pub enum Job {
    /// There is none.
    #[default]
    None,
    /// It waits for its turn; whatever handle there was is kept so that its stems still play.
    Waiting {
        /// A job of before, ended.
        old: Option<JobHandle>,
    },
    /// A thread is opening its folder.
    Starting {
        /// Where the handle will come from.
        handle: Receiver<Result<JobHandle>>,
        /// Name of the model.
        model: String,
        /// Pause it as soon as it is there.
        paused: bool,
    },
    /// The engine has it, at work or ended.
    Held {
        /// The handle.
        handle: JobHandle,
        /// Name of the model.
        model: String,
    },
}

impl Job {
    /// The handle, if there is one.
    pub fn handle(&self) -> Option<&JobHandle> {
        match self {
            Self::Held { handle, .. } | Self::Waiting { old: Some(handle) } => Some(handle),
            Self::None | Self::Waiting { old: None } | Self::Starting { .. } => None,
        }
    }

    /// Whether it keeps others from starting. One that the user paused does: pausing means that
    /// nothing is to be computed.
    fn is_busy(&self, view: &SongView) -> bool {
        match self {
            Self::None | Self::Waiting { .. } => false,
            Self::Starting { .. } => true,
            Self::Held { handle, .. } => match handle.status().phase {
                JobPhase::Running | JobPhase::Queued => true,
                JobPhase::Paused => !view.half_done,
                JobPhase::Done | JobPhase::Cancelled | JobPhase::Failed(_) => false,
            },
        }
    }

    /// Wants to be separated when its turn comes.
    pub fn enqueue(&mut self, view: &mut SongView) {
        if matches!(self, Self::None | Self::Held { .. }) {
            let old = match std::mem::take(self) {
                Self::Held { handle, .. } => Some(handle),
                _ => None,
            };
            *self = Self::Waiting { old };
            view.queued = true;
            view.half_done = false;
        }
    }

    /// Starts at once. `paused`: only opens what an earlier run left.
    pub fn start(
        &mut self,
        view: &mut SongView,
        engine: &Arc<Engine>,
        song: &Arc<Song>,
        options: SeparateOptions,
        paused: bool,
    ) {
        let old = match std::mem::take(self) {
            Self::Waiting { old } => old,
            Self::Held { handle, .. } => Some(handle),
            Self::None | Self::Starting { .. } => None,
        };
        view.queued = false;
        view.half_done = paused;
        let (send, handle) = bounded(1);
        let (engine, song) = (Arc::clone(engine), Arc::clone(song));
        let (model, wake) = (options.model.clone(), Arc::clone(&options.wake));
        let spawned = thread::Builder::new().name("job starter".into()).spawn(move || {
            // Ending the old job may take until its chunk notices, and frees its folder.
            drop(old);
            // If the song was closed meanwhile, nobody takes the handle and the job ends.
            let _ = send.send(engine.separate(&song, options));
            wake();
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the job's thread cannot be started");
        }
        // Without a thread the sender is gone, which the next look finds.
        *self = Self::Starting { handle, model, paused };
    }

    /// Stops: leaves the queue, or cancels what runs.
    pub fn cancel(&mut self, view: &mut SongView) {
        view.queued = false;
        match self {
            Self::None => {}
            Self::Waiting { old } => {
                *self = match (old.take(), &view.job_model) {
                    (Some(handle), Some(model)) => Self::Held { handle, model: model.clone() },
                    _ => Self::None,
                };
            }
            // Not there yet: nobody will take the handle, which ends the job.
            Self::Starting { .. } => *self = Self::None,
            Self::Held { handle, .. } => handle.cancel(),
        }
    }

    /// Takes a handle that has arrived. `Some` when the lanes now have (other) stems, or it
    /// could not be started.
    pub fn poll(&mut self, view: &mut SongView) -> Option<Result<()>> {
        let Self::Starting { handle, model, paused } = self else { return None };
        let handle = match handle.try_recv() {
            Ok(Ok(handle)) => handle,
            Ok(Err(error)) => {
                *self = Self::None;
                return Some(Err(error));
            }
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                *self = Self::None;
                let what = "The separation could not be started";
                return Some(Err(Error::new(ErrorKind::Internal, what)));
            }
        };
        view.half_done = *paused && !matches!(handle.status().phase, JobPhase::Done);
        if *paused {
            handle.pause();
        }
        let model = std::mem::take(model);
        show_stems(view, &handle);
        view.job_model = Some(model.clone());
        view.job = Some(handle.status());
        *self = Self::Held { handle, model };
        Some(Ok(()))
    }

    /// Ends and forgets the job without keeping the window waiting.
    pub fn close(&mut self) {
        let job = std::mem::take(self);
        if job.handle().is_some() {
            // If no thread is to be had the job is dropped here, which may take a moment.
            let _ = thread::Builder::new().name("job closer".into()).spawn(move || drop(job));
        }
    }
}

/// How to separate the song in `view`: everything, as usual, by the computers that are `chosen`.
pub fn options(view: &SongView, model: String, chosen: Chosen, wake: Wake) -> SeparateOptions {
    SeparateOptions {
        model,
        quality: Quality::default(),
        stems: Vec::new(),
        playhead_frame: view.playhead,
        workers: chosen,
        wake,
    }
}

/// Gives `view` the lanes of the job's stems; controls of stems that stay are kept.
fn show_stems(view: &mut SongView, handle: &JobHandle) {
    let stems = handle.stems();
    let old = std::mem::take(&mut view.lanes);
    view.lanes = stems
        .stems
        .iter()
        .zip(&stems.waveforms)
        .map(|(stem, wave)| {
            let known = old.iter().find(|lane| lane.stem == *stem);
            let lane = known.cloned().unwrap_or_else(|| Lane::new(*stem));
            Lane { wave: Some(Arc::clone(wave)), detail: None, ..lane }
        })
        .collect();
}

/// The song whose turn it is, if nothing is at work: the one on screen first.
pub fn next(state: &State, open: &[OpenSong]) -> Option<u64> {
    let view = |key: u64| state.songs.iter().find(|view| view.key == key);
    if open.iter().any(|song| view(song.key).is_some_and(|view| song.job.is_busy(view))) {
        return None;
    }
    let waits = |key: u64| {
        let view = view(key);
        open.iter().any(|song| song.key == key && matches!(song.job, Job::Waiting { .. }))
            && view.is_some_and(|view| matches!(view.opening, Opening::Ready))
    };
    if state.song().is_some_and(|view| matches!(view.opening, Opening::Decoding)) {
        // It will be ready in a moment, and is the one being waited for.
        return None;
    }
    let current = state.song().map(|view| view.key).filter(|key| waits(*key));
    current.or_else(|| state.songs.iter().map(|view| view.key).find(|key| waits(*key)))
}
