//! The networks of the papers, one a file, under the parameter names of the reference checkpoints.
//!
//! A network is made from a configuration and [`Params`]. Frozen parameters give a network whose kernels are prepared
//! once and never learn; trainable ones give one whose variables an optimiser may move.

pub mod checkpoint;
pub mod critic;
pub mod encoder;
pub mod generator;
pub(crate) mod in_parts;
pub mod judge;
pub mod layers;
mod legacy_checkpoint;
pub mod mapping;
pub mod params;
pub mod perceptual;
mod perceptual_layers;
pub mod sampler;
pub mod sequence;
mod simulator;
pub mod spectral;
pub mod style;
mod torch_zip;
pub mod weights;

pub use checkpoint::Checkpoint;
pub use critic::{Critic, CriticConfig};
pub use encoder::{Encoder, EncoderConfig, Posterior};
pub use generator::{Generator, GeneratorConfig};
pub use judge::{Judge, JudgeConfig, Verdict};
pub use layers::{ConvBlock, Statistics, TrainingLayer};
pub use mapping::{Mapping, MappingConfig};
pub use params::Params;
pub use perceptual::{Perceptual, PerceptualConfig, PerceptualKind};
pub use sequence::Layer;
pub use style::StyleConfig;
pub use weights::Weights;
