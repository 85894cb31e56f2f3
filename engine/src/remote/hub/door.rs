//! The place of the pairing window: closed.

use quinn::Connection;

use crate::{
    error::{Error, ErrorKind, Result},
    protocol::code,
    remote::{Pairing, Ticket},
};

/// Where computers that want to be paired come in.
#[derive(Debug, Default)]
pub(super) struct Door {}

impl Door {
    /// Whether unknown keys may finish a handshake.
    pub(super) fn is_open(&self) -> bool {
        false
    }

    /// Pairs the computer at the other end, if it proves itself.
    pub(super) async fn serve(&self, connection: Connection) {
        connection.close(code::NOT_PAIRED.into(), b"");
    }

    pub(super) fn status(&self) -> Option<Pairing> {
        None
    }

    pub(super) fn start(&self) -> Result<()> {
        Err(closed())
    }

    pub(super) fn stop(&self) {}

    pub(super) fn ticket(&self) -> Result<Ticket> {
        Err(closed())
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unsupported, "Computers cannot be paired yet")
}
