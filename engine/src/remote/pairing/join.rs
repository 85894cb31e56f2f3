//! The worker's side: goes to a main PC and proves that it knows its code or holds its ticket.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use quinn::Connection;
use tokio::time::timeout;

use super::{
    dial::dial,
    proof::{Channel, Keys, Pake, Role},
    tickets::key_of,
    wire::{Talk, lost},
};
use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    protocol::{
        DEFAULT_PORT, PairAnswer, PairConfirm, PairHello, PairProof, PairRefusal, VERSION, code,
    },
    remote::{Identity, Peer, Peers, Ticket, text::printable_name},
};

/// How long one go at pairing may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to come again while the main PC is pairing somebody else.
const QUEUE: Duration = Duration::from_secs(10);

/// How long to wait before that.
const COME_AGAIN: Duration = Duration::from_millis(250);

/// Most addresses that are tried.
const MAX_ADDRESSES: usize = 16;

/// Pairs this worker with the main PC at one of `addresses`, the best one first, which shows `code`:
/// six digits, maybe with spaces between them. The answer is in `peers` then, confirmed: the code
/// said whom to trust. Blocks for a few seconds, half a minute at most.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the code is none, [`ErrorKind::Denied`] when it is wrong or the
/// window is closed, [`ErrorKind::Busy`] when another computer is being paired,
/// [`ErrorKind::Unsupported`] when the versions differ, [`ErrorKind::Network`] when nobody answers;
/// what the disk says.
pub fn join_by_code(
    identity: &Identity,
    peers: &Peers,
    name: &str,
    addresses: &[SocketAddr],
    code: &str,
) -> Result<Peer> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::new(ErrorKind::Invalid, "A pairing code has six digits")
            .advice("Type the one that the main PC shows"));
    }
    join(identity, peers, name, addresses, &Secret::Code(digits))
}

/// Pairs this worker with the main PC that made `ticket`; see [`join_by_code`].
///
/// # Errors
/// As [`join_by_code`]; [`ErrorKind::Denied`] when the ticket is too old or was used.
pub fn join_by_ticket(
    identity: &Identity,
    peers: &Peers,
    name: &str,
    ticket: &Ticket,
) -> Result<Peer> {
    join(identity, peers, name, &ticket.addresses, &Secret::Ticket(ticket.clone()))
}

/// The addresses that `text` means: a name or an address, with a port or without for the usual one.
/// Blocks while the name is looked up.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it means none.
pub fn resolve(text: &str) -> Result<Vec<SocketAddr>> {
    let text = text.trim();
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, DEFAULT_PORT)]);
    }
    let found = match text.rsplit_once(':') {
        Some(_) => text.to_socket_addrs(),
        None if text.is_empty() => Ok(vec![].into_iter()),
        None => (text, DEFAULT_PORT).to_socket_addrs(),
    };
    let unknown = || {
        Error::new(ErrorKind::Invalid, format!("There is no computer called “{text}”")).advice(
            format!("Type its address as it is shown there, like 192.168.1.24:{DEFAULT_PORT}"),
        )
    };
    let addresses: Vec<_> =
        found.map_err(|e| unknown().caused_by(e))?.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
}

/// What both computers know.
#[derive(Clone)]
enum Secret {
    Code(String),
    Ticket(Ticket),
}

/// Who the main PC proved to be.
struct Main {
    device: DeviceId,
    name: String,
    address: SocketAddr,
}

fn join(
    identity: &Identity,
    peers: &Peers,
    name: &str,
    addresses: &[SocketAddr],
    secret: &Secret,
) -> Result<Peer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, "No connection can be made").caused_by(e))?;
    let addresses: Vec<_> = addresses.iter().take(MAX_ADDRESSES).copied().collect();
    let found = runtime.block_on(async {
        let start = Instant::now();
        loop {
            let in_time = timeout(PATIENCE, meet(identity, name, &addresses, secret));
            match in_time.await.map_err(lost)? {
                Err(error) if error.kind == ErrorKind::Busy && start.elapsed() < QUEUE => {
                    tokio::time::sleep(COME_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    });
    let main = found?;
    // The others may be good as well: the same computer, by another way.
    let others = addresses.iter().copied().filter(|other| *other != main.address);
    let known = std::iter::once(main.address).chain(others).collect();
    peers.add(main.device, &main.name, known)?;
    peers.change(main.device, |peer| peer.confirmed = true)?;
    peers.find(main.device).ok_or_else(|| {
        Error::new(ErrorKind::Cancelled, format!("“{}” was forgotten at once", main.name))
    })
}

async fn meet(
    identity: &Identity,
    name: &str,
    addresses: &[SocketAddr],
    secret: &Secret,
) -> Result<Main> {
    let pinned = match secret {
        Secret::Code(_) => None,
        Secret::Ticket(ticket) => Some(ticket.device),
    };
    let (endpoint, connection) = dial(identity, addresses, pinned).await?;
    let outcome = talk(identity, name, &connection, secret).await;
    connection.close(code::DONE.into(), b"");
    // So that the other side hears of it; it would find out by itself.
    let _ = timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
    outcome
}

/// Says what there is to say on a connection; who is at its other end.
async fn talk(
    identity: &Identity,
    name: &str,
    connection: &Connection,
    secret: &Secret,
) -> Result<Main> {
    let channel = Channel::of(connection, identity.device(), Role::Worker)?;
    let mut talk = Talk::open(connection).await?;
    let hello = |proof| PairHello {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        name: printable_name(name),
        proof,
    };
    let keys = match secret {
        Secret::Ticket(ticket) => {
            let keys = Keys::new(&key_of(&ticket.secret), &channel);
            talk.say(&hello(PairProof::Ticket { tag: keys.tag(Role::Worker) })).await?;
            keys
        }
        Secret::Code(code) => {
            let (pake, share) = Pake::start(Role::Worker, code, &channel);
            talk.say(&hello(PairProof::Code { share })).await?;
            let share = match talk.hear().await? {
                PairAnswer::Share(share) => share,
                other => return Err(refusal(other)),
            };
            let keys = pake.finish(share).ok_or_else(|| refusal(PairAnswer::Share(share)))?;
            talk.say(&PairConfirm { tag: keys.tag(Role::Worker) }).await?;
            keys
        }
    };
    match talk.hear().await? {
        PairAnswer::Welcome { tag, name } if keys.check(Role::Main, &tag) => {
            Ok(Main { device: channel.main, name, address: connection.remote_address() })
        }
        PairAnswer::Welcome { .. } => Err(Error::new(
            ErrorKind::Denied,
            "The other computer could not prove that it is the main PC",
        )
        .advice("Somebody may be between the two: pair them in a network you trust")),
        other => Err(refusal(other)),
    }
}

/// An answer that is not the one hoped for.
fn refusal(answer: PairAnswer) -> Error {
    let new_ticket = "Make a new one on the main PC";
    let (kind, what, advice) = match answer {
        PairAnswer::Refused(why) => match why {
            PairRefusal::Closed => (
                ErrorKind::Denied,
                "The main PC shows no code now".to_owned(),
                "Press “Add a computer” there and type the code that it shows".to_owned(),
            ),
            PairRefusal::Busy => (
                ErrorKind::Busy,
                "The main PC is adding another computer right now".to_owned(),
                "Try again in a few seconds".to_owned(),
            ),
            PairRefusal::WrongCode { tries_left: 0 } => (
                ErrorKind::Denied,
                "The code is wrong, and the main PC takes no more tries".to_owned(),
                "Press “Add a computer” there again for a new code".to_owned(),
            ),
            PairRefusal::WrongCode { tries_left } => {
                let tries = if tries_left == 1 { "try is" } else { "tries are" };
                let what = format!("The code is wrong; {tries_left} {tries} left");
                let advice = "Type the new code that the main PC shows now".to_owned();
                (ErrorKind::Denied, what, advice)
            }
            PairRefusal::TicketUnknown => {
                let what = "The main PC does not know this ticket".to_owned();
                (ErrorKind::Denied, what, new_ticket.to_owned())
            }
            PairRefusal::TicketExpired => {
                let what = "The ticket is older than a quarter of an hour".to_owned();
                (ErrorKind::Denied, what, new_ticket.to_owned())
            }
            PairRefusal::TicketUsed => {
                let what = "The ticket was used already; it adds one computer".to_owned();
                (ErrorKind::Denied, what, new_ticket.to_owned())
            }
            PairRefusal::UpdateNeeded { version, program } => {
                let (program, ours) = (printable_name(&program), env!("CARGO_PKG_VERSION"));
                let what = format!("The main PC has Stemhive {program}, this computer {ours}");
                let older = if version > VERSION { "this computer" } else { "the main PC" };
                (ErrorKind::Unsupported, what, format!("Update {older}"))
            }
            PairRefusal::Full => (
                ErrorKind::Denied,
                "The main PC is paired with as many computers as it can be".to_owned(),
                "Forget one there that is not used any more".to_owned(),
            ),
            PairRefusal::Trouble => (
                ErrorKind::Denied,
                "The main PC cannot write down that it knows this computer".to_owned(),
                "See that its disk is not full, and try again".to_owned(),
            ),
            PairRefusal::Nonsense => nonsense(),
        },
        PairAnswer::Share(_) | PairAnswer::Welcome { .. } => nonsense(),
    };
    Error::new(kind, what).advice(advice)
}

fn nonsense() -> (ErrorKind, String, String) {
    (
        ErrorKind::Damaged,
        "The two computers do not understand each other".to_owned(),
        "See that both have the same version of Stemhive".to_owned(),
    )
}
