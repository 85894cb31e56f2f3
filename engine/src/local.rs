//! This computer as one worker: threads that compute chunks, a rayon pool that they share the work inside
//! a chunk with, and the queue of jobs that want them.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender};
use rayon::ThreadPool;

use crate::{
    crew::{ChunkTask, Ending, Signal},
    error::{Error, ErrorKind, Result},
    model::{
        ModelInfo,
        nn::{Kernels, product_flop_per_sec},
    },
    parallel,
};

type Work = Box<dyn FnOnce() + Send>;

/// Far more than ever wait: who hands out chunks keeps to [`Pool::slots`], and others hand out single ones.
const MOST_WAITING: usize = 1024;

/// Multiplications and additions that the core which model costs are counted in does in a second,
/// in matrix products alone: 80 % of it is left in a whole network.
const FLOP_PER_CORE_SEC: f64 = 100e9;

/// Working memory that chunks computed at the same time may take together, unless told otherwise.
pub const DEFAULT_MEMORY_BYTES: u64 = 384 << 20;

/// The threads that separate. Chunks run side by side as memory allows, each on a thread of its own; a
/// separator that splits its work hands it to threads that all chunks share.
#[derive(Debug)]
pub struct Pool {
    rayon: Arc<ThreadPool>,
    /// For the threads of chunks.
    chunks: Sender<Work>,
    memory_bytes: u64,
    queue: Mutex<VecDeque<Waiting>>,
    next_turn: AtomicU64,
}

impl Pool {
    /// A pool of `threads` threads (`None`: [`Self::default_threads`]), "chunk-N", which wait while what
    /// they split is done by as many others, "separate-N". Chunks together stay within
    /// `memory_bytes`, if one alone does.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(threads: Option<usize>, memory_bytes: u64) -> Result<Self> {
        let failed = || Error::new(ErrorKind::Internal, "Cannot start the threads that separate");
        let threads = threads.unwrap_or_else(Self::default_threads).max(1);
        let rayon = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("separate-{n}"))
            .build()
            .map_err(|e| failed().caused_by(e))?;
        let rayon = Arc::new(rayon);
        let (chunks, given) = crossbeam_channel::bounded(MOST_WAITING);
        for n in 0..threads {
            let (rayon, given) = (Arc::clone(&rayon), given.clone());
            std::thread::Builder::new()
                .name(format!("chunk-{n}"))
                .spawn(move || do_all(rayon, &given))
                .map_err(|e| failed().caused_by(e))?;
        }
        let (queue, next_turn) = Default::default();
        Ok(Self { rayon, chunks, memory_bytes, queue, next_turn })
    }

    /// All processors, less one for window and sound where there are more than two.
    pub fn default_threads() -> usize {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        if all > 2 { all - 1 } else { all }
    }

    /// Threads in the pool.
    pub fn threads(&self) -> usize {
        self.rayon.current_num_threads()
    }

    /// Chunks of a model that run at the same time: as many as memory and threads allow, and two
    /// even of a large network. Such a network splits its work inside a chunk, so more of them
    /// would gain nothing, and one alone would leave threads idle between its layers.
    pub fn slots(&self, model: &ModelInfo) -> usize {
        self.slots_of(model.memory_bytes_per_chunk)
    }

    /// The same of a model whose chunks take `memory_bytes_per_chunk`.
    pub fn slots_of(&self, memory_bytes_per_chunk: u64) -> usize {
        let fit = self.memory_bytes / memory_bytes_per_chunk.max(1);
        usize::try_from(fit).unwrap_or(usize::MAX).max(2).min(self.threads())
    }

    /// How many of the processor cores that [`ModelInfo::cost_core_secs_per_sec`] counts with this
    /// computer's threads come to, measured now: a quarter of a second of matrix products.
    pub fn measure_cores(&self) -> f64 {
        self.rayon.install(|| product_flop_per_sec(Kernels::detect())) / FLOP_PER_CORE_SEC
    }

    /// Computes a chunk on a thread of the pool; `started` and then `ended` are called from there.
    pub(crate) fn compute(
        &self,
        task: ChunkTask,
        signal: Arc<Signal>,
        started: impl FnOnce() + Send + 'static,
        ended: impl FnOnce(Ending) + Send + 'static,
    ) {
        self.spawn(move || {
            started();
            ended(task.run(&signal));
        });
    }

    /// Does `work` on a thread of the pool, what it splits on all of them. Returns at once, unless a
    /// thousand others wait.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        // The threads are there for as long as the pool is.
        let _ = self.chunks.send(Box::new(work));
    }

    /// Waits in line for the pool: one job at a time has it, so that two do not share memory and
    /// processors. `called` is called, from any thread, when the turn may have come.
    pub(crate) fn queue_up(self: &Arc<Self>, called: impl Fn() + Send + Sync + 'static) -> Turn {
        let id = self.next_turn.fetch_add(1, Ordering::Relaxed);
        self.waiting().push_back(Waiting { id, called: Box::new(called) });
        Turn { pool: Arc::clone(self), id }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what is given, until nobody can give more.
fn do_all(rayon: Arc<ThreadPool>, given: &Receiver<Work>) {
    parallel::use_pool(rayon);
    for work in given {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("what follows a chunk broke off");
        }
    }
}

struct Waiting {
    id: u64,
    called: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.id)
    }
}

/// A place in the pool's queue; dropping it lets the next job in.
#[derive(Debug)]
pub(crate) struct Turn {
    pool: Arc<Pool>,
    id: u64,
}

impl Turn {
    /// Whether the pool is ours now.
    pub(crate) fn has_come(&self) -> bool {
        self.pool.waiting().front().is_some_and(|first| first.id == self.id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.pool.waiting();
        queue.retain(|waiting| waiting.id != self.id);
        if let Some(first) = queue.front() {
            (first.called)();
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::parallel::across;

    #[test]
    fn a_chunk_never_waits_for_one_that_came_later() {
        let pool = Arc::new(Pool::new(Some(2), DEFAULT_MEMORY_BYTES).unwrap());
        let (told_first, first) = bounded(1);
        let (told_second, second) = bounded(1);
        let (pool_of_first, first_of_second) = (Arc::clone(&pool), first.clone());
        pool.spawn(move || {
            let sections = |count: u32| {
                for _ in 0..count {
                    across(|| rayon::broadcast(|_| std::hint::black_box(0)));
                }
            };
            sections(100);
            // Is not done before the first one is.
            pool_of_first.spawn(move || {
                let _ = told_second.send(first_of_second.recv().is_ok());
            });
            sections(10_000);
            let _ = told_first.send(());
        });
        drop(first);
        assert!(second.recv_timeout(std::time::Duration::from_secs(120)).unwrap());
    }

    #[test]
    fn all_threads_share_what_one_chunk_splits() {
        let pool = Pool::new(Some(3), DEFAULT_MEMORY_BYTES).unwrap();
        let (tell, told) = bounded(1);
        pool.spawn(move || {
            let name =
                |_: rayon::BroadcastContext<'_>| std::thread::current().name().map(str::to_owned);
            let _ = tell.send(across(|| rayon::broadcast(name)));
        });
        let mut names: Vec<_> = told.recv().unwrap().into_iter().flatten().collect();
        names.sort();
        assert_eq!(names, ["separate-0", "separate-1", "separate-2"]);
    }
}
