//! One chunk on a worker: takes the order, has it computed, and sends back what came of it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quinn::{RecvStream, SendStream};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::{ChunkNews, session::Session};
use crate::{
    crew::Signal,
    protocol::{ChunkOrder, ChunkReply, MAX_INPUT_FRAMES, MAX_PAYLOAD_BYTES, Running, code},
    remote::{
        payload,
        text::printable_sentence,
        wire::{self, Broken},
    },
    scheduler::Cause,
};

/// Most stems of any model.
const MAX_STEMS: usize = 16;

/// Bytes of a frame of input: stereo f32.
const FRAME_BYTES: u64 = 8;

/// Least time between two words about progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Serves one stream of a main PC.
pub(super) async fn serve(session: Arc<Session>, mut send: SendStream, mut recv: RecvStream) {
    let (order, input) = match receive(&mut recv).await {
        Ok(parcel) => parcel,
        Err(Broken::Nonsense(error)) => {
            let _ = recv.stop(code::NONSENSE.into());
            let what = error.what;
            let _ = wire::send(&mut send, &ChunkReply::Failed { cause: Cause::Error, what }).await;
            return;
        }
        // Called back before it was here, or the connection is gone.
        Err(_) => return,
    };
    let chunk = Chunk::begin(&session);
    let pack = order.pack_result;
    let ended = compute(&session, order, input, &mut send, &chunk.signal).await;
    let answered = answer(&mut send, ended, pack).await;
    chunk.end(answered);
}

/// Counts a chunk as running until it is answered or dropped.
struct Chunk {
    session: Arc<Session>,
    signal: Arc<Signal>,
    refused: Option<String>,
}

impl Chunk {
    fn begin(session: &Arc<Session>) -> Self {
        session.shared.chunk_begins(session.main);
        Self {
            session: Arc::clone(session),
            signal: Arc::default(),
            refused: Some("Connection lost".to_owned()),
        }
    }

    fn end(mut self, refused: Option<String>) {
        self.refused = refused;
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Whoever still computes it need not.
        self.signal.cancel();
        self.session.shared.chunk_ends(self.session.main, self.refused.as_deref());
    }
}

async fn receive(recv: &mut RecvStream) -> Result<(ChunkOrder, Vec<u8>), Broken> {
    let order: ChunkOrder = wire::receive(recv).await?;
    let raw_bytes = u64::from(order.input_frames) * FRAME_BYTES;
    let result_bytes = order.keep.len() as u64 * FRAME_BYTES * u64::from(order.segment_frames);
    let makes_sense = order.input_frames <= MAX_INPUT_FRAMES
        && order.segment_frames <= MAX_INPUT_FRAMES
        && order.context_before_frames <= order.input_frames
        && (1..=MAX_STEMS).contains(&order.keep.len())
        && result_bytes <= MAX_PAYLOAD_BYTES
        && payload::can_be(order.encoding, order.payload_bytes, raw_bytes);
    if !makes_sense {
        return Err(Broken::nonsense("The chunk's sizes make no sense"));
    }
    let sent = wire::receive_rest(recv, order.payload_bytes, |_| {}).await?;
    let encoding = order.encoding;
    let unpacked = spawn_blocking(move || payload::decode(sent, encoding, raw_bytes as usize));
    let input = unpacked.await.map_err(|_| Broken::Lost)?.map_err(Broken::Nonsense)?;
    Ok((order, input))
}

/// Has the workshop compute it and passes on what it tells, up to the end.
async fn compute(
    session: &Session,
    order: ChunkOrder,
    input: Vec<u8>,
    send: &mut SendStream,
    signal: &Arc<Signal>,
) -> ChunkNews {
    let mut stage = session.shared.stage.subscribe();
    if stage.borrow().running != Running::Ready {
        return ChunkNews::Stopped;
    }
    let board = Arc::new(Board::default());
    let tell = Teller(Arc::clone(&board));
    session.workshop().compute(
        order,
        input,
        Arc::clone(signal),
        Box::new(move |news| tell.0.post(news)),
    );
    let stopped = send.stopped();
    tokio::pin!(stopped);
    let mut called_back = false;
    let mut told = Told::default();
    loop {
        tokio::select! {
            () = board.fresh.notified() => {}
            () = sleep_until(told.next_at()), if told.is_held_back => {}
            // Also when the connection is gone.
            _ = &mut stopped, if !called_back => {
                called_back = true;
                signal.cancel();
            }
            _ = stage.wait_for(|stage| stage.hands_back) => {
                signal.cancel();
                return ChunkNews::Stopped;
            }
        }
        let (has_started, done, end) = board.newest();
        if let Some(end) = end {
            return end;
        }
        if !called_back && told.pass_on(send, has_started, done).await.is_err() {
            called_back = true;
            signal.cancel();
        }
    }
}

/// What the main PC was told so far.
#[derive(Default)]
struct Told {
    has_started: bool,
    done: f32,
    at: Option<Instant>,
    /// There is progress that it was too soon to tell.
    is_held_back: bool,
}

impl Told {
    fn next_at(&self) -> Instant {
        self.at.map_or_else(Instant::now, |at| at + PROGRESS_EVERY)
    }

    async fn pass_on(
        &mut self,
        send: &mut SendStream,
        has_started: bool,
        done: f32,
    ) -> Result<(), Broken> {
        if has_started && !self.has_started {
            self.has_started = true;
            wire::send(send, &ChunkReply::Started).await?;
        }
        self.is_held_back = done > self.done && Instant::now() < self.next_at();
        if done > self.done && !self.is_held_back {
            self.done = done;
            self.at = Some(Instant::now());
            wire::send(send, &ChunkReply::Progress(done)).await?;
        }
        Ok(())
    }
}

/// Sends the end; why there is no result, if there is none.
async fn answer(send: &mut SendStream, ended: ChunkNews, pack: bool) -> Option<String> {
    let (reply, payload, refused) = match ended {
        ChunkNews::Done { bytes, took } => {
            let packed = spawn_blocking(move || {
                let hash = blake3::hash(&bytes).into();
                let (encoding, payload) = payload::encode(bytes, pack);
                let payload_bytes = payload.len() as u64;
                let took_secs = took.as_secs_f32();
                (ChunkReply::Done { took_secs, hash, encoding, payload_bytes }, payload)
            });
            match packed.await {
                Ok((reply, payload)) => (reply, payload, None),
                Err(_) => return Some("Program error".to_owned()),
            }
        }
        ChunkNews::Failed { cause, what } => {
            let what = printable_sentence(&what);
            (ChunkReply::Failed { cause, what: what.clone() }, Vec::new(), Some(what))
        }
        ChunkNews::Started | ChunkNews::Progress(_) | ChunkNews::Stopped => {
            (ChunkReply::Stopped, Vec::new(), Some("Handed back".to_owned()))
        }
    };
    let sent = async {
        wire::send(send, &reply).await?;
        send.write_all(&payload).await?;
        let _ = send.finish();
        // Until it is there: whoever leaves must not cut it off.
        match send.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Broken::Ended),
            Err(_) => Err(Broken::Lost),
        }
    };
    match sent.await {
        Ok(()) => refused,
        Err(Broken::Ended) => Some("Called back".to_owned()),
        Err(_) => Some("Connection lost".to_owned()),
    }
}

/// Where the workshop puts its news, from any thread and without waiting; only the newest count.
#[derive(Default)]
struct Board {
    notice: Mutex<Notice>,
    fresh: Notify,
}

#[derive(Default)]
struct Notice {
    has_started: bool,
    done: f32,
    has_ended: bool,
    end: Option<ChunkNews>,
}

impl Board {
    fn post(&self, news: ChunkNews) {
        let mut notice = self.notice();
        match news {
            ChunkNews::Started => notice.has_started = true,
            ChunkNews::Progress(done) => notice.done = notice.done.max(done),
            end if !notice.has_ended => {
                notice.has_ended = true;
                notice.end = Some(end);
            }
            _ => {}
        }
        drop(notice);
        self.fresh.notify_one();
    }

    /// Whether computing began, how far it is, and how it ended.
    fn newest(&self) -> (bool, f32, Option<ChunkNews>) {
        let mut notice = self.notice();
        (notice.has_started, notice.done, notice.end.take())
    }

    fn notice(&self) -> MutexGuard<'_, Notice> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workshop's end of a board: when it is dropped, nothing more will come.
struct Teller(Arc<Board>);

impl Drop for Teller {
    fn drop(&mut self) {
        let what = "The chunk was dropped without a word".to_owned();
        self.0.post(ChunkNews::Failed { cause: Cause::Lost, what });
    }
}
