//! The main PC's side: shows codes, makes tickets, and pairs who knows one.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use quinn::{Connection, VarInt};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    proof::{Channel, Keys, Pake, Role},
    tickets::{Redeemed, Tickets},
    window::Window,
    wire::Talk,
};
use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    protocol::{
        MAX_PAIRING_BYTES, PairAnswer, PairConfirm, PairHello, PairProof, PairRefusal, VERSION,
        code,
    },
    remote::{Identity, MAX_TICKET_ADDRESSES, Pairing, Peer, Peers, Ticket, text::printable_name},
    song::Wake,
};

/// Most computers at the desk, most of which wait to say their first word.
const MAX_AT_DESK: usize = 16;

/// Where computers are paired. A clone is the same desk.
#[derive(Clone)]
pub(in crate::remote) struct PairingDesk(Arc<Desk>);

struct Desk {
    identity: Identity,
    peers: Peers,
    name: Mutex<String>,
    tickets: Tickets,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    window: Option<Window>,
    /// Counts the windows, so that a try which outlives its window does nothing to the next one.
    opened: u64,
    is_busy: bool,
    wake: Option<Wake>,
}

impl PairingDesk {
    /// A desk whose window is closed. `name` is shown to workers.
    pub(in crate::remote) fn new(
        identity: Identity,
        peers: Peers,
        name: String,
        data_dir: &Path,
    ) -> Self {
        Self(Arc::new(Desk {
            identity,
            peers,
            name: Mutex::new(name),
            tickets: Tickets::new(data_dir),
            places: Semaphore::new(MAX_AT_DESK),
            state: Mutex::default(),
        }))
    }

    /// Shows this name to workers from now on.
    pub(in crate::remote) fn set_name(&self, name: String) {
        *self.0.name() = name;
    }

    /// Has `wake` called whenever [`Self::status`] changed other than by time: a code that is over
    /// is replaced when the status is asked for.
    pub(in crate::remote) fn set_wake(&self, wake: Wake) {
        self.0.state().wake = Some(wake);
    }

    /// Opens the window with a new code; one that was open is forgotten.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(in crate::remote) fn start(&self) -> Result<()> {
        let window = Window::open(Instant::now())?;
        self.0.change(|state| {
            state.window = Some(window);
            state.opened += 1;
        });
        Ok(())
    }

    /// Closes the window; a try that is under way fails.
    pub(in crate::remote) fn stop(&self) {
        self.0.change(|state| {
            state.window = None;
            state.opened += 1;
        });
    }

    /// Whether anybody can be paired: by a code, or by a ticket, whichever process made it. Reads a
    /// small file.
    pub(in crate::remote) fn is_open(&self) -> bool {
        let has_code = {
            let state = self.0.state();
            state.is_busy || state.window.as_ref().is_some_and(Window::is_open)
        };
        has_code || self.0.tickets.is_any_good(SystemTime::now())
    }

    /// Whether a pairing is under way.
    #[cfg(test)]
    pub(super) fn is_pairing(&self) -> bool {
        self.0.state().is_busy
    }

    /// The window, also when it is over, until [`Self::stop`].
    pub(in crate::remote) fn status(&self) -> Option<Pairing> {
        self.0.state().window.as_mut().map(|window| window.show(Instant::now()))
    }

    /// A new ticket that names these addresses, the best one first, of which it holds
    /// [`MAX_TICKET_ADDRESSES`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] without any address; as [`Self::start`]; what the disk says.
    pub(in crate::remote) fn ticket(&self, mut addresses: Vec<SocketAddr>) -> Result<Ticket> {
        if addresses.is_empty() {
            let what = "This computer has no address in a network";
            return Err(Error::new(ErrorKind::Invalid, what).advice("Connect it to your network"));
        }
        addresses.truncate(MAX_TICKET_ADDRESSES);
        let mut secret = [0; 16];
        SystemRandom::new().fill(&mut secret).map_err(|_| {
            Error::new(ErrorKind::Internal, "The system gives no random numbers for a ticket")
        })?;
        self.0.tickets.keep(&secret, SystemTime::now())?;
        Ok(Ticket { addresses, device: self.0.identity.device(), secret })
    }

    /// Talks to a computer that came to be paired, until it is or is sent away, and ends the
    /// connection.
    pub(in crate::remote) async fn serve(&self, connection: Connection) {
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(1));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
        connection.set_receive_window(VarInt::from_u32(MAX_PAIRING_BYTES as u32));
        let code = match self.0.places.try_acquire() {
            Err(_) => code::LIMIT,
            Ok(_place) => match self.talk(&connection).await {
                Ok(()) => code::DONE,
                Err(error) => {
                    tracing::debug!(address = %connection.remote_address(), %error, "not paired");
                    let is_slow = error.kind == ErrorKind::Network;
                    if is_slow { code::LIMIT } else { code::NONSENSE }
                }
            },
        };
        connection.close(code.into(), b"");
    }

    async fn talk(&self, connection: &Connection) -> Result<()> {
        let channel = Channel::of(connection, self.0.identity.device(), Role::Main)?;
        let mut talk = Talk::accept(connection).await?;
        let hello: Result<PairHello> = talk.hear().await;
        // Kept until the answer is heard, so that nobody closes the door before.
        let mut attempt = None;
        let outcome = match hello {
            Err(error) => Err(error),
            Ok(hello) if hello.version != VERSION => {
                let program = env!("CARGO_PKG_VERSION").to_owned();
                Ok(refused(PairRefusal::UpdateNeeded { version: VERSION, program }))
            }
            Ok(hello) => match attempt.insert(Attempt::begin(&self.0)) {
                None => Ok(refused(PairRefusal::Busy)),
                Some(attempt) => {
                    let (device, address) = (channel.worker, connection.remote_address());
                    let worker = Newcomer { device, name: printable_name(&hello.name), address };
                    match hello.proof {
                        PairProof::Code { share } => {
                            by_code(attempt, &mut talk, &channel, share, worker).await
                        }
                        PairProof::Ticket { tag } => by_ticket(attempt, channel, tag, worker).await,
                    }
                }
            },
        };
        let (answer, outcome) = match outcome {
            Ok(answer) => (answer, Ok(())),
            // Who said nothing hears nothing.
            Err(error) if error.kind == ErrorKind::Network => return Err(error),
            Err(error) => (refused(PairRefusal::Nonsense), Err(error)),
        };
        talk.say(&answer).await?;
        talk.end().await;
        drop(attempt);
        outcome
    }
}

fn refused(why: PairRefusal) -> PairAnswer {
    PairAnswer::Refused(why)
}

impl Desk {
    fn name(&self) -> MutexGuard<'_, String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = how(&mut state);
        let wake = state.wake.clone();
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
        answer
    }
}

/// Who is being paired.
struct Newcomer {
    device: DeviceId,
    name: String,
    address: SocketAddr,
}

async fn by_code(
    attempt: &mut Attempt,
    talk: &mut Talk,
    channel: &Channel,
    share: [u8; 32],
    worker: Newcomer,
) -> Result<PairAnswer> {
    let Some(code) = attempt.take_code() else {
        return Ok(refused(PairRefusal::Closed));
    };
    let (pake, our_share) = Pake::start(Role::Main, &code, channel);
    let nonsense = || Error::new(ErrorKind::Damaged, "The share is no point of the curve");
    let keys = pake.finish(share).ok_or_else(nonsense)?;
    talk.say(&PairAnswer::Share(our_share)).await?;
    let confirm: PairConfirm = talk.hear().await?;
    if !keys.check(Role::Worker, &confirm.tag) {
        let refusal = match attempt.was_wrong() {
            Some(tries_left) => PairRefusal::WrongCode { tries_left },
            None => PairRefusal::Closed,
        };
        return Ok(refused(refusal));
    }
    if !attempt.is_wanted() {
        return Ok(refused(PairRefusal::Closed));
    }
    Ok(attempt.welcome(worker, keys.tag(Role::Main), false).await)
}

async fn by_ticket(
    attempt: &mut Attempt,
    channel: Channel,
    tag: [u8; 32],
    worker: Newcomer,
) -> Result<PairAnswer> {
    let tickets = attempt.desk.tickets.clone();
    let (redeemed, our_tag) = spawn_blocking(move || {
        let mut our_tag = [0; 32];
        let redeemed = tickets.redeem(SystemTime::now(), |secret| {
            let keys = Keys::new(secret, &channel);
            our_tag = keys.tag(Role::Main);
            keys.check(Role::Worker, &tag)
        });
        (redeemed, our_tag)
    })
    .await
    .map_err(|e| Error::new(ErrorKind::Internal, "A ticket cannot be looked up").caused_by(e))?;
    let refusal = match redeemed {
        Ok(Redeemed::Now) => return Ok(attempt.welcome(worker, our_tag, true).await),
        Ok(Redeemed::Before) => PairRefusal::TicketUsed,
        Ok(Redeemed::TooOld) => PairRefusal::TicketExpired,
        Ok(Redeemed::Unknown) => PairRefusal::TicketUnknown,
        Err(error) => trouble(&error),
    };
    Ok(refused(refusal))
}

/// The one pairing under way. Dropped while it holds a code, it was a wrong try.
struct Attempt {
    desk: Arc<Desk>,
    /// Of which window, by [`State::opened`].
    opened: u64,
    holds_code: bool,
}

impl Attempt {
    /// None while another one is under way.
    fn begin(desk: &Arc<Desk>) -> Option<Self> {
        let mut state = desk.state();
        if std::mem::replace(&mut state.is_busy, true) {
            return None;
        }
        Some(Self { desk: Arc::clone(desk), opened: state.opened, holds_code: false })
    }

    /// The code, for this try only; none if the window is closed.
    fn take_code(&mut self) -> Option<String> {
        let code = self.desk.change(|state| {
            let window = state.window.as_mut().filter(|_| state.opened == self.opened)?;
            window.take_code(Instant::now())
        });
        self.holds_code = code.is_some();
        code
    }

    /// The try is over and was wrong; tries left, unless the window is gone.
    fn was_wrong(&mut self) -> Option<u32> {
        self.holds_code = false;
        self.desk.change(|state| {
            let window = state.window.as_mut().filter(|_| state.opened == self.opened)?;
            Some(window.was_wrong())
        })
    }

    /// Whether the user still has the window open in which this began.
    fn is_wanted(&self) -> bool {
        let state = self.desk.state();
        state.opened == self.opened && state.window.is_some()
    }

    /// Pairs. `is_confirmed`: the user need not compare fingerprints, since the ticket named ours and
    /// nobody else has it.
    async fn welcome(&mut self, worker: Newcomer, tag: [u8; 32], is_confirmed: bool) -> PairAnswer {
        self.holds_code = false;
        let peers = self.desk.peers.clone();
        let device = worker.device;
        let kept = spawn_blocking(move || -> Result<Peer> {
            let peer = peers.add(device, &worker.name, vec![worker.address])?;
            if is_confirmed {
                peers.change(device, |peer| peer.confirmed = true)?;
            }
            Ok(peer)
        })
        .await;
        let refusal = match kept {
            Ok(Ok(_)) => {
                self.desk.change(|state| {
                    let is_ours = state.opened == self.opened;
                    if let Some(window) = state.window.as_mut().filter(|_| is_ours) {
                        window.was_paired(device);
                    }
                });
                return PairAnswer::Welcome { tag, name: self.desk.name().clone() };
            }
            Ok(Err(error)) => trouble(&error),
            Err(error) => trouble(&error),
        };
        refused(refusal)
    }
}

/// What to say when the disk does not do its part, which is told here only.
fn trouble(error: &(dyn std::error::Error + 'static)) -> PairRefusal {
    tracing::warn!(%error, "a computer proved itself but cannot be paired");
    match error.downcast_ref::<Error>() {
        Some(error) if error.kind == ErrorKind::TooLarge => PairRefusal::Full,
        _ => PairRefusal::Trouble,
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.holds_code {
            self.was_wrong();
        }
        self.desk.change(|state| state.is_busy = false);
    }
}
