//! The perceptual student: a small network that learns to see what a large one sees, on the images of a model.
//!
//! No large pre-trained network can travel inside a model file, and it would dominate the time of solving. The student
//! learns from a teacher on the photographs of X and the images of Y, and above all on imperfect ones (blurred, faint,
//! out of place, half another image), because between those it will measure. Two things are asked of it at every level:
//! that a learned 1x1 projection of its features gives the teacher's (each level's error divided by the variance of the
//! teacher's features), and that its distance between two images is the teacher's distance (squared difference of
//! logarithms), so that its loss can stand for the teacher's in size and order.

mod agreement;

pub use agreement::{Agreement, agreement, spearman};

use super::distort::{colour, distorted, moved};
use super::random::{Purpose, source};
use super::train::{decayed, finite};
use crate::data::Images;
use crate::nets::weights::Initialiser;
use crate::nets::{Checkpoint, Params, Perceptual, PerceptualConfig, PerceptualKind, Weights};
use crate::ops::{self, Adam, AdamConfig};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

const KIND: &str = "student";

/// How a student is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StudentSettings {
    /// The seed of everything random.
    pub seed: u64,
    /// Steps in all.
    pub steps: usize,
    /// Pairs of images a step.
    pub pairs: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// The share of all steps after which the step size falls, on a straight line, to 0; 1: never.
    pub decay_from: f64,
    /// The weight of distances beside features.
    pub distance_weight: f64,
    /// The shape of the student.
    pub student: PerceptualConfig,
}

impl Default for StudentSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 3000,
            pairs: 8,
            learning_rate: 1e-3,
            decay_from: 0.4,
            distance_weight: 1.0,
            student: PerceptualConfig::default(),
        }
    }
}

/// What one step of a student's training did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentReport {
    /// Steps taken so far, this one included.
    pub step: usize,
    /// Steps that the settings ask for.
    pub steps: usize,
    /// The mean over levels of the features' squared error as a share of the teacher's variance: 1 is knowing nothing.
    pub features: f32,
    /// The mean over levels and pairs of the squared difference of the distances' logarithms.
    pub distances: f32,
}

#[derive(Serialize, Deserialize)]
struct State {
    settings: StudentSettings,
    step: usize,
}

/// A run of a student's training.
pub struct StudentTrainer {
    settings: StudentSettings,
    teacher: Arc<Perceptual>,
    images: Vec<Images>,
    device: Device,
    params: Params,
    student: Perceptual,
    projections: Vec<(Tensor, Tensor)>,
    adam: Adam,
    step: usize,
}

impl StudentTrainer {
    /// Starts from random weights. `images` are the sets to learn from, photographs of X and images of Y; each gets
    /// the same share of a step, however many it has.
    ///
    /// # Errors
    /// When the sets have different sizes, or the teacher has fewer levels than the student.
    pub fn new(
        settings: StudentSettings,
        teacher: Arc<Perceptual>,
        images: Vec<Images>,
        device: &Device,
    ) -> Result<Self> {
        let mut weights = Weights::default();
        weights.extend_below("student.", &settings.student.initial_weights(settings.seed, device)?);
        let mut start = Initialiser::new(settings.seed.wrapping_add(1), device);
        let widths = settings.student.level_widths().into_iter().zip(teacher.config().level_widths());
        for (level, (narrow, wide)) in widths.enumerate() {
            let deviation = 1.0 / (narrow as f32).sqrt();
            start.normal(&format!("{level}.weight"), &[wide, narrow, 1, 1], 0.0, deviation)?;
            start.constant(&format!("{level}.bias"), &[wide], 0.0)?;
        }
        weights.extend_below("projection.", &start.finish());
        Self::from_weights(settings, teacher, images, &weights, device)
    }

    fn from_weights(
        settings: StudentSettings,
        teacher: Arc<Perceptual>,
        images: Vec<Images>,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let size = images.first().map(Images::size);
        if size.is_none() || images.iter().any(|set| Some(set.size()) != size || ![1, 3].contains(&set.channels())) {
            return Err(Error::new("A student needs sets of images of one size, in colour or grey."));
        }
        let levels = settings.student.levels();
        if teacher.level_count() < levels {
            let found = teacher.level_count();
            return Err(Error::new(format!("The teacher has {found} levels where the student needs {levels}.")));
        }
        if settings.student.kind != PerceptualKind::Student || settings.pairs == 0 {
            return Err(Error::new("Only the small network can be trained, on one pair of images a step at least."));
        }
        let params = Params::trainable(weights)?;
        let student = Perceptual::new(&settings.student, &params.pp("student"))?;
        let widths = settings.student.level_widths().into_iter().zip(teacher.config().level_widths());
        let projections = widths.enumerate().map(|(level, (narrow, wide))| {
            let level = params.pp("projection").pp(level);
            Ok((level.get("weight", &[wide, narrow, 1, 1])?, level.get("bias", &[wide])?))
        });
        let projections = projections.collect::<Result<_>>()?;
        let rates = AdamConfig { learning_rate: settings.learning_rate, beta1: 0.9, ..AdamConfig::default() };
        let (adam, device) = (params.adam(rates), device.clone());
        Ok(Self { settings, teacher, images, device, params, student, projections, adam, step: 0 })
    }

    /// Goes on from a checkpoint, with the same teacher and images.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or the teacher does not fit it.
    pub fn resume(path: &Path, teacher: Arc<Perceptual>, images: Vec<Images>, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, KIND)?;
        let State { settings, step } = checkpoint.state()?;
        let weights = checkpoint.weights("weights.", device)?;
        let mut trainer = Self::from_weights(settings, teacher, images, &weights, device)?;
        checkpoint.restore_adam("adam.", &mut trainer.adam)?;
        trainer.step = step;
        Ok(trainer)
    }

    /// Writes everything that resuming needs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut checkpoint = Checkpoint::new(KIND, &State { settings: self.settings.clone(), step: self.step })?;
        checkpoint.put_weights("weights.", &self.params.weights()?)?;
        checkpoint.put_adam("adam.", &self.adam)?;
        checkpoint.save(path)
    }

    /// The settings.
    pub fn settings(&self) -> &StudentSettings {
        &self.settings
    }

    /// Steps taken so far.
    pub fn step_count(&self) -> usize {
        self.step
    }

    /// The weights of the student as they are now, without the projections, under the names of [`PerceptualConfig`].
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weights(&self) -> Result<Weights> {
        Ok(self.params.weights()?.below("student."))
    }

    /// The student as it is now, frozen.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn student(&self) -> Result<Perceptual> {
        Perceptual::new(&self.settings.student, &Params::frozen(self.weights()?))
    }

    /// One step.
    ///
    /// # Errors
    /// When the computation fails, or the loss is no longer a number.
    pub fn step(&mut self) -> Result<StudentReport> {
        let share = decayed(self.step, self.settings.steps, self.settings.decay_from);
        self.adam.set_learning_rate(self.settings.learning_rate * share);
        let mut random = source(self.settings.seed, Purpose::Augmentation, self.step as u64);
        let pairs: Vec<_> =
            (0..self.settings.pairs).map(|i| pair(&self.images[i % self.images.len()], &mut random)).collect();
        let batch = stack(&pairs, self.images[0].size(), &self.device)?; // [2 pairs, 3, s, s], all firsts, then all seconds
        let count = self.student.level_count();
        let wanted = self.teacher.levels(&batch, count)?;
        let found = self.student.levels(&batch, count)?;
        let mut features = Tensor::zeros((), candle_core::DType::F32, &self.device)?;
        let mut distances = features.clone();
        for ((wanted, found), (weight, bias)) in wanted.iter().zip(&found).zip(&self.projections) {
            let projected = ops::conv2d(found, weight, Some(bias), 1, 0)?;
            let (_, _, h, w) = found.dims4()?;
            let (_, _, teacher_h, teacher_w) = wanted.dims4()?;
            let level = if (h, w) == (teacher_h, teacher_w) {
                wanted.clone()
            } else {
                wanted.upsample_bilinear2d(h, w, false)?
            };
            let variance = level.flatten_all()?.var(0)?.to_scalar::<f32>()?.max(1e-12);
            features = (features + (ops::l2_mean(&projected, &level)?.mean_all()? / f64::from(variance))?)?;
            let ratio = (log_distances(found)? - log_distances(wanted)?)?;
            distances = (distances + ratio.sqr()?.mean_all()?)?;
        }
        let (features, distances) = ((features / count as f64)?, (distances / count as f64)?);
        let loss = (&features + (&distances * self.settings.distance_weight)?)?;
        finite(loss.to_scalar()?, self.step + 1)?;
        self.adam.step(&loss.backward()?)?;
        self.step += 1;
        let (features, distances) = (features.to_scalar()?, distances.to_scalar()?);
        Ok(StudentReport { step: self.step, steps: self.settings.steps, features, distances })
    }
}

/// The logarithms of the mean absolute differences between the first and the second half of the maps, `[n / 2]`.
fn log_distances(maps: &Tensor) -> Result<Tensor> {
    let half = maps.dim(0)? / 2;
    let (first, second) = (maps.narrow(0, 0, half)?, maps.narrow(0, half, half)?);
    Ok((ops::l1_mean(&first.contiguous()?, &second.contiguous()?)? + 1e-4)?.log()?)
}

/// Two images to be told apart: of two different originals, or of one, more or less distorted.
fn pair(images: &Images, random: &mut StdRng) -> (Vec<f32>, Vec<f32>) {
    let size = images.size();
    let mut any = || colour(images, random.random_range(0..images.len()));
    let (one, two, three) = (any(), any(), any());
    let second = if random.random::<f32>() < 0.6 { &one } else { &two };
    let first =
        if random.random::<f32>() < 0.7 { moved(&one, size, 2, random) } else { distorted(&one, &three, size, random) };
    (first, distorted(second, &three, size, random))
}

/// All firsts, then all seconds, `[2 pairs, 3, size, size]`.
fn stack(pairs: &[(Vec<f32>, Vec<f32>)], size: usize, device: &Device) -> Result<Tensor> {
    let firsts = pairs.iter().map(|(first, _)| first);
    let values: Vec<f32> = firsts.chain(pairs.iter().map(|(_, second)| second)).flatten().copied().collect();
    Ok(Tensor::from_vec(values, (2 * pairs.len(), 3, size, size), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nam::tests::lively;

    fn teacher() -> Arc<Perceptual> {
        let config = PerceptualConfig { widths: vec![6, 6, 8, 8, 8, 8], ..PerceptualConfig::default() };
        let weights = lively(&config.initial_weights(1, &Device::Cpu).unwrap(), 8);
        Arc::new(Perceptual::new(&config, &Params::frozen(weights)).unwrap())
    }

    /// Blobs of different places, sizes and colours.
    fn images(seed: u64) -> Images {
        let mut random = source(seed, Purpose::Pairs, 5);
        let mut values = Vec::new();
        for _ in 0..12 {
            let [row, column] = [0, 1].map(|_| random.random_range(4.0..12.0));
            let width: f32 = random.random_range(2.0..20.0);
            for _ in 0..3 {
                let strength = random.random_range(-1.9..0.0);
                let blob = |i: usize| (((i / 16) as f32 - row).powi(2) + ((i % 16) as f32 - column).powi(2)) / width;
                values.extend((0..256).map(|i| 1.0 + strength * (-blob(i)).exp()));
            }
        }
        Images::from_tensor(&Tensor::from_vec(values, (12, 3, 16, 16), &Device::Cpu).unwrap()).unwrap()
    }

    fn settings(steps: usize) -> StudentSettings {
        let student = PerceptualConfig { widths: vec![6, 6, 8, 8, 8, 8], ..PerceptualConfig::default() };
        StudentSettings { steps, pairs: 4, learning_rate: 3e-3, student, ..StudentSettings::default() }
    }

    #[test]
    fn a_student_learns_what_its_teacher_sees() {
        let device = &Device::Cpu;
        let mut trainer = StudentTrainer::new(settings(150), teacher(), vec![images(1), images(2)], device).unwrap();
        let before = agreement(&trainer.student().unwrap(), &teacher(), &images(3), 60, 1, device).unwrap();
        let reports: Vec<_> = (0..150).map(|_| trainer.step().unwrap()).collect();
        let after = agreement(&trainer.student().unwrap(), &teacher(), &images(3), 60, 1, device).unwrap();
        let (first, last) = (reports[0], reports[149]);
        assert!(last.features < 0.3 * first.features && last.distances < 0.6 * first.distances, "{first:?} {last:?}");
        assert!(after.all > 0.9 && after.all >= before.all - 0.02, "{before:?} {after:?}");
        let itself = agreement(&teacher(), &teacher(), &images(3), 20, 1, device).unwrap();
        assert_eq!((itself.different, itself.distorted, itself.all), (1.0, 1.0, 1.0));
    }

    #[test]
    fn a_resumed_student_is_the_one_that_was_never_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("student.safetensors");
        let new = || StudentTrainer::new(settings(10), teacher(), vec![images(1)], &Device::Cpu).unwrap();
        let (mut through, mut stopped) = (new(), new());
        let reports: Vec<_> = (0..6).map(|_| through.step().unwrap()).collect();
        (0..4).for_each(|_| assert!(stopped.step().is_ok()));
        stopped.save(&path).unwrap();
        let mut resumed = StudentTrainer::resume(&path, teacher(), vec![images(1)], &Device::Cpu).unwrap();
        assert_eq!([resumed.step().unwrap(), resumed.step().unwrap()], reports[4..]);
    }
}
