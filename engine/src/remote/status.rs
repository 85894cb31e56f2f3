//! What the window and the command line see of other computers: one immutable snapshot at a time.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    crew::{DeviceId, Standing},
    error::Error,
    protocol::LinkKind,
};

/// A snapshot of everything about other computers.
#[derive(Debug, Clone, Default)]
pub struct HubStatus {
    /// Name under which this computer shows itself.
    pub name: String,
    /// Who this computer is; none before there is a hub.
    pub device: Option<DeviceId>,
    /// Where workers reach this computer; empty while it does not listen. The best one first.
    pub addresses: Vec<SocketAddr>,
    /// Paired computers in the order of their letters.
    pub computers: Vec<Computer>,
    /// The open pairing window, if there is one.
    pub pairing: Option<Pairing>,
    /// Why other computers cannot be used at all.
    pub trouble: Option<Arc<Error>>,
}

/// A paired computer.
#[derive(Debug, Clone, PartialEq)]
pub struct Computer {
    /// Who.
    pub device: DeviceId,
    /// Name as shown, unlike that of any other; the user may change it.
    pub name: String,
    /// Letter index: 1 = B; stays with the computer.
    pub letter: usize,
    /// How it stands, whatever the model.
    pub standing: Standing,
    /// What it said of itself when it was last connected.
    pub about: Option<About>,
    /// The connection, if there is one.
    pub link: Option<Link>,
    /// When it was last connected, if ever.
    pub last_seen: Option<SystemTime>,
    /// What its test piece gave with the model it was last tested with: seconds of audio per
    /// second.
    pub tested_x_real_time: Option<f32>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Version of its program.
    pub program: String,
    /// Threads it computes with.
    pub threads: usize,
    /// Memory it may use, in bytes.
    pub memory_bytes: u64,
    /// What its threads come to, see [`crate::local::Pool::measure_cores`].
    pub cores: f64,
    /// Its SIMD kernels.
    pub kernels: String,
    /// Hashes of models that it has.
    pub models: Vec<[u8; 32]>,
}

/// A connection to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Where it is.
    pub address: SocketAddr,
    /// Round-trip time.
    pub rtt: Duration,
    /// What carries it at the worker's end, where that is known.
    pub kind: Option<LinkKind>,
    /// Measured goodput in bytes per second, once anything was sent.
    pub bytes_per_sec: Option<f64>,
}

/// The open pairing window.
#[derive(Debug, Clone)]
pub struct Pairing {
    /// The code to type on the other computer: six digits.
    pub code: String,
    /// When another code takes its place.
    pub until: Instant,
    /// How far it is.
    pub stage: PairingStage,
}

/// How far pairing is.
#[derive(Debug, Clone, PartialEq)]
pub enum PairingStage {
    /// Nobody came yet.
    Waiting,
    /// Someone typed a wrong code; so many tries are left before the window closes.
    WrongCode {
        /// Tries left.
        tries_left: u32,
    },
    /// This computer is paired now; the user should compare its fingerprint and confirm.
    Paired(DeviceId),
    /// Three wrong codes: closed.
    Closed,
}
