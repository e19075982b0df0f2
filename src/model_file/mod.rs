//! One model is one `.safetensors` file: networks, sample images, and a typed manifest in its metadata.
//!
//! Tensors are named `generator.`, `mapping.`, `encoder.`, `perceptual.` and `samples.`; the manifest's entries are
//! strings under `counterpart.`, so that any tool that reads safetensors can show them. A [`Part`] is a file with one
//! network alone: what `train prior` and `train student` write.

mod container;
pub mod embedded;
mod manifest;
mod model;
mod part;
mod parts;
mod settings;
mod shapes;

pub use container::{Storage, write_tensors};
pub use manifest::{FORMAT_VERSION, Manifest, TrainingRecord};
pub use model::Model;
pub use part::{About, Part, is_model, is_own};
pub use parts::{Parts, licences};
pub use settings::{HeldOut, LossConfig};
pub use shapes::Network;

pub use crate::data::YKind;
