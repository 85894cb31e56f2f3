//! Knocks at a main PC as computers that nobody paired, for `script/bench_workers`:
//! `flood ADDRESS SECS PER_SEC HOSTS`. Only at this computer, and never more than
//! [`MAX_CONNECTIONS`] times. Prints what became of the connections as a line of JSON.
//!
//! Each connection is a proper one of QUIC with a proper key, which is not on the main PC's list. They
//! come from HOSTS addresses in turn (127.0.0.2 and so on, which Linux has without being told), since
//! a main PC counts connections by address.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::protocol::ALPN_WORK;
use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring as provider},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
    version::TLS13,
};
use serde_json::json;
use tokio::{
    task::{LocalSet, spawn_local},
    time::timeout,
};

/// Most connections in one run.
const MAX_CONNECTIONS: u64 = 1_000_000;

/// Most connections under way; more are not begun, and told.
const MAX_UNDER_WAY: u64 = 8_192;

/// Most addresses to come from.
const MAX_HOSTS: u16 = 1_000;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long who was let in waits to be turned out; more than the main PC's patience.
const STAY: Duration = Duration::from_secs(7);

/// Connections are begun so often.
const TICK: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(flood) = Flood::read(&args) else {
        eprintln!("Usage: flood ADDRESS SECS PER_SEC HOSTS, where ADDRESS is of this computer");
        return ExitCode::from(2);
    };
    match flood.start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Flood {
    address: SocketAddr,
    secs: u64,
    per_sec: u64,
    hosts: u16,
}

impl Flood {
    fn read(args: &[String]) -> Option<Self> {
        let [address, secs, per_sec, hosts] = args else { return None };
        let flood = Self {
            address: address.parse().ok()?,
            secs: secs.parse().ok()?,
            per_sec: per_sec.parse().ok()?,
            hosts: hosts.parse().ok()?,
        };
        let is_bounded =
            flood.secs.checked_mul(flood.per_sec).is_some_and(|n| n <= MAX_CONNECTIONS);
        let is_here = flood.address.ip().is_loopback() && flood.address.is_ipv4();
        (is_bounded && is_here && (1..=MAX_HOSTS).contains(&flood.hosts)).then_some(flood)
    }

    fn start(self) -> Result<(), Box<dyn Error>> {
        // One thread, so that it takes no more than one core from who is flooded.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tally = LocalSet::new().block_on(&runtime, self.knock_and_wait())?;
        println!("{}", json!({ "fates": tally, "cpu_secs": cpu_secs() }));
        Ok(())
    }

    async fn knock_and_wait(self) -> Result<BTreeMap<&'static str, u64>, Box<dyn Error>> {
        let config = stranger()?;
        let doors: Vec<Endpoint> = (0..self.hosts)
            .map(|n| [127, 0, (n / 250) as u8, (n % 250) as u8 + 2])
            .map(|from| Endpoint::client(SocketAddr::from((from, 0))))
            .collect::<Result<_, _>>()?;
        let tally = Rc::new(RefCell::new(BTreeMap::new()));
        let under_way = Rc::new(Cell::new(0));
        let (began, mut begun) = (Instant::now(), 0);
        let mut tick = tokio::time::interval(TICK);
        while begun < self.secs * self.per_sec {
            tick.tick().await;
            let due = (began.elapsed().as_secs_f64() * self.per_sec as f64) as u64;
            let due = due.min(self.secs * self.per_sec);
            for n in begun..due {
                let door = doors[n as usize % doors.len()].clone();
                let (config, tally) = (config.clone(), Rc::clone(&tally));
                let under_way = Rc::clone(&under_way);
                if under_way.get() >= MAX_UNDER_WAY {
                    *tally.borrow_mut().entry("not begun").or_insert(0) += 1;
                    continue;
                }
                under_way.set(under_way.get() + 1);
                spawn_local(async move {
                    let fate = knock(&door, config, self.address).await;
                    *tally.borrow_mut().entry(fate).or_insert(0) += 1;
                    under_way.set(under_way.get() - 1);
                });
            }
            begun = due;
        }
        while under_way.get() > 0 {
            tokio::time::sleep(TICK).await;
        }
        Ok(tally.take())
    }
}

/// One connection, and what became of it.
async fn knock(door: &Endpoint, config: ClientConfig, address: SocketAddr) -> &'static str {
    let Ok(connecting) = door.connect_with(config, address, "stemhive") else {
        return "not begun";
    };
    match timeout(PATIENCE, connecting).await {
        Err(_) => "unanswered",
        Ok(Err(_)) => "refused",
        // The handshake is over on this side before the other side looked at the key.
        Ok(Ok(connection)) => match timeout(STAY, connection.closed()).await {
            Ok(_) => "turned away",
            Err(_) => "let in",
        },
    }
}

/// A client with a key that nobody knows, which takes whoever answers.
fn stranger() -> Result<ClientConfig, Box<dyn Error>> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|e| e.to_string())?;
    let signer =
        provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()))?;
    let spki = signer.public_key().ok_or("the key has no public half")?.to_vec();
    let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer));
    let ring = Arc::new(provider::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&ring))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(ring)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    tls.alpn_protocols = vec![ALPN_WORK.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}

/// Seconds of processor time this process took; 0 where Linux does not tell.
fn cpu_secs() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Whoever floods does not care whom.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
