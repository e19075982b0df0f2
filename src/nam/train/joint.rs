//! NAM: the mapping and one latent code for every image of Y, fitted together ([NAM] eq. 4).

use super::checkpoint::Checkpoint;
use super::contrast::Contrast;
use super::images::{Images, Order};
use super::{Preview, TrainReport, Trainer, decayed, finite};
use crate::model_file::LossConfig;
use crate::nam::codes::candidates;
use crate::nam::loss::{self, Target};
use crate::nam::networks::NetworkSet;
use crate::nam::random::{Purpose, normals, source};
use crate::nets::{Generator, Mapping, MappingConfig, Params, Perceptual, Statistics, Weights};
use crate::ops::RowAdam;
use crate::ops::{Adam, AdamConfig};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

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

#[derive(Serialize, Deserialize)]
struct State {
    settings: NamSettings,
    step: usize,
    images: String,
}

/// A run of NAM training.
pub struct NamTrainer {
    settings: NamSettings,
    generator: Arc<Generator>,
    perceptual: Option<Arc<Perceptual>>,
    images: Images,
    device: Device,
    params: Params,
    mapping: Mapping,
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
    pub fn new(
        settings: NamSettings,
        generator: Arc<Generator>,
        images: Images,
        perceptual: Option<Arc<Perceptual>>,
        device: &Device,
    ) -> Result<Self> {
        let weights = settings.mapping.initial_weights(settings.seed, device)?;
        let nz = generator.config().latent;
        let row = |row| normals(&mut source(settings.seed, Purpose::TrainingCodes, row), nz);
        let codes = (0..images.len() as u64).flat_map(row).map(|v| v * settings.start_deviation).collect();
        Self::from_parts(settings, generator, images, perceptual, &weights, codes)
    }

    /// Starts from these weights of T and these codes, `[images, nz]`.
    ///
    /// # Errors
    /// When networks, images and settings do not fit one another.
    pub fn from_parts(
        settings: NamSettings,
        generator: Arc<Generator>,
        images: Images,
        perceptual: Option<Arc<Perceptual>>,
        weights: &Weights,
        codes: Vec<f32>,
    ) -> Result<Self> {
        settings.loss.check()?;
        let nz = generator.config().latent;
        check_fit(generator.config(), &settings.mapping, &images)?;
        if codes.len() != images.len() * nz {
            return Err(Error::new("There must be one latent code for every image."));
        }
        let device = weights.get("head.weight", &head_shape(&settings.mapping))?.device().clone();
        let params = Params::trainable(weights)?;
        let mapping = Mapping::new(&settings.mapping, &params)?;
        let rates = |learning_rate| AdamConfig { learning_rate, ..AdamConfig::default() };
        let variables = params.vars().into_iter().map(|(_, variable)| variable).collect();
        Ok(Self {
            adam: Adam::new(variables, rates(settings.learning_rate_mapping)),
            code_adam: RowAdam::new(images.len(), nz, rates(settings.learning_rate_codes)),
            order: Order::new(settings.seed, images.len(), settings.batch),
            step: 0,
            settings,
            generator,
            perceptual,
            images,
            device,
            params,
            mapping,
            codes,
        })
    }

    /// Goes on from a checkpoint, with the same generator, images and perceptual network.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or what is given is not what the run had.
    pub fn resume(
        path: &Path,
        generator: Arc<Generator>,
        images: Images,
        perceptual: Option<Arc<Perceptual>>,
        device: &Device,
    ) -> Result<Self> {
        let mut checkpoint = Checkpoint::open(path, KIND)?;
        let State { settings, step, images: fingerprint } = checkpoint.state()?;
        if fingerprint != images.fingerprint() {
            return Err(Error::new(
                "The checkpoint was made with other images; give it the same ones in the same order.",
            ));
        }
        let weights = checkpoint.weights("mapping.", device)?;
        let codes = checkpoint.take("codes")?;
        let mut trainer = Self::from_parts(settings, generator, images, perceptual, &weights, codes)?;
        checkpoint.restore_adam("adam.", &mut trainer.adam)?;
        let steps = checkpoint.take("codes.steps")?.into_iter().map(|steps| steps as u32).collect();
        let (first, second) = (checkpoint.take("codes.first")?, checkpoint.take("codes.second")?);
        trainer.code_adam.restore(first, second, steps)?;
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
        let nz = self.generator.config().latent;
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
        let y = self.images.batch(&rows, &self.device)?;
        let target = Target::new(&self.settings.loss, self.perceptual.as_deref(), &y)?;
        let z = Var::from_tensor(&self.code_batch(&rows)?)?;
        let x = self.generator.forward(&z, Statistics::Running)?;
        let x = match self.settings.contrast {
            Some(contrast) => {
                contrast.apply(&x, &mut source(self.settings.seed, Purpose::Contrast, self.step as u64))?
            }
            None => x,
        };
        let reconstruction = self.mapping.forward(&x, Statistics::Batch)?;
        let losses = loss::reconstruction(&self.settings.loss, self.perceptual.as_deref(), &reconstruction, &target)?;
        let mean = losses.mean_all()?;
        let loss = finite(mean.to_scalar()?, self.step + 1)?;
        let gradients = mean.backward()?;
        let gradient = gradients.get(&z).ok_or_else(|| Error::new("The loss does not depend on the latent codes."))?;
        let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
        let nz = self.generator.config().latent;
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
        Ok(NetworkSet {
            generator: self.generator.clone(),
            mapping: Arc::new(mapping),
            encoder: None,
            perceptual: self.perceptual.clone(),
            loss: self.settings.loss.clone(),
        })
    }

    fn mapping_weights(&self) -> Result<Weights> {
        self.params.weights()
    }

    fn encoder_weights(&self) -> Result<Option<Weights>> {
        Ok(None)
    }

    fn preview(&self, count: usize) -> Result<Preview> {
        let rows: Vec<usize> = (0..count.min(self.images.len())).collect();
        let y = self.images.batch(&rows, &self.device)?;
        let candidates = candidates(&self.networks()?, &y, &self.code_batch(&rows)?)?;
        Ok(Preview { y, candidates })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let state = State { settings: self.settings.clone(), step: self.step, images: self.images.fingerprint() };
        let mut checkpoint = Checkpoint::new(KIND, &state)?;
        checkpoint.put_weights("mapping.", &self.params.weights()?)?;
        checkpoint.put_adam("adam.", &self.adam);
        let shape = [self.images.len(), self.generator.config().latent];
        let (first, second, steps) = self.code_adam.state();
        checkpoint.put("codes", &shape, self.codes.clone());
        checkpoint.put("codes.first", &shape, first.to_vec());
        checkpoint.put("codes.second", &shape, second.to_vec());
        checkpoint.put("codes.steps", &shape[..1], steps.iter().map(|&steps| steps as f32).collect());
        checkpoint.save(path)
    }
}

fn head_shape(config: &MappingConfig) -> [usize; 4] {
    [config.outputs, config.width, 3, 3]
}

/// Whether a prior, a mapping and images of Y can work together.
pub(super) fn check_fit(
    generator: &crate::nets::GeneratorConfig,
    mapping: &MappingConfig,
    images: &Images,
) -> Result<()> {
    if mapping.size != generator.size || mapping.inputs != generator.channels {
        let (size, channels) = (generator.size, generator.channels);
        return Err(Error::new(format!(
            "The mapping must take what the generator draws: {size} pixels a side in {channels} channels."
        )));
    }
    if images.size() != mapping.size || images.channels() != mapping.outputs {
        return Err(Error::new(format!(
            "The images have {} pixels a side in {} channels where the mapping gives {} in {}.",
            images.size(),
            images.channels(),
            mapping.size,
            mapping.outputs
        )));
    }
    Ok(())
}
