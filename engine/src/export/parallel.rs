//! Several files at once, on as many threads as there are cores.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::error::{Error, ErrorKind, Result};

/// Runs `work(0..count)` on named threads and collects the results in order. After a failure
/// nothing new starts, and the failure that is not a mere [`ErrorKind::Cancelled`] is returned.
///
/// # Errors
/// The first failure of `work`; [`ErrorKind::Internal`] if it panics.
pub(super) fn in_parallel<T: Send>(
    name: &str,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(count);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(count));
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                break;
            }
            let result = work(i);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|t| thread::Builder::new().name(format!("{name}-{t}")).spawn_scoped(scope, run))
            .collect();
        let mut outcome = Ok(());
        for handle in handles {
            outcome = outcome.and(match handle {
                Ok(handle) => handle.join().map_err(|_| {
                    Error::new(ErrorKind::Internal, "A thread of the export panicked")
                }),
                Err(cause) => Err(Error::new(
                    ErrorKind::Internal,
                    format!("No thread could be started for the export: {cause}"),
                )),
            });
        }
        outcome
    })?;

    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(i, result)| {
        (!result.as_ref().is_err_and(|e| e.kind != ErrorKind::Cancelled), *i)
    });
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_real_failure_wins() {
        let squares = in_parallel("test", 20, |i| Ok(i * i)).unwrap();
        assert_eq!(squares, (0..20).map(|i| i * i).collect::<Vec<_>>());
        let error = in_parallel("test", 20, |i| match i {
            0 => Err(Error::cancelled()),
            1 => Err(Error::new(ErrorKind::DiskFull, "full")),
            _ => Ok(()),
        });
        // Item 1 may never start after item 0 failed; if it did, it wins.
        let kind = error.unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::DiskFull | ErrorKind::Cancelled));
        assert_eq!(
            in_parallel::<()>("test", 2, |_| panic!("on purpose")).unwrap_err().kind,
            ErrorKind::Internal
        );
    }
}
