//! AE-NAM and VAE-NAM: the mapping and an encoder, fitted together (Hoshen, NeurIPS 2018).

use super::contrast::Contrast;
use super::given::{Given, Plans, State};
use super::order::Order;
use super::{Preview, TrainReport, Trainer, decayed, finite};
use crate::data::Move;
use crate::model_file::LossConfig;
use crate::nam::codes::candidates;
use crate::nam::loss::{self, Target};
use crate::nam::networks::NetworkSet;
use crate::nam::random::{Purpose, normals, source};
use crate::nets::encoder::Posterior;
use crate::nets::{Encoder, EncoderConfig, Mapping, MappingConfig, Params, Statistics, Weights};
use crate::ops::{Adam, AdamConfig};
use crate::plan;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

const KIND: &str = "vae-nam";

/// How AE-NAM and VAE-NAM are trained. The default is VAE-NAM as in the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeNamSettings {
    /// The seed of everything random.
    pub seed: u64,
    /// Steps in all.
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// Adam's step size for T; 1e-3 if it diverges.
    pub learning_rate_mapping: f64,
    /// Adam's step size for E; 1e-3 if it diverges.
    pub learning_rate_encoder: f64,
    /// Both step sizes rise over so many steps: Adam's first steps are as large as its later ones whatever the
    /// gradients, and E starts so near zero that a full one would throw its variances out of all bounds.
    pub warm_up_steps: usize,
    /// The share of all steps after which both step sizes fall, on a straight line, to 0; 1: never.
    pub decay_from: f64,
    /// Whether codes are drawn from the posterior (VAE-NAM) or are its means (AE-NAM).
    pub variational: bool,
    /// The weight of the KL divergence.
    pub beta: f64,
    /// Its weight in the first epochs.
    pub warm_up_beta: f64,
    /// How many epochs these are.
    pub warm_up_epochs: usize,
    /// Images are moved by up to so many pixels.
    pub shift: usize,
    /// The range of mean darkness that what G draws is brought to before T sees it; none: as it is.
    pub contrast: Option<Contrast>,
    /// The weight of the divergence of all posteriors together, [`loss::aggregate_kl`]: without it every y gets
    /// counterparts of the kind that T explains most easily.
    pub aggregate: f64,
    /// The weight of the sleep phase of wake-sleep (Hinton et al., Science 1995): in every step E also learns to find the
    /// random codes of as many T(G(z)), by [`loss::negative_log_density`]. So it learns all that G can draw,
    /// where the images of Y teach it what explains them most easily.
    pub sleep: f64,
    /// T stays as it was given, and E alone learns.
    pub fixed_mapping: bool,
    /// The shape of T.
    pub mapping: MappingConfig,
    /// The shape of E.
    pub encoder: EncoderConfig,
    /// The reconstruction loss.
    pub loss: LossConfig,
}

impl Default for VaeNamSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 4000,
            batch: 128,
            learning_rate_mapping: 3e-3,
            learning_rate_encoder: 3e-3,
            warm_up_steps: 100,
            decay_from: 1.0,
            variational: true,
            beta: 1e-3,
            warm_up_beta: 1e-6,
            warm_up_epochs: 4,
            shift: 2,
            contrast: None,
            aggregate: 0.0,
            sleep: 0.0,
            fixed_mapping: false,
            mapping: MappingConfig::default(),
            encoder: EncoderConfig::default(),
            loss: LossConfig::default(),
        }
    }
}

impl VaeNamSettings {
    /// AE-NAM: no noise and no divergence.
    pub fn ae_nam() -> Self {
        Self { variational: false, beta: 0.0, warm_up_beta: 0.0, ..Self::default() }
    }
}

/// A run of AE-NAM or VAE-NAM training.
pub struct VaeNamTrainer {
    settings: VaeNamSettings,
    given: Given,
    device: Device,
    mapping_params: Params,
    encoder_params: Params,
    mapping: Mapping,
    encoder: Encoder,
    plans: Plans,
    mapping_adam: Adam,
    encoder_adam: Adam,
    order: Order,
    step: usize,
}

impl VaeNamTrainer {
    /// Starts from random weights.
    ///
    /// # Errors
    /// When networks, images and settings do not fit one another.
    pub fn new(settings: VaeNamSettings, given: Given, device: &Device) -> Result<Self> {
        let mapping = settings.mapping.initial_weights(settings.seed, device)?;
        let encoder = settings.encoder.initial_weights(settings.seed.wrapping_add(1), device)?;
        Self::from_parts(settings, given, (&mapping, &encoder), device)
    }

    /// Fits an encoder to a mapping that is there already, from NAM for example, and stays as it is.
    ///
    /// # Errors
    /// When networks, images and settings do not fit one another.
    pub fn with_mapping(settings: VaeNamSettings, mapping: &Weights, given: Given, device: &Device) -> Result<Self> {
        let encoder = settings.encoder.initial_weights(settings.seed.wrapping_add(1), device)?;
        Self::from_parts(VaeNamSettings { fixed_mapping: true, ..settings }, given, (mapping, &encoder), device)
    }

    fn from_parts(
        settings: VaeNamSettings,
        given: Given,
        (mapping, encoder): (&Weights, &Weights),
        device: &Device,
    ) -> Result<Self> {
        settings.loss.check()?;
        given.check_fit(&settings.mapping)?;
        let Given { generator, images, .. } = &given;
        let EncoderConfig { latent, channels, size, .. } = settings.encoder;
        if (latent, channels, size) != (generator.config().latent, images.channels(), images.size()) {
            return Err(Error::new("The encoder must take the images as they are and give the generator's codes."));
        }
        let mapping_params =
            if settings.fixed_mapping { Params::frozen(mapping.clone()) } else { Params::trainable(mapping)? };
        let encoder_params = Params::trainable(encoder)?;
        let rates = |learning_rate| AdamConfig { learning_rate, ..AdamConfig::default() };
        Ok(Self {
            mapping: Mapping::new(&settings.mapping, &mapping_params)?,
            encoder: Encoder::new(&settings.encoder, &encoder_params)?,
            mapping_adam: mapping_params.adam(rates(settings.learning_rate_mapping)),
            encoder_adam: encoder_params.adam(rates(settings.learning_rate_encoder)),
            order: Order::new(settings.seed, images.len(), settings.batch),
            plans: given.plans(),
            step: 0,
            device: device.clone(),
            settings,
            given,
            mapping_params,
            encoder_params,
        })
    }

    /// Goes on from a checkpoint; what is given must be the same again.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or what is given is not what the run had.
    pub fn resume(path: &Path, given: Given, device: &Device) -> Result<Self> {
        let (checkpoint, State { settings, step, .. }) = given.resume(path, KIND)?;
        let weights = (checkpoint.weights("mapping.", device)?, checkpoint.weights("encoder.", device)?);
        let mut trainer = Self::from_parts(settings, given, (&weights.0, &weights.1), device)?;
        checkpoint.restore_adam("adam.mapping.", &mut trainer.mapping_adam)?;
        checkpoint.restore_adam("adam.encoder.", &mut trainer.encoder_adam)?;
        trainer.step = step;
        Ok(trainer)
    }

    /// The settings.
    pub fn settings(&self) -> &VaeNamSettings {
        &self.settings
    }

    /// Asks for another number of steps in all, to go on after the planned end.
    pub fn set_steps(&mut self, steps: usize) {
        self.settings.steps = steps;
    }

    /// The posteriors of `y: [n, cy, s, s]`, and where there is a sleep phase, the mean negative log density of the codes of
    /// n images that T(G(z)) draws. Both go through E as one batch, so that its running statistics are those it learns in.
    fn posteriors(&self, y: &Tensor) -> Result<(Posterior, Option<Tensor>)> {
        let encode = |images: &Tensor| -> Result<Tensor> {
            Ok(self.plans.encoder.forward(self.encoder.body(), images, 1)?.flatten_from(1)?)
        };
        // Where variances are not learned there is no density.
        if self.settings.sleep == 0.0 || !self.settings.variational {
            return Ok((self.encoder.posterior(&encode(y)?)?, None));
        }
        let (count, latent) = (y.dim(0)?, self.settings.encoder.latent);
        let noise = normals(&mut source(self.settings.seed, Purpose::Sleep, self.step as u64), count * latent);
        let z = self.given.generator.codes(&Tensor::from_vec(noise, (count, latent), &self.device)?)?;
        let x = self.drawn(&z, Purpose::SleepContrast)?;
        let drawn = self.mapping.forward(&x, Statistics::Running)?.detach();
        let all = encode(&Tensor::cat(&[y, &drawn], 0)?)?;
        let part = |start| self.encoder.posterior(&all.narrow(0, start, count)?);
        let missed = loss::negative_log_density(&part(count)?, &z)?.mean_all()?;
        Ok((part(0)?, Some(missed)))
    }

    /// What G draws for codes, as T is to see it.
    fn drawn(&self, z: &Tensor, purpose: Purpose) -> Result<Tensor> {
        let x = self.plans.generator.forward(&*self.given.generator, z, 1)?;
        match self.settings.contrast {
            Some(contrast) => contrast.apply(&x, &mut source(self.settings.seed, purpose, self.step as u64)),
            None => Ok(x),
        }
    }

    /// The weight of the divergence at the step that comes next.
    fn beta(&self) -> f64 {
        let warm = self.order.epoch(self.step) < self.settings.warm_up_epochs;
        if warm { self.settings.warm_up_beta } else { self.settings.beta }
    }
}

impl Trainer for VaeNamTrainer {
    fn step(&mut self) -> Result<TrainReport> {
        let risen = ((self.step + 1) as f64 / self.settings.warm_up_steps.max(1) as f64).min(1.0);
        let share = risen * decayed(self.step, self.settings.steps, self.settings.decay_from);
        self.mapping_adam.set_learning_rate(self.settings.learning_rate_mapping * share);
        self.encoder_adam.set_learning_rate(self.settings.learning_rate_encoder * share);
        let (seed, step) = (self.settings.seed, self.step as u64);
        let rows = self.order.rows(self.step).to_vec();
        let mut moves = source(seed, Purpose::Augmentation, step);
        let next = || Move::draw(self.settings.shift, &mut moves);
        let y = self.given.images.moved_batch(&rows, next, &self.device)?;
        let perceptual = self.plans.perceptual.as_ref();
        let target = Target::new(&self.settings.loss, perceptual, &y)?;
        let (posterior, asleep) = self.posteriors(&y)?;
        let z = if self.settings.variational {
            let noise = normals(&mut source(seed, Purpose::Noise, step), posterior.mu.elem_count());
            posterior.sample(&Tensor::from_vec(noise, posterior.mu.shape(), &self.device)?)?
        } else {
            posterior.mu.clone()
        };
        let x = self.drawn(&z, Purpose::Contrast)?;
        let reconstruction = self.plans.mapping.forward(&self.mapping, &x, 1)?;
        let losses = loss::reconstruction(&self.settings.loss, perceptual, &reconstruction, &target)?;
        let mean = losses.mean_all()?;
        let beta = self.beta();
        let (total, kl) = if self.settings.variational {
            let kl = loss::kl(&posterior)?.mean_all()?;
            ((&mean + (&kl * beta)?)?, Some(kl.to_scalar::<f32>()?))
        } else {
            (mean.clone(), None)
        };
        let total = match self.settings.aggregate {
            0.0 => total,
            weight => (total + (loss::aggregate_kl(&posterior)? * weight)?)?,
        };
        let total = match asleep {
            None => total,
            Some(missed) => (total + (missed * self.settings.sleep)?)?,
        };
        let loss = finite(total.to_scalar()?, self.step + 1)?;
        let gradients = plan::train::gradients(&total)?;
        self.mapping_adam.step(&gradients)?;
        self.encoder_adam.step(&gradients)?;
        let epoch = self.order.epoch(self.step);
        self.step += 1;
        let reconstruction = mean.to_scalar()?;
        Ok(TrainReport { step: self.step, steps: self.settings.steps, epoch, loss, reconstruction, kl })
    }

    fn step_count(&self) -> usize {
        self.step
    }

    fn planned_steps(&self) -> usize {
        self.settings.steps
    }

    fn networks(&self) -> Result<NetworkSet> {
        let mapping = Mapping::new(&self.settings.mapping, &Params::frozen(self.mapping_params.weights()?))?;
        let encoder = Encoder::new(&self.settings.encoder, &Params::frozen(self.encoder_params.weights()?))?;
        Ok(self.given.networks(mapping, Some(encoder), &self.settings.loss))
    }

    fn mapping_weights(&self) -> Result<Weights> {
        self.mapping_params.weights()
    }

    fn encoder_weights(&self) -> Result<Option<Weights>> {
        Ok(Some(self.encoder_params.weights()?))
    }

    fn preview(&self, count: usize) -> Result<Preview> {
        let rows: Vec<usize> = (0..count.min(self.given.images.len())).collect();
        let y = self.given.images.batch(&rows, &self.device)?;
        let networks = self.networks()?;
        let posterior = crate::nam::posterior(&networks, &y)?;
        let candidates = candidates(&networks, &y, &posterior.mu)?;
        Ok(Preview { y, candidates })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let mut checkpoint = self.given.checkpoint(KIND, &self.settings, self.step)?;
        checkpoint.put_weights("mapping.", &self.mapping_params.weights()?)?;
        checkpoint.put_weights("encoder.", &self.encoder_params.weights()?)?;
        checkpoint.put_adam("adam.mapping.", &self.mapping_adam)?;
        checkpoint.put_adam("adam.encoder.", &self.encoder_adam)?;
        checkpoint.save(path)
    }
}
