//! What the client's threads share: how it stands with each main PC, and what this computer would
//! do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use quinn::Endpoint;
use tokio::sync::watch;

use super::{ClientConfig, ClientStatus, MainState, MainStatus, Workshop, hints::Hints};
use crate::{
    crew::DeviceId,
    protocol::Running,
    remote::{Identity, Peers},
    song::Wake,
};

/// Most reasons for refusals that are told apart.
const MAX_REASONS: usize = 16;

pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) peers: Peers,
    pub(super) workshop: Arc<dyn Workshop>,
    pub(super) endpoint: Endpoint,
    pub(super) hints: Hints,
    pub(super) stage: watch::Sender<Stage>,
    /// Chunks that are not answered yet, of all main PCs.
    chunks: watch::Sender<usize>,
    mains: Mutex<BTreeMap<DeviceId, MainStatus>>,
    status: ArcSwap<ClientStatus>,
    wake: Mutex<Option<Wake>>,
}

/// What this computer would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) running: Running,
    /// Whether chunks that are being computed are given back.
    pub(super) hands_back: bool,
}

impl Shared {
    pub(super) fn new(
        config: ClientConfig,
        workshop: Arc<dyn Workshop>,
        endpoint: Endpoint,
    ) -> Self {
        let running = workshop.hello().running;
        let hands_back = running != Running::Ready;
        Self {
            identity: config.identity,
            peers: config.peers,
            workshop,
            endpoint,
            hints: if config.discover { Hints::search() } else { Hints::default() },
            stage: watch::channel(Stage { running, hands_back }).0,
            chunks: watch::channel(0).0,
            mains: Mutex::default(),
            status: ArcSwap::default(),
            wake: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> Arc<ClientStatus> {
        self.status.load_full()
    }

    pub(super) fn set_wake(&self, wake: Wake) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    /// How it stands with a main PC.
    pub(super) fn set_state(&self, device: DeviceId, name: &str, state: MainState) {
        let mut mains = self.mains();
        let main = mains.entry(device).or_insert_with(|| MainStatus {
            device,
            name: String::new(),
            state: state.clone(),
            chunks_running: 0,
            chunks_done: 0,
            refused: Vec::new(),
        });
        main.name = name.to_owned();
        main.state = state;
        self.publish(mains);
    }

    /// A main PC was forgotten here.
    pub(super) fn remove(&self, device: DeviceId) {
        let mut mains = self.mains();
        mains.remove(&device);
        self.publish(mains);
    }

    pub(super) fn chunk_begins(&self, main: DeviceId) {
        self.chunks.send_modify(|chunks| *chunks += 1);
        self.count(main, |status| status.chunks_running += 1);
    }

    /// A chunk was answered: with a result, or not, for a reason.
    pub(super) fn chunk_ends(&self, main: DeviceId, refused: Option<&str>) {
        self.count(main, |status| {
            status.chunks_running = status.chunks_running.saturating_sub(1);
            let Some(reason) = refused else {
                status.chunks_done += 1;
                return;
            };
            let known = status.refused.iter_mut().find(|(known, _)| known == reason);
            if let Some((_, times)) = known {
                *times += 1;
            } else if status.refused.len() < MAX_REASONS {
                status.refused.push((reason.to_owned(), 1));
            }
        });
        self.chunks.send_modify(|chunks| *chunks = chunks.saturating_sub(1));
    }

    /// Until no chunk is being computed or sent.
    pub(super) async fn until_idle(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.chunks.subscribe().wait_for(|chunks| *chunks == 0).await;
    }

    fn count(&self, main: DeviceId, how: impl FnOnce(&mut MainStatus)) {
        let mut mains = self.mains();
        if let Some(status) = mains.get_mut(&main) {
            how(status);
        }
        self.publish(mains);
    }

    fn publish(&self, mains: MutexGuard<'_, BTreeMap<DeviceId, MainStatus>>) {
        let status = ClientStatus { mains: mains.values().cloned().collect() };
        let is_new = **self.status.load() != status;
        self.status.store(Arc::new(status));
        drop(mains);
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (true, Some(wake)) = (is_new, wake) {
            wake();
        }
    }

    fn mains(&self) -> MutexGuard<'_, BTreeMap<DeviceId, MainStatus>> {
        self.mains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
