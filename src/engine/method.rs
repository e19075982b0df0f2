//! The method as the engine uses it: a loaded model, and a search of starts with its directions.

use super::protocol::{DIRECTIONS, FindSettings, ModelCard, ModelSource, Solution, SolveDevice, StartFrom};
use super::session::{Method, Step};
use crate::gpu::{Image, Screen};
use crate::model_file::{Model, embedded};
use crate::nam::{
    Candidates, Direction, Measured, Settle, SolveOn, SolveSettings, Solver, Starts, candidates, posterior_directions,
    starting_codes,
};
use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// How the starts of the window's searches settle: with the papers' optimiser.
fn solve_settings() -> SolveSettings {
    SolveSettings { settle: Some(Settle::default()), ..SolveSettings::default() }
}

/// Finds counterparts with a model's networks. Owns every tensor that the window's pictures come from.
pub struct NamMethod {
    device: Device,
    model: Option<Arc<Model>>,
    search: Option<Search>,
    /// The graphics processor that a person chose, once it is open.
    gpu: Option<SolveOn>,
    measured: Arc<Measured>,
    screen: Screen,
    notice: Option<String>,
}

/// What belongs to one y.
struct Search {
    y: Tensor,
    /// The codes as they are now, before the first step; afterwards they are the solver's.
    starts: Tensor,
    /// What the starts look like, until the first step.
    samples: Option<Candidates>,
    solver: Option<Solver>,
    solve_device: SolveDevice,
    directions: Vec<Direction>,
}

impl NamMethod {
    /// A method without a model, its tensors on a device. Pictures that a graphics processor makes stay there for the
    /// window, if it draws with the same.
    pub fn new(device: Device, screen: Screen) -> Self {
        let measured = Arc::new(Measured::new(screen.clone()));
        Self { device, model: None, search: None, gpu: None, measured, screen, notice: None }
    }

    /// Where a search descends. A graphics processor that was lost is opened anew.
    fn place(&mut self, device: SolveDevice) -> SolveOn {
        match device {
            SolveDevice::Cpu => SolveOn::Tensors,
            SolveDevice::Auto => SolveOn::Measured(self.measured.clone()),
            SolveDevice::Gpu => {
                if self.gpu.as_ref().is_none_or(SolveOn::is_lost) {
                    match SolveOn::gpu(self.screen.device().as_ref()) {
                        Ok(gpu) => self.gpu = Some(gpu),
                        Err(error) => {
                            self.notice = Some(format!("{error} The CPU computes instead."));
                            self.gpu = None;
                        }
                    }
                }
                self.gpu.clone().unwrap_or_default()
            }
        }
    }

    fn model(&self) -> Result<Arc<Model>> {
        self.model.clone().ok_or_else(|| Error::new("There is no model yet; open one first."))
    }

    fn search(&mut self) -> Result<&mut Search> {
        self.search.as_mut().ok_or_else(|| Error::new("There is no search; give a picture first."))
    }
}

impl Method for NamMethod {
    fn load(&mut self, source: &ModelSource) -> Result<ModelCard> {
        let model = match source {
            ModelSource::File(path) => Model::open(path, &self.device)?,
            ModelSource::Embedded(id) => {
                let model = embedded::all().iter().find(|model| model.id == *id);
                let model = model.ok_or_else(|| Error::new(format!("There is no model {id} in this program.")))?;
                Model::from_bytes(model.id, model.bytes, &self.device)?
            }
        };
        let card = card(&model);
        self.search = None;
        self.model = Some(Arc::new(model));
        Ok(card)
    }

    fn begin(&mut self, y: &Picture, settings: &FindSettings) -> Result<()> {
        let model = self.model()?;
        let (size, channels) = (model.manifest.size, model.manifest.channels_y);
        if (y.width(), y.height()) != (size, size) {
            return Err(Error::new(format!("The model wants pictures of {size} x {size} pixels, not {y:?}.")));
        }
        let y = Tensor::from_vec(y.to_planes(channels), (1, channels, size, size), &self.device)?;
        let from = match settings.from {
            StartFrom::Posterior if has_posterior(&model) => Starts::Posterior,
            _ => Starts::Normal { std: 1.0 },
        };
        let starts = starting_codes(&*model, &y, from, settings.starts, settings.seed)?;
        let samples = Some(candidates(&*model, &y, &starts)?);
        self.search =
            Some(Search { y, starts, samples, solver: None, solve_device: settings.device, directions: Vec::new() });
        Ok(())
    }

    fn directions(&mut self) -> Result<Vec<f32>> {
        let model = self.model()?;
        let search = self.search()?;
        if has_posterior(&model) {
            search.directions = posterior_directions(&*model, &search.y, DIRECTIONS)?;
        }
        Ok(search.directions.iter().map(|direction| direction.sigma).collect())
    }

    fn step(&mut self) -> Result<Step> {
        let model = self.model()?;
        let search = self.search()?;
        if search.solver.is_none() {
            let device = search.solve_device;
            let place = self.place(device);
            let search = self.search()?;
            search.solver = Some(Solver::on(model, &search.y, search.starts.clone(), solve_settings(), &place)?);
        }
        let search = self.search()?;
        search.samples = None;
        let report = search.solver.as_mut().map(Solver::step).transpose()?;
        let report = report.ok_or_else(|| Error::new("There is no search; give a picture first."))?;
        let settled = report.settled.iter().all(|&settled| settled);
        Ok(Step { losses: report.losses, settled })
    }

    fn notice(&mut self) -> Option<String> {
        let solver = self.search.as_mut().and_then(|search| search.solver.as_mut());
        self.notice.take().or_else(|| solver?.take_notice())
    }

    fn solutions(&mut self) -> Result<Vec<Solution>> {
        let search = self.search()?;
        // The pictures of the latest step cost nothing, and its losses are those that the curves show.
        if let Some((sheet, losses)) = search.solver.as_mut().map(Solver::sheet).transpose()?.flatten() {
            let image = |layer: usize| Image::Sheet(sheet.clone(), layer as u32);
            let pairs = losses.into_iter().enumerate();
            return Ok(pairs.map(|(i, loss)| solution(image(2 * i), image(2 * i + 1), loss)).collect());
        }
        let latest = search.solver.as_mut().map(Solver::latest).transpose()?.flatten();
        let shown = latest.or_else(|| search.samples.clone());
        let shown = shown.ok_or_else(|| Error::new("There is no search; give a picture first."))?;
        solutions(&shown)
    }

    fn scrub(&mut self, start: usize, offsets: &[f32; DIRECTIONS]) -> Result<Solution> {
        let model = self.model()?;
        let search = self.search()?;
        let codes = match &mut search.solver {
            Some(solver) => solver.codes()?,
            None => search.starts.clone(),
        };
        let mut code: Vec<f32> = codes.narrow(0, start, 1)?.flatten_all()?.to_vec1()?;
        for (direction, offset) in search.directions.iter().zip(offsets) {
            for (value, along) in code.iter_mut().zip(&direction.vector) {
                *value += offset * direction.sigma * along;
            }
        }
        let length = code.len();
        let code = Tensor::from_vec(code, (1, length), codes.device())?;
        let moved = candidates(&*model, &search.y, &code)?;
        solutions(&moved)?.pop().ok_or_else(|| Error::new("The sliders moved nothing."))
    }
}

/// Whether different codes can be drawn for an image: the encoder of AE-NAM gives one alone, so that a search begins at
/// N(0, I) instead.
fn has_posterior(model: &Model) -> bool {
    model.encoder.as_ref().is_some_and(|encoder| encoder.config().variational)
}

/// What the window shows of a model.
fn card(model: &Model) -> ModelCard {
    let manifest = &model.manifest;
    ModelCard {
        title: manifest.title.clone(),
        domain_x: manifest.domain_x.clone(),
        domain_y: manifest.domain_y.clone(),
        size: manifest.size,
        latent: manifest.latent,
        y_kind: manifest.y_kind,
        preparation: manifest.preparation.clone(),
        has_posterior: has_posterior(model),
        held_out: manifest.held_out.clone(),
        samples: model.samples.iter().cloned().map(Arc::new).collect(),
        licence: manifest.licence.clone(),
    }
}

/// Pictures of candidates.
fn solutions(candidates: &Candidates) -> Result<Vec<Solution>> {
    let x = pictures(&candidates.x)?;
    let reconstruction = pictures(&candidates.reconstruction)?;
    let both = x.into_iter().zip(reconstruction).zip(&candidates.losses);
    Ok(both.map(|((x, reconstruction), &loss)| solution(x.into(), reconstruction.into(), loss)).collect())
}

fn solution(x: Image, reconstruction: Image, loss: f32) -> Solution {
    Solution { x, reconstruction, loss, settled: false }
}

/// `[n, c, h, w]` in [-1, 1] to n pictures.
fn pictures(batch: &Tensor) -> Result<Vec<Picture>> {
    let (_, channels, height, width) = batch.dims4()?;
    let values: Vec<f32> = batch.flatten_all()?.to_vec1()?;
    values
        .chunks_exact(channels * height * width)
        .map(|planes| Picture::from_planes(planes, channels, width, height))
        .collect()
}
