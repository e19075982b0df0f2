//! How well a student judges as its teacher does, by the ranks of their distances.

use super::super::distort::{colour, distorted};
use super::super::random::{Purpose, source};
use super::stack;
use crate::data::Images;
use crate::nets::Perceptual;
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// How well a student's loss predicts the teacher's: Spearman's rank correlations over pairs of held-out images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Pairs of each kind.
    pub pairs: usize,
    /// Between different images.
    pub different: f32,
    /// Between an image and a distorted copy of it.
    pub distorted: f32,
    /// Over both kinds together.
    pub all: f32,
}

/// Measures a student against its teacher on images that training never saw: the sum over the student's levels of the
/// mean absolute differences of features, by each of them.
///
/// # Errors
/// When there are fewer than two images, or the teacher has fewer levels.
pub fn agreement(
    student: &Perceptual,
    teacher: &Perceptual,
    images: &Images,
    pairs: usize,
    seed: u64,
    device: &Device,
) -> Result<Agreement> {
    if images.len() < 2 || pairs < 2 {
        return Err(Error::new("Telling a student's ranks needs two images and two pairs at least."));
    }
    let (size, count) = (images.size(), student.level_count());
    let mut losses = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    let places: Vec<u64> = (0..pairs as u64).collect();
    for places in places.chunks(16) {
        for (kind, (by_student, by_teacher)) in losses.iter_mut().enumerate() {
            let made: Vec<_> = places
                .iter()
                .map(|&place| {
                    let mut random = source(seed, Purpose::Pairs, 1000 + place);
                    let row = random.random_range(0..images.len());
                    let other = (row + random.random_range(1..images.len())) % images.len();
                    let (one, two) = (colour(images, row), colour(images, other));
                    let second = if kind == 0 { two } else { distorted(&one, &two, size, &mut random) };
                    (one, second)
                })
                .collect();
            let batch = stack(&made, size, device)?;
            by_student.extend(perceptual_distances(student, &batch, count)?);
            by_teacher.extend(perceptual_distances(teacher, &batch, count)?);
        }
    }
    let [different, distorted] = &losses;
    let join = |a: &[f32], b: &[f32]| a.iter().chain(b).copied().collect::<Vec<_>>();
    Ok(Agreement {
        pairs,
        different: spearman(&different.0, &different.1),
        distorted: spearman(&distorted.0, &distorted.1),
        all: spearman(&join(&different.0, &distorted.0), &join(&different.1, &distorted.1)),
    })
}

/// The perceptual distances between the first and the second half of a batch.
fn perceptual_distances(network: &Perceptual, batch: &Tensor, count: usize) -> Result<Vec<f32>> {
    let half = batch.dim(0)? / 2;
    let mut sum = vec![0.0; half];
    for level in network.levels(batch, count)? {
        let (first, second) = (level.narrow(0, 0, half)?, level.narrow(0, half, half)?);
        let each = (first - second)?.abs()?.flatten_from(1)?.mean(D::Minus1)?.to_vec1::<f32>()?;
        sum.iter_mut().zip(each).for_each(|(sum, each)| *sum += each);
    }
    Ok(sum)
}

/// Spearman's rank correlation; 0 where one side is constant.
pub fn spearman(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    if scale > 0.0 { (product(&a, &b) / scale) as f32 } else { 0.0 }
}

/// The ranks from 0 up; equal values share the mean of theirs.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let first = order.partition_point(|&i| values[i] < values[equal[0]]);
        equal.iter().for_each(|&i| ranks[i] = first as f64 + (equal.len() as f64 - 1.0) / 2.0);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_spearman_has_it() {
        let rising = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert!((spearman(&rising, &[0.1, 0.2, 0.3, 0.4, 9.0]) - 1.0).abs() < 1e-6);
        assert!((spearman(&rising, &[5.0, 4.0, 3.0, 2.0, 1.0]) + 1.0).abs() < 1e-6);
        // d^2 = 1 + 1 + 0 + 0 + 0: 1 - 6 * 2 / (5 * 24).
        assert!((spearman(&rising, &[2.0, 1.0, 3.0, 4.0, 5.0]) - 0.9).abs() < 1e-6);
        assert_eq!(spearman(&rising, &[3.0; 5]), 0.0);
        assert_eq!(ranks(&[2.0, 1.0, 2.0]), [1.5, 0.0, 1.5]);
    }
}
