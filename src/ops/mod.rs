//! Tensor operations that candle 0.11.1 lacks, gets wrong or does slowly on a CPU.
//!
//! Every function takes and returns candle tensors and takes part in candle's backward pass. On the CPU the work is
//! done by this crate's own kernels; on other devices the same functions are put together from candle's operations
//! ([`composed`]), which also serves the tests as the second opinion.
//!
//! Images are f32, NCHW. A weight that does not learn gets no gradient, and costs nothing in the backward pass.

mod activation;
mod adam;
mod blend;
pub mod composed;
mod conv;
mod conv_norm;
pub(crate) mod cpu;
mod elementwise;
mod gram;
mod ink;
pub(crate) mod kernels;
mod modulate;
mod norm;
pub mod process;
mod resample;
mod row_adam;
pub(crate) mod simd;
#[cfg(test)]
pub(crate) mod tests;
pub mod threads;

pub use activation::Activation;
pub use adam::{Adam, AdamConfig, Moments};
pub use blend::blend;
pub use conv::{ConvSpec, FrozenConv, Identity, conv_transpose2d, conv2d};
pub use conv_norm::conv_batch_norm;

pub use elementwise::{activate, l1_mean, l2_mean};
pub use gram::gram;
pub use ink::{COVER, COVER_RISE, ink, ink_axes, ink_gram};
pub use modulate::Modulation;
pub use norm::batch_norm;
pub use resample::{avg_pool2, laplacian_pyramid, max_pool2, upsample_bilinear2, upsample_nearest2};
pub use row_adam::RowAdam;
