//! The main PC's side: listens for paired workers, keeps their connections, and offers them to jobs
//! as a [`Crew`].

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use super::{HubStatus, Ticket};
use crate::{
    crew::{Crew, DeviceId},
    error::Result,
    local::Pool,
    roster::Roster,
    song::Wake,
};

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
pub struct Hub {}

impl Hub {
    /// A hub; it starts to listen when there is reason to.
    ///
    /// # Errors
    /// When key or list of computers cannot be read. That the port is taken is no error here but
    /// [`HubStatus::trouble`].
    pub(crate) fn open(_config: HubConfig, _pool: Arc<Pool>, _roster: Arc<Roster>) -> Result<Self> {
        todo!()
    }

    /// The newest snapshot.
    pub fn status(&self) -> Arc<HubStatus> {
        todo!()
    }

    /// Has `wake` called whenever [`Self::status`] changed, until the answer is dropped.
    pub fn watch(&self, _wake: Wake) -> Box<dyn Send + Sync> {
        todo!()
    }

    /// Opens the pairing window with a new code; see [`HubStatus::pairing`].
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub fn start_pairing(&self) -> Result<()> {
        todo!()
    }

    /// Closes the pairing window.
    pub fn stop_pairing(&self) {
        todo!()
    }

    /// A new ticket with which one computer can pair itself within a quarter of an hour.
    ///
    /// # Errors
    /// As [`Self::start_pairing`]; what the disk says.
    pub fn ticket(&self) -> Result<Ticket> {
        todo!()
    }

    /// The user compared the fingerprints: the computer may work.
    ///
    /// # Errors
    /// What the disk says.
    pub fn confirm(&self, _device: DeviceId) -> Result<()> {
        todo!()
    }

    /// Forgets a computer; its connection ends at once.
    ///
    /// # Errors
    /// What the disk says.
    pub fn forget(&self, _device: DeviceId) -> Result<()> {
        todo!()
    }

    /// Renames a computer, here only.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rename(&self, _device: DeviceId, _name: &str) -> Result<()> {
        todo!()
    }

    /// Whether a computer is to be used.
    ///
    /// # Errors
    /// What the disk says.
    pub fn set_paused(&self, _device: DeviceId, _paused: bool) -> Result<()> {
        todo!()
    }

    /// Tries a computer again that was set aside, or came out otherwise.
    ///
    /// # Errors
    /// What the disk says.
    pub fn try_again(&self, _device: DeviceId) -> Result<()> {
        todo!()
    }

    /// The computers that a job may use.
    pub fn crew(&self, _chosen: Chosen) -> Arc<dyn Crew> {
        todo!()
    }
}
