//! `counterpart train judge`: the classifier or the regressor that `evaluate` measures translated images with.

use super::drive::{Run, Schedule, Told, at_least_one, check_rate, drive, settings_of};
use super::files::Files;
use super::images::{CropChoice, FitChoice, MARGIN};
use crate::cli::labelled::Labelled;
use crate::cli::options::{Compute, Json, Seed};
use crate::data::pictures_of;
use crate::data::{Preparation, Treatment};
use crate::evaluate::{JudgeSettings, JudgeTrainer, accuracy, angle_residual};
use crate::model_file::{About, Part, Storage, TrainingRecord};
use crate::nets::{JudgeConfig, Verdict};
use crate::{Error, Picture, Result};
use candle_core::Device;
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pictures on the sheet of samples, and how many stand in a row.
const SAMPLES: (usize, usize) = (64, 8);

/// Trains the judge that results are measured with, on labelled pictures of X.
#[derive(Args, Debug)]
pub struct TrainJudge {
    /// Labelled images: a folder, an IDX file (also .gz), or an NPZ file
    #[arg(long, value_name = "PATH")]
    images: PathBuf,
    /// Their labels: IDX (also .gz), NPZ, or a table of names and numbers
    #[arg(long, value_name = "PATH")]
    labels: PathBuf,
    /// Labelled images that the judge is measured on and does not learn from
    #[arg(long, value_name = "PATH", requires = "test_labels")]
    test_images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "PATH", requires = "test_images")]
    test_labels: Option<PathBuf>,
    /// What the labels are
    #[arg(long, value_enum, default_value = "class")]
    verdict: VerdictChoice,
    /// How many classes there are
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    classes: usize,
    /// Rows and columns of the images
    #[arg(long, value_name = "32|64|128", default_value_t = 32)]
    size: usize,
    /// Channels of the images: 3, or 1 for grey
    #[arg(long, value_name = "1|3", default_value_t = 3)]
    channels: usize,
    /// How an image that is not square comes into the square
    #[arg(long, value_enum, default_value = "contain")]
    fit: FitChoice,
    /// Which part of an image is used
    #[arg(long, value_enum, default_value = "whole")]
    crop: CropChoice,
    /// Channels of the first layers
    #[arg(long, value_name = "F", default_value_t = 32, value_parser = at_least_one)]
    width: usize,
    /// Steps of the whole training
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = at_least_one)]
    steps: usize,
    /// Images in a step
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    batch: usize,
    /// Adam's step size at the beginning; it falls to 0 on a straight line
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    learning_rate: f64,
    /// Shifts images by at most so many pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    shift: usize,
    /// Changes contrast and brightness by at most this share
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    jitter: f32,
    /// Makes every second image a negative
    #[arg(long)]
    negatives: bool,
    /// Adds noise of this deviation
    #[arg(long, value_name = "DEVIATION", default_value_t = 0.0)]
    noise: f32,
    /// Where the judge goes
    #[arg(long, value_name = "JUDGE.safetensors")]
    out: PathBuf,
    /// Goes on from the checkpoint beside OUT
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    schedule: Schedule,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    json: Json,
}

/// `--verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerdictChoice {
    /// Classes, counted from 0
    Class,
    /// Angles in degrees
    Angle,
}

impl TrainJudge {
    fn settings(&self) -> Result<JudgeSettings> {
        check_rate("learning-rate", self.learning_rate)?;
        if ![1, 3].contains(&self.channels) {
            return Err(Error::new(format!("--channels is 1 or 3, not {}.", self.channels)));
        }
        for (option, value) in [("jitter", self.jitter), ("noise", self.noise)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::new(format!("--{option} must lie between 0 and 1; {value} does not.")));
            }
        }
        let (verdict, outputs) = match self.verdict {
            VerdictChoice::Class => (Verdict::Class, self.classes),
            VerdictChoice::Angle => (Verdict::Angle, 1),
        };
        let judge = JudgeConfig { verdict, outputs, width: self.width, channels: self.channels, size: self.size };
        crate::model_file::Network::shapes(&judge)?;
        let Self { steps, batch, learning_rate, shift, jitter, negatives, noise, .. } = *self;
        Ok(JudgeSettings { seed: self.seed.seed, steps, batch, learning_rate, shift, jitter, negatives, noise, judge })
    }

    fn preparation(&self) -> Preparation {
        let treatment = if self.channels == 1 { Treatment::Grey } else { Treatment::AsIs };
        let crop = self.crop.with_margin(MARGIN);
        Preparation { size: self.size, fit: self.fit.into(), crop, treatment, ..Preparation::default() }
    }

    pub(super) fn run(self) -> Result<()> {
        let settings = self.settings()?;
        let files = Files::new(&self.out, self.resume)?;
        let device = self.compute.start()?;
        let how = self.preparation();
        let Labelled { title, images, labels } = Labelled::prepare(&self.images, &self.labels, &how, self.channels)?;
        let test = match (&self.test_images, &self.test_labels) {
            (Some(images), Some(labels)) => Some(Labelled::prepare(images, labels, &how, self.channels)?),
            _ => None,
        };
        let count = images.len();
        let trainer = if self.resume {
            JudgeTrainer::resume(&files.checkpoint(), images, labels, &device)?
        } else {
            JudgeTrainer::new(settings, images, labels, &device)?
        };
        let (schedule, json) = (self.schedule, self.json);
        let mut run = JudgeRun { trainer, test, title, count, preparation: how, device };
        let (finished, seconds) = drive(&mut run, &format!("Training on {count} images"), &files, schedule)?;
        if !finished {
            return Ok(());
        }
        let (steps, measured) = (run.step_count(), Some(("test", "", run.quality()?)));
        Told { what: "judge", key: "judge", steps, seconds, measured }.tell(&files, &json)
    }
}

struct JudgeRun {
    trainer: JudgeTrainer,
    test: Option<Labelled>,
    title: String,
    count: usize,
    preparation: Preparation,
    device: Device,
}

impl JudgeRun {
    /// What it says of the test images, and what it should say.
    fn quality(&self) -> Result<BTreeMap<String, f64>> {
        let Some(test) = &self.test else { return Ok(BTreeMap::new()) };
        let judge = self.trainer.judge()?;
        let mut said = Vec::new();
        for first in (0..test.images.len()).step_by(256) {
            let rows: Vec<usize> = (first..test.images.len().min(first + 256)).collect();
            said.extend(judge.verdicts(&test.images.batch(&rows, &self.device)?)?);
        }
        let (name, value) = match judge.config().verdict {
            Verdict::Class => ("accuracy on test images, %", 100.0 * accuracy(&said, &test.labels)),
            Verdict::Angle => {
                ("root median squared residual on test images, degrees", angle_residual(&said, &test.labels))
            }
        };
        Ok(BTreeMap::from([(name.to_owned(), value)]))
    }
}

impl Run for JudgeRun {
    fn step_count(&self) -> usize {
        self.trainer.step_count()
    }

    fn steps(&self) -> usize {
        self.trainer.settings().steps
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f32)>> {
        Ok(vec![("loss", self.trainer.step()?)])
    }

    fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.trainer.save(path)
    }

    /// Test images, those that it judges wrongly first.
    fn samples(&self) -> Result<(Vec<Picture>, usize)> {
        let Some(test) = &self.test else { return Ok((Vec::new(), SAMPLES.1)) };
        let rows: Vec<usize> = (0..test.images.len().min(4 * SAMPLES.0)).collect();
        let images = test.images.batch(&rows, &self.device)?;
        let said = self.trainer.judge()?.verdicts(&images)?;
        let mut order = rows;
        order.sort_by(|&a, &b| {
            let wrong = |row: usize| (said[row] - test.labels[row]).abs();
            wrong(b).total_cmp(&wrong(a))
        });
        order.truncate(SAMPLES.0);
        Ok((pictures_of(&test.images.batch(&order, &self.device)?)?, SAMPLES.1))
    }

    fn save(&self, path: &Path, seconds: f64) -> Result<()> {
        let settings = self.trainer.settings();
        let record = TrainingRecord {
            stage: "judge".into(),
            method: "supervised".into(),
            data: self.title.clone(),
            images: self.count,
            seed: settings.seed,
            steps: self.trainer.step_count(),
            batch: settings.batch,
            seconds,
            program: env!("CARGO_PKG_VERSION").into(),
            settings: settings_of(settings, &["judge", "batch", "steps", "seed"]),
            quality: self.quality()?,
        };
        let about = About { training: vec![record], preparation: self.preparation.clone(), licence: String::new() };
        Part { config: settings.judge, weights: self.trainer.weights()?, about }.save(path, Storage::F32)
    }
}
