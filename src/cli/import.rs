//! `counterpart import`: networks that someone else trained.

use super::options::{Compute, Seed};
use super::{output, sheet};
use crate::data::pictures_of;
use crate::data::simulator::NUMBERS;
use crate::model_file::{About, Part, Storage, TrainingRecord};
use crate::nam::pictures;
use crate::nets::weights::normal_values;
use crate::nets::{Generator, GeneratorConfig, Layer, Params, Weights};
use crate::prior::import::{draft, import};
use crate::{Because, Error, Result};
use candle_core::{Device, Tensor};
use clap::{Args, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};

/// Pictures on a sheet, and how many stand in a row.
const SHEET: (usize, usize) = (64, 8);

/// What can be imported.
#[derive(Subcommand, Debug)]
pub enum Import {
    /// Makes a generator that someone else trained one that mappings can be trained for
    Prior(Box<ImportPrior>),
    /// Makes the simulator of cars a generator, whose gradient is that of finite differences
    Simulator(ImportSimulator),
}

impl Import {
    /// Runs the import.
    ///
    /// # Errors
    /// With a sentence about what is wrong with the file or its description.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Prior(prior) => prior.run(),
            Self::Simulator(simulator) => simulator.run(),
        }
    }
}

/// Makes a generator that someone else trained one that mappings can be trained for.
#[derive(Args, Debug)]
#[command(after_help = "A description is JSON: {\"latent\": NZ, \"codes\": \"normal\"|\"uniform\"|\"sphere\", \
                        \"range\": [-1, 1], \"layers\": [...]}, layer by layer {\"linear\": NAME}, {\"transposed\": \
                        NAME, \"stride\": 2, \"padding\": 1, \"output_padding\": 0}, {\"convolution\": NAME, ...}, \
                        {\"batch_norm\": NAME, \"epsilon\": 1e-5}, {\"reshape\": [C, H, W]}, {\"upsample\": \
                        \"nearest\"|\"bilinear\"}, {\"pixel_shuffle\": 2}, {\"leaky_relu\": 0.2}, \"relu\", \"tanh\", \
                        \"sigmoid\", \"pixel_norm\"; NAME.weight and NAME.bias are the tensors. With \"equalised\": \
                        true weights are multiplied by sqrt(2 / inputs).")]
pub struct ImportPrior {
    /// The weights: .safetensors, .npz, or a PyTorch file (.pth, .pt, .bin), of which nothing is executed
    file: PathBuf,
    /// Where the generator goes
    #[arg(long, value_name = "G.safetensors", required_unless_present = "draft")]
    out: Option<PathBuf>,
    /// What its layers are, where names and shapes do not tell
    #[arg(long, value_name = "DESCRIPTION.json")]
    describe: Option<PathBuf>,
    /// Writes a description to be completed, and imports nothing
    #[arg(long, value_name = "DESCRIPTION.json", conflicts_with_all = ["describe", "out"])]
    draft: Option<PathBuf>,
    /// StyleGAN2: draws styles so far from their mean, 1 as they are; less is less varied and more usual
    #[arg(long, value_name = "PSI")]
    truncation: Option<f64>,
    /// Draws pictures of random codes
    #[arg(long, value_name = "FILE.png", conflicts_with = "draft")]
    sheet: Option<PathBuf>,
    /// What the generator draws and who trained it on what, for the manifest
    #[arg(long, value_name = "TEXT", default_value = "")]
    data: String,
    /// Its licence, for the manifest
    #[arg(long, value_name = "TEXT", default_value = "")]
    licence: String,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    compute: Compute,
}

impl ImportPrior {
    fn run(self) -> Result<()> {
        let device = self.compute.start()?;
        let shown = self.file.display();
        let tensors = Weights::open(&self.file, &Device::Cpu)?;
        if let Some(path) = &self.draft {
            let draft = draft(&tensors).because(|| format!("{shown} holds no generator that can be described."))?;
            let text = serde_json::to_string_pretty(&draft.to_json()).because(|| "The draft cannot be written.")?;
            crate::files::write_beside(path, format!("{text}\n").as_bytes())?;
            let path = path.display();
            return output::line(&format!(
                "{path}: a draft; put its layers into the right order, correct strides, paddings and activations, and \
                 import with --describe {path}."
            ));
        }
        let imported = import(&tensors, self.describe.as_deref(), self.truncation).map_err(|error| {
            let sentence = format!("{shown} cannot be imported. {error}");
            Error::because(sentence, error)
        })?;
        let told = imported.told.clone();
        let part = imported.part(&self.file, &self.data, &self.licence);
        let generator = Generator::new(&part.config, &Params::frozen(part.weights.clone()))?;
        if let Some(path) = &self.sheet {
            write_sheet(path, &generator, self.seed.seed, &device)?;
        }
        let GeneratorConfig { latent, channels, size, .. } = part.config;
        let values = part.weights.elements();
        let out = self.out.clone().ok_or_else(|| Error::new("--out names the file of the generator."))?;
        part.save(&out, Storage::F32)?;
        let colour = if channels == 1 { "grey" } else { "RGB" };
        output::line(&format!(
            "{}: a generator of {size} x {size} {colour} pictures from codes of {latent} values, {values} parameters; \
             {told}.",
            out.display()
        ))
    }
}

/// Makes the simulator of cars a generator.
#[derive(Args, Debug)]
#[command(
    after_help = "Its 28 numbers of N(0, 1) are the azimuth, the light, the body style, the proportions and the \
                        colour. A step of solving draws 57 pictures for each start."
)]
pub struct ImportSimulator {
    /// Where the generator goes
    #[arg(long, value_name = "G.safetensors")]
    out: PathBuf,
    /// Rows and columns of what it draws
    #[arg(long, value_name = "PIXELS", default_value_t = 64)]
    size: usize,
    /// Draws pictures of random codes
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    compute: Compute,
}

impl ImportSimulator {
    fn run(self) -> Result<()> {
        let device = self.compute.start()?;
        let config = GeneratorConfig::of_layers(NUMBERS, vec![Layer::Cars { size: self.size }])?;
        let generator = Generator::new(&config, &Params::frozen(Weights::default()))?;
        if let Some(path) = &self.sheet {
            write_sheet(path, &generator, self.seed.seed, &device)?;
        }
        let record = TrainingRecord {
            stage: "prior".into(),
            method: "simulator".into(),
            data: "cars".into(),
            program: env!("CARGO_PKG_VERSION").into(),
            ..TrainingRecord::default()
        };
        let about = About { training: vec![record], ..About::default() };
        Part { config, weights: Weights::default(), about }.save(&self.out, Storage::F32)?;
        let (out, size) = (self.out.display(), self.size);
        output::line(&format!("{out}: the simulator of cars as a generator of {size} x {size} RGB pictures."))
    }
}

/// Pictures of random codes.
fn write_sheet(path: &Path, generator: &Generator, seed: u64, device: &Device) -> Result<()> {
    let latent = generator.config().latent;
    let normals = normal_values(&mut StdRng::seed_from_u64(seed), SHEET.0 * latent, 0.0, 1.0);
    let normals = Tensor::from_vec(normals, (SHEET.0, latent), device)?;
    sheet::write(path, &pictures_of(&pictures(generator, &generator.codes(&normals)?)?)?, SHEET.1)
}
