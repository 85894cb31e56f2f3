//! What a fuzzer may call: everything that reads bytes which others wrote. Each function takes any
//! bytes, and panics only if a promise is broken. `engine/tests/fuzz_entry.rs` calls the same ones.

use std::{cell::OnceCell, fmt::Debug, path::PathBuf};

use engine::{
    protocol::{
        Answer, BlobHead, ChunkOrder, ChunkReply, FRAME_PREFIX_BYTES, FromMain, FromWorker, Hello,
        MAX_FRAME_BYTES, PairAnswer, PairConfirm, PairHello, decode, encode, frame_len,
    },
    remote::Ticket,
    store::Journal,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;

/// Frames as they come from a control or pairing stream, one after the other.
pub fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((prefix, after)) = rest.split_first_chunk::<FRAME_PREFIX_BYTES>() {
        let Ok(length) = frame_len(*prefix) else { return };
        assert!(length <= MAX_FRAME_BYTES);
        let Some(body) = after.get(..length) else { return };
        message::<Hello>(body);
        message::<Answer>(body);
        message::<FromWorker>(body);
        message::<FromMain>(body);
        message::<PairHello>(body);
        message::<PairAnswer>(body);
        message::<PairConfirm>(body);
        rest = &after[length..];
    }
}

/// The body of a frame that heads a chunk, its result or a model's file.
pub fn chunk(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_FRAME_BYTES)];
    message::<ChunkOrder>(bytes);
    message::<ChunkReply>(bytes);
    message::<BlobHead>(bytes);
}

/// A ticket as somebody pastes it.
pub fn ticket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ticket) = text.parse::<Ticket>() {
        assert_eq!(ticket.to_string().parse::<Ticket>().expect("what was written"), ticket);
    }
}

/// A journal as a crash, a bad disk or somebody else may leave it.
pub fn journal(bytes: &[u8]) {
    // One folder a thread: making a new one each time would be most of the work.
    thread_local! {
        static FOLDER: OnceCell<(TempDir, PathBuf)> = const { OnceCell::new() };
    }
    let path = FOLDER.with(|folder| {
        let make = || {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("journal");
            (dir, path)
        };
        folder.get_or_init(make).1.clone()
    });
    std::fs::write(&path, bytes).expect("a file");
    let read: Vec<Record> = Journal::read(&path).expect("what is valid");
    let (mut journal, opened) = Journal::<Record>::open(&path).expect("what is valid");
    assert_eq!(read, opened);
    journal.append(&Record::Nothing).expect("one more");
    drop(journal);
    let (_, mut again) = Journal::<Record>::open(&path).expect("what was appended to");
    assert_eq!(again.pop(), Some(Record::Nothing));
    assert_eq!(again, opened);
}

/// What the journal's records are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Of a fixed length.
    Done {
        /// Any number.
        chunk: u32,
        /// Any bytes.
        hash: [u8; 32],
    },
    /// Of any length.
    Joined(Vec<u32>),
    /// Of no length.
    Nothing,
}

/// Reads a message; what was read can be written, and is read as the same again.
fn message<T: Serialize + DeserializeOwned + Debug>(body: &[u8]) {
    let Ok(read) = decode::<T>(body) else { return };
    let frame = encode(&read).expect("what was read is short enough");
    let again: T = decode(&frame[FRAME_PREFIX_BYTES..]).expect("what was written");
    // Compared as bytes, since a float may be no number.
    assert_eq!(encode(&again).expect("as before"), frame, "{read:?}");
}
