//! Training the judges that results are measured with: on labelled pictures, which no mapping ever sees.

use crate::data::{Images, Move};
use crate::nets::weights::normal_values;
use crate::nets::{Checkpoint, Judge, JudgeConfig, Params, Statistics, Verdict, Weights};
use crate::ops::{Adam, AdamConfig};
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::path::Path;

const KIND: &str = "judge";

/// How a judge is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeSettings {
    /// The seed of everything random.
    pub seed: u64,
    /// Steps in all.
    pub steps: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Adam's step size at the beginning; it falls to 0 on a straight line.
    pub learning_rate: f64,
    /// Pictures are moved by up to so many pixels.
    pub shift: usize,
    /// Contrast and brightness change by up to this share.
    pub jitter: f32,
    /// Every second picture is a negative.
    pub negatives: bool,
    /// Noise of up to this deviation is added.
    pub noise: f32,
    /// The shape.
    pub judge: JudgeConfig,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 5000,
            batch: 64,
            learning_rate: 1e-3,
            shift: 2,
            jitter: 0.0,
            negatives: false,
            noise: 0.0,
            judge: JudgeConfig::default(),
        }
    }
}

/// A run of a judge's training.
pub struct JudgeTrainer {
    settings: JudgeSettings,
    images: Images,
    labels: Vec<f32>,
    device: Device,
    params: Params,
    judge: Judge,
    adam: Adam,
    step: usize,
}

#[derive(Serialize, Deserialize)]
struct State {
    settings: JudgeSettings,
    step: usize,
    images: String,
}

impl JudgeTrainer {
    /// Starts from random weights. `labels` are the classes, from 0 up, or the angles in degrees.
    ///
    /// # Errors
    /// When labels and images do not fit one another or the judge.
    pub fn new(settings: JudgeSettings, images: Images, labels: Vec<f32>, device: &Device) -> Result<Self> {
        let weights = settings.judge.initial_weights(settings.seed, device)?;
        Self::from_weights(settings, images, labels, &weights, device)
    }

    fn from_weights(
        settings: JudgeSettings,
        images: Images,
        labels: Vec<f32>,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let config = settings.judge;
        if (images.len(), images.channels(), images.size()) != (labels.len(), config.channels, config.size) {
            return Err(Error::new("A judge learns from pictures of its size, with a label for each."));
        }
        let class = |label: &f32| label.fract() == 0.0 && (0.0..config.outputs as f32).contains(label);
        if config.verdict == Verdict::Class && !labels.iter().all(class) {
            let last = config.outputs - 1;
            return Err(Error::new(format!("The labels must be whole numbers from 0 to {last}, one for each class.")));
        }
        let params = Params::trainable(weights)?;
        let judge = Judge::new(&config, &params)?;
        let rates = AdamConfig { learning_rate: settings.learning_rate, beta1: 0.9, ..AdamConfig::default() };
        let adam = params.adam(rates);
        Ok(Self { settings, images, labels, device: device.clone(), params, judge, adam, step: 0 })
    }

    /// Goes on from a checkpoint, with the same pictures.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or the pictures are others.
    pub fn resume(path: &Path, images: Images, labels: Vec<f32>, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, KIND)?;
        let State { settings, step, images: known } = checkpoint.state()?;
        if known != images.fingerprint() {
            return Err(Error::new("The run was on other images; name the same ones again, or start a new run."));
        }
        let weights = checkpoint.weights("weights.", device)?;
        let mut trainer = Self::from_weights(settings, images, labels, &weights, device)?;
        checkpoint.restore_adam("adam.", &mut trainer.adam)?;
        trainer.step = step;
        Ok(trainer)
    }

    /// Writes everything that resuming needs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let state = State { settings: self.settings.clone(), step: self.step, images: self.images.fingerprint() };
        let mut checkpoint = Checkpoint::new(KIND, &state)?;
        checkpoint.put_weights("weights.", &self.params.weights()?)?;
        checkpoint.put_adam("adam.", &self.adam)?;
        checkpoint.save(path)
    }

    /// The settings.
    pub fn settings(&self) -> &JudgeSettings {
        &self.settings
    }

    /// Steps taken so far.
    pub fn step_count(&self) -> usize {
        self.step
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weights(&self) -> Result<Weights> {
        self.params.weights()
    }

    /// The judge as it is now, frozen.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn judge(&self) -> Result<Judge> {
        Judge::new(&self.settings.judge, &Params::frozen(self.weights()?))
    }

    /// One step; its loss.
    ///
    /// # Errors
    /// When the computation fails, or the loss is no longer a number.
    pub fn step(&mut self) -> Result<f32> {
        let JudgeSettings { seed, steps, batch, learning_rate, .. } = self.settings;
        let share = 1.0 - self.step as f64 / steps.max(1) as f64;
        self.adam.set_learning_rate(learning_rate * share.max(0.0));
        let batch = batch.clamp(1, self.images.len());
        let batches = self.images.len() / batch;
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.shuffle(&mut source(seed, (self.step / batches) as u64, 1));
        let rows = &order[self.step % batches * batch..][..batch];
        let mut random = source(seed, self.step as u64, 2);
        let x = self.images.moved_batch(rows, || Move::draw(self.settings.shift, &mut random), &self.device)?;
        let x = self.changed(x, &mut random)?;
        let labels: Vec<f32> = rows.iter().map(|&row| self.labels[row]).collect();
        let said = self.judge.forward(&x, Statistics::Batch)?;
        let loss = match self.settings.judge.verdict {
            Verdict::Class => cross_entropy(&said, &labels)?,
            Verdict::Angle => {
                // Nearly the absolute difference: its median is what is measured.
                let wanted: Vec<f32> = labels.iter().map(|angle| angle / 90.0).collect();
                let wanted = Tensor::from_vec(wanted, (labels.len(), 1), &self.device)?;
                ((said - wanted)?.sqr()? + 1e-5)?.sqrt()?.mean_all()?
            }
        };
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            let step = self.step + 1;
            return Err(Error::new(format!("The loss is no longer a number at step {step}; lower --learning-rate.")));
        }
        self.adam.step(&loss.backward()?)?;
        self.step += 1;
        Ok(value)
    }

    /// Pictures with other contrast, brightness and noise.
    fn changed(&self, x: Tensor, random: &mut StdRng) -> Result<Tensor> {
        let JudgeSettings { jitter, negatives, noise, .. } = self.settings;
        if jitter == 0.0 && !negatives && noise == 0.0 {
            return Ok(x);
        }
        let count = x.dim(0)?;
        let (mut scales, mut shifts) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut within = |reach: f32| if reach > 0.0 { random.random_range(-reach..reach) } else { 0.0 };
            let (scale, shift) = (1.0 + within(jitter), within(jitter));
            let sign = if negatives && random.random_bool(0.5) { -1.0 } else { 1.0 };
            scales.push(scale * sign);
            shifts.push(shift);
        }
        let column = |values: Vec<f32>| Tensor::from_vec(values, (count, 1, 1, 1), x.device());
        let changed = x.broadcast_mul(&column(scales)?)?.broadcast_add(&column(shifts)?)?;
        if noise == 0.0 {
            return Ok(changed);
        }
        let values = normal_values(random, x.elem_count(), 0.0, noise);
        Ok((changed + Tensor::from_vec(values, x.shape(), x.device())?)?)
    }
}

fn source(seed: u64, place: u64, purpose: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place.wrapping_mul(4).wrapping_add(purpose))
}

/// The mean over rows of -log softmax at the label, for `logits: [n, classes]`.
fn cross_entropy(logits: &Tensor, labels: &[f32]) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    let mut chosen = vec![0f32; rows * classes];
    labels.iter().enumerate().for_each(|(row, &label)| chosen[row * classes + label as usize] = 1.0);
    let chosen = Tensor::from_vec(chosen, (rows, classes), logits.device())?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let total = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let log = shifted.broadcast_sub(&total)?;
    Ok(((log * chosen)?.sum_all()? * (-1.0 / rows as f64))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{accuracy, angle_residual};

    /// Bright spots: in one of four corners, or further right the larger the angle.
    fn spots(count: usize, verdict: Verdict, seed: u64) -> (Images, Vec<f32>) {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let corner = random.random_range(0..4);
            let angle: f32 = random.random_range(-75.0..75.0);
            let (row, column, label) = match verdict {
                Verdict::Class => (8.0 + 16.0 * (corner / 2) as f32, 8.0 + 16.0 * (corner % 2) as f32, corner as f32),
                Verdict::Angle => (16.0, 16.0 + angle / 6.0, angle),
            };
            let at = |i: usize| ((i / 32) as f32 - row).powi(2) + ((i % 32) as f32 - column).powi(2);
            values.extend((0..1024).map(|i| 2.0 * (-at(i) / 12.0).exp() - 1.0 + random.random_range(-0.2..0.2)));
            labels.push(label);
        }
        let images = Tensor::from_vec(values, (count, 1, 32, 32), &Device::Cpu).unwrap();
        (Images::from_tensor(&images).unwrap(), labels)
    }

    fn settings(verdict: Verdict, steps: usize) -> JudgeSettings {
        let outputs = if verdict == Verdict::Class { 4 } else { 1 };
        let judge = JudgeConfig { verdict, outputs, width: 4, channels: 1, size: 32 };
        JudgeSettings { steps, batch: 32, learning_rate: 5e-3, shift: 0, judge, ..JudgeSettings::default() }
    }

    #[test]
    fn judges_learn_classes_and_angles() {
        for (verdict, steps) in [(Verdict::Class, 25), (Verdict::Angle, 150)] {
            let (images, labels) = spots(256, verdict, 1);
            let mut trainer = JudgeTrainer::new(settings(verdict, steps), images, labels, &Device::Cpu).unwrap();
            (0..steps).for_each(|_| assert!(trainer.step().unwrap().is_finite()));
            let (test, wanted) = spots(64, verdict, 2);
            let x = test.batch(&(0..64).collect::<Vec<_>>(), &Device::Cpu).unwrap();
            let said = trainer.judge().unwrap().verdicts(&x).unwrap();
            match verdict {
                Verdict::Class => assert!(accuracy(&said, &wanted) > 0.9, "{}", accuracy(&said, &wanted)),
                Verdict::Angle => assert!(angle_residual(&said, &wanted) < 8.0, "{}", angle_residual(&said, &wanted)),
            }
        }
    }

    #[test]
    fn a_resumed_judge_is_the_one_that_was_never_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.checkpoint");
        let (images, labels) = spots(40, Verdict::Class, 1);
        let settings = JudgeSettings { jitter: 0.2, negatives: true, shift: 1, ..settings(Verdict::Class, 6) };
        let new = || JudgeTrainer::new(settings.clone(), images.clone(), labels.clone(), &Device::Cpu).unwrap();
        let (mut through, mut stopped) = (new(), new());
        let losses: Vec<f32> = (0..5).map(|_| through.step().unwrap()).collect();
        (0..3).for_each(|_| assert!(stopped.step().is_ok()));
        stopped.save(&path).unwrap();
        let mut resumed = JudgeTrainer::resume(&path, images.clone(), labels.clone(), &Device::Cpu).unwrap();
        assert_eq!([resumed.step().unwrap(), resumed.step().unwrap()], losses[3..]);
        let (others, labels) = spots(40, Verdict::Class, 9);
        assert!(JudgeTrainer::resume(&path, others.clone(), labels.clone(), &Device::Cpu).is_err());
        let wrong = labels.iter().map(|label| label + 0.5).collect();
        assert!(JudgeTrainer::new(settings, others, wrong, &Device::Cpu).is_err());
    }
}
