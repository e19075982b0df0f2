//! `counterpart evaluate prior`: how near what a generator draws is to images of its domain, prior by prior.

use super::edges::network;
use crate::cli::inputs::tensor_of;
use crate::cli::options::General;
use crate::cli::sheet;
use crate::cli::train::images::{CropChoice, FacingChoice, ImageOptions, MARGIN, Part as Share, prepare_set};
use crate::cli::train::{MOST_AT_ONCE, up_to};
use crate::data::{Preparation, pictures_of};
use crate::evaluate::{distances, kernel_distance, mean, mean_pairwise_l1, pooled_features};
use crate::model_file::Part;
use crate::nets::weights::normal_values;
use crate::nets::{Generator, GeneratorConfig, Params, Statistics};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use clap::Args;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use std::path::PathBuf;

/// Columns of a sheet of samples, and the most rows that a generator has on it.
const COLUMNS: usize = 16;
const ROWS: usize = 3;

/// Measures generators by what they draw from N(0, I).
#[derive(Args, Debug)]
#[command(
    after_help = "Realism: the kernel distance (x 1000) of SqueezeNet's last level between samples and images held \
                        out, 0 at best; beside it that of two halves of the images. Diversity: the mean L1 distance of \
                        two samples; beside it that of two images. Coverage: the mean L1 distance of an image to the \
                        nearest of the samples."
)]
pub struct Prior {
    /// Generators to be measured
    #[arg(long = "prior", value_name = "G.safetensors", required = true, num_args = 1..)]
    priors: Vec<PathBuf>,
    /// Images of X; a part that the training of G did not see
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    /// Uses the part K of N of them, counted from 0
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    part: Share,
    /// Which part of an image is used: all of it, or what is shown on a plain background
    #[arg(long, value_enum, default_value = "whole")]
    crop: CropChoice,
    /// Mirrors images so that all things face one way
    #[arg(long, value_enum, default_value = "as-is")]
    facing: FacingChoice,
    /// SqueezeNet, for realism
    #[arg(long, value_name = "FILE")]
    squeezenet: PathBuf,
    /// Samples, and images
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = up_to::<MOST_AT_ONCE>)]
    count: usize,
    /// Writes the first samples of every generator, at most three rows of sixteen of each
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    general: General,
}

impl Prior {
    pub(super) fn run(self) -> Result<()> {
        if self.count < 4 {
            return Err(Error::new("Four samples at least are needed to measure a generator; raise --count."));
        }
        if let Some(path) = &self.sheet {
            crate::files::check_place(path, &[&self.priors[..], &self.images[..]].concat())?;
        }
        let device = self.general.compute.start()?;
        let squeezenet = network(&self.squeezenet, &device)?;
        let (mut rows, mut shown, columns) = (Vec::new(), Vec::new(), COLUMNS.min(self.count));
        for path in &self.priors {
            let part: Part<GeneratorConfig> = Part::open(path, &device)?;
            let config = part.config.clone();
            let generator = Generator::new(&config, &Params::frozen(part.weights))?;
            let x = self.samples(&generator, &device)?;
            let real = self.images(&config, &device)?;
            let [found, wanted] = [&x, &real].map(|images| pooled_features(&squeezenet, images));
            let (found, wanted) = (found?, wanted?);
            let (first, second) = wanted.split_at(wanted.len() / 2);
            let thousand = |distance: Option<f64>| distance.map(|distance| 1000.0 * distance);
            let (realism, floor) =
                (thousand(kernel_distance(&found, &wanted)), thousand(kernel_distance(first, second)));
            let (diversity, of_images) = (mean_pairwise_l1(&x)?, mean_pairwise_l1(&real)?);
            let nearest = |row: &Vec<f32>| row.iter().copied().fold(f32::INFINITY, f32::min);
            let coverage = mean(&distances(None, &real, &x)?.iter().map(nearest).collect::<Vec<_>>());
            let name = path.display().to_string();
            let number = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1}"));
            self.general.json.say(&format!(
                "{name}: realism {} (halves of the images {}), diversity {diversity:.3} (images {of_images:.3}), \
                 coverage {coverage:.3}",
                number(realism),
                number(floor)
            ))?;
            let training = part.about.training.last();
            rows.push(json!({"prior": name, "trained_by": training.map(|record| &record.method),
                "steps": training.map(|record| record.steps), "kernel_distance_1000": realism,
                "kernel_distance_1000_of_images": floor, "diversity": diversity, "diversity_of_images": of_images,
                "coverage": coverage, "samples": self.count, "images": real.dim(0)?}));
            let rows_shown = (self.count / columns).min(ROWS);
            shown.extend(pictures_of(&x.narrow(0, 0, rows_shown * columns)?)?);
        }
        if let Some(path) = &self.sheet {
            sheet::write(path, &shown, columns)?;
        }
        self.general.json.write(&json!({ "seed": self.general.seed.seed, "measured": rows }))
    }

    /// What the generator draws from so many codes; the same codes for all generators of one nz.
    fn samples(&self, generator: &Generator, device: &Device) -> Result<Tensor> {
        let nz = generator.config().latent;
        let mut random = StdRng::seed_from_u64(self.general.seed.seed);
        let codes = normal_values(&mut random, self.count * nz, 0.0, 1.0);
        let codes = generator.codes(&Tensor::from_vec(codes, (self.count, nz), device)?)?;
        let pictures = |start: usize| {
            let part = codes.narrow(0, start, 32.min(self.count - start))?;
            generator.forward(&part, Statistics::Running)
        };
        Ok(Tensor::cat(&(0..self.count).step_by(32).map(pictures).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Images of the domain, a seeded draw, prepared for the generator's size.
    fn images(&self, config: &GeneratorConfig, device: &Device) -> Result<Tensor> {
        let set = ImageOptions::open_part(&self.images, self.part, 4)?;
        let share = (self.count as f64 / set.len() as f64).min(1.0);
        let (crop, facing) = (self.crop.with_margin(MARGIN), self.facing.into());
        let how = Preparation { size: config.size, crop, facing, ..Preparation::default() };
        let pictures = prepare_set(&set.part(0.0..share, self.general.seed.seed.wrapping_add(1)), &how, 4)?.pictures;
        tensor_of(&pictures.iter().collect::<Vec<_>>(), config.channels, device)
    }
}
