//! The numbers of `counterpart train mapping`, and the trainers they make.

use super::drive::at_least_one;
use super::mapping::{MethodChoice, check_shape};
use crate::model_file::{LossConfig, Part};
use crate::nam::train::{Contrast, Given, NamSettings, NamTrainer, Trainer, VaeNamSettings, VaeNamTrainer};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig};
use crate::{Error, Result};
use candle_core::Device;
use clap::Args;
use std::collections::BTreeMap;
use std::path::Path;

/// How the mapping is trained.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
pub struct MappingSettings {
    /// Steps of the whole training [default: nam: 2000; ae-nam, vae-nam: 4000; resumed: as it was]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    steps: Option<usize>,
    /// Images in a step
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
    batch: usize,
    /// Rows and columns at which the mapping works; where the generator draws others, a fitted sampler brings them to
    /// these [default: the generator's where they are 32, 64 or 128; otherwise 64, or 32 below]
    #[arg(long, value_name = "32|64|128")]
    size: Option<usize>,
    /// F, the mapping's filters at the finest scale
    #[arg(long, value_name = "F", default_value_t = 32, value_parser = at_least_one)]
    width: usize,
    /// The mapping adds its input to its output
    #[arg(long)]
    skip: bool,
    /// f, the encoder's filters at the finest scale (ae-nam, vae-nam)
    #[arg(long, value_name = "F", default_value_t = 64, value_parser = at_least_one)]
    encoder_width: usize,
    /// Adam's step size for the mapping [default: nam: 0.001; ae-nam, vae-nam: 0.003]
    #[arg(long, value_name = "RATE")]
    learning_rate_mapping: Option<f64>,
    /// Adam's step size for the encoder (ae-nam, vae-nam); 0.001 if it diverges
    #[arg(long, value_name = "RATE", default_value_t = 3e-3)]
    learning_rate_encoder: f64,
    /// Adam's step size for the latent codes (nam)
    #[arg(long, value_name = "RATE", default_value_t = 0.03)]
    learning_rate_codes: f64,
    /// Steps over which the step sizes rise from 0 (ae-nam, vae-nam) [default: as the method has it]
    #[arg(long, value_name = "STEPS")]
    warm_up_steps: Option<usize>,
    /// The share of all steps after which the step sizes fall, on a straight line, to 0
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    decay_from: f64,
    /// Latent codes start at N(0, DEVIATION^2) (nam)
    #[arg(long, value_name = "DEVIATION", default_value_t = 0.01)]
    start_deviation: f32,
    /// The weight of the KL divergence (vae-nam)
    #[arg(long, value_name = "WEIGHT", default_value_t = 1e-3)]
    beta: f64,
    /// Its weight in the first epochs (vae-nam)
    #[arg(long, value_name = "WEIGHT", default_value_t = 1e-6)]
    warm_up_beta: f64,
    /// How many epochs these are (vae-nam)
    #[arg(long, value_name = "N", default_value_t = 4)]
    warm_up_epochs: usize,
    /// Shifts images by at most so many pixels (ae-nam, vae-nam)
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    shift: usize,
    /// The mapping learns from what the generator draws at a mean darkness drawn from this range (0: white, 1: black)
    /// whatever its own, so that a drawing's counterparts are not all dark [default: as it is]
    #[arg(long, value_name = "LEAST:MOST", value_parser = contrast)]
    contrast: Option<Contrast>,
    /// The weight of the KL divergence of all posteriors together from the prior: the counterparts of many images are
    /// then as varied as the domain X, not all of the kind that is explained most easily (vae-nam)
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    aggregate: f64,
    /// The weight of the sleep phase: the encoder also learns to find the codes of what generator and mapping draw from
    /// random ones (vae-nam)
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    sleep: f64,
}

impl MappingSettings {
    /// The step sizes by the names of their options.
    pub fn rates(&self) -> Vec<(&'static str, f64)> {
        let mut rates = vec![
            ("learning-rate-encoder", self.learning_rate_encoder),
            ("learning-rate-codes", self.learning_rate_codes),
        ];
        rates.extend(self.learning_rate_mapping.map(|rate| ("learning-rate-mapping", rate)));
        rates
    }

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// With the option's name.
    pub fn check(&self) -> Result<()> {
        let weights = [
            ("beta", self.beta),
            ("warm-up-beta", self.warm_up_beta),
            ("aggregate", self.aggregate),
            ("sleep", self.sleep),
            ("start-deviation", f64::from(self.start_deviation)),
            ("decay-from", self.decay_from),
        ];
        for (option, value) in weights {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::new(format!("--{option} must be a number from 0 up; {value} is not.")));
            }
        }
        Ok(())
    }

    /// Pixels a side of Y for this generator.
    pub(super) fn side(&self, generator: &GeneratorConfig) -> usize {
        self.size.unwrap_or(match generator.size {
            known @ (32 | 64 | 128) => known,
            small if small < 64 => 32,
            _ => 64,
        })
    }

    /// The shapes of T and E for this generator.
    pub(super) fn shapes(
        &self,
        method: MethodChoice,
        generator: &GeneratorConfig,
        channels: usize,
    ) -> (MappingConfig, Option<EncoderConfig>) {
        let GeneratorConfig { latent, channels: inputs, .. } = *generator;
        let size = self.side(generator);
        let source = if size == generator.size { 0 } else { generator.size };
        let mapping = MappingConfig { width: self.width, inputs, outputs: channels, size, skip: self.skip, source };
        let encoder = EncoderConfig {
            latent,
            width: self.encoder_width,
            channels,
            size,
            variational: method == MethodChoice::VaeNam,
        };
        (mapping, (method != MethodChoice::Nam).then_some(encoder))
    }

    /// Images in a step, of so many.
    pub fn batch(&self, images: usize) -> usize {
        self.batch.min(images)
    }

    /// Makes the trainer, anew or from a checkpoint.
    ///
    /// # Errors
    /// When networks, images, settings and the checkpoint do not fit one another.
    #[allow(clippy::too_many_arguments, reason = "everything that a training is made of comes together here")]
    pub(super) fn trainer(
        &self,
        method: MethodChoice,
        (mapping, encoder): (MappingConfig, Option<EncoderConfig>),
        loss: LossConfig,
        seed: u64,
        given: Given,
        fixed: Option<&Part<MappingConfig>>,
        device: &Device,
        resume: Option<&Path>,
    ) -> Result<Box<dyn Trainer>> {
        check_shape(&mapping)?;
        let Some(encoder) = encoder else {
            if let Some(checkpoint) = resume {
                let mut trainer = NamTrainer::resume(checkpoint, given, device)?;
                self.steps.into_iter().for_each(|steps| trainer.set_steps(steps));
                return Ok(Box::new(trainer));
            }
            let default = NamSettings::default();
            let settings = NamSettings {
                seed,
                steps: self.steps.unwrap_or(default.steps),
                batch: self.batch,
                learning_rate_codes: self.learning_rate_codes,
                learning_rate_mapping: self.learning_rate_mapping.unwrap_or(default.learning_rate_mapping),
                decay_from: self.decay_from,
                start_deviation: self.start_deviation,
                contrast: self.contrast,
                mapping,
                loss,
            };
            return Ok(Box::new(NamTrainer::new(settings, given, device)?));
        };
        check_shape(&encoder)?;
        if let Some(checkpoint) = resume {
            let mut trainer = VaeNamTrainer::resume(checkpoint, given, device)?;
            self.steps.into_iter().for_each(|steps| trainer.set_steps(steps));
            return Ok(Box::new(trainer));
        }
        let variational = method == MethodChoice::VaeNam;
        let default = if variational { VaeNamSettings::default() } else { VaeNamSettings::ae_nam() };
        let settings = VaeNamSettings {
            seed,
            steps: self.steps.unwrap_or(default.steps),
            batch: self.batch,
            warm_up_steps: self.warm_up_steps.unwrap_or(default.warm_up_steps),
            learning_rate_mapping: self.learning_rate_mapping.unwrap_or(default.learning_rate_mapping),
            learning_rate_encoder: self.learning_rate_encoder,
            decay_from: self.decay_from,
            variational,
            beta: if variational { self.beta } else { default.beta },
            warm_up_beta: if variational { self.warm_up_beta } else { default.warm_up_beta },
            warm_up_epochs: self.warm_up_epochs,
            shift: self.shift,
            contrast: self.contrast,
            aggregate: if variational { self.aggregate } else { default.aggregate },
            sleep: if variational { self.sleep } else { default.sleep },
            fixed_mapping: fixed.is_some(),
            mapping,
            encoder,
            loss,
        };
        Ok(Box::new(match fixed {
            Some(fixed) => VaeNamTrainer::with_mapping(settings, &fixed.weights, given, device)?,
            None => VaeNamTrainer::new(settings, given, device)?,
        }))
    }

    /// What the manifest says of these settings.
    pub(super) fn record(&self, method: MethodChoice) -> BTreeMap<String, String> {
        let mut record = BTreeMap::new();
        let mut put = |name: &str, value: String| record.insert(name.to_owned(), value);
        if let Some(rate) = self.learning_rate_mapping {
            put("learning-rate-mapping", rate.to_string());
        }
        put("decay-from", self.decay_from.to_string());
        if let Some(Contrast { least, most }) = self.contrast {
            put("contrast", format!("{least}:{most}"));
        }
        match method {
            MethodChoice::Nam => {
                put("learning-rate-codes", self.learning_rate_codes.to_string());
                put("start-deviation", self.start_deviation.to_string());
            }
            MethodChoice::AeNam | MethodChoice::VaeNam => {
                put("learning-rate-encoder", self.learning_rate_encoder.to_string());
                put("shift", self.shift.to_string());
            }
        }
        if method == MethodChoice::VaeNam {
            put("beta", self.beta.to_string());
            put("aggregate", self.aggregate.to_string());
            put("sleep", self.sleep.to_string());
            put("warm-up-beta", self.warm_up_beta.to_string());
            put("warm-up-epochs", self.warm_up_epochs.to_string());
        }
        record
    }
}

/// Reads LEAST:MOST.
fn contrast(text: &str) -> Result<Contrast, String> {
    let wrong = || "it must be two numbers between 0 and 1, the lower first, as in 0.05:0.25".to_owned();
    let (least, most) = text.split_once(':').ok_or_else(wrong)?;
    let (least, most) = (least.parse().map_err(|_| wrong())?, most.parse().map_err(|_| wrong())?);
    let range = Contrast { least, most };
    if range.is_possible() { Ok(range) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_darkness_are_read() {
        assert_eq!(contrast("0.05:0.25"), Ok(Contrast { least: 0.05, most: 0.25 }));
        for wrong in ["0.1", "0.3:0.1", "0:0.5", "a:b", "0.1:nan"] {
            assert!(contrast(wrong).is_err(), "{wrong}");
        }
    }
}
