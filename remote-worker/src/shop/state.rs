//! What a shop knows of its computing process and the chunks there.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use engine::{
    crew::Signal,
    model::Progress,
    protocol::Running,
    remote::{ChunkNews, Prepared},
};

use super::{process::Process, tally::Tally, trouble::Trouble};
use crate::bench::{Answer, Order};

/// Told what happens to a chunk.
pub(super) type Tell = Arc<dyn Fn(ChunkNews) + Send + Sync>;

/// A chunk in the computing process.
pub(super) struct Chunk {
    pub(super) signal: Arc<Signal>,
    pub(super) tell: Tell,
    pub(super) frames: u64,
    /// When it was told to stop.
    pub(super) cancelled: Option<Instant>,
}

/// What the computing process said of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Up {
    pub(super) threads: u16,
    pub(super) cores: f32,
}

pub(super) struct State {
    pub(super) process: Option<Process>,
    /// Of the process; what earlier ones say does not count any more.
    pub(super) generation: u64,
    pub(super) up: Option<Up>,
    pub(super) chunks: HashMap<u64, Chunk>,
    /// Whoever waits for an answer to an order to prepare.
    pub(super) questions: HashMap<u64, Sender<Prepared>>,
    pub(super) running: Running,
    pub(super) trouble: Trouble,
    pub(super) tally: Tally,
    pub(super) closed: bool,
    last_id: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            process: None,
            generation: 0,
            up: None,
            chunks: HashMap::new(),
            questions: HashMap::new(),
            running: Running::Ready,
            trouble: Trouble::default(),
            tally: Tally::default(),
            closed: false,
            last_id: 0,
        }
    }
}

impl State {
    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends an order to the process; whether it will get it.
    pub(super) fn order(&self, order: Order, payload: Vec<u8>) -> bool {
        self.process.as_ref().is_some_and(|process| process.order(order, payload))
    }

    /// Takes note of an answer; who is to be told what.
    pub(super) fn hear(&mut self, answer: Answer, payload: Vec<u8>) -> Option<(Tell, ChunkNews)> {
        match answer {
            Answer::Up { threads, cores } => {
                self.up = Some(Up { threads, cores });
                None
            }
            Answer::Ready { id, slots } => self.answer(id, Prepared::Ready { slots }),
            Answer::Lacks { id, files } => self.answer(id, Prepared::Lacks(files)),
            Answer::Refused { id, why } => self.answer(id, Prepared::Refused { why }),
            Answer::Started { id } => self.news(id, ChunkNews::Started),
            Answer::Progress { id, done } => {
                self.chunks.get(&id)?.signal.report(done);
                self.news(id, ChunkNews::Progress(done))
            }
            Answer::Done { id, took_secs, .. } => {
                let chunk = self.take(id)?;
                self.tally.did(chunk.frames);
                let took = Duration::try_from_secs_f32(took_secs).unwrap_or_default();
                Some((chunk.tell, ChunkNews::Done { bytes: payload, took }))
            }
            Answer::Failed { id, cause, what } => {
                let chunk = self.take(id)?;
                self.tally.refuse(&what);
                Some((chunk.tell, ChunkNews::Failed { cause, what }))
            }
            Answer::Stopped { id } => Some((self.take(id)?.tell, ChunkNews::Stopped)),
        }
    }

    fn answer(&mut self, id: u64, prepared: Prepared) -> Option<(Tell, ChunkNews)> {
        // Whoever asked may have lost patience.
        let _ = self.questions.remove(&id)?.try_send(prepared);
        None
    }

    fn news(&self, id: u64, news: ChunkNews) -> Option<(Tell, ChunkNews)> {
        Some((Arc::clone(&self.chunks.get(&id)?.tell), news))
    }

    fn take(&mut self, id: u64) -> Option<Chunk> {
        let chunk = self.chunks.remove(&id)?;
        self.tally.set_busy(!self.chunks.is_empty(), Instant::now());
        Some(chunk)
    }

    /// The process is gone, and with it the chunks it had and the answers it owed.
    pub(super) fn lose_process(&mut self, now: Instant) -> Vec<Chunk> {
        self.process = None;
        self.questions.clear();
        self.tally.set_busy(false, now);
        self.chunks.drain().map(|(_, chunk)| chunk).collect()
    }

    /// Tells the process which chunks to stop; how long the longest one was told already.
    pub(super) fn pass_on_cancels(&mut self, now: Instant) -> Duration {
        let Some(process) = &self.process else { return Duration::ZERO };
        let mut longest = Duration::ZERO;
        for (&id, chunk) in self.chunks.iter_mut().filter(|(_, chunk)| chunk.signal.is_cancelled())
        {
            match chunk.cancelled {
                Some(since) => longest = longest.max(now - since),
                None => {
                    if process.order(Order::Cancel { id }, Vec::new()) {
                        chunk.cancelled = Some(now);
                    }
                }
            }
        }
        longest
    }
}
