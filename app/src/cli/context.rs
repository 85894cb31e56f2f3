//! What every command that works on songs needs: the engine, the reporter, and waiting with
//! progress while Ctrl-C stays possible.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use engine::{
    Error, ErrorKind,
    audio::WORK_RATE_HZ,
    crew::Standing,
    engine::{Engine, SeparateOptions},
    job::{ChunkState, JobHandle, JobPhase, JobStatus, WorkerActivity},
    model::Stem,
    song::{Song, SongState},
};
use serde_json::json;

use super::{
    Outcome,
    args::{Choice, StoreArgs},
    interrupt::Bell,
    report::{Progress, Reporter, Stage},
};

/// How a song fails.
pub(super) type Failure = Arc<Error>;

/// How often to look even if nothing rings.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What a look at running work shows.
pub(super) enum Look<T> {
    Running(Progress),
    Ended(T),
}

/// Reporter and bell.
pub(super) struct Context {
    pub(super) reporter: Reporter,
    pub(super) bell: Arc<Bell>,
}

impl Context {
    pub(super) fn new(json: bool) -> Self {
        Self { reporter: Reporter::new(json), bell: Bell::with_interrupts() }
    }

    /// For a command whose JSON is one line per song, `done` or `error`.
    pub(super) fn facts_only(json: bool) -> Self {
        Self { reporter: Reporter::facts_only(json), bell: Bell::with_interrupts() }
    }

    /// For a command that Ctrl-C may end on the spot.
    pub(super) fn without_interrupts(json: bool) -> Self {
        Self { reporter: Reporter::facts_only(json), bell: Arc::default() }
    }

    /// The engine, or `None` after telling why there is none.
    pub(super) fn engine(&self, store: &StoreArgs, threads: Option<usize>) -> Option<Engine> {
        match Engine::new(&store.config(threads)) {
            Ok(engine) => {
                engine.notices().iter().for_each(|notice| self.reporter.failed(notice));
                Some(engine)
            }
            Err(error) => {
                self.reporter.failed(&error);
                None
            }
        }
    }

    /// Does `work` for each song, telling what fails; one that fails does not stop the others.
    pub(super) fn each_song(
        &mut self,
        songs: &[PathBuf],
        mut work: impl FnMut(&mut Self, &Path) -> Result<(), Failure>,
    ) -> Outcome {
        let (mut done, mut failed) = (0, 0);
        for song in songs {
            if self.bell.is_interrupted() {
                break;
            }
            self.reporter.start(song);
            match work(self, song) {
                Ok(()) => done += 1,
                Err(error) => {
                    failed += 1;
                    self.reporter.failed(&error);
                }
            }
        }
        let interrupted = self.bell.is_interrupted();
        self.reporter.end(done, failed, interrupted);
        match (interrupted, failed) {
            (true, _) => Outcome::Interrupted,
            (false, 0) => Outcome::Done,
            (false, _) => Outcome::SomeFailed,
        }
    }

    /// Looks again and again until the work ended; calls `cancel` once when interrupted.
    pub(super) fn follow<T>(
        &mut self,
        mut look: impl FnMut(&Reporter) -> Look<T>,
        cancel: impl Fn(),
    ) -> T {
        let mut cancelled = false;
        loop {
            match look(&self.reporter) {
                Look::Ended(end) => return end,
                Look::Running(progress) => self.reporter.progress(progress),
            }
            if self.bell.is_interrupted() && !cancelled {
                cancelled = true;
                cancel();
            }
            self.bell.wait(LOOK_INTERVAL);
        }
    }

    /// Opens a song and waits until all of it is decoded.
    pub(super) fn open(&mut self, engine: &Engine, path: &Path) -> Result<Arc<Song>, Failure> {
        let song = engine.open_song(path, self.bell.waker());
        let look = |_: &Reporter| match song.state() {
            SongState::Decoding => Look::Running(Progress::new(Stage::Open, song.fraction())),
            SongState::Ready { id, stats } => Look::Ended(Ok((id, stats))),
            SongState::Failed(error) => Look::Ended(Err(error)),
        };
        let (id, stats) = self.follow(look, || song.cancel())?;
        if let Some(info) = song.info() {
            let value = json!({
                "id": id.to_string(),
                "seconds": stats.frames as f64 / f64::from(WORK_RATE_HZ),
                "sample_rate_hz": info.source.sample_rate_hz,
                "channels": info.source.channels,
            });
            self.reporter.event("opened", value);
        }
        song.notes().iter().for_each(|note| self.reporter.note(note));
        Ok(song)
    }

    /// Separates a song and waits for the end.
    pub(super) fn separate(
        &mut self,
        engine: &Engine,
        song: &Arc<Song>,
        choice: &Choice,
        stems: &[Stem],
    ) -> Result<(JobHandle, Arc<JobStatus>), Failure> {
        let options = SeparateOptions {
            model: choice.model.clone(),
            quality: choice.quality,
            stems: stems.to_vec(),
            playhead_frame: 0,
            workers: choice.workers.clone(),
            wake: self.bell.waker(),
        };
        let job = engine.separate(song, options)?;
        let mut news = News::since(&job.status(), &self.reporter);
        let look = |reporter: &Reporter| {
            let status = job.status();
            news.tell(&status, reporter);
            match &status.phase {
                JobPhase::Queued | JobPhase::Running | JobPhase::Paused => {
                    Look::Running(Progress {
                        stage: Stage::Separate,
                        fraction: status.fraction(),
                        eta: status.eta,
                        speed_x_real_time: status.speed_x_real_time,
                        bytes: None,
                        pieces_elsewhere: pieces_elsewhere(&status),
                    })
                }
                JobPhase::Done if job.is_over() => Look::Ended(Ok(status)),
                // Stems of an earlier day are being checked.
                JobPhase::Done => Look::Running(Progress::new(Stage::Separate, 1.0)),
                JobPhase::Failed(error) => Look::Ended(Err(Arc::new(without_buttons(error)))),
                JobPhase::Cancelled => Look::Ended(Err(Arc::new(interrupted(&status)))),
            }
        };
        let status = self.follow(look, || job.cancel())?;
        if let Some(test) = status.null_test {
            let residual_db = Some(test.residual_db).filter(|db| db.is_finite());
            self.reporter.event("null_test", json!({ "residual_db": residual_db }));
        }
        Ok((job, status))
    }
}

/// What was told of a job so far.
struct News {
    told: Vec<bool>,
    first_audio_told: bool,
    /// Computers, by letter, of which it was told why they do not help.
    absent_told: BTreeSet<usize>,
}

impl News {
    fn since(status: &JobStatus, reporter: &Reporter) -> Self {
        let told: Vec<_> = status
            .chunks
            .iter()
            .map(|chunk| matches!(chunk, ChunkState::Committed { .. }))
            .collect();
        let pieces = told.iter().filter(|told| **told).count();
        if pieces > 0 {
            reporter.event("resumed", json!({ "pieces": pieces, "of": told.len() }));
        }
        Self { told, first_audio_told: false, absent_told: BTreeSet::new() }
    }

    fn tell(&mut self, status: &JobStatus, reporter: &Reporter) {
        for (index, (chunk, told)) in status.chunks.iter().zip(&mut self.told).enumerate() {
            if let ChunkState::Committed { worker, compute_secs } = chunk
                && !*told
            {
                *told = true;
                let worker = status.workers.get(*worker).map(|worker| worker.name.as_str());
                let value =
                    json!({ "index": index, "compute_secs": compute_secs, "worker": worker });
                reporter.event("piece", value);
            }
        }
        if let Some(first) = status.first_audio
            && !self.first_audio_told
        {
            self.first_audio_told = true;
            reporter.event("first_audio", json!({ "secs": first.as_secs_f64() }));
        }
        for worker in &status.workers {
            if let WorkerActivity::Absent(standing) = &worker.activity
                && let Some(why) = why_not(standing)
                && self.absent_told.insert(worker.letter)
            {
                reporter.note(&format!("{} does not help: {why}", worker.name));
            }
        }
    }
}

/// Why a computer that is there is not used, where that most likely lasts.
fn why_not(standing: &Standing) -> Option<&str> {
    match standing {
        Standing::Refused { why } | Standing::SetAside { why, .. } => Some(why),
        Standing::Differs => Some("its test piece came out otherwise than here"),
        Standing::UpdateNeeded { .. } => Some("its program is of another version"),
        _ => None,
    }
}

/// The error of a separation, whose advice names buttons of the window, for a place without them.
fn without_buttons(error: &Error) -> Error {
    let advice = match error.kind {
        ErrorKind::DiskFull => "Free some space and run the same command again",
        _ => "Run the same command again; only what is missing is computed",
    };
    let details = error.details();
    let told = Error { kept: error.kept.clone(), ..Error::new(error.kind, error.what.as_str()) };
    let told = told.advice(advice);
    if details.is_empty() { told } else { told.caused_by(details.join(": ")) }
}

/// Pieces that other computers did.
pub(super) fn pieces_elsewhere(status: &JobStatus) -> usize {
    let others = status.workers.iter().filter(|worker| worker.letter > 0);
    others.map(|worker| worker.chunks_done).sum()
}

/// What to tell after a separation was stopped half way.
fn interrupted(status: &JobStatus) -> Error {
    let (done, all) = (status.committed(), status.chunks.len());
    Error::new(ErrorKind::Cancelled, "The separation was stopped")
        .kept(format!("{done} of {all} pieces are done and saved"))
        .advice("Run the same command again to go on from there")
}
