//! Generators trained against a critic: DCGAN and SN-GAN.

use super::settings::{Method, Settings};
use crate::Result;
use crate::nets::{Critic, CriticConfig, Generator, Params};
use crate::ops::{Activation, Adam, AdamConfig, activate};
use crate::plan::train::Training;
use candle_core::{Device, Tensor};

/// The critic with its optimiser.
pub struct Opponent {
    pub(super) params: Params,
    critic: Critic,
    /// The critic as the generator's step asks it, without gradients for its variables: two thirds of the cost.
    fixed: Critic,
    plans: [Training; 3],
    pub(super) adam: Adam,
    hinge: bool,
}

impl Opponent {
    pub(super) fn new(settings: &Settings, device: &Device) -> Result<Self> {
        let hinge = settings.method == Method::Sngan;
        let config = CriticConfig {
            outputs: 1,
            width: settings.critic_width,
            channels: settings.generator.channels,
            size: settings.generator.size,
            spectral: hinge,
        };
        let params = Params::trainable(&config.initial_weights(settings.seed.wrapping_add(1), device)?)?;
        let critic = Critic::new(&config, &params)?;
        let fixed = Critic::new(&config, &params.detached())?;
        let rates = AdamConfig { learning_rate: settings.second_learning_rate, ..AdamConfig::default() };
        Ok(Self { adam: params.adam(rates), params, critic, fixed, plans: Default::default(), hinge })
    }

    /// One step of the critic, then one of the generator, on the same codes. Returns both losses.
    pub(super) fn step(
        &mut self,
        generator: &Generator,
        adam: &mut Adam,
        real: &Tensor,
        z: &Tensor,
    ) -> Result<(f32, f32)> {
        let fake = self.plans[0].forward(generator, z, 1)?;
        if self.hinge {
            self.critic.iterate_power()?;
        }
        let loss = self.critic_loss(real, &fake.detach())?;
        self.adam.step(&loss.backward()?)?;
        let opinion = self.plans[2].forward(&self.fixed, &fake, 1)?.flatten_from(1)?;
        let generator_loss = if self.hinge { opinion.mean_all()?.neg()? } else { cross_entropy(&opinion, true)? };
        adam.step(&generator_loss.backward()?)?;
        Ok((loss.to_scalar()?, generator_loss.to_scalar()?))
    }

    fn critic_loss(&self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        // Each batch by its own statistics, as the DCGAN example has it.
        let opinions = self.plans[1].forward(&self.critic, &Tensor::cat(&[real, fake], 0)?, 2)?.flatten_from(1)?;
        let n = real.dim(0)?;
        let (on_real, on_fake) = (opinions.narrow(0, 0, n)?, opinions.narrow(0, n, fake.dim(0)?)?);
        if !self.hinge {
            return Ok((cross_entropy(&on_real, true)? + cross_entropy(&on_fake, false)?)?);
        }
        let on_real = activate(&(1.0 - on_real)?, Activation::Relu)?.mean_all()?;
        let on_fake = activate(&(1.0 + on_fake)?, Activation::Relu)?.mean_all()?;
        Ok((on_real + on_fake)?)
    }
}

/// The mean of log(1 + exp(-x)) (a real one is wanted) or of log(1 + exp(x)), without overflow.
fn cross_entropy(opinion: &Tensor, real: bool) -> Result<Tensor> {
    let x = if real { opinion.neg()? } else { opinion.clone() };
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + tail)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{GeneratorConfig, Statistics};

    #[test]
    fn the_fixed_critic_follows_the_one_that_learns() {
        for method in [Method::Dcgan, Method::Sngan] {
            let generator = GeneratorConfig { latent: 4, width: 2, channels: 3, size: 32, layers: Vec::new() };
            let settings = Settings { method, generator, critic_width: 4, ..Settings::default() };
            let mut opponent = Opponent::new(&settings, &Device::Cpu).unwrap();
            let x = Tensor::rand(-1f32, 1f32, (4, 3, 32, 32), &Device::Cpu).unwrap();
            let before = opponent.fixed.forward(&x, Statistics::Batch).unwrap().to_vec2::<f32>().unwrap();
            let loss = opponent.critic.forward(&x, Statistics::Batch).unwrap().mean_all().unwrap();
            opponent.adam.step(&loss.backward().unwrap()).unwrap();
            let after = opponent.fixed.forward(&x, Statistics::Batch).unwrap();
            let wanted = opponent.critic.forward(&x, Statistics::Batch).unwrap();
            assert_eq!(after.to_vec2::<f32>().unwrap(), wanted.to_vec2::<f32>().unwrap());
            assert_ne!(after.to_vec2::<f32>().unwrap(), before);
            assert!(!after.track_op() && wanted.track_op());
        }
    }

    #[test]
    fn cross_entropy_is_exact_and_does_not_overflow() {
        let x = Tensor::new(&[[0.3f32], [-200.0]], &Device::Cpu).unwrap();
        let wanted = (((-0.3f64).exp() + 1.0).ln() + 200.0) / 2.0;
        let found = f64::from(cross_entropy(&x, true).unwrap().to_scalar::<f32>().unwrap());
        assert!((found - wanted).abs() < 1e-4);
        let wanted = ((0.3f64.exp() + 1.0).ln()) / 2.0;
        let found = f64::from(cross_entropy(&x, false).unwrap().to_scalar::<f32>().unwrap());
        assert!((found - wanted).abs() < 1e-5);
    }
}
