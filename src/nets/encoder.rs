//! The encoder E of AE-NAM and VAE-NAM (Hoshen, NeurIPS 2018): the critic's body with two outputs a latent axis.

use super::{Critic, CriticConfig, Params, Statistics, Weights};
use crate::Result;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// The logarithm of a variance that is as good as none.
const NO_VARIANCE: f64 = -80.0;

/// The shape of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncoderConfig {
    /// nz, the length of a latent code.
    pub latent: usize,
    /// f, the filters of the finest scale.
    pub width: usize,
    /// Channels of Y.
    pub channels: usize,
    /// Pixels a side.
    pub size: usize,
    /// Whether the variances were learned (VAE-NAM); the codes of AE-NAM are the means alone.
    pub variational: bool,
}

impl Default for EncoderConfig {
    /// 64 pixels a side in colour, f = 64, nz = 100.
    fn default() -> Self {
        Self { latent: 100, width: 64, channels: 3, size: 64, variational: true }
    }
}

impl EncoderConfig {
    /// The critic whose body this is.
    pub fn body(&self) -> CriticConfig {
        CriticConfig {
            outputs: 2 * self.latent,
            width: self.width,
            channels: self.channels,
            size: self.size,
            spectral: false,
        }
    }

    /// Weights as the critic's: N(0, 0.02^2).
    ///
    /// # Errors
    /// When there is no such encoder.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        self.body().initial_weights(seed, device)
    }
}

/// q(z | y): a normal distribution with a diagonal covariance, one a row.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// The means, `[n, nz]`.
    pub mu: Tensor,
    /// The logarithms of the variances, `[n, nz]`.
    pub log_var: Tensor,
}

impl Posterior {
    /// mu + sigma * noise, `[n, nz]` (the reparametrisation of Kingma & Welling); `noise: [n, nz]` is N(0, 1). A
    /// posterior of one row serves any number of rows of noise.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(self.deviation()?.broadcast_mul(noise)?.broadcast_add(&self.mu)?)
    }

    /// The standard deviations, `[n, nz]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn deviation(&self) -> Result<Tensor> {
        Ok((&self.log_var * 0.5)?.exp()?)
    }
}

/// E: an image of Y to the posterior of its latent code.
pub struct Encoder {
    config: EncoderConfig,
    body: Critic,
}

impl Encoder {
    /// Takes the weights of a critic's body with 2 nz outputs: `main.0.weight`, ...
    ///
    /// # Errors
    /// When a weight is missing or its shape does not fit.
    pub fn new(config: &EncoderConfig, params: &Params) -> Result<Self> {
        Ok(Self { config: *config, body: Critic::new(&config.body(), params)? })
    }

    /// The shape of this encoder.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The layers in order.
    pub fn blocks(&self) -> Option<Vec<&super::ConvBlock>> {
        self.body.blocks()
    }

    /// `[n, channels, size, size]` to the posteriors of n codes.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn forward(&self, y: &Tensor, statistics: Statistics) -> Result<Posterior> {
        self.posterior(&self.body.forward(y, statistics)?)
    }

    /// The network below the posterior.
    pub fn body(&self) -> &Critic {
        &self.body
    }

    /// The posteriors that the outputs `[n, 2 nz]` of the body stand for.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn posterior(&self, both: &Tensor) -> Result<Posterior> {
        let nz = self.config.latent;
        let half = |start| both.narrow(1, start, nz)?.contiguous();
        let mu = half(0)?;
        let log_var = if self.config.variational { half(nz)? } else { mu.ones_like()?.affine(NO_VARIANCE, 0.0)? };
        Ok(Posterior { mu, log_var })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_moments_of_the_posterior() {
        let cpu = Device::Cpu;
        let posterior = Posterior {
            mu: Tensor::new(&[[1f32, -2.0]], &cpu).unwrap(),
            log_var: Tensor::new(&[[0f32, 4f32.ln()]], &cpu).unwrap(),
        };
        let noise = Tensor::new(&[[1f32, 1.0], [-1.0, 0.5], [0.0, 0.0]], &cpu).unwrap();
        let found = posterior.sample(&noise).unwrap().to_vec2::<f32>().unwrap();
        for (found, expected) in found.iter().zip([[2.0, 0.0], [0.0, -1.0], [1.0, -2.0]]) {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        }
    }

    #[test]
    fn a_picture_gives_one_row_of_each() {
        let config = EncoderConfig { latent: 5, width: 4, channels: 1, size: 32, variational: true };
        let params = Params::frozen(config.initial_weights(1, &Device::Cpu).unwrap());
        let encoder = Encoder::new(&config, &params).unwrap();
        let y = Tensor::randn(0f32, 1.0, (3, 1, 32, 32), &Device::Cpu).unwrap();
        let posterior = encoder.forward(&y, Statistics::Running).unwrap();
        assert_eq!((posterior.mu.dims(), posterior.log_var.dims()), (&[3, 5][..], &[3, 5][..]));
        // Variances that were never learned say nothing.
        let config = EncoderConfig { variational: false, ..config };
        let single = Encoder::new(&config, &params).unwrap().forward(&y, Statistics::Running).unwrap();
        let noise = Tensor::randn(0f32, 1.0, (3, 5), &Device::Cpu).unwrap();
        let rows = |tensor: &Tensor| tensor.to_vec2::<f32>().unwrap();
        assert_eq!(rows(&single.sample(&noise).unwrap()), rows(&posterior.mu));
        assert_ne!(rows(&posterior.sample(&noise).unwrap()), rows(&posterior.mu));
    }
}
