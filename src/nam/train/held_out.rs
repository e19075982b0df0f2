//! How well images are explained that training never saw.

use crate::data::Images;
use crate::model_file::HeldOut;
use crate::nam::{Networks, SolveSettings, Solver, Starts, starting_codes_for};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How held-out images are solved for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldOutSettings {
    /// The first so many images.
    pub images: usize,
    /// Random starts an image; the best counts.
    pub starts: usize,
    /// Steps a start.
    pub steps: usize,
    /// The seed of the starts.
    pub seed: u64,
}

impl Default for HeldOutSettings {
    fn default() -> Self {
        Self { images: 64, starts: 4, steps: 100, seed: 0 }
    }
}

/// Solves for held-out images and gives the percentiles of their best losses. `go_on(done, all)` is asked between
/// steps; a no ends it.
///
/// # Errors
/// When it was ended, or shapes do not fit.
pub fn held_out_losses(
    networks: &Arc<dyn Networks + Send + Sync>,
    images: &Images,
    settings: HeldOutSettings,
    device: &Device,
    mut go_on: impl FnMut(usize, usize) -> bool,
) -> Result<HeldOut> {
    let HeldOutSettings { starts, steps, seed, .. } = settings;
    let starts = starts.max(1);
    let count = settings.images.min(images.len());
    let together = (16 / starts).max(1);
    let rows: Vec<usize> = (0..count).collect();
    let all = rows.chunks(together).len() * steps;
    let (mut losses, mut done) = (Vec::new(), 0);
    for rows in rows.chunks(together) {
        let repeated: Vec<usize> = rows.iter().flat_map(|&row| std::iter::repeat_n(row, starts)).collect();
        let y = images.batch(&repeated, device)?;
        let codes: Vec<Tensor> = rows
            .iter()
            .map(|&row| {
                let places: Vec<u64> = (0..starts).map(|start| (row * starts + start) as u64).collect();
                starting_codes_for(&**networks, &y, Starts::default(), &places, seed)
            })
            .collect::<Result<_>>()?;
        let mut solver = Solver::new(networks.clone(), &y, Tensor::cat(&codes, 0)?, SolveSettings::default())?;
        for _ in 0..steps {
            if !go_on(done, all) {
                return Err(Error::new("Measuring the held-out images was stopped."));
            }
            solver.step()?;
            done += 1;
        }
        let (_, best) = solver.best()?;
        losses.extend(best.chunks_exact(starts).map(|losses| losses.iter().copied().fold(f32::INFINITY, f32::min)));
    }
    Ok(HeldOut::from_losses(&losses, starts, steps))
}
