//! A training on a thread of its own, watched by the window. Facts travel through a queue, the state through a mailbox
//! that holds the newest only; all that is asked is heard between two steps.

mod protocol;
mod worker;

pub use protocol::{TrainingEvent, TrainingFrame, TrainingStage};

use super::{EngineSettings, Mailbox, Queue, Wake};
use crate::workshop::Recipe;
use crate::{Because, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Facts that the window has not read yet.
const EVENTS: usize = 64;

/// What both ends share.
struct Shared {
    wishes: Mutex<Wishes>,
    /// Something was asked for.
    asked: Condvar,
    frames: Mailbox<Arc<TrainingFrame>>,
    events: Queue<TrainingEvent>,
    over: AtomicBool,
}

/// What the window asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Wishes {
    pause: bool,
    stop: bool,
    try_now: bool,
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes());
        self.asked.notify_all();
    }
}

/// The window's end of a training; dropping it stops the training after its present step, with all it has reached on
/// the disk.
pub struct Training {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Training {
    /// Starts a training whose model goes to `out`, or goes on with one that was stopped there (`resume`; the recipe is
    /// then the one it was started with). Never waits: what is wrong comes as [`TrainingEvent::Failed`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(recipe: Recipe, out: PathBuf, resume: bool, settings: EngineSettings, wake: Wake) -> Result<Self> {
        let shared = Arc::new(Shared {
            wishes: Mutex::default(),
            asked: Condvar::new(),
            frames: Mailbox::new(wake.clone()),
            events: Queue::new(EVENTS, wake),
            over: AtomicBool::new(false),
        });
        let inside = shared.clone();
        let thread = std::thread::Builder::new()
            .name("counterpart-training".into())
            .spawn(move || worker::run(recipe, &out, resume, settings, &inside))
            .because(|| "The system gave no thread for the training; close other programs and try again.")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Holds after the present step.
    pub fn pause(&self) {
        self.shared.ask(|wishes| wishes.pause = true);
    }

    /// Goes on after a pause.
    pub fn go_on(&self) {
        self.shared.ask(|wishes| wishes.pause = false);
    }

    /// Ends after the present step; a checkpoint is written first.
    pub fn stop(&self) {
        self.shared.ask(|wishes| wishes.stop = true);
    }

    /// Writes the model as it is, to be tried; answered by [`TrainingEvent::Tried`]. Possible from the first step of the
    /// mapping on; before, the answer is [`TrainingEvent::NotYet`].
    pub fn try_now(&self) {
        self.shared.ask(|wishes| wishes.try_now = true);
    }

    /// The newest state, when one came since the last call.
    pub fn frame(&self) -> Option<Arc<TrainingFrame>> {
        self.shared.frames.take()
    }

    /// The facts since the last call.
    pub fn events(&self) -> Vec<TrainingEvent> {
        self.shared.events.drain()
    }

    /// Whether it has ended, one way or another.
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }
}

impl Drop for Training {
    /// Waits for the checkpoint: a training that was hours on its way is worth a moment.
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
