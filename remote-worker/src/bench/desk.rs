//! The chunks that were ordered: those that wait, and those that run.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use engine::{
    Error, ErrorKind, Result,
    audio::Planar,
    crew::Signal,
    model::{ChunkInput, ModelInfo, Separator},
    protocol::ChunkOrder,
};

/// A chunk that can be computed.
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) separator: Arc<dyn Separator>,
    pub(super) input: ChunkInput,
    pub(super) keep: Vec<usize>,
}

#[derive(Default)]
pub(super) struct Desk {
    waiting: VecDeque<Task>,
    running: HashMap<u64, Running>,
}

struct Running {
    signal: Arc<Signal>,
    /// Share done that was told last.
    told: f32,
}

impl Desk {
    pub(super) fn put(&mut self, task: Task) {
        self.waiting.push_back(task);
    }

    /// The next chunk, if fewer than `slots` of its model run.
    pub(super) fn take(
        &mut self,
        slots: impl Fn(&ModelInfo) -> usize,
    ) -> Option<(Task, Arc<Signal>)> {
        let first = self.waiting.front()?;
        if self.running.len() >= slots(first.separator.info()).max(1) {
            return None;
        }
        let task = self.waiting.pop_front()?;
        let signal = Arc::new(Signal::default());
        self.running.insert(task.id, Running { signal: Arc::clone(&signal), told: 0.0 });
        Some((task, signal))
    }

    pub(super) fn ended(&mut self, id: u64) {
        self.running.remove(&id);
    }

    /// Stops a chunk; whether it had not begun and so is gone already.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        if let Some(running) = self.running.get(&id) {
            running.signal.cancel();
        }
        let before = self.waiting.len();
        self.waiting.retain(|task| task.id != id);
        self.waiting.len() < before
    }

    /// Chunks that got further since the last call, and how far.
    pub(super) fn moved(&mut self) -> Vec<(u64, f32)> {
        let mut moved = Vec::new();
        for (&id, running) in &mut self.running {
            let done = running.signal.done();
            if done > running.told {
                running.told = done;
                moved.push((id, done));
            }
        }
        moved
    }
}

impl Task {
    /// What `chunk` orders of `separator`; `pcm` is as long as it should be.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the model cannot compute that.
    pub(super) fn new(
        id: u64,
        separator: Arc<dyn Separator>,
        chunk: &ChunkOrder,
        pcm: &[u8],
    ) -> Result<Self> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        let model = separator.info();
        let keep: Vec<usize> = chunk.keep.iter().map(|&stem| usize::from(stem)).collect();
        let is_twice = (1..keep.len()).any(|n| keep[..n].contains(&keep[n]));
        if keep.is_empty() || is_twice || keep.iter().any(|&stem| stem >= model.stems.len()) {
            return invalid(format!("The stems {:?} of “{}” were ordered", keep, model.name));
        }
        let (input, before, segment) =
            (chunk.input_frames, chunk.context_before_frames, chunk.segment_frames);
        let most = model.chunks.segment_frames;
        if segment == 0 || u64::from(segment) > most {
            return invalid(format!("A piece of {segment} frames was ordered, of {most} at most"));
        }
        if before.checked_add(segment).is_none_or(|end| end > input) {
            return invalid(format!(
                "A piece of {segment} frames at {before} of {input} was ordered"
            ));
        }
        let channel = |bytes: &[u8]| {
            let samples = bytes.chunks_exact(4);
            samples.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
        };
        let (left, right) = pcm.split_at(pcm.len() / 2);
        let input = ChunkInput {
            audio: Planar::from_channels(vec![channel(left), channel(right)]),
            context_before_frames: before as usize,
            segment_frames: segment as usize,
            start_frame: chunk.start_frame,
            song: chunk.song,
        };
        Ok(Self { id, separator, input, keep })
    }
}
