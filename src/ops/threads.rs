//! How many threads the kernels may use: one setting for the whole program.

use rayon::prelude::*;
use std::sync::{Arc, RwLock};

static POOL: RwLock<Option<Arc<rayon::ThreadPool>>> = RwLock::new(None);

/// The number of threads that is used when nobody says otherwise: one for every core.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Sets the number of threads for all kernels from now on; 0 means [`available`].
pub fn set(count: usize) {
    let count = if count == 0 { available() } else { count };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|i| format!("kernel {i}"))
        .build()
        .ok()
        .map(Arc::new);
    *POOL.write().unwrap_or_else(std::sync::PoisonError::into_inner) = pool;
}

/// The number of threads in use.
pub fn count() -> usize {
    pool().current_num_threads()
}

fn pool() -> Arc<rayon::ThreadPool> {
    let current = POOL.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    current.unwrap_or_else(|| {
        set(0);
        pool()
    })
}

/// Runs `task(0)` to `task(tasks - 1)`, in any order, and returns when all are done.
pub fn for_each(tasks: usize, task: impl Fn(usize) + Sync + Send) {
    let pool = pool();
    if tasks <= 1 || pool.current_num_threads() == 1 {
        (0..tasks).for_each(task);
    } else {
        pool.install(|| (0..tasks).into_par_iter().with_max_len(1).for_each(task));
    }
}

/// Runs `work` on one of the threads, so that the pieces of work inside it need not be handed over one by one.
pub fn within<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = pool();
    if pool.current_num_threads() == 1 { work() } else { pool.install(work) }
}

/// Splits `data` into pieces of `length` (the last may be shorter) and runs `task(index, piece)` on each.
pub fn for_each_chunk<T: Send>(data: &mut [T], length: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    let pool = pool();
    if data.len() <= length || pool.current_num_threads() == 1 {
        data.chunks_mut(length.max(1)).enumerate().for_each(|(i, piece)| task(i, piece));
    } else {
        pool.install(|| data.par_chunks_mut(length).enumerate().for_each(|(i, piece)| task(i, piece)));
    }
}
