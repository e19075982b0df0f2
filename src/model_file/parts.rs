//! A model put together from networks that were made one by one.

use super::{Manifest, Model, Part};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig, Weights};
use crate::{Picture, Result};
use candle_core::Device;

/// Licences as one text, what several of them say only once.
pub fn licences<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut licences = Vec::new();
    for one in all.flat_map(|all| all.split("; ")) {
        if !one.is_empty() && !licences.contains(&one) {
            licences.push(one);
        }
    }
    licences.join("; ")
}

/// The networks of a model.
pub struct Parts<'a> {
    /// G.
    pub prior: &'a Part<GeneratorConfig>,
    /// T.
    pub mapping: &'a Part<MappingConfig>,
    /// E, where one was trained.
    pub encoder: Option<&'a Part<EncoderConfig>>,
    /// The perceptual network, where the loss needs one.
    pub perceptual: Option<&'a Part<PerceptualConfig>>,
}

impl Parts<'_> {
    /// A manifest with the shapes, the records and the licences of these networks, each said once, and `licence` after
    /// them; all else is for the caller to say.
    pub fn manifest(&self, licence: &str) -> Manifest {
        let Self { prior, mapping, encoder, perceptual } = self;
        let abouts = [Some(&prior.about), perceptual.map(|part| &part.about), Some(&mapping.about)];
        let abouts = abouts.into_iter().chain([encoder.map(|part| &part.about)]).flatten();
        let mut training = Vec::new();
        for record in abouts.clone().flat_map(|about| &about.training) {
            // A model's mapping names its prior and its perceptual network, too.
            if !training.contains(record) {
                training.push(record.clone());
            }
        }
        let licence = licences(abouts.map(|about| about.licence.as_str()).chain([licence]));
        Manifest {
            training,
            licence,
            ..Manifest::new(
                prior.config.clone(),
                mapping.config,
                encoder.map(|part| part.config),
                perceptual.map(|part| part.config.clone()),
            )
        }
    }

    /// The model of these networks with a manifest and samples of Y.
    ///
    /// # Errors
    /// When networks, manifest and samples do not fit one another.
    pub fn model(&self, manifest: Manifest, samples: Vec<Picture>, device: &Device) -> Result<Model> {
        let mut weights = Weights::default();
        weights.extend_below("generator.", &self.prior.weights);
        weights.extend_below("mapping.", &self.mapping.weights);
        self.encoder.iter().for_each(|part| weights.extend_below("encoder.", &part.weights));
        self.perceptual.iter().for_each(|part| weights.extend_below("perceptual.", &part.weights));
        Model::new(manifest, weights, samples, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::{About, TrainingRecord};

    #[test]
    fn records_and_licences_are_said_once() {
        let record = |stage: &str| TrainingRecord { stage: stage.into(), ..TrainingRecord::default() };
        let about = |stages: &[&str], licence: &str| About {
            training: stages.iter().map(|stage| record(stage)).collect(),
            licence: licence.into(),
            ..About::default()
        };
        let (prior, mapping) = (GeneratorConfig::default(), MappingConfig::default());
        let prior = Part { config: prior, weights: Weights::default(), about: about(&["prior"], "MIT") };
        let about = about(&["prior", "mapping"], "MIT; CC BY 4.0");
        let mapping = Part { config: mapping, weights: Weights::default(), about };
        let parts = Parts { prior: &prior, mapping: &mapping, encoder: None, perceptual: None };
        let manifest = parts.manifest("CC BY 4.0; mine");
        assert_eq!(manifest.training, [record("prior"), record("mapping")]);
        assert_eq!(manifest.licence, "MIT; CC BY 4.0; mine");
    }
}
