//! The models that come with the program, inside its binary.

use super::Model;
use crate::Result;
use candle_core::Device;

/// A model file inside the binary.
pub struct EmbeddedModel {
    /// Its name on the command line.
    pub id: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

impl EmbeddedModel {
    /// Opens it. Only what a network needs is copied out of the binary.
    ///
    /// # Errors
    /// When the file that was built in is damaged.
    pub fn open(&self, device: &Device) -> Result<Model> {
        Model::from_bytes(self.id, self.bytes, device)
    }
}

/// All models in the binary; the first is the one that the window opens on.
pub fn all() -> &'static [EmbeddedModel] {
    MODELS
}

const MODELS: &[EmbeddedModel] = &[EmbeddedModel {
    id: "edges_to_shoes",
    bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/edges_to_shoes.safetensors")),
}];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_that_comes_with_the_program_is_sound() {
        for embedded in all() {
            let model = embedded.open(&Device::Cpu).unwrap_or_else(|error| panic!("{error:?}"));
            let manifest = &model.manifest;
            assert!(!model.samples.is_empty() && !manifest.licence.is_empty(), "{}", embedded.id);
            assert_eq!(manifest.held_out.percentiles.len(), 101, "{}", embedded.id);
            assert!(!manifest.training.is_empty(), "{}", embedded.id);
        }
    }
}
