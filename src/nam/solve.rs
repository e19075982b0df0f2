//! Solving for the latent codes that explain one image, with G, T and the perceptual network frozen ([NAM] section 3).

use super::codes::{Against, Candidates, rows as rows_of};
use super::loss::{self, Target};
use super::networks::Networks;
use crate::nets::Statistics;
use crate::ops::AdamConfig;
use crate::ops::RowAdam;
use crate::plan::Found;
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// When a start counts as settled: its best loss no longer falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settle {
    /// The steps over which the best loss must fall.
    pub window: usize,
    /// By which share of itself it must fall over these steps.
    pub tolerance: f32,
    /// No start settles before this many steps.
    pub minimum_steps: usize,
}

impl Default for Settle {
    fn default() -> Self {
        Self { window: 40, tolerance: 0.002, minimum_steps: 80 }
    }
}

/// How codes are descended. The default is that of the papers: Adam, 0.03, (0.5, 0.999).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SolveSettings {
    /// Adam's step size.
    pub learning_rate: f64,
    /// Adam's decay of the mean of gradients.
    pub beta1: f64,
    /// Adam's decay of the mean of squared gradients.
    pub beta2: f64,
    /// When to leave a start alone; `None`: never.
    pub settle: Option<Settle>,
    /// Starts that are computed at once, at most: fewer take less memory, and change nothing else.
    pub at_once: usize,
}

impl Default for SolveSettings {
    fn default() -> Self {
        Self { learning_rate: 0.03, beta1: 0.5, beta2: 0.999, settle: None, at_once: 16 }
    }
}

/// What one step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps taken so far, this one included.
    pub step: usize,
    /// The loss of every start before this step; of a settled one, the loss where it stays.
    pub losses: Vec<f32>,
    /// Which starts have settled and no longer move.
    pub settled: Vec<bool>,
}

/// The course of one start.
#[derive(Clone)]
struct Start {
    settled: bool,
    loss: f32,
    best: f32,
    best_code: Vec<f32>,
    /// The best loss after every step, as far back as the window reaches.
    recent: VecDeque<f32>,
    /// G(z) and T(G(z)) of the latest step, `[1, c, s, s]` each.
    pictures: Option<(Tensor, Tensor)>,
    /// The same of the step with the lowest loss.
    best_pictures: Option<(Tensor, Tensor)>,
}

/// Descends the reconstruction loss of several starts at once, a step at a time. The sum of the losses is descended,
/// and Adam keeps a state for each, so no start depends on the others.
pub struct Solver {
    networks: Arc<dyn Networks + Send + Sync>,
    against: Against,
    settings: SolveSettings,
    latent: usize,
    device: Device,
    codes: Vec<f32>,
    adam: RowAdam,
    starts: Vec<Start>,
    step: usize,
}

impl Solver {
    /// Starts at `codes: [n, nz]`, for `y: [1, cy, s, s]` (the same for all) or `[n, cy, s, s]`.
    ///
    /// # Errors
    /// When shapes do not fit the networks, or the loss needs a network that is missing.
    pub fn new(
        networks: Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: Tensor,
        settings: SolveSettings,
    ) -> Result<Self> {
        let (count, latent) = codes.dims2()?;
        let wanted = networks.generator().config().latent;
        if count == 0 || latent != wanted {
            return Err(Error::new(format!("{count} codes of {latent} values do not fit a model of {wanted}.")));
        }
        if y.rank() != 4 || ![1, count].contains(&y.dim(0)?) {
            return Err(Error::new("Solving needs one image, or as many as there are starts."));
        }
        let against = Against::new(&*networks, y, &codes, true)?;
        let device = codes.device().clone();
        let codes: Vec<f32> = codes.flatten_all()?.to_vec1()?;
        let SolveSettings { learning_rate, beta1, beta2, .. } = settings;
        let adam = AdamConfig { learning_rate, beta1, beta2, ..AdamConfig::default() };
        let start = |code: &[f32]| Start {
            settled: false,
            loss: f32::NAN,
            best: f32::INFINITY,
            best_code: code.to_vec(),
            recent: VecDeque::new(),
            pictures: None,
            best_pictures: None,
        };
        let starts = codes.chunks_exact(latent).map(start).collect();
        Ok(Self {
            against,
            settings,
            latent,
            device,
            adam: RowAdam::new(count, latent, adam),
            codes,
            starts,
            step: 0,
            networks,
        })
    }

    /// One step of every start that has not settled.
    ///
    /// # Errors
    /// When the computation fails; the codes are then those of before, or moved for some starts only.
    pub fn step(&mut self) -> Result<StepReport> {
        let active: Vec<usize> = (0..self.starts.len()).filter(|&i| !self.starts[i].settled).collect();
        for rows in active.chunks(self.settings.at_once.max(1)) {
            self.step_rows(rows)?;
        }
        self.step += 1;
        Ok(StepReport {
            step: self.step,
            losses: self.starts.iter().map(|start| start.loss).collect(),
            settled: self.starts.iter().map(|start| start.settled).collect(),
        })
    }

    fn step_rows(&mut self, rows: &[usize]) -> Result<()> {
        let nz = self.latent;
        let values: Vec<f32> = rows.iter().flat_map(|&row| &self.codes[row * nz..(row + 1) * nz]).copied().collect();
        let found = match &self.against {
            Against::Plan(solving, targets, images) => {
                solving.run(&values, targets, &rows_of(*images, rows.iter().copied()), true)?
            }
            Against::Operations(target) => self.descend(target, values, rows)?,
        };
        let Found { x, reconstruction, losses, gradient } = found;
        for (i, &row) in rows.iter().enumerate() {
            self.starts[row].pictures = Some((x.narrow(0, i, 1)?, reconstruction.narrow(0, i, 1)?));
            self.move_row(row, losses[i], &gradient[i * nz..(i + 1) * nz]);
        }
        Ok(())
    }

    /// Pictures, losses and gradients by the operations themselves.
    fn descend(&self, target: &Target, codes: Vec<f32>, rows: &[usize]) -> Result<Found> {
        let z = Var::from_vec(codes, (rows.len(), self.latent), &self.device)?;
        let x = self.networks.generator().forward(&z, Statistics::Running)?;
        let reconstruction = self.networks.mapping().forward(&x, Statistics::Running)?;
        let whole = rows.len() == self.starts.len();
        let selected = if whole { None } else { Some(target.select(rows)?) };
        let target = selected.as_ref().unwrap_or(target);
        let losses = loss::reconstruction(self.networks.loss(), self.networks.perceptual(), &reconstruction, target)?;
        let gradients = losses.sum_all()?.backward()?;
        let gradient = gradients.get(&z).ok_or_else(|| Error::new("The loss does not depend on the latent codes."))?;
        let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
        Ok(Found { x: x.detach(), reconstruction: reconstruction.detach(), losses: losses.to_vec1()?, gradient })
    }

    /// Takes note of a start's loss, then moves its code or lets it settle where its loss was lowest.
    fn move_row(&mut self, row: usize, loss: f32, gradient: &[f32]) {
        let place = row * self.latent..(row + 1) * self.latent;
        let start = &mut self.starts[row];
        start.loss = loss;
        if loss < start.best {
            start.best = loss;
            start.best_code.copy_from_slice(&self.codes[place.clone()]);
            start.best_pictures.clone_from(&start.pictures);
        }
        // A code that has left the numbers never comes back: it stays where it was best.
        let lost = !loss.is_finite() || gradient.iter().any(|g| !g.is_finite());
        let still = self.settings.settle.is_some_and(|settle| {
            start.recent.push_back(start.best);
            let before = if start.recent.len() > settle.window { start.recent.pop_front() } else { None };
            self.step + 1 >= settle.minimum_steps
                && before.is_some_and(|before| before - start.best < settle.tolerance * before)
        });
        if lost || still {
            start.settled = true;
            start.loss = start.best;
            start.pictures.clone_from(&start.best_pictures);
            self.codes[place].copy_from_slice(&start.best_code);
        } else {
            self.adam.step_row(&mut self.codes, row, gradient);
        }
    }

    /// Whether every start has settled.
    pub fn is_settled(&self) -> bool {
        self.starts.iter().all(|start| start.settled)
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// The codes as they are now, `[n, nz]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn codes(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.codes, (self.starts.len(), self.latent), &self.device)?)
    }

    /// The code of the lowest loss of every start so far, `[n, nz]`, and these losses.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn best(&self) -> Result<(Tensor, Vec<f32>)> {
        let values: Vec<f32> = self.starts.iter().flat_map(|start| start.best_code.iter().copied()).collect();
        let codes = Tensor::from_vec(values, (self.starts.len(), self.latent), &self.device)?;
        Ok((codes, self.starts.iter().map(|start| start.best).collect()))
    }

    /// The candidates of the codes as they are now.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn candidates(&self) -> Result<Candidates> {
        self.against.candidates(&*self.networks, &self.codes()?)
    }

    /// The candidates that the latest step saw, before it moved the codes: those that its report speaks of, at no
    /// cost. `None` before the first step.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn latest(&self) -> Result<Option<Candidates>> {
        let pictures: Option<Vec<_>> = self.starts.iter().map(|start| start.pictures.as_ref()).collect();
        let Some(pictures) = pictures else { return Ok(None) };
        let x: Vec<&Tensor> = pictures.iter().map(|(x, _)| x).collect();
        let reconstruction: Vec<&Tensor> = pictures.iter().map(|(_, reconstruction)| reconstruction).collect();
        Ok(Some(Candidates {
            x: Tensor::cat(&x, 0)?,
            reconstruction: Tensor::cat(&reconstruction, 0)?,
            losses: self.starts.iter().map(|start| start.loss).collect(),
        }))
    }
}
