//! What a frozen perceptual network sees of pictures, for priors that learn from more than pixels.

use crate::data::Images;
use crate::nets::{Perceptual, PerceptualConfig};
use crate::ops::l1_mean;
use crate::plan::train::Levels;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Pictures that the scales of the levels are measured on, and how many at once.
const MEASURED: (usize, usize) = (64, 16);

/// The levels of a perceptual network, each in units of the root mean square of the real pictures' features, so that
/// networks of any scale count alike.
pub struct Features {
    network: Levels,
    scales: Vec<f64>,
}

impl Features {
    /// Measures the scales on pictures of X, spread evenly over the set.
    ///
    /// # Errors
    /// When the pictures are too small for the network.
    pub fn new(network: Arc<Perceptual>, images: &Images, device: &Device) -> Result<Self> {
        let count = MEASURED.0.min(images.len());
        let rows: Vec<usize> = (0..count).map(|i| i * images.len() / count).collect();
        let mut squares = vec![0.0; network.level_count()];
        let network = Levels::new(network);
        for rows in rows.chunks(MEASURED.1) {
            let levels = network.of(&images.batch(rows, device)?)?;
            for (sum, level) in squares.iter_mut().zip(levels) {
                *sum += f64::from(level.sqr()?.mean_all()?.to_scalar::<f32>()?) * rows.len() as f64;
            }
        }
        let scales: Vec<f64> = squares.iter().map(|sum| (sum / count as f64).sqrt()).collect();
        if scales.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err(Error::new("The perceptual network sees nothing in the pictures of X."));
        }
        Ok(Self { network, scales })
    }

    /// The shape of the network.
    pub fn config(&self) -> &PerceptualConfig {
        self.network.network().config()
    }

    /// All levels of `x: [n, c, s, s]`, the first the largest.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn levels(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let levels = self.network.of(x)?;
        levels.iter().zip(&self.scales).map(|(level, scale)| Ok((level / *scale)?)).collect()
    }

    /// The mean L1 distance of the levels of `x` to those of `real`, summed over the levels.
    ///
    /// # Errors
    /// When the pictures have different shapes.
    pub fn difference(&self, x: &Tensor, real: &Tensor) -> Result<Tensor> {
        let mut sum = Tensor::zeros((), candle_core::DType::F32, x.device())?;
        for (found, wanted) in self.levels(x)?.iter().zip(self.levels(&real.detach())?) {
            sum = (sum + l1_mean(found, &wanted)?.mean_all()?)?;
        }
        Ok(sum)
    }
}
