//! Measures between sets: how near two sets of pictures are, which member of a set is nearest, how well two drawings agree.

use crate::Result;
use crate::nets::Perceptual;
use candle_core::{D, Tensor};
use std::cmp::Ordering;

/// Images whose features are computed at once.
const AT_ONCE: usize = 16;

/// The means over all places of a perceptual network's last level, for images `[n, c, s, s]`: one row each.
///
/// # Errors
/// When the images are too small for the network.
pub fn pooled_features(network: &Perceptual, images: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::new();
    for start in (0..images.dim(0)?).step_by(AT_ONCE) {
        let part = images.narrow(0, start, AT_ONCE.min(images.dim(0)? - start))?.contiguous()?;
        let levels = network.levels(&part, network.level_count())?;
        if let Some(last) = levels.last() {
            rows.extend(last.flatten_from(2)?.mean(D::Minus1)?.to_vec2::<f32>()?);
        }
    }
    Ok(rows)
}

/// The kernel distance of two sets of features (Binkowski et al., ICLR 2018): the unbiased squared maximum mean
/// discrepancy under the kernel (a . b / d + 1)^3, with features in units of the root mean square of those of `b`, so that
/// networks of any scale can serve. 0 for two samples of one distribution, on average; it may be a little below. `None`
/// with fewer than two rows in a set, or where `b` is 0 throughout.
pub fn kernel_distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> Option<f64> {
    let values = b.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    let square = b.iter().flatten().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values;
    let kernel = |x: &[f32], y: &[f32]| {
        let product: f64 = x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        (product / (square * x.len().max(1) as f64) + 1.0).powi(3)
    };
    let within = |set: &[Vec<f32>]| {
        let pairs = (0..set.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let sum: f64 = pairs.map(|(i, j)| kernel(&set[i], &set[j])).sum();
        2.0 * sum / (set.len() * (set.len() - 1)) as f64
    };
    if a.len() < 2 || b.len() < 2 || square == 0.0 {
        return None;
    }
    let across: f64 = a.iter().flat_map(|x| b.iter().map(move |y| kernel(x, y))).sum();
    Some(within(a) + within(b) - 2.0 * across / (a.len() * b.len()) as f64)
}

/// Of `distances[i][j]`, from the counterpart of i to the candidate j: the place of the true one, i, among all
/// candidates, from 0, by distance. Ties count against it.
pub fn ranks(distances: &[Vec<f32>]) -> Vec<usize> {
    let rank = |(i, row): (usize, &Vec<f32>)| {
        let own = row.get(i).copied().unwrap_or(f32::INFINITY);
        row.iter()
            .enumerate()
            .filter(|&(j, distance)| j != i && distance.partial_cmp(&own) != Some(Ordering::Greater))
            .count()
    };
    distances.iter().enumerate().map(rank).collect()
}

/// The share of ranks below `count`.
pub fn top(ranks: &[usize], count: usize) -> f64 {
    ranks.iter().filter(|&&rank| rank < count).count() as f64 / ranks.len().max(1) as f64
}

/// How well two line drawings of one size agree, `[height, width]` in [-1, 1] with dark lines: the harmonic mean of the
/// shares of either's line that has the other's line within one pixel. 1 for two empty ones.
pub fn outline_agreement(a: &[f32], b: &[f32], width: usize) -> f64 {
    let ink = |plane: &[f32]| plane.iter().map(|value| *value < 0.0).collect::<Vec<bool>>();
    let (a, b) = (ink(a), ink(b));
    let height = a.len() / width.max(1);
    let near = |plane: &[bool], i: usize| {
        let (x, y) = (i % width, i / width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        rows.into_iter().any(|row| (x.saturating_sub(1)..(x + 2).min(width)).any(|column| plane[row * width + column]))
    };
    let share = |of: &[bool], within: &[bool]| {
        let lines: Vec<usize> = (0..of.len()).filter(|&i| of[i]).collect();
        let found = lines.iter().filter(|&&i| near(within, i)).count();
        (found as f64, lines.len() as f64)
    };
    let ((found_a, all_a), (found_b, all_b)) = (share(&a, &b), share(&b, &a));
    if all_a == 0.0 && all_b == 0.0 {
        return 1.0;
    }
    let (precision, recall) = (found_a / all_a.max(1.0), found_b / all_b.max(1.0));
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::weights::normal_values;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn rows(count: usize, mean: f32, seed: u64) -> Vec<Vec<f32>> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| normal_values(&mut random, 6, mean, 1.0)).collect()
    }

    #[test]
    fn sets_of_one_distribution_are_near_and_others_are_not() {
        let near = kernel_distance(&rows(150, 0.0, 1), &rows(150, 0.0, 2)).unwrap();
        let far = kernel_distance(&rows(150, 0.0, 1), &rows(150, 1.0, 3)).unwrap();
        let further = kernel_distance(&rows(150, 0.0, 1), &rows(150, 2.0, 3)).unwrap();
        assert!(near.abs() < 0.2 && far > 0.4 && further > far, "{near} {far} {further}");
        let larger: Vec<Vec<Vec<f32>>> = [(1.0, 3), (0.0, 1)]
            .map(|(mean, seed)| {
                rows(150, mean, seed).into_iter().map(|row| row.iter().map(|v| 1e3 * v).collect()).collect()
            })
            .to_vec();
        let scaled = kernel_distance(&larger[1], &larger[0]).unwrap();
        assert!((scaled - far).abs() < 1e-3, "{scaled} {far}");
        assert!(kernel_distance(&rows(1, 0.0, 1), &rows(9, 0.0, 1)).is_none());
    }

    #[test]
    fn ranks_count_the_nearer_ones() {
        let distances = [vec![0.1, 0.5, 0.9], vec![0.1, 0.2, 0.3], vec![0.1, 0.2, 0.2]];
        assert_eq!(ranks(&distances), [0, 1, 2]);
        assert_eq!((top(&[0, 1, 2], 1), top(&[0, 1, 2], 2)), (1.0 / 3.0, 2.0 / 3.0));
        assert_eq!(ranks(&[vec![f32::NAN, 1.0]]), [1]);
    }

    #[test]
    fn drawings_agree_within_a_pixel() {
        let line = |column: usize| (0..64).map(|i| if i % 8 == column { -1.0 } else { 1.0 }).collect::<Vec<f32>>();
        assert_eq!(outline_agreement(&line(3), &line(3), 8), 1.0);
        assert_eq!(outline_agreement(&line(3), &line(4), 8), 1.0);
        assert_eq!(outline_agreement(&line(3), &line(5), 8), 0.0);
        assert_eq!(outline_agreement(&[1.0; 64], &[1.0; 64], 8), 1.0);
        assert_eq!(outline_agreement(&line(3), &[1.0; 64], 8), 0.0);
        let half: Vec<f32> = line(3).iter().enumerate().map(|(i, v)| if i < 32 { *v } else { 1.0 }).collect();
        // All of the half lies on the whole; of the whole, the half and one pixel more is near.
        let (precision, recall) = (1.0, 5.0 / 8.0);
        let wanted = 2.0 * precision * recall / (precision + recall);
        assert!((outline_agreement(&half, &line(3), 8) - wanted).abs() < 1e-12);
    }
}
