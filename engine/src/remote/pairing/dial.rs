//! The way to a main PC: which of its addresses answers, and what it means when none does.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    protocol::ALPN_PAIR,
    remote::{
        Identity,
        tls::{Known, client_config},
    },
};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(6);

/// The next address is tried as well after this time without an answer from the one before.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// TLS alert of a server that offers none of the protocols asked for, as QUIC tells it (RFC 9001).
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// Connects to the first of the addresses that answers, with the key `pinned` if there is one; else
/// the key there is not to be believed yet.
///
/// # Errors
/// As [`super::join_by_code`].
pub(super) async fn dial(
    identity: &Identity,
    addresses: &[SocketAddr],
    pinned: Option<DeviceId>,
) -> Result<(Endpoint, Connection)> {
    let known: Arc<dyn Known> =
        Arc::new(move |device| pinned.is_none_or(|pinned| pinned == device));
    let mut config = ClientConfig::new(Arc::new(client_config(identity, known, ALPN_PAIR)?));
    config.transport_config(Arc::new(transport()));

    let mut tries = JoinSet::new();
    for (nth, address) in (0..).zip(addresses.iter().copied()) {
        let config = config.clone();
        tries.spawn(async move {
            tokio::time::sleep(NEXT_ADDRESS * nth).await;
            knock(config, address).await.map_err(|error| (nth, error))
        });
    }
    let mut errors = Vec::new();
    while let Some(outcome) = tries.join_next().await {
        match outcome {
            Ok(Ok(reached)) => return Ok(reached),
            Ok(Err(error)) => errors.push(error),
            Err(_) => {}
        }
    }
    // Whoever answered says more than those who did not.
    errors.sort_by_key(|(nth, error)| (error.kind == ErrorKind::Network, *nth));
    Err(errors.into_iter().next().map_or_else(
        || Error::new(ErrorKind::Invalid, "There is no address to go to"),
        |(_, error)| error,
    ))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(Duration::from_secs(2)));
    transport
}

async fn knock(config: ClientConfig, address: SocketAddr) -> Result<(Endpoint, Connection)> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let nobody = || {
        let advice = format!(
            "Check the address, that “Add a computer” is open there, and that its firewall allows \
             UDP port {}",
            address.port()
        );
        Error::new(ErrorKind::Network, format!("Nobody answers at {address}")).advice(advice)
    };
    let endpoint = Endpoint::client(any).map_err(|e| nobody().caused_by(e))?;
    // The key says who is there, not the name.
    let connecting =
        endpoint.connect_with(config, address, "stemhive").map_err(|e| nobody().caused_by(e))?;
    let connection = match timeout(HANDSHAKE, connecting).await {
        Ok(Ok(connection)) => connection,
        Err(late) => return Err(nobody().caused_by(late)),
        Ok(Err(error)) => return Err(not_let_in(address, error).unwrap_or_else(nobody)),
    };
    Ok((endpoint, connection))
}

/// What an answer means that ends a handshake; none if there was no answer.
fn not_let_in(address: SocketAddr, error: ConnectionError) -> Option<Error> {
    let same_version = "See that both have the same version of Stemhive";
    let (kind, what, advice) = match &error {
        ConnectionError::TimedOut | ConnectionError::Reset => return None,
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            let what = format!("The computer at {address} adds no computers now");
            let advice =
                format!("Press “Add a computer” there or make a new ticket. {same_version}");
            (ErrorKind::Denied, what, advice)
        }
        ConnectionError::VersionMismatch => {
            let what = format!("The computer at {address} has another version");
            (ErrorKind::Unsupported, what, same_version.to_owned())
        }
        // Our own refusal: the only thing checked in a handshake is the key in a ticket.
        ConnectionError::TransportError(_) => {
            let what = format!("The computer at {address} is not the one that made the ticket");
            (ErrorKind::Denied, what, "Make a new ticket there".to_owned())
        }
        _ => {
            let what = format!("The computer at {address} does not want to talk");
            (ErrorKind::Network, what, "Try again".to_owned())
        }
    };
    Some(Error::new(kind, what).caused_by(error).advice(advice))
}
