//! One model is one `.safetensors` file: networks, sample images, and a typed manifest in its metadata.

mod container;
mod settings;

pub use container::{Storage, write_beside, write_tensors};
pub(crate) use container::Container;
pub use settings::{HeldOut, LossConfig, Normalisation, YKind};
