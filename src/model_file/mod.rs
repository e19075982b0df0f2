//! One model is one `.safetensors` file: networks, sample images, and a typed manifest in its metadata.

mod settings;

pub use settings::{HeldOut, LossConfig, Normalisation, YKind};
