//! The training of a prior, a step at a time.

use super::average::Average;
use super::features::Features;
use super::partner::Partner;
use super::settings::Settings;
use crate::data::{Images, draw_indices};
use crate::nets::weights::normal_values;
use crate::nets::{Checkpoint, Generator, Params, Perceptual, Statistics, Weights};
use crate::ops::{Adam, AdamConfig};
use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

/// What the checkpoints of a prior call themselves.
const KIND: &str = "prior";
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

/// What a checkpoint says of a run beside its tensors.
#[derive(Serialize, Deserialize)]
struct State {
    settings: Settings,
    step: usize,
}

/// A generator being trained.
pub struct Trainer {
    settings: Settings,
    images: Images,
    device: Device,
    params: Params,
    generator: Generator,
    adam: Adam,
    average: Average,
    partner: Partner,
    features: Option<Arc<Features>>,
    step: usize,
    /// What [`Trainer::weights`] gave since the last step.
    calibrated: OnceCell<Weights>,
}

impl Trainer {
    /// Starts from random weights. `perceptual` is the network whose features count beside the pixels, of the shape that
    /// the settings say.
    ///
    /// # Errors
    /// When the settings make no sense or do not fit the pictures or the network.
    pub fn new(
        settings: Settings,
        images: Images,
        perceptual: Option<Arc<Perceptual>>,
        device: &Device,
    ) -> Result<Self> {
        settings.check()?;
        if settings.perceptual.as_ref() != perceptual.as_ref().map(|network| network.config()) {
            return Err(Error::new(match settings.perceptual {
                Some(_) => "This training needs the perceptual network that it was begun with.",
                None => "This training was begun without a perceptual network.",
            }));
        }
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
        let rates = AdamConfig { learning_rate: settings.learning_rate, ..AdamConfig::default() };
        let features = perceptual.map(|network| Features::new(network, &images, device).map(Arc::new)).transpose()?;
        Ok(Self {
            adam: params.adam(rates),
            average: Average::new(settings.average, &weights)?,
            partner: Partner::new(&settings, &images, features.as_ref(), device)?,
            features,
            device: device.clone(),
            generator,
            images,
            params,
            settings,
            step: 0,
            calibrated: OnceCell::new(),
        })
    }

    /// Begins at the weights of a generator of the same shape, with new critics or codes.
    ///
    /// # Errors
    /// When the weights are of another shape.
    pub fn starting_at(mut self, weights: &Weights) -> Result<Self> {
        self.params.set(weights)?;
        self.average = Average::new(self.settings.average, &self.params.weights()?)?;
        Ok(self)
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
        let real = self.images.moved_batch(&indices, || settings.augmentation.draw(&mut random), &self.device)?;
        let z = normal_codes(&mut random, settings.batch, settings.generator.latent, &self.device)?;
        let factor = settings.rate_factor(self.step);
        self.adam.set_learning_rate(settings.learning_rate * factor);
        self.partner.set_learning_rate(settings.second_learning_rate * factor);
        let (generator, adam) = (&self.generator, &mut self.adam);
        let losses = match &mut self.partner {
            Partner::Opponent(opponent) => {
                let (critic, loss) = opponent.step(generator, adam, &real, &z)?;
                vec![("critic", critic), ("generator", loss)]
            }
            Partner::Recogniser(recogniser) => {
                let (loss, kl) = recogniser.step(generator, adam, &real, &z, settings.kl, self.features.as_deref())?;
                vec![("reconstruction", loss), ("kl", kl)]
            }
            Partner::Codes(codes) => {
                vec![("reconstruction", codes.step(generator, adam, &real, &indices, self.features.as_deref())?)]
            }
        };
        self.step += 1;
        self.calibrated.take();
        self.average.follow(&self.params, self.step)?;
        if losses.iter().any(|(_, loss)| !loss.is_finite()) {
            return Err(Error::new(format!(
                "The training diverged at step {}; start it again with a lower learning rate.",
                self.step
            )));
        }
        Ok(Report { step: self.step, losses })
    }

    /// The averaged weights, their running statistics gathered anew from codes drawn for this purpose: those that were
    /// gathered in training belong to other weights. Asked again before the next step, it answers at once.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights(&self) -> Result<Weights> {
        if let Some(weights) = self.calibrated.get() {
            return Ok(weights.clone());
        }
        let weights = self.calibrate()?;
        Ok(self.calibrated.get_or_init(|| weights).clone())
    }

    fn calibrate(&self) -> Result<Weights> {
        let config = &self.settings.generator;
        let average = match &self.partner {
            Partner::Codes(codes) => codes.whiten(&self.average.weights()?, &self.device)?,
            _ => self.average.weights()?,
        };
        let params = Params::trainable(&average)?;
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
        let codes = normal_codes(&mut random, count, config.latent, &self.device)?;
        let x = match crate::plan::generate(&generator, &codes) {
            Some(x) => x,
            None => generator.forward(&codes, Statistics::Running)?,
        };
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
        let mut checkpoint = Checkpoint::new(KIND, &State { settings: self.settings.clone(), step: self.step })?;
        checkpoint.put_weights("generator.", &self.params.weights()?)?;
        checkpoint.put_weights("average.", &self.average.weights()?)?;
        checkpoint.put_adam("adam.generator.", &self.adam)?;
        self.partner.put(&mut checkpoint)?;
        Ok(checkpoint)
    }

    /// Goes on from a checkpoint file. `steps` replaces the number of steps that were wanted.
    ///
    /// # Errors
    /// When the checkpoint is damaged or does not fit the pictures.
    pub fn resume(
        path: &Path,
        steps: Option<usize>,
        images: Images,
        perceptual: Option<Arc<Perceptual>>,
        device: &Device,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, KIND)?;
        let State { mut settings, step } = checkpoint.state()?;
        settings.steps = steps.unwrap_or(settings.steps);
        let mut trainer = Self::new(settings, images, perceptual, device)?;
        trainer.step = step;
        trainer.params.set(&checkpoint.weights("generator.", device)?)?;
        trainer.average = Average::new(trainer.settings.average, &checkpoint.weights("average.", device)?)?;
        checkpoint.restore_adam("adam.generator.", &mut trainer.adam)?;
        trainer.partner.restore(&checkpoint, device)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{GeneratorConfig, PerceptualConfig};
    use crate::prior::Method;

    fn trainer(method: Method) -> Trainer {
        seeing(method, None)
    }

    fn student() -> Arc<Perceptual> {
        let config = PerceptualConfig { widths: vec![4, 4, 6, 6, 8, 8], ..PerceptualConfig::default() };
        let weights = config.initial_weights(5, &Device::Cpu).unwrap();
        Arc::new(Perceptual::new(&config, &Params::frozen(weights)).unwrap())
    }

    fn seeing(method: Method, perceptual: Option<Arc<Perceptual>>) -> Trainer {
        let pictures: Vec<Picture> =
            (0..12).map(|i| Picture::filled(32, 32, [20 * i as u8, 255 - 20 * i as u8, 90, 255])).collect();
        let settings = Settings {
            method,
            generator: GeneratorConfig { latent: 8, width: 4, channels: 3, size: 32, layers: Vec::new() },
            critic_width: 4,
            batch: 6,
            steps: 8,
            augmentation: crate::data::Augmentation { shift: 2, flip: true },
            seed: 7,
            perceptual: perceptual.as_ref().map(|network| network.config().clone()),
            ..Settings::default()
        };
        Trainer::new(settings, Images::from_pictures(&pictures, 3).unwrap(), perceptual, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_resumed_run_ends_where_an_unbroken_one_ends() {
        let methods = [Method::Dcgan, Method::Sngan, Method::Vae, Method::Glo];
        for (method, network) in methods.into_iter().flat_map(|method| [(method, None), (method, Some(student()))]) {
            let mut unbroken = seeing(method, network.clone());
            let mut broken = seeing(method, network.clone());
            for _ in 0..3 {
                unbroken.step().unwrap();
                broken.step().unwrap();
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            broken.checkpoint().unwrap().save(file.path()).unwrap();
            let mut resumed =
                Trainer::resume(file.path(), None, broken.images.clone(), network.clone(), &Device::Cpu).unwrap();
            for _ in 0..3 {
                assert_eq!(unbroken.step().unwrap(), resumed.step().unwrap());
            }
            assert_eq!(unbroken.samples(4).unwrap(), resumed.samples(4).unwrap());
            let other = if network.is_some() { None } else { Some(student()) };
            let refused = Trainer::resume(file.path(), None, broken.images.clone(), other, &Device::Cpu).err().unwrap();
            assert!(refused.to_string().contains("perceptual network"), "{refused}");
        }
    }

    #[test]
    fn features_change_what_is_learned() {
        for method in [Method::Dcgan, Method::Sngan, Method::Vae, Method::Glo] {
            let step = |mut trainer: Trainer| {
                let report = trainer.step().unwrap();
                (report, trainer.samples(2).unwrap())
            };
            let (plain, features) = (step(trainer(method)), step(seeing(method, Some(student()))));
            assert_ne!(plain.0, features.0, "{method:?}");
            assert_ne!(plain.1, features.1, "{method:?}");
        }
        // One critic of the pixels, and one of either level that is neither too large nor too small.
        let trainer = seeing(Method::Sngan, Some(student()));
        let Partner::Opponent(opponent) = &trainer.partner else { panic!("no critics") };
        let names: Vec<_> = opponent.critics().map(|(name, _)| name).collect();
        assert_eq!(names, ["critic", "critic-of-level-0", "critic-of-level-1", "critic-of-level-2"]);
    }

    #[test]
    fn a_training_can_begin_at_a_generator() {
        let mut first = trainer(Method::Vae);
        (0..5).for_each(|_| drop(first.step().unwrap()));
        let weights = first.weights().unwrap();
        let second = trainer(Method::Sngan).starting_at(&weights).unwrap();
        let kernel = |trainer: &Trainer| trainer.params.weights().unwrap().find("main.0.weight").unwrap().clone();
        let wanted = weights.find("main.0.weight").unwrap();
        let far = |found: &Tensor| {
            let difference = (found - wanted).unwrap().abs().unwrap().max_all().unwrap();
            difference.to_scalar::<f32>().unwrap() > 1e-6
        };
        assert!(!far(&kernel(&second)) && far(&kernel(&trainer(Method::Sngan))));
        // The moving average begins there, too; its statistics are gathered as a mean of several.
        assert!(!far(second.weights().unwrap().find("main.0.weight").unwrap()));
    }

    #[test]
    fn averaged_weights_are_calibrated_once_a_step() {
        let mut trainer = trainer(Method::Sngan);
        trainer.step().unwrap();
        let ids = |trainer: &Trainer| -> Vec<_> { trainer.weights().unwrap().iter().map(|(_, t)| t.id()).collect() };
        let (first, samples) = (ids(&trainer), trainer.samples(2).unwrap());
        assert_eq!(ids(&trainer), first);
        trainer.step().unwrap();
        assert_ne!(ids(&trainer), first);
        assert_ne!(trainer.samples(2).unwrap(), samples);
    }

    #[test]
    fn auto_encoders_learn_a_few_pictures() {
        for method in [Method::Vae, Method::Glo] {
            let mut trainer = trainer(method);
            trainer.settings.learning_rate = 2e-3;
            trainer.settings.second_learning_rate = 1e-2;
            let first = trainer.step().unwrap().losses[0].1;
            let last = (0..60).map(|_| trainer.step().unwrap().losses[0].1).last().unwrap();
            assert!(last < 0.6 * first, "{method:?}: {first} to {last}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_with_a_sentence() {
        let trainer = trainer(Method::Sngan);
        let file = tempfile::NamedTempFile::new().unwrap();
        trainer.checkpoint().unwrap().save(file.path()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
        let error = Trainer::resume(file.path(), None, trainer.images.clone(), None, &Device::Cpu).err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
