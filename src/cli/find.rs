//! What `solve` and `sample` have in common: their options, and the way from images to the grid and the report.

use super::inputs::{Input, Inputs, tensor_of};
use super::interrupt;
use super::model::ModelOption;
use super::options::General;
use super::output;
use super::progress::Progress;
use super::solutions::Solutions;
use crate::files;
use crate::model_file::Model;
use crate::nam::{Candidates, SolveOn, Solver};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The options.
#[derive(Args, Debug)]
pub struct Find {
    #[command(flatten)]
    model: ModelOption,
    /// The grid of y and its counterparts, sorted by loss, one row an image
    #[arg(long, value_name = "grid.png")]
    out: Option<PathBuf>,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    general: General,
}

/// A model and the images whose counterparts are wanted.
pub struct Search {
    /// The model.
    pub model: Arc<Model>,
    /// Where it is solved.
    pub place: SolveOn,
    inputs: Vec<Input>,
    device: Device,
    options: Find,
}

impl Find {
    /// Opens the model and the images.
    ///
    /// # Errors
    /// When no place for the result is named, or one of them cannot be opened.
    pub fn open(self) -> Result<Search> {
        if self.out.is_none() && self.general.json.json.is_none() {
            return Err(Error::new("Name where the result goes: --out grid.png, --json FILE, or both."));
        }
        self.general.json.check(&self.inputs.images)?;
        if let Some(out) = &self.out {
            files::check_place(out, &self.inputs.images)?;
            if self.general.json.json.as_ref() == Some(out) {
                return Err(Error::new("--out and --json name the same file; choose two."));
            }
        }
        let (device, place) = self.general.compute.start_solving()?;
        let model = self.model.open(&device)?;
        let inputs = self.inputs.read(&model.manifest)?;
        interrupt::listen();
        Ok(Search { model, place, inputs, device, options: self })
    }
}

impl Search {
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.options.general.seed.seed
    }

    /// Finds the counterparts of all images, with up to `steps` steps for each, and writes the grid and the report.
    /// `find` gives the counterparts of an image `y: [1, cy, s, s]` and the steps that were taken for them.
    ///
    /// # Errors
    /// When one of them is not found, or the disk refuses; then nothing is half-written.
    pub fn run(
        &self,
        (how, doing): (&'static str, &str),
        steps: usize,
        mut find: impl FnMut(&Tensor, &mut Descent) -> Result<(Candidates, usize)>,
    ) -> Result<()> {
        let progress = Progress::new(doing, "steps", 0, self.inputs.len().saturating_mul(steps) as u64);
        let mut descent = Descent { progress, before: 0 };
        let mut all = Solutions::new(&self.model, how);
        for (i, input) in self.inputs.iter().enumerate() {
            let started = Instant::now();
            descent.before = i * steps;
            let y = tensor_of(&[&input.y], self.model.manifest.channels_y, &self.device)?;
            let (found, taken) = find(&y, &mut descent)?;
            if !found.losses.iter().any(|loss| loss.is_finite()) {
                return Err(Error::new(format!(
                    "No counterpart of {} has a loss that is a number; the loss's weights or the model's are beyond what \
                     can be computed.",
                    input.name
                )));
            }
            all.add(input, &y, &found, taken, started.elapsed().as_secs_f64())?;
            descent.progress.at(((i + 1) * steps) as u64, String::new);
        }
        drop(descent);
        all.write(self.options.out.as_deref(), &self.options.general.json)
    }
}

/// The steps that are taken for one image, which a person sees.
pub struct Descent {
    progress: Progress,
    /// Steps for the images before this one.
    before: usize,
}

impl Descent {
    /// Takes so many steps, or fewer where all starts settle before.
    ///
    /// # Errors
    /// When a step fails, or Ctrl-C was pressed.
    pub fn run(&mut self, solver: &mut Solver, steps: usize) -> Result<()> {
        while solver.steps() < steps && !solver.is_settled() {
            solver.take_notice().iter().for_each(|notice| output::note(notice));
            if interrupt::happened() {
                return Err(Error::new("Stopped before all counterparts were found; nothing was written."));
            }
            let report = solver.step()?;
            self.progress.at((self.before + report.step) as u64, || {
                let best = report.losses.iter().copied().fold(f32::INFINITY, f32::min);
                format!("loss {best:.4}")
            });
        }
        solver.take_notice().iter().for_each(|notice| output::note(notice));
        Ok(())
    }
}
