//! Vectors of f32 on this processor's instruction sets, and the inner loops made of them. All of the crate's kernels are
//! put together from this; outside it they are safe code over slices.
//!
//! # Safety
//! This folder has all `unsafe` of the kernels (the lint `unsafe_code` denies it elsewhere). What it rests on:
//!
//! 1. **Instructions.** Functions of a set are reached in two ways only: through [`tiles::Kernels`] and
//!    [`panels::Kernels`], which are given out for the sets that [`InstructionSet::runnable`] detected, and through
//!    [`wide::run`], which asks those kernels for their set. Both enter a function with the set's `target_feature`, into
//!    which everything below is inlined.
//! 2. **Bounds.** Raw pointers do not leave this folder. The methods of the kernels and the [`wide::Work`]s of
//!    [`transform`] take slices and places in them, and assert before the first access that all that will be read and
//!    written lies inside. Lengths that every call would have to look through ([`tiles::Segments`]) are summed up when
//!    they are made.
//! 3. **Sharing.** Several threads write one slice through [`Sharing`] alone: bounds are asserted at each write, and the
//!    tasks of a loop write different floats. That this is so follows from how the loops share out their work (it is said
//!    at each), and in tests every write is checked against the writes of all other tasks.
//! 4. **Memory.** [`Floats`] and scratch memory are plain vectors, initialised when they are taken, and [`Pages`] such or
//!    maps that the system fills with zeros; [`sharing::filled`] is the one exception, and in tests it checks that its
//!    tasks leave no float unwritten.
//! 5. **Loops.** The threads of a [`Team`] are given the task of a loop without its lifetime. Whoever runs the loop leaves
//!    it only when no other thread is inside, and none comes in once it is closed (it is said at `Team::share`).
//!
//! The tests of the kernels run on every set that the processor has, under AddressSanitizer and, the portable set, under
//! Miri (`scripts/sanitize.sh`).
#![allow(unsafe_code)]

mod floats;
mod pages;
pub mod panels;
pub mod prefetch;
mod sets;
pub mod sharing;
mod team;
pub mod tiles;
pub mod transform;
mod transpose;
mod vector;
pub mod wide;

pub use floats::{Floats, with_scratch};
pub use pages::Pages;
pub use sets::InstructionSet;
pub use sharing::{Share, Sharing};
pub use team::Team;
pub use vector::Simd;

/// Values in a block of channels: what layouts, kernels and memory are cut into.
pub const LANES: usize = 16;

/// Repeats a block with a constant: indices must be literal, or accumulators are spilled to the stack.
macro_rules! unroll {
    ($index:ident in [$($value:literal)*] $body:block) => { $({ const $index: usize = $value; $body })* };
}
use unroll;
