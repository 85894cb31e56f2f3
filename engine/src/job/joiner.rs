//! Which cells can be joined, are joined, are safe; and the thread that does it. One order is out
//! at a time, so nothing queues up and the nearest to the playhead can always be next.

use std::{
    collections::BTreeSet,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    assemble::{Assembler, CellFacts, CellSums},
    audio::RangeSet,
    error::{Error, ErrorKind, Result},
    plan::Plan,
};

/// Most cells and frames in one order: a seek is heeded after it.
const MAX_ORDER_CELLS: usize = 16;
const MAX_ORDER_FRAMES: u64 = 1 << 21;

/// Frames and cells joined between two syncs, at most; their chunk files are kept so long. Songs
/// that are shorter are synced in quarters.
const SYNC_FRAMES: u64 = 1 << 23;
const SYNC_CELLS: usize = 4096;

enum Order {
    Join(Vec<usize>),
    Draw(Vec<usize>),
    Sync,
}

/// What the thread did.
pub(super) enum Reply {
    /// These cells are joined; others of the order are not, and why.
    Joined(Vec<(usize, CellFacts)>, Option<Error>),
    /// Waveforms of cells joined earlier are drawn, or not.
    Drawn(Option<Error>),
    /// Everything joined before is safe, or not.
    Synced(Result<()>),
}

#[derive(Debug, Clone, Copy)]
enum Cell {
    /// So many of its chunks are not committed.
    Missing(usize),
    /// Its chunks are committed.
    Waiting,
    /// Written.
    Joined(CellFacts),
    /// Written, synced and journalled.
    Final(CellFacts),
}

pub(super) struct Joiner {
    plan: Arc<Plan>,
    cells: Vec<Cell>,
    waiting: BTreeSet<usize>,
    joined: Vec<usize>,
    joined_frames: u64,
    undrawn: Vec<usize>,
    ready: RangeSet,
    busy: bool,
    orders: Option<Sender<Order>>,
    replies: Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
}

impl Joiner {
    /// Starts the thread. `finals` are the cells that an earlier run left safe.
    pub(super) fn start(
        plan: Arc<Plan>,
        mut assembler: Assembler,
        finals: &[Option<CellFacts>],
    ) -> Result<Self> {
        let cells: Vec<Cell> = plan
            .cells()
            .iter()
            .zip(finals)
            .map(|(cell, done)| done.map_or(Cell::Missing(cell.chunks.len()), Cell::Final))
            .collect();
        let is_final = |cell: &usize| finals[*cell].is_some();
        let mut ready = RangeSet::new();
        (0..cells.len())
            .filter(is_final)
            .for_each(|cell| ready.insert(plan.cells()[cell].frames.clone()));
        let undrawn =
            (0..cells.len()).filter(|cell| is_final(cell) && !assembler.is_drawn(*cell)).collect();

        let (orders, ordered) = bounded::<Order>(1);
        let (reply, replies) = bounded(1);
        let thread = thread::Builder::new()
            .name("join stems".into())
            .spawn(move || {
                for order in ordered {
                    if reply.send(carry_out(&mut assembler, order)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| {
                Error::new(ErrorKind::Internal, "Cannot start a thread to join stems").caused_by(e)
            })?;
        Ok(Self {
            plan,
            cells,
            waiting: BTreeSet::new(),
            joined: Vec::new(),
            joined_frames: 0,
            undrawn,
            ready,
            busy: false,
            orders: Some(orders),
            replies,
            thread: Some(thread),
        })
    }

    /// Ends the thread, after the order it is at; what it did of that is forgotten.
    pub(super) fn stop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already seen as a disconnected channel.
            let _ = thread.join();
        }
    }

    /// The cells that are written, synced and journalled.
    pub(super) fn finals(&self) -> Vec<Option<CellFacts>> {
        let facts = |cell: &Cell| match cell {
            Cell::Final(facts) => Some(*facts),
            _ => None,
        };
        self.cells.iter().map(facts).collect()
    }

    /// Where replies arrive, for [`Self::on_reply`]; disconnected when the thread broke off.
    pub(super) fn replies(&self) -> &Receiver<Reply> {
        &self.replies
    }

    /// Frames that are in the stems.
    pub(super) fn ready(&self) -> &RangeSet {
        &self.ready
    }

    /// The result of `chunk` is in its file.
    pub(super) fn on_committed(&mut self, chunk: usize) {
        for index in self.plan.cells_of_chunk(chunk) {
            match &mut self.cells[index] {
                Cell::Missing(1) => {
                    self.cells[index] = Cell::Waiting;
                    self.waiting.insert(index);
                }
                Cell::Missing(chunks) => *chunks -= 1,
                Cell::Waiting | Cell::Joined(_) | Cell::Final(_) => {}
            }
        }
    }

    /// Gives the thread its next order if it has none: sync what is long overdue, join what the
    /// user hears next, draw, and sync the rest when nothing more will come (`ends`).
    pub(super) fn pump(&mut self, playhead_frame: u64, ends: bool) {
        if self.busy {
            return;
        }
        let most_frames = SYNC_FRAMES.min(self.plan.song_frames() / 4).max(1);
        let overdue = self.joined_frames >= most_frames || self.joined.len() >= SYNC_CELLS;
        let order = if overdue {
            Order::Sync
        } else if !self.waiting.is_empty() {
            Order::Join(self.nearest(playhead_frame))
        } else if !self.undrawn.is_empty() {
            let rest = self.undrawn.len().saturating_sub(MAX_ORDER_CELLS);
            Order::Draw(self.undrawn.split_off(rest))
        } else if ends && !self.joined.is_empty() {
            Order::Sync
        } else {
            return;
        };
        if let Some(orders) = &self.orders {
            self.busy = orders.try_send(order).is_ok();
        }
    }

    /// Takes in what the thread did; true when joined cells are synced and now
    /// [`Self::synced`] is to be journalled.
    ///
    /// # Errors
    /// What kept the thread from its work. Nothing is lost by it: the same cells wait again.
    pub(super) fn on_reply(&mut self, reply: Reply) -> Result<bool> {
        self.busy = false;
        match reply {
            Reply::Joined(cells, error) => {
                for (cell, facts) in cells {
                    self.cells[cell] = Cell::Joined(facts);
                    self.waiting.remove(&cell);
                    self.joined.push(cell);
                    self.joined_frames += self.frames(cell);
                    self.ready.insert(self.plan.cells()[cell].frames.clone());
                }
                error.map_or(Ok(false), Err)
            }
            Reply::Drawn(error) => error.map_or(Ok(false), Err),
            Reply::Synced(Ok(())) => Ok(true),
            Reply::Synced(Err(error)) => {
                // The system may have dropped what it could not write: join it again.
                self.joined_frames = 0;
                for cell in self.joined.drain(..) {
                    self.cells[cell] = Cell::Waiting;
                    self.waiting.insert(cell);
                }
                Err(error)
            }
        }
    }

    /// Cells that are synced but not journalled.
    pub(super) fn synced(&self) -> Vec<(u32, CellFacts)> {
        let facts = |&cell: &usize| match self.cells[cell] {
            Cell::Joined(facts) => Some((cell as u32, facts)),
            _ => None,
        };
        self.joined.iter().filter_map(facts).collect()
    }

    /// [`Self::synced`] is journalled; returns the chunks whose files are needed no more.
    pub(super) fn on_journalled(&mut self) -> Vec<usize> {
        let mut touched = BTreeSet::new();
        self.joined_frames = 0;
        for cell in self.joined.drain(..) {
            if let Cell::Joined(facts) = self.cells[cell] {
                self.cells[cell] = Cell::Final(facts);
                touched.extend(self.plan.cells()[cell].chunks.clone());
            }
        }
        let is_final = |chunk: &usize| {
            let cells = &self.cells[self.plan.cells_of_chunk(*chunk)];
            cells.iter().all(|cell| matches!(cell, Cell::Final(_)))
        };
        touched.into_iter().filter(is_final).collect()
    }

    /// Whether all that was committed is safe and drawn.
    pub(super) fn is_idle(&self) -> bool {
        !self.busy && self.waiting.is_empty() && self.joined.is_empty() && self.undrawn.is_empty()
    }

    /// The sums of all ready cells in cell order, and their frames.
    pub(super) fn sums(&self) -> (CellSums, u64) {
        let mut total = CellSums::default();
        let mut frames = 0;
        for (index, cell) in self.cells.iter().enumerate() {
            if let Cell::Joined(CellFacts { sums, .. }) | Cell::Final(CellFacts { sums, .. }) = cell
            {
                total.residual += sums.residual;
                total.mixture += sums.mixture;
                frames += self.frames(index);
            }
        }
        (total, frames)
    }

    /// The first waiting cells from the playhead on, then those before it.
    fn nearest(&self, playhead_frame: u64) -> Vec<usize> {
        let here = self.plan.cells().partition_point(|cell| cell.frames.end <= playhead_frame);
        let ahead = self.waiting.range(here..).copied();
        let behind = self.waiting.range(..here).rev().copied();
        let mut frames = 0;
        let mut cells = Vec::new();
        for cell in ahead.chain(behind).take(MAX_ORDER_CELLS) {
            frames += self.frames(cell);
            if frames > MAX_ORDER_FRAMES && !cells.is_empty() {
                break;
            }
            cells.push(cell);
        }
        cells
    }

    fn frames(&self, cell: usize) -> u64 {
        let frames = &self.plan.cells()[cell].frames;
        frames.end - frames.start
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn carry_out(assembler: &mut Assembler, order: Order) -> Reply {
    match order {
        Order::Join(cells) => {
            let mut joined = Vec::with_capacity(cells.len());
            for cell in cells {
                match assembler.join(cell).and_then(|()| assembler.inspect(cell)) {
                    Ok(facts) => joined.push((cell, facts)),
                    Err(error) => return Reply::Joined(joined, Some(error)),
                }
            }
            Reply::Joined(joined, None)
        }
        Order::Draw(cells) => {
            let drawn = cells.into_iter().try_for_each(|cell| assembler.inspect(cell).map(|_| ()));
            Reply::Drawn(drawn.err())
        }
        Order::Sync => Reply::Synced(assembler.sync()),
    }
}
