//! What a training leaves: the networks of its stages, and the model that they make together.

use super::{Running, Work};
use crate::model_file::{About, HeldOut, Model, Part, Storage};
use crate::nam::train::{HeldOutSettings, Trainer, held_out_losses};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig, Weights};
use crate::workshop::networks::{Assembly, record};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

impl Work {
    pub(super) fn about(&self, stage: &str, method: &str, data: &str, numbers: [usize; 3]) -> About {
        About {
            training: vec![record(stage, method, data, numbers, &self.recipe, &self.times)],
            preparation: self.recipe.plain_preparation(self.recipe.size),
            licence: String::new(),
        }
    }

    pub(super) fn prior_part(&self) -> Result<Part<GeneratorConfig>> {
        let Running::Prior(trainer) = &self.running else { return missing("generator") };
        let settings = trainer.settings();
        let about = self.about("prior", "sngan", &self.x.0, [self.x.1, trainer.steps(), settings.batch]);
        Ok(Part { config: settings.generator.clone(), weights: trainer.weights()?, about })
    }

    /// The mapping that is being trained, if one is: alone, or together with the encoder.
    pub(super) fn mapping_now(&self) -> Result<Option<Part<MappingConfig>>> {
        let (config, weights, method, numbers) = match &self.running {
            Running::Mapping(trainer) => {
                let settings = trainer.settings();
                (settings.mapping, trainer.mapping_weights()?, "nam", (trainer.step_count(), settings.batch))
            }
            Running::Encoder(trainer) if !trainer.settings().fixed_mapping => {
                let settings = trainer.settings();
                (settings.mapping, trainer.mapping_weights()?, "vae-nam", (trainer.step_count(), settings.batch))
            }
            _ => return Ok(None),
        };
        let about = self.about("mapping", method, &self.y_title, [self.images.len(), numbers.0, numbers.1]);
        Ok(Some(Part { config, weights, about }))
    }

    pub(super) fn mapping_part(&self) -> Result<Part<MappingConfig>> {
        self.mapping_now()?.map_or_else(|| missing("mapping"), Ok)
    }

    pub(super) fn encoder_part(&self) -> Result<Part<EncoderConfig>> {
        let Running::Encoder(trainer) = &self.running else { return missing("encoder") };
        let settings = trainer.settings();
        let numbers = [self.images.len(), trainer.step_count(), settings.batch];
        let about = self.about("encoder", "vae-nam", &self.y_title, numbers);
        let weights: Weights = trainer.encoder_weights()?.ok_or_else(|| Error::new("There is no encoder."))?;
        Ok(Part { config: settings.encoder, weights, about })
    }

    /// The model as it is now: from the first step of the mapping on, without an encoder until there is one.
    ///
    /// # Errors
    /// When there is no mapping yet.
    pub fn model(&self, held_out: HeldOut) -> Result<Model> {
        let too_early = || Error::new("There is nothing to try yet: the mapping comes after the generator.");
        let now = self.mapping_now()?;
        let encoder_now = matches!(self.running, Running::Encoder(_)).then(|| self.encoder_part()).transpose()?;
        let assembly = Assembly {
            recipe: &self.recipe,
            prior: self.prior.as_ref().ok_or_else(too_early)?,
            mapping: now.as_ref().or(self.mapping.as_ref()).ok_or_else(too_early)?,
            encoder: encoder_now.as_ref().or(self.encoder.as_ref()),
            perceptual: self.perceptual.as_ref(),
            held: &self.held,
            held_out,
        };
        assembly.model(&self.device)
    }

    /// Writes the model as it is now into the training's folder, to be tried.
    ///
    /// # Errors
    /// When there is no mapping yet, or the disk refuses.
    pub fn try_out(&self) -> Result<PathBuf> {
        let path = self.folder.trial();
        self.model(HeldOut::default())?.save(&path, Storage::F16)?;
        Ok(path)
    }

    /// Solves for the pictures that training never saw, writes the model, and removes the training's folder.
    pub(super) fn measure(&mut self, go_on: &mut dyn FnMut(usize, usize) -> bool) -> Result<()> {
        let unmeasured: Arc<dyn crate::nam::Networks + Send + Sync> = Arc::new(self.model(HeldOut::default())?);
        let steps = if self.recipe.steps.is_some() { 3 } else { 50 };
        let settings = HeldOutSettings { images: self.held.len(), starts: 2, steps, seed: self.recipe.seed };
        let measured = held_out_losses(&unmeasured, &self.held, settings, &self.device, go_on)?;
        self.model(measured)?.save(&self.out, Storage::F16)?;
        self.folder.remove()
    }
}

fn missing<T>(what: &str) -> Result<T> {
    Err(Error::new(format!("The {what} is not what is being trained.")))
}
