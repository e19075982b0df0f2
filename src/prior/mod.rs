//! How a generator of the domain X comes to be: DCGAN, SN-GAN, VAE, GLO, from elsewhere ([`import`]), or as a [`simulator`].
//!
//! All trainings share one [`Trainer`]: a step at a time, the moving average of G's weights beside the weights, samples
//! of fixed codes, and checkpoints from which a killed run goes on to the same result.

mod average;
mod features;
mod gan;
mod glo;
pub mod import;
mod partner;
mod settings;
mod trainer;
mod vae;

pub use crate::data::simulator;
pub use settings::{Method, Settings};
pub use trainer::{Report, Trainer};
