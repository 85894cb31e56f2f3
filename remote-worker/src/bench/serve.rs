//! The computing process's life: orders in, answers out. Answers are written by a thread of their
//! own, so that the next chunk is computed while the result of the last one leaves.

use std::{
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::{
    Error, ErrorKind, Result,
    audio::Planar,
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

/// Answers that may wait to be written. Few of them are results: who ordered the chunks gives another
/// only for one that came back.
const MOST_ANSWERS: usize = 64;

/// How long whoever closed the orders has to read the last answers.
const FAREWELL: Duration = Duration::from_secs(1);

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
    let (answers, to_write) = bounded(MOST_ANSWERS);
    thread("write answers", move || write_all(&to_write, output))?;
    let pool = Pool::new(config.engine.threads, config.memory_bytes)?;
    let bench = Arc::new(Bench {
        models: Models::open(&config.engine)?,
        desk: Mutex::default(),
        answers,
        pool,
    });
    bench.answer(Answer::Up {
        threads: u16::try_from(bench.pool.threads()).unwrap_or(u16::MAX),
        cores: bench.pool.measure_cores() as f32,
    });
    let (prepares, to_prepare) = bounded(MOST_PREPARES);
    let (preparer, ticker) = (Arc::clone(&bench), Arc::clone(&bench));
    thread("prepare model", move || preparer.prepare_all(&to_prepare))?;
    thread("progress", move || ticker.tick())?;
    let obeyed = bench.obey_all(&mut input, &prepares);
    let (written, all_written) = bounded(1);
    bench.say(Say::Tell(written));
    // Who does not read is not waited for.
    let _ = all_written.recv_timeout(FAREWELL);
    obeyed
}

/// What the writing thread is to do.
enum Say {
    /// An answer, and the result that follows it.
    Answer(Answer, Vec<Planar>),
    /// Tell when everything so far is written.
    Tell(Sender<()>),
}

/// Ends the process when nobody reads any more.
fn write_all(says: &Receiver<Say>, mut output: impl Write) {
    for say in says {
        let written = match say {
            Say::Answer(answer, stems) => {
                let channels = stems.iter().flat_map(Planar::channels);
                let bytes = channels.map(|samples| bytemuck::cast_slice::<f32, u8>(samples));
                write_frame(&mut output, &answer, bytes)
            }
            Say::Tell(whom) => {
                // It may have lost patience.
                let _ = whom.try_send(());
                Ok(())
            }
        };
        if let Err(error) = written {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|e| {
        Error::new(ErrorKind::Internal, "The system gives no more threads").caused_by(e)
    })
}

struct Bench {
    pool: Pool,
    models: Models,
    desk: Mutex<Desk>,
    answers: Sender<Say>,
}

impl Bench {
    fn obey_all(
        self: &Arc<Self>,
        input: &mut impl Read,
        prepares: &Sender<(u64, ModelOrder)>,
    ) -> Result<()> {
        while let Some(order) = read_frame(input)? {
            self.obey(order, input, prepares)?;
        }
        Ok(())
    }

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
                    self.answer(Answer::Refused { id, why });
                }
            },
            Order::Compute { id, model, chunk } => {
                let pcm = read_payload(input, input_bytes(&chunk)?)?;
                match self.task(id, &model, &chunk, &pcm) {
                    Ok(task) => {
                        self.desk().put(task);
                        self.begin();
                    }
                    Err(what) => self.answer(Answer::Failed { id, cause: Cause::Error, what }),
                }
            }
            Order::Cancel { id } => {
                let is_gone = self.desk().cancel(id);
                if is_gone {
                    self.answer(Answer::Stopped { id });
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
                bench.answer(Answer::Started { id });
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
                let channels = stems.iter().flat_map(Planar::channels);
                let payload_bytes = channels.map(|samples| size_of_val(&**samples) as u64).sum();
                let took_secs = took.as_secs_f32();
                self.say(Say::Answer(Answer::Done { id, took_secs, payload_bytes }, stems));
            }
            Outcome::Failed(cause, error) => {
                self.answer(Answer::Failed { id, cause, what: error.what });
            }
            Outcome::Halted(error) => {
                self.answer(Answer::Failed { id, cause: Cause::Error, what: error.what });
            }
            Outcome::Stopped => self.answer(Answer::Stopped { id }),
        }
    }

    fn prepare_all(&self, orders: &Receiver<(u64, ModelOrder)>) {
        for (id, order) in orders {
            let prepared = catch_unwind(AssertUnwindSafe(|| self.models.prepare(&order)));
            self.answer(match prepared {
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
                self.answer(Answer::Progress { id, done });
            }
            self.models.shed(false);
        }
    }

    fn answer(&self, answer: Answer) {
        self.say(Say::Answer(answer, Vec::new()));
    }

    fn say(&self, say: Say) {
        // The writing thread ends with the process only.
        let _ = self.answers.send(say);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
