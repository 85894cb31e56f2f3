//! Frames and payloads on streams.

use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, ErrorKind},
    protocol::{FRAME_PREFIX_BYTES, decode, encode, frame_len},
};

/// Why a conversation ended early.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection is gone.
    Lost,
    /// The other side ended the stream before it was over.
    Ended,
    /// The other side said something that makes no sense, or less than it had to.
    Nonsense(Error),
}

impl Broken {
    pub(super) fn nonsense(what: &str) -> Self {
        Self::Nonsense(Error::new(ErrorKind::Damaged, what))
    }
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(_) => Self::Ended,
            _ => Self::Lost,
        }
    }
}

impl From<ReadExactError> for Broken {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => {
                Self::nonsense("The other computer broke off in the middle")
            }
            ReadExactError::ReadError(error) => error.into(),
        }
    }
}

impl From<WriteError> for Broken {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(_) => Self::Ended,
            _ => Self::Lost,
        }
    }
}

impl From<quinn::ConnectionError> for Broken {
    fn from(_: quinn::ConnectionError) -> Self {
        Self::Lost
    }
}

/// Sends one message.
pub(super) async fn send<T: Serialize>(stream: &mut SendStream, message: &T) -> Result<(), Broken> {
    let frame = encode(message).map_err(Broken::Nonsense)?;
    Ok(stream.write_all(&frame).await?)
}

/// Receives one message. Not to be cancelled if more is to be read.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut RecvStream) -> Result<T, Broken> {
    let mut prefix = [0; FRAME_PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let mut body = vec![0; frame_len(prefix).map_err(Broken::Nonsense)?];
    stream.read_exact(&mut body).await?;
    decode(&body).map_err(Broken::Nonsense)
}

/// Receives the rest of a stream, which must be exactly so long; `waits` hears of the bytes that are
/// there whenever all that came is taken and more is to come. Memory grows with what comes, not with
/// what was promised.
pub(super) async fn receive_rest(
    stream: &mut RecvStream,
    bytes: u64,
    mut waits: impl FnMut(u64),
) -> Result<Vec<u8>, Broken> {
    const FIRST_BYTES: u64 = 1 << 20;
    let mut payload = Vec::with_capacity(bytes.min(FIRST_BYTES) as usize);
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = stream.read_chunk(usize::MAX, true) => chunk?,
            () = std::future::ready(()) => {
                waits(payload.len() as u64);
                stream.read_chunk(usize::MAX, true).await?
            }
        };
        let Some(chunk) = chunk else { break };
        if payload.len() as u64 + chunk.bytes.len() as u64 > bytes {
            return Err(Broken::nonsense("The other computer sent more than it said"));
        }
        payload.extend_from_slice(&chunk.bytes);
    }
    if payload.len() as u64 == bytes {
        Ok(payload)
    } else {
        Err(Broken::nonsense("The other computer sent less than it said"))
    }
}
