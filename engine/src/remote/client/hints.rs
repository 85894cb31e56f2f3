//! Where main PCs announce themselves to be. No more than a hint: whoever is found there must have
//! the right key.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::Notify;

use crate::{crew::DeviceId, remote::Search};

#[derive(Default)]
pub(super) struct Hints {
    search: Option<Search>,
    changed: Arc<Notify>,
}

impl Hints {
    /// Looks through the network from now on, if it lets us.
    pub(super) fn search() -> Self {
        let changed = Arc::new(Notify::new());
        let ring = Arc::clone(&changed);
        let search = Search::start(Arc::new(move || ring.notify_waiters()))
            .inspect_err(|error| tracing::info!(%error, "main PCs are not looked for"))
            .ok();
        Self { search, changed }
    }

    /// Where `device` says that it is.
    pub(super) fn of(&self, device: DeviceId) -> Vec<SocketAddr> {
        let fingerprint = device.fingerprint();
        let found = self.search.as_ref().map(Search::found).unwrap_or_default();
        let its = found.into_iter().filter(|found| found.fingerprint == fingerprint);
        its.flat_map(|found| {
            found.addresses.into_iter().map(move |ip| SocketAddr::new(ip, found.port))
        })
        .collect()
    }

    /// Until `device` comes up, or moves.
    pub(super) async fn news_of(&self, device: DeviceId) {
        let mut before = self.of(device);
        loop {
            self.changed.notified().await;
            let now = self.of(device);
            if !now.is_empty() && now != before {
                return;
            }
            before = now;
        }
    }
}
