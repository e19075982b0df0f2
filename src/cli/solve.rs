//! `counterpart solve`: NAM, the counterparts of images from random starts.

use super::inputs::{Inputs, tensor_of};
use super::model::ModelOption;
use super::options::{Compute, Json, Seed};
use super::progress::Progress;
use super::solutions::{Solutions, WithLoss};
use super::train::at_least_one;
use super::train::check_rate;
use super::{interrupt, loss};
use crate::model_file::LossConfig;
use crate::nam::{Settle, SolveSettings, Solver, Starts, candidates, starting_codes};
use crate::{Error, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Finds the counterparts of images by descending from random starts.
#[derive(Args, Debug)]
pub struct Solve {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    model: ModelOption,
    /// Starts, each of which gives a counterpart
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    starts: usize,
    /// Steps of every start
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    /// Where starts lie
    #[arg(long, value_enum, default_value = "normal")]
    start: StartChoice,
    /// Adam's step size for the latent codes
    #[arg(long, value_name = "RATE", default_value_t = 0.03)]
    learning_rate: f64,
    /// Leaves a start alone when its loss no longer falls
    #[arg(long)]
    settle: bool,
    #[arg(long, value_name = "LOSS", value_parser = loss::parse, help = loss::HELP)]
    loss: Option<LossConfig>,
    /// The grid of y and its counterparts, sorted by loss, one row an image
    #[arg(long, value_name = "grid.png")]
    out: Option<PathBuf>,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    json: Json,
}

/// `--start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StartChoice {
    /// N(0, I): solutions as different as the generator's images
    Normal,
    /// N(0, 0.01^2): as in the authors' code
    Small,
    /// Samples of the encoder's posterior
    Posterior,
}

impl Solve {
    pub(super) fn run(self) -> Result<()> {
        check_rate("learning-rate", self.learning_rate)?;
        if self.out.is_none() && self.json.json.is_none() {
            return Err(Error::new("Name where the result goes: --out grid.png, --json FILE, or both."));
        }
        let device = self.compute.start()?;
        let model = self.model.open(&device)?;
        let inputs = self.inputs.read(&model.manifest)?;
        let networks = Arc::new(WithLoss::new(model.clone(), self.loss.clone()));
        let starts = match self.start {
            StartChoice::Normal => Starts::Normal { std: 1.0 },
            StartChoice::Small => Starts::Normal { std: 0.01 },
            StartChoice::Posterior => Starts::Posterior,
        };
        let settings = SolveSettings {
            learning_rate: self.learning_rate,
            settle: self.settle.then(Settle::default),
            ..SolveSettings::default()
        };
        interrupt::listen();
        let mut progress = Progress::new("Solving", "steps", 0, (inputs.len() * self.steps) as u64);
        let mut all = Solutions::new(&model, "solve");
        for (i, input) in inputs.iter().enumerate() {
            let started = Instant::now();
            let y = tensor_of(&[&input.y], model.manifest.channels_y, &device)?;
            let codes = starting_codes(&*networks, &y, starts, self.starts, self.seed.seed)?;
            let mut solver = Solver::new(networks.clone(), &y, codes, settings)?;
            while solver.steps() < self.steps && !solver.is_settled() {
                if interrupt::happened() {
                    return Err(Error::new("Stopped before all counterparts were found; nothing was written."));
                }
                let report = solver.step()?;
                progress.at((i * self.steps + report.step) as u64, || {
                    let best = report.losses.iter().copied().fold(f32::INFINITY, f32::min);
                    format!("loss {best:.4}")
                });
            }
            let found = candidates(&*networks, &y, &solver.best()?.0)?;
            all.add(input, &y, &found, solver.steps(), started.elapsed().as_secs_f64())?;
        }
        drop(progress);
        all.write(self.out.as_deref(), &self.json)
    }
}
