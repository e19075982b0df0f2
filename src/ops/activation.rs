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
            // As in PyTorch, what is not a number stays so and is seen.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    x * slope
                }
            }
            Self::Tanh => tanh(x),
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

/// The hyperbolic tangent by the rational function that Eigen uses (a minimax fit on [-9, 9]): exact to a few units in
/// the last place, and unlike the library's it is vectorised.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    const CLAMP: f32 = 7.903_89;
    let x = x.clamp(-CLAMP, CLAMP);
    let s = x * x;
    let p = -2.760_768_5e-16;
    let p = p * s + 2.000_188e-13;
    let p = p * s - 8.604_672e-11;
    let p = p * s + 5.122_297e-8;
    let p = p * s + 1.485_722_4e-5;
    let p = p * s + 6.372_619_3e-4;
    let p = (p * s + 4.893_525e-3) * x;
    let q = 1.198_258_4e-6;
    let q = q * s + 1.185_347e-4;
    let q = q * s + 2.268_434_6e-3;
    let q = q * s + 4.893_525e-3;
    p / q
}
