//! Where searches descend: where the tensors live, on a graphics processor, or wherever a short measurement says.

use super::findings::Findings;
use super::half::Half;
use super::networks::Networks;
use super::solve::{SolveSettings, Solver};
use crate::gpu::{OpenDevice, Screen, compute, wgpu};
use crate::ops::threads;
use crate::plan::wgpu::{Gpu, Solvers};
use crate::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
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
    /// On a graphics processor in half precision, where that serves.
    Half(Arc<Half>),
    /// Wherever a short measurement says it is faster.
    Measured(Arc<Measured>),
}

impl SolveOn {
    /// The graphics processor that takes a search, and what a person should know of that; `None`: the tensors' device
    /// does.
    pub(super) fn choose(
        &self,
        networks: &Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: &Tensor,
        settings: SolveSettings,
    ) -> (Option<Arc<Solvers>>, Option<String>) {
        match self {
            Self::Tensors => (None, None),
            Self::Gpu(solvers) => (Some(solvers.clone()), None),
            Self::Half(half) => {
                let (solvers, notice) = half.choose(networks, y, codes, settings);
                (Some(solvers), notice)
            }
            Self::Measured(measured) => (measured.choose(networks, y, codes, settings), None),
        }
    }

    /// Whether this is a graphics processor that has been lost.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Gpu(solvers) => solvers.gpu().is_lost(),
            Self::Half(half) => half.is_lost(),
            Self::Tensors | Self::Measured(_) => false,
        }
    }

    /// A graphics processor, opened now; by the window's device where that is the same, so that pictures need not leave
    /// it.
    ///
    /// # Errors
    /// When there is none.
    pub fn gpu(window: Option<&OpenDevice>) -> Result<Self> {
        Ok(Self::Gpu(Arc::new(Solvers::new(Arc::new(Gpu::beside(window)?)))))
    }

    /// A graphics processor that keeps maps and kernels in f16 where it has that and the losses bear it, opened now.
    ///
    /// # Errors
    /// When there is none.
    pub fn gpu_in_half_where_it_serves() -> Result<Self> {
        Ok(Self::Half(Arc::new(Half::open()?)))
    }

    /// A graphics processor that keeps maps and kernels in f16, whatever comes of it, opened now.
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
    window: Screen,
    known: Findings<Seconds>,
}

impl Measured {
    /// Keeps measurements in the user's cache. An adapter that is a processor in disguise is not considered: it computes
    /// with the same cores, by detours. Where a window draws with the adapter, its device is used.
    pub fn new(window: Screen) -> Self {
        Self { solvers: Mutex::default(), window, known: Findings::cached(FILE) }
    }

    /// Considers this graphics processor, whatever it is, and keeps measurements in a file.
    pub fn between(solvers: Arc<Solvers>, file: PathBuf) -> Self {
        let known = Findings::kept_in(Some(file));
        Self { solvers: Mutex::new(Some(Some(solvers))), window: Screen::default(), known }
    }

    fn solvers(&self) -> Option<Arc<Solvers>> {
        let open = || -> Result<Option<Arc<Solvers>>> {
            if compute::adapter()?.get_info().device_type == wgpu::DeviceType::Cpu {
                return Ok(None);
            }
            Ok(Some(Arc::new(Solvers::new(Arc::new(Gpu::beside(self.window.device().as_ref())?)))))
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
        let seconds = self.known.get_or_find(key, || measure(networks, y, codes, settings, &solvers))?;
        seconds.gpu_wins().then_some(solvers)
    }
}

impl Default for Measured {
    fn default() -> Self {
        Self::new(Screen::default())
    }
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
