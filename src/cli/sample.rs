//! `counterpart sample`: VAE-NAM, the counterparts of images drawn from the encoder's posterior.

use super::inputs::{Inputs, tensor_of};
use super::interrupt;
use super::model::ModelOption;
use super::options::{Compute, Json, Seed};
use super::progress::Progress;
use super::solutions::Solutions;
use super::train::at_least_one;
use crate::nam::{SolveSettings, Solver, Starts, candidates, starting_codes};
use crate::{Error, Result};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

/// Draws the counterparts of images from the encoder's posterior.
#[derive(Args, Debug)]
pub struct Sample {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    model: ModelOption,
    /// Counterparts of each image
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    count: usize,
    /// Steps of solving that refine the samples
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    refine: usize,
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

impl Sample {
    pub(super) fn run(self) -> Result<()> {
        if self.out.is_none() && self.json.json.is_none() {
            return Err(Error::new("Name where the result goes: --out grid.png, --json FILE, or both."));
        }
        let device = self.compute.start()?;
        let model = self.model.open(&device)?;
        let inputs = self.inputs.read(&model.manifest)?;
        interrupt::listen();
        let steps = self.refine.max(1);
        let mut progress = Progress::new("Sampling", "steps", 0, (inputs.len() * steps) as u64);
        let mut all = Solutions::new(&model, "sample");
        for (i, input) in inputs.iter().enumerate() {
            let started = Instant::now();
            let y = tensor_of(&[&input.y], model.manifest.channels_y, &device)?;
            let mut codes = starting_codes(&*model, &y, Starts::Posterior, self.count, self.seed.seed)?;
            if self.refine > 0 {
                let mut solver = Solver::new(model.clone(), &y, codes, SolveSettings::default())?;
                for _ in 0..self.refine {
                    if interrupt::happened() {
                        return Err(Error::new("Stopped before all counterparts were found; nothing was written."));
                    }
                    solver.step()?;
                    progress.at((i * steps + solver.steps()) as u64, String::new);
                }
                codes = solver.best()?.0;
            }
            let found = candidates(&*model, &y, &codes)?;
            all.add(input, &y, &found, self.refine, started.elapsed().as_secs_f64())?;
            progress.at(((i + 1) * steps) as u64, String::new);
        }
        drop(progress);
        all.write(self.out.as_deref(), &self.json)
    }
}
