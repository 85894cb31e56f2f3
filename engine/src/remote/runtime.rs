//! The threads of this room, and how its connections behave.

use std::{sync::Arc, time::Duration};

use quinn::{TransportConfig, VarInt};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// A connection of which nothing was heard for so long is lost; `kill -9` and a pulled plug are
/// noticed by it. The time counts from the first packet sent after the last one that came (RFC 9000,
/// 10.1), so up to [`KEEP_ALIVE`] longer: less than 10 s altogether.
const IDLE: Duration = Duration::from_secs(7);

/// What keeps an idle connection alive, and holes in routers open.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Bytes on their way in one stream: 1 Gbit/s over 30 ms.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes on their way, or not yet read, in one connection.
pub(super) const WINDOW_BYTES: u32 = 16 << 20;

/// The same before it is known that the other side may be here.
const STRANGER_WINDOW_BYTES: u32 = 16 << 10;

/// Chunks that a main PC may have at a worker at once, waiting ones included.
pub(super) const MAX_CHUNKS: u32 = 64;

/// How long to wait for farewells to leave when a program ends.
pub(super) const FAREWELL: Duration = Duration::from_millis(300);

/// Two threads that only move bytes, and some more while there is work that may block.
pub(super) fn start(name: &'static str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|e| {
            Error::new(ErrorKind::Internal, "Cannot start the threads that talk to other computers")
                .caused_by(e)
        })
}

/// How connections behave on a main PC. A worker opens one stream, and until it is known to be
/// one it may send no more than a Hello; [`WINDOW_BYTES`] is granted then.
pub(super) fn main_transport() -> Arc<TransportConfig> {
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(1u32.into())
        .max_concurrent_uni_streams(0u32.into())
        .receive_window(STRANGER_WINDOW_BYTES.into());
    Arc::new(transport)
}

/// How connections behave on a worker, which dialled somebody it knows.
pub(super) fn worker_transport() -> Arc<TransportConfig> {
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(MAX_CHUNKS.into())
        .max_concurrent_uni_streams(2u32.into())
        .receive_window(WINDOW_BYTES.into());
    Arc::new(transport)
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE.as_millis() as u32).into()))
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .send_window(WINDOW_BYTES.into())
        .datagram_receive_buffer_size(None);
    transport
}
