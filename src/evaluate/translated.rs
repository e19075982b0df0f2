//! The protocols of the papers' tables: images of Y are translated, and a judge that was trained on clean pictures of X
//! says what it sees in the counterparts.

use super::{How, Settings};
use crate::data::Images;
use crate::model_file::Model;
use crate::nam::{SolveSettings, Solver, Starts, candidates, posterior, starting_codes_for};
use crate::nets::Judge;
use crate::{Error, Result};
use candle_core::Tensor;
use std::sync::Arc;

/// Images that are translated at once.
const AT_ONCE: usize = 64;

/// What the judge says of the best counterpart of every image. With one start, sampling takes the posterior's mean.
/// `go_on` is asked after each part with the number of images that are done; a no ends the work.
///
/// # Errors
/// When networks, judge and images do not fit one another, or `go_on` said no.
pub fn translated(
    model: &Arc<Model>,
    images: &Images,
    judge: &Judge,
    how: How,
    settings: Settings,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<Vec<f32>> {
    let mut verdicts = Vec::with_capacity(images.len());
    for first in (0..images.len()).step_by(AT_ONCE) {
        let rows: Vec<usize> = (first..images.len().min(first + AT_ONCE)).collect();
        let y = images.batch(&rows, model.device())?;
        let x = counterparts(model, &y, how, Settings { seed: settings.seed.wrapping_add(first as u64), ..settings })?;
        verdicts.extend(judge.verdicts(&x)?);
        if !go_on(verdicts.len()) {
            return Err(Error::new("Stopped before everything was measured."));
        }
    }
    Ok(verdicts)
}

/// The best counterpart of every image `y: [n, cy, s, s]` by its loss, `[n, cx, s, s]`.
///
/// # Errors
/// When the model has no encoder and one is needed.
pub fn counterparts(model: &Arc<Model>, y: &Tensor, how: How, settings: Settings) -> Result<Tensor> {
    let Settings { starts, steps, seed } = settings;
    let count = y.dim(0)?;
    let codes = match how {
        How::Sample | How::Refine if starts == 1 => posterior(&**model, y)?.mu,
        _ => {
            // Each image has starts of its own.
            let all = (0..count).map(|row| {
                let one = y.narrow(0, row, 1)?;
                let places: Vec<u64> = (0..starts).map(|start| (row * starts + start) as u64).collect();
                let starts = if how == How::Solve { Starts::default() } else { Starts::Posterior };
                starting_codes_for(&**model, &one, starts, &places, seed)
            });
            Tensor::cat(&all.collect::<Result<Vec<_>>>()?, 0)?
        }
    };
    let repeated: Vec<u32> = (0..(count * starts) as u32).map(|i| i / starts as u32).collect();
    let y = y.index_select(&Tensor::from_vec(repeated, count * starts, y.device())?, 0)?;
    let codes = if how == How::Sample {
        codes
    } else {
        let mut solver = Solver::new(model.clone(), &y, codes, SolveSettings::default())?;
        for _ in 0..steps {
            solver.step()?;
        }
        solver.best()?.0
    };
    let found = candidates(&**model, &y, &codes)?;
    let best = found.losses.chunks(starts).enumerate().map(|(row, losses)| {
        let least = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        (row * starts + least) as u32
    });
    Ok(found.x.index_select(&Tensor::from_vec(best.collect(), count, y.device())?, 0)?)
}

/// The share of verdicts that are the labels.
pub fn accuracy(verdicts: &[f32], labels: &[f32]) -> f64 {
    let right = verdicts.iter().zip(labels).filter(|(verdict, label)| verdict == label).count();
    right as f64 / verdicts.len().max(1) as f64
}

/// The root of the median squared difference of angles, in degrees.
pub fn angle_residual(verdicts: &[f32], labels: &[f32]) -> f64 {
    let mut squares: Vec<f64> = verdicts
        .iter()
        .zip(labels)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .filter(|square| square.is_finite())
        .collect();
    squares.sort_by(f64::total_cmp);
    match squares.len() {
        0 => f64::NAN,
        n => ((squares[(n - 1) / 2] + squares[n / 2]) / 2.0).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_and_shares_are_the_papers() {
        assert_eq!(accuracy(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 5.0]), 0.75);
        assert_eq!(angle_residual(&[0.0, 10.0, -20.0], &[1.0, 12.0, 70.0]), 2.0);
        assert_eq!(angle_residual(&[0.0, 3.0], &[1.0, 0.0]), 5f64.sqrt());
        assert!(angle_residual(&[], &[]).is_nan());
    }
}
