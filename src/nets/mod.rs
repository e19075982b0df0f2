//! The networks of the papers, one a file, under the parameter names of the reference checkpoints.
//!
//! A network is made from a configuration and [`Params`]. Frozen parameters give a network whose kernels are prepared
//! once and never learn; trainable ones give one whose variables an optimiser may move.

pub mod critic;
pub mod generator;
pub mod layers;
pub mod params;
pub mod spectral;
pub mod weights;

pub use critic::{Critic, CriticConfig};
pub use generator::{Generator, GeneratorConfig};
pub use layers::{ConvBlock, Statistics};
pub use params::Params;
pub use weights::Weights;
