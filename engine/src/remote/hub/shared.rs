//! What the hub's threads share, and the keeper that looks after it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use quinn::Endpoint;
use tokio::{runtime::Handle, sync::Notify, task::spawn_blocking, time::timeout};

use super::{HubConfig, listener, session::Session};
use crate::{
    crew::{DeviceId, Standing},
    error::{Error, ErrorKind, Result},
    local::Pool,
    protocol::{FromMain, Running, code},
    remote::{
        Announcement, Computer, HubStatus, Identity, Peer, Peers, canary::Canaries,
        pairing::PairingDesk,
    },
    roster::Roster,
    song::Wake,
};

/// How often the keeper looks whether another process forgot or paired a computer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long computers may take to leave a port that is given up.
const MOVE_DEADLINE: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    config: ArcSwap<HubConfig>,
    pub(super) peers: Peers,
    pub(super) pool: Arc<Pool>,
    pub(super) roster: Arc<Roster>,
    pub(super) runtime: Handle,
    pub(super) canaries: Canaries,
    pub(super) identity: Identity,
    pub(super) desk: PairingDesk,
    pub(super) status: ArcSwap<HubStatus>,
    pub(super) watchers: Arc<Watchers>,
    listening: Mutex<Listening>,
    /// Held while it is decided whether to listen, so that a socket which was just opened for a
    /// pairing is not closed again for want of one.
    deciding: Mutex<()>,
    presence: Mutex<Presence>,
    changed: Notify,
    has_changed: AtomicBool,
    /// Whether anybody can be paired, as of the last look: strangers must not cause a look each.
    is_pairing: AtomicBool,
}

#[derive(Default)]
struct Listening {
    endpoint: Option<Endpoint>,
    /// Tells workers in the same network where this computer is.
    announcement: Option<Announcement>,
    trouble: Option<Arc<Error>>,
}

/// Who is connected, and what is known of others since the program started.
#[derive(Default)]
struct Presence {
    sessions: BTreeMap<DeviceId, Arc<Session>>,
    /// Programs of those that were sent away since versions differ.
    outdated: BTreeMap<DeviceId, String>,
    tested_x_real_time: BTreeMap<DeviceId, f32>,
}

impl Shared {
    pub(super) fn new(
        config: HubConfig,
        identity: Identity,
        peers: Peers,
        pool: Arc<Pool>,
        roster: Arc<Roster>,
        runtime: Handle,
    ) -> Self {
        Self {
            canaries: Canaries::open(&config.data_dir),
            desk: PairingDesk::new(
                identity.clone(),
                peers.clone(),
                config.name.clone(),
                &config.data_dir,
            ),
            status: ArcSwap::default(),
            watchers: Arc::default(),
            listening: Mutex::default(),
            deciding: Mutex::default(),
            presence: Mutex::default(),
            changed: Notify::new(),
            has_changed: AtomicBool::new(false),
            is_pairing: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config),
            identity,
            peers,
            pool,
            roster,
            runtime,
        }
    }

    /// Whether `device` is paired; asks the file when it does not seem so, since another process
    /// may just have paired it.
    pub(super) fn knows(&self, device: DeviceId) -> bool {
        let is_paired = || self.peers.find(device).is_some();
        is_paired() || (self.peers.refresh().is_ok_and(|changed| changed) && is_paired())
    }

    /// Whether unknown keys may finish a handshake, to be paired.
    pub(super) fn is_pairing(&self) -> bool {
        self.is_pairing.load(Ordering::Acquire)
    }

    /// Has the keeper look at once, and watchers look after it.
    pub(super) fn changed(&self) {
        self.has_changed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Puts a connection among those that work; another one of the same computer ends.
    pub(super) fn welcome(&self, session: &Arc<Session>) {
        let mut presence = self.presence();
        presence.outdated.remove(&session.device);
        if let Some(old) = presence.sessions.insert(session.device, Arc::clone(session)) {
            old.connection.close(code::REPLACED.into(), b"");
        }
        drop(presence);
        self.changed();
    }

    /// A connection ended.
    pub(super) fn part(&self, session: &Arc<Session>) {
        let mut presence = self.presence();
        let is_it = |there: &Arc<Session>| Arc::ptr_eq(there, session);
        if presence.sessions.get(&session.device).is_some_and(is_it) {
            presence.sessions.remove(&session.device);
        }
        drop(presence);
        self.changed();
    }

    /// A computer was sent away for its version.
    pub(super) fn turn_away(&self, device: DeviceId, program: String) {
        self.presence().outdated.insert(device, program);
        self.changed();
    }

    pub(super) fn tested(&self, device: DeviceId, x_real_time: f32) {
        self.presence().tested_x_real_time.insert(device, x_real_time);
        self.changed();
    }

    /// The open connection of a computer.
    pub(super) fn session(&self, device: DeviceId) -> Option<Arc<Session>> {
        self.presence().sessions.get(&device).filter(|session| session.is_open()).cloned()
    }

    /// How a computer stands, whatever the work.
    pub(super) fn standing(&self, peer: &Peer) -> Standing {
        let presence = self.presence();
        if !peer.confirmed {
            return Standing::Unconfirmed;
        }
        if let Some(why) = &peer.accused {
            return Standing::SetAside { left: None, why: why.clone() };
        }
        if peer.paused {
            return Standing::PausedHere;
        }
        match (presence.sessions.get(&peer.device), presence.outdated.get(&peer.device)) {
            (Some(session), _) if session.is_open() => match session.running() {
                Running::Ready => Standing::Ready,
                Running::Paused(reason) => Standing::PausedThere(reason),
                Running::Leaving => Standing::Leaving,
            },
            (_, Some(theirs)) => Standing::UpdateNeeded { theirs: theirs.clone() },
            (_, None) => Standing::Away,
        }
    }

    pub(super) fn config(&self) -> Arc<HubConfig> {
        self.config.load_full()
    }

    /// Takes another name, port, or wish to be found; those who are connected follow.
    ///
    /// # Errors
    /// When the port cannot be listened at: then it stays as it was, and the rest is taken.
    pub(super) fn set_reach(
        self: &Arc<Self>,
        name: String,
        port: u16,
        announce: bool,
    ) -> Result<()> {
        let _deciding = self.deciding();
        let old = self.config();
        self.desk.set_name(name.clone());
        let mut new = HubConfig { name, port, announce, ..(*old).clone() };
        let mut listening = self.listening();
        let moved = match &listening.endpoint {
            Some(_) if new.port != old.port => listener::open(self, new.port).map(Some),
            _ => Ok(None),
        };
        if moved.is_err() {
            new.port = old.port;
        }
        if new != *old {
            self.config.store(Arc::new(new));
            // Whoever has the old name is told so before the new one is there.
            listening.announcement = None;
        }
        if let Ok(Some(endpoint)) = &moved {
            self.runtime.spawn(listener::accept(Arc::clone(self), endpoint.clone()));
            if let Some(left) = listening.endpoint.replace(endpoint.clone()) {
                self.runtime.spawn(self.sessions_move(left, port));
            }
        }
        if listening.announcement.is_none() {
            listening.announcement = listening.endpoint.as_ref().and_then(|it| self.announce(it));
        }
        drop(listening);
        self.changed();
        let kept = || format!("Other computers reach this one at port {} as before", old.port);
        moved.map(drop).map_err(|error| error.kept(kept()))
    }

    /// Tells everybody the new port and lets them leave the old one.
    fn sessions_move(&self, left: Endpoint, port: u16) -> impl Future<Output = ()> + use<> {
        let sessions: Vec<Arc<Session>> = self.presence().sessions.values().cloned().collect();
        async move {
            left.set_server_config(None);
            for session in sessions {
                // One that is gone looks for us by itself.
                let _ = session.order(FromMain::Moved { port }).await;
            }
            let _ = timeout(MOVE_DEADLINE, left.wait_idle()).await;
            left.close(code::DONE.into(), b"");
        }
    }

    /// Listens, if it does not yet.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub(super) fn listen(self: &Arc<Self>) -> Result<()> {
        let mut listening = self.listening();
        if listening.endpoint.is_none() {
            let endpoint = listener::open(self, self.config().port)?;
            self.runtime.spawn(listener::accept(Arc::clone(self), endpoint.clone()));
            listening.announcement = self.announce(&endpoint);
            listening.endpoint = Some(endpoint);
            listening.trouble = None;
        }
        Ok(())
    }

    /// A hint only: many networks do not let it through, and workers know the last address.
    fn announce(&self, endpoint: &Endpoint) -> Option<Announcement> {
        let config = self.config();
        let port = endpoint.local_addr().ok().filter(|_| config.announce)?.port();
        Announcement::start(&config.name, port, self.identity.device())
            .inspect_err(|error| tracing::info!(%error, "this computer does not announce itself"))
            .ok()
    }

    /// Ends all connections and listens no more; the endpoint, to wait for.
    pub(super) fn stop_listening(&self) -> Option<Endpoint> {
        let endpoint = {
            let mut listening = self.listening();
            listening.announcement = None;
            listening.endpoint.take()?
        };
        endpoint.close(code::DONE.into(), b"");
        self.presence().sessions.clear();
        Some(endpoint)
    }

    /// Looks after everything once: what other processes did, who must go, whether to listen, and
    /// what there is to see. Reads files.
    pub(super) fn look(self: &Arc<Self>) {
        let has_changed = self.has_changed.swap(false, Ordering::AcqRel);
        let mut trouble = self.peers.refresh().err().map(Arc::new);
        let peers = self.peers.list();
        self.expel_all_but(&peers);
        let deciding = self.deciding();
        let is_pairing = self.desk.is_open();
        self.is_pairing.store(is_pairing, Ordering::Release);
        if !peers.is_empty() || is_pairing {
            if let Err(error) = self.listen() {
                trouble = trouble.or_else(|| Some(Arc::new(error)));
            }
        } else {
            self.stop_listening();
        }
        drop(deciding);
        let was_trouble = std::mem::replace(&mut self.listening().trouble, trouble).is_some();
        let old = self.status.load();
        let new = self.snapshot(peers);
        let differs = !alike(&old, &new) || was_trouble != new.trouble.is_some();
        drop(old);
        self.status.store(Arc::new(new));
        if has_changed || differs {
            self.watchers.wake();
        }
    }

    /// Where workers reach this computer; nowhere while it does not listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listening().endpoint.as_ref().map(listener::addresses).unwrap_or_default()
    }

    fn expel_all_but(&self, peers: &[Peer]) {
        let is_paired = |device: &DeviceId| peers.iter().any(|peer| peer.device == *device);
        let mut presence = self.presence();
        presence.outdated.retain(|device, _| is_paired(device));
        presence.tested_x_real_time.retain(|device, _| is_paired(device));
        for session in presence.sessions.values().filter(|s| !is_paired(&s.device)) {
            session.connection.close(code::NOT_PAIRED.into(), b"");
        }
    }

    fn snapshot(&self, peers: Vec<Peer>) -> HubStatus {
        let trouble = self.listening().trouble.clone();
        let computer = |peer: Peer| {
            let standing = self.standing(&peer);
            let session = self.session(peer.device);
            let tested_x_real_time = self.presence().tested_x_real_time.get(&peer.device).copied();
            Computer {
                device: peer.device,
                name: peer.name,
                letter: peer.letter,
                standing,
                about: session.as_ref().map(|s| s.about.clone()).or(peer.about),
                link: session.map(|session| session.link()),
                last_seen: peer.last_seen,
                tested_x_real_time,
            }
        };
        HubStatus {
            name: self.config().name.clone(),
            device: Some(self.identity.device()),
            addresses: self.addresses(),
            computers: peers.into_iter().map(computer).collect(),
            pairing: self.desk.status(),
            trouble,
        }
    }

    /// Notes that `session` is or was connected just now.
    pub(super) fn note_seen(&self, session: &Session) {
        let address = session.link().address;
        let noted = self.peers.change(session.device, |peer| {
            peer.last_seen = Some(SystemTime::now());
            peer.about = Some(session.about.clone());
            peer.addresses = vec![address];
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "what a computer said of itself is not remembered");
        }
    }

    pub(super) fn deciding(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after everything every now and then, and whenever something changed.
pub(super) async fn keep(shared: Arc<Shared>) {
    loop {
        let looked = spawn_blocking({
            let shared = Arc::clone(&shared);
            move || shared.look()
        });
        if looked.await.is_err() {
            tracing::error!("looking after other computers went wrong; it is tried again");
        }
        let _ = timeout(LOOK_EVERY, shared.changed.notified()).await;
    }
}

/// Whether two snapshots show the same but for round-trip times and speeds, which always move.
fn alike(a: &HubStatus, b: &HubStatus) -> bool {
    let still = |computer: &Computer| {
        let address = computer.link.as_ref().map(|link| link.address);
        (Computer { link: None, ..computer.clone() }, address)
    };
    let pairing = |status: &HubStatus| {
        status.pairing.as_ref().map(|p| (p.code.clone(), p.until, p.stage.clone()))
    };
    a.device == b.device
        && a.name == b.name
        && a.addresses == b.addresses
        && pairing(a) == pairing(b)
        && a.computers.iter().map(still).eq(b.computers.iter().map(still))
}

/// Those who want to know when something changed.
#[derive(Default)]
pub(super) struct Watchers {
    wakes: Mutex<Vec<(u64, Wake)>>,
    next: AtomicU64,
}

/// Ends a watch when it is dropped.
struct Watch {
    watchers: Weak<Watchers>,
    id: u64,
}

impl Watchers {
    pub(super) fn add(self: &Arc<Self>, wake: Wake) -> Box<dyn Send + Sync> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.wakes().push((id, wake));
        Box::new(Watch { watchers: Arc::downgrade(self), id })
    }

    fn wake(&self) {
        // Not under the lock: whoever is woken may stop watching.
        let wakes: Vec<Wake> = self.wakes().iter().map(|(_, wake)| Arc::clone(wake)).collect();
        wakes.iter().for_each(|wake| wake());
    }

    fn wakes(&self) -> MutexGuard<'_, Vec<(u64, Wake)>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(watchers) = self.watchers.upgrade() {
            watchers.wakes().retain(|(id, _)| *id != self.id);
        }
    }
}

/// That the port is taken, or whatever else kept this computer from listening.
pub(super) fn cannot_listen(port: u16, error: std::io::Error) -> Error {
    let (kind, what, advice) = match error.kind() {
        std::io::ErrorKind::AddrInUse => (
            ErrorKind::Busy,
            format!("Another program uses the network port {port}"),
            "Close it, or choose another port in the settings",
        ),
        _ => (
            ErrorKind::Network,
            format!("Cannot listen for other computers at port {port}: {error}"),
            "Check the network, then try again",
        ),
    };
    Error::new(kind, what)
        .caused_by(error)
        .kept("This computer goes on separating by itself")
        .advice(advice)
}
