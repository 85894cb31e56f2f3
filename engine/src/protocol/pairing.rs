//! What two computers say that are not paired yet.
//!
//! ```text
//!  worker ──QUIC, TLS 1.3, both keys proven, ALPN "stemhive-pair/1"──▶ main PC
//!
//!  one bi stream, opened by the worker
//!    by code     PairHello ▶ ◀ Share   PairConfirm ▶ ◀ Welcome
//!    by ticket   PairHello ▶ ◀ Welcome
//! ```
//! The worker always proves first that it knows the secret, so one that guesses learns nothing but
//! that it was wrong.

use serde::{Deserialize, Serialize};

/// Most bytes that are read from a computer that is not paired.
pub const MAX_PAIRING_BYTES: usize = 16 << 10;

/// A worker's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairHello {
    /// [`super::VERSION`] of the worker.
    pub version: u16,
    /// Version of its program, to show.
    pub program: String,
    /// Name of the computer, to show.
    pub name: String,
    /// How it means to prove itself.
    pub proof: PairProof,
}

/// How a worker means to prove itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairProof {
    /// By the code that the main PC shows; answered by [`PairAnswer::Share`].
    Code {
        /// Its share of the SPAKE2 exchange: a point of Ed25519.
        share: [u8; 32],
    },
    /// By a ticket of the main PC; answered by [`PairAnswer::Welcome`].
    Ticket {
        /// HMAC that only a holder of the ticket can make, and only for this connection.
        tag: [u8; 32],
    },
}

/// A worker's second message on the way by code: it has the same key as the main PC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairConfirm {
    /// HMAC that only a holder of the key can make, and only for this connection.
    pub tag: [u8; 32],
}

/// What a main PC answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairAnswer {
    /// Its share of the SPAKE2 exchange: a point of Ed25519.
    Share([u8; 32]),
    /// The two are paired.
    Welcome {
        /// The main PC's own proof, unlike the worker's.
        tag: [u8; 32],
        /// Name of the main PC, to show.
        name: String,
    },
    /// No.
    Refused(PairRefusal),
}

/// Why a main PC does not pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairRefusal {
    /// Its pairing window is not open.
    Closed,
    /// It is pairing another computer right now.
    Busy,
    /// The code was wrong; so many tries are left before the window closes.
    WrongCode {
        /// Tries left.
        tries_left: u32,
    },
    /// It never made this ticket, or forgot it long since.
    TicketUnknown,
    /// The ticket is too old.
    TicketExpired,
    /// The ticket has paired a computer already.
    TicketUsed,
    /// The versions differ.
    UpdateNeeded {
        /// [`super::VERSION`] of the main PC.
        version: u16,
        /// Version of its program.
        program: String,
    },
    /// It is paired with as many computers as it can be.
    Full,
    /// It cannot keep the result. Why is nobody's business who is not paired: it may name a path.
    Trouble,
    /// The message made no sense.
    Nonsense,
}
