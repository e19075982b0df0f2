//! `counterpart train student`: a small perceptual network that judges as a large one does, to travel in model files.

use super::drive::{Run, Told, at_least_one, check_rate, drive};
use super::images::Prepared;
use super::options::TrainingOptions;
use crate::data::pictures_of;
use crate::data::{Images, Preparation, Treatment};
use crate::model_file::{About, Part, Storage, TrainingRecord};
use crate::nam::student::{Agreement, StudentSettings, StudentTrainer, agreement};
use crate::nam::train::hold_out;
use crate::nets::{Params, Perceptual, PerceptualConfig};
use crate::{Error, Picture, Result};
use candle_core::{D, Device, Tensor};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images on a sheet.
const SAMPLES: usize = 8;

/// Trains a perceptual student.
#[derive(Args, Debug)]
#[command(after_help = "The student learns from the images and from line drawings of them (--no-drawings: from the \
                        images alone). Beside P.safetensors stand P.checkpoint, P.samples.png (columns: image, then \
                        the mean of each level of the teacher and of the student) and P.losses.jsonl.")]
#[command(mut_arg("out", |out| out.value_name("P.safetensors").help("Where the student goes")))]
#[command(mut_arg("licence", |licence| {
    licence.help("What the licence is of the teacher and of the images, for the manifest")
}))]
pub struct TrainStudent {
    /// The teacher: VGG16, VGG19, the normalised VGG19 or SqueezeNet 1.0
    #[arg(long, value_name = "FILE")]
    teacher: PathBuf,
    /// Rows and columns of the images
    #[arg(long, value_name = "32|64|128", default_value_t = 64)]
    size: usize,
    /// Channels of the three levels
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', num_args = 1, default_value = "16,32,64",
          value_parser = at_least_one)]
    widths: Vec<usize>,
    /// Does not learn from line drawings of the images
    #[arg(long)]
    no_drawings: bool,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    common: TrainingOptions,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Training {
    /// Steps of the whole training
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = at_least_one)]
    steps: usize,
    /// Pairs of images in a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pairs: usize,
    /// Adam's step size
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    learning_rate: f64,
    /// The share of all steps after which the step size falls, on a straight line, to 0
    #[arg(long, value_name = "SHARE", default_value_t = 0.4)]
    decay_from: f64,
    /// The weight of distances between images beside that of features
    #[arg(long, value_name = "WEIGHT", default_value_t = 1.0)]
    distance_weight: f64,
    /// Images that training does not see, to measure how well the student predicts its teacher
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    held_out: usize,
}

impl TrainStudent {
    fn settings(&self) -> Result<StudentSettings> {
        let Training { steps, pairs, learning_rate, decay_from, distance_weight, .. } = self.training;
        check_rate("learning-rate", learning_rate)?;
        for (option, value) in [("decay-from", decay_from), ("distance-weight", distance_weight)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::new(format!("--{option} must be a number from 0 up; {value} is not.")));
            }
        }
        let [a, b, c] = self.widths[..] else {
            return Err(Error::new("--widths names the channels of three levels, for example 16,32,64."));
        };
        let student = PerceptualConfig { widths: vec![a, a, b, b, c, c], ..PerceptualConfig::default() };
        crate::model_file::Network::shapes(&student)?;
        let seed = self.common.seed.seed;
        Ok(StudentSettings { seed, steps, pairs, learning_rate, decay_from, distance_weight, student })
    }

    pub(super) fn run(self) -> Result<()> {
        let settings = self.settings()?;
        let files = self.common.files()?;
        let device = self.common.compute.start()?;
        let teacher: Part<PerceptualConfig> = Part::open(&self.teacher, &device)?;
        let teacher = Arc::new(Perceptual::new(&teacher.config, &Params::frozen(teacher.weights))?);
        let held_out = self.training.held_out;
        let mut treatments = vec![Treatment::AsIs];
        if !self.no_drawings {
            treatments.push(Treatment::EdgesFromPhoto);
        }
        let (mut sets, mut held) = (Vec::new(), Vec::new());
        let (mut title, mut preparation) = (String::new(), Preparation::default());
        for treatment in treatments {
            let prepared = self.common.images.prepare(self.size, treatment, held_out + 2)?;
            let images = Images::from_pictures(&prepared.pictures, 3)?;
            let (kept, apart) = hold_out(&images, held_out, self.common.seed.seed)?;
            sets.push(kept);
            held.push(apart);
            Prepared { title, preparation, .. } = prepared;
        }
        let count = sets.iter().map(Images::len).sum();
        let trainer = if self.common.result.resume {
            StudentTrainer::resume(&files.checkpoint(), teacher.clone(), sets, &device)?
        } else {
            StudentTrainer::new(settings, teacher.clone(), sets, &device)?
        };
        let mut run = StudentRun { trainer, teacher, held, count, title, preparation, device, options: self };
        let what = format!("Training on {count} images");
        let schedule = run.options.common.schedule;
        let (finished, seconds) = drive(&mut run, &what, &files, schedule)?;
        if !finished {
            return Ok(());
        }
        let measured = Some(("rank_correlation", "rank correlation with the teacher, ", run.quality()?));
        let steps = run.step_count();
        let told = Told { what: "perceptual student", key: "student", steps, seconds, measured };
        told.tell(&files, &run.options.common.json)
    }
}

struct StudentRun {
    trainer: StudentTrainer,
    teacher: Arc<Perceptual>,
    held: Vec<Images>,
    count: usize,
    title: String,
    preparation: Preparation,
    device: Device,
    options: TrainStudent,
}

impl Run for StudentRun {
    fn step_count(&self) -> usize {
        self.trainer.step_count()
    }

    fn steps(&self) -> usize {
        self.trainer.settings().steps
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f32)>> {
        let report = self.trainer.step()?;
        Ok(vec![("features", report.features), ("distances", report.distances)])
    }

    fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.trainer.save(path)
    }

    fn samples(&self) -> Result<(Vec<Picture>, usize)> {
        let student = self.trainer.student()?;
        let levels = student.level_count();
        let mut sheet = Vec::new();
        for held in &self.held {
            let rows: Vec<usize> = (0..SAMPLES.min(held.len())).collect();
            let images = held.batch(&rows, &self.device)?;
            let mut columns = vec![pictures_of(&images)?];
            for network in [&*self.teacher, &student] {
                for level in network.levels(&images, levels)? {
                    columns.push(activity(&level, held.size())?);
                }
            }
            (0..rows.len()).for_each(|row| sheet.extend(columns.iter().map(|column| column[row].clone())));
        }
        Ok((sheet, 1 + 2 * levels))
    }

    fn save(&self, path: &Path, seconds: f64) -> Result<()> {
        let settings = self.trainer.settings();
        let teacher = self.options.teacher.file_name().map(|name| name.to_string_lossy().into_owned());
        let record = TrainingRecord {
            stage: "student".into(),
            method: "distillation".into(),
            data: self.title.clone(),
            images: self.count,
            seed: settings.seed,
            steps: self.trainer.step_count(),
            batch: settings.pairs,
            seconds,
            program: env!("CARGO_PKG_VERSION").into(),
            settings: BTreeMap::from([
                ("teacher".to_owned(), teacher.unwrap_or_default()),
                ("learning-rate".to_owned(), settings.learning_rate.to_string()),
                ("decay-from".to_owned(), settings.decay_from.to_string()),
                ("distance-weight".to_owned(), settings.distance_weight.to_string()),
            ]),
            quality: self.quality()?,
        };
        let about = About {
            training: vec![record],
            preparation: self.preparation.clone(),
            licence: self.options.common.result.licence.clone(),
        };
        Part { config: settings.student.clone(), weights: self.trainer.weights()?, about }.save(path, Storage::F32)
    }
}

impl StudentRun {
    /// Spearman's rank correlation between the student's and the teacher's distances, on held-out images.
    fn quality(&self) -> Result<BTreeMap<String, f64>> {
        let student = self.trainer.student()?;
        let mut quality = BTreeMap::new();
        for (held, name) in self.held.iter().zip(["images", "drawings"]) {
            let pairs = held.len();
            let Agreement { different, distorted, all, .. } =
                agreement(&student, &self.teacher, held, pairs, self.options.common.seed.seed, &self.device)?;
            quality.insert(format!("{name}, different pairs"), f64::from(different));
            quality.insert(format!("{name}, distorted copies"), f64::from(distorted));
            quality.insert(format!("{name}, all pairs"), f64::from(all));
        }
        Ok(quality)
    }
}

/// The mean over channels of features `[n, c, h, w]` as grey pictures of `size` pixels, white where most is going on.
fn activity(level: &Tensor, size: usize) -> Result<Vec<Picture>> {
    let mean = level.mean_keepdim(1)?;
    let most = mean.flatten_from(1)?.max(D::Minus1)?.reshape(((), 1, 1, 1))?;
    let shown = ((mean.broadcast_div(&(most + 1e-6)?)? * 2.0)? - 1.0)?;
    Ok(pictures_of(&shown)?.iter().map(|picture| crate::data::fit(picture, size, crate::data::Fit::Contain)).collect())
}
