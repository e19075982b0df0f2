//! Generators that are any sequence of layers: what an import of someone else's generator becomes.
//!
//! A [`Layer`] is what a file says; a [`Sequence`] is what runs: every convolution with the normalisation and the
//! activation behind it as one block, and nearest-neighbour upsampling folded into the convolution behind it.

use super::layers::{ConvBlock, Statistics};
use super::simulator::Cars;
use super::style::{StyleConfig, Synthesis};
use super::{Params, Weights};
use crate::data::simulator::NUMBERS;
use crate::ops::{self, Activation, ConvSpec};
use crate::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Added to variances, as in PyTorch; imports bring other values to it.
pub const EPSILON: f64 = 1e-5;
/// Added to the mean square of pixel normalisation (Karras et al., ICLR 2018).
const PIXEL_NORM_EPSILON: f64 = 1e-8;
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

/// One step of a sequence that runs.
enum Step {
    Block(Box<ConvBlock>),
    /// A normalisation that no convolution comes before: scales and shifts, `[1, c, 1, 1]` each.
    Normalise(Tensor, Tensor),
    Activate(Activation),
    Upsample(bool),
    Reshape(usize, usize),
    PixelShuffle(usize),
    PixelNorm,
    Uniform,
    Scale(f32, f32),
    Style(Box<Synthesis>),
    Cars(Cars),
}

/// A sequence of layers with their parameters.
pub struct Sequence {
    prior: Option<Box<Sequence>>,
    steps: Vec<Step>,
}

impl Sequence {
    /// Takes the parameters `layers.I.*`.
    ///
    /// # Errors
    /// When one is missing or has a wrong shape.
    pub fn new(layers: &[Layer], params: &Params) -> Result<Self> {
        let mut steps = Vec::new();
        let (mut prior, mut i) = (None, 0);
        if let Some(Layer::Prior { layers }) = layers.first() {
            prior = Some(Box::new(Self::new(layers, &params.pp("layers").pp(0))?));
            i = 1;
        }
        while let Some(layer) = layers.get(i) {
            let at = |i: usize| params.pp("layers").pp(i);
            let folded = match (layer, layers.get(i + 1)) {
                (Layer::Upsample { bilinear: false }, Some(next)) => folded(next, &at(i + 1))?,
                _ => None,
            };
            let block = match (folded, layer.spec()) {
                (Some((spec, params)), _) => {
                    i += 1;
                    Some((spec, params))
                }
                (None, Some(spec)) => Some((spec, at(i))),
                (None, None) => None,
            };
            i += 1;
            let Some((spec, conv)) = block else {
                steps.push(step(layer, &at(i - 1))?);
                continue;
            };
            let norm = matches!(layers.get(i), Some(Layer::BatchNorm { .. })).then(|| at(i));
            i += usize::from(norm.is_some());
            let activation = layers.get(i).and_then(Layer::activation);
            i += usize::from(activation.is_some());
            let activation = activation.unwrap_or(Activation::None);
            steps.push(Step::Block(Box::new(ConvBlock::new(&spec, &conv, norm.as_ref(), activation)?)));
        }
        Ok(Self { prior, steps })
    }

    /// The blocks in order; `None` when there is anything else.
    pub fn blocks(&self) -> Option<Vec<&ConvBlock>> {
        self.steps.iter().map(|step| if let Step::Block(block) = step { Some(&**block) } else { None }).collect()
    }

    /// The codes that become of values of N(0, I), `[n, latent, 1, 1]` both.
    ///
    /// # Errors
    /// When there are not as many values as a code has.
    pub fn codes(&self, normals: &Tensor) -> Result<Tensor> {
        match &self.prior {
            Some(prior) => prior.forward(normals, Statistics::Running),
            None => Ok(normals.clone()),
        }
    }

    /// `[n, latent, 1, 1]` to `[n, c, s, s]`.
    ///
    /// # Errors
    /// When the codes do not fit.
    pub fn forward(&self, z: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let mut x = z.clone();
        for step in &self.steps {
            x = match step {
                Step::Block(block) => block.forward(&x, statistics)?,
                Step::Normalise(scale, shift) => x.broadcast_mul(scale)?.broadcast_add(shift)?,
                Step::Activate(activation) => ops::activate(&x, *activation)?,
                Step::Upsample(true) => ops::upsample_bilinear2(&x)?,
                Step::Upsample(false) => ops::upsample_nearest2(&x)?,
                Step::Reshape(channels, side) => x.reshape((x.dim(0)?, *channels, *side, *side))?,
                Step::PixelShuffle(factor) => pixel_shuffle(&x, *factor)?,
                Step::PixelNorm => pixel_norm(&x)?,
                Step::Uniform => (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?,
                Step::Style(synthesis) => synthesis.forward(&x)?,
                Step::Cars(cars) => cars.forward(&x)?,
                Step::Scale(factor, shift) => x.affine(f64::from(*factor), f64::from(*shift))?,
            };
        }
        Ok(x)
    }
}

/// The step of a layer that is no convolution.
fn step(layer: &Layer, params: &Params) -> Result<Step> {
    Ok(match *layer {
        Layer::BatchNorm { channels } => {
            let get = |name: &str| params.get(name, &[channels]);
            let scale = (get("weight")? / (get("running_var")? + EPSILON)?.sqrt()?)?;
            let shift = (get("bias")? - (get("running_mean")? * &scale)?)?;
            Step::Normalise(scale.reshape((1, (), 1, 1))?, shift.reshape((1, (), 1, 1))?)
        }
        Layer::Upsample { bilinear } => Step::Upsample(bilinear),
        Layer::Reshape { channels, side } => Step::Reshape(channels, side),
        Layer::PixelShuffle { factor } => Step::PixelShuffle(factor),
        Layer::PixelNorm => Step::PixelNorm,
        Layer::Uniform => Step::Uniform,
        Layer::Scale { factor, shift } => Step::Scale(factor, shift),
        Layer::Style(ref style) => Step::Style(Box::new(Synthesis::new(style, params)?)),
        Layer::Cars { size } => Step::Cars(Cars { size }),
        Layer::Prior { .. } => return Err(Error::new("What codes are drawn from must be the first layer.")),
        Layer::Relu | Layer::LeakyRelu { .. } | Layer::Tanh | Layer::Convolution { .. } => {
            Step::Activate(layer.activation().unwrap_or(Activation::None))
        }
    })
}

/// The transposed convolution of stride 2 that does what nearest-neighbour upsampling and the convolution behind it do
/// together: its kernel is the sum of four copies of theirs. `None` where there is none.
fn folded(next: &Layer, params: &Params) -> Result<Option<(ConvSpec, Params)>> {
    let Some(spec) = next.spec() else { return Ok(None) };
    let ConvSpec { inputs, outputs, kernel, stride, padding, transposed } = spec;
    if transposed || stride != 1 || kernel != 2 * padding + 1 || params.is_trainable() {
        return Ok(None);
    }
    let weight = params.get("weight", &spec.weight_shape())?;
    let values: Vec<f32> = weight.flatten_all()?.to_vec1()?;
    let wide = kernel + 1;
    let mut sums = vec![0.0f32; inputs * outputs * wide * wide];
    for (pair, from) in values.chunks_exact(kernel * kernel).enumerate() {
        let to = &mut sums[((pair % inputs) * outputs + pair / inputs) * wide * wide..][..wide * wide];
        for (place, value) in from.iter().enumerate() {
            // An input pixel reaches output row p through the row `2i + d - p + padding` of the kernel, d being 0 or 1.
            let (ky, kx) = (kernel - 1 - place / kernel, kernel - 1 - place % kernel);
            for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                to[(ky + dy) * wide + kx + dx] += value;
            }
        }
    }
    let spec = ConvSpec::transposed(inputs, outputs, wide, 2, padding);
    let mut weights = Weights::default();
    weights.insert("weight", Tensor::from_vec(sums, &spec.weight_shape(), weight.device())?);
    if params.has("bias") {
        weights.insert("bias", params.get("bias", &[outputs])?);
    }
    Ok(Some((spec, Params::frozen(weights))))
}

fn pixel_norm(x: &Tensor) -> candle_core::Result<Tensor> {
    let square = (x.sqr()?.mean_keepdim(1)? + PIXEL_NORM_EPSILON)?;
    x.broadcast_div(&square.sqrt()?)
}

fn pixel_shuffle(x: &Tensor, factor: usize) -> candle_core::Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let x = x.reshape(&[n, c / (factor * factor), factor, factor, h, w][..])?;
    let x = x.permute(&[0, 1, 4, 2, 5, 3][..])?.contiguous()?;
    x.reshape((n, c / (factor * factor), h * factor, w * factor))
}
