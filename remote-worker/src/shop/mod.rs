//! Takes the orders of main PCs and has the computing process do them. When that process breaks
//! down, every chunk it had is reported at once and another process takes its place.

mod allowed;
mod models;
mod process;
mod state;
mod tally;
mod trouble;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use engine::{
    Error, ErrorKind, Result,
    crew::Signal,
    engine::EngineConfig,
    model::nn::Kernels,
    protocol::{self, BlobRef, ChunkOrder, Hello, ModelOrder, Running},
    remote::{BlobSink, ChunkNews, Prepared, Workshop},
    roster::Roster,
    scheduler::Cause,
};
use serde_json::json;

pub use self::{allowed::Allowed, process::ProcessConfig, trouble::Trouble};
use self::{
    models::Orders,
    process::{Listener, Process, spawn},
    state::{Chunk, State, Tell},
};
use crate::{
    bench::{Answer, Order, input_bytes},
    log::Log,
};

/// How often cancelled chunks are looked for.
const TICK: Duration = Duration::from_millis(50);

/// A process that takes longer to say that it is there, or to stop a chunk, hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time that reading a model may take.
const PREPARE_PATIENCE: Duration = Duration::from_secs(300);

/// Where a shop works and with what.
#[derive(Debug, Clone)]
pub struct ShopConfig {
    /// Name of this computer.
    pub name: String,
    /// Its data folder, list of models and threads.
    pub engine: EngineConfig,
    /// Memory that chunks may take together, in bytes.
    pub memory_bytes: u64,
    /// How far the computing process steps back for others, 0..=19.
    pub nice: i32,
    /// Whether it uses the disk only when nobody else does.
    pub idle_io: bool,
    /// The program `stemhive-worker`, which is also the computing process.
    pub program: std::path::PathBuf,
}

/// What a shop has done and has.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopStatus {
    /// Process id of the computing process, while there is one.
    pub bench_pid: Option<u32>,
    /// How long the break after crashes still is.
    pub trouble_left: Option<Duration>,
    /// Chunks ordered and not ended.
    pub chunks_running: usize,
    /// Chunks computed.
    pub chunks_done: u64,
    /// Models and chunks that were not taken or failed, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Seconds of audio for each second of computing, once anything was done.
    pub speed_x_real_time: Option<f64>,
    /// Threads that compute.
    pub threads: u16,
    /// What they come to, see [`engine::local::Pool::measure_cores`].
    pub cores: f32,
}

/// The worker's shop. Dropping it ends the computing process.
pub struct Shop {
    shared: Arc<Shared>,
}

struct Shared {
    config: ShopConfig,
    process: ProcessConfig,
    roster: Roster,
    orders: Orders,
    log: Log,
    state: Mutex<State>,
    on_up: Condvar,
}

impl Shop {
    /// Opens the shop: starts the computing process and waits until it is there.
    ///
    /// # Errors
    /// When the list of models cannot be read, or the process not be started.
    pub fn open(config: ShopConfig, log: Log) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            process: ProcessConfig { program: config.program.clone(), args: arguments(&config) },
            roster: Roster::open(&config.engine)?,
            orders: Orders::new(&config.engine.data_dir),
            log,
            state: Mutex::default(),
            on_up: Condvar::new(),
            config,
        });
        let shop = Arc::new(Self { shared: Arc::clone(&shared) });
        shared.ensure_process(&mut shared.state())?;
        let watched = Arc::downgrade(&shared);
        spawn("cancelled chunks", move || watch(&watched))?;
        let coming = |state: &mut State| state.up.is_none() && state.process.is_some();
        let state = shared.state();
        let (state, _) = shared
            .on_up
            .wait_timeout_while(state, PATIENCE, coming)
            .unwrap_or_else(PoisonError::into_inner);
        if state.up.is_some() {
            return Ok(shop);
        }
        Err(Error::new(ErrorKind::Internal, "The computing process does not start")
            .advice("Look at what it wrote to standard error"))
    }

    /// How it stands.
    pub fn status(&self) -> ShopStatus {
        let now = Instant::now();
        let state = self.shared.state();
        let up = state.up.unwrap_or_default();
        ShopStatus {
            bench_pid: state.process.as_ref().map(|process| process.pid),
            trouble_left: state.trouble.left(now),
            chunks_running: state.chunks.len(),
            chunks_done: state.tally.done,
            refused: state.tally.refused.clone(),
            speed_x_real_time: state.tally.speed_x_real_time(now),
            threads: up.threads,
            cores: up.cores,
        }
    }

    /// Whether chunks are taken from now on. In a break what runs is handed back, and models leave
    /// the memory.
    pub fn set_running(&self, running: Running) {
        let mut state = self.shared.state();
        state.running = running;
        if let Running::Paused(_) = running {
            state.chunks.values().for_each(|chunk| chunk.signal.cancel());
            state.order(Order::Shed, Vec::new());
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.process = None;
    }
}

fn arguments(config: &ShopConfig) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--data-dir".into(), config.engine.data_dir.clone().into()];
    args.push("compute".into());
    if let Some(path) = &config.engine.model_list {
        args.extend(["--model-list".into(), path.clone().into()]);
    }
    if let Some(threads) = config.engine.threads {
        args.extend(["--threads".into(), threads.to_string().into()]);
    }
    args.extend(["--memory-bytes".into(), config.memory_bytes.to_string().into()]);
    args.extend(["--nice".into(), config.nice.to_string().into()]);
    if config.idle_io {
        args.push("--idle-io".into());
    }
    args
}

impl Workshop for Shop {
    fn hello(&self) -> Hello {
        let shared = &self.shared;
        shared.roster.refresh();
        let models = shared.roster.infos().into_iter().map(|model| model.hash).take(64).collect();
        let state = shared.state();
        let up = state.up.unwrap_or_default();
        Hello {
            version: protocol::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            name: shared.config.name.clone(),
            kernels: Kernels::detect().name().to_owned(),
            threads: up.threads,
            memory_bytes: shared.config.memory_bytes,
            cores: up.cores,
            models,
            running: state.running,
        }
    }

    fn prepare(&self, order: &ModelOrder) -> Prepared {
        let prepared = self.shared.prepare(order);
        if let Prepared::Refused { why } = &prepared {
            self.shared.state().tally.refuse(why);
            self.shared.log.say("refused", json!({ "why": why }), || why.clone());
        }
        prepared
    }

    fn receive(&self, blob: &BlobRef) -> Result<Box<dyn BlobSink>> {
        if !self.shared.orders.wants(blob) {
            let what = "A model's file came that nothing asked for";
            return Err(Error::new(ErrorKind::Denied, what));
        }
        Ok(Box::new(self.shared.roster.catalogue().receive(blob)?))
    }

    fn compute(
        &self,
        order: ChunkOrder,
        input: Vec<u8>,
        signal: Arc<Signal>,
        tell: Box<dyn Fn(ChunkNews) + Send + Sync>,
    ) {
        if let Some(news) = self.shared.begin(order, input, signal, &Arc::from(tell)) {
            let (tell, news) = news;
            tell(news);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the computing process unless there is one.
    fn ensure_process(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if state.process.is_some() || state.closed {
            return Ok(());
        }
        state.generation += 1;
        let ear = Ear { shared: Arc::downgrade(self), generation: state.generation };
        state.process = Some(Process::start(&self.process, ear)?);
        Ok(())
    }

    fn prepare(self: &Arc<Self>, order: &ModelOrder) -> Prepared {
        let refused = |why: &str| Prepared::Refused { why: why.to_owned() };
        let (answer, answered) = crossbeam_channel::bounded(1);
        {
            let mut state = self.state();
            if let Err(error) = self.ensure_process(&mut state) {
                return refused(&error.what);
            }
            let id = state.new_id();
            state.questions.insert(id, answer);
            if !state.order(Order::Prepare { id, model: order.clone() }, Vec::new()) {
                state.questions.remove(&id);
                return refused("It has too much to do");
            }
        }
        match answered.recv_timeout(PREPARE_PATIENCE) {
            Ok(Prepared::Lacks(files)) => {
                let catalogue = self.roster.catalogue();
                let is_known = files.iter().all(|file| catalogue.lists(file));
                if !is_known && !self.orders.allowed.lets_in(order) {
                    return Prepared::Refused {
                        why: format!(
                            "Its owner has not allowed this model yet; there: stemhive-worker \
                             allow {}",
                            Allowed::name_of(order)
                        ),
                    };
                }
                self.orders.want(&files);
                Prepared::Lacks(files)
            }
            Ok(prepared) => {
                if let Prepared::Ready { .. } = prepared {
                    self.orders.remember(order);
                }
                prepared
            }
            Err(_) => refused("The computing process broke down while it read the model"),
        }
    }

    /// Begins to compute a chunk, or says at once what became of it.
    fn begin(
        self: &Arc<Self>,
        chunk: ChunkOrder,
        input: Vec<u8>,
        signal: Arc<Signal>,
        tell: &Tell,
    ) -> Option<(Tell, ChunkNews)> {
        let now = Instant::now();
        let failed = |state: &mut State, what: &str| {
            state.tally.refuse(what);
            let news = ChunkNews::Failed { cause: Cause::Error, what: what.to_owned() };
            Some((Arc::clone(tell), news))
        };
        let mut state = self.state();
        let in_trouble = state.trouble.left(now).is_some();
        if state.closed || in_trouble || matches!(state.running, Running::Paused(_)) {
            return Some((Arc::clone(tell), ChunkNews::Stopped));
        }
        let Some(model) = self.orders.find(&chunk.model) else {
            return failed(&mut state, "A piece was ordered with a model that is not prepared");
        };
        if input_bytes(&chunk).ok() != Some(input.len() as u64) {
            return failed(&mut state, "A piece was not as long as it should be");
        }
        if let Err(error) = self.ensure_process(&mut state) {
            return failed(&mut state, &error.what);
        }
        let most = 4 * usize::from(state.up.unwrap_or_default().threads) + 8;
        let id = state.new_id();
        let frames = u64::from(chunk.segment_frames);
        if state.chunks.len() >= most || !state.order(Order::Compute { id, model, chunk }, input) {
            return Some((Arc::clone(tell), ChunkNews::Stopped));
        }
        let tell = Arc::clone(tell);
        state.chunks.insert(id, Chunk { signal, tell, frames, cancelled: None });
        state.tally.set_busy(true, now);
        None
    }
}

/// Listens to one computing process.
struct Ear {
    shared: Weak<Shared>,
    generation: u64,
}

impl Listener for Ear {
    fn said(&self, answer: Answer, payload: Vec<u8>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let news = {
            let mut state = shared.state();
            if state.generation != self.generation {
                return;
            }
            let news = state.hear(answer, payload);
            shared.on_up.notify_all();
            news
        };
        if let Some((tell, news)) = news {
            tell(news);
        }
    }

    fn ended(&self, how: String) {
        let Some(shared) = self.shared.upgrade() else { return };
        let now = Instant::now();
        let mut state = shared.state();
        if state.generation != self.generation || state.closed {
            return;
        }
        let lost = state.lose_process(now);
        let pause = state.trouble.crashed(now);
        let what = format!("The computing process broke down ({how})");
        lost.iter().for_each(|_| state.tally.refuse(&what));
        // One that never came up would only fail again.
        let restarted = match (pause, state.up) {
            (None, Some(_)) => shared.ensure_process(&mut state),
            _ => Ok(()),
        };
        shared.on_up.notify_all();
        drop(state);
        for chunk in &lost {
            (chunk.tell)(ChunkNews::Failed { cause: Cause::Panic, what: what.clone() });
        }
        let value =
            json!({ "how": how, "chunks": lost.len(), "pause_secs": pause.map(|p| p.as_secs()) });
        shared.log.say("crashed", value, || match pause {
            None => what.clone(),
            Some(pause) => format!(
                "{what}; not for the first time, so it rests for {} min",
                pause.as_secs() / 60
            ),
        });
        if let Err(error) = restarted {
            shared.log.error(&error);
        }
    }
}

/// Passes on that chunks were cancelled, and ends a process that does not heed it.
fn watch(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        if state.closed {
            return;
        }
        if state.pass_on_cancels(Instant::now()) > PATIENCE
            && let Some(process) = &state.process
        {
            process.kill();
        }
        drop(state);
        drop(shared);
        std::thread::sleep(TICK);
    }
}
