//! Memory that begins on a cache line: vectors that cross lines would cost every load twice.
#![allow(unsafe_code)]

use super::super::layout::LANES;
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
