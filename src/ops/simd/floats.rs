//! Memory that begins on a cache line: vectors that cross lines would cost every load twice.

use super::LANES;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; LANES]);

/// Aligned floats, in whole lines of sixteen; they start as zeros.
#[derive(Clone, Default)]
pub struct Floats(Vec<Line>);

impl Floats {
    /// At least `length` zeros.
    pub fn zeros(length: usize) -> Self {
        Self(vec![Line([0.0; LANES]); length.div_ceil(LANES)])
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen floats without gaps.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LANES) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LANES) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `length` floats of this thread's scratch memory, whose contents are undefined and which start on
/// a cache line.
pub fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with(|scratch| {
        // Taken out for the time of the work, so that a nested use gets memory of its own.
        let mut memory = scratch.take();
        if memory.len() < length + LANES {
            memory.resize(length + LANES, 0.0);
        }
        let skip = memory.as_ptr().align_offset(4 * LANES).min(LANES);
        let result = work(&mut memory[skip..skip + length]);
        scratch.replace(memory);
        result
    })
}
