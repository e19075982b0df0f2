//! A sequence of layers that runs.

use super::Layer;
use crate::nets::layers::{ConvBlock, Statistics};
use crate::nets::simulator::Cars;
use crate::nets::style::Synthesis;
use crate::nets::{Params, Weights};
use crate::ops::{self, Activation, ConvSpec, FrozenConv};
use crate::{Error, Result};
use candle_core::Tensor;

/// Added to variances, as in PyTorch; imports bring other values to it.
pub const EPSILON: f64 = 1e-5;
/// Added to the mean square of pixel normalisation (Karras et al., ICLR 2018).
pub(crate) const PIXEL_NORM_EPSILON: f64 = 1e-8;

/// One step of a sequence that runs: a [`Layer`] with its parameters.
pub(crate) enum Step {
    /// A convolution with what is behind it.
    Block(Box<ConvBlock>),
    /// A normalisation that no convolution comes before: scales and shifts, `[1, c, 1, 1]` each.
    Normalise(Tensor, Tensor),
    Activate(Activation),
    /// Whether bilinear.
    Upsample(bool),
    /// Channels and side.
    Reshape(usize, usize),
    PixelShuffle(usize),
    PixelNorm,
    Uniform,
    /// Factor and shift.
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

    /// The steps from the code to the picture.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// All convolutions; `None` where they learn, or draw no part of what is computed.
    pub(crate) fn convolutions(&self) -> Option<Vec<&FrozenConv>> {
        let mut all = Vec::new();
        for step in &self.steps {
            match step {
                Step::Block(block) => all.push(block.frozen()?),
                Step::Style(synthesis) => all.extend(synthesis.all_convolutions()),
                Step::Cars(_) => return None,
                _ => {}
            }
        }
        Some(all).filter(|all| !all.is_empty())
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
