//! One slice that the tasks of a parallel loop write together.

use super::LANES;
use super::prefetch::line;
use std::marker::PhantomData;

#[cfg(test)]
use std::sync::atomic::{AtomicU32, Ordering};

/// Floats that tasks write, each task its own: which task has which floats is for the loop to settle, and in tests
/// every write is checked against those of the others.
pub struct Sharing<'a> {
    start: *mut f32,
    length: usize,
    /// The task that wrote each float, plus one.
    #[cfg(test)]
    owners: Vec<AtomicU32>,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: nothing is read or written but through the tasks, which write different floats and read none but their own.
unsafe impl Sync for Sharing<'_> {}
unsafe impl Send for Sharing<'_> {}

/// A task's way to the floats it writes.
#[derive(Clone, Copy)]
pub struct Share<'a> {
    start: *mut f32,
    length: usize,
    #[cfg(test)]
    owners: &'a [AtomicU32],
    #[cfg(test)]
    task: u32,
    slice: PhantomData<&'a ()>,
}

impl<'a> Sharing<'a> {
    /// Shares a slice.
    pub fn new(values: &'a mut [f32]) -> Self {
        Self::of_memory(values.as_mut_ptr(), values.len())
    }

    fn of_memory(start: *mut f32, length: usize) -> Self {
        Self {
            start,
            length,
            #[cfg(test)]
            owners: (0..length).map(|_| AtomicU32::new(0)).collect(),
            slice: PhantomData,
        }
    }

    /// The way for a task. Tasks of different numbers must write different floats.
    #[inline]
    pub fn task(&self, _number: usize) -> Share<'_> {
        Share {
            start: self.start,
            length: self.length,
            #[cfg(test)]
            owners: &self.owners,
            #[cfg(test)]
            task: _number as u32 + 1,
            slice: PhantomData,
        }
    }
}

impl<'a> Share<'a> {
    /// The place of the first of `length` floats that this task writes.
    ///
    /// # Panics
    /// When they are not all there.
    #[inline]
    pub(super) fn claim(self, at: usize, length: usize) -> *mut f32 {
        assert!(at <= self.length && length <= self.length - at, "a task writes outside of what is shared");
        #[cfg(test)]
        self.note(at, length);
        self.start.wrapping_add(at)
    }

    /// As [`Share::claim`] for vectors of sixteen at `at + places[n]`, of which `last` is the last.
    #[inline]
    pub(super) fn claim_places(self, at: usize, _places: &[usize], last: usize) -> *mut f32 {
        let inside = at <= self.length && last <= self.length - at && LANES <= self.length - at - last;
        assert!(inside, "a task writes outside of what is shared");
        #[cfg(test)]
        _places.iter().for_each(|place| self.note(at + place, LANES));
        self.start.wrapping_add(at)
    }

    /// As [`Share::claim`] for `count` vectors of sixteen, each `stride` floats after the one before, that take in `all`
    /// floats.
    #[inline]
    pub(super) fn claim_vectors(self, at: usize, _count: usize, _stride: usize, all: usize) -> *mut f32 {
        assert!(at <= self.length && all <= self.length - at, "a task writes outside of what is shared");
        #[cfg(test)]
        (0.._count).for_each(|i| self.note(at + i * _stride, LANES));
        self.start.wrapping_add(at)
    }

    /// As [`Share::claim`] for `count` rows of `length` floats, each `stride` floats after the one before.
    #[inline]
    pub(super) fn claim_rows(self, at: usize, count: usize, stride: usize, length: usize) -> *mut f32 {
        let last = (count - 1).checked_mul(stride).and_then(|last| last.checked_add(at));
        let inside = last.is_some_and(|last| last <= self.length && length <= self.length - last);
        assert!(inside, "a task writes outside of what is shared");
        #[cfg(test)]
        (0..count).for_each(|i| self.note(at + i * stride, length));
        self.start.wrapping_add(at)
    }

    /// How many floats are shared.
    #[inline]
    pub(super) fn length(self) -> usize {
        self.length
    }

    #[cfg(test)]
    fn note(&self, at: usize, length: usize) {
        for owner in &self.owners[at..at + length] {
            let before = owner.swap(self.task, Ordering::Relaxed);
            assert!(before == 0 || before == self.task, "two tasks write one float");
        }
    }

    /// Lets `work` see and write `length` floats from `at` on.
    ///
    /// # Panics
    /// When they are not all there.
    #[inline]
    pub fn with<R>(self, at: usize, length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        let start = self.claim(at, length);
        // SAFETY: the floats are there, and this task's alone.
        work(unsafe { std::slice::from_raw_parts_mut(start, length) })
    }

    /// Asks for the floats around a place that will be written soon.
    #[inline]
    pub fn prefetch(self, at: usize) {
        line::<false>(self.start.wrapping_add(at));
    }

    /// Writes one float.
    ///
    /// # Panics
    /// When it is not there.
    #[inline]
    pub fn set(self, at: usize, value: f32) {
        // SAFETY: the float is there, and this task's alone.
        unsafe { self.claim(at, 1).write(value) };
    }
}

/// A vector of `length` floats that the tasks of `fill` write, all of them.
pub fn filled(length: usize, fill: impl FnOnce(&Sharing)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(length);
    let sharing = Sharing::of_memory(values.as_mut_ptr(), length);
    fill(&sharing);
    #[cfg(test)]
    assert!(sharing.owners.iter().all(|owner| owner.load(Ordering::Relaxed) > 0), "a float was left unwritten");
    // SAFETY: the capacity is there, and the tasks have written every float.
    unsafe { values.set_len(length) };
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_write_their_own() {
        let mut values = [0.0; 8];
        let sharing = Sharing::new(&mut values);
        sharing.task(0).with(0, 4, |part| part.fill(1.0));
        sharing.task(1).set(7, 2.0);
        drop(sharing);
        assert_eq!(values, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "two tasks write one float")]
    fn what_another_task_wrote_is_refused() {
        let mut values = [0.0; 8];
        let sharing = Sharing::new(&mut values);
        sharing.task(0).set(3, 1.0);
        sharing.task(1).with(2, 2, |part| part.fill(1.0));
    }

    #[test]
    #[should_panic(expected = "outside of what is shared")]
    fn what_is_not_there_is_refused() {
        let mut values = [0.0; 8];
        Sharing::new(&mut values).task(0).with(6, 3, |part| part.fill(1.0));
    }

    #[test]
    #[should_panic(expected = "left unwritten")]
    fn what_nobody_writes_is_noticed() {
        filled(3, |to| to.task(0).set(1, 1.0));
    }
}
