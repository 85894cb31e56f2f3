//! Frames on the one stream of a pairing, with a limit on time and bytes.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    error::{Error, ErrorKind, Result},
    protocol::{FRAME_PREFIX_BYTES, MAX_PAIRING_BYTES, decode, encode, frame_len},
};

/// How long the other side may take for each of its steps.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// Both directions of the stream.
pub(super) struct Talk {
    send: SendStream,
    recv: RecvStream,
    left_bytes: usize,
}

impl Talk {
    /// Opens the stream.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when the connection is lost.
    pub(super) async fn open(connection: &Connection) -> Result<Self> {
        let (send, recv) = in_time(connection.open_bi()).await?;
        Ok(Self { send, recv, left_bytes: MAX_PAIRING_BYTES })
    }

    /// Waits for the stream.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when it does not come in time.
    pub(super) async fn accept(connection: &Connection) -> Result<Self> {
        let (send, recv) = in_time(connection.accept_bi()).await?;
        Ok(Self { send, recv, left_bytes: MAX_PAIRING_BYTES })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when the connection is lost.
    pub(super) async fn say<T: Serialize>(&mut self, message: &T) -> Result<()> {
        let frame = encode(message)?;
        in_time(self.send.write_all(&frame)).await
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when it does not come whole and in time, [`ErrorKind::TooLarge`] when
    /// more is said than is needed, [`ErrorKind::Damaged`] when it makes no sense.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let Self { recv, left_bytes, .. } = self;
        let frame = async {
            let mut prefix = [0; FRAME_PREFIX_BYTES];
            recv.read_exact(&mut prefix).await.map_err(lost)?;
            let length = frame_len(prefix)?;
            *left_bytes = left_bytes.checked_sub(FRAME_PREFIX_BYTES + length).ok_or_else(|| {
                Error::new(ErrorKind::TooLarge, "The other computer says more than pairing needs")
            })?;
            let mut frame = vec![0; length];
            recv.read_exact(&mut frame).await.map_err(lost)?;
            Ok(frame)
        };
        decode(&timeout(STEP, frame).await.map_err(lost)??)
    }

    /// Says nothing more, and waits until the other side has heard everything or is gone.
    pub(super) async fn end(mut self) {
        if self.send.finish().is_ok() {
            // Whatever comes of it, nothing is left to do.
            let _ = timeout(STEP, self.send.stopped()).await;
        }
    }
}

async fn in_time<T, E: std::error::Error + Send + Sync + 'static>(
    what: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    timeout(STEP, what).await.map_err(lost)?.map_err(lost)
}

/// An error for a connection that broke off, or never got on.
pub(super) fn lost(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Network, "The connection to the other computer broke off")
        .caused_by(error)
        .advice("Try again")
}
