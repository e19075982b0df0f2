//! NAM: the mapping and one latent code for every image of Y, fitted together ([NAM] eq. 4).

use super::contrast::Contrast;
use super::given::{Given, Plans, State};
use super::order::Order;
use super::{Preview, TrainReport, Trainer, decayed, finite};
use crate::model_file::LossConfig;
use crate::nam::codes::candidates;
use crate::nam::loss::{self, Target};
use crate::nam::networks::NetworkSet;
use crate::nam::random::{Purpose, normals, source};
use crate::nets::{Mapping, MappingConfig, Params, Weights};
use crate::ops::{Adam, AdamConfig, RowAdam};
use crate::plan;
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::path::Path;

const KIND: &str = "nam";

/// How NAM is trained. The default is the papers'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamSettings {
    /// The seed of everything random.
    pub seed: u64,
    /// Steps in all.
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// Adam's step size for the codes.
    pub learning_rate_codes: f64,
    /// Adam's step size for T.
    pub learning_rate_mapping: f64,
    /// The share of all steps after which both step sizes fall, on a straight line, to 0; 1: never.
    pub decay_from: f64,
    /// Codes start at N(0, deviation^2): 0.01 in the authors' code, 1 for codes as the prior's.
    pub start_deviation: f32,
    /// The range of mean darkness that what G draws is brought to before T sees it; none: as it is.
    pub contrast: Option<Contrast>,
    /// The shape of T.
    pub mapping: MappingConfig,
    /// The reconstruction loss.
    pub loss: LossConfig,
}

impl Default for NamSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 2000,
            batch: 128,
            learning_rate_codes: 0.03,
            learning_rate_mapping: 0.001,
            decay_from: 1.0,
            start_deviation: 0.01,
            contrast: None,
            mapping: MappingConfig::default(),
            loss: LossConfig::default(),
        }
    }
}

/// A run of NAM training.
pub struct NamTrainer {
    settings: NamSettings,
    given: Given,
    device: Device,
    params: Params,
    mapping: Mapping,
    plans: Plans,
    adam: Adam,
    codes: Vec<f32>,
    code_adam: RowAdam,
    order: Order,
    step: usize,
}

impl NamTrainer {
    /// Starts from random weights and codes, on the device of the generator.
    ///
    /// # Errors
    /// When networks, images and settings do not fit one another.
    pub fn new(settings: NamSettings, given: Given, device: &Device) -> Result<Self> {
        let weights = settings.mapping.initial_weights(settings.seed, device)?;
        let nz = given.generator.config().latent;
        let row = |row| normals(&mut source(settings.seed, Purpose::TrainingCodes, row), nz);
        let count = given.images.len();
        let codes = Tensor::from_vec((0..count as u64).flat_map(row).collect(), (count, nz), device)?;
        let codes = (given.generator.codes(&codes)? * f64::from(settings.start_deviation))?;
        let codes = codes.flatten_all()?.to_vec1()?;
        Self::from_parts(settings, given, &weights, codes)
    }

    /// Starts from these weights of T and these codes, `[images, nz]`.
    ///
    /// # Errors
    /// When networks, images and settings do not fit one another.
    pub fn from_parts(settings: NamSettings, given: Given, weights: &Weights, codes: Vec<f32>) -> Result<Self> {
        settings.loss.check()?;
        given.check_fit(&settings.mapping)?;
        let (nz, images) = (given.generator.config().latent, given.images.len());
        if codes.len() != images * nz {
            return Err(Error::new("There must be one latent code for every image."));
        }
        let device = weights.get("head.weight", &head_shape(&settings.mapping))?.device().clone();
        let params = Params::trainable(weights)?;
        let mapping = Mapping::new(&settings.mapping, &params)?;
        let rates = |learning_rate| AdamConfig { learning_rate, ..AdamConfig::default() };
        Ok(Self {
            adam: params.adam(rates(settings.learning_rate_mapping)),
            code_adam: RowAdam::new(images, nz, rates(settings.learning_rate_codes)),
            order: Order::new(settings.seed, images, settings.batch),
            step: 0,
            settings,
            plans: given.plans(),
            given,
            device,
            params,
            mapping,
            codes,
        })
    }

    /// Goes on from a checkpoint; what is given must be the same again.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or what is given is not what the run had.
    pub fn resume(path: &Path, given: Given, device: &Device) -> Result<Self> {
        let (checkpoint, State { settings, step, .. }) = given.resume(path, KIND)?;
        let weights = checkpoint.weights("mapping.", device)?;
        let mut trainer = Self::from_parts(settings, given, &weights, checkpoint.values("codes")?)?;
        checkpoint.restore_adam("adam.", &mut trainer.adam)?;
        checkpoint.restore_row_adam("codes.", &mut trainer.code_adam)?;
        trainer.step = step;
        Ok(trainer)
    }

    /// The settings.
    pub fn settings(&self) -> &NamSettings {
        &self.settings
    }

    /// Asks for another number of steps in all, to go on after the planned end.
    pub fn set_steps(&mut self, steps: usize) {
        self.settings.steps = steps;
    }

    /// The codes of all images, `[images, nz]`.
    pub fn codes(&self) -> &[f32] {
        &self.codes
    }

    fn code_batch(&self, rows: &[usize]) -> Result<Tensor> {
        let nz = self.given.generator.config().latent;
        let values: Vec<f32> = rows.iter().flat_map(|&row| &self.codes[row * nz..(row + 1) * nz]).copied().collect();
        Ok(Tensor::from_vec(values, (rows.len(), nz), &self.device)?)
    }
}

impl Trainer for NamTrainer {
    fn step(&mut self) -> Result<TrainReport> {
        let share = decayed(self.step, self.settings.steps, self.settings.decay_from);
        self.adam.set_learning_rate(self.settings.learning_rate_mapping * share);
        self.code_adam.set_learning_rate(self.settings.learning_rate_codes * share);
        let rows = self.order.rows(self.step).to_vec();
        let y = self.given.images.batch(&rows, &self.device)?;
        let perceptual = self.plans.perceptual.as_ref();
        let target = Target::new(&self.settings.loss, perceptual, &y)?;
        let z = Var::from_tensor(&self.code_batch(&rows)?)?;
        let x = self.plans.generator.forward(&*self.given.generator, &z, 1)?;
        let x = match self.settings.contrast {
            Some(contrast) => {
                contrast.apply(&x, &mut source(self.settings.seed, Purpose::Contrast, self.step as u64))?
            }
            None => x,
        };
        let reconstruction = self.plans.mapping.forward(&self.mapping, &x, 1)?;
        let losses = loss::reconstruction(&self.settings.loss, perceptual, &reconstruction, &target)?;
        let mean = losses.mean_all()?;
        let loss = finite(mean.to_scalar()?, self.step + 1)?;
        let gradients = plan::train::gradients(&mean)?;
        let gradient = gradients.get(&z).ok_or_else(|| Error::new("The loss does not depend on the latent codes."))?;
        let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
        let nz = self.given.generator.config().latent;
        for (&row, gradient) in rows.iter().zip(gradient.chunks_exact(nz)) {
            self.code_adam.step_row(&mut self.codes, row, gradient);
        }
        self.adam.step(&gradients)?;
        let epoch = self.order.epoch(self.step);
        self.step += 1;
        Ok(TrainReport { step: self.step, steps: self.settings.steps, epoch, loss, reconstruction: loss, kl: None })
    }

    fn step_count(&self) -> usize {
        self.step
    }

    fn planned_steps(&self) -> usize {
        self.settings.steps
    }

    fn networks(&self) -> Result<NetworkSet> {
        let mapping = Mapping::new(&self.settings.mapping, &Params::frozen(self.params.weights()?))?;
        Ok(self.given.networks(mapping, None, &self.settings.loss))
    }

    fn mapping_weights(&self) -> Result<Weights> {
        self.params.weights()
    }

    fn encoder_weights(&self) -> Result<Option<Weights>> {
        Ok(None)
    }

    fn preview(&self, count: usize) -> Result<Preview> {
        let rows: Vec<usize> = (0..count.min(self.given.images.len())).collect();
        let y = self.given.images.batch(&rows, &self.device)?;
        let candidates = candidates(&self.networks()?, &y, &self.code_batch(&rows)?)?;
        Ok(Preview { y, candidates })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let mut checkpoint = self.given.checkpoint(KIND, &self.settings, self.step)?;
        checkpoint.put_weights("mapping.", &self.params.weights()?)?;
        checkpoint.put_adam("adam.", &self.adam)?;
        let shape = [self.given.images.len(), self.given.generator.config().latent];
        checkpoint.put("codes", &shape, self.codes.clone())?;
        checkpoint.put_row_adam("codes.", &self.code_adam)?;
        checkpoint.save(path)
    }
}

fn head_shape(config: &MappingConfig) -> [usize; 4] {
    [config.outputs, config.width, 3, 3]
}
