//! The two ways from the engine to the window: facts are queued, pictures are overwritten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks the window for a frame; called from the engine's thread, so it must return at once.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A slot that holds the newest value only: a slow reader misses values, never the last one.
pub struct Mailbox<T> {
    slot: Mutex<Option<T>>,
    wake: Wake,
}

impl<T> Mailbox<T> {
    /// An empty mailbox that calls `wake` when a value arrives in it while it is empty.
    pub fn new(wake: Wake) -> Self {
        Self { slot: Mutex::new(None), wake }
    }

    /// Puts a value in, over the one that was not read. Wakes the reader only when the slot was empty: one that has
    /// not come yet for the last value will find this one.
    pub fn put(&self, value: T) {
        let was_empty = lock(&self.slot).replace(value).is_none();
        if was_empty {
            (self.wake)();
        }
    }

    /// Takes the newest value, if one came since the last call.
    pub fn take(&self) -> Option<T> {
        lock(&self.slot).take()
    }

    /// Whether the reader has taken the last value, so that a new one is worth making.
    pub fn is_empty(&self) -> bool {
        lock(&self.slot).is_none()
    }
}

/// A bounded queue of facts in their order. The writer never waits: should a reader be away for longer than the queue
/// lasts, the oldest fact goes.
pub struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    capacity: usize,
    wake: Wake,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` facts.
    pub fn new(capacity: usize, wake: Wake) -> Self {
        Self { items: Mutex::new(VecDeque::new()), capacity: capacity.max(1), wake }
    }

    /// Adds a fact and wakes the reader when there was none before.
    pub fn push(&self, item: T) {
        let was_empty = {
            let mut items = lock(&self.items);
            let was_empty = items.is_empty();
            if items.len() == self.capacity {
                items.pop_front();
            }
            items.push_back(item);
            was_empty
        };
        if was_empty {
            (self.wake)();
        }
    }

    /// All facts since the last call, the oldest first.
    pub fn drain(&self) -> Vec<T> {
        lock(&self.items).drain(..).collect()
    }
}

/// A panic elsewhere does not make the values behind the lock wrong: they are replaced whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counted() -> (Wake, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let inside = count.clone();
        (Arc::new(move || _ = inside.fetch_add(1, Ordering::SeqCst)), count)
    }

    #[test]
    fn the_last_value_always_arrives_and_wakes_once() {
        let (wake, woken) = counted();
        let mailbox = Mailbox::new(wake);
        (0..1000).for_each(|value| mailbox.put(value));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(mailbox.take(), Some(999));
        assert_eq!(mailbox.take(), None);
        mailbox.put(5);
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        assert!(!mailbox.is_empty());
    }

    #[test]
    fn across_threads_the_last_value_arrives() {
        let (wake, _) = counted();
        let mailbox = Arc::new(Mailbox::new(wake));
        let writer = mailbox.clone();
        let thread = std::thread::spawn(move || (0..10_000).for_each(|value| writer.put(value)));
        let mut last = -1;
        while last != 9_999 {
            if let Some(value) = mailbox.take() {
                assert!(value > last, "values must not go back: {value} after {last}");
                last = value;
            }
        }
        thread.join().unwrap();
    }

    #[test]
    fn the_queue_keeps_order_and_never_grows() {
        let (wake, woken) = counted();
        let queue = Queue::new(4, wake);
        (0..10).for_each(|fact| queue.push(fact));
        assert_eq!(queue.drain(), [6, 7, 8, 9]);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert!(queue.drain().is_empty());
    }
}
