//! How many threads the kernels may use: one setting for the whole program.

use super::simd::Team;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

static TEAM: RwLock<Option<Arc<Team>>> = RwLock::new(None);

/// The number of threads that is used when nobody says otherwise: one for every core.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Sets the number of threads for all kernels from now on; 0 means [`available`].
pub fn set(count: usize) {
    let team = team_of(count);
    *TEAM.write().unwrap_or_else(PoisonError::into_inner) = Some(team);
}

fn team_of(count: usize) -> Arc<Team> {
    let cores = available();
    Arc::new(Team::new(if count == 0 { cores } else { count }, cores))
}

/// The number of threads in use.
pub fn count() -> usize {
    team().count()
}

fn team() -> Arc<Team> {
    let current = TEAM.read().unwrap_or_else(PoisonError::into_inner).clone();
    current.unwrap_or_else(|| {
        let mut current = TEAM.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(current.get_or_insert_with(|| team_of(0)))
    })
}

/// Runs `task(0)` to `task(tasks - 1)`, in any order, and returns when all are done.
pub fn for_each(tasks: usize, task: impl Fn(usize) + Sync + Send) {
    team().run(tasks, &task);
}

/// Splits `data` into pieces of `length` (the last may be shorter) and runs `task(index, piece)` on each.
pub fn for_each_chunk<T: Send>(data: &mut [T], length: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    let pieces = data.chunks_mut(length.max(1));
    let team = team();
    if pieces.len() <= 1 || team.count() == 1 {
        return pieces.enumerate().for_each(|(i, piece)| task(i, piece));
    }
    let pieces: Vec<_> = pieces.map(Mutex::new).collect();
    team.run(pieces.len(), &|i| task(i, &mut pieces[i].lock().unwrap_or_else(PoisonError::into_inner)));
}
