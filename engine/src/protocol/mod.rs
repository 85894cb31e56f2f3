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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Sha256;

    /// These bytes may never change without another [`VERSION`].
    #[test]
    fn words_on_the_control_stream_keep_their_bytes() {
        let frame = |body: &[u8]| {
            let len = u32::try_from(body.len()).unwrap();
            [&len.to_le_bytes(), body].concat()
        };
        assert_eq!(VERSION, 2);
        let running = FromWorker::Running(Running::Leaving);
        assert_eq!(encode(&running).unwrap(), frame(&[0, 2]));
        let getting = ModelStanding::Getting { done_bytes: 5, bytes: 300 };
        let model = FromWorker::Model { hash: [7; 32], standing: getting };
        let body = [&[1], [7; 32].as_slice(), &[1, 5, 0xac, 2]].concat();
        assert_eq!(encode(&model).unwrap(), frame(&body));
        let send = FromWorker::SendBlob { sha256: Sha256([9; 32]), from: 1 };
        // As text.
        let body = [&[2, 64], "09".repeat(32).as_bytes(), &[1]].concat();
        assert_eq!(encode(&send).unwrap(), frame(&body));
        assert_eq!(encode(&FromWorker::Link(LinkKind::WiFi)).unwrap(), frame(&[3, 1]));
        let moved = FromMain::Moved { port: 47_110 };
        assert_eq!(encode(&moved).unwrap(), frame(&[1, 0x86, 0xf0, 2]));
        assert_eq!(encode(&ChunkReply::Stopped).unwrap(), frame(&[4]));
        assert_eq!(encode(&Answer::Refused(Refusal::Nonsense)).unwrap(), frame(&[1, 2]));
    }
}
