//! How two computers come to trust each other: by a code of six digits that the main PC shows and
//! the user types on the worker, or by a [ticket](super::Ticket). What is said is in
//! [`crate::protocol`]; why it is safe in "Security of remote workers" of ARCHITECTURE.md.
//!
//! Both ways end the same: each side has two keys that depend on the secret, on both computers' keys
//! and on this very TLS session, one per role, and shows by an HMAC that it has them. Somebody in
//! the middle holds two sessions and so four other keys; a proof that is sent back is made with the
//! wrong key; one that was recorded belongs to another session.

mod desk;
mod dial;
mod join;
mod proof;
#[cfg(test)]
mod tests;
mod tickets;
mod window;
mod wire;

pub(super) use desk::PairingDesk;
pub use join::{join_by_code, join_by_ticket, resolve};
pub use tickets::TICKET_LIFE;
