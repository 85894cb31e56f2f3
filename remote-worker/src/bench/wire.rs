//! What the worker and its computing process say to each other: the frames of
//! [`engine::protocol`], some with raw bytes after them.

use std::io::{ErrorKind as Io, Read, Write};

use engine::{
    Error, ErrorKind, Result,
    protocol::{
        BlobRef, ChunkOrder, FRAME_PREFIX_BYTES, MAX_INPUT_FRAMES, MAX_PAYLOAD_BYTES, ModelOrder,
        decode, encode, frame_len,
    },
    scheduler::Cause,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Get ready to compute with this model.
    Prepare {
        /// Named by the answer.
        id: u64,
        /// Which.
        model: ModelOrder,
    },
    /// Compute a chunk, whose raw PCM of [`input_bytes`] follows.
    Compute {
        /// Named by every answer.
        id: u64,
        /// With what.
        model: ModelOrder,
        /// What.
        chunk: ChunkOrder,
    },
    /// Stop computing this chunk; it is answered all the same.
    Cancel {
        /// Which.
        id: u64,
    },
    /// Give back the memory of models that nothing runs with.
    Shed,
}

/// From the computing process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The first one: it is there.
    Up {
        /// Threads it computes with.
        threads: u16,
        /// What they come to, see [`engine::local::Pool::measure_cores`].
        cores: f32,
    },
    /// It can compute with the model, so many chunks at a time.
    Ready {
        /// The order's.
        id: u64,
        /// Chunks at a time.
        slots: u16,
    },
    /// The model lacks these files.
    Lacks {
        /// The order's.
        id: u64,
        /// Which.
        files: Vec<BlobRef>,
    },
    /// It cannot compute with the model.
    Refused {
        /// The order's.
        id: u64,
        /// Why, as a short sentence.
        why: String,
    },
    /// Computing began.
    Started {
        /// The order's.
        id: u64,
    },
    /// So much of it is done, 0.0..=1.0.
    Progress {
        /// The order's.
        id: u64,
        /// Share done.
        done: f32,
    },
    /// The result's bytes follow: stem after stem, left channel first.
    Done {
        /// The order's.
        id: u64,
        /// Seconds it took.
        took_secs: f32,
        /// How many bytes.
        payload_bytes: u64,
    },
    /// It did not work.
    Failed {
        /// The order's.
        id: u64,
        /// Why.
        cause: Cause,
        /// Why, to show.
        what: String,
    },
    /// It was cancelled.
    Stopped {
        /// The order's.
        id: u64,
    },
}

/// Bytes of a chunk's raw PCM: two channels of f32.
///
/// # Errors
/// [`ErrorKind::TooLarge`] beyond [`MAX_INPUT_FRAMES`].
pub fn input_bytes(chunk: &ChunkOrder) -> Result<u64> {
    if chunk.input_frames > MAX_INPUT_FRAMES {
        let what = format!("A piece of {} frames is too long", chunk.input_frames);
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    Ok(u64::from(chunk.input_frames) * 2 * 4)
}

/// The next message; `None` when the other side closed the pipe after a whole one.
///
/// # Errors
/// When it makes no sense or ends early.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>> {
    let mut prefix = [0; FRAME_PREFIX_BYTES];
    let first = loop {
        match from.read(&mut prefix) {
            Err(e) if e.kind() == Io::Interrupted => {}
            first => break first.map_err(broken)?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut prefix[first..]).map_err(broken)?;
    let mut body = vec![0; frame_len(prefix)?];
    from.read_exact(&mut body).map_err(broken)?;
    decode(&body).map(Some)
}

/// Bytes that follow a message. Takes no more memory than came.
///
/// # Errors
/// [`ErrorKind::TooLarge`] beyond [`MAX_PAYLOAD_BYTES`]; when fewer came.
pub fn read_payload(from: &mut impl Read, bytes: u64) -> Result<Vec<u8>> {
    if bytes > MAX_PAYLOAD_BYTES {
        let what = format!("{bytes} bytes of a piece were announced");
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    let mut payload = Vec::new();
    let came = from.take(bytes).read_to_end(&mut payload).map_err(broken)?;
    if (came as u64) < bytes {
        return Err(broken(Io::UnexpectedEof.into()));
    }
    Ok(payload)
}

/// Writes a message and the bytes that follow it, part after part.
///
/// # Errors
/// When the other side is gone.
pub fn write_frame<'a>(
    to: &mut impl Write,
    message: &impl Serialize,
    payload: impl IntoIterator<Item = &'a [u8]>,
) -> Result<()> {
    let frame = encode(message)?;
    to.write_all(&frame)
        .and_then(|()| payload.into_iter().try_for_each(|part| to.write_all(part)))
        .and_then(|()| to.flush())
        .map_err(broken)
}

fn broken(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "The pipe to the other process broke").caused_by(source)
}
