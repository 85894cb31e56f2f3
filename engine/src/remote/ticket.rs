//! A line of text that pairs one worker without anybody typing a code.

use std::{fmt, net::SocketAddr, str::FromStr};

use crate::{crew::DeviceId, error::Error};

/// What a worker needs to pair itself: where the main PC is, who it is, and a secret that works
/// once. Reads and writes itself as one line.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Where the main PC listens.
    pub addresses: Vec<SocketAddr>,
    /// Who it is.
    pub device: DeviceId,
    /// What proves that the ticket came from it.
    pub secret: [u8; 16],
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.device)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for Ticket {
    type Err = Error;

    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
