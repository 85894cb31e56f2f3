//! A separation job: the driver thread, the handle others hold, and the status it publishes.
//!
//! ```text
//!  JobHandle ──wishes──▶ driver ──Comm──▶ pool, crew (chunks) ──reports──▶ driver
//!      ▲                  │  └──orders──▶ joiner (stems) ──replies──▶ driver
//!      └────snapshots─────┘
//! ```
//! The driver owns everything that changes: scheduler, journal and ledger. It never touches a sample
//! and never waits for a disk longer than a rename and an append take.

mod control;
mod desk;
mod driver;
mod folder;
mod joiner;
mod ledger;
mod meter;
mod status;

use std::{
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

pub use self::folder::{Extent, extent};
pub use self::status::{ChunkState, JobPhase, JobStatus, NullTest, WorkerActivity, WorkerStatus};
use self::{
    control::{Shared, Want},
    driver::Driver,
    folder::{Facts, Folder, Opened},
    ledger::Ledger,
};
pub use crate::assemble::Stems;
use crate::{
    crew::Crew,
    error::{Error, ErrorKind, Result},
    local::Pool,
    model::{Quality, Separator, SongStats, Stem},
    plan::{GRID_VERSION, Plan},
    song::SongId,
    store::Track,
};

/// What a job needs to know of a song.
#[derive(Debug, Clone)]
pub struct JobSong {
    /// Content id.
    pub id: SongId,
    /// The whole mixture at the work rate, one or two channels.
    pub mixture: Arc<Track>,
    /// Its statistics, length included.
    pub stats: SongStats,
}

/// What to separate, how, and where to.
pub struct JobRequest {
    /// The song.
    pub song: JobSong,
    /// The model.
    pub separator: Arc<dyn Separator>,
    /// The stems to keep, any of the model's; their order does not matter.
    pub stems: Vec<Stem>,
    /// The job's folder, made if need be; see [`job_key`].
    pub dir: PathBuf,
    /// How hard the separator works, for whoever else is to have the same one.
    pub quality: Quality,
    /// Who computes.
    pub pool: Arc<Pool>,
    /// The other computers that may help.
    pub crew: Option<Arc<dyn Crew>>,
    /// Where the user listens: chunks from there on go first.
    pub playhead_frame: u64,
    /// Called from the driver's thread after every new status, about 20 times a second at most.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// What stays the same all through a job.
#[derive(Clone)]
struct Inputs {
    separator: Arc<dyn Separator>,
    mixture: Arc<Track>,
    stats: SongStats,
    plan: Arc<Plan>,
    keep: Arc<[usize]>,
    quality: Quality,
    pool: Arc<Pool>,
    crew: Option<Arc<dyn Crew>>,
}

/// The folder name of a job: BLAKE3, in hex, over song, model and everything else that shapes the
/// result. The same job is never done twice.
pub fn job_key(song: SongId, model_hash: &[u8; 32], stems: &[Stem]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("stemhive 2026 separation job v1");
    hasher.update(&song.0);
    hasher.update(model_hash);
    hasher.update(&GRID_VERSION.to_le_bytes());
    for stem in Stem::ALL.iter().filter(|stem| stems.contains(stem)) {
        hasher.update(stem.name().as_bytes());
        hasher.update(b",");
    }
    hasher.finalize().to_hex().to_string()
}

/// Starts a job, or goes on with one that an earlier run left unfinished: only what is missing is
/// computed. A finished one is opened at once; its stems are compared with their hashes meanwhile,
/// and where they are damaged it is at work again, until they are mended.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the request makes no sense or the folder holds another job;
/// [`ErrorKind::Busy`] when someone else works on it; otherwise whatever the file system says.
pub fn start(request: JobRequest) -> Result<JobHandle> {
    let JobRequest { song, separator, stems, dir, quality, pool, crew, playhead_frame, wake } =
        request;
    let model = separator.info();
    let keep: Arc<[usize]> =
        (0..model.stems.len()).filter(|&n| stems.contains(&model.stems[n])).collect();
    let kept: Vec<Stem> = keep.iter().map(|&n| model.stems[n]).collect();
    if let Some(unknown) = stems.iter().find(|stem| !kept.contains(stem)) {
        let what = format!("The model “{}” has no stem “{}”", model.title, unknown.name());
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    if kept.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "No stem was asked for"));
    }
    folder::check_mixture(&song.mixture, song.stats.frames)?;
    let plan = Arc::new(Plan::new(song.stats.frames, model.chunks)?);
    let channels = song.mixture.channel_count();
    let facts = Facts::new(song.id, song.stats.frames, channels, model, &kept);
    let inputs = Inputs {
        separator,
        mixture: song.mixture,
        stats: song.stats,
        plan: Arc::clone(&plan),
        keep,
        quality,
        pool,
        crew,
    };

    if let Some((stems, past)) = folder::open_finished(&dir, &facts, &plan)? {
        let ledger = Ledger::of(&past);
        let mut status = ledger.status(&inputs, JobPhase::Done);
        status.ready = stems.ready();
        status.null_test = ledger::finished_null_test(&inputs, &past);
        let (shared, poked) = Shared::new(status, playhead_frame, wake);
        return drive(shared, stems, move |shared, stems| {
            if past.damaged_cells(&plan, &stems, &|| shared.is_cancelled()).is_empty() {
                return shared.end();
            }
            match Folder::open(&dir, &facts, &plan) {
                Ok(Opened { folder, past, .. }) => {
                    Driver::run(inputs, folder, past, stems, shared, poked);
                }
                // Another Stemhive mends it, most likely.
                Err(error) => {
                    tracing::warn!("damaged stems are not mended: {error}");
                    shared.end();
                }
            }
        });
    }
    let Opened { folder, past, stems } = Folder::open(&dir, &facts, &plan)?;
    let status = Ledger::of(&past).status(&inputs, JobPhase::Queued);
    let (shared, poked) = Shared::new(status, playhead_frame, wake);
    drive(shared, stems, move |shared, stems| {
        Driver::run(inputs, folder, past, stems, shared, poked);
    })
}

/// A handle on what `work` does on the thread "job driver".
fn drive(
    shared: Arc<Shared>,
    stems: Stems,
    work: impl FnOnce(Arc<Shared>, Arc<Stems>) + Send + 'static,
) -> Result<JobHandle> {
    let stems = Arc::new(stems);
    let (theirs, filling) = (Arc::clone(&shared), Arc::clone(&stems));
    let driver = thread::Builder::new()
        .name("job driver".into())
        .spawn(move || work(theirs, filling))
        .map_err(|e| {
            Error::new(ErrorKind::Internal, "Cannot start a thread for the job").caused_by(e)
        })?;
    Ok(JobHandle { shared, stems, driver: Some(driver) })
}

/// A job in someone's hand. Its methods never wait, except [`Self::wait`]. Dropping it cancels the
/// job and waits until its folder is free: for what the separator takes to notice, at most
/// about a second, and for a write that is under way.
#[derive(Debug)]
pub struct JobHandle {
    shared: Arc<Shared>,
    stems: Arc<Stems>,
    driver: Option<JoinHandle<()>>,
}

impl JobHandle {
    /// The newest snapshot.
    pub fn status(&self) -> Arc<JobStatus> {
        self.shared.status()
    }

    /// The stems as far as they are.
    pub fn stems(&self) -> &Arc<Stems> {
        &self.stems
    }

    /// Stops computing at once; what is committed stays.
    pub fn pause(&self) {
        self.shared.wish(|wishes| wishes.want = Want::Pause);
    }

    /// Goes on after a pause, or after an error that stopped the job, a full disk for one.
    pub fn resume(&self) {
        self.shared.wish(|wishes| {
            wishes.want = Want::Run;
            wishes.go_on = true;
        });
    }

    /// Tries given-up chunks again, and goes on as [`Self::resume`].
    pub fn retry_failed(&self) {
        self.shared.wish(|wishes| {
            wishes.want = Want::Run;
            wishes.go_on = true;
            wishes.retry = true;
        });
    }

    /// Stops for good; what is committed stays for the next time.
    pub fn cancel(&self) {
        self.shared.wish(|wishes| wishes.want = Want::Cancel);
    }

    /// The user listens at `frame`: what is missing from there on goes first.
    pub fn set_playhead(&self, frame: u64) {
        self.shared.seek(frame);
    }

    /// Whether the job has come to an end that stays: done, with its stems checked, or cancelled.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Waits until the job is done and its stems checked, or it is cancelled or failed, and returns
    /// its status then.
    pub fn wait(&self) -> Arc<JobStatus> {
        self.shared.wait();
        self.status()
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.cancel();
        if let Some(driver) = self.driver.take() {
            // The driver catches its own panics.
            let _ = driver.join();
        }
    }
}
