//! Threads that share out the tasks of a loop.
//!
//! A step of a network is tens of loops, each well under a millisecond. A thread that sleeps between them is woken too
//! late for many (some 50 µs, more on a virtual machine), so these look out for the next loop for a while first.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread looks out for the next loop before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// Threads that help whoever runs a loop.
pub struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// A loop is shared out; others meanwhile go on on their callers alone.
    taken: AtomicBool,
}

/// The tasks of a loop.
#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

/// A value in cache lines of its own.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    /// Odd while there is a loop to help with.
    turn: Line<AtomicUsize>,
    /// Helpers that may look at the job.
    inside: Line<AtomicUsize>,
    /// The next task that nobody has begun.
    next: Line<AtomicUsize>,
    job: UnsafeCell<Option<Job>>,
    /// What a helper's task panicked with.
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: AtomicUsize,
    ended: AtomicBool,
    bed: Mutex<()>,
    bell: Condvar,
}

// SAFETY: the job is written only while no loop is open and no helper is at work ([`Team::share`]), and read only by helpers
// that came in before they saw a loop open ([`Shared::help`]); what it points to may be called from several threads.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}

impl Team {
    /// A team of `count` threads, the caller's among them, for so many cores.
    pub fn new(count: usize, cores: usize) -> Self {
        let shared = Arc::new(Shared {
            turn: Line(AtomicUsize::new(0)),
            inside: Line(AtomicUsize::new(0)),
            next: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            panicked: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            bed: Mutex::new(()),
            bell: Condvar::new(),
        });
        // With more threads than cores the one looked out for could be waiting for this very core.
        let patience = if count > cores { Duration::ZERO } else { PATIENCE };
        let helpers = (1..count.max(1)).map_while(|i| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("kernel {i}")).spawn(move || shared.serve(patience)).ok()
        });
        let helpers = helpers.collect();
        Self { shared, helpers, taken: AtomicBool::new(false) }
    }

    /// How many threads run a loop.
    pub fn count(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Runs `task(0)` to `task(tasks - 1)`, in any order, and returns when all are done. While another loop has the team,
    /// and within a task, the caller runs them alone.
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        for first in 0..tasks {
            let many = tasks - first > 1 && !self.helpers.is_empty();
            if many && !self.taken.load(Ordering::Relaxed) && !self.taken.swap(true, Ordering::Acquire) {
                return self.share(tasks - first, &|i| task(first + i));
            }
            task(first);
        }
    }

    /// Shares out a loop; the team has been taken for it.
    fn share(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        let task: *const (dyn Fn(usize) + Sync) = task;
        // SAFETY: only the lifetime changes, and no helper is inside after this function.
        let task: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let job = Job { task, tasks };
        // SAFETY: this is the only loop, and the last one has waited until no helper was at work. One that comes in now looks
        // at the job only when it sees this loop open, which is later.
        unsafe { *shared.job.get() = Some(job) };
        shared.next.0.store(0, Ordering::Relaxed);
        shared.turn.0.fetch_add(1, Ordering::SeqCst);
        shared.wake(tasks - 1);
        // SAFETY: the task is the caller's.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { shared.work(job) }));
        shared.turn.0.fetch_add(1, Ordering::SeqCst);
        // A helper that came in before sees the loop to its end; one that comes later finds it closed.
        let mut looks = 0;
        while shared.inside.0.load(Ordering::SeqCst) > 0 {
            looks += 1;
            if looks % 4096 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        let panicked = shared.panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.taken.store(false, Ordering::Release);
        if let Some(reason) = outcome.err().or(panicked) {
            resume_unwind(reason);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        drop(self.shared.bed.lock());
        self.shared.bell.notify_all();
        for helper in self.helpers.drain(..) {
            let _ = helper.join();
        }
    }
}

impl Shared {
    /// Whether there is a loop other than `seen`, or no more will come.
    fn called(&self, seen: usize) -> bool {
        let turn = self.turn.0.load(Ordering::SeqCst);
        (turn % 2 == 1 && turn != seen) || self.ended.load(Ordering::SeqCst)
    }

    /// The life of a helper.
    fn serve(&self, patience: Duration) {
        let mut seen = 0;
        while !self.ended.load(Ordering::SeqCst) {
            let mut since = Instant::now();
            while !self.called(seen) {
                if since.elapsed() < patience {
                    (0..16).for_each(|_| std::hint::spin_loop());
                    continue;
                }
                let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
                // Who opens a loop looks for sleepers after; who sleeps looks for a loop after it said so.
                self.asleep.fetch_add(1, Ordering::SeqCst);
                if !self.called(seen) {
                    bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                drop(bed);
                // The loop may be over, but the next is not far.
                since = Instant::now();
            }
            self.inside.0.fetch_add(1, Ordering::SeqCst);
            seen = self.help();
            self.inside.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Takes part in the loop that is open; who calls this is counted as inside.
    fn help(&self) -> usize {
        let turn = self.turn.0.load(Ordering::SeqCst);
        if turn % 2 == 1 {
            // SAFETY: the loop was seen open from the inside, so that whoever runs it waits before anything changes.
            let worked = catch_unwind(AssertUnwindSafe(|| unsafe { (*self.job.get()).map(|job| self.work(job)) }));
            if let Err(reason) = worked {
                *self.panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
        }
        turn
    }

    /// Runs tasks until none is left to begin.
    ///
    /// # Safety
    /// The task of the job must be alive.
    unsafe fn work(&self, job: Job) {
        // SAFETY: it is alive.
        let task = unsafe { &*job.task };
        loop {
            let i = self.next.0.fetch_add(1, Ordering::Relaxed);
            if i >= job.tasks {
                return;
            }
            task(i);
        }
    }

    fn wake(&self, wanted: usize) {
        let asleep = self.asleep.load(Ordering::SeqCst);
        if asleep > 0 {
            drop(self.bed.lock());
            (0..asleep.min(wanted)).for_each(|_| self.bell.notify_one());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        let team = Team::new(3, 3);
        for tasks in [0, 1, 2, 3, 50] {
            for _ in 0..100 {
                let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.run(tasks, &|i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1), "{tasks} tasks");
            }
        }
    }

    #[test]
    fn sleepers_are_woken() {
        let team = Team::new(2, 2);
        let both = std::sync::Barrier::new(2);
        for _ in 0..3 {
            std::thread::sleep(3 * PATIENCE);
            // Ends only when each of the two tasks has a thread.
            team.run(2, &|_| {
                both.wait();
            });
        }
    }

    #[test]
    fn a_loop_is_shared_out_once_another_is_over() {
        let team = Team::new(2, 2);
        let (taken, begun, both) = (AtomicBool::new(true), AtomicUsize::new(0), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                team.run(2, &|_| {
                    while taken.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                });
            });
            while !team.taken.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // The first task runs alone; the others end only when each has a thread.
            team.run(3, &|_| match begun.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    taken.store(false, Ordering::SeqCst);
                    while team.taken.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                }
                _ => {
                    both.wait();
                }
            });
        });
    }

    #[test]
    fn loops_within_loops_and_of_several_callers_end() {
        let team = Team::new(2, 2);
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    team.run(10, &|_| {
                        team.run(10, &|_| {
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                });
            }
        });
        assert_eq!(done.into_inner(), 300);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(2, 2);
        let both = std::sync::Barrier::new(2);
        for panicking in [0, 1] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                team.run(2, &|i| {
                    both.wait();
                    assert_ne!(i, panicking, "as it should");
                });
            }));
            assert!(outcome.is_err());
        }
        team.run(2, &|_| {
            both.wait();
        });
    }
}
