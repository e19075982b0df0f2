//! What a generator is trained with.

use crate::data::Augmentation;
use crate::nets::{GeneratorConfig, PerceptualConfig};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the generator learns the domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Against a critic with batch normalisation, by cross entropy (Radford et al., ICLR 2016).
    Dcgan,
    /// Against a critic with spectral normalisation, by the hinge loss (Miyato et al., ICLR 2018).
    #[default]
    Sngan,
    /// As the decoder of a variational auto-encoder (Kingma & Welling, ICLR 2014).
    Vae,
    /// With one learned code for each picture (Bojanowski et al., ICML 2018).
    Glo,
}

/// The settings of a prior's training. The default trains an SN-GAN (Miyato et al., ICLR 2018).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The method.
    pub method: Method,
    /// The shape of G.
    pub generator: GeneratorConfig,
    /// f of the critic, or of the VAE's encoder.
    pub critic_width: usize,
    /// Pictures in a step.
    pub batch: usize,
    /// Steps of the whole training.
    pub steps: usize,
    /// Adam's step size for G (and E).
    pub learning_rate: f64,
    /// Adam's step size for the critic, or for the codes of GLO.
    pub second_learning_rate: f64,
    /// Lowers the rates in a straight line to a tenth over this share of the steps at the end.
    pub cool_down: f64,
    /// The share of the old in each step of the moving average.
    pub average: f64,
    /// The weight of the KL term of the VAE.
    pub kl: f64,
    /// The shape of the perceptual network whose features count, too: critics see them (DCGAN, SN-GAN), or the
    /// reconstruction compares them (VAE, GLO). `None`: pixels alone.
    pub perceptual: Option<PerceptualConfig>,
    /// Changes to the pictures.
    pub augmentation: Augmentation,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::Sngan,
            generator: GeneratorConfig::default(),
            critic_width: 64,
            batch: 32,
            steps: 10_000,
            learning_rate: 2e-4,
            second_learning_rate: 2e-4,
            cool_down: 0.0,
            average: 0.999,
            kl: 1e-3,
            perceptual: None,
            augmentation: Augmentation::default(),
            seed: 0,
        }
    }
}

impl Settings {
    /// Refuses what cannot be trained.
    ///
    /// # Errors
    /// When a number makes no sense.
    pub fn check(&self) -> Result<()> {
        let rates = [self.learning_rate, self.second_learning_rate];
        if self.batch < 2 || self.steps == 0 || self.critic_width == 0 {
            return Err(Error::new(
                "A prior needs a batch of at least 2, at least one step, and a width of at least 1.",
            ));
        }
        if !rates.iter().all(|rate| *rate > 0.0 && *rate < 1.0) || !(0.0..1.0).contains(&self.average) {
            return Err(Error::new("Learning rates and the average's share must lie between 0 and 1."));
        }
        if !((0.0..=1.0).contains(&self.cool_down) && self.kl >= 0.0 && self.kl.is_finite()) {
            return Err(Error::new("The cool-down must lie between 0 and 1, and the KL weight must not be negative."));
        }
        Ok(())
    }

    /// The factor of the learning rates at a step.
    pub(super) fn rate_factor(&self, step: usize) -> f64 {
        let left = (self.steps.saturating_sub(step)) as f64 / (self.steps as f64 * self.cool_down).max(1.0);
        if self.cool_down > 0.0 { 0.1 + 0.9 * left.min(1.0) } else { 1.0 }
    }
}
