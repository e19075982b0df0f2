//! The kernels of Counterpart and their tests, without the program around them.

pub mod ops;
pub mod plan;
