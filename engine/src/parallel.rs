//! Work that is split among the threads of a pool, by code that does not know which.
//!
//! A thread of rayon's that waits for its part of some work takes up whatever else waits, and comes back
//! when that is done. If chunks were such work, one that is nearly done would wait for all of one
//! that came later, again and again. So chunks run on threads of their own, and only short sections
//! of them on rayon's.

use std::{cell::RefCell, sync::Arc};

use rayon::ThreadPool;

thread_local! {
    static POOL: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// From now on [`across`] uses `pool` when called on this thread, which is none of the pool's.
pub(crate) fn use_pool(pool: Arc<ThreadPool>) {
    POOL.set(Some(pool));
}

/// Does `section` with its rayon work spread over the pool of this thread, or, on a thread that has
/// none, wherever rayon takes it. Another chunk may have to wait for a section, so it is to be one step
/// of the work, a tenth of a second or so on all threads.
pub(crate) fn across<R: Send>(section: impl FnOnce() -> R + Send) -> R {
    match POOL.with_borrow(Clone::clone) {
        Some(pool) => pool.install(section),
        None => section(),
    }
}
