//! Where searches descend: where the tensors live, on a graphics processor, or wherever a short measurement says.

use super::networks::Networks;
use super::solve::{SolveSettings, Solver};
use crate::gpu::{compute, wgpu};
use crate::ops::threads;
use crate::plan::wgpu::{Gpu, Solvers};
use crate::{Because, Error, Result, files};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Steps of a measurement, on each device; one more comes before them.
const STEPS: usize = 3;
/// What the file of measurements is called.
const FILE: &str = "devices.json";

/// Where solvers descend.
#[derive(Clone, Default)]
pub enum SolveOn {
    /// Where the tensors live.
    #[default]
    Tensors,
    /// On a graphics processor.
    Gpu(Arc<Solvers>),
    /// Wherever a short measurement says it is faster.
    Measured(Arc<Measured>),
}

impl SolveOn {
    /// The graphics processor that takes a search; `None`: the tensors' device does.
    pub(super) fn choose(
        &self,
        networks: &Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: &Tensor,
        settings: SolveSettings,
    ) -> Option<Arc<Solvers>> {
        match self {
            Self::Tensors => None,
            Self::Gpu(solvers) => Some(solvers.clone()),
            Self::Measured(measured) => measured.choose(networks, y, codes, settings),
        }
    }

    /// Whether this is a graphics processor that has been lost.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Gpu(solvers) if solvers.gpu().is_lost())
    }

    /// A graphics processor, opened now.
    ///
    /// # Errors
    /// When there is none.
    pub fn gpu() -> Result<Self> {
        Ok(Self::Gpu(Arc::new(Solvers::new(Arc::new(Gpu::open()?)))))
    }

    /// A graphics processor that keeps maps and kernels in f16, opened now. Losses then agree with f32 to about a
    /// thousandth in the first steps, and searches go other ways later.
    ///
    /// # Errors
    /// When there is none, or it has no f16.
    pub fn gpu_in_half() -> Result<Self> {
        Ok(Self::Gpu(Arc::new(Solvers::new(Arc::new(Gpu::open()?.with_half()?)))))
    }
}

/// The seconds of a step on either device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Where the tensors live.
    pub cpu: f64,
    /// On the graphics processor; `None` where it could not have the search.
    pub gpu: Option<f64>,
}

impl Seconds {
    fn gpu_wins(&self) -> bool {
        self.gpu.is_some_and(|gpu| gpu < self.cpu)
    }
}

/// Chooses by measurements, which are kept for every model and adapter.
pub struct Measured {
    /// The graphics processor, opened when the first search wants to know; `None` inside where there is none to consider.
    solvers: Mutex<Option<Option<Arc<Solvers>>>>,
    file: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Seconds>>,
}

impl Measured {
    /// Keeps measurements in the user's cache. An adapter that is a processor in disguise is not considered: it computes
    /// with the same cores, by detours.
    pub fn new() -> Self {
        Self::keeping_in(files::cache_folder().map(|folder| folder.join(FILE)))
    }

    fn keeping_in(file: Option<PathBuf>) -> Self {
        let known = file.as_deref().map(read).unwrap_or_default();
        Self { solvers: Mutex::default(), file, known: Mutex::new(known) }
    }

    /// Considers this graphics processor, whatever it is, and keeps measurements in a file.
    pub fn between(solvers: Arc<Solvers>, file: PathBuf) -> Self {
        Self { solvers: Mutex::new(Some(Some(solvers))), ..Self::keeping_in(Some(file)) }
    }

    fn solvers(&self) -> Option<Arc<Solvers>> {
        let open = || -> Result<Option<Arc<Solvers>>> {
            let adapter = compute::adapter()?;
            if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
                return Ok(None);
            }
            Ok(Some(Arc::new(Solvers::new(Arc::new(Gpu::on(&adapter, None)?)))))
        };
        let opened = || {
            open().unwrap_or_else(|error| {
                log::info!("no graphics processor is considered for solving: {error}");
                None
            })
        };
        let mut solvers = self.solvers.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was lost is opened anew.
        if solvers.as_ref().is_none_or(|known| known.as_ref().is_some_and(|solvers| solvers.gpu().is_lost())) {
            *solvers = Some(opened());
        }
        solvers.clone().flatten()
    }

    fn choose(
        &self,
        networks: &Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: &Tensor,
        settings: SolveSettings,
    ) -> Option<Arc<Solvers>> {
        if !codes.device().is_cpu() {
            return None;
        }
        let solvers = self.solvers()?;
        let count = codes.dim(0).ok()?.min(settings.at_once);
        let model = (
            networks.generator().config(),
            networks.mapping().config(),
            networks.perceptual().map(|perceptual| perceptual.config()),
            networks.loss(),
        );
        let model = serde_json::to_string(&model).ok()?;
        let key = format!("{}; {} threads; {count} starts; {model}", solvers.gpu().identity(), threads::count());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).copied();
        let seconds = match found {
            Some(seconds) => seconds,
            None => {
                let seconds = measure(networks, y, codes, settings, &solvers)?;
                known().insert(key, seconds);
                self.keep(&known());
                seconds
            }
        };
        seconds.gpu_wins().then_some(solvers)
    }

    /// Writes down what is known. A cache that cannot be written only costs another measurement.
    fn keep(&self, known: &BTreeMap<String, Seconds>) {
        let Some(file) = &self.file else { return };
        let write = || -> Result<()> {
            let text = serde_json::to_string_pretty(known).because(|| "The measurements cannot be written.")?;
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).because(|| format!("There is no folder {}.", folder.display()))?;
            }
            files::write_beside(file, text.as_bytes())
        };
        if let Err(error) = write() {
            log::info!("the measurement of this adapter is not kept: {error}");
        }
    }
}

impl Default for Measured {
    fn default() -> Self {
        Self::new()
    }
}

/// What a file knows; nothing where it is missing or damaged.
fn read(file: &Path) -> BTreeMap<String, Seconds> {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Times a few steps on either device; `None` where not even the tensors' device can search.
fn measure(
    networks: &Arc<dyn Networks + Send + Sync>,
    y: &Tensor,
    codes: &Tensor,
    settings: SolveSettings,
    solvers: &Arc<Solvers>,
) -> Option<Seconds> {
    let time = |place: &SolveOn| -> Result<f64> {
        let mut solver = Solver::on(networks.clone(), y, codes.clone(), settings, place)?;
        let on_gpu = solver.is_on_gpu();
        solver.step()?;
        let started = Instant::now();
        for _ in 0..STEPS {
            solver.step()?;
        }
        // One that has moved has not been measured.
        if on_gpu != solver.is_on_gpu() || on_gpu != matches!(place, SolveOn::Gpu(_)) {
            return Err(Error::new(solver.take_notice().unwrap_or_default()));
        }
        Ok(started.elapsed().as_secs_f64() / STEPS as f64)
    };
    let cpu = time(&SolveOn::Tensors).ok()?;
    let gpu = time(&SolveOn::Gpu(solvers.clone()));
    if let Err(error) = &gpu {
        log::info!("the graphics processor is not considered for this model: {error}");
    }
    Some(Seconds { cpu, gpu: gpu.ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_graphics_processor_that_was_faster_is_chosen() {
        assert!(Seconds { cpu: 2.0, gpu: Some(1.0) }.gpu_wins());
        assert!(!Seconds { cpu: 1.0, gpu: Some(1.0) }.gpu_wins());
        assert!(!Seconds { cpu: 1.0, gpu: None }.gpu_wins());
    }
}
