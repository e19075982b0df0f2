//! `counterpart train mapping`: T (and E) on images of Y, with the generator frozen; the result is a model file.

use super::drive::{Run, at_least_one, check_rate, drive};
use super::files::Files;
use super::images::Prepared;
use super::mapping_settings::MappingSettings;
use super::options::{Names, TrainingOptions};
use crate::cli::progress::Progress;
use crate::cli::{interrupt, loss, output};
use crate::data::pictures_of;
use crate::data::{Images, Preparation, YKind};
use crate::model_file::{About, HeldOut, LossConfig, Manifest, Model, Network, Part, Parts, Storage, TrainingRecord};
use crate::nam::train::{Given, HeldOutSettings, Trainer, held_out_losses, hold_out};
use crate::nam::{candidates, posterior};
use crate::nets::{Generator, GeneratorConfig, MappingConfig, Params, Perceptual, PerceptualConfig};
use crate::{Error, Picture, Result};
use candle_core::Device;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Columns of a sheet of samples.
const COLUMNS: usize = 16;

/// Trains a mapping on images of Y and writes a model file.
#[derive(Args, Debug)]
#[command(after_help = "Beside M.safetensors stand M.checkpoint (what --resume goes on from; give it the same \
                        options), M.samples.png (rows: y, T(G(z)), G(z); then the same of held-out images) and \
                        M.losses.jsonl.")]
#[command(mut_arg("out", |out| out.value_name("M.safetensors").help("Where the model goes")))]
#[command(mut_arg("licence", |licence| {
    licence.help("The licence of the model and its data, added to that of the prior")
}))]
pub struct TrainMapping {
    /// How the mapping is trained
    #[arg(long, value_enum, default_value = "vae-nam")]
    method: MethodChoice,
    /// The generator: what `train prior` wrote, a model file, or weights under DCGAN's names (.safetensors, .pth)
    #[arg(long, value_name = "G.safetensors")]
    prior: PathBuf,
    /// A model whose mapping is used as it is: only an encoder for it is trained (ae-nam, vae-nam)
    #[arg(long, value_name = "M.safetensors")]
    mapping: Option<PathBuf>,
    /// The perceptual network that goes into the model: what `train student` wrote, or VGG16, VGG19 or SqueezeNet
    #[arg(long, value_name = "P.safetensors")]
    perceptual: Option<PathBuf>,
    #[arg(long, value_name = "LOSS", value_parser = loss::parse,
          help = format!("{} [default: pixel, and all levels of the perceptual network]", loss::HELP))]
    loss: Option<LossConfig>,
    /// What Y consists of: line drawings, the images as they are, or grey images
    #[arg(long, value_enum, default_value = "as-is")]
    y: YChoice,
    /// With --y edges: the images are drawings already, not photographs
    #[arg(long)]
    drawings: bool,
    /// Channels of Y [default: 3; edges and grey: 1]
    #[arg(long, value_name = "1|3")]
    channels_y: Option<usize>,
    #[command(flatten)]
    settings: MappingSettings,
    #[command(flatten)]
    common: TrainingOptions,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    model: ModelOptions,
}

/// What the model is made of.
#[derive(Args, Debug)]
#[command(next_help_heading = "Result")]
struct ModelOptions {
    /// Images that training does not see; their losses tell how well an image belongs to Y
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
    held_out: usize,
    /// Random starts for each held-out image
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    held_out_starts: usize,
    /// Steps of solving for each held-out image
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    held_out_steps: usize,
    /// Held-out images that the model file carries as samples
    #[arg(long, value_name = "N", default_value_t = 12)]
    samples: usize,
    /// How weights are stored
    #[arg(long, value_enum, default_value = "f16")]
    storage: StorageChoice,
}

/// `--method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MethodChoice {
    /// T and a latent code for every image
    Nam,
    /// T and an encoder
    AeNam,
    /// T and an encoder of a posterior
    VaeNam,
}

impl MethodChoice {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nam => "nam",
            Self::AeNam => "ae-nam",
            Self::VaeNam => "vae-nam",
        }
    }
}

/// `--y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum YChoice {
    /// Line drawings
    Edges,
    /// The images as they are
    AsIs,
    /// Grey images
    Grey,
    /// Grey images at one contrast, the middle light on a dark border: digits
    Levelled,
}

impl From<YChoice> for YKind {
    fn from(choice: YChoice) -> Self {
        match choice {
            YChoice::Edges => Self::Edges,
            YChoice::AsIs => Self::AsIs,
            YChoice::Grey => Self::Grey,
            YChoice::Levelled => Self::Levelled,
        }
    }
}

/// `--storage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StorageChoice {
    /// Half precision
    F16,
    /// Single precision
    F32,
}

impl TrainMapping {
    pub(super) fn run(self) -> Result<()> {
        self.settings.check()?;
        for (option, rate) in self.settings.rates() {
            check_rate(option, rate)?;
        }
        let files = self.common.files()?;
        let device = self.common.compute.start()?;
        let prior = crate::prior::import::open(&self.prior, &device)?;
        let perceptual =
            self.perceptual.as_ref().map(|path| Part::<PerceptualConfig>::open(path, &device)).transpose()?;
        let fixed = self.mapping.as_ref().map(|path| Part::<MappingConfig>::open(path, &device)).transpose()?;
        if fixed.is_some() && self.method == MethodChoice::Nam {
            return Err(Error::new("--mapping leaves nothing to train for --method nam; choose ae-nam or vae-nam."));
        }
        let y_kind = YKind::from(self.y);
        let channels = self.channels_y.unwrap_or(if y_kind == YKind::AsIs { 3 } else { 1 });
        if ![1, 3].contains(&channels) {
            return Err(Error::new(format!("--channels-y is 1 or 3, not {channels}.")));
        }
        let levels = perceptual.as_ref().map_or(0, |part| part.config.levels());
        let loss = self.loss.clone().unwrap_or_else(|| LossConfig::perceptual(levels));
        if loss.needs_perceptual() && loss.perceptual.len() > levels {
            return Err(Error::new(format!(
                "The loss uses {} perceptual levels, but {levels} are there; name a network with --perceptual.",
                loss.perceptual.len()
            )));
        }
        let treatment = y_kind.treatment(!self.drawings);
        let held_out = self.model.held_out;
        let side = fixed.as_ref().map_or(self.settings.side(&prior.config), |fixed| fixed.config.size);
        let Prepared { pictures, title, preparation } = self.common.images.prepare(side, treatment, held_out + 2)?;
        let images = Images::from_pictures(&pictures, channels)?;
        drop(pictures);
        let (images, held) = hold_out(&images, held_out, self.common.seed.seed)?;
        let generator = Arc::new(Generator::new(&prior.config, &Params::frozen(prior.weights.clone()))?);
        let perceptual_network = match &perceptual {
            Some(part) => Some(Arc::new(Perceptual::new(&part.config, &Params::frozen(part.weights.clone()))?)),
            None => None,
        };
        let count = images.len();
        let seed = self.common.seed.seed;
        let resume = self.common.result.resume.then(|| files.checkpoint());
        let settings = &self.settings;
        let mut shapes = settings.shapes(self.method, &prior.config, channels);
        if let Some(fixed) = &fixed {
            shapes.0 = fixed.config;
            shapes.1.iter_mut().for_each(|encoder| encoder.size = side);
        }
        let given = Given { generator, images, perceptual: perceptual_network };
        let resume = resume.as_deref();
        let trainer = settings.trainer(self.method, shapes, loss, seed, given, fixed.as_ref(), &device, resume)?;
        let mut run = MappingRun {
            options: self,
            prior,
            perceptual,
            fixed,
            trainer,
            held,
            device,
            title,
            preparation,
            y_kind,
            count,
        };
        let schedule = run.options.common.schedule;
        let what = format!("Training on {count} images");
        let (finished, seconds) = drive(&mut run, &what, &files, schedule)?;
        if finished {
            run.finish(&files, seconds)?;
        }
        Ok(())
    }
}

struct MappingRun {
    options: TrainMapping,
    prior: Part<GeneratorConfig>,
    perceptual: Option<Part<PerceptualConfig>>,
    fixed: Option<Part<MappingConfig>>,
    trainer: Box<dyn Trainer>,
    held: Images,
    device: Device,
    title: String,
    preparation: Preparation,
    y_kind: YKind,
    count: usize,
}

impl Run for MappingRun {
    fn step_count(&self) -> usize {
        self.trainer.step_count()
    }

    fn steps(&self) -> usize {
        self.trainer.planned_steps()
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f32)>> {
        let report = self.trainer.step()?;
        let mut losses = vec![("loss", report.loss)];
        if let Some(kl) = report.kl {
            losses.extend([("reconstruction", report.reconstruction), ("kl", kl)]);
        }
        Ok(losses)
    }

    fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.trainer.save(path)
    }

    fn samples(&self) -> Result<(Vec<Picture>, usize)> {
        let preview = self.trainer.preview(COLUMNS)?;
        let mut sheet = Vec::new();
        let mut parts = vec![(preview.y, preview.candidates)];
        let networks = self.trainer.networks()?;
        if networks.encoder.is_some() {
            let rows: Vec<usize> = (0..COLUMNS.min(self.held.len())).collect();
            let y = self.held.batch(&rows, &self.device)?;
            let found = candidates(&networks, &y, &posterior(&networks, &y)?.mu)?;
            parts.push((y, found));
        }
        for (y, found) in parts {
            for images in [&y, &found.reconstruction, &found.x] {
                let mut row = pictures_of(images)?;
                // Rows stay rows when there are fewer images than columns.
                let (width, height) = row.first().map_or((1, 1), |first| (first.width(), first.height()));
                row.resize_with(COLUMNS, || Picture::filled(width, height, [255; 4]));
                sheet.extend(row);
            }
        }
        Ok((sheet, COLUMNS))
    }

    fn save(&self, path: &Path, seconds: f64) -> Result<()> {
        self.model(seconds, HeldOut::default())?.save(path, self.storage())
    }
}

impl MappingRun {
    fn storage(&self) -> Storage {
        match self.options.model.storage {
            StorageChoice::F16 => Storage::F16,
            StorageChoice::F32 => Storage::F32,
        }
    }

    /// Measures the held-out images and writes the model with what came out.
    fn finish(&self, files: &Files, seconds: f64) -> Result<()> {
        let ModelOptions { held_out, held_out_starts, held_out_steps, .. } = self.options.model;
        let settings = HeldOutSettings {
            images: held_out,
            starts: held_out_starts,
            steps: held_out_steps,
            seed: self.options.common.seed.seed,
        };
        // Measured as it will be used: with the weights as they are stored.
        let unmeasured = Model::open(files.out(), &self.device)?;
        let networks: Arc<dyn crate::nam::Networks + Send + Sync> = Arc::new(unmeasured);
        let mut progress = None;
        let measured = held_out_losses(&networks, &self.held, settings, &self.device, |done, all| {
            let progress =
                progress.get_or_insert_with(|| Progress::new("Measuring held-out images", "steps", 0, all as u64));
            progress.at(done as u64, String::new);
            !interrupt::happened()
        });
        drop(progress);
        let (out, took) = (files.out().display(), output::duration(seconds));
        if interrupt::happened() {
            output::note(&format!("{out} was written without the losses of held-out images; --resume measures them."));
            return Ok(());
        }
        let measured = measured?;
        let middle = measured.percentiles.get(50).copied().unwrap_or(f32::NAN);
        self.model(seconds, measured)?.save(files.out(), self.storage())?;
        let steps = self.trainer.step_count();
        let json = &self.options.common.json;
        json.say(&format!(
            "{out}: a model, trained for {steps} steps in {took}; median loss of {held_out} held-out images {middle:.4}."
        ))?;
        json.write(&json!({ "model": files.out(), "steps": steps, "seconds": seconds, "held_out_loss": middle }))
    }

    fn model(&self, seconds: f64, held_out: HeldOut) -> Result<Model> {
        let (about, names) = (&self.options.model, &self.options.names);
        let networks = self.trainer.networks()?;
        let mapping = Part {
            config: *networks.mapping.config(),
            weights: self.trainer.mapping_weights()?,
            about: self.fixed.as_ref().map_or_else(About::default, |fixed| fixed.about.clone()),
        };
        let encoder = match (&networks.encoder, self.trainer.encoder_weights()?) {
            (Some(encoder), Some(weights)) => {
                Some(Part { config: *encoder.config(), weights, about: About::default() })
            }
            _ => None,
        };
        let (encoder, perceptual) = (encoder.as_ref(), self.perceptual.as_ref());
        let parts = Parts { prior: &self.prior, mapping: &mapping, encoder, perceptual };
        let mut manifest = Manifest {
            title: names.title.clone(),
            domain_x: names.domain_x.clone(),
            domain_y: names.domain_y.clone(),
            loss: networks.loss.clone(),
            y_kind: self.y_kind,
            preparation: self.preparation.clone(),
            ..parts.manifest(&self.options.common.result.licence)
        };
        manifest.training.push(self.record(seconds, &held_out));
        manifest.held_out = held_out;
        let rows: Vec<usize> = (0..about.samples.min(self.held.len())).collect();
        let samples = if rows.is_empty() { Vec::new() } else { pictures_of(&self.held.batch(&rows, &Device::Cpu)?)? };
        parts.model(manifest, samples, &self.device)
    }

    fn record(&self, seconds: f64, held_out: &HeldOut) -> TrainingRecord {
        let settings = &self.options.settings;
        let quality = [50, 95].into_iter().filter_map(|percent| {
            let loss = *held_out.percentiles.get(percent)?;
            Some((format!("held-out loss, percentile {percent}"), f64::from(loss)))
        });
        TrainingRecord {
            stage: if self.fixed.is_some() { "encoder" } else { "mapping" }.into(),
            method: self.options.method.name().into(),
            data: self.title.clone(),
            images: self.count,
            seed: self.options.common.seed.seed,
            steps: self.trainer.step_count(),
            batch: settings.batch(self.count),
            seconds,
            program: env!("CARGO_PKG_VERSION").into(),
            settings: settings.record(self.options.method),
            quality: quality.collect(),
        }
    }
}

/// The networks' shapes must be ones that a model file may have.
pub(super) fn check_shape(network: &impl Network) -> Result<()> {
    network.shapes().map(drop)
}
