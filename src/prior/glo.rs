//! Generative latent optimisation (Bojanowski et al., ICML 2018): one learned code a picture, in the unit ball.

use super::features::Features;
use super::settings::Settings;
use crate::nets::weights::normal_values;
use crate::nets::{Generator, Weights};
use crate::ops::{Adam, AdamConfig, RowAdam, l1_mean, laplacian_pyramid};
use crate::plan::train::{Training, gradients};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;

/// Levels of the Laplacian pyramid that pictures are compared by.
const LEVELS: usize = 4;

/// The codes of all pictures with their optimiser.
pub struct Codes {
    pub(super) values: Vec<f32>,
    latent: usize,
    plan: Training,
    pub(super) adam: RowAdam,
}

impl Codes {
    pub(super) fn new(settings: &Settings, count: usize) -> Self {
        let latent = settings.generator.latent;
        let mut random = rand::rngs::StdRng::seed_from_u64(settings.seed.wrapping_add(1));
        let mut values = normal_values(&mut random, count * latent, 0.0, 1.0);
        values.chunks_exact_mut(latent).for_each(|code| scale_to(code, 1.0));
        let rates = AdamConfig { learning_rate: settings.second_learning_rate, ..AdamConfig::default() };
        Self { values, latent, plan: Training::default(), adam: RowAdam::new(count, latent, rates) }
    }

    /// One step of the generator and of the codes of these pictures: the L1 distances of all bands of the Laplacian
    /// pyramid, each a mean over its elements (the paper's weights 2^2j on sums come to the same), and of the features where
    /// there are any (the paper's other loss). Returns the loss.
    pub(super) fn step(
        &mut self,
        generator: &Generator,
        adam: &mut Adam,
        real: &Tensor,
        indices: &[usize],
        features: Option<&Features>,
    ) -> Result<f32> {
        let latent = self.latent;
        let codes: Vec<f32> = indices.iter().flat_map(|&i| &self.values[i * latent..][..latent]).copied().collect();
        let z = Var::from_tensor(&Tensor::from_vec(codes, (indices.len(), latent), real.device())?)?;
        let x = self.plan.forward(generator, z.as_tensor(), 1)?;
        let mut loss = Tensor::zeros((), candle_core::DType::F32, real.device())?;
        for (found, wanted) in laplacian_pyramid(&x, LEVELS)?.iter().zip(laplacian_pyramid(real, LEVELS)?) {
            loss = (loss + l1_mean(found, &wanted)?.mean_all()?)?;
        }
        if let Some(features) = features {
            loss = (loss + features.difference(&x, real)?)?;
        }
        let gradients = gradients(&loss)?;
        adam.step(&gradients)?;
        let Some(gradient) = gradients.get(z.as_tensor()) else {
            return Err(Error::new("The codes got no gradient."));
        };
        for (gradient, &index) in gradient.to_vec2::<f32>()?.iter().zip(indices) {
            self.adam.step_row(&mut self.values, index, gradient);
            let code = &mut self.values[index * latent..][..latent];
            let norm = code.iter().map(|v| v * v).sum::<f32>().sqrt();
            if norm > 1.0 {
                scale_to(code, 1.0);
            }
        }
        Ok(loss.to_scalar()?)
    }

    /// Weights of a generator that draws from N(0, I) what these weights draw from the learned codes: a Gaussian with
    /// the codes' second moments is fitted, and its Cholesky factor multiplied into the first layer.
    pub(super) fn whiten(&self, weights: &Weights, device: &Device) -> Result<Weights> {
        let n = self.latent;
        let factor = cholesky(&second_moments(&self.values, n), n);
        let factor = Tensor::from_vec(factor, (n, n), device)?; // z = L e, so W z = (L^T W) for W: [nz, ...]
        let name = "main.0.weight";
        let first = weights.find(name).ok_or_else(|| Error::new("The generator has no first layer."))?;
        let shape = first.dims().to_vec();
        let turned = factor.t()?.contiguous()?.matmul(&first.reshape((n, first.elem_count() / n))?.contiguous()?)?;
        let mut whitened = weights.clone();
        whitened.insert(name, turned.reshape(shape)?);
        Ok(whitened)
    }
}

fn scale_to(code: &mut [f32], norm: f32) {
    let length = code.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
    code.iter_mut().for_each(|v| *v *= norm / length);
}

/// The mean of z z^T over all rows, `[n, n]`.
fn second_moments(values: &[f32], n: usize) -> Vec<f64> {
    let mut moments = vec![0.0; n * n];
    for code in values.chunks_exact(n) {
        for (i, row) in moments.chunks_exact_mut(n).enumerate() {
            row.iter_mut().zip(code).for_each(|(m, &v)| *m += f64::from(code[i]) * f64::from(v));
        }
    }
    let count = (values.len() / n).max(1) as f64;
    moments.iter_mut().for_each(|m| *m /= count);
    moments
}

/// The lower triangular L with L L^T = `matrix`, `[n, n]`; directions without variance stay 0.
fn cholesky(matrix: &[f64], n: usize) -> Vec<f32> {
    let mut lower = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let rest = matrix[i * n + j] - known;
            lower[i * n + j] = if i == j {
                rest.max(0.0).sqrt()
            } else if lower[j * n + j] > 1e-9 {
                rest / lower[j * n + j]
            } else {
                0.0
            };
        }
    }
    lower.into_iter().map(|v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_multiplies_back() {
        let matrix = [4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let lower = cholesky(&matrix, 3);
        for i in 0..3 {
            for j in 0..3 {
                let found: f32 = (0..3).map(|k| lower[i * 3 + k] * lower[j * 3 + k]).sum();
                assert!((f64::from(found) - matrix[i * 3 + j]).abs() < 1e-5);
            }
        }
    }
}
