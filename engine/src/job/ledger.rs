//! What is done and by whom, over all runs of a job; and the parts of a status that follow from it.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    ChunkState, Inputs, JobPhase, JobStatus, NullTest, WorkerActivity, WorkerStatus, folder::Past,
};
use crate::{
    assemble::{CellFacts, CellSums},
    audio::{RangeSet, WORK_RATE_HZ},
    error::{Error, ErrorKind},
    scheduler::WorkerId,
};

/// The pool's number among the workers, and its name.
pub(super) const LOCAL: WorkerId = 0;
const LOCAL_NAME: &str = "This PC";

/// A committed chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) worker: WorkerId,
    pub(super) compute_secs: f32,
}

/// Who took part, and who did what.
#[derive(Debug)]
pub(super) struct Ledger {
    names: Vec<String>,
    done: Vec<Option<Done>>,
    resumed: usize,
}

impl Ledger {
    /// What earlier runs left.
    pub(super) fn of(past: &Past) -> Self {
        let mut names = vec![LOCAL_NAME.to_owned()];
        let done: Vec<Option<Done>> = past
            .committed
            .iter()
            .map(|committed| {
                let committed = committed.as_ref()?;
                let known = names.iter().position(|name| *name == committed.worker);
                let worker = known.unwrap_or_else(|| {
                    names.push(committed.worker.clone());
                    names.len() - 1
                });
                Some(Done { worker, compute_secs: committed.compute_secs })
            })
            .collect();
        let resumed = done.iter().flatten().count();
        Self { names, done, resumed }
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
        &self.names[worker]
    }

    pub(super) fn note(&mut self, chunk: usize, done: Done) {
        self.done[chunk] = Some(done);
    }

    /// A status in which nothing runs; what is not done is pending.
    pub(super) fn status(&self, inputs: &Inputs, phase: JobPhase) -> JobStatus {
        let mut workers: Vec<WorkerStatus> = self
            .names
            .iter()
            .enumerate()
            .map(|(letter, name)| WorkerStatus {
                letter,
                name: name.clone(),
                threads: if letter == LOCAL { inputs.pool.threads() } else { 0 },
                activity: WorkerActivity::Idle,
                chunks_done: 0,
                speed_x_real_time: None,
            })
            .collect();
        let chunks = self
            .done
            .iter()
            .map(|done| match done {
                Some(Done { worker, compute_secs }) => {
                    workers[*worker].chunks_done += 1;
                    ChunkState::Committed { worker: *worker, compute_secs: *compute_secs }
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
