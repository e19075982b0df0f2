//! The thread that owns every tensor: requests in, events and frames out.
//!
//! Facts travel through a bounded queue, pictures through mailboxes that hold the newest only, so a slow window never
//! slows the engine and memory never grows. All requests are heard between two steps. A panic becomes a
//! [`Event::Failed`], and a new engine takes over with the same model.

mod inbox;
mod mailbox;
mod method;
mod protocol;
mod session;
#[cfg(test)]
mod tests;
pub mod training;

pub use inbox::Inbox;
pub use mailbox::{Mailbox, Queue, Wake};
pub use method::NamMethod;
pub use protocol::{
    Curves, DIRECTIONS, Ending, Event, FindSettings, Frame, JobId, ModelCard, ModelSource, Problem, Request,
    ScrubFrame, Solution, SolveDevice, StartFrom,
};
pub use session::{Activity, Method, Session, Step};

use crate::gpu::Screen;
use crate::{Because, Result, ops};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Facts that the window has not read yet; far more than it asks for between two frames.
const EVENTS: usize = 256;

/// What comes out of the engine.
pub struct Outbox {
    /// Facts, in order.
    pub events: Queue<Event>,
    /// The newest state of the search.
    pub frames: Mailbox<Arc<Frame>>,
    /// The newest answer to the sliders.
    pub scrubs: Mailbox<Arc<ScrubFrame>>,
}

impl Outbox {
    /// An empty outbox that calls `wake` when something comes into an empty part of it.
    pub fn new(wake: Wake) -> Self {
        Self {
            events: Queue::new(EVENTS, wake.clone()),
            frames: Mailbox::new(wake.clone()),
            scrubs: Mailbox::new(wake),
        }
    }
}

/// The window's end of the engine; dropping it ends the engine after its present step.
pub struct Engine {
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
}

/// How the engine uses the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Threads for the kernels; `None` leaves one core to the window.
    pub threads: Option<usize>,
}

impl EngineSettings {
    /// The number of threads on this machine.
    pub fn thread_count(&self) -> usize {
        let cores = ops::threads::available();
        self.threads.unwrap_or(cores.saturating_sub(1)).clamp(1, cores)
    }
}

impl Engine {
    /// Starts the engine with the real method on the CPU, for a window that draws with the screen's device.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(settings: EngineSettings, screen: Screen, wake: Wake) -> Result<Self> {
        let threads = settings.thread_count();
        let make = move || {
            // The kernels' threads are made here, and so are as modest as this one.
            yield_to_the_window();
            ops::threads::set(threads);
            NamMethod::new(candle_core::Device::Cpu, screen.clone())
        };
        Self::start_with(make, wake)
    }

    /// Starts the engine's thread with a way to make its method: called on that thread, and again after a panic.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_with<M: Method>(make: impl Fn() -> M + Send + 'static, wake: Wake) -> Result<Self> {
        let (inbox, outbox) = (Arc::new(Inbox::default()), Arc::new(Outbox::new(wake)));
        let engine = Self { inbox: inbox.clone(), outbox: outbox.clone() };
        std::thread::Builder::new()
            .name("counterpart-engine".into())
            .spawn(move || supervise(&make, &inbox, &outbox))
            .because(|| "The system gave no thread for the computations; close other programs and try again.")?;
        Ok(engine)
    }

    /// Asks for something; never waits.
    pub fn send(&self, request: Request) {
        self.inbox.send(request);
    }

    /// The facts since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.outbox.events.drain()
    }

    /// The newest frame, when one came since the last call.
    pub fn frame(&self) -> Option<Arc<Frame>> {
        self.outbox.frames.take()
    }

    /// The newest answer to the sliders, when one came since the last call.
    pub fn scrub(&self) -> Option<Arc<ScrubFrame>> {
        self.outbox.scrubs.take()
    }
}

/// Lowers the priority of the calling thread and of those that it starts, so that the window's frames come first
/// wherever both want the same core.
fn yield_to_the_window() {
    #[cfg(target_os = "linux")]
    {
        // On Linux the value belongs to the thread. It may be there already: a second engine must not go lower still.
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            log::info!("the thread keeps its priority: {error}");
        }
    }
}

/// The priority, ten steps down from the usual one: a tenth of the window's share of a core that both want.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

impl Drop for Engine {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Runs sessions until the window is gone; after a panic another one begins, with the model of the last.
fn supervise<M: Method>(make: &dyn Fn() -> M, inbox: &Inbox, outbox: &Outbox) {
    let mut model: Option<Request> = None;
    loop {
        // A model that makes the engine panic must not be loaded again and again.
        let restore = model.take();
        let ended = catch_unwind(AssertUnwindSafe(|| serve(make, restore, &mut model, inbox, outbox)));
        match ended {
            Ok(()) => return,
            Err(payload) => {
                let cause = payload
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_else(|| "the cause is unknown".into());
                let sentence = "The computation broke down and was started anew; start the search again, and please \
                                report this with the lines below.";
                let problem = Problem { sentence: sentence.into(), causes: vec![cause] };
                outbox.events.push(Event::Failed { job: None, problem });
            }
        }
    }
}

/// One session, until the inbox closes.
fn serve<M: Method>(
    make: &dyn Fn() -> M,
    restore: Option<Request>,
    model: &mut Option<Request>,
    inbox: &Inbox,
    outbox: &Outbox,
) {
    let mut session = Session::new(make());
    let mut pending: Vec<Request> = restore.into_iter().collect();
    loop {
        for request in pending.drain(..) {
            let (job, loads) = (request.job(), matches!(request, Request::LoadModel { .. }).then(|| request.clone()));
            match session.handle(request, outbox) {
                Ok(()) => *model = loads.or(model.take()),
                Err(error) => outbox.events.push(Event::Failed { job, problem: error.into() }),
            }
        }
        let job = session.job();
        let activity = session.step(outbox).unwrap_or_else(|error| {
            outbox.events.push(Event::Failed { job, problem: error.into() });
            Activity::Idle
        });
        let requests = if activity == Activity::Busy { inbox.drain() } else { inbox.wait() };
        match requests {
            Some(requests) => pending = requests,
            None => return,
        }
    }
}
