//! Fitting the mapping T to images of Y, with the generator of X frozen: NAM ([`NamTrainer`]) and its amortised kin,
//! AE-NAM and VAE-NAM ([`VaeNamTrainer`]).
//!
//! A trainer is driven a step at a time, so stopping is leaving the loop. Everything random in a step follows from the
//! seed and the number of the step, and a checkpoint holds all the rest, so a resumed run takes the very steps of one
//! that was never stopped (with the same number of threads, on the same device).

mod amortised;
mod contrast;
mod given;
mod held_out;
mod joint;
mod order;

pub use amortised::{VaeNamSettings, VaeNamTrainer};
pub use contrast::Contrast;
pub use given::Given;
pub use held_out::{HeldOutSettings, held_out_losses};
pub use joint::{NamSettings, NamTrainer};
pub use order::hold_out;

use super::codes::Candidates;
use super::networks::NetworkSet;
use crate::nets::Weights;
use crate::{Error, Result};
use candle_core::Tensor;
use std::path::Path;

/// What one step of training did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainReport {
    /// Steps taken so far, this one included.
    pub step: usize,
    /// Steps that the settings ask for.
    pub steps: usize,
    /// Passes over the images finished before this step.
    pub epoch: usize,
    /// The mean over the batch of what was descended.
    pub loss: f32,
    /// The part of it that compares images.
    pub reconstruction: f32,
    /// The mean KL divergence of the batch, not weighted; `None` where there is no posterior.
    pub kl: Option<f32>,
}

/// Images of Y beside what the training has made of them.
pub struct Preview {
    /// y, `[n, cy, s, s]`.
    pub y: Tensor,
    /// G(z) and T(G(z)) and the losses.
    pub candidates: Candidates,
}

/// What every way of fitting a mapping can do.
pub trait Trainer: Send {
    /// One step.
    ///
    /// # Errors
    /// When the computation fails, or the loss is no longer a number.
    fn step(&mut self) -> Result<TrainReport>;

    /// Steps taken so far.
    fn step_count(&self) -> usize;

    /// Steps that the settings ask for.
    fn planned_steps(&self) -> usize;

    /// The networks as they are now, frozen, in running statistics.
    ///
    /// # Errors
    /// When the device has no room.
    fn networks(&self) -> Result<NetworkSet>;

    /// The weights of T as they are now.
    ///
    /// # Errors
    /// When the device has no room.
    fn mapping_weights(&self) -> Result<Weights>;

    /// The weights of E as they are now, where there is one.
    ///
    /// # Errors
    /// When the device has no room.
    fn encoder_weights(&self) -> Result<Option<Weights>>;

    /// The first `count` images with their counterparts as they are now.
    ///
    /// # Errors
    /// When the computation fails.
    fn preview(&self, count: usize) -> Result<Preview>;

    /// Writes everything that resuming needs, beside the file first, so that a kill leaves the old one.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn save(&self, path: &Path) -> Result<()>;
}

/// The share of the learning rate at a step: 1, and from `decay_from` (a share of all steps) on a straight line to 0.
pub(crate) fn decayed(step: usize, steps: usize, decay_from: f64) -> f64 {
    let done = step as f64 / steps.max(1) as f64;
    if done <= decay_from || decay_from >= 1.0 { 1.0 } else { ((1.0 - done) / (1.0 - decay_from)).max(0.0) }
}

/// The loss, if it is one.
pub(crate) fn finite(loss: f32, step: usize) -> Result<f32> {
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(Error::new(format!("Training diverged at step {step}: the loss is no number. Try a lower learning rate.")))
}

#[cfg(test)]
mod tests;
