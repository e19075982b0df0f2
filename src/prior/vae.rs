//! The generator as the decoder of a variational auto-encoder (Kingma & Welling, ICLR 2014; NAM, figure 4, compares
//! two weights of its KL term).

use super::features::Features;
use super::settings::Settings;
use crate::Result;
use crate::nets::{Encoder, EncoderConfig, Generator, Params, Posterior};
use crate::ops::{Adam, AdamConfig, l1_mean};
use crate::plan::train::{Training, gradients};
use candle_core::{D, Device, Tensor};

/// The encoder of X with its optimiser.
pub struct Recogniser {
    pub(super) params: Params,
    encoder: Encoder,
    plans: [Training; 2],
    pub(super) adam: Adam,
}

impl Recogniser {
    pub(super) fn new(settings: &Settings, device: &Device) -> Result<Self> {
        let generator = &settings.generator;
        let config = EncoderConfig {
            latent: generator.latent,
            width: settings.critic_width,
            channels: generator.channels,
            size: generator.size,
            variational: true,
        };
        let params = Params::trainable(&config.initial_weights(settings.seed.wrapping_add(1), device)?)?;
        let encoder = Encoder::new(&config, &params)?;
        let rates = AdamConfig { learning_rate: settings.second_learning_rate, ..AdamConfig::default() };
        Ok(Self { adam: params.adam(rates), params, encoder, plans: Default::default() })
    }

    /// One step of encoder and generator on the same pictures: the mean L1 reconstruction, of pixels and of features where
    /// there are any, plus `kl` times the divergence of the posterior from N(0, I). Returns both terms.
    pub(super) fn step(
        &mut self,
        generator: &Generator,
        adam: &mut Adam,
        real: &Tensor,
        noise: &Tensor,
        kl: f64,
        features: Option<&Features>,
    ) -> Result<(f32, f32)> {
        let both = self.plans[0].forward(self.encoder.body(), real, 1)?.flatten_from(1)?;
        let posterior = self.encoder.posterior(&both)?;
        let x = self.plans[1].forward(generator, &posterior.sample(noise)?, 1)?;
        let mut reconstruction = l1_mean(&x, real)?.mean_all()?;
        if let Some(features) = features {
            reconstruction = (reconstruction + features.difference(&x, real)?)?;
        }
        let Posterior { mu, log_var } = &posterior;
        let divergence = ((((log_var.exp()? + mu.sqr()?)? - log_var)? - 1.0)?.sum(D::Minus1)?.mean_all()? * 0.5)?;
        let gradients = gradients(&(&reconstruction + (&divergence * kl)?)?)?;
        self.adam.step(&gradients)?;
        adam.step(&gradients)?;
        Ok((reconstruction.to_scalar()?, divergence.to_scalar()?))
    }
}
