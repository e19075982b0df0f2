//! `counterpart evaluate edges`: the counterparts of line drawings by outline, realism and diversity, method by method.

use super::HowChoice;
use crate::cli::inputs::tensor_of;
use crate::cli::interrupt;
use crate::cli::options::General;
use crate::cli::progress::Progress;
use crate::cli::train::images::{ImageOptions, Part as Share, prepare_set};
use crate::cli::train::{MOST_AT_ONCE, at_least_one, up_to};
use crate::data::pictures_of;
use crate::data::{Crop, Facing, Preparation, Treatment, YKind, prepare};
use crate::evaluate::{
    How, Settings, found, kernel_distance, mean, mean_pairwise_perceptual, outline_agreement, pooled_features,
};
use crate::model_file::{Model, Part};
use crate::nets::{Params, Perceptual, PerceptualConfig};
use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Measures models of line drawings by outline, realism and diversity.
#[derive(Args, Debug)]
#[command(after_help = "Outline: how well the line drawing of G(z) agrees with y, 1 at best, of the counterpart that \
                        explains y best. Realism: the kernel distance (x 1000) of SqueezeNet's last level between these \
                        counterparts and photographs held out, 0 at best; beside it that of two halves of the photographs. \
                        Diversity: the mean distance of the counterparts of one drawing in the levels of VGG19.")]
pub struct Edges {
    /// Models to be measured
    #[arg(long = "model", value_name = "MODEL", required = true, num_args = 1..)]
    models: Vec<PathBuf>,
    /// Photographs whose drawings are given; a part that no training of T and E saw
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    /// Uses the part K of N of them, counted from 0
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    part: Share,
    /// Photographs that counterparts should look like; a part that the training of G did not see
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    real: Vec<PathBuf>,
    /// Uses the part K of N of these, counted from 0
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    real_part: Share,
    /// SqueezeNet, for realism
    #[arg(long, value_name = "FILE")]
    squeezenet: PathBuf,
    /// VGG19 (normalised), for diversity
    #[arg(long, value_name = "FILE")]
    vgg: PathBuf,
    /// How counterparts are found; several ways are measured one after the other [default: sample, solve, refine]
    #[arg(long, value_enum, value_name = "HOW")]
    how: Vec<HowChoice>,
    /// Drawings
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = at_least_one)]
    count: usize,
    /// Counterparts of each
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = up_to::<MOST_AT_ONCE>)]
    starts: usize,
    /// Steps of solving
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    #[command(flatten)]
    general: General,
}

/// What was measured of one model and one way.
struct Row {
    outline: f64,
    realism: Option<f64>,
    diversity: f64,
}

impl Edges {
    pub(super) fn run(self) -> Result<()> {
        let device = self.general.compute.start()?;
        interrupt::listen();
        let (squeezenet, vgg) = (network(&self.squeezenet, &device)?, network(&self.vgg, &device)?);
        let seed = self.general.seed.seed;
        let mut rows = Vec::new();
        for path in &self.models {
            let model = Arc::new(Model::open(path, &device)?);
            let manifest = &model.manifest;
            if manifest.y_kind != YKind::Edges {
                return Err(Error::new(format!("{} is no model of line drawings.", path.display())));
            }
            let draw = |paths: &[PathBuf], part: Share, treatment: Treatment, size: usize| -> Result<Vec<Picture>> {
                let set = ImageOptions::open_part(paths, part, 4)?;
                let share = (self.count.max(4) as f64 / set.len() as f64).min(1.0);
                let how = Preparation { treatment, size, ..manifest.preparation.clone() };
                Ok(prepare_set(&set.part(0.0..share, seed.wrapping_add(1)), &how, 4)?.pictures)
            };
            let drawings = draw(&self.images, self.part, Treatment::EdgesFromPhoto, manifest.size)?;
            let photographs = draw(&self.real, self.real_part, Treatment::AsIs, model.generator.config().size)?;
            let y = tensor_of(&drawings.iter().collect::<Vec<_>>(), manifest.channels_y, &device)?;
            let real = tensor_of(&photographs.iter().collect::<Vec<_>>(), manifest.channels_x, &device)?;
            let real = pooled_features(&squeezenet, &real)?;
            let (first, second) = real.split_at(real.len() / 2);
            let floor = kernel_distance(first, second).map(|distance| 1000.0 * distance);
            let shown = path.display();
            self.general.json.say(&format!(
                "{shown}: {} drawings, {} photographs (kernel distance of their halves {})",
                drawings.len(),
                photographs.len(),
                number(floor)
            ))?;
            let mut ways = self.how.clone();
            if ways.is_empty() {
                let all = [HowChoice::Sample, HowChoice::Solve, HowChoice::Refine];
                ways.extend(all.into_iter().filter(|&way| way == HowChoice::Solve || model.encoder.is_some()));
            }
            for way in ways {
                let row = self.measure(&model, &y, &real, (&squeezenet, &vgg), way)?;
                let name = way.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                let Row { outline, realism, diversity } = row;
                self.general.json.say(&format!(
                    "  {name}: outline {outline:.3}, realism {}, diversity {diversity:.3}",
                    number(realism)
                ))?;
                let methods: Vec<&str> = manifest.training.iter().map(|record| record.method.as_str()).collect();
                rows.push(json!({"model": shown.to_string(), "trained_by": methods, "how": name, "outline": outline,
                    "kernel_distance_1000": realism, "kernel_distance_1000_of_photographs": floor,
                    "diversity": diversity, "drawings": drawings.len(), "photographs": photographs.len()}));
            }
        }
        self.general.json.write(&json!({
            "starts": self.starts, "steps": self.steps, "seed": seed, "measured": rows,
        }))
    }

    fn measure(
        &self,
        model: &Arc<Model>,
        y: &Tensor,
        real: &[Vec<f32>],
        (squeezenet, vgg): (&Perceptual, &Perceptual),
        way: HowChoice,
    ) -> Result<Row> {
        let count = y.dim(0)?;
        let mut progress = Progress::new("Measuring", "drawings", 0, count as u64);
        let (mut outlines, mut diversity, mut best) = (Vec::new(), Vec::new(), Vec::new());
        // The drawing of a counterpart is taken as it stands.
        let as_it_stands = Preparation {
            crop: Crop::Whole,
            facing: Facing::AsIs,
            invert: false,
            ..model.manifest.preparation.clone()
        };
        let how = Preparation { treatment: Treatment::EdgesFromPhoto, size: model.manifest.size, ..as_it_stands };
        for row in 0..count {
            let one = y.narrow(0, row, 1)?;
            let seed = self.general.seed.seed.wrapping_add(row as u64);
            let settings = Settings { starts: self.starts, steps: self.steps, seed };
            let (x, least) = found(model, &one, How::from(way), settings)?;
            if self.starts > 1 {
                diversity.push(mean_pairwise_perceptual(vgg, &x)?);
            }
            let x = x.narrow(0, least, 1)?;
            let wanted: Vec<f32> = one.mean(1)?.flatten_all()?.to_vec1()?;
            for picture in pictures_of(&x)? {
                let drawn = prepare(&picture, &how).to_planes(1);
                outlines.push(outline_agreement(&drawn, &wanted, model.manifest.size) as f32);
            }
            best.push(x);
            progress.at(row as u64 + 1, String::new);
            if interrupt::happened() {
                return Err(Error::new("Stopped before everything was measured."));
            }
        }
        let features = pooled_features(squeezenet, &Tensor::cat(&best, 0)?)?;
        let realism = kernel_distance(&features, real).map(|distance| 1000.0 * distance);
        Ok(Row { outline: mean(&outlines), realism, diversity: mean(&diversity) })
    }
}

/// A perceptual network from its file.
pub(super) fn network(path: &Path, device: &Device) -> Result<Perceptual> {
    let part: Part<PerceptualConfig> = Part::open(path, device)?;
    Perceptual::new(&part.config, &Params::frozen(part.weights))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.2}"))
}
