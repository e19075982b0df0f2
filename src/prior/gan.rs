//! Generators trained against critics: DCGAN and SN-GAN. One critic sees the pixels; where there is a perceptual network,
//! others see its features (Sauer et al., Projected GANs, NeurIPS 2021, without the random projections), which know
//! edges and textures that a critic would have to learn from the pictures first.

use super::features::Features;
use super::settings::{Method, Settings};
use crate::Result;
use crate::nets::{Critic, CriticConfig, Generator, Params};
use crate::ops::{Activation, Adam, AdamConfig, activate};
use crate::plan::train::{Training, gradients};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// The sides of the levels that critics look at: larger ones show little more than the pixels do.
const SEEN: std::ops::RangeInclusive<usize> = 8..=32;

/// The critics.
pub struct Opponent {
    critics: Vec<Learner>,
    features: Option<Arc<Features>>,
    plan: Training,
}

/// One critic with its optimiser.
pub struct Learner {
    pub(super) params: Params,
    critic: Critic,
    /// The critic as the generator's step asks it, without gradients for its variables: two thirds of the cost.
    fixed: Critic,
    plans: [Training; 2],
    pub(super) adam: Adam,
    hinge: bool,
    /// The level of the features that it sees; `None`: the pixels.
    level: Option<usize>,
}

impl Opponent {
    pub(super) fn new(settings: &Settings, features: Option<Arc<Features>>, device: &Device) -> Result<Self> {
        let generator = &settings.generator;
        let mut critics = vec![Learner::new(settings, None, (generator.channels, generator.size), device)?];
        let widths = features.as_ref().map_or_else(Vec::new, |features| features.config().level_widths());
        for (level, width) in widths.into_iter().enumerate() {
            let size = generator.size >> level;
            if SEEN.contains(&size) {
                critics.push(Learner::new(settings, Some(level), (width, size), device)?);
            }
        }
        Ok(Self { critics, features, plan: Training::default() })
    }

    /// The critics by the names that checkpoints have for them.
    pub(super) fn critics(&self) -> impl Iterator<Item = (String, &Learner)> {
        self.critics.iter().map(|critic| (critic.name(), critic))
    }

    /// As [`Opponent::critics`], to change them.
    pub(super) fn critics_mut(&mut self) -> impl Iterator<Item = (String, &mut Learner)> {
        self.critics.iter_mut().map(|critic| (critic.name(), critic))
    }

    /// One step of the critics, then one of the generator, on the same codes. Returns the means of the critics' losses and
    /// of what they make of the generator.
    pub(super) fn step(
        &mut self,
        generator: &Generator,
        adam: &mut Adam,
        real: &Tensor,
        z: &Tensor,
    ) -> Result<(f32, f32)> {
        let fake = self.plan.forward(generator, z, 1)?;
        let (levels_of_real, levels_of_fake) = match &self.features {
            Some(features) => (features.levels(real)?, features.levels(&fake)?),
            None => (Vec::new(), Vec::new()),
        };
        let count = self.critics.len() as f64;
        let (mut critics_loss, mut generator_loss) = (0.0, None);
        for critic in &mut self.critics {
            let (real, fake) =
                critic.level.map_or((real, &fake), |level| (&levels_of_real[level], &levels_of_fake[level]));
            critics_loss += critic.learn(real, &fake.detach())? / count as f32;
            let loss = (critic.against(fake)? / count)?;
            generator_loss = Some(match generator_loss {
                None => loss,
                Some(sum) => (sum + loss)?,
            });
        }
        let Some(generator_loss) = generator_loss else { return Ok((0.0, 0.0)) };
        adam.step(&gradients(&generator_loss)?)?;
        Ok((critics_loss, generator_loss.to_scalar()?))
    }
}

impl Learner {
    fn new(
        settings: &Settings,
        level: Option<usize>,
        (channels, size): (usize, usize),
        device: &Device,
    ) -> Result<Self> {
        let spectral = settings.method == Method::Sngan;
        let config = CriticConfig { outputs: 1, width: settings.critic_width, channels, size, spectral };
        let seed = settings.seed.wrapping_add(1 + level.map_or(0, |level| 1 + level as u64));
        let params = Params::trainable(&config.initial_weights(seed, device)?)?;
        let critic = Critic::new(&config, &params)?;
        let fixed = Critic::new(&config, &params.detached())?;
        let rates = AdamConfig { learning_rate: settings.second_learning_rate, ..AdamConfig::default() };
        let plans = Default::default();
        Ok(Self { adam: params.adam(rates), params, critic, fixed, plans, hinge: spectral, level })
    }

    fn name(&self) -> String {
        self.level.map_or_else(|| "critic".to_owned(), |level| format!("critic-of-level-{level}"))
    }

    /// One step on what is real and what is not, `[n, c, s, s]` each. Returns the loss.
    fn learn(&mut self, real: &Tensor, fake: &Tensor) -> Result<f32> {
        if self.hinge {
            self.critic.iterate_power()?;
        }
        let loss = self.loss(real, fake)?;
        self.adam.step(&gradients(&loss)?)?;
        Ok(loss.to_scalar()?)
    }

    /// What the generator descends on.
    fn against(&self, fake: &Tensor) -> Result<Tensor> {
        let opinion = self.plans[1].forward(&self.fixed, fake, 1)?.flatten_from(1)?;
        if self.hinge { Ok(opinion.mean_all()?.neg()?) } else { cross_entropy(&opinion, true) }
    }

    fn loss(&self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        // Each batch by its own statistics, as the DCGAN example has it.
        let opinions = self.plans[0].forward(&self.critic, &Tensor::cat(&[real, fake], 0)?, 2)?.flatten_from(1)?;
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
            let mut learner = Learner::new(&settings, None, (3, 32), &Device::Cpu).unwrap();
            let x = Tensor::rand(-1f32, 1f32, (4, 3, 32, 32), &Device::Cpu).unwrap();
            let before = learner.fixed.forward(&x, Statistics::Batch).unwrap().to_vec2::<f32>().unwrap();
            let loss = learner.critic.forward(&x, Statistics::Batch).unwrap().mean_all().unwrap();
            learner.adam.step(&loss.backward().unwrap()).unwrap();
            let after = learner.fixed.forward(&x, Statistics::Batch).unwrap();
            let wanted = learner.critic.forward(&x, Statistics::Batch).unwrap();
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
