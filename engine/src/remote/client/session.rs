//! One connection to a main PC: its control stream, and what it has this computer do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{Connection, RecvStream, SendStream};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    MainState, Workshop,
    blob::{self, Awaited},
    chunk,
    dial::{End, forgotten, note_seen},
    shared::{Shared, Stage},
};
use crate::{
    crew::DeviceId,
    protocol::{Answer, FromMain, FromWorker, ModelOrder, Refusal, VERSION, code},
    remote::{
        Peer,
        link_kind::link_kind_to,
        runtime,
        text::printable_name,
        wire::{self, Broken},
    },
};

/// How long a main PC may take to answer the Hello.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Models that a main PC may order ahead.
const MAX_ORDERS: usize = 32;

/// A connection to a main PC that took this computer.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) main: DeviceId,
    pub(super) connection: Connection,
    pub(super) words: mpsc::Sender<FromWorker>,
    /// The file that was asked for.
    pub(super) awaited: Mutex<Option<Awaited>>,
}

impl Session {
    pub(super) fn workshop(&self) -> Arc<dyn Workshop> {
        Arc::clone(&self.shared.workshop)
    }
}

/// Says Hello and does what the main PC orders, until the connection ends.
pub(super) async fn run(
    shared: &Arc<Shared>,
    peer: &Peer,
    connection: Connection,
    address: SocketAddr,
) -> End {
    let mut stage = shared.stage.subscribe();
    let end = match timeout(ANSWER_DEADLINE, greet(shared, &connection, &mut stage)).await {
        Ok(Ok((send, recv, name))) => {
            note_seen(shared, peer.device, address, Some(name)).await;
            let name = shared.peers.find(peer.device).map_or_else(|| peer.name.clone(), |p| p.name);
            shared.set_state(peer.device, &name, MainState::Connected { address });
            work(shared, peer.device, &connection, send, recv, stage).await
        }
        Ok(Err(end)) => end,
        Err(_) => End::Unreached,
    };
    let is_forgotten = shared.peers.find(peer.device).is_none();
    let code = if is_forgotten { code::NOT_PAIRED } else { code::DONE };
    connection.close(code.into(), b"");
    end
}

/// The control stream, and what the main PC is called.
///
/// Nothing counts as connected before the main PC answered: with TLS 1.3 the handshake succeeds here
/// even if this computer's key is refused there.
async fn greet(
    shared: &Shared,
    connection: &Connection,
    stage: &mut watch::Receiver<Stage>,
) -> Result<(SendStream, RecvStream, String), End> {
    let talk = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        let mut hello = shared.workshop.hello();
        hello.running = stage.borrow_and_update().running;
        wire::send(&mut send, &hello).await?;
        let answer = wire::receive::<Answer>(&mut recv).await?;
        Ok::<_, Broken>((send, recv, answer))
    };
    match talk.await {
        Ok((send, recv, Answer::Welcome { name, .. })) => Ok((send, recv, name)),
        Ok((.., Answer::Refused(refusal))) => Err(match refusal {
            Refusal::NotPaired => End::NotPaired,
            Refusal::UpdateNeeded { version, program } => {
                tracing::warn!(version, ours = VERSION, "a main PC speaks another version");
                End::UpdateNeeded(printable_name(&program))
            }
            Refusal::Nonsense => End::Unreached,
        }),
        Err(_) => match connection.close_reason().as_ref().map(End::of) {
            Some(End::Lost) | None => Err(End::Unreached),
            Some(end) => Err(end),
        },
    }
}

async fn work(
    shared: &Arc<Shared>,
    main: DeviceId,
    connection: &Connection,
    mut send: SendStream,
    mut recv: RecvStream,
    mut stage: watch::Receiver<Stage>,
) -> End {
    // Control goes first.
    let _ = send.set_priority(1);
    let (words, mut outbox) = mpsc::channel(16);
    let (orders, inbox) = mpsc::channel::<ModelOrder>(MAX_ORDERS);
    let session = Arc::new(Session {
        shared: Arc::clone(shared),
        main,
        connection: connection.clone(),
        words,
        awaited: Mutex::default(),
    });
    let write = async {
        let address = connection.remote_address();
        let kind = spawn_blocking(move || link_kind_to(address)).await;
        if let Ok(Some(kind)) = kind {
            wire::send(&mut send, &FromWorker::Link(kind)).await?;
        }
        loop {
            let word = tokio::select! {
                Some(word) = outbox.recv() => word,
                Ok(()) = stage.changed() => {
                    FromWorker::Running(stage.borrow_and_update().running)
                }
                else => return Err::<End, Broken>(Broken::Lost),
            };
            wire::send(&mut send, &word).await?;
        }
    };
    let read = async {
        loop {
            match wire::receive(&mut recv).await? {
                FromMain::Prepare(order) => {
                    // More than any main PC has a use for.
                    if orders.try_send(order).is_err() {
                        return Err(Broken::nonsense("Too many models were ordered"));
                    }
                }
                FromMain::Moved { port } => {
                    let ip = connection.remote_address().ip().to_canonical();
                    note_seen(shared, main, SocketAddr::new(ip, port), None).await;
                    return Ok(End::Lost);
                }
            }
        }
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = read => ended,
        () = blob::prepare_all(&session, inbox) => Ok(End::Lost),
        () = take_chunks(&session) => Err(Broken::Lost),
        () = blob::take(&session) => Err(Broken::Lost),
        _ = connection.closed() => Err(Broken::Lost),
        () = forgotten(shared, main) => Ok(End::Lost),
    };
    match ended {
        Ok(end) => end,
        Err(Broken::Nonsense(error)) => {
            tracing::warn!(%error, "a main PC said what makes no sense");
            connection.close(code::NONSENSE.into(), b"");
            End::Lost
        }
        // The stream may have broken before the connection's own reason came.
        Err(_) => match timeout(runtime::FAREWELL, connection.closed()).await {
            Ok(reason) => End::of(&reason),
            Err(_) => End::Lost,
        },
    }
}

async fn take_chunks(session: &Arc<Session>) {
    // Chunks that were called back may still be at work when their streams are over.
    let places = Arc::new(Semaphore::new(runtime::MAX_CHUNKS as usize));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((send, recv)) = session.connection.accept_bi().await else { return };
        let session = Arc::clone(session);
        // Not ended with the connection: it sees that itself, and has the workshop stop.
        tokio::spawn(async move {
            chunk::serve(session, send, recv).await;
            drop(place);
        });
    }
}
