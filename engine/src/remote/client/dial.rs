//! Keeps a connection to every main PC of the list.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use quinn::{ClientConfig, Connection, ConnectionError};
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{MainState, session, shared::Shared};
use crate::{
    crew::DeviceId,
    protocol::{ALPN_WORK, code},
    remote::{Peer, runtime, tls},
};

/// Time until the next try after a connection was lost; it grows by half each time, up to
/// [`LAST_WAIT`]. A try costs one packet, and whoever opens Stemhive waits for its computers: a
/// minute between tries, as networks at large have it, would be felt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(15);

/// Until a main PC of another version is tried again.
const UPDATE_WAIT: Duration = Duration::from_secs(30);

/// How often the list is looked at: who is forgotten is disconnected within a second.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Until an address counts as not answering.
const DIAL_DEADLINE: Duration = Duration::from_secs(5);

/// Addresses of a main PC that are remembered.
const MAX_ADDRESSES: usize = 8;

/// The alert by which TLS 1.3 says that a key is not welcome (RFC 8446, 6.2), as QUIC shows it.
const ACCESS_DENIED: u64 = 0x100 + 49;

/// How a try, or the connection it led to, ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody answered.
    Unreached,
    /// The connection was lost or closed.
    Lost,
    /// Another program with this computer's key took the place.
    Replaced,
    /// The main PC does not know this computer.
    NotPaired,
    /// The versions differ; the main PC's program has this one.
    UpdateNeeded(String),
}

impl End {
    /// What the reason of a closed connection means.
    pub(super) fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                match u32::try_from(close.error_code.into_inner()) {
                    Ok(code::NOT_PAIRED) => Self::NotPaired,
                    Ok(code::REPLACED) => Self::Replaced,
                    _ => Self::Lost,
                }
            }
            ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == ACCESS_DENIED =>
            {
                Self::NotPaired
            }
            _ => Self::Lost,
        }
    }
}

/// Has a task tend to every main PC of the list, whoever changes it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut tended: BTreeMap<DeviceId, JoinHandle<()>> = BTreeMap::new();
    loop {
        let peers = shared.peers.clone();
        if let Ok(Err(error)) = spawn_blocking(move || peers.refresh()).await {
            tracing::warn!(%error, "the list of main PCs cannot be read");
        }
        tended.retain(|_, task| !task.is_finished());
        for peer in shared.peers.list() {
            tended
                .entry(peer.device)
                .or_insert_with(|| tokio::spawn(tend(Arc::clone(&shared), peer.device)));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Until a main PC is not on the list any more.
pub(super) async fn forgotten(shared: &Shared, device: DeviceId) {
    while shared.peers.find(device).is_some() {
        sleep(LOOK_EVERY).await;
    }
}

/// Connects to one main PC, again and again, until it is taken off the list.
async fn tend(shared: Arc<Shared>, device: DeviceId) {
    let (mut attempt, mut wait) = (1, FIRST_WAIT);
    while let Some(peer) = shared.peers.find(device) {
        let show = |state| shared.set_state(device, &peer.name, state);
        if attempt == 1 {
            show(MainState::Connecting { attempt });
        }
        let end = tokio::select! {
            end = try_once(&shared, &peer) => end,
            () = forgotten(&shared, device) => break,
        };
        tracing::debug!(main = %peer.name, ?end, attempt, "no connection to a main PC");
        let pause = match end {
            End::NotPaired => {
                show(MainState::Forgotten);
                let before = shared.peers.find(device);
                while before.is_some() && shared.peers.find(device) == before {
                    sleep(LOOK_EVERY).await;
                }
                (attempt, wait) = (1, FIRST_WAIT);
                continue;
            }
            End::UpdateNeeded(theirs) => {
                show(MainState::UpdateNeeded { theirs });
                attempt = 2;
                UPDATE_WAIT
            }
            End::Lost => {
                (attempt, wait) = (1, FIRST_WAIT);
                show(MainState::Connecting { attempt });
                wait
            }
            End::Replaced | End::Unreached => {
                attempt += 1;
                show(MainState::Connecting { attempt });
                if end == End::Replaced { LAST_WAIT } else { wait }
            }
        };
        tokio::select! {
            () = sleep(jitter(pause)) => wait = wait.mul_f64(1.5).min(LAST_WAIT),
            () = shared.hints.news_of(device) => wait = FIRST_WAIT,
            () = forgotten(&shared, device) => break,
        }
    }
    shared.remove(device);
}

/// `wait` give or take a fifth, so that workers that lost the same main PC do not all come at once.
fn jitter(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    wait.mul_f64(0.8 + 0.4 * random)
}

async fn try_once(shared: &Arc<Shared>, peer: &Peer) -> End {
    match dial(shared, peer).await {
        Ok((connection, address)) => session::run(shared, peer, connection, address).await,
        Err(end) => end,
    }
}

/// The first address that answers with the right key.
async fn dial(shared: &Shared, peer: &Peer) -> Result<(Connection, SocketAddr), End> {
    let device = peer.device;
    let is_it = Arc::new(move |other: DeviceId| other == device);
    let Ok(tls) = tls::client_config(&shared.identity, is_it, ALPN_WORK) else {
        return Err(End::Unreached);
    };
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(runtime::worker_transport());
    let mut tries = JoinSet::new();
    let mut addresses = shared.hints.of(device);
    addresses.retain(|address| !peer.addresses.contains(address));
    let known = peer.addresses.iter().copied();
    for address in known.chain(addresses).take(MAX_ADDRESSES) {
        // The name is not sent and not looked at: the key says who it is.
        match shared.endpoint.connect_with(config.clone(), address, "stemhive") {
            Ok(connecting) => {
                tries.spawn(async move { (timeout(DIAL_DEADLINE, connecting).await, address) });
            }
            Err(error) => tracing::debug!(%error, %address, "an address cannot be dialled"),
        }
    }
    let mut end = End::Unreached;
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok((Ok(Ok(connection)), address)) => return Ok((connection, address)),
            Ok((Ok(Err(error)), _)) if End::of(&error) == End::NotPaired => end = End::NotPaired,
            _ => {}
        }
    }
    Err(end)
}

/// Notes that a main PC is to be reached at `address` from now on, and what it says it is called.
pub(super) async fn note_seen(
    shared: &Shared,
    device: DeviceId,
    address: SocketAddr,
    name: Option<String>,
) {
    let peers = shared.peers.clone();
    let noted = spawn_blocking(move || {
        peers.change(device, |peer| {
            peer.addresses.retain(|other| *other != address);
            peer.addresses.insert(0, address);
            peer.addresses.truncate(MAX_ADDRESSES);
            peer.last_seen = Some(SystemTime::now());
            if let Some(name) = name {
                peer.name = name;
            }
        })
    });
    if let Ok(Err(error)) = noted.await {
        tracing::warn!(%error, "where a main PC was reached is not remembered");
    }
}
