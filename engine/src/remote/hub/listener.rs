//! The door to the network: who may finish a handshake, how many may try, and how long they may
//! take to say who they are.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use quinn::{
    Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig,
    crypto::rustls::HandshakeData,
};
use tokio::time::{timeout, timeout_at};

use super::{
    session,
    shared::{Shared, cannot_listen},
};
use crate::{
    crew::DeviceId,
    error::Result,
    protocol::{ALPN_PAIR, ALPN_WORK, Answer, Hello, MAX_NAME_BYTES, Refusal, VERSION, code},
    remote::{own_addresses, runtime, text::printable_name, tls, wire},
};

/// Handshakes under way beyond which addresses must prove themselves first.
const CALM: usize = 8;

/// Handshakes under way beyond which nobody else is listened to.
const MAX_INCOMING: usize = 64;

/// Bytes kept of one connection that was not accepted yet.
const INCOMING_BYTES: u64 = 16 << 10;

/// From the first packet to the Hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Handshakes that a network may make at once, and each second.
const BURST: f64 = 16.0;
const PER_SEC: f64 = 4.0;

/// Handshakes each second that all strangers together may make. Within [`HELLO_DEADLINE`] they come to
/// less than [`MAX_INCOMING`], so that there is always room for those we know.
const STRANGERS_PER_SEC: f64 = 6.0;

/// Networks whose handshakes are counted.
const MAX_NETWORKS: usize = 1024;

/// Most model hashes in a Hello.
const MAX_MODELS: usize = 64;

/// A socket at the configured address.
pub(super) fn open(shared: &Arc<Shared>, port: u16) -> Result<Endpoint> {
    let known = {
        // Not a strong one: the endpoint must not keep what keeps it.
        let shared = Arc::downgrade(shared);
        move |device| shared.upgrade().is_some_and(|s| s.knows(device) || s.is_pairing())
    };
    let tls = tls::server_config(&shared.identity, Arc::new(known), &[ALPN_WORK, ALPN_PAIR])?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(MAX_INCOMING as u64 * INCOMING_BYTES)
        .transport_config(runtime::main_transport());
    let _runtime = shared.runtime.enter();
    // The socket of a client is made for both IP versions on every system; one of a server is not.
    let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let at = |ip| Endpoint::client(SocketAddr::new(ip, port));
    let address = shared.config().address;
    let endpoint = match at(address) {
        // IPv6 is switched off on some computers.
        Err(e) if address == any && e.kind() != ErrorKind::AddrInUse => {
            at(Ipv4Addr::UNSPECIFIED.into())
        }
        opened => opened,
    };
    let endpoint = endpoint.map_err(|e| cannot_listen(port, e))?;
    endpoint.set_server_config(Some(config));
    Ok(endpoint)
}

/// Where workers reach this computer, the best place first.
pub(super) fn addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let Ok(local) = endpoint.local_addr() else { return Vec::new() };
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    let reachable = own_addresses().into_iter().filter(|ip| local.is_ipv6() || ip.is_ipv4());
    reachable.map(|ip| SocketAddr::new(ip, local.port())).collect()
}

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    let under_way = Arc::new(AtomicUsize::new(0));
    // Two, so that whoever pretends to be at a worker's address cannot use up its handshakes.
    let began = Instant::now();
    let (mut claimed, mut proven) = (Quota::new(began), Quota::new(began));
    while let Some(incoming) = endpoint.accept().await {
        let visitors = under_way.load(Ordering::Relaxed);
        let network = network_of(incoming.remote_address().ip());
        let is_stranger = !shared.peers.any_reached_at(|ip| network_of(ip) == network);
        let is_proven = incoming.remote_address_validated();
        let quota = if is_proven { &mut proven } else { &mut claimed };
        let has_token = quota.take(network, is_stranger, Instant::now());
        if visitors >= MAX_INCOMING || (is_proven && !has_token) {
            incoming.refuse();
        } else if !is_proven && (visitors > CALM || !has_token) {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        } else {
            under_way.fetch_add(1, Ordering::Relaxed);
            let visit = Visit(Arc::clone(&under_way));
            tokio::spawn(receive(Arc::clone(&shared), incoming, visit));
        }
    }
}

/// Counts a connection as not authorised until it is dropped.
struct Visit(Arc<AtomicUsize>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn receive(shared: Arc<Shared>, incoming: Incoming, visit: Visit) {
    let deadline = tokio::time::Instant::now() + HELLO_DEADLINE;
    let Ok(Ok(connection)) = timeout_at(deadline, incoming).await else { return };
    if wants_pairing(&connection) {
        if shared.is_pairing() {
            shared.desk.serve(connection).await;
            shared.changed();
        } else {
            connection.close(code::NOT_PAIRED.into(), b"");
        }
        return;
    }
    let Some(device) = tls::peer_of(&connection).filter(|device| shared.knows(*device)) else {
        connection.close(code::NOT_PAIRED.into(), b"");
        return;
    };
    match timeout_at(deadline, greet(&connection)).await {
        Ok(Ok((hello, send, recv))) => {
            drop(visit);
            admit(&shared, connection, device, hello, send, recv).await;
        }
        Ok(Err(_)) => connection.close(code::NONSENSE.into(), b""),
        Err(_) => connection.close(code::LIMIT.into(), b""),
    }
}

fn wants_pairing(connection: &Connection) -> bool {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(ALPN_PAIR))
}

async fn greet(connection: &Connection) -> Result<(Hello, SendStream, RecvStream), wire::Broken> {
    let (send, mut recv) = connection.accept_bi().await?;
    let hello = wire::receive(&mut recv).await?;
    Ok((hello, send, recv))
}

async fn admit(
    shared: &Arc<Shared>,
    connection: Connection,
    device: DeviceId,
    hello: Hello,
    mut send: SendStream,
    recv: RecvStream,
) {
    let refusal = refusal_of(&hello);
    if let Some(refusal) = refusal {
        if matches!(refusal, Refusal::UpdateNeeded { .. }) {
            shared.turn_away(device, printable_name(&hello.program));
        }
        // It may be gone already.
        let _ = wire::send(&mut send, &Answer::Refused(refusal)).await;
        let _ = send.finish();
        let _ = timeout(HELLO_DEADLINE, connection.closed()).await;
        connection.close(code::DONE.into(), b"");
        return;
    }
    connection.set_receive_window(runtime::WINDOW_BYTES.into());
    let answer = Answer::Welcome {
        name: shared.config().name.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    if wire::send(&mut send, &answer).await.is_ok() {
        session::run(shared, connection, device, hello, send, recv).await;
    }
}

fn refusal_of(hello: &Hello) -> Option<Refusal> {
    let names = [&hello.name, &hello.program, &hello.kernels];
    if names.iter().any(|name| name.len() > MAX_NAME_BYTES)
        || hello.models.len() > MAX_MODELS
        || !(hello.cores.is_finite() && hello.cores >= 0.0)
    {
        return Some(Refusal::Nonsense);
    }
    (hello.version != VERSION).then(|| Refusal::UpdateNeeded {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The network of one computer, which may have many addresses in IPv6.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Tokens that come back by the second.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(at: Instant) -> Self {
        Self { tokens: BURST, at }
    }

    fn refilled(self, per_sec: f64, now: Instant) -> Self {
        let secs = now.saturating_duration_since(self.at).as_secs_f64();
        Self { tokens: (self.tokens + per_sec * secs).min(BURST), at: now }
    }
}

/// Who may make a handshake: so many of each network, and so many of all networks together that no
/// paired computer was ever reached at, so that strangers with many addresses gain nothing.
struct Quota {
    /// Full ones need not be remembered.
    networks: BTreeMap<IpAddr, Bucket>,
    strangers: Bucket,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self { networks: BTreeMap::new(), strangers: Bucket::full(now) }
    }

    /// Whether one of `network` may make another handshake.
    fn take(&mut self, network: IpAddr, is_stranger: bool, now: Instant) -> bool {
        if !self.networks.contains_key(&network) && self.networks.len() >= MAX_NETWORKS {
            self.networks.retain(|_, bucket| bucket.refilled(PER_SEC, now).tokens < BURST);
            // There are few that are no strangers.
            if is_stranger && self.networks.len() >= MAX_NETWORKS {
                return false;
            }
        }
        self.strangers = self.strangers.refilled(STRANGERS_PER_SEC, now);
        let bucket = self.networks.entry(network).or_insert_with(|| Bucket::full(now));
        *bucket = bucket.refilled(PER_SEC, now);
        let may = bucket.tokens >= 1.0 && !(is_stranger && self.strangers.tokens < 1.0);
        if may {
            bucket.tokens -= 1.0;
            self.strangers.tokens -= if is_stranger { 1.0 } else { 0.0 };
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(quota: &mut Quota, ip: [u8; 4], is_stranger: bool, at: Instant) -> usize {
        (0..100).filter(|_| quota.take(ip.into(), is_stranger, at)).count()
    }

    #[test]
    fn a_network_gets_a_burst_and_then_a_few_handshakes_a_second() {
        let now = Instant::now();
        let mut quota = Quota::new(now);
        assert_eq!(granted(&mut quota, [10, 0, 0, 1], false, now), 16);
        assert_eq!(granted(&mut quota, [10, 0, 0, 1], false, now + Duration::from_secs(2)), 8);
        assert_eq!(granted(&mut quota, [10, 0, 0, 2], false, now), 16);
    }

    #[test]
    fn strangers_share_a_few_handshakes_and_take_none_from_those_we_know() {
        let mut now = Instant::now();
        let mut quota = Quota::new(now);
        let mut handshakes = 0;
        for n in 0..60_000u32 {
            now += Duration::from_millis(1);
            let from = Ipv4Addr::from(n.to_be_bytes());
            handshakes += usize::from(quota.take(from.into(), true, now));
        }
        assert!((370..=380).contains(&handshakes), "{handshakes}");
        assert!(quota.networks.len() <= MAX_NETWORKS);
        assert_eq!(granted(&mut quota, [200, 0, 0, 1], false, now), 16);
        assert_eq!(granted(&mut quota, [200, 0, 0, 2], true, now), 0);
    }
}
