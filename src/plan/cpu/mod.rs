//! Running a graph's nodes on a processor.
//!
//! All `unsafe` of the plan is in [`micro`], [`transform`], [`floats`], [`wide`] and the files that share out work,
//! [`convolution`], [`weight_gradient`] and [`winograd`]; what it rests on is said at the head of each.

pub mod convolution;
pub mod elementwise;
pub mod floats;
pub mod geometry;
pub mod micro;
pub mod pack;
mod transform;
mod weight_gradient;
pub(super) mod wide;
mod winograd;

#[cfg(test)]
mod tests;

pub use convolution::{Convolution, Output, Way};
pub use floats::Floats;
pub use micro::{Finish, Kernels, kernels, runnable};
pub use weight_gradient::WeightGradient;
