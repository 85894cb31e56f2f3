//! The computing process's life: orders in, answers out.

use std::{
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::{
    Error, ErrorKind, Result,
    crew::{Outcome, compute},
    engine::EngineConfig,
    local::Pool,
    protocol::{ChunkOrder, ModelOrder},
    scheduler::Cause,
};

use super::{
    desk::{Desk, Task},
    models::{Models, Sought},
    wire::{Answer, Order, input_bytes, read_frame, read_payload, write_frame},
};

/// How often progress is told, and idle models are looked for.
const TICK: Duration = Duration::from_millis(200);

/// Orders to prepare that may wait.
const MOST_PREPARES: usize = 64;

/// What the computing process may use.
#[derive(Debug, Clone)]
pub struct BenchConfig {
    /// Where models are.
    pub engine: EngineConfig,
    /// Memory that chunks may take together, in bytes.
    pub memory_bytes: u64,
}

/// Does what `input` orders and answers on `output`, until `input` ends. For a process of its own:
/// when nobody reads the answers any more, the process ends.
///
/// # Errors
/// When the list of models cannot be read, no threads be had, or an order makes no sense.
pub fn serve(
    config: &BenchConfig,
    mut input: impl Read,
    output: impl Write + Send + 'static,
) -> Result<()> {
    let pool = Pool::new(config.engine.threads, config.memory_bytes)?;
    let bench = Arc::new(Bench {
        models: Models::open(&config.engine)?,
        desk: Mutex::default(),
        output: Mutex::new(output),
        pool,
    });
    bench.answer(&Answer::Up {
        threads: u16::try_from(bench.pool.threads()).unwrap_or(u16::MAX),
        cores: bench.pool.measure_cores() as f32,
    });
    let (prepares, to_prepare) = bounded(MOST_PREPARES);
    let (preparer, ticker) = (Arc::clone(&bench), Arc::clone(&bench));
    thread("prepare model", move || preparer.prepare_all(&to_prepare))?;
    thread("progress", move || ticker.tick())?;
    while let Some(order) = read_frame(&mut input)? {
        bench.obey(order, &mut input, &prepares)?;
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|e| {
        Error::new(ErrorKind::Internal, "The system gives no more threads").caused_by(e)
    })
}

struct Bench<W> {
    pool: Pool,
    models: Models,
    desk: Mutex<Desk>,
    output: Mutex<W>,
}

impl<W: Write + Send + 'static> Bench<W> {
    fn obey(
        self: &Arc<Self>,
        order: Order,
        input: &mut impl Read,
        prepares: &Sender<(u64, ModelOrder)>,
    ) -> Result<()> {
        match order {
            Order::Prepare { id, model } => match prepares.try_send((id, model)) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    let why = "Too many models were ordered at once".to_owned();
                    self.answer(&Answer::Refused { id, why });
                }
            },
            Order::Compute { id, model, chunk } => {
                let pcm = read_payload(input, input_bytes(&chunk)?)?;
                match self.task(id, &model, &chunk, &pcm) {
                    Ok(task) => {
                        self.desk().put(task);
                        self.begin();
                    }
                    Err(what) => self.answer(&Answer::Failed { id, cause: Cause::Error, what }),
                }
            }
            Order::Cancel { id } => {
                let is_gone = self.desk().cancel(id);
                if is_gone {
                    self.answer(&Answer::Stopped { id });
                }
            }
            Order::Shed => self.models.shed(true),
        }
        Ok(())
    }

    fn task(
        &self,
        id: u64,
        model: &ModelOrder,
        chunk: &ChunkOrder,
        pcm: &[u8],
    ) -> Result<Task, String> {
        if chunk.model != model.hash {
            return Err("The piece was ordered with another model".to_owned());
        }
        match self.models.find(model) {
            Sought::Here(separator) => {
                Task::new(id, separator, chunk, pcm).map_err(|error| error.what)
            }
            Sought::Lacks(_) => Err("Files of the model are missing".to_owned()),
            Sought::Refused(why) => Err(why),
        }
    }

    /// Has the pool compute whatever waits and has a place.
    fn begin(self: &Arc<Self>) {
        loop {
            // The desk is free again before the pool is told.
            let next = self.desk().take(|model| self.pool.slots(model));
            let Some((task, signal)) = next else { return };
            let bench = Arc::clone(self);
            self.pool.spawn(move || {
                let id = task.id;
                bench.answer(&Answer::Started { id });
                let outcome = compute(task.separator.as_ref(), &task.input, &task.keep, &signal);
                // Its place is free before the answer brings the next one.
                drop(task);
                bench.desk().ended(id);
                bench.tell(id, outcome);
                bench.begin();
            });
        }
    }

    fn tell(&self, id: u64, outcome: Outcome) {
        match outcome {
            Outcome::Stems { stems, took } => {
                let channels = stems.iter().flat_map(|stem| stem.channels());
                let samples = channels.flatten();
                let bytes: Vec<u8> = samples.flat_map(|sample| sample.to_le_bytes()).collect();
                let (took_secs, payload_bytes) = (took.as_secs_f32(), bytes.len() as u64);
                self.send(&Answer::Done { id, took_secs, payload_bytes }, &bytes);
            }
            Outcome::Failed(cause, error) => {
                self.answer(&Answer::Failed { id, cause, what: error.what });
            }
            Outcome::Halted(error) => {
                self.answer(&Answer::Failed { id, cause: Cause::Error, what: error.what });
            }
            Outcome::Stopped => self.answer(&Answer::Stopped { id }),
        }
    }

    fn prepare_all(&self, orders: &Receiver<(u64, ModelOrder)>) {
        for (id, order) in orders {
            let prepared = catch_unwind(AssertUnwindSafe(|| self.models.prepare(&order)));
            self.answer(&match prepared {
                Ok(Sought::Here(separator)) => {
                    let slots = self.pool.slots(separator.info());
                    Answer::Ready { id, slots: u16::try_from(slots).unwrap_or(u16::MAX) }
                }
                Ok(Sought::Lacks(files)) => Answer::Lacks { id, files },
                Ok(Sought::Refused(why)) => Answer::Refused { id, why },
                Err(_) => {
                    Answer::Refused { id, why: "The model broke off while it was read".into() }
                }
            });
        }
    }

    fn tick(&self) {
        loop {
            std::thread::sleep(TICK);
            let moved = self.desk().moved();
            for (id, done) in moved {
                self.answer(&Answer::Progress { id, done });
            }
            self.models.shed(false);
        }
    }

    fn answer(&self, answer: &Answer) {
        self.send(answer, &[]);
    }

    fn send(&self, answer: &Answer, payload: &[u8]) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_frame(&mut *output, answer, payload) {
            // Whoever wanted the answers is gone.
            eprintln!("{error}");
            std::process::exit(1);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
