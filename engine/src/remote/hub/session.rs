//! One connection of a worker that may be here: its control stream, and the files it asks for.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use quinn::{Connection, RecvStream, SendStream};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::spawn_blocking,
};

use super::{
    roll::{Candidate, WorkKey},
    shared::Shared,
};
use crate::{
    crew::DeviceId,
    error::{Error, Result},
    protocol::{
        BlobHead, BlobRef, FromMain, FromWorker, Hello, LinkKind, ModelStanding, Running, code,
    },
    remote::{
        About, Link,
        payload::Meter,
        text::printable_name,
        wire::{self, Broken},
    },
};

/// Most works that a connection gets ready for; beyond it the oldest is forgotten.
const MAX_WORKS: usize = 32;

/// Files of earlier orders that may still be asked for.
const MAX_FILES: usize = 256;

/// Bytes of a model's file read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// A connected worker.
pub(super) struct Session {
    pub(super) device: DeviceId,
    pub(super) connection: Connection,
    pub(super) about: About,
    pub(super) meter: Meter,
    /// Held while the worker is told to prepare a model, so that its answers are to that order.
    pub(super) preparing: tokio::sync::Mutex<()>,
    running: watch::Sender<Running>,
    link_kind: OnceLock<LinkKind>,
    orders: mpsc::Sender<FromMain>,
    /// Lets one file at a time through.
    sending: Semaphore,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    /// Files of the models that were ordered.
    files: BTreeMap<[u8; 32], (BlobRef, PathBuf)>,
    /// Who waits for the answer about which model.
    waiting: Option<([u8; 32], watch::Sender<Option<ModelStanding>>)>,
    works: Vec<(WorkKey, Arc<Candidate>)>,
}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    pub(super) fn running(&self) -> Running {
        *self.running.borrow()
    }

    /// When the worker takes chunks.
    pub(super) async fn ready(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.running.subscribe().wait_for(|running| *running == Running::Ready).await;
    }

    pub(super) fn link(&self) -> Link {
        let address = self.connection.remote_address();
        Link {
            address: std::net::SocketAddr::new(address.ip().to_canonical(), address.port()),
            rtt: self.connection.rtt(),
            kind: self.link_kind.get().copied(),
            bytes_per_sec: self.meter.bytes_per_sec(),
        }
    }

    /// Says something on the control stream.
    pub(super) async fn order(&self, order: FromMain) -> Result<(), Broken> {
        self.orders.send(order).await.map_err(|_| Broken::Lost)
    }

    /// Lets the worker ask for these files, and what it says of this model be heard.
    pub(super) fn expect(
        &self,
        model: [u8; 32],
        files: &[(BlobRef, PathBuf)],
    ) -> watch::Receiver<Option<ModelStanding>> {
        let (tell, told) = watch::channel(None);
        let mut desk = self.desk();
        // A worker that is still at an earlier order may ask for its files.
        if desk.files.len() > MAX_FILES {
            desk.files.clear();
        }
        desk.files.extend(files.iter().map(|file| (file.0.sha256.0, file.clone())));
        desk.waiting = Some((model, tell));
        told
    }

    /// How the worker stands for some work.
    pub(super) fn candidate(&self, key: WorkKey, now: Instant) -> Arc<Candidate> {
        let mut desk = self.desk();
        if let Some((_, known)) = desk.works.iter().find(|(there, _)| *there == key) {
            return Arc::clone(known);
        }
        if desk.works.len() >= MAX_WORKS {
            desk.works.remove(0);
        }
        let candidate = Arc::new(Candidate::new(now));
        desk.works.push((key, Arc::clone(&candidate)));
        candidate
    }

    /// Forgets how the worker stands for everything.
    pub(super) fn ask_anew(&self) {
        self.desk().works.clear();
    }

    fn hear(self: &Arc<Self>, shared: &Shared, word: FromWorker) {
        match word {
            FromWorker::Running(running) => {
                self.running.send_replace(running);
                shared.changed();
            }
            FromWorker::Model { hash, standing } => {
                if let Some((model, tell)) = &self.desk().waiting
                    && *model == hash
                {
                    tell.send_replace(Some(standing));
                }
            }
            FromWorker::Link(kind) => {
                // It is said once.
                let _ = self.link_kind.set(kind);
                shared.changed();
            }
            FromWorker::SendBlob { sha256, from } => {
                let file = self.desk().files.get(&sha256.0).cloned();
                match file {
                    Some((blob, path)) if from <= blob.bytes => {
                        tokio::spawn(Arc::clone(self).send_blob(blob, path, from));
                    }
                    _ => self.connection.close(code::NONSENSE.into(), b""),
                }
            }
        }
    }

    async fn send_blob(self: Arc<Self>, blob: BlobRef, path: PathBuf, from: u64) {
        let Ok(_turn) = self.sending.acquire().await else { return };
        if let Err(error) = self.stream_blob(blob, path, from).await {
            tracing::warn!(?error, sha256 = %blob.sha256, "a model's file was not sent to its end");
        }
    }

    async fn stream_blob(&self, blob: BlobRef, path: PathBuf, from: u64) -> Result<(), Broken> {
        let mut send = self.connection.open_uni().await?;
        // Chunks go first.
        let _ = send.set_priority(-1);
        let sent = copy_blob(&mut send, blob, path, from).await;
        if sent.is_err() {
            // Otherwise dropping it would end the stream as if it were whole.
            let _ = send.reset(code::CANCELLED.into());
        }
        sent
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn copy_blob(
    send: &mut SendStream,
    blob: BlobRef,
    path: PathBuf,
    from: u64,
) -> Result<(), Broken> {
    let failed = |path: &PathBuf, e| Broken::Nonsense(Error::io("read", path, e));
    wire::send(send, &BlobHead { sha256: blob.sha256, from }).await?;
    let mut left = blob.bytes - from;
    let mut file = None;
    while left > 0 {
        let want = left.min(BLOCK_BYTES as u64) as usize;
        let (taken, place) = (file.take(), path.clone());
        let read = spawn_blocking(move || {
            let mut file = match taken {
                Some(file) => file,
                None => {
                    let mut file = std::fs::File::open(place)?;
                    file.seek(SeekFrom::Start(from))?;
                    file
                }
            };
            let mut block = vec![0; want];
            file.read_exact(&mut block)?;
            std::io::Result::Ok((file, block))
        });
        let (back, block) = read.await.map_err(|_| Broken::Lost)?.map_err(|e| failed(&path, e))?;
        file = Some(back);
        send.write_all(&block).await?;
        left -= want as u64;
    }
    let _ = send.finish();
    // The next file waits until this one is there.
    let _ = send.stopped().await;
    Ok(())
}

/// Serves a worker that was welcomed, until the connection ends.
pub(super) async fn run(
    shared: &Arc<Shared>,
    connection: Connection,
    device: DeviceId,
    hello: Hello,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    // Control goes first.
    let _ = send.set_priority(1);
    let (orders, mut outbox) = mpsc::channel(16);
    let session = Arc::new(Session {
        device,
        connection: connection.clone(),
        about: About {
            program: printable_name(&hello.program),
            threads: usize::from(hello.threads),
            memory_bytes: hello.memory_bytes,
            cores: f64::from(hello.cores),
            kernels: printable_name(&hello.kernels),
            models: hello.models,
        },
        meter: Meter::default(),
        preparing: tokio::sync::Mutex::default(),
        running: watch::channel(hello.running).0,
        link_kind: OnceLock::new(),
        orders,
        sending: Semaphore::new(1),
        desk: Mutex::default(),
    });
    shared.welcome(&session);
    note_seen(shared, &session).await;
    let write = async {
        while let Some(order) = outbox.recv().await {
            wire::send(&mut send, &order).await?;
        }
        Ok(())
    };
    let read = async {
        loop {
            let word = wire::receive(&mut recv).await?;
            session.hear(shared, word);
        }
    };
    let ended: Result<(), Broken> = tokio::select! {
        ended = write => ended,
        ended = read => ended,
        _ = connection.closed() => Ok(()),
    };
    let code = if matches!(ended, Err(Broken::Nonsense(_))) { code::NONSENSE } else { code::DONE };
    connection.close(code.into(), b"");
    shared.part(&session);
    note_seen(shared, &session).await;
}

async fn note_seen(shared: &Arc<Shared>, session: &Arc<Session>) {
    let (shared, session) = (Arc::clone(shared), Arc::clone(session));
    // It only logs when it fails.
    let _ = spawn_blocking(move || shared.note_seen(&session)).await;
}
