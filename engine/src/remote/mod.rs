//! Spare computers as workers over QUIC. The only room that knows tokio and quinn; what leaves it is
//! plain Rust that never waits. See "Remote workers" in ARCHITECTURE.md.

mod canary;
mod client;
mod discovery;
mod hub;
mod identity;
mod link_kind;
mod pairing;
mod payload;
mod peers;
mod runtime;
mod status;
mod text;
mod ticket;
mod tls;
mod wire;

pub use self::{
    client::{
        BlobSink, ChunkNews, Client, ClientConfig, ClientStatus, MainState, MainStatus, Prepared,
        Workshop,
    },
    discovery::{Announcement, Found, Search, own_addresses},
    hub::{ASK_AGAIN_AFTER, Chosen, Hub, HubConfig},
    identity::{Identity, computer_name},
    pairing::{TICKET_LIFE, join_by_code, join_by_ticket, resolve},
    peers::{MAX_PEERS, Passed, Peer, Peers, Setup},
    status::{About, Computer, HubStatus, Link, Pairing, PairingStage},
    ticket::{MAX_TICKET_ADDRESSES, Ticket},
};
