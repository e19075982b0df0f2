//! Half precision for searches, where it serves: a short search in both precisions decides, once for every model and
//! adapter.

use super::findings::Findings;
use super::networks::Networks;
use super::solve::{SolveSettings, Solver};
use super::solve_on::SolveOn;
use crate::plan::service;
use crate::plan::wgpu::{Gpu, Solvers};
use crate::{Error, Result};
use candle_core::Tensor;
use std::path::PathBuf;
use std::sync::Arc;

/// Starts of the check, at most, and its steps.
const STARTS: usize = 4;
const STEPS: usize = 25;
/// What the file of findings is called.
const FILE: &str = "half_precision.json";
/// What is kept of losses that are no numbers.
const ALTOGETHER: f32 = 1e9;

/// How far the lowest loss of a start may be from that in single precision, as a share of it. Over a hundred steps half
/// precision moves it by a thousandth, as much as rounding the codes at the start does with all else in single precision
/// (a test measures both); the losses of different starts differ by tens of hundredths. What is ten times as far off as
/// that has other causes than rounding, such as features beyond the largest number of f16.
pub const TOLERANCE: f32 = 0.01;

/// A graphics processor that solves in half precision where its losses stay within the tolerance, else in single
/// precision.
pub struct Half {
    full: Arc<Solvers>,
    half: Result<Arc<Solvers>>,
    known: Findings<f32>,
}

impl Half {
    /// The adapter that computes best; what is found out is kept in the user's cache.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Self> {
        Ok(Self::keeping(Arc::new(Solvers::new(Arc::new(Gpu::open()?))), Findings::cached(FILE)))
    }

    /// A graphics processor that is open; what is found out is kept in a file.
    pub fn of(full: Arc<Solvers>, file: PathBuf) -> Self {
        Self::keeping(full, Findings::kept_in(Some(file)))
    }

    fn keeping(full: Arc<Solvers>, known: Findings<f32>) -> Self {
        let half = Gpu::on(full.gpu().place().clone()).and_then(Gpu::with_half);
        Self { half: half.map(|gpu| Arc::new(Solvers::new(Arc::new(gpu)))), full, known }
    }

    /// Whether its device was lost.
    pub(super) fn is_lost(&self) -> bool {
        self.full.gpu().is_lost()
    }

    /// The precision for a search, and what a person should know of it.
    pub(super) fn choose(
        &self,
        networks: &Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: &Tensor,
        settings: SolveSettings,
    ) -> (Arc<Solvers>, Option<String>) {
        let full = || self.full.clone();
        let half = match &self.half {
            Ok(half) => half,
            Err(error) => return (full(), Some(format!("{error} It solves in single precision."))),
        };
        let print = service::fingerprint(networks.generator(), networks.mapping(), networks.perceptual());
        let Some(print) = print else { return (full(), None) };
        let loss = serde_json::to_string(networks.loss()).unwrap_or_default();
        let key = format!("{}; model {print:016x}; {loss}", half.gpu().identity());
        let name = half.gpu().name();
        match self.known.get_or_find(key, || self.difference(half, networks, y, codes, settings)) {
            Some(off) if off <= TOLERANCE => (half.clone(), None),
            Some(off) => {
                let much = if off < 1.0 { format!("by {:.1} %", 100.0 * off) } else { "altogether".into() };
                let sentence = format!(
                    "In half precision {name} gets this model's losses wrong {much}; it solves in single precision."
                );
                (full(), Some(sentence))
            }
            // Not even single precision can have this search, and the solver says why.
            None => (full(), None),
        }
    }

    /// The largest difference of the lowest losses, as a share of them, over a short search; `None` where single precision
    /// cannot have it.
    fn difference(
        &self,
        half: &Arc<Solvers>,
        networks: &Arc<dyn Networks + Send + Sync>,
        y: &Tensor,
        codes: &Tensor,
        settings: SolveSettings,
    ) -> Option<f32> {
        let compare = || -> Result<f32> {
            let count = codes.dim(0)?.min(STARTS);
            let some = |rows: &Tensor| rows.narrow(0, 0, rows.dim(0)?.min(count));
            let (y, codes) = (some(y)?, some(codes)?);
            let settings = SolveSettings { settle: None, ..settings };
            let on = |solvers: &Arc<Solvers>| {
                Solver::on(networks.clone(), &y, codes.clone(), settings, &SolveOn::Gpu(solvers.clone()))
            };
            largest_difference(&mut on(&self.full)?, &mut on(half)?, STEPS)
        };
        compare().map_err(|error| log::info!("half precision is not considered for this model: {error}")).ok()
    }
}

/// Steps two searches side by side: the largest difference of a lowest loss so far, as a share of the first one's.
///
/// # Errors
/// When the first one cannot stay on its device.
pub(super) fn largest_difference(wanted: &mut Solver, found: &mut Solver, steps: usize) -> Result<f32> {
    let mut lowest: Vec<[f32; 2]> = Vec::new();
    let mut largest = 0f32;
    for _ in 0..steps {
        if !wanted.is_on_gpu() {
            return Err(Error::new(wanted.take_notice().unwrap_or_default()));
        }
        let losses = [wanted.step()?.losses, found.step()?.losses];
        lowest.resize(losses[0].len(), [f32::INFINITY; 2]);
        for (i, lowest) in lowest.iter_mut().enumerate() {
            *lowest = [0, 1].map(|which| lowest[which].min(losses[which][i]));
            let off = (lowest[1] - lowest[0]).abs() / lowest[0];
            let sound = losses[1][i].is_finite() && off.is_finite() && found.is_on_gpu();
            largest = largest.max(if sound { off } else { ALTOGETHER });
        }
    }
    Ok(largest)
}
