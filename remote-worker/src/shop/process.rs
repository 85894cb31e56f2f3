//! The computing process, seen from the worker.

use std::{
    ffi::OsString,
    io::BufReader,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{Error, ErrorKind, Result};

use crate::bench::{Answer, Order, read_frame, read_payload, write_frame};

/// Orders that may wait to be written.
const MOST_ORDERS: usize = 256;

/// How to start it.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The program `stemhive-worker`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Told what the process says and that it ended, from a thread of its own.
pub(super) trait Listener: Send + 'static {
    fn said(&self, answer: Answer, payload: Vec<u8>);
    fn ended(&self, how: String);
}

/// A running process. When it is dropped, the process's input ends, and so does the process.
pub(super) struct Process {
    orders: Sender<(Order, Vec<u8>)>,
    child: Arc<Mutex<Child>>,
    pub(super) pid: u32,
}

impl Process {
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(config: &ProcessConfig, listener: impl Listener) -> Result<Self> {
        let failed = |e| Error::io("start", &config.program, e);
        let mut command = Command::new(&config.program);
        command.args(&config.args).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl+C in a terminal is for the worker, which lets running chunks end.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(failed)?;
        let no_pipe = || failed(std::io::ErrorKind::BrokenPipe.into());
        let mut input = child.stdin.take().ok_or_else(no_pipe)?;
        let output = child.stdout.take().ok_or_else(no_pipe)?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let (orders, to_write): (_, Receiver<(Order, Vec<u8>)>) = bounded(MOST_ORDERS);
        spawn("orders", move || {
            // What cannot be written is known by the end of its output.
            for (order, payload) in to_write {
                if write_frame(&mut input, &order, [&*payload]).is_err() {
                    break;
                }
            }
        })?;
        let of_reader = Arc::clone(&child);
        spawn("answers", move || {
            let mut output = BufReader::new(output);
            let error = loop {
                match next(&mut output) {
                    Ok(Some((answer, payload))) => listener.said(answer, payload),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let status = end(&of_reader);
            listener.ended(match (status, error) {
                (Some(status), _) if !status.success() => status.to_string(),
                (_, Some(error)) => error.what,
                _ => "it stopped".to_owned(),
            });
        })?;
        Ok(Self { orders, child, pid })
    }

    /// Sends an order; whether there was room for it. Never waits.
    pub(super) fn order(&self, order: Order, payload: Vec<u8>) -> bool {
        self.orders.try_send((order, payload)).is_ok()
    }

    /// Ends it at once; its listener is told.
    pub(super) fn kill(&self) {
        // One that ended already is as good.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

fn next(output: &mut BufReader<std::process::ChildStdout>) -> Result<Option<(Answer, Vec<u8>)>> {
    let Some(answer) = read_frame(output)? else { return Ok(None) };
    let payload = match answer {
        Answer::Done { payload_bytes, .. } => read_payload(output, payload_bytes)?,
        _ => Vec::new(),
    };
    Ok(Some((answer, payload)))
}

/// Makes sure that a process whose answers ended is gone, and leaves no zombie.
fn end(child: &Mutex<Child>) -> Option<ExitStatus> {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It may be about to end by itself, with a status that says more than ours would.
    for _ in 0..20 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let _ = child.kill();
    child.wait().ok()
}

/// A named thread.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|e| {
        Error::new(ErrorKind::Internal, "The system gives no more threads").caused_by(e)
    })
}
