//! The other computers that may work on a job, as the job sees them: who is there, and how to have
//! one compute a chunk. Knows nothing of networks; [`crate::remote`] is the real crew, tests bring
//! theirs.

mod compute;
mod task;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    compute::{Outcome, compute},
    task::{ChunkTask, Ending, Signal},
};
use crate::{
    model::{ModelInfo, Quality},
    scheduler::WorkerSpec,
    song::Wake,
};

/// So many first results of a computer are compared, with each model that it computes with.
pub const FIRST_CHECKS: u32 = 2;

/// A computer, known by its raw Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub [u8; 32]);

impl DeviceId {
    /// The first 64 bits of the key's BLAKE3 in four groups, for people to compare:
    /// `9F3A 61C2 07BE D45E`.
    pub fn fingerprint(&self) -> String {
        let hash = blake3::hash(&self.0);
        let groups = hash.as_bytes()[..8].chunks(2);
        groups.map(|pair| format!("{:02X}{:02X}", pair[0], pair[1])).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.fingerprint())
    }
}

/// What a job wants computed; the same for all of its chunks.
#[derive(Debug, Clone)]
pub struct Work {
    /// The model, with the hash that `quality` gives it.
    pub model: Arc<ModelInfo>,
    /// How hard it works.
    pub quality: Quality,
    /// Indices into the model's stems of those to compute.
    pub keep: Arc<[usize]>,
}

/// The computers a job may use beside this one.
pub trait Crew: Send + Sync {
    /// All of them, in the order of their letters, as they stand for `work` now. Asking has those
    /// that can do it get ready: a model is sent, a test piece computed. Never waits.
    fn roll(&self, work: &Work) -> Vec<Present>;

    /// Has `poke` called, from any thread, whenever [`Self::roll`] may answer otherwise, until the
    /// answer is dropped.
    fn watch(&self, poke: Wake) -> Box<dyn Send + Sync>;

    /// A job found what `device` computed of `work` to be wrong: it is not to be used until the user
    /// says so.
    fn accuse(&self, device: DeviceId, work: &Work);
}

/// One computer of a crew.
#[derive(Clone)]
pub struct Present {
    /// Who.
    pub device: DeviceId,
    /// Letter index: 1 = B; stays with the computer. This computer is 0.
    pub letter: usize,
    /// Name as shown, unlike that of any other.
    pub name: String,
    /// Compute threads it offers, if known.
    pub threads: usize,
    /// How it stands.
    pub standing: Standing,
    /// To be given chunks; `None` unless [`Standing::Ready`]. After every loss of the connection
    /// it is another one.
    pub member: Option<Arc<dyn Member>>,
}

/// How a computer stands; all but the first are reasons why it gets no chunks.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It can be given chunks.
    Ready,
    /// It is not connected.
    Away,
    /// The user has not confirmed its fingerprint yet.
    Unconfirmed,
    /// The user paused it, here.
    PausedHere,
    /// It paused itself.
    PausedThere(PauseReason),
    /// It is about to leave.
    Leaving,
    /// It is getting the model's files, this share of them so far (0.0..=1.0).
    GettingModel(f32),
    /// It computes a test piece first.
    Testing,
    /// Its program and ours do not understand each other.
    UpdateNeeded {
        /// Version of its program.
        theirs: String,
    },
    /// Its test piece came out otherwise than here: another kind of processor or system.
    Differs,
    /// A result of its was wrong, or too many failed: not used for so long, or until the user says
    /// so.
    SetAside {
        /// How long it still is; `None`: until the user says so.
        left: Option<Duration>,
        /// Why, as a short sentence.
        why: String,
    },
    /// It does not take this work.
    Refused {
        /// Why, in its words.
        why: String,
    },
}

/// Why a worker takes a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PauseReason {
    /// Its owner said so.
    Owner,
    /// Someone uses the computer.
    UserActive,
    /// It runs on its battery.
    Battery,
    /// Outside the hours its owner set.
    Schedule,
    /// Its engine broke down again and again.
    Trouble,
}

/// A computer that can be given chunks.
pub trait Member: Send + Sync {
    /// What the scheduler must know of it.
    fn spec(&self) -> WorkerSpec;

    /// So many of its next results are to be compared with results of this computer before it is
    /// believed; none once [`FIRST_CHECKS`] of this model were found right, in whatever job.
    fn checks_left(&self) -> u32;

    /// One of its results was compared with this computer's and found the same.
    fn passed(&self);

    /// Has it compute `task`, until `signal` says otherwise; never waits. `started` is called when it
    /// begins, `ended` exactly once, from any thread. It puts progress into `signal`.
    fn compute(
        &self,
        task: ChunkTask,
        signal: Arc<Signal>,
        started: Box<dyn FnOnce() + Send>,
        ended: Box<dyn FnOnce(Ending) + Send>,
    );
}
