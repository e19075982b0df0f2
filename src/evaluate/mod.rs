//! How well a model does on images of Y that it has never seen: the papers' measures.

mod distribution;
mod judge;
mod measures;
mod translated;

pub use distribution::{kernel_distance, outline_agreement, pooled_features, ranks, top};
pub use judge::{JudgeSettings, JudgeTrainer};
pub use measures::{distances, mean, mean_pairwise_l1, mean_pairwise_perceptual, own_share};
pub use translated::{accuracy, angle_residual, counterparts, translated};

use crate::model_file::Model;
use crate::nam::{
    Candidates, SolveSettings, Solver, Starts, Target, candidates, loss, pixel_differences, starting_codes,
};
use crate::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// How counterparts are found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Drawn from the encoder's posterior (AE-NAM, VAE-NAM).
    Sample,
    /// Solved for from random starts, N(0, I) (NAM).
    Solve,
    /// Drawn from the encoder's posterior, then solved for from there.
    Refine,
}

/// What is measured, and with which effort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Counterparts of each image.
    pub starts: usize,
    /// Steps of solving.
    pub steps: usize,
    /// The seed of the starts.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { starts: 16, steps: 100, seed: 0 }
    }
}

/// What was measured, for one way of finding counterparts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// The way.
    pub how: How,
    /// Images of Y.
    pub images: usize,
    /// Counterparts of each.
    pub starts: usize,
    /// Steps of solving; 0 where nothing was solved for.
    pub steps: usize,
    /// The mean absolute difference between T(G(z)) and y, of each image's best counterpart.
    pub l1_best: f64,
    /// The same over all counterparts.
    pub l1_mean: f64,
    /// The same for the best counterparts of other images: what a counterpart explains that is none.
    pub l1_of_others: f64,
    /// The mean loss of each image's best counterpart.
    pub loss_best: f64,
    /// The share of images whose loss is lower with their own best counterpart than with that of another image, over
    /// all pairs; chance is 0.5.
    pub own_share: f64,
    /// The mean absolute difference between the counterparts of one image, over all pairs of them.
    pub diversity_l1: f64,
    /// The same by the model's perceptual network, if it has one.
    pub diversity_perceptual: Option<f64>,
    /// The mean absolute difference between the best counterparts of different images: far below this, the
    /// counterparts of one image are much alike.
    pub across_l1: f64,
    /// Seconds an image.
    pub seconds: f64,
}

/// Finds counterparts of every image `y: [n, cy, s, s]` and measures them. `go_on` is asked after each image with the
/// number that are done; a no ends the work.
///
/// # Errors
/// When there are fewer than two images, the model has no encoder and one is needed, or `go_on` said no.
pub fn measure(
    model: &Arc<Model>,
    y: &Tensor,
    how: How,
    settings: Settings,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<Measures> {
    let images = y.dim(0)?;
    if images < 2 {
        return Err(Error::new("Two images at least are needed to compare counterparts with those of others."));
    }
    let started = Instant::now();
    let (mut l1_best, mut l1_all, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let (mut diversity, mut perceptual) = (Vec::new(), Vec::new());
    let (mut best_x, mut best_reconstructions) = (Vec::new(), Vec::new());
    for i in 0..images {
        let one = y.narrow(0, i, 1)?;
        // Each image has starts of its own: the same ones for all would make counterparts of different images alike.
        let found = find(model, &one, how, Settings { seed: settings.seed.wrapping_add(i as u64), ..settings })?;
        let l1 = pixel_differences(&found, &one)?;
        let best = lowest(&found.losses);
        l1_best.push(l1[best]);
        l1_all.extend(l1);
        losses.push(found.losses[best]);
        if settings.starts > 1 {
            diversity.push(mean_pairwise_l1(&found.x)?);
            if let Some(network) = &model.perceptual {
                perceptual.push(mean_pairwise_perceptual(network, &found.x)?);
            }
        }
        best_x.push(found.x.narrow(0, best, 1)?);
        best_reconstructions.push(found.reconstruction.narrow(0, best, 1)?);
        if !go_on(i + 1) {
            return Err(Error::new("Stopped before everything was measured."));
        }
    }
    let seconds = started.elapsed().as_secs_f64() / images as f64;
    let reconstructions = Tensor::cat(&best_reconstructions, 0)?;
    let [matrix, l1_matrix] = against_all(model, y, &reconstructions)?;
    let others = |i: usize| (0..images).filter(move |&j| j != i);
    let l1_of_others: Vec<f32> =
        (0..images).flat_map(|i| others(i).map(move |j| (i, j))).map(|(i, j)| l1_matrix[i][j]).collect();
    Ok(Measures {
        how,
        images,
        starts: settings.starts,
        steps: if how == How::Sample { 0 } else { settings.steps },
        l1_best: mean(&l1_best),
        l1_mean: mean(&l1_all),
        l1_of_others: mean(&l1_of_others),
        loss_best: mean(&losses),
        own_share: own_share(&matrix),
        diversity_l1: mean(&diversity),
        diversity_perceptual: (!perceptual.is_empty()).then(|| mean(&perceptual)),
        across_l1: f64::from(mean_pairwise_l1(&Tensor::cat(&best_x, 0)?)?),
        seconds,
    })
}

/// The counterparts of one image `y: [1, cy, s, s]`, `[starts, cx, s, s]`, and the place of the one that explains it best.
///
/// # Errors
/// When the model has no encoder and one is needed.
pub fn found(model: &Arc<Model>, y: &Tensor, how: How, settings: Settings) -> Result<(Tensor, usize)> {
    let found = find(model, y, how, settings)?;
    let best = lowest(&found.losses);
    Ok((found.x, best))
}

/// The counterparts of one image `y: [1, cy, s, s]`.
fn find(model: &Arc<Model>, y: &Tensor, how: How, settings: Settings) -> Result<Candidates> {
    let starts = if how == How::Solve { Starts::default() } else { Starts::Posterior };
    let codes = starting_codes(&**model, y, starts, settings.starts, settings.seed)?;
    if how == How::Sample {
        return candidates(&**model, y, &codes);
    }
    let mut solver = Solver::new(model.clone(), y, codes, SolveSettings::default())?;
    for _ in 0..settings.steps {
        solver.step()?;
    }
    candidates(&**model, y, &solver.best()?.0)
}

/// For every image i (rows) and every best counterpart j (columns): the model's loss, and the pixel difference.
fn against_all(model: &Model, y: &Tensor, reconstructions: &Tensor) -> Result<[Vec<Vec<f32>>; 2]> {
    let (mut losses, mut pixels) = (Vec::new(), Vec::new());
    let config = &model.manifest.loss;
    for i in 0..y.dim(0)? {
        let one = y.narrow(0, i, 1)?;
        let target = Target::new(config, model.perceptual.as_ref(), &one)?;
        let (mut row, mut pixel_row) = (Vec::new(), Vec::new());
        for start in (0..reconstructions.dim(0)?).step_by(32) {
            let count = 32.min(reconstructions.dim(0)? - start);
            let part = reconstructions.narrow(0, start, count)?;
            row.extend(loss::reconstruction(config, model.perceptual.as_ref(), &part, &target)?.to_vec1::<f32>()?);
            let difference = part.broadcast_sub(&one)?.abs()?.flatten_from(1)?;
            pixel_row.extend(difference.mean(1)?.to_vec1::<f32>()?);
        }
        losses.push(row);
        pixels.push(pixel_row);
    }
    Ok([losses, pixels])
}

/// The place of the lowest loss.
fn lowest(losses: &[f32]) -> usize {
    (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0)
}
