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

/// A model of `assets/models`, by its file's name.
macro_rules! model {
    ($id:literal) => {
        EmbeddedModel {
            id: $id,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/", $id, ".safetensors")),
        }
    };
}

// A static: the files of a constant would be in the binary once for every part of it that is compiled.
static MODELS: &[EmbeddedModel] =
    &[model!("edges_to_shoes"), model!("bags_to_shoes"), model!("cars_to_cars"), model!("emoji_to_emoji")];

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

    #[test]
    fn the_models_are_few_megabytes_and_have_names_and_titles_of_their_own() {
        assert!(all().iter().map(|model| model.bytes.len()).sum::<usize>() < 60_000_000);
        let titles = all().iter().map(|model| model.open(&Device::Cpu).unwrap().manifest.title.clone());
        let titles: std::collections::BTreeSet<String> = titles.collect();
        let ids: std::collections::BTreeSet<&str> = all().iter().map(|model| model.id).collect();
        assert_eq!((titles.len(), ids.len()), (all().len(), all().len()));
    }
}
