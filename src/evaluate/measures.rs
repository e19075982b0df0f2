//! The measures themselves, on numbers and tensors.

use crate::Result;
use crate::nets::Perceptual;
use candle_core::Tensor;

/// The mean; 0 of nothing.
pub fn mean(values: &[f32]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64 }
}

/// Of `losses[i][j]`, the loss of image i with the counterpart of image j: the share of pairs i, j with i unlike j
/// where i's own counterpart has the lower loss. Ties count half; chance is 0.5.
pub fn own_share(losses: &[Vec<f32>]) -> f64 {
    let (mut won, mut pairs) = (0.0, 0usize);
    for (i, row) in losses.iter().enumerate() {
        for (j, &other) in row.iter().enumerate().filter(|&(j, _)| j != i) {
            debug_assert!(j < losses.len());
            won += if row[i] < other {
                1.0
            } else if row[i] == other {
                0.5
            } else {
                0.0
            };
            pairs += 1;
        }
    }
    won / pairs.max(1) as f64
}

/// The mean absolute difference between images `[n, c, s, s]`, over all pairs.
///
/// # Errors
/// When the device fails.
pub fn mean_pairwise_l1(images: &Tensor) -> Result<f32> {
    let rows = images.flatten_from(1)?;
    let (n, length) = rows.dims2()?;
    let rows = rows.to_vec2::<f32>()?;
    let (mut sum, mut pairs) = (0.0, 0usize);
    for i in 0..n {
        for j in 0..i {
            let difference: f32 = rows[i].iter().zip(&rows[j]).map(|(a, b)| (a - b).abs()).sum();
            sum += f64::from(difference) / length as f64;
            pairs += 1;
        }
    }
    Ok((sum / pairs.max(1) as f64) as f32)
}

/// The distance of every image of `a: [n, c, s, s]` (rows) to every one of `b: [m, c, s, s]` (columns): the mean absolute
/// difference of pixels, or the sum over a network's levels of that of features.
///
/// # Errors
/// When the images have different shapes.
pub fn distances(network: Option<&Perceptual>, a: &Tensor, b: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mut sums = vec![vec![0.0; b.dim(0)?]; a.dim(0)?];
    // One image at a time: the features of many would not fit into memory.
    let rows = |images: &Tensor, level: usize| -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::new();
        for i in 0..images.dim(0)? {
            let image = images.narrow(0, i, 1)?.contiguous()?;
            let values = match network {
                Some(network) => network.levels(&image, level + 1)?.pop().unwrap_or(image),
                None => image,
            };
            rows.push(values.flatten_all()?.to_vec1()?);
        }
        Ok(rows)
    };
    for level in 0..network.map_or(1, Perceptual::level_count) {
        let (a, b) = (rows(a, level)?, rows(b, level)?);
        for (sums, a) in sums.iter_mut().zip(&a) {
            for (sum, b) in sums.iter_mut().zip(&b) {
                let difference: f32 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
                *sum += difference / a.len().max(1) as f32;
            }
        }
    }
    Ok(sums)
}

/// The mean perceptual distance between images `[n, c, s, s]`, over all pairs: the sum over all levels of the mean
/// absolute difference of features.
///
/// # Errors
/// When the device fails.
pub fn mean_pairwise_perceptual(network: &Perceptual, images: &Tensor) -> Result<f32> {
    let levels = network.levels(images, network.level_count())?;
    let mut sum = 0.0;
    for level in &levels {
        sum += mean_pairwise_l1(level)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn own_counterparts_win_lose_or_tie() {
        assert_eq!(own_share(&[vec![0.1, 0.5], vec![0.4, 0.2]]), 1.0);
        assert_eq!(own_share(&[vec![0.5, 0.1], vec![0.2, 0.4]]), 0.0);
        assert_eq!(own_share(&[vec![0.5, 0.5], vec![0.2, 0.1]]), 0.75);
    }

    #[test]
    fn pairwise_differences_are_means_over_pairs() {
        let images = Tensor::new(&[[[[0f32, 0.0]]], [[[1.0, 3.0]]], [[[0.0, 0.0]]]], &Device::Cpu).unwrap();
        // The pairs differ by 2, 0 and 2 on average.
        assert!((mean_pairwise_l1(&images).unwrap() - 4.0 / 3.0).abs() < 1e-6);
        assert_eq!(mean_pairwise_l1(&images.narrow(0, 0, 1).unwrap()).unwrap(), 0.0);
        let found = distances(None, &images, &images).unwrap();
        assert_eq!(found, [[0.0, 2.0, 0.0], [2.0, 0.0, 2.0], [0.0, 2.0, 0.0]]);
    }
}
