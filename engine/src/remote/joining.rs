//! Stands in for pairing and discovery until they are there.

use std::net::{IpAddr, SocketAddr};

use super::{Identity, Peer, Peers, Ticket};
use crate::{error::Result, song::Wake};

/// See the room of pairing.
///
/// # Errors
/// Always, so far.
pub fn join_by_code(
    _identity: &Identity,
    _peers: &Peers,
    _name: &str,
    _addresses: &[SocketAddr],
    _code: &str,
) -> Result<Peer> {
    todo!()
}

/// See the room of pairing.
///
/// # Errors
/// Always, so far.
pub fn join_by_ticket(
    _identity: &Identity,
    _peers: &Peers,
    _name: &str,
    _ticket: &Ticket,
) -> Result<Peer> {
    todo!()
}

/// See the room of pairing.
///
/// # Errors
/// Always, so far.
pub fn resolve(_text: &str) -> Result<Vec<SocketAddr>> {
    todo!()
}

/// A main PC that announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name, to show.
    pub name: String,
    /// Where it may be.
    pub addresses: Vec<IpAddr>,
    /// The UDP port there.
    pub port: u16,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its version.
    pub version: u16,
}

/// Looks for main PCs.
pub struct Search {}

impl Search {
    /// Starts to look.
    ///
    /// # Errors
    /// Always, so far.
    pub fn start(_wake: Wake) -> Result<Self> {
        todo!()
    }

    /// Those that are there now.
    pub fn found(&self) -> Vec<Found> {
        todo!()
    }
}
