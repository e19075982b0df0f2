//! Running a graph's nodes on a processor.

mod apply;
pub mod convolution;
pub mod elementwise;
pub mod geometry;
pub mod gram;
pub mod nodes;
pub mod pack;
mod weight_gradient;
mod winograd;

#[cfg(test)]
mod tests;

pub use crate::ops::simd::Floats;
pub use crate::ops::simd::tiles::{Finish, Kernels, kernels, runnable};
pub use convolution::{Convolution, Output, Way};
pub use weight_gradient::WeightGradient;
