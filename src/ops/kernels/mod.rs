//! The CPU kernels: plain slices in, plain slices out. All the crate's unsafe code lives here.
//!
//! A convolution is a product of matrices whose right side is gathered from the picture on the way: panels of two
//! vectors of output pixels, one row for every input channel and tap, are filled from runs of pixels and stay in the
//! cache while all output channels pass over them. Plain and transposed convolution, with any stride, are the same
//! product with other taps ([`plan`]), and each is the other's input gradient.
#![allow(unsafe_code)]

pub mod conv;
pub mod dense;
pub mod gather;
pub mod micro;
pub mod plan;
pub mod sets;
pub mod simd;
pub mod weight_gradient;

#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;

/// A pointer that may be sent to the threads that write disjoint parts of what it points to.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub(crate) *mut f32);

// SAFETY: whoever uses the pointer from several threads writes disjoint elements, as stated at each use.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    /// The pointer.
    pub(crate) fn get(self) -> *mut f32 {
        self.0
    }
}

/// Floats in a cache line, the alignment of scratch memory.
const LINE: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `length` floats of this thread's scratch memory, whose contents are undefined and which start on
/// a cache line.
pub(crate) fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with(|scratch| {
        // Taken out for the time of the work, so that a nested use gets memory of its own.
        let mut memory = scratch.take();
        if memory.len() < length + LINE {
            memory.resize(length + LINE, 0.0);
        }
        let skip = memory.as_ptr().align_offset(4 * LINE).min(LINE);
        let result = work(&mut memory[skip..skip + length]);
        scratch.replace(memory);
        result
    })
}

/// A vector of `length` floats filled by `fill`, which must write every element.
///
/// # Safety
/// `fill` must initialise all of it.
unsafe fn filled(length: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(length);
    fill(Shared(values.as_mut_ptr()));
    // SAFETY: the capacity is there, and the caller vouches for the contents.
    unsafe { values.set_len(length) };
    values
}
