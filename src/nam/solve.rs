//! Solving for the latent codes that explain one image, with G, T and the perceptual network frozen ([NAM] section 3).

use super::codes::{Against, Candidates, rows as rows_of};
use super::loss::{self, Target};
use super::networks::Networks;
use super::on_gpu::OnGpu;
use super::solve_on::SolveOn;
use super::start::{Start, Verdict};
use crate::gpu::Sheet;
use crate::nets::Statistics;
use crate::ops::{AdamConfig, RowAdam};
use crate::plan::Found;
use crate::plan::wgpu::{Outcome, Solvers, State};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
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

/// Descends the reconstruction loss of several starts at once, a step at a time. The sum of the losses is descended,
/// and Adam keeps a state for each, so no start depends on the others.
pub struct Solver {
    networks: Arc<dyn Networks + Send + Sync>,
    y: Tensor,
    /// What the tensors' device compares with; made when it is first needed.
    against: Option<Against>,
    /// The codes, where a graphics processor descends: those here are then old.
    gpu: Option<OnGpu>,
    notice: Option<String>,
    settings: SolveSettings,
    latent: usize,
    device: Device,
    codes: Vec<f32>,
    adam: RowAdam,
    starts: Vec<Start>,
    step: usize,
}

impl Solver {
    /// Starts at `codes: [n, nz]`, for `y: [1, cy, s, s]` (the same for all) or `[n, cy, s, s]`, where the tensors live.
    ///
    /// # Errors
    /// When shapes do not fit the networks, or the loss needs a network that is missing.
    pub fn new(
        networks: Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: Tensor,
        settings: SolveSettings,
    ) -> Result<Self> {
        Self::on(networks, y, codes, settings, &SolveOn::Tensors)
    }

    /// As [`Solver::new`], on the device of a choice. Where a graphics processor cannot have the search,
    /// [`Solver::take_notice`] says why and the tensors' device does.
    ///
    /// # Errors
    /// As [`Solver::new`].
    pub fn on(
        networks: Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: Tensor,
        settings: SolveSettings,
        place: &SolveOn,
    ) -> Result<Self> {
        let (count, latent) = codes.dims2()?;
        let wanted = networks.generator().config().latent;
        if count == 0 || latent != wanted {
            return Err(Error::new(format!("{count} codes of {latent} values do not fit a model of {wanted}.")));
        }
        if y.rank() != 4 || ![1, count].contains(&y.dim(0)?) {
            return Err(Error::new("Solving needs one image, or as many as there are starts."));
        }
        let values: Vec<f32> = codes.flatten_all()?.to_vec1()?;
        let SolveSettings { learning_rate, beta1, beta2, .. } = settings;
        let adam = AdamConfig { learning_rate, beta1, beta2, ..AdamConfig::default() };
        let mut solver = Self {
            y: y.clone(),
            against: None,
            gpu: None,
            notice: None,
            settings,
            latent,
            device: codes.device().clone(),
            adam: RowAdam::new(count, latent, adam),
            starts: values.chunks_exact(latent).map(Start::new).collect(),
            codes: values,
            step: 0,
            networks,
        };
        let (solvers, notice) = place.choose(&solver.networks, y, &codes, settings);
        solver.notice = notice;
        if let Some(solvers) = solvers {
            match solver.on_gpu(&solvers, adam) {
                Ok(gpu) => solver.gpu = Some(gpu),
                Err(error) => solver.notice = Some(format!("{error} The CPU computes instead.")),
            }
        }
        if solver.gpu.is_none() {
            solver.against()?;
        }
        Ok(solver)
    }

    fn on_gpu(&self, solvers: &Solvers, adam: AdamConfig) -> Result<OnGpu> {
        let networks = &self.networks;
        let count = self.starts.len();
        let at_once = count.min(self.settings.at_once.max(1));
        let (generator, mapping) = (networks.generator(), networks.mapping());
        let plan = solvers.plan(generator, mapping, networks.perceptual(), networks.loss(), at_once)?;
        OnGpu::new(plan, &self.y, &self.codes, count, adam)
    }

    /// What the codes are compared with where the tensors live.
    fn against(&mut self) -> Result<&Against> {
        if self.against.is_none() {
            let codes = Tensor::from_slice(&self.codes, (self.starts.len(), self.latent), &self.device)?;
            self.against = Some(Against::new(&*self.networks, &self.y, &codes, true)?);
        }
        self.against.as_ref().ok_or_else(|| Error::new("There is nothing to compare the codes with."))
    }

    /// Whether a graphics processor descends.
    pub fn is_on_gpu(&self) -> bool {
        self.gpu.is_some()
    }

    /// What a person should know of where this is computed, said once: why a graphics processor does not.
    pub fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// One step of every start that has not settled. When a graphics processor fails, the steps since its state was
    /// last read back are taken again where the tensors live, and the search goes on there.
    ///
    /// # Errors
    /// When the computation fails; the codes are then those of before, or moved for some starts only.
    pub fn step(&mut self) -> Result<StepReport> {
        let active: Vec<usize> = (0..self.starts.len()).filter(|&i| !self.starts[i].settled).collect();
        let done = match self.step_on_gpu(&active) {
            Ok(done) => done,
            Err(error) => {
                self.leave_gpu(&error)?;
                false
            }
        };
        if !done {
            for rows in active.chunks(self.settings.at_once.max(1)) {
                self.step_rows(rows)?;
            }
        }
        self.step += 1;
        Ok(self.step_report())
    }

    /// What the latest step did.
    pub fn step_report(&self) -> StepReport {
        StepReport {
            step: self.step,
            losses: self.starts.iter().map(|start| start.loss).collect(),
            settled: self.starts.iter().map(|start| start.settled).collect(),
        }
    }

    /// A step on the graphics processor, if one descends.
    fn step_on_gpu(&mut self, active: &[usize]) -> Result<bool> {
        let Some(gpu) = &mut self.gpu else { return Ok(false) };
        if active.is_empty() {
            return Ok(true);
        }
        let images = rows_of(self.y.dim(0)?, active.iter().copied());
        let pairs: Vec<[usize; 2]> = active.iter().zip(images).map(|(&row, image)| [row, image]).collect();
        let outcomes = gpu.step(&pairs)?;
        for &row in active {
            let Outcome { loss, sound } = outcomes[row];
            gpu.decide(row, self.starts[row].judge(loss, sound, self.settings.settle, self.step));
        }
        Ok(true)
    }

    /// Goes on where the tensors live: from the state that was read back last, and the steps since then once more.
    fn leave_gpu(&mut self, error: &Error) -> Result<()> {
        let Some(gone) = self.gpu.take() else { return Ok(()) };
        self.notice = Some(format!("{error} The search goes on with the CPU from where it was."));
        let nz = self.latent;
        let record = gone.into_record();
        let State { codes, first, second, best } = record.state;
        self.codes = codes;
        self.adam.restore(first, second, record.steps)?;
        for (start, code) in self.starts.iter_mut().zip(best.chunks_exact(nz)) {
            start.best_code.copy_from_slice(code);
        }
        for step in record.since {
            for part in step.chunks(self.settings.at_once.max(1)) {
                let rows: Vec<usize> = part.iter().map(|(row, _)| *row).collect();
                let found = self.evaluate(&rows)?;
                for (i, &(row, decision)) in part.iter().enumerate() {
                    self.starts[row].pictures = Some(found.pictures(i)?);
                    let verdict = Verdict { improved: decision.keep, settles: decision.restore };
                    self.follow(row, verdict, &found.gradient[i * nz..(i + 1) * nz]);
                }
            }
        }
        if self.step == 0 {
            return Ok(());
        }
        // The pictures of the best codes, which were on the device.
        let now = std::mem::take(&mut self.codes);
        self.codes = self.starts.iter().flat_map(|start| start.best_code.iter().copied()).collect();
        let rows: Vec<usize> = (0..self.starts.len()).collect();
        for rows in rows.chunks(self.settings.at_once.max(1)) {
            let found = self.evaluate(rows)?;
            for (i, &row) in rows.iter().enumerate() {
                let start = &mut self.starts[row];
                start.best_pictures = Some(found.pictures(i)?);
                if start.settled {
                    start.pictures.clone_from(&start.best_pictures);
                }
            }
        }
        self.codes = now;
        Ok(())
    }

    fn step_rows(&mut self, rows: &[usize]) -> Result<()> {
        let nz = self.latent;
        let found = self.evaluate(rows)?;
        for (i, &row) in rows.iter().enumerate() {
            let gradient = &found.gradient[i * nz..(i + 1) * nz];
            let start = &mut self.starts[row];
            start.pictures = Some(found.pictures(i)?);
            let sound = gradient.iter().all(|g| g.is_finite());
            let verdict = start.judge(found.losses[i], sound, self.settings.settle, self.step);
            self.follow(row, verdict, gradient);
        }
        Ok(())
    }

    /// Pictures, losses and gradients of these rows, where the tensors live.
    fn evaluate(&mut self, rows: &[usize]) -> Result<Found> {
        let nz = self.latent;
        let values: Vec<f32> = rows.iter().flat_map(|&row| &self.codes[row * nz..(row + 1) * nz]).copied().collect();
        self.against()?;
        match &self.against {
            Some(Against::Plan(solving, targets, images)) => {
                solving.run(&values, targets, &rows_of(*images, rows.iter().copied()), true)
            }
            Some(Against::Operations(target)) => self.descend(target, values, rows),
            None => Err(Error::new("There is nothing to compare the codes with.")),
        }
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

    /// Does with a code what its loss has decided: moves it, or lets it settle where its loss was lowest.
    fn follow(&mut self, row: usize, verdict: Verdict, gradient: &[f32]) {
        let place = row * self.latent..(row + 1) * self.latent;
        let start = &mut self.starts[row];
        if verdict.improved {
            start.best_code.copy_from_slice(&self.codes[place.clone()]);
            start.best_pictures.clone_from(&start.pictures);
        }
        if verdict.settles {
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

    /// The codes as they are now and those of the lowest losses, `[n, nz]` each.
    fn state(&mut self) -> Result<[Vec<f32>; 2]> {
        if let Some(gpu) = &mut self.gpu {
            match gpu.state() {
                Ok(State { codes, best, .. }) => return Ok([codes, best]),
                Err(error) => self.leave_gpu(&error)?,
            }
        }
        let best = self.starts.iter().flat_map(|start| start.best_code.iter().copied()).collect();
        Ok([self.codes.clone(), best])
    }

    /// The codes as they are now, `[n, nz]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn codes(&mut self) -> Result<Tensor> {
        let [codes, _] = self.state()?;
        Ok(Tensor::from_vec(codes, (self.starts.len(), self.latent), &self.device)?)
    }

    /// The code of the lowest loss of every start so far, `[n, nz]`, and these losses.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn best(&mut self) -> Result<(Tensor, Vec<f32>)> {
        let [_, values] = self.state()?;
        let codes = Tensor::from_vec(values, (self.starts.len(), self.latent), &self.device)?;
        Ok((codes, self.starts.iter().map(|start| start.best).collect()))
    }

    /// The candidates of the codes as they are now.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn candidates(&mut self) -> Result<Candidates> {
        let (codes, networks) = (self.codes()?, self.networks.clone());
        self.against()?.candidates(&*networks, &codes)
    }

    /// What [`Self::latest`] gives, left on the window's device: G(z) of start i in layer 2 i of a sheet, T(G(z)) behind
    /// it; and the losses. `None` where nothing descends on that device, and before the first step.
    ///
    /// # Errors
    /// When the search cannot go on without a graphics processor that failed.
    pub fn sheet(&mut self) -> Result<Option<(Arc<Sheet>, Vec<f32>)>> {
        let Some(gpu) = self.gpu.as_mut().filter(|_| self.step > 0) else { return Ok(None) };
        match gpu.sheet() {
            Ok(sheet) => Ok(sheet.map(|sheet| (sheet, self.starts.iter().map(|start| start.loss).collect()))),
            Err(error) => self.leave_gpu(&error).map(|()| None),
        }
    }

    /// The candidates that the latest step saw, before it moved the codes: those that its report speaks of. They cost
    /// nothing but their way from a graphics processor, where one descends. `None` before the first step.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn latest(&mut self) -> Result<Option<Candidates>> {
        let losses = self.starts.iter().map(|start| start.loss).collect();
        if let Some(gpu) = self.gpu.as_mut().filter(|_| self.step > 0) {
            match gpu.pictures() {
                Ok([x, reconstruction]) => {
                    let count = self.starts.len();
                    let picture = |values: Vec<f32>, config: (usize, usize)| {
                        let (channels, size) = config;
                        Tensor::from_vec(values, (count, channels, size, size), &self.device)
                    };
                    let (g, t) = (self.networks.generator().config(), self.networks.mapping().config());
                    let reconstruction = picture(reconstruction, (t.outputs, t.size))?;
                    return Ok(Some(Candidates { x: picture(x, (g.channels, g.size))?, reconstruction, losses }));
                }
                Err(error) => self.leave_gpu(&error)?,
            }
        }
        let pictures: Option<Vec<_>> = self.starts.iter().map(|start| start.pictures.as_ref()).collect();
        let Some(pictures) = pictures else { return Ok(None) };
        let x: Vec<&Tensor> = pictures.iter().map(|(x, _)| x).collect();
        let reconstruction: Vec<&Tensor> = pictures.iter().map(|(_, reconstruction)| reconstruction).collect();
        Ok(Some(Candidates { x: Tensor::cat(&x, 0)?, reconstruction: Tensor::cat(&reconstruction, 0)?, losses }))
    }
}
