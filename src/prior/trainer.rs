//! The training of a prior, a step at a time.

use super::average::Average;
use super::gan::Opponent;
use super::settings::Settings;
use crate::data::{Images, draw_indices};
use crate::nets::weights::normal_values;
use crate::nets::{Checkpoint, Generator, Params, Statistics, Weights};
use crate::ops::{Adam, AdamConfig};
use crate::{Because, Error, Picture, Result};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::Path;
use std::sync::Arc;

/// Codes drawn in a pass that gathers statistics for the averaged weights.
const CALIBRATION_BATCH: usize = 64;
/// Such passes.
const CALIBRATION_PASSES: usize = 25;

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Steps taken so far.
    pub step: usize,
    /// The losses of the step by their names.
    pub losses: Vec<(&'static str, f32)>,
}

/// A generator being trained.
pub struct Trainer {
    settings: Settings,
    images: Arc<Images>,
    device: Device,
    params: Params,
    generator: Generator,
    adam: Adam,
    average: Average,
    opponent: Opponent,
    step: usize,
}

impl Trainer {
    /// Starts from random weights.
    ///
    /// # Errors
    /// When the settings make no sense or do not fit the pictures.
    pub fn new(settings: Settings, images: Arc<Images>, device: &Device) -> Result<Self> {
        settings.check()?;
        let config = &settings.generator;
        if (images.size(), images.channels()) != (config.size, config.channels) {
            return Err(Error::new(format!(
                "The pictures have {} pixels and {} channels, but the generator draws {} and {}.",
                images.size(),
                images.channels(),
                config.size,
                config.channels
            )));
        }
        let weights = config.initial_weights(settings.seed, device)?;
        let params = Params::trainable(&weights)?;
        let generator = Generator::new(config, &params)?;
        let variables = params.vars().into_iter().map(|(_, variable)| variable).collect();
        let rates = AdamConfig { learning_rate: settings.learning_rate, ..AdamConfig::default() };
        Ok(Self {
            adam: Adam::new(variables, rates),
            average: Average::new(settings.average, &weights)?,
            opponent: Opponent::new(&settings, device)?,
            device: device.clone(),
            generator,
            images,
            params,
            settings,
            step: 0,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Whether all steps of the settings are taken.
    pub fn is_done(&self) -> bool {
        self.step >= self.settings.steps
    }

    /// One step. All that is random in it follows from the seed and the number of the step, so that a resumed run
    /// takes the same one.
    ///
    /// # Errors
    /// When a loss is no longer finite, or the device fails.
    pub fn step(&mut self) -> Result<Report> {
        let settings = &self.settings;
        let mut random = random(settings.seed, self.step);
        let indices = draw_indices(&mut random, self.images.len(), settings.batch);
        let real = self.images.batch(&indices, settings.augmentation, &mut random, &self.device)?;
        let z = normal_codes(&mut random, settings.batch, settings.generator.latent, &self.device)?;
        let factor = settings.rate_factor(self.step);
        self.adam.set_learning_rate(settings.learning_rate * factor);
        self.opponent.adam.set_learning_rate(settings.second_learning_rate * factor);
        let (critic, generator) = self.opponent.step(&self.generator, &mut self.adam, &real, &z)?;
        self.step += 1;
        self.average.follow(&self.params, self.step)?;
        let losses = vec![("critic", critic), ("generator", generator)];
        if losses.iter().any(|(_, loss)| !loss.is_finite()) {
            return Err(Error::new(format!(
                "The training diverged at step {}; start it again with a lower learning rate.",
                self.step
            )));
        }
        Ok(Report { step: self.step, losses })
    }

    /// The averaged weights, their running statistics gathered anew from codes drawn for this purpose: those that were
    /// gathered in training belong to other weights.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights(&self) -> Result<Weights> {
        let config = &self.settings.generator;
        let params = Params::trainable(&self.average.weights()?)?;
        let generator = Generator::new(config, &params)?;
        let mut random = random(self.settings.seed, usize::MAX);
        let mut total: Option<Weights> = None;
        for pass in 0..CALIBRATION_PASSES {
            let z = normal_codes(&mut random, CALIBRATION_BATCH, config.latent, &self.device)?;
            generator.forward(&z, Statistics::Batch)?;
            // The running statistics forget by a tenth a pass; after ten passes they stand for the new weights.
            if pass >= 10 {
                let now = params.weights()?;
                total = Some(match total {
                    None => now,
                    Some(total) => sum(&total, &now)?,
                });
            }
        }
        let count = (CALIBRATION_PASSES - 10) as f64;
        let total = total.ok_or_else(|| Error::new("No statistics were gathered."))?;
        let mean = |(name, tensor): (&String, &Tensor)| Ok((name.clone(), (tensor / count)?));
        total.iter().map(mean).collect()
    }

    /// What the averaged generator draws from codes that stay the same throughout the training.
    ///
    /// # Errors
    /// When the device fails.
    pub fn samples(&self, count: usize) -> Result<Vec<Picture>> {
        let config = &self.settings.generator;
        let generator = Generator::new(config, &Params::frozen(self.weights()?))?;
        let mut random = random(self.settings.seed, usize::MAX - 1);
        let x =
            generator.forward(&normal_codes(&mut random, count, config.latent, &self.device)?, Statistics::Running)?;
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        let length = config.channels * config.size * config.size;
        values
            .chunks_exact(length)
            .map(|x| Picture::from_planes(x, config.channels, config.size, config.size))
            .collect()
    }

    /// All that a resumed run needs.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::default();
        let settings = serde_json::to_string(&self.settings).because(|| "The settings cannot be written.")?;
        checkpoint.texts.insert("kind".into(), "prior".into());
        checkpoint.texts.insert("settings".into(), settings);
        checkpoint.texts.insert("step".into(), self.step.to_string());
        checkpoint.tensors.extend_below("generator.", &self.params.weights()?);
        checkpoint.tensors.extend_below("average.", &self.average.weights()?);
        checkpoint.tensors.extend_below("critic.", &self.opponent.params.weights()?);
        checkpoint.put_adam("adam.generator.", &self.adam)?;
        checkpoint.put_adam("adam.critic.", &self.opponent.adam)?;
        Ok(checkpoint)
    }

    /// Goes on from a checkpoint file. `steps` replaces the number of steps that were wanted.
    ///
    /// # Errors
    /// When the checkpoint is damaged or does not fit the pictures.
    pub fn resume(path: &Path, steps: Option<usize>, images: Arc<Images>, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, device)?;
        if checkpoint.text("kind")? != "prior" {
            return Err(Error::new(format!("{} is not a checkpoint of a prior.", path.display())));
        }
        let damaged = || format!("The checkpoint {} is damaged.", path.display());
        let mut settings: Settings = serde_json::from_str(checkpoint.text("settings")?).because(damaged)?;
        settings.steps = steps.unwrap_or(settings.steps);
        let mut trainer = Self::new(settings, images, device)?;
        trainer.step = checkpoint.text("step")?.parse().because(damaged)?;
        set_all(&trainer.params, &checkpoint.tensors.below("generator."))?;
        set_all(&trainer.opponent.params, &checkpoint.tensors.below("critic."))?;
        trainer.average = Average::new(trainer.settings.average, &checkpoint.tensors.below("average."))?;
        checkpoint.restore_adam("adam.generator.", &mut trainer.adam)?;
        checkpoint.restore_adam("adam.critic.", &mut trainer.opponent.adam)?;
        Ok(trainer)
    }
}

/// A source of randomness for one step.
fn random(seed: u64, step: usize) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (step as u64).wrapping_mul(0xD1B5_4A32_D192_ED03))
}

/// Codes `[count, latent]` from N(0, I).
fn normal_codes(random: &mut StdRng, count: usize, latent: usize, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(normal_values(random, count * latent, 0.0, 1.0), (count, latent), device)?)
}

fn sum(a: &Weights, b: &Weights) -> Result<Weights> {
    a.iter().map(|(name, tensor)| Ok((name.clone(), (tensor + b.get(name, tensor.dims())?)?))).collect()
}

/// Sets all variables of `params`; every one must be there.
fn set_all(params: &Params, weights: &Weights) -> Result<()> {
    for (name, tensor) in params.weights()?.iter() {
        if let Some(variable) = params.variable(name) {
            variable.set(&weights.get(name, tensor.dims())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::GeneratorConfig;
    use crate::prior::Method;

    fn trainer(method: Method) -> Trainer {
        let pictures: Vec<Picture> =
            (0..12).map(|i| Picture::filled(32, 32, [20 * i as u8, 255 - 20 * i as u8, 90, 255])).collect();
        let settings = Settings {
            method,
            generator: GeneratorConfig { latent: 8, width: 4, channels: 3, size: 32 },
            critic_width: 4,
            batch: 6,
            steps: 8,
            augmentation: crate::data::Augmentation { shift: 2, flip: true },
            seed: 7,
            ..Settings::default()
        };
        Trainer::new(settings, Arc::new(Images::new(&pictures, 3).unwrap()), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_resumed_run_ends_where_an_unbroken_one_ends() {
        for method in [Method::Dcgan, Method::Sngan] {
            let mut unbroken = trainer(method);
            let mut broken = trainer(method);
            for _ in 0..3 {
                unbroken.step().unwrap();
                broken.step().unwrap();
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            broken.checkpoint().unwrap().save(file.path()).unwrap();
            let mut resumed = Trainer::resume(file.path(), None, broken.images.clone(), &Device::Cpu).unwrap();
            for _ in 0..3 {
                assert_eq!(unbroken.step().unwrap(), resumed.step().unwrap());
            }
            assert_eq!(unbroken.samples(4).unwrap(), resumed.samples(4).unwrap());
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_with_a_sentence() {
        let trainer = trainer(Method::Sngan);
        let file = tempfile::NamedTempFile::new().unwrap();
        trainer.checkpoint().unwrap().save(file.path()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
        let error = Trainer::resume(file.path(), None, trainer.images.clone(), &Device::Cpu).err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
