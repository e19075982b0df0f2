//! The exponential moving average of a network's weights, which draws better than the last step's weights.

use crate::Result;
use crate::nets::{Params, Weights};
use crate::ops::blend;
use candle_core::Var;
use std::collections::BTreeMap;

/// The average, parameters and running statistics alike.
pub struct Average {
    share: f64,
    values: BTreeMap<String, Var>,
}

impl Average {
    /// Starts at the weights.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(share: f64, weights: &Weights) -> Result<Self> {
        let copy = |(name, tensor): (&String, &candle_core::Tensor)| {
            Ok((name.clone(), Var::from_tensor(&tensor.force_contiguous()?.copy()?)?))
        };
        Ok(Self { share, values: weights.iter().map(copy).collect::<Result<_>>()? })
    }

    /// Moves towards the parameters after the given step; early on faster, so that the start is forgotten.
    ///
    /// # Errors
    /// When the parameters are others than at the start.
    pub fn follow(&self, params: &Params, step: usize) -> Result<()> {
        let share = self.share.min((1.0 + step as f64) / (10.0 + step as f64));
        for (name, average) in &self.values {
            if let Some(now) = params.variable(name) {
                blend(average, now.as_tensor(), (1.0 - share) as f32)?;
            }
        }
        Ok(())
    }

    /// The averaged weights.
    ///
    /// # Errors
    /// When the device has no room for the copy.
    pub fn weights(&self) -> Result<Weights> {
        self.values.iter().map(|(name, v)| Ok((name.clone(), v.as_tensor().copy()?.detach()))).collect()
    }
}
