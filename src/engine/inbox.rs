//! What the window asks of the engine, in order, without what newer requests made pointless.

use super::mailbox::lock;
use super::protocol::Request;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// A queue of requests that stays short: a request that a newer one replaces is taken out when that arrives, so a
/// slider sends as often as it likes.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    closed: bool,
}

impl Inbox {
    /// Adds a request; never waits for the engine.
    pub fn send(&self, request: Request) {
        let mut state = lock(&self.state);
        state.requests.retain(|waiting| !waiting.is_replaced_by(&request));
        state.requests.push_back(request);
        self.changed.notify_one();
    }

    /// Everything that waits, without waiting for more; `None` once closed.
    pub fn drain(&self) -> Option<Vec<Request>> {
        let mut state = lock(&self.state);
        (!state.closed).then(|| state.requests.drain(..).collect())
    }

    /// Everything that waits, and at least one request; `None` once closed.
    pub fn wait(&self) -> Option<Vec<Request>> {
        let mut state = lock(&self.state);
        while state.requests.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.closed).then(|| state.requests.drain(..).collect())
    }

    /// Ends the engine after its present step.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{DIRECTIONS, JobId};

    #[test]
    fn scrubbing_does_not_pile_up() {
        let inbox = Inbox::default();
        let job = JobId::new();
        inbox.send(Request::Pause(job));
        for i in 0..1000 {
            inbox.send(Request::Scrub { job, start: 0, offsets: [i as f32; DIRECTIONS] });
        }
        let waiting = inbox.drain().unwrap();
        assert_eq!(waiting.len(), 2);
        assert!(matches!(waiting[1], Request::Scrub { offsets, .. } if offsets[0] == 999.0));
    }

    #[test]
    fn pausing_back_and_forth_does_not_pile_up() {
        let inbox = Inbox::default();
        let job = JobId::new();
        for _ in 0..1000 {
            inbox.send(Request::Pause(job));
            inbox.send(Request::Continue(job));
        }
        let waiting = inbox.drain().unwrap();
        assert!(matches!(waiting[..], [Request::Continue(_)]), "{waiting:?}");
    }

    #[test]
    fn closing_ends_the_wait() {
        let inbox = std::sync::Arc::new(Inbox::default());
        let other = inbox.clone();
        let thread = std::thread::spawn(move || other.wait().is_none());
        inbox.close();
        assert!(thread.join().unwrap());
    }
}
