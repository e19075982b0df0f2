//! What a generator learns against (critics) or with (a recogniser, or codes of its own), behind one face.

use super::features::Features;
use super::gan::Opponent;
use super::glo::Codes;
use super::settings::{Method, Settings};
use super::vae::Recogniser;
use crate::data::Images;
use crate::nets::{Checkpoint, Params};
use crate::ops::Adam;
use crate::{Error, Result};
use candle_core::Device;
use std::sync::Arc;

/// What the generator learns against or with.
pub(super) enum Partner {
    Opponent(Box<Opponent>),
    Recogniser(Box<Recogniser>),
    Codes(Codes),
}

impl Partner {
    /// With random weights or codes.
    pub(super) fn new(
        settings: &Settings,
        images: &Images,
        features: Option<&Arc<Features>>,
        device: &Device,
    ) -> Result<Self> {
        Ok(match settings.method {
            Method::Dcgan | Method::Sngan => {
                Self::Opponent(Box::new(Opponent::new(settings, features.cloned(), device)?))
            }
            Method::Vae => Self::Recogniser(Box::new(Recogniser::new(settings, device)?)),
            Method::Glo => Self::Codes(Codes::new(settings, images.len())),
        })
    }

    /// The step size of all that it is made of.
    pub(super) fn set_learning_rate(&mut self, rate: f64) {
        match self {
            Self::Opponent(opponent) => {
                opponent.critics_mut().for_each(|(_, critic)| critic.adam.set_learning_rate(rate))
            }
            Self::Recogniser(recogniser) => recogniser.adam.set_learning_rate(rate),
            Self::Codes(codes) => codes.adam.set_learning_rate(rate),
        }
    }

    /// Writes what a resumed run needs.
    pub(super) fn put(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let mut network = |name: &str, params: &Params, adam: &Adam| {
            checkpoint.put_weights(&format!("{name}."), &params.weights()?)?;
            checkpoint.put_adam(&format!("adam.{name}."), adam)
        };
        match self {
            Self::Opponent(opponent) => {
                opponent.critics().try_for_each(|(name, critic)| network(&name, &critic.params, &critic.adam))
            }
            Self::Recogniser(recogniser) => network("critic", &recogniser.params, &recogniser.adam),
            Self::Codes(codes) => {
                checkpoint.put("codes", &[codes.values.len()], codes.values.clone())?;
                checkpoint.put_row_adam("codes.", &codes.adam)
            }
        }
    }

    /// Takes up what [`Partner::put`] wrote.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint, device: &Device) -> Result<()> {
        let network = |name: &str, params: &Params, adam: &mut Adam| {
            params.set(&checkpoint.weights(&format!("{name}."), device)?)?;
            checkpoint.restore_adam(&format!("adam.{name}."), adam)
        };
        match self {
            Self::Opponent(opponent) => {
                opponent.critics_mut().try_for_each(|(name, critic)| network(&name, &critic.params, &mut critic.adam))
            }
            Self::Recogniser(recogniser) => network("critic", &recogniser.params, &mut recogniser.adam),
            Self::Codes(codes) => {
                let values = checkpoint.values("codes")?;
                if values.len() != codes.values.len() {
                    return Err(Error::new("The checkpoint has codes for another number of pictures than are given."));
                }
                checkpoint.restore_row_adam("codes.", &mut codes.adam)?;
                codes.values = values;
                Ok(())
            }
        }
    }
}
