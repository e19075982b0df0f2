//! `counterpart evaluate digits` and `counterpart evaluate cars`: the papers' tables of translated images.

use super::HowChoice;
use crate::cli::interrupt;
use crate::cli::labelled::Labelled;
use crate::cli::options::General;
use crate::cli::progress::Progress;
use crate::cli::train::at_least_one;
use crate::data::Preparation;
use crate::evaluate::{Settings, accuracy, angle_residual, translated};
use crate::model_file::{Model, Part};
use crate::nets::{Judge, JudgeConfig, Params, Verdict};
use crate::{Error, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Translates labelled images and judges the results.
#[derive(Args, Debug)]
#[command(
    after_help = "The judge is what `train judge` made of clean pictures of X; labels are used for judging alone. \
                        Several models, of training runs with different seeds, give a mean and a deviation."
)]
pub struct Translated {
    /// Models to be measured
    #[arg(long = "model", value_name = "MODEL", required = true, num_args = 1..)]
    models: Vec<PathBuf>,
    /// The judge of X
    #[arg(long, value_name = "JUDGE.safetensors")]
    judge: PathBuf,
    /// The images of Y, held out from training: a folder, an IDX file (also .gz), or an NPZ file
    #[arg(long, value_name = "PATH")]
    images: PathBuf,
    /// Their labels: IDX (also .gz), NPZ, or a table of names and numbers
    #[arg(long, value_name = "PATH")]
    labels: PathBuf,
    /// Images that are measured, the first of a seeded draw [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    count: Option<usize>,
    /// How counterparts are found
    #[arg(long, value_enum, value_name = "HOW", default_value = "sample")]
    how: HowChoice,
    /// Counterparts of each image, of which the one that explains it best counts; sampling one takes the posterior's mean
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    starts: usize,
    /// Steps of solving
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    /// Whose figures stand beside
    #[arg(long, value_enum)]
    beside: Option<Published>,
    #[command(flatten)]
    general: General,
}

/// Tables of the papers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Published {
    /// MNIST to SVHN, accuracy in per cent
    MnistToSvhn,
    /// SVHN to MNIST, accuracy in per cent
    SvhnToMnist,
    /// Cars to other cars, root median squared residual in degrees
    Cars,
}

impl Published {
    fn figures(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::MnistToSvhn => {
                &[("CycleGAN", 17.7), ("DistanceGAN", 26.8), ("NAM", 31.9), ("AE-NAM", 16.7), ("VAE-NAM", 51.7)]
            }
            Self::SvhnToMnist => {
                &[("CycleGAN", 26.1), ("DistanceGAN", 26.8), ("NAM", 33.3), ("AE-NAM", 37.4), ("VAE-NAM", 37.4)]
            }
            Self::Cars => &[("DiscoGAN", 13.81), ("NAM", 1.47), ("VAE-NAM", 1.38)],
        }
    }

    /// What must be known before the figures are compared.
    fn caution(self) -> &'static str {
        match self {
            Self::Cars => "published, on renderings of other car models",
            _ => "published, with the 73 257 crops of SVHN's training set",
        }
    }
}

impl Translated {
    pub(super) fn run(self, verdict: Verdict) -> Result<()> {
        let device = self.general.compute.start()?;
        interrupt::listen();
        let part: Part<JudgeConfig> = Part::open(&self.judge, &device)?;
        if part.config.verdict != verdict {
            return Err(Error::new(match verdict {
                Verdict::Class => "The judge tells angles; digits need one that tells classes.",
                Verdict::Angle => {
                    "The judge tells classes; cars need one that tells angles (train judge --verdict angle)."
                }
            }));
        }
        let quality: Vec<String> =
            part.about.training.iter().flat_map(|t| t.quality.iter().map(|(k, v)| format!("{k} {v:.2}"))).collect();
        let judge = Judge::new(&part.config, &Params::frozen(part.weights))?;
        let seed = self.general.seed.seed;
        let (mut figures, mut rows) = (Vec::new(), Vec::new());
        for path in &self.models {
            let model = Arc::new(Model::open(path, &device)?);
            let manifest = &model.manifest;
            let how = Preparation { treatment: manifest.y_kind.treatment(true), ..manifest.preparation.clone() };
            let known = Labelled::prepare(&self.images, &self.labels, &how, manifest.channels_y)?;
            let known = known.drawn(self.count, seed)?;
            let mut progress = Progress::new("Translating", "images", 0, known.images.len() as u64);
            let settings = Settings { starts: self.starts, steps: self.steps, seed };
            let verdicts = translated(&model, &known.images, &judge, self.how.into(), settings, |done| {
                progress.at(done as u64, String::new);
                !interrupt::happened()
            })?;
            drop(progress);
            let figure = match verdict {
                Verdict::Class => 100.0 * accuracy(&verdicts, &known.labels),
                Verdict::Angle => angle_residual(&verdicts, &known.labels),
            };
            let shown = path.display().to_string();
            self.general.json.say(&format!("{shown}: {figure:.2}{}  ({} images)", unit(verdict), verdicts.len()))?;
            let training = manifest.training.last();
            rows.push(json!({"model": shown, "figure": figure, "images": verdicts.len(),
                "method": training.map(|t| &t.method), "seed": training.map(|t| t.seed)}));
            figures.push(figure);
        }
        let mean = figures.iter().sum::<f64>() / figures.len() as f64;
        let deviation = (figures.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / figures.len() as f64).sqrt();
        if figures.len() > 1 {
            let count = figures.len();
            self.general
                .json
                .say(&format!("mean of {count} models: {mean:.2}{} (deviation {deviation:.2})", unit(verdict)))?;
        }
        if !quality.is_empty() {
            self.general.json.say(&format!("the judge, on clean pictures: {}", quality.join(", ")))?;
        }
        if let Some(published) = self.beside {
            let all: Vec<String> =
                published.figures().iter().map(|(name, figure)| format!("{name} {figure}")).collect();
            self.general.json.say(&format!("{}: {}", published.caution(), all.join(", ")))?;
        }
        let how = self.how.to_possible_value().map(|value| value.get_name().to_owned());
        self.general.json.write(&json!({
            "how": how, "starts": self.starts, "steps": self.steps, "seed": seed, "models": rows,
            "mean": mean, "deviation": deviation, "judge": quality,
            "published": self.beside.map(|published| published.figures().to_vec()),
        }))
    }
}

fn unit(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Class => " %",
        Verdict::Angle => " degrees",
    }
}
