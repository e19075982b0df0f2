//! How a generator of the domain X comes to be: DCGAN, SN-GAN, VAE, GLO.
//!
//! All methods share one [`Trainer`]: a step at a time, the moving average of G's weights beside the weights, samples
//! of fixed codes, and checkpoints from which a killed run goes on to the same result.

mod average;
mod gan;
mod settings;
mod trainer;

pub use settings::{Method, Settings};
pub use trainer::{Report, Trainer};
