//! What is done and by whom, over all runs of a job; and the parts of a status that follow from it.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    ChunkState, Inputs, JobPhase, JobStatus, NullTest, WorkerActivity, WorkerStatus,
    folder::{By, LOCAL_NAME, Named, Past},
};
use crate::{
    assemble::{CellFacts, CellSums},
    audio::{RangeSet, WORK_RATE_HZ},
    crew::{DeviceId, Present, Standing},
    error::{Error, ErrorKind},
    scheduler::WorkerId,
};

/// The pool's number among the workers.
pub(super) const LOCAL: WorkerId = 0;

/// A committed chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) worker: WorkerId,
    pub(super) compute_secs: f32,
}

/// A computer that takes part, took part, or could.
#[derive(Debug)]
struct Computer {
    /// `None`: this one.
    device: Option<DeviceId>,
    named: Named,
    threads: usize,
    /// As the roll last said; `None` when it is not on it.
    standing: Option<Standing>,
}

/// Who took part, and who did what. The number of a worker is its place here.
#[derive(Debug)]
pub(super) struct Ledger {
    computers: Vec<Computer>,
    done: Vec<Option<Done>>,
    resumed: usize,
}

impl Ledger {
    /// What earlier runs left.
    pub(super) fn of(past: &Past) -> Self {
        let local = Named { letter: 0, name: LOCAL_NAME.to_owned() };
        let mut ledger = Self {
            computers: vec![Computer { device: None, named: local, threads: 0, standing: None }],
            done: vec![None; past.committed.len()],
            resumed: past.committed.iter().flatten().count(),
        };
        for (&device, named) in &past.computers {
            let named = named.clone();
            let known = Computer { device: Some(device), named, threads: 0, standing: None };
            ledger.computers.push(known);
        }
        for (chunk, committed) in past.committed.iter().enumerate() {
            if let Some(committed) = committed {
                let worker = match committed.by {
                    By::Local => LOCAL,
                    By::Computer(device) => ledger.number(device),
                };
                ledger.note(chunk, Done { worker, compute_secs: committed.compute_secs });
            }
        }
        ledger
    }

    /// The number of a computer; a new one where it is not known yet.
    fn number(&mut self, device: DeviceId) -> WorkerId {
        let known = self.computers.iter().position(|computer| computer.device == Some(device));
        known.unwrap_or_else(|| {
            let letter = self.computers.iter().map(|c| c.named.letter).max().map_or(0, |n| n + 1);
            let named = Named { letter, name: device.fingerprint() };
            self.computers.push(Computer {
                device: Some(device),
                named,
                threads: 0,
                standing: None,
            });
            self.computers.len() - 1
        })
    }

    /// Takes in how a computer stands; its number.
    pub(super) fn meet(&mut self, present: &Present) -> WorkerId {
        let id = self.number(present.device);
        let computer = &mut self.computers[id];
        computer.named = Named { letter: present.letter, name: present.name.clone() };
        computer.threads = present.threads;
        computer.standing = Some(present.standing.clone());
        id
    }

    /// A new roll is being called; who is not on it stands nowhere.
    pub(super) fn forget_standings(&mut self) {
        self.computers.iter_mut().for_each(|computer| computer.standing = None);
    }

    pub(super) fn standing(&self, worker: WorkerId) -> Option<&Standing> {
        self.computers[worker].standing.as_ref()
    }

    /// Which other computer a worker is.
    pub(super) fn device(&self, worker: WorkerId) -> Option<DeviceId> {
        self.computers[worker].device
    }

    /// What another computer is called.
    pub(super) fn introduction(&self, worker: WorkerId) -> Option<Named> {
        let computer = &self.computers[worker];
        computer.device.map(|_| computer.named.clone())
    }

    /// For every worker its place in [`JobStatus::workers`]: in the order of their letters.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut order: Vec<WorkerId> = (0..self.computers.len()).collect();
        order.sort_by_key(|&id| (self.computers[id].named.letter, id));
        let mut places = vec![0; order.len()];
        for (place, id) in order.into_iter().enumerate() {
            places[id] = place;
        }
        places
    }

    /// Number of chunks, done or not.
    pub(super) fn len(&self) -> usize {
        self.done.len()
    }

    /// Chunks that are done.
    pub(super) fn committed(&self) -> impl Iterator<Item = usize> {
        (0..self.done.len()).filter(|&chunk| self.done[chunk].is_some())
    }

    pub(super) fn name(&self, worker: WorkerId) -> &str {
        &self.computers[worker].named.name
    }

    /// The chunks that `worker` did, ascending.
    pub(super) fn done_by(&self, worker: WorkerId) -> Vec<usize> {
        let is_theirs = |&chunk: &usize| self.done[chunk].is_some_and(|done| done.worker == worker);
        (0..self.done.len()).filter(is_theirs).collect()
    }

    /// A chunk is not done after all.
    pub(super) fn forget(&mut self, chunk: usize) {
        self.done[chunk] = None;
    }

    pub(super) fn note(&mut self, chunk: usize, done: Done) {
        self.done[chunk] = Some(done);
    }

    /// A status in which nothing runs; what is not done is pending.
    pub(super) fn status(&self, inputs: &Inputs, phase: JobPhase) -> JobStatus {
        let places = self.places();
        let mut workers: Vec<WorkerStatus> = self
            .computers
            .iter()
            .map(|computer| WorkerStatus {
                letter: computer.named.letter,
                name: computer.named.name.clone(),
                threads: match computer.device {
                    None => inputs.pool.threads(),
                    Some(_) => computer.threads,
                },
                activity: match computer.device {
                    None => WorkerActivity::Idle,
                    Some(_) => WorkerActivity::Absent(Standing::Away),
                },
                chunks_done: 0,
                speed_x_real_time: None,
            })
            .collect();
        workers.sort_by_key(|worker| worker.letter);
        let chunks = self
            .done
            .iter()
            .map(|done| match done {
                Some(Done { worker, compute_secs }) => {
                    let worker = places[*worker];
                    workers[worker].chunks_done += 1;
                    ChunkState::Committed { worker, compute_secs: *compute_secs }
                }
                None => ChunkState::Pending,
            })
            .collect();
        JobStatus {
            phase,
            grid: Arc::clone(inputs.plan.segments()),
            chunks,
            resumed_chunks: self.resumed,
            workers,
            ready: Arc::default(),
            elapsed: Duration::ZERO,
            eta: None,
            speed_x_real_time: None,
            first_audio: None,
            null_test: None,
            fraction_floor: 0.0,
        }
    }
}

/// Sum of stems against mixture, when there is anything to compare and all stems are kept.
pub(super) fn null_test(inputs: &Inputs, sums: CellSums, frames: u64) -> Option<NullTest> {
    let has_all_stems = inputs.keep.len() == inputs.separator.info().stems.len();
    (frames > 0 && has_all_stems).then(|| NullTest {
        residual_db: match sums.residual {
            0.0 => f32::NEG_INFINITY,
            residual => (10.0 * (residual / sums.mixture).log10()) as f32,
        },
        frames,
    })
}

/// The null test of a finished job, from its journal.
pub(super) fn finished_null_test(inputs: &Inputs, past: &Past) -> Option<NullTest> {
    let mut total = CellSums::default();
    for CellFacts { sums, .. } in past.cells.iter().flatten() {
        total.residual += sums.residual;
        total.mixture += sums.mixture;
    }
    null_test(inputs, total, inputs.plan.song_frames())
}

/// The error of a job that finished but for some chunks, naming where they are.
pub(super) fn given_up_error(
    segments: &[Range<u64>],
    failed: &[usize],
    first: Option<Arc<Error>>,
) -> Error {
    /// Places named before "and so on".
    const MOST_PLACES: usize = 3;
    let mut ranges = RangeSet::new();
    failed.iter().for_each(|&chunk| ranges.insert(segments[chunk].clone()));
    let mut places: Vec<String> = ranges
        .iter()
        .take(MOST_PLACES)
        .map(|range| format!("{}–{}", clock(range.start), clock(range.end)))
        .collect();
    if ranges.iter().count() > MOST_PLACES {
        places.push("…".into());
    }
    let (bad, all) = (failed.len(), segments.len());
    let what = format!("{bad} of {all} pieces could not be separated: {}", places.join(", "));
    let kept = match all - bad {
        0 => "The song is untouched".to_owned(),
        good => format!("The other {good} pieces are done and saved"),
    };
    let error = Error::new(ErrorKind::Internal, what)
        .kept(kept)
        .advice("Press Try again; until then the original plays there");
    match first {
        Some(first) => error.caused_by(first),
        None => error,
    }
}

/// Minutes and seconds of a frame.
fn clock(frame: u64) -> String {
    let secs = frame / u64::from(WORK_RATE_HZ);
    format!("{}:{:02}", secs / 60, secs % 60)
}
