//! What a main PC and its workers say to each other. Plain data and its encoding; no I/O.
//!
//! ```text
//!  worker ──QUIC, TLS 1.3, both keys pinned, ALPN "stemhive/1"──▶ main PC
//!
//!  control   bi, opened by the worker     Hello ▶ ◀ Answer, then FromWorker ▶ ◀ FromMain
//!  chunk     bi, opened by the main PC    ChunkOrder, PCM ▶ ◀ ChunkReply…, the stems' bytes
//!  blob      uni, opened by the main PC   BlobHead, bytes of a model's file ▶
//! ```
//! Every message is a frame: its length in four little-endian bytes, then postcard. A frame is at
//! most [`MAX_FRAME_BYTES`] long and is read whole before it is believed; the sizes in it are checked
//! before anything is allocated by them. Enums may only grow at their ends. Whatever does not fit
//! within [`VERSION`] raises it; the ALPN changes only if [`Hello`] itself must.

mod frame;
mod message;
mod pairing;

pub use self::{
    frame::{FRAME_PREFIX_BYTES, MAX_FRAME_BYTES, decode, encode, frame_len},
    message::{
        Answer, BlobHead, BlobRef, ChunkOrder, ChunkReply, Encoding, FromMain, FromWorker, Hello,
        LinkKind, MAX_INPUT_FRAMES, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, ModelOrder, ModelStanding,
        Refusal, Running,
    },
    pairing::{MAX_PAIRING_BYTES, PairAnswer, PairConfirm, PairHello, PairProof, PairRefusal},
};

/// Version of everything after [`Hello`]; computers with different ones do not work together.
pub const VERSION: u16 = 2;

/// ALPN of paired computers at work.
pub const ALPN_WORK: &[u8] = b"stemhive/1";

/// ALPN of computers that want to be paired.
pub const ALPN_PAIR: &[u8] = b"stemhive-pair/1";

/// UDP port of a main PC unless the user chose another one.
pub const DEFAULT_PORT: u16 = 47110;

/// Application codes with which connections and streams are ended.
pub mod code {
    /// All is well; the job or the program ended.
    pub const DONE: u32 = 0;
    /// This chunk is not wanted any more.
    pub const CANCELLED: u32 = 1;
    /// The other side said something that makes no sense.
    pub const NONSENSE: u32 = 2;
    /// The other computer is not paired, or not any more.
    pub const NOT_PAIRED: u32 = 3;
    /// Too many at once, or too slow.
    pub const LIMIT: u32 = 4;
    /// Another connection of the same computer took this one's place.
    pub const REPLACED: u32 = 5;
}
