//! `counterpart train prior`: a generator of the domain X.

use super::drive::{Run, Told, at_least_one, check_rate, drive, settings_of};
use super::images::Prepared;
use super::options::TrainingOptions;
use crate::data::{Augmentation, Images, Preparation, Treatment};
use crate::model_file::{About, Network, Part, Storage, TrainingRecord, licences};
use crate::nets::{GeneratorConfig, Params, Perceptual, PerceptualConfig};
use crate::prior::{Method, Settings, Trainer};
use crate::{Error, Picture, Result};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures on a sheet of samples, and how many stand in a row.
const SAMPLES: (usize, usize) = (64, 8);

/// What records call this stage.
const STAGE: &str = "prior";

/// Trains a generator of the domain X.
#[derive(Args, Debug)]
#[command(after_help = "Beside OUT.safetensors stand OUT.checkpoint (what --resume goes on from; settings, batch and \
                        seed come from it), OUT.samples.png and OUT.losses.jsonl.")]
#[command(mut_arg("out", |out| out.value_name("G.safetensors").help("Where the generator goes")))]
#[command(mut_arg("licence", |licence| {
    licence.help("What the images' licence is and where they come from, for the manifest")
}))]
pub struct Prior {
    /// How the generator learns the domain
    #[arg(long, value_enum, default_value = "sngan")]
    method: MethodChoice,
    /// Rows and columns of the images
    #[arg(long, value_name = "32|64|128", default_value_t = 64)]
    size: usize,
    /// nz, values in a latent code
    #[arg(long, value_name = "NZ", default_value_t = 100, value_parser = at_least_one)]
    latent: usize,
    /// f, channels of the generator's last hidden layer
    #[arg(long, value_name = "F", default_value_t = 64, value_parser = at_least_one)]
    width: usize,
    /// Channels of the images: 3, or 1 for grey
    #[arg(long, value_name = "1|3", default_value_t = 3)]
    channels: usize,
    /// f of the critic, or of the VAE's encoder
    #[arg(long, value_name = "F", default_value_t = 64, value_parser = at_least_one)]
    critic_width: usize,
    /// A perceptual network whose features count beside the pixels: critics see them (dcgan, sngan), or the
    /// reconstruction compares them (vae, glo). What `train student` wrote, or VGG16, VGG19 or SqueezeNet
    #[arg(long, value_name = "P.safetensors")]
    perceptual: Option<PathBuf>,
    /// Begins at this generator, of the same shape, instead of random weights
    #[arg(long, value_name = "G.safetensors", conflicts_with = "resume")]
    start: Option<PathBuf>,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    common: TrainingOptions,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Training {
    /// Steps of the whole training [default: 10000; resumed: as it was]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    steps: Option<usize>,
    /// Images in a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    batch: usize,
    /// Adam's step size for the generator
    #[arg(long, value_name = "RATE", default_value_t = 2e-4)]
    learning_rate: f64,
    /// Adam's step size for the critic, or for the codes of GLO [default: that of the generator; glo: 0.01]
    #[arg(long, value_name = "RATE")]
    second_learning_rate: Option<f64>,
    /// Lowers the step sizes to a tenth over this share of the steps at the end
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    cool_down: f64,
    /// The share of the old in each step of the moving average of the generator's weights
    #[arg(long, value_name = "SHARE", default_value_t = 0.999)]
    ema: f64,
    /// The weight of the VAE's KL term
    #[arg(long, value_name = "WEIGHT", default_value_t = 1e-3)]
    kl: f64,
    /// Shifts images by at most so many pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    shift: usize,
    /// Mirrors every second image: only for domains without a side
    #[arg(long)]
    flip: bool,
}

/// `--method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodChoice {
    /// Against a critic with batch normalisation.
    Dcgan,
    /// Against a critic with spectral normalisation.
    Sngan,
    /// As the decoder of a variational auto-encoder.
    Vae,
    /// With a learned code for each image.
    Glo,
}

impl Prior {
    fn settings(&self, perceptual: Option<PerceptualConfig>) -> Result<Settings> {
        let training = &self.training;
        let method = match self.method {
            MethodChoice::Dcgan => Method::Dcgan,
            MethodChoice::Sngan => Method::Sngan,
            MethodChoice::Vae => Method::Vae,
            MethodChoice::Glo => Method::Glo,
        };
        check_rate("learning-rate", training.learning_rate)?;
        let second = if self.method == MethodChoice::Glo { 0.01 } else { training.learning_rate };
        let second = training.second_learning_rate.unwrap_or(second);
        check_rate("second-learning-rate", second)?;
        if ![1, 3].contains(&self.channels) {
            return Err(Error::new(format!("--channels is 1 or 3, not {}.", self.channels)));
        }
        let settings = Settings {
            method,
            generator: GeneratorConfig {
                latent: self.latent,
                width: self.width,
                channels: self.channels,
                size: self.size,
                layers: Vec::new(),
            },
            critic_width: self.critic_width,
            batch: training.batch,
            steps: training.steps.unwrap_or(Settings::default().steps),
            learning_rate: training.learning_rate,
            second_learning_rate: second,
            cool_down: training.cool_down,
            average: training.ema,
            kl: training.kl,
            perceptual,
            augmentation: Augmentation { shift: training.shift, flip: training.flip },
            seed: self.common.seed.seed,
        };
        settings.check()?;
        Ok(settings)
    }

    pub(super) fn run(self) -> Result<()> {
        let files = self.common.files()?;
        let device = self.common.compute.start()?;
        let perceptual =
            self.perceptual.as_ref().map(|path| Part::<PerceptualConfig>::open(path, &device)).transpose()?;
        let settings = self.settings(perceptual.as_ref().map(|part| part.config.clone()))?;
        settings.generator.shapes()?;
        let start = self.start.as_ref().map(|path| Part::<GeneratorConfig>::open(path, &device)).transpose()?;
        if let Some(found) = start.as_ref().map(|part| &part.config).filter(|found| **found != settings.generator) {
            return Err(Error::new(format!(
                "The generator to begin at draws {} pixels and {} channels from {} numbers with a width of {}; say the same \
                 with --size, --channels, --latent and --width.",
                found.size, found.channels, found.latent, found.width
            )));
        }
        // What it was begun at stands in what came of it so far.
        let before = if self.common.result.resume { Part::open(files.out(), &device).ok() } else { start.clone() };
        let before = before.map_or_else(About::default, |part: Part<GeneratorConfig>| part.about);
        let seen = perceptual.as_ref().map_or("", |part| &part.about.licence);
        let licence = licences([&before.licence, seen, &self.common.result.licence].into_iter());
        let mut begun_at = before.training;
        begun_at.retain(|record| record.stage == STAGE);
        if self.common.result.resume {
            begun_at.pop();
        }
        let network = |part: Part<PerceptualConfig>| Perceptual::new(&part.config, &Params::frozen(part.weights));
        let perceptual = perceptual.map(network).transpose()?.map(Arc::new);
        let treatment = if self.channels == 1 { Treatment::Grey } else { Treatment::AsIs };
        let Prepared { pictures, title, preparation } = self.common.images.prepare(self.size, treatment, 2)?;
        let images = Images::from_pictures(&pictures, self.channels)?;
        let trainer = if self.common.result.resume {
            Trainer::resume(&files.checkpoint(), self.training.steps, images.clone(), perceptual, &device)?
        } else {
            let trainer = Trainer::new(settings, images.clone(), perceptual, &device)?;
            match &start {
                Some(part) => trainer.starting_at(&part.weights)?,
                None => trainer,
            }
        };
        let what = format!("Training on {} images", images.len());
        let mut run = PriorRun { trainer, images: images.len(), title, preparation, begun_at, licence, options: self };
        let schedule = run.options.common.schedule;
        let (finished, seconds) = drive(&mut run, &what, &files, schedule)?;
        if !finished {
            return Ok(());
        }
        let told = Told { what: "generator", key: "generator", steps: run.trainer.steps(), seconds, measured: None };
        told.tell(&files, &run.options.common.json)
    }
}

struct PriorRun {
    trainer: Trainer,
    images: usize,
    title: String,
    preparation: Preparation,
    /// How the generator that it began at came to be.
    begun_at: Vec<TrainingRecord>,
    licence: String,
    options: Prior,
}

impl Run for PriorRun {
    fn step_count(&self) -> usize {
        self.trainer.steps()
    }

    fn steps(&self) -> usize {
        self.trainer.settings().steps
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f32)>> {
        Ok(self.trainer.step()?.losses)
    }

    fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.trainer.checkpoint()?.save(path)
    }

    fn samples(&self) -> Result<(Vec<Picture>, usize)> {
        Ok((self.trainer.samples(SAMPLES.0)?, SAMPLES.1))
    }

    fn save(&self, path: &Path, seconds: f64) -> Result<()> {
        let settings = self.trainer.settings();
        let mut rest = settings_of(settings, &["generator", "batch", "steps", "seed"]);
        let method = rest.remove("method").unwrap_or_default();
        let record = TrainingRecord {
            stage: STAGE.into(),
            method,
            data: self.title.clone(),
            images: self.images,
            seed: settings.seed,
            steps: self.trainer.steps(),
            batch: settings.batch,
            seconds,
            program: env!("CARGO_PKG_VERSION").into(),
            settings: rest,
            quality: BTreeMap::new(),
        };
        let about = About {
            training: [&self.begun_at[..], &[record]].concat(),
            preparation: self.preparation.clone(),
            licence: self.licence.clone(),
        };
        Part { config: settings.generator.clone(), weights: self.trainer.weights()?, about }.save(path, Storage::F32)
    }
}
