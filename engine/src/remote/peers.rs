//! The computers this one is paired with, in a file of the data folder: workers on a main PC, main
//! PCs on a worker. Whoever is not in it gets nothing.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use fs4::FileExt;
use serde::{Deserialize, Serialize};

use super::{About, text::printable_name};
use crate::{
    crew::{DeviceId, FIRST_CHECKS},
    error::{Error, ErrorKind, Result},
    store::{read_bounded, write_atomically},
};

/// Name of the file in a data folder.
const FILE: &str = "computers.json";

/// Most bytes of that file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most programs, kernels and models of a computer that are remembered as checked.
const MAX_SETUPS: usize = 16;

/// Most computers one can be paired with.
pub const MAX_PEERS: usize = 64;

/// A paired computer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub device: DeviceId,
    /// Name as shown, unlike that of any other.
    pub name: String,
    /// Letter index: 1 = B; the lowest free one when it was paired.
    pub letter: usize,
    /// The user compared the fingerprints.
    pub confirmed: bool,
    /// The user does not want it to be used now.
    #[serde(default)]
    pub paused: bool,
    /// Why it is not used until the user says so.
    #[serde(default)]
    pub accused: Option<String>,
    /// Where it was reached, the last place first.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// When it was last connected.
    #[serde(default)]
    pub last_seen: Option<SystemTime>,
    /// What it last said of itself.
    #[serde(default)]
    pub about: Option<About>,
    /// What of its was compared and found right, the newest last; nothing of one that was wrong.
    #[serde(default)]
    pub passed: Vec<Passed>,
}

/// With what a computer computes. Whoever changes any of it is new to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Version of its program.
    pub program: String,
    /// Its SIMD kernels.
    pub kernels: String,
    /// The model's hash, see [`crate::model::ModelInfo::hash`].
    pub model: [u8; 32],
}

/// Results that were compared with this computer's and found the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// What they were computed with.
    pub setup: Setup,
    /// How many; not counted beyond [`FIRST_CHECKS`].
    pub results: u32,
}

impl Peer {
    /// So many results with `setup` are still to be compared before it is believed.
    pub fn checks_left(&self, setup: &Setup) -> u32 {
        let passed = self.passed.iter().find(|passed| passed.setup == *setup);
        FIRST_CHECKS.saturating_sub(passed.map_or(0, |passed| passed.results))
    }

    /// Another result with `setup` was found right.
    pub(super) fn pass(&mut self, setup: &Setup) {
        let at = self.passed.iter().position(|passed| passed.setup == *setup);
        let before = at.map_or(0, |at| self.passed.remove(at).results);
        if self.passed.len() >= MAX_SETUPS {
            self.passed.remove(0);
        }
        let results = (before + 1).min(FIRST_CHECKS);
        self.passed.push(Passed { setup: setup.clone(), results });
    }

    /// A result was wrong: whatever was right before does not count.
    pub(super) fn accuse(&mut self, why: String) {
        self.accused = Some(why);
        self.passed.clear();
    }
}

/// The list of paired computers. Other processes may change the file: [`Self::refresh`] looks.
#[derive(Debug, Clone)]
pub struct Peers {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    peers: Vec<Peer>,
    /// When the file was changed, as read.
    changed: Option<SystemTime>,
}

impl Peers {
    /// The list in `data_dir`; empty if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the file makes no sense; what the disk says.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let peers = Self { path: data_dir.join(FILE), known: Arc::default() };
        peers.refresh()?;
        Ok(peers)
    }

    /// Looks whether another process changed the file; whether it had.
    ///
    /// # Errors
    /// As [`Self::open`]; what was known stays then.
    pub fn refresh(&self) -> Result<bool> {
        let mut known = self.known();
        let changed = modified(&self.path);
        if changed == known.changed {
            return Ok(false);
        }
        known.peers = self.read()?;
        known.changed = changed;
        Ok(true)
    }

    /// All of them, by letter.
    pub fn list(&self) -> Vec<Peer> {
        self.known().peers.clone()
    }

    /// The one called `device`.
    pub fn find(&self, device: DeviceId) -> Option<Peer> {
        self.known().peers.iter().find(|peer| peer.device == device).cloned()
    }

    /// Whether any of them was reached at an address that `is_it`.
    pub(super) fn any_reached_at(&self, is_it: impl Fn(IpAddr) -> bool) -> bool {
        let known = self.known();
        known.peers.iter().flat_map(|peer| &peer.addresses).any(|address| is_it(address.ip()))
    }

    /// Adds a computer that just proved itself, with the next letter and a name of its own; one that
    /// is paired already keeps both.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond [`MAX_PEERS`]; what the disk says.
    pub fn add(&self, device: DeviceId, name: &str, addresses: Vec<SocketAddr>) -> Result<Peer> {
        self.edit(|peers| {
            if let Some(peer) = peers.iter_mut().find(|peer| peer.device == device) {
                peer.addresses = addresses;
                peer.accused = None;
                peer.last_seen = Some(SystemTime::now());
                return Ok(peer.clone());
            }
            if peers.len() >= MAX_PEERS {
                let what = format!("{MAX_PEERS} computers are paired already");
                return Err(Error::new(ErrorKind::TooLarge, what)
                    .advice("Forget one that you do not use any more"));
            }
            let letter = (1..).find(|n| peers.iter().all(|p| p.letter != *n)).unwrap_or(1);
            let peer = Peer {
                device,
                name: unused_name(peers, name, device),
                letter,
                confirmed: false,
                paused: false,
                accused: None,
                addresses,
                last_seen: None,
                about: None,
                passed: Vec::new(),
            };
            peers.push(peer.clone());
            peers.sort_by_key(|peer| peer.letter);
            Ok(peer)
        })
    }

    /// Changes what is known of `device`; nothing if it is not paired. Its name is made unlike the
    /// others'.
    ///
    /// # Errors
    /// What the disk says; nothing is changed then.
    pub fn change(&self, device: DeviceId, how: impl FnOnce(&mut Peer)) -> Result<()> {
        self.edit(|peers| {
            let Some(at) = peers.iter().position(|peer| peer.device == device) else {
                return Ok(());
            };
            let mut peer = peers[at].clone();
            how(&mut peer);
            peer.name = unused_name(peers, &peer.name, device);
            peers[at] = peer;
            Ok(())
        })
    }

    /// Forgets `device`; whether it was known.
    ///
    /// # Errors
    /// What the disk says; it is still known then.
    pub fn forget(&self, device: DeviceId) -> Result<bool> {
        self.edit(|peers| {
            let before = peers.len();
            peers.retain(|peer| peer.device != device);
            Ok(peers.len() < before)
        })
    }

    /// Reads the file anew, changes and writes it, under a lock that other processes heed.
    fn edit<T>(&self, how: impl FnOnce(&mut Vec<Peer>) -> Result<T>) -> Result<T> {
        let mut known = self.known();
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        let lock_path = self.path.with_extension("lock");
        let lock = std::fs::File::create(&lock_path)
            .and_then(|file| FileExt::lock(&file).map(|()| file))
            .map_err(|e| Error::io("lock", &lock_path, e))?;
        let mut peers = self.read()?;
        let answer = how(&mut peers)?;
        let bytes = serde_json::to_vec_pretty(&peers).map_err(|e| {
            Error::new(ErrorKind::Internal, "The list of computers cannot be written").caused_by(e)
        })?;
        write_atomically(&self.path, |mut file| file.write_all(&bytes))?;
        known.peers = peers;
        known.changed = modified(&self.path);
        drop(lock);
        Ok(answer)
    }

    fn read(&self) -> Result<Vec<Peer>> {
        let bytes = match read_bounded(&self.path, MAX_FILE_BYTES) {
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes?,
        };
        let mut peers: Vec<Peer> = serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("The list of computers in “{}” is damaged", self.path.display());
            Error::new(ErrorKind::Damaged, what)
                .caused_by(e)
                .advice("Delete it and pair your computers again")
        })?;
        peers.truncate(MAX_PEERS);
        peers.sort_by_key(|peer| peer.letter);
        Ok(peers)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// `name`, shortened and made printable, with a number behind it where another computer has it.
fn unused_name(peers: &[Peer], name: &str, device: DeviceId) -> String {
    let clean = printable_name(name);
    let clean = if clean.is_empty() { "Computer" } else { &clean };
    let is_taken = |name: &str| peers.iter().any(|peer| peer.device != device && peer.name == name);
    let numbered = (2..).map(|n| format!("{clean} {n}"));
    std::iter::once(clean.to_owned())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_else(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(model: u8) -> Setup {
        Setup { program: "0.1.0".into(), kernels: "AVX2".into(), model: [model; 32] }
    }

    #[test]
    fn what_was_found_right_is_counted_remembered_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let device = DeviceId([1; 32]);
        let left = |setup: &Setup| {
            Peers::open(dir.path()).unwrap().find(device).unwrap().checks_left(setup)
        };
        let peers = Peers::open(dir.path()).unwrap();
        peers.add(device, "Spare", Vec::new()).unwrap();
        for checks_left in [1, 0, 0] {
            peers.change(device, |peer| peer.pass(&setup(1))).unwrap();
            assert_eq!(left(&setup(1)), checks_left);
            assert_eq!(left(&setup(2)), FIRST_CHECKS);
        }
        for model in 2..100 {
            peers.change(device, |peer| peer.pass(&setup(model))).unwrap();
            peers.change(device, |peer| peer.pass(&setup(1))).unwrap();
        }
        assert_eq!(left(&setup(1)), 0, "the one in use stays");
        let peer = peers.find(device).unwrap();
        assert_eq!(peer.passed.len(), MAX_SETUPS);
        assert_eq!(peer.checks_left(&setup(99)), 1);
        peers.change(device, |peer| peer.accuse("It lied".into())).unwrap();
        assert_eq!(left(&setup(1)), FIRST_CHECKS);
    }

    #[test]
    fn a_list_of_an_earlier_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let peers = Peers::open(dir.path()).unwrap();
        peers.add(DeviceId([1; 32]), "Spare", Vec::new()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let mut list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list[0].as_object_mut().unwrap().remove("passed").expect("it is written");
        std::fs::write(dir.path().join(FILE), list.to_string()).unwrap();
        assert_eq!(Peers::open(dir.path()).unwrap().list()[0].passed, []);
    }
}
