//! Getting ready for a model on a worker: what the workshop lacks is asked for, file by file, and
//! goes on where it broke off.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use quinn::RecvStream;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::{BlobSink, Prepared, session::Session};
use crate::{
    error::{Error, ErrorKind},
    protocol::{BlobHead, BlobRef, FromWorker, MAX_NAME_BYTES, ModelOrder, ModelStanding, code},
    remote::{
        text::printable_sentence,
        wire::{self, Broken},
    },
};

/// Least time between two words about how far a transfer is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How long a main PC may take to begin sending a file.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Rounds of getting files: they may be removed in between, but not again and again.
const MAX_ROUNDS: usize = 3;

/// Most files of a model, and bytes of one; as the catalogue has it.
const MAX_FILES: usize = 64;
const MAX_FILE_BYTES: u64 = 8 << 30;

/// Bytes handed to the disk at once.
const BLOCK_BYTES: usize = 64 << 10;

/// A file that was asked for.
pub(super) struct Awaited {
    head: BlobHead,
    deliver: oneshot::Sender<RecvStream>,
}

/// Why a file did not come.
enum Missed {
    /// The connection is gone.
    Lost,
    /// Something the main PC should hear.
    Told(String),
}

impl From<Broken> for Missed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Lost => Self::Lost,
            Broken::Ended => Self::Told("The model's file was not sent to its end".to_owned()),
            Broken::Nonsense(error) => error.into(),
        }
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::Told(error.what)
    }
}

/// Gets ready for one model after the other, as they are ordered.
pub(super) async fn prepare_all(session: &Arc<Session>, mut orders: mpsc::Receiver<ModelOrder>) {
    while let Some(order) = orders.recv().await {
        let hash = order.hash;
        let standing = match prepare(session, order).await {
            Ok(standing) => standing,
            Err(Missed::Told(why)) => ModelStanding::Refused { why: printable_sentence(&why) },
            Err(Missed::Lost) => return,
        };
        if session.words.send(FromWorker::Model { hash, standing }).await.is_err() {
            return;
        }
    }
}

async fn prepare(session: &Arc<Session>, order: ModelOrder) -> Result<ModelStanding, Missed> {
    let makes_sense = order.name.len() <= MAX_NAME_BYTES * 4
        && order.files.len() <= MAX_FILES
        && order.files.iter().all(|blob| blob.bytes <= MAX_FILE_BYTES);
    if !makes_sense {
        return Err(Missed::Told("The order of the model makes no sense".to_owned()));
    }
    let order = Arc::new(order);
    for _ in 0..MAX_ROUNDS {
        let (workshop, wanted) = (session.workshop(), Arc::clone(&order));
        let prepared = spawn_blocking(move || workshop.prepare(&wanted)).await;
        let lacking = match prepared {
            Ok(Prepared::Ready { slots }) => return Ok(ModelStanding::Ready { slots }),
            Ok(Prepared::Refused { why }) => return Err(Missed::Told(why)),
            Ok(Prepared::Lacks(blobs)) => blobs,
            Err(_) => return Err(Missed::Told("Getting ready went wrong".to_owned())),
        };
        if lacking.iter().any(|blob| !order.files.contains(blob)) {
            return Err(Missed::Told("A file is missing that was not ordered".to_owned()));
        }
        let mut tally = Tally {
            hash: order.hash,
            before_bytes: 0,
            bytes: lacking.iter().map(|blob| blob.bytes).sum(),
            told: None,
        };
        for blob in &lacking {
            fetch(session, blob, &mut tally).await?;
            tally.before_bytes += blob.bytes;
        }
    }
    Err(Missed::Told("The model's files came, and were gone again".to_owned()))
}

/// How far getting a model's files is.
struct Tally {
    hash: [u8; 32],
    /// Of files that are whole.
    before_bytes: u64,
    bytes: u64,
    told: Option<Instant>,
}

impl Tally {
    async fn tell(&mut self, session: &Session, have_bytes: u64) -> Result<(), Missed> {
        if self.told.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return Ok(());
        }
        self.told = Some(Instant::now());
        let done_bytes = self.before_bytes + have_bytes;
        let standing = ModelStanding::Getting { done_bytes, bytes: self.bytes };
        let word = FromWorker::Model { hash: self.hash, standing };
        session.words.send(word).await.map_err(|_| Missed::Lost)
    }
}

/// Gets what is missing of one file.
async fn fetch(session: &Arc<Session>, blob: &BlobRef, tally: &mut Tally) -> Result<(), Missed> {
    let (workshop, wanted) = (session.workshop(), *blob);
    let opened = spawn_blocking(move || workshop.receive(&wanted)).await;
    let mut sink = opened.map_err(|_| Missed::Lost)??;
    let mut have_bytes = sink.have_bytes();
    if have_bytes < blob.bytes {
        let mut recv = ask(session, BlobHead { sha256: blob.sha256, from: have_bytes }).await?;
        while let Some(block) = next_block(&mut recv).await? {
            have_bytes += block.len() as u64;
            if have_bytes > blob.bytes {
                let _ = recv.stop(code::NONSENSE.into());
                return Err(Broken::nonsense("A model's file is longer than was said").into());
            }
            sink = write(sink, block).await?;
            tally.tell(session, have_bytes).await?;
        }
    }
    if have_bytes != blob.bytes {
        return Err(Broken::nonsense("A model's file is not as long as was said").into());
    }
    spawn_blocking(move || sink.finish()).await.map_err(|_| Missed::Lost)??;
    Ok(())
}

/// Asks for a file and waits until it begins to come.
async fn ask(session: &Session, head: BlobHead) -> Result<RecvStream, Missed> {
    let (deliver, delivered) = oneshot::channel();
    *session.awaited.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Awaited { head, deliver });
    let word = FromWorker::SendBlob { sha256: head.sha256, from: head.from };
    session.words.send(word).await.map_err(|_| Missed::Lost)?;
    match timeout(ANSWER_DEADLINE, delivered).await {
        Ok(Ok(recv)) => Ok(recv),
        Ok(Err(_)) => Err(Missed::Lost),
        Err(_) => Err(Error::new(ErrorKind::Network, "A model's file was not sent").into()),
    }
}

/// Some bytes at once, so that the disk is not asked for every packet; none at the end.
async fn next_block(recv: &mut RecvStream) -> Result<Option<Vec<u8>>, Broken> {
    let mut block = Vec::new();
    while block.len() < BLOCK_BYTES {
        match recv.read_chunk(BLOCK_BYTES - block.len(), true).await? {
            Some(chunk) => block.extend_from_slice(&chunk.bytes),
            None => break,
        }
    }
    Ok(Some(block).filter(|block| !block.is_empty()))
}

async fn write(mut sink: Box<dyn BlobSink>, block: Vec<u8>) -> Result<Box<dyn BlobSink>, Missed> {
    let written = spawn_blocking(move || sink.write(&block).map(|()| sink)).await;
    Ok(written.map_err(|_| Missed::Lost)??)
}

/// Takes the files that come, if they were asked for.
pub(super) async fn take(session: &Session) {
    while let Ok(mut recv) = session.connection.accept_uni().await {
        let head = timeout(ANSWER_DEADLINE, wire::receive::<BlobHead>(&mut recv)).await;
        let mut awaited = session.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = awaited.take_if(|there| matches!(&head, Ok(Ok(head)) if *head == there.head));
        drop(awaited);
        match asked {
            // Whoever asked may have given up.
            Some(Awaited { deliver, .. }) => drop(deliver.send(recv)),
            None => drop(recv.stop(code::NONSENSE.into())),
        }
    }
}
