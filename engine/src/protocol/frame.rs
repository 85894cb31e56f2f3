//! Messages as length-prefixed frames.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

/// Longest frame, without its prefix.
pub const MAX_FRAME_BYTES: usize = 64 << 10;

/// Bytes of the length before a frame.
pub const FRAME_PREFIX_BYTES: usize = 4;

/// A message with its length before it.
///
/// # Errors
/// [`ErrorKind::TooLarge`] beyond [`MAX_FRAME_BYTES`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>> {
    let too_large = || Error::new(ErrorKind::TooLarge, "A message to another computer is too long");
    let body = postcard::to_stdvec(message).map_err(|e| {
        Error::new(ErrorKind::Internal, "A message cannot be put into bytes").caused_by(e)
    })?;
    if body.len() > MAX_FRAME_BYTES {
        return Err(too_large());
    }
    let len = u32::try_from(body.len()).map_err(|_| too_large())?;
    Ok([&len.to_le_bytes(), body.as_slice()].concat())
}

/// Length of the frame that follows `prefix`.
///
/// # Errors
/// [`ErrorKind::TooLarge`] beyond [`MAX_FRAME_BYTES`].
pub fn frame_len(prefix: [u8; FRAME_PREFIX_BYTES]) -> Result<usize> {
    let len = u32::from_le_bytes(prefix) as usize;
    if len > MAX_FRAME_BYTES {
        let what = format!("The other computer sent a message of {len} bytes");
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    Ok(len)
}

/// The message in a whole frame, which must hold nothing else.
///
/// # Errors
/// [`ErrorKind::Damaged`] when it makes no sense.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let nonsense = || Error::new(ErrorKind::Damaged, "The other computer's message makes no sense");
    let (message, rest) = postcard::take_from_bytes(body).map_err(|e| nonsense().caused_by(e))?;
    if rest.is_empty() { Ok(message) } else { Err(nonsense()) }
}
