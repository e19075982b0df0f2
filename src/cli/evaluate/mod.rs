//! `counterpart evaluate`: the papers' measures on images that training never saw.

mod edges;
mod pairs;
mod prior;
mod translated;

use super::inputs::{Overrides, tensor_of};
use super::interrupt;
use super::model::ModelOption;
use super::options::General;
use super::progress::Progress;
use super::train::images::ImageOptions;
use super::train::{MOST_AT_ONCE, at_least_one, up_to};
use crate::evaluate::{How, Measures, Settings, measure};
use crate::nets::Verdict;
use crate::{Error, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

/// Measures a model on images that its training never saw.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Evaluate {
    #[command(subcommand)]
    protocol: Option<Protocol>,
    /// Images of Y; for a model of line drawings, photographs whose drawings are taken. Several folders are one set
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    /// The images are drawings already
    #[arg(long)]
    drawings: bool,
    /// Uses the part K of N, counted from 0: a part that training did not use
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    part: super::train::images::Part,
    /// Images that are measured, drawn from the part
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    count: usize,
    /// How counterparts are found [default: all ways that the model has]
    #[arg(long, value_enum, value_name = "HOW")]
    how: Vec<HowChoice>,
    /// Counterparts of each image
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = up_to::<MOST_AT_ONCE>)]
    starts: usize,
    /// Steps of solving
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    general: General,
}

/// The protocols of published tables.
#[derive(Subcommand, Debug)]
enum Protocol {
    /// Translates digits and counts how many are still the same digit
    Digits(translated::Translated),
    /// Translates cars and measures how far their angles are off
    Cars(translated::Translated),
    /// Finds counterparts of pictures whose true twins are known, and counts how often these are nearest
    Emoji(Box<pairs::Pairs>),
    /// Measures models of line drawings by outline, realism and diversity
    Edges(Box<edges::Edges>),
    /// Measures generators by what they draw from N(0, I): realism, diversity, coverage
    Prior(Box<prior::Prior>),
}

/// `--how`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HowChoice {
    /// Samples of the encoder's posterior
    Sample,
    /// Solving from random starts
    Solve,
    /// Solving from samples of the posterior
    Refine,
}

impl From<HowChoice> for How {
    fn from(choice: HowChoice) -> Self {
        match choice {
            HowChoice::Sample => Self::Sample,
            HowChoice::Solve => Self::Solve,
            HowChoice::Refine => Self::Refine,
        }
    }
}

impl Evaluate {
    pub(super) fn run(self) -> Result<()> {
        match self.protocol {
            Some(Protocol::Digits(protocol)) => return protocol.run(Verdict::Class),
            Some(Protocol::Cars(protocol)) => return protocol.run(Verdict::Angle),
            Some(Protocol::Emoji(protocol)) => return protocol.run(),
            Some(Protocol::Edges(protocol)) => return protocol.run(),
            Some(Protocol::Prior(protocol)) => return protocol.run(),
            None => {}
        }
        let device = self.general.compute.start()?;
        let seed = self.general.seed.seed;
        let model = self.model.open(&device)?;
        let set = ImageOptions::open_part(&self.images, self.part, 2)?;
        // A seeded draw, not the first by name, which may all be of one kind.
        let share = (self.count as f64 / set.len() as f64).min(1.0);
        let set = set.part(0.0..share, seed.wrapping_add(1));
        let how_prepared = self.overrides.apply(&model.manifest, !self.drawings);
        interrupt::listen();
        let prepared = super::train::images::prepare_set(&set, &how_prepared, 2)?.pictures;
        let pictures: Vec<_> = prepared.iter().collect();
        let y = tensor_of(&pictures, model.manifest.channels_y, &device)?;
        let ways = if !self.how.is_empty() {
            self.how.clone()
        } else if model.encoder.is_some() {
            vec![HowChoice::Sample, HowChoice::Solve]
        } else {
            vec![HowChoice::Solve]
        };
        let settings = Settings { starts: self.starts, steps: self.steps, seed };
        let mut all = Vec::new();
        for way in ways {
            let how = How::from(way);
            let mut progress = Progress::new("Measuring", "images", 0, pictures.len() as u64);
            let measures = measure(&model, &y, how, settings, |done| {
                progress.at(done as u64, String::new);
                !interrupt::happened()
            })?;
            drop(progress);
            self.say(&measures)?;
            all.push(measures);
        }
        if all.is_empty() {
            return Err(Error::new("Nothing was measured."));
        }
        self.general.json.write(&json!({ "model": model.manifest.title, "images": set.title(), "measures": all }))
    }

    fn say(&self, measures: &Measures) -> Result<()> {
        let Measures { images, starts, steps, .. } = measures;
        let way = match measures.how {
            How::Sample => format!("{starts} samples of the posterior"),
            How::Solve => format!("{starts} random starts, {steps} steps"),
            How::Refine => format!("{starts} samples of the posterior, {steps} steps"),
        };
        let perceptual = measures.diversity_perceptual.map(|d| format!(", perceptual {d:.4}")).unwrap_or_default();
        for line in [
            format!("{images} images, {way}, {:.2} s each", measures.seconds),
            format!(
                "  L1 of T(G(z)) to y: best {:.4}, all {:.4}; of other images' counterparts {:.4}",
                measures.l1_best, measures.l1_mean, measures.l1_of_others
            ),
            format!("  own counterpart better than another's: {:.1} % (chance 50 %)", 100.0 * measures.own_share),
            format!(
                "  diversity of the counterparts of one image: L1 {:.4}{perceptual}; between images L1 {:.4}",
                measures.diversity_l1, measures.across_l1
            ),
        ] {
            self.general.json.say(&line)?;
        }
        Ok(())
    }
}
