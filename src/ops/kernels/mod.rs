//! The CPU kernels of the operations: plain slices in, plain slices out.
//!
//! A convolution is a product of matrices whose right side is gathered from the picture on the way: panels of two
//! vectors of output pixels, one row for every input channel and tap, are filled from runs of pixels and stay in the
//! cache while all output channels pass over them. Plain and transposed convolution, with any stride, are the same
//! product with other taps ([`plan`]), and each is the other's input gradient.

pub mod conv;
pub mod dense;
pub mod gather;
pub mod plan;
pub mod weight_gradient;

#[cfg(test)]
pub(crate) mod tests;
