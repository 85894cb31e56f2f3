//! One chunk at one worker: its input goes there, its result comes back and is looked at.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use quinn::{RecvStream, SendStream};
use tokio::{runtime::Handle, task::spawn_blocking, time::sleep};

use super::session::Session;
use crate::{
    assemble::ChunkHash,
    crew::{ChunkTask, DeviceId, Ending, FIRST_CHECKS, Member, Signal},
    error::{Error, ErrorKind},
    model::{ChunkInput, Progress},
    protocol::{ChunkOrder, ChunkReply, Encoding, MAX_INPUT_FRAMES, MAX_PAYLOAD_BYTES, code},
    remote::{
        Peers, Setup, payload,
        text::printable_sentence,
        wire::{self, Broken},
    },
    scheduler::{Cause, WorkerSpec},
};

/// How often a signal is looked at: calling back a chunk need not be faster.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A result that is here sooner is not shown on its way: that would only flicker.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What is sent to have a chunk computed.
pub(super) struct Parcel {
    order: ChunkOrder,
    payload: Vec<u8>,
    result_bytes: u64,
}

/// What a worker made of a parcel.
pub(super) enum Reply {
    Done {
        /// Exactly as many as they should be; not looked at further.
        bytes: Vec<u8>,
        /// What the worker says their hash is.
        hash: ChunkHash,
        took: Duration,
    },
    Failed(Cause, Error),
    Stopped,
}

impl Parcel {
    /// Packs where the link is slow; not quick.
    ///
    /// # Errors
    /// When the chunk is larger than any may be.
    pub(super) fn new(
        model: [u8; 32],
        keep: &[usize],
        input: &ChunkInput,
        pack: bool,
    ) -> Result<Self, Error> {
        let too_large = || Error::new(ErrorKind::TooLarge, "The chunk is too long to be sent");
        let frames = |frames: usize| {
            u32::try_from(frames).ok().filter(|n| *n <= MAX_INPUT_FRAMES).ok_or_else(too_large)
        };
        let input_frames = frames(input.audio.frames())?;
        let segment_frames = frames(input.segment_frames)?;
        let result_bytes = keep.len() as u64 * 2 * 4 * u64::from(segment_frames);
        if result_bytes > MAX_PAYLOAD_BYTES {
            return Err(too_large());
        }
        let (encoding, payload) = payload::encode(payload::raw(&input.audio), pack);
        let order = ChunkOrder {
            model,
            keep: keep.iter().map(|&stem| u8::try_from(stem).unwrap_or(u8::MAX)).collect(),
            input_frames,
            context_before_frames: frames(input.context_before_frames)?,
            segment_frames,
            start_frame: input.start_frame,
            song: input.song,
            encoding,
            payload_bytes: payload.len() as u64,
            pack_result: pack,
        };
        Ok(Self { order, payload, result_bytes })
    }
}

/// Has the worker compute a parcel, unless `signal` says otherwise before it is done.
pub(super) async fn exchange(
    session: &Session,
    parcel: Parcel,
    signal: &Signal,
    started: impl FnOnce(),
) -> Result<Reply, Broken> {
    let (mut send, mut recv) = tokio::select! {
        streams = session.connection.open_bi() => streams?,
        () = cancelled(signal) => return Ok(Reply::Stopped),
    };
    let told = tokio::select! {
        told = talk(session, &mut send, &mut recv, &parcel, signal, started) => told,
        () = cancelled(signal) => Ok(Reply::Stopped),
    };
    if !matches!(told, Ok(Reply::Done { .. })) {
        // Whoever ended it, nothing more is to be sent. It may be over already.
        let _ = send.reset(code::CANCELLED.into());
        let _ = recv.stop(code::CANCELLED.into());
    }
    told
}

async fn cancelled(signal: &Signal) {
    while !signal.is_cancelled() {
        sleep(LOOK_EVERY).await;
    }
}

async fn talk(
    session: &Session,
    send: &mut SendStream,
    recv: &mut RecvStream,
    parcel: &Parcel,
    signal: &Signal,
    started: impl FnOnce(),
) -> Result<Reply, Broken> {
    let write = async {
        wire::send(send, &parcel.order).await?;
        let transfer = session.meter.there.begin();
        send.write_all(&parcel.payload).await?;
        let _ = send.finish();
        if matches!(send.stopped().await, Ok(None)) {
            transfer.arrived(parcel.payload.len() as u64);
        }
        Ok::<(), Broken>(())
    };
    let read = listen(session, recv, parcel.result_bytes, signal, started);
    tokio::pin!(write, read);
    let mut is_written = false;
    loop {
        tokio::select! {
            // What went wrong shows in the answer, or in its absence.
            _ = &mut write, if !is_written => is_written = true,
            reply = &mut read => return reply,
        }
    }
}

async fn listen(
    session: &Session,
    recv: &mut RecvStream,
    result_bytes: u64,
    signal: &Signal,
    started: impl FnOnce(),
) -> Result<Reply, Broken> {
    let mut started = Some(started);
    loop {
        let reply = wire::receive(recv).await?;
        if matches!(reply, ChunkReply::Started | ChunkReply::Progress(_) | ChunkReply::Done { .. })
            && let Some(started) = started.take()
        {
            started();
        }
        match reply {
            ChunkReply::Started => {}
            ChunkReply::Progress(done) => signal.report(done),
            ChunkReply::Done { took_secs, hash, encoding, payload_bytes } => {
                if !payload::can_be(encoding, payload_bytes, result_bytes) {
                    return Err(Broken::nonsense("The result was not as long as it should be"));
                }
                let took = Duration::try_from_secs_f32(took_secs)
                    .map_err(|_| Broken::nonsense("The time it took makes no sense"))?;
                signal.report(1.0);
                let begun = Instant::now();
                let mut timed = None;
                let sent = wire::receive_rest(recv, payload_bytes, |came| {
                    // What had come before it was waited for says nothing about the way.
                    timed.get_or_insert_with(|| (session.meter.back.begin(), came));
                    if begun.elapsed() > AT_ONCE {
                        signal.report_sent_back((came as f64 / payload_bytes as f64) as f32);
                    }
                });
                let sent = sent.await?;
                if let Some((transfer, before)) = timed {
                    transfer.arrived(payload_bytes - before);
                }
                let bytes = unpack(sent, encoding, result_bytes as usize).await?;
                return Ok(Reply::Done { bytes, hash, took });
            }
            ChunkReply::Failed { cause, what } => {
                let what = printable_sentence(&what);
                return Ok(Reply::Failed(cause, Error::new(ErrorKind::Internal, what)));
            }
            ChunkReply::Stopped => return Ok(Reply::Stopped),
        }
    }
}

async fn unpack(sent: Vec<u8>, encoding: Encoding, raw_bytes: usize) -> Result<Vec<u8>, Broken> {
    spawn_blocking(move || payload::decode(sent, encoding, raw_bytes))
        .await
        .map_err(|_| Broken::Lost)?
        .map_err(Broken::Nonsense)
}

/// A connected worker that is ready for some work.
pub(super) struct RemoteMember {
    /// Not a strong one: a connection keeps the hub's socket open, and a job may outlive both.
    pub(super) session: Weak<Session>,
    pub(super) spec: WorkerSpec,
    pub(super) runtime: Handle,
    pub(super) peers: Peers,
    pub(super) device: DeviceId,
    pub(super) setup: Setup,
}

impl Member for RemoteMember {
    fn spec(&self) -> WorkerSpec {
        self.spec
    }

    fn checks_left(&self) -> u32 {
        self.peers.find(self.device).map_or(FIRST_CHECKS, |peer| peer.checks_left(&self.setup))
    }

    fn passed(&self) {
        if self.checks_left() == 0 {
            return;
        }
        if let Err(error) = self.peers.change(self.device, |peer| peer.pass(&self.setup)) {
            tracing::warn!(%error, "a computer that was right is checked again in the next job");
        }
    }

    fn compute(
        &self,
        task: ChunkTask,
        signal: Arc<Signal>,
        started: Box<dyn FnOnce() + Send>,
        ended: Box<dyn FnOnce(Ending) + Send>,
    ) {
        // Made out here: a runtime that is shut down drops the task unseen.
        let answer = OneAnswer(Some(ended));
        let Some(session) = self.session.upgrade() else { return };
        self.runtime.spawn(async move {
            let ending = compute(&session, task, &signal, started).await;
            answer.give(ending);
        });
    }
}

async fn compute(
    session: &Session,
    task: ChunkTask,
    signal: &Signal,
    started: Box<dyn FnOnce() + Send>,
) -> Ending {
    let pack = session.meter.is_slow();
    let packed = spawn_blocking(move || {
        let model = task.separator.info().hash;
        let parcel = Parcel::new(model, &task.keep, &task.input()?, pack)?;
        Ok((task, parcel))
    });
    let (task, parcel) = match packed.await {
        Ok(Ok(parcel)) => parcel,
        Ok(Err(error)) => return Ending::Halted(error),
        Err(_) => return lost(),
    };
    match exchange(session, parcel, signal, started).await {
        Ok(Reply::Done { bytes, hash, took }) => {
            let kept = spawn_blocking(move || task.keep_result(&bytes, hash, took));
            kept.await.unwrap_or_else(|_| lost())
        }
        Ok(Reply::Failed(cause, error)) => Ending::Failed(cause, error),
        Ok(Reply::Stopped) => Ending::Stopped,
        Err(Broken::Lost) => lost(),
        Err(Broken::Ended) => {
            let what = "The other computer broke the chunk off";
            Ending::Failed(Cause::Error, Error::new(ErrorKind::Network, what))
        }
        Err(Broken::Nonsense(error)) => Ending::Failed(Cause::BadResult, error),
    }
}

fn lost() -> Ending {
    let what = "The connection to the other computer was lost";
    Ending::Failed(Cause::Lost, Error::new(ErrorKind::Network, what))
}

/// Sees to it that a chunk is answered for exactly once, whatever becomes of the task that has it.
struct OneAnswer(Option<Box<dyn FnOnce(Ending) + Send>>);

impl OneAnswer {
    fn give(mut self, ending: Ending) {
        if let Some(ended) = self.0.take() {
            ended(ending);
        }
    }
}

impl Drop for OneAnswer {
    fn drop(&mut self) {
        if let Some(ended) = self.0.take() {
            ended(lost());
        }
    }
}
