//! The main PC's side: listens for paired workers, keeps their connections, and offers them to jobs
//! as a [`Crew`].

#[cfg(test)]
mod hostile;
mod lease;
mod listener;
mod roll;
mod session;
mod shared;

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{runtime::Runtime, time::timeout};

use self::{roll::Roll, shared::Shared};
use super::{HubStatus, Identity, Peer, Peers, Ticket, runtime};
use crate::{
    catalogue::Catalogue,
    crew::{Crew, DeviceId},
    error::Result,
    local::Pool,
    model::Separator,
    protocol::code,
    roster::Roster,
    song::Wake,
};

/// After a worker refused: by then its owner may have made room on the disk, or allowed the model.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How a main PC listens.
#[derive(Debug, Clone, PartialEq)]
pub struct HubConfig {
    /// Folder of key and paired computers.
    pub data_dir: PathBuf,
    /// Name to show to workers.
    pub name: String,
    /// UDP port; 0 takes any.
    pub port: u16,
    /// Address to listen at; all of them unless tests say otherwise.
    pub address: IpAddr,
    /// Whether to announce this computer by mDNS.
    pub announce: bool,
    /// When a worker that refused is asked again; [`ASK_AGAIN_AFTER`] unless tests say otherwise.
    pub ask_again_after: Duration,
}

/// Which of the paired computers a job may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Chosen {
    /// All of them.
    #[default]
    All,
    /// This computer only.
    None,
    /// These.
    Only(Vec<DeviceId>),
}

/// The main PC's side. Listens while a computer is paired or the pairing window is open, and only
/// then. Its methods never wait for the network. Dropping it ends every connection.
pub struct Hub {
    shared: Arc<Shared>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Hub {
    /// A hub with these models and those of the catalogue that are installed; what an engine does
    /// with its own.
    ///
    /// # Errors
    /// When key or list of computers cannot be read. That the port is taken is no error here but
    /// [`HubStatus::trouble`].
    pub fn with_models(
        config: HubConfig,
        pool: Arc<Pool>,
        models: Vec<Arc<dyn Separator>>,
        catalogue: Catalogue,
    ) -> Result<Self> {
        Self::open(config, pool, Arc::new(Roster::new(models, catalogue)))
    }

    /// A hub; it starts to listen when there is reason to.
    ///
    /// # Errors
    /// As [`Self::with_models`].
    pub(crate) fn open(config: HubConfig, pool: Arc<Pool>, roster: Arc<Roster>) -> Result<Self> {
        let identity = Identity::load_or_create(&config.data_dir)?;
        let peers = Peers::open(&config.data_dir)?;
        let runtime = runtime::start("remote workers")?;
        let handle = runtime.handle().clone();
        let shared = Arc::new(Shared::new(config, identity, peers, pool, roster, handle));
        let watched = Arc::downgrade(&shared);
        shared.desk.set_wake(Arc::new(move || {
            if let Some(shared) = watched.upgrade() {
                shared.changed();
            }
        }));
        shared.look();
        runtime.spawn(shared::keep(Arc::clone(&shared)));
        Ok(Self { shared, runtime: Some(runtime) })
    }

    /// The newest snapshot.
    pub fn status(&self) -> Arc<HubStatus> {
        self.shared.status.load_full()
    }

    /// Has `wake` called whenever [`Self::status`] changed, until the answer is dropped.
    pub fn watch(&self, wake: Wake) -> Box<dyn Send + Sync> {
        self.shared.watchers.add(wake)
    }

    /// Opens the pairing window with a new code; see [`HubStatus::pairing`].
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub fn start_pairing(&self) -> Result<()> {
        let deciding = self.shared.deciding();
        self.shared.listen()?;
        self.shared.desk.start()?;
        drop(deciding);
        self.shared.look();
        Ok(())
    }

    /// Closes the pairing window.
    pub fn stop_pairing(&self) {
        self.shared.desk.stop();
        self.shared.changed();
    }

    /// A new ticket with which one computer can pair itself within a quarter of an hour.
    ///
    /// # Errors
    /// As [`Self::start_pairing`]; what the disk says.
    pub fn ticket(&self) -> Result<Ticket> {
        let deciding = self.shared.deciding();
        self.shared.listen()?;
        let ticket = self.shared.desk.ticket(self.shared.addresses())?;
        drop(deciding);
        self.shared.look();
        Ok(ticket)
    }

    /// The user compared the fingerprints: the computer may work.
    ///
    /// # Errors
    /// What the disk says.
    pub fn confirm(&self, device: DeviceId) -> Result<()> {
        self.change(device, |peer| peer.confirmed = true)
    }

    /// Forgets a computer; its connection ends at once.
    ///
    /// # Errors
    /// What the disk says.
    pub fn forget(&self, device: DeviceId) -> Result<()> {
        self.shared.peers.forget(device)?;
        if let Some(session) = self.shared.session(device) {
            session.connection.close(code::NOT_PAIRED.into(), b"");
        }
        self.shared.changed();
        Ok(())
    }

    /// Renames a computer, here only.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rename(&self, device: DeviceId, name: &str) -> Result<()> {
        self.change(device, |peer| peer.name = name.to_owned())
    }

    /// Whether a computer is to be used.
    ///
    /// # Errors
    /// What the disk says.
    pub fn set_paused(&self, device: DeviceId, paused: bool) -> Result<()> {
        self.change(device, |peer| peer.paused = paused)
    }

    /// Tries a computer again that was set aside, or came out otherwise.
    ///
    /// # Errors
    /// What the disk says.
    pub fn try_again(&self, device: DeviceId) -> Result<()> {
        if let Some(session) = self.shared.session(device) {
            session.ask_anew();
        }
        self.change(device, |peer| peer.accused = None)
    }

    /// Shows another name to workers, listens at another port, or is found otherwise, at once. Those
    /// who are connected are told the port and connect anew; chunks they have are given again.
    ///
    /// # Errors
    /// When the port cannot be listened at: it stays as it was then, and the rest is taken.
    pub fn set_reach(&self, name: String, port: u16, announce: bool) -> Result<()> {
        self.shared.set_reach(name, port, announce)
    }

    /// The computers that a job may use.
    pub fn crew(&self, chosen: Chosen) -> Arc<dyn Crew> {
        Arc::new(Roll { shared: Arc::clone(&self.shared), chosen })
    }

    fn change(&self, device: DeviceId, how: impl FnOnce(&mut Peer)) -> Result<()> {
        self.shared.peers.change(device, how)?;
        self.shared.changed();
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let endpoint = self.shared.stop_listening();
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(endpoint) = endpoint {
            // Workers that do not hear it notice by themselves.
            let _ =
                runtime.block_on(async { timeout(runtime::FAREWELL, endpoint.wait_idle()).await });
        }
        runtime.shutdown_timeout(runtime::FAREWELL);
    }
}
