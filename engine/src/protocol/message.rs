//! The messages.

use serde::{Deserialize, Serialize};

use crate::{
    catalogue::Sha256,
    crew::PauseReason,
    model::{SongStats, Stem},
    scheduler::Cause,
};

/// Longest name of a computer or a model, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Longest input of a chunk, in frames: a minute and a half.
pub const MAX_INPUT_FRAMES: u32 = 4 << 20;

/// Longest PCM or result, raw or as it is sent.
pub const MAX_PAYLOAD_BYTES: u64 = 256 << 20;

/// A worker's first message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::VERSION`] of the worker.
    pub version: u16,
    /// Version of its program, to show.
    pub program: String,
    /// Name of the computer, to show.
    pub name: String,
    /// Its SIMD kernels, to show.
    pub kernels: String,
    /// Threads it computes with.
    pub threads: u16,
    /// Memory it may use for computing, in bytes.
    pub memory_bytes: u64,
    /// What its threads come to, see [`crate::local::Pool::measure_cores`].
    pub cores: f32,
    /// Hashes of models that it has, without options for quality; 64 at most.
    pub models: Vec<[u8; 32]>,
    /// What it would do now.
    pub running: Running,
}

/// Whether a worker takes chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Running {
    /// It does.
    Ready,
    /// It takes a break, and gave back what it had.
    Paused(PauseReason),
    /// It finishes what it has, or hands it back, and leaves.
    Leaving,
}

/// The main PC's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Welcome; orders follow.
    Welcome {
        /// Name of the main PC, to show.
        name: String,
        /// Version of its program, to show.
        program: String,
    },
    /// No.
    Refused(Refusal),
}

/// Why a main PC sends a worker away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// It does not know the worker, or not any more.
    NotPaired,
    /// The versions differ.
    UpdateNeeded {
        /// [`super::VERSION`] of the main PC.
        version: u16,
        /// Version of its program.
        program: String,
    },
    /// The message made no sense.
    Nonsense,
}

/// What a worker says on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// It takes chunks, or stopped doing so.
    Running(Running),
    /// How it stands with a model it was told to prepare.
    Model {
        /// [`ModelOrder::hash`].
        hash: [u8; 32],
        /// How it is.
        standing: ModelStanding,
    },
    /// Send it this file of a model from byte `from` on; it has the beginning.
    SendBlob {
        /// Which.
        sha256: Sha256,
        /// First byte wanted.
        from: u64,
    },
    /// How it is connected, to show; said where it knows, after the answer to its Hello.
    Link(LinkKind),
}

/// What carries a connection at the worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkKind {
    /// A network card with a cable.
    Cable,
    /// Wi-Fi.
    WiFi,
}

/// What the main PC says on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromMain {
    /// Get ready to compute with this model; answered by [`FromWorker::Model`].
    Prepare(ModelOrder),
    /// It listens at this UDP port from now on: connect anew, there.
    Moved {
        /// The port, at the same address.
        port: u16,
    },
}

/// A model as a job wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOrder {
    /// Hash of the model with these options; names it everywhere else. See
    /// [`crate::model::ModelInfo::hash`].
    pub hash: [u8; 32],
    /// Its name, to show; never used to find anything.
    pub name: String,
    /// See [`crate::model::Quality::shifts`].
    pub shifts: u32,
    /// See [`crate::model::Quality::overlap`].
    pub overlap: f64,
    /// Stems wanted; only the networks they need must be there.
    pub stems: Vec<Stem>,
    /// The files it is made of; none for a model that is part of the program.
    pub files: Vec<BlobRef>,
}

/// A file of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// What it is known by.
    pub sha256: Sha256,
    /// Its length.
    pub bytes: u64,
}

/// How a worker stands with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ModelStanding {
    /// It can compute with it, so many chunks at a time.
    Ready {
        /// Chunks at a time.
        slots: u16,
    },
    /// It is getting the files: so many bytes of so many.
    Getting {
        /// Bytes it has.
        done_bytes: u64,
        /// Bytes there are.
        bytes: u64,
    },
    /// It does not take it.
    Refused {
        /// Why, to show.
        why: String,
    },
}

/// Heads the bytes of a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobHead {
    /// Which.
    pub sha256: Sha256,
    /// Where in it the bytes start; they go to its end.
    pub from: u64,
}

/// How samples are put into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// Little-endian f32, channel after channel.
    Raw,
    /// The same, its bytes sorted by significance and packed by zstd.
    Packed,
}

/// Heads the input of a chunk: stereo, at the work rate, the left channel first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkOrder {
    /// [`ModelOrder::hash`] of a model that is ready.
    pub model: [u8; 32],
    /// Indices into the model's stems of those to compute.
    pub keep: Vec<u8>,
    /// Frames of input.
    pub input_frames: u32,
    /// See [`crate::model::ChunkInput::context_before_frames`].
    pub context_before_frames: u32,
    /// Frames of output.
    pub segment_frames: u32,
    /// See [`crate::model::ChunkInput::start_frame`].
    pub start_frame: u64,
    /// See [`crate::model::ChunkInput::song`].
    pub song: SongStats,
    /// How the input is sent.
    pub encoding: Encoding,
    /// Bytes of it that follow.
    pub payload_bytes: u64,
    /// Whether the result may be sent packed: the way back is slow.
    pub pack_result: bool,
}

/// What a worker says of a chunk. The last one is one of the last three; bytes follow `Done` only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChunkReply {
    /// It began to compute.
    Started,
    /// It got so far, 0.0..=1.0.
    Progress(f32),
    /// Here is the result.
    Done {
        /// Seconds it computed.
        took_secs: f32,
        /// BLAKE3 of the raw bytes: stem after stem, left channel first.
        hash: [u8; 32],
        /// How it is sent.
        encoding: Encoding,
        /// Bytes of it that follow.
        payload_bytes: u64,
    },
    /// It did not manage.
    Failed {
        /// Why.
        cause: Cause,
        /// Why, to show.
        what: String,
    },
    /// It hands the chunk back: it pauses or leaves.
    Stopped,
}
