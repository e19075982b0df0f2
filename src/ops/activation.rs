//! The activations that the networks of the papers use.

use serde::{Deserialize, Serialize};

/// What follows a convolution or a normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The value as it is.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x where it is positive, x times the slope elsewhere.
    LeakyRelu(f32),
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The activation of one value.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    x * slope
                }
            }
            Self::Tanh => x.tanh(),
        }
    }

    /// The derivative, told from the activated value; 0 for relu at 0 as in PyTorch.
    #[inline(always)]
    pub fn slope(self, activated: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => f32::from(activated > 0.0),
            Self::LeakyRelu(slope) => {
                if activated > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Tanh => 1.0 - activated * activated,
        }
    }
}
