//! The worker's side: keeps a connection to every main PC it is paired with, and has a [`Workshop`]
//! do what they order.

mod blob;
mod chunk;
mod dial;
mod hints;
mod session;
mod shared;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use quinn::Endpoint;
use tokio::{runtime::Runtime, time::timeout};

use self::shared::{Shared, Stage};
use super::{Identity, Peers, runtime};
use crate::{
    crew::{DeviceId, Signal},
    error::{Error, ErrorKind, Result},
    protocol::{BlobRef, ChunkOrder, Hello, ModelOrder, Running, code},
    scheduler::Cause,
    song::Wake,
};

/// How long main PCs have to acknowledge what is handed back to them.
const HAND_BACK: Duration = Duration::from_secs(2);

/// Who does the work on a worker. Called from the client's own threads; only [`Self::compute`] and
/// [`Self::hello`] must return at once.
pub trait Workshop: Send + Sync {
    /// What to say of this computer now.
    fn hello(&self) -> Hello;

    /// Gets ready to compute with a model. Called again after missing files came.
    fn prepare(&self, order: &ModelOrder) -> Prepared;

    /// A place for a model's file whose hash the order named; it may hold its beginning already.
    ///
    /// # Errors
    /// When there is no room; what the disk says.
    fn receive(&self, blob: &BlobRef) -> Result<Box<dyn BlobSink>>;

    /// Begins to compute a chunk; `input` is its raw PCM as [`ChunkOrder`] describes it, of the right
    /// length. `tell` is called with what happens, the last time with an end; `signal` says when
    /// to stop.
    fn compute(
        &self,
        order: ChunkOrder,
        input: Vec<u8>,
        signal: Arc<Signal>,
        tell: Box<dyn Fn(ChunkNews) + Send + Sync>,
    );
}

/// What became of [`Workshop::prepare`].
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// Ready to compute so many chunks at a time.
    Ready {
        /// Chunks at a time.
        slots: u16,
    },
    /// These files must come first.
    Lacks(Vec<BlobRef>),
    /// This computer does not take the model.
    Refused {
        /// Why, as a short sentence.
        why: String,
    },
}

/// A file of a model that is being received.
pub trait BlobSink: Send {
    /// Bytes that are there already.
    fn have_bytes(&self) -> u64;

    /// The next bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// All bytes came: checks the hash and puts the file in its place.
    ///
    /// # Errors
    /// When the hash is wrong: what came is thrown away then. What the disk says.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// What happens to a chunk on a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum ChunkNews {
    /// Computing began.
    Started,
    /// So much is done, 0.0..=1.0.
    Progress(f32),
    /// The end: the result, raw, stem after stem, left channel first.
    Done {
        /// The samples.
        bytes: Vec<u8>,
        /// How long computing took.
        took: Duration,
    },
    /// The end: it did not work.
    Failed {
        /// Why.
        cause: Cause,
        /// Why, to show.
        what: String,
    },
    /// The end: told to stop, or handed back.
    Stopped,
}

/// What a worker's client needs.
pub struct ClientConfig {
    /// This computer's key.
    pub identity: Identity,
    /// The main PCs.
    pub peers: Peers,
    /// Whether to look for main PCs by mDNS when they are not where they were.
    pub discover: bool,
}

/// A worker's connections. Dropping it ends them.
pub struct Client {
    shared: Arc<Shared>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Client {
    /// Connects to every main PC, again and again.
    ///
    /// # Errors
    /// When no socket or thread can be had.
    pub fn start(config: ClientConfig, workshop: Arc<dyn Workshop>) -> Result<Self> {
        let runtime = runtime::start("remote main PCs")?;
        let endpoint = {
            let _runtime = runtime.enter();
            // IPv6 is switched off on some computers.
            let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
            let socket = |ip| Endpoint::client(SocketAddr::new(ip, 0));
            any.into_iter().map(socket).reduce(Result::or).unwrap_or_else(|| socket(any[1]))
        };
        let endpoint = endpoint.map_err(|e| {
            Error::new(ErrorKind::Network, format!("Cannot connect to other computers: {e}"))
                .caused_by(e)
                .advice("Check the network, then try again")
        })?;
        let shared = Arc::new(Shared::new(config, workshop, endpoint));
        runtime.spawn(dial::keep(Arc::clone(&shared)));
        Ok(Self { shared, runtime: Some(runtime) })
    }

    /// How it stands with each main PC.
    pub fn status(&self) -> Arc<ClientStatus> {
        self.shared.status()
    }

    /// Has `wake` called whenever [`Self::status`] changed.
    pub fn set_wake(&self, wake: Wake) {
        self.shared.set_wake(wake);
    }

    /// Tells all main PCs whether chunks are taken. Pausing hands back what is being computed.
    pub fn set_running(&self, running: Running) {
        let hands_back = matches!(running, Running::Paused(_));
        self.shared.stage.send_replace(Stage { running, hands_back });
    }

    /// Tells all main PCs that this computer leaves, finishes chunks for at most `patience`, hands
    /// back the rest, and ends the connections.
    pub fn leave(self, patience: Duration) {
        let Some(runtime) = &self.runtime else { return };
        runtime.block_on(async {
            let idle = || self.shared.until_idle();
            self.set_running(Running::Leaving);
            if timeout(patience, idle()).await.is_err() {
                self.shared.stage.send_modify(|stage| stage.hands_back = true);
                // A main PC that does not answer any more is not waited for.
                let _ = timeout(HAND_BACK, idle()).await;
            }
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let endpoint = &self.shared.endpoint;
        endpoint.close(code::DONE.into(), b"");
        // A main PC that does not hear it notices by itself.
        let _ = runtime.block_on(async { timeout(runtime::FAREWELL, endpoint.wait_idle()).await });
        runtime.shutdown_timeout(runtime::FAREWELL);
    }
}

/// A snapshot of a worker's connections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientStatus {
    /// One for each main PC.
    pub mains: Vec<MainStatus>,
}

/// One main PC, as its worker sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MainStatus {
    /// Who.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// How the connection is.
    pub state: MainState,
    /// Chunks being computed for it.
    pub chunks_running: usize,
    /// Chunks done for it since the program started.
    pub chunks_done: u64,
    /// Chunks that were not taken or failed, by reason.
    pub refused: Vec<(String, u64)>,
}

/// How a connection to a main PC is.
#[derive(Debug, Clone, PartialEq)]
pub enum MainState {
    /// Trying for the so-maniest time since it was lost.
    Connecting {
        /// Which try, from 1 on.
        attempt: u32,
    },
    /// Connected, since it answered the Hello.
    Connected {
        /// Where.
        address: SocketAddr,
    },
    /// It does not know this computer any more; it is not tried again.
    Forgotten,
    /// The versions differ; it is tried now and then.
    UpdateNeeded {
        /// Version of its program.
        theirs: String,
    },
}
