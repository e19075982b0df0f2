//! Generators that are any sequence of layers: what an import of someone else's generator becomes.
//!
//! A [`Layer`] is what a file says; a [`Sequence`] is what runs: every convolution with the normalisation and the
//! activation behind it as one block, and nearest-neighbour upsampling folded into the convolution behind it.

mod steps;

use super::style::StyleConfig;
use crate::data::simulator::NUMBERS;
use crate::ops::{Activation, ConvSpec};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

pub use steps::{EPSILON, Sequence};
pub(crate) use steps::{PIXEL_NORM_EPSILON, Step};

/// Layers of a generator, at most.
const MOST_LAYERS: usize = 256;
/// Rows and columns of a map, at most.
const LARGEST_SIDE: usize = 1024;
/// Channels of a map, at most.
const MOST_CHANNELS: usize = 1 << 16;
/// Values of all parameters together, at most.
const MOST_VALUES: usize = 1 << 29;

/// One layer. Its parameters are named `layers.I.weight`, `layers.I.bias`, ... by its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// A convolution; a linear layer is one with a kernel of 1 on a map of one pixel.
    Convolution {
        /// Channels that come in.
        inputs: usize,
        /// Channels that go out.
        outputs: usize,
        /// Rows and columns of the kernel.
        kernel: usize,
        /// As in [`ConvSpec`].
        stride: usize,
        /// As in [`ConvSpec`].
        padding: usize,
        /// Whether it is a transposed one.
        transposed: bool,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Batch normalisation by running statistics.
    BatchNorm {
        /// Channels.
        channels: usize,
    },
    /// max(x, 0).
    Relu,
    /// x, or slope * x where x is negative.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// Twice as many rows and columns.
    Upsample {
        /// Bilinear with half-pixel centres; otherwise every pixel four times.
        bilinear: bool,
    },
    /// The channels of one pixel become a map.
    Reshape {
        /// Channels.
        channels: usize,
        /// Rows and columns.
        side: usize,
    },
    /// Groups of `factor`^2 channels become squares of `factor` x `factor` pixels (Shi et al., CVPR 2016).
    PixelShuffle {
        /// How many times as many rows and columns.
        factor: usize,
    },
    /// Every pixel's channels divided by their root mean square (Karras et al., ICLR 2018).
    PixelNorm,
    /// Codes of N(0, 1) to codes that are uniform in [-1, 1].
    Uniform,
    /// factor * x + shift.
    Scale {
        /// The factor.
        factor: f32,
        /// The shift.
        shift: f32,
    },
    /// What codes are drawn from, where that is not N(0, I): these layers make codes of N(0, I). It can only be the first
    /// layer, and does nothing when a code is drawn.
    Prior {
        /// The layers; their parameters are named `layers.0.layers.I.weight`, ...
        layers: Vec<Layer>,
    },
    /// StyleGAN2's synthesis network, from w to a picture.
    Style(StyleConfig),
    /// The simulator of cars ([`crate::data::simulator`]): 28 numbers of N(0, 1) to a picture.
    Cars {
        /// Rows and columns.
        size: usize,
    },
}

impl Layer {
    fn activation(&self) -> Option<Activation> {
        match self {
            Self::Relu => Some(Activation::Relu),
            Self::LeakyRelu { slope } => Some(Activation::LeakyRelu(*slope)),
            Self::Tanh => Some(Activation::Tanh),
            _ => None,
        }
    }

    /// The names below the layer's own and shapes of its parameters.
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let named = |name: &str, shape: Vec<usize>| (name.to_owned(), shape);
        match self {
            Self::Convolution { outputs, bias, .. } => {
                let weight = self.spec().map_or_else(Vec::new, |spec| spec.weight_shape().to_vec());
                let mut all = vec![named("weight", weight)];
                all.extend(bias.then(|| named("bias", vec![*outputs])));
                all
            }
            Self::BatchNorm { channels } => {
                ["weight", "bias", "running_mean", "running_var"].map(|name| named(name, vec![*channels])).to_vec()
            }
            Self::Prior { layers } => parameters(layers),
            Self::Style(style) => style.parameters(),
            _ => Vec::new(),
        }
    }

    /// The geometry of a convolution.
    pub fn spec(&self) -> Option<ConvSpec> {
        match *self {
            Self::Convolution { inputs, outputs, kernel, stride, padding, transposed, .. } => {
                Some(ConvSpec { inputs, outputs, kernel, stride, padding, transposed })
            }
            _ => None,
        }
    }

    /// The shape `(channels, side)` that this layer makes of another.
    fn output(&self, (channels, side): (usize, usize)) -> Result<(usize, usize), String> {
        match *self {
            Self::Convolution { inputs, outputs, kernel, stride, padding, .. } => {
                if inputs != channels {
                    return Err(format!("it takes {inputs} channels and gets {channels}"));
                }
                if outputs == 0 || !(1..=32).contains(&kernel) || !(1..=8).contains(&stride) || padding >= kernel {
                    return Err(format!(
                        "{outputs} channels, a kernel of {kernel}, a stride of {stride} and a padding of {padding} make \
                         no convolution"
                    ));
                }
                let spec = ConvSpec { inputs, outputs, kernel, stride, padding, transposed: self.is_transposed() };
                let side =
                    spec.output_side(side).map_err(|_| format!("it does not fit a map of {side} x {side} pixels"))?;
                Ok((outputs, side))
            }
            Self::BatchNorm { channels: own } if own != channels => {
                Err(format!("it takes {own} channels and gets {channels}"))
            }
            Self::LeakyRelu { slope } if !slope.is_finite() => Err("its slope is no number".to_owned()),
            Self::Scale { factor, shift } if !factor.is_finite() || !shift.is_finite() => {
                Err("its factor or its shift is no number".to_owned())
            }
            Self::Upsample { .. } => Ok((channels, 2 * side)),
            Self::Reshape { channels: to, side: wide } => {
                let fits = side == 1 && to.checked_mul(wide).and_then(|n| n.checked_mul(wide)) == Some(channels);
                if fits { Ok((to, wide)) } else { Err(format!("{channels} x {side} x {side} values do not fit it")) }
            }
            Self::PixelShuffle { factor } => {
                if !(1..=8).contains(&factor) || !channels.is_multiple_of(factor * factor) {
                    return Err(format!("{channels} channels cannot be shared out among {factor} x {factor} pixels"));
                }
                Ok((channels / (factor * factor), side * factor))
            }
            Self::Prior { ref layers } => {
                if layers.iter().any(|layer| matches!(layer, Self::Prior { .. })) {
                    return Err("what codes are drawn from cannot be drawn itself".to_owned());
                }
                let found = drawn(layers, channels).map_err(|error| error.to_string())?;
                if side == 1 && found == (channels, 1) {
                    Ok(found)
                } else {
                    Err(format!("it makes {} x {} x {} values", found.0, found.1, found.1))
                }
            }
            Self::Cars { size } => {
                let fits = (channels, side) == (NUMBERS, 1) && size >= 8;
                if fits {
                    Ok((3, size))
                } else {
                    Err(format!("it takes {NUMBERS} numbers, and draws 8 pixels at least"))
                }
            }
            Self::Style(ref style) => {
                style.check()?;
                if (channels, side) != (style.style, 1) {
                    return Err(format!("it takes {} values and gets {channels} x {side} x {side}", style.style));
                }
                Ok((style.colours, style.side()))
            }
            _ => Ok((channels, side)),
        }
    }

    fn is_transposed(&self) -> bool {
        matches!(self, Self::Convolution { transposed: true, .. })
    }
}

/// The shape `(channels, side)` of what a sequence draws.
///
/// # Errors
/// When a layer does not fit what comes before it, or the network would be larger than any that this program runs.
pub fn drawn(layers: &[Layer], latent: usize) -> Result<(usize, usize)> {
    if layers.is_empty() || layers.len() > MOST_LAYERS {
        return Err(Error::new(format!("A generator has from 1 to {MOST_LAYERS} layers, not {}.", layers.len())));
    }
    let mut shape = (latent, 1);
    let mut values = 0usize;
    for (i, layer) in layers.iter().enumerate() {
        let wrong = |what: String| Error::new(format!("Layer {i} of the generator ({layer:?}) does not fit: {what}."));
        if i > 0 && matches!(layer, Layer::Prior { .. }) {
            return Err(wrong("what codes are drawn from must be the first layer".to_owned()));
        }
        shape = layer.output(shape).map_err(wrong)?;
        if !(1..=MOST_CHANNELS).contains(&shape.0) || !(1..=LARGEST_SIDE).contains(&shape.1) {
            return Err(wrong(format!("it makes a map of {} x {} x {} values", shape.0, shape.1, shape.1)));
        }
        for (_, sides) in layer.parameters() {
            let count = sides.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
            values = count.and_then(|count| values.checked_add(count)).unwrap_or(usize::MAX);
        }
        if values > MOST_VALUES {
            return Err(wrong("the generator would have more parameters than this program runs".to_owned()));
        }
    }
    Ok(shape)
}

/// Values of all maps of one picture together, as they are kept for a gradient.
pub fn map_values(layers: &[Layer], latent: usize) -> usize {
    let (mut shape, mut values) = ((latent, 1), 0usize);
    for layer in layers {
        let Ok(next) = layer.output(shape) else { break };
        values = values.saturating_add(match layer {
            Layer::Style(style) => style.map_values(),
            _ => next.0.saturating_mul(next.1 * next.1),
        });
        shape = next;
    }
    values
}

/// The names and shapes of all parameters of a sequence.
pub fn parameters(layers: &[Layer]) -> Vec<(String, Vec<usize>)> {
    let of = |(i, layer): (usize, &Layer)| {
        layer.parameters().into_iter().map(move |(name, shape)| (format!("layers.{i}.{name}"), shape))
    };
    layers.iter().enumerate().flat_map(of).collect()
}
