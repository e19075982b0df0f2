//! StyleGAN2's synthesis network (Karras et al., CVPR 2020): from one style vector w for all layers to a picture, in the
//! "skip" architecture, noise kept constant.
//!
//! A modulated convolution is computed as its authors' unfused form has it: the input's channels are scaled by the style,
//! convolved with kernels that are the same for all pictures, and the outputs scaled back to unit length. Where the size
//! doubles, the transposed convolution of 3x3 and the low-pass filter [1, 3, 3, 1] behind it are one of 6x6.

use super::Params;
use crate::ops::{Activation, ConvSpec, FrozenConv, Modulation};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Added to the squared lengths that kernels are divided by.
pub(crate) const EPSILON: f64 = 1e-8;
/// The factor behind them: the activation's gain, which is taken before it.
pub(crate) const GAIN: f64 = std::f64::consts::SQRT_2;
/// What follows the convolutions; its gain is the square root of 2.
pub(crate) const LEAKY: Activation = Activation::LeakyRelu(0.2);
/// The low-pass filter along one axis; pairs of neighbours have the sum 1.
const FILTER: [f32; 4] = [0.25, 0.75, 0.75, 0.25];

/// The shape of a synthesis network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleConfig {
    /// Values of w.
    pub style: usize,
    /// Channels of the maps of 4, 8, 16, ... pixels a side.
    pub widths: Vec<usize>,
    /// Channels of the picture.
    pub colours: usize,
    /// Whether constant noise is added to the maps.
    pub noise: bool,
}

/// One of the convolutions.
struct Place {
    inputs: usize,
    outputs: usize,
    /// Pixels a side of its output.
    side: usize,
    /// Whether the size doubles.
    doubles: bool,
}

impl StyleConfig {
    /// Pixels a side of the picture.
    pub fn side(&self) -> usize {
        4 << self.widths.len().saturating_sub(1)
    }

    /// Whether there is such a network; what is wrong with it if not.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=9).contains(&self.widths.len()) {
            return Err(format!("it has maps of {} sizes, where 1 to 9 are possible", self.widths.len()));
        }
        if self.widths.iter().chain([&self.style, &self.colours]).any(|count| !(1..=4096).contains(count)) {
            return Err("its channels are not from 1 to 4096".to_owned());
        }
        Ok(())
    }

    /// All convolutions in order: one at 4 pixels, two at each other size, the first of which doubles it.
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (level, &outputs) in self.widths.iter().enumerate() {
            if level > 0 {
                places.push(Place { inputs: self.widths[level - 1], outputs, side: 4 << level, doubles: true });
            }
            places.push(Place { inputs: outputs, outputs, side: 4 << level, doubles: false });
        }
        places
    }

    /// The names and shapes of all parameters. `convolutions.I` are in order, `colours.I` one for each size; `weight` are
    /// the kernels `[outputs, inputs, 3, 3]` (also where the size doubles), `style` what makes scales of w.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = vec![("constant".to_owned(), vec![self.widths[0], 4, 4])];
        let mut put = |name: String, shape: Vec<usize>| all.push((name, shape));
        for (i, Place { inputs, outputs, side, .. }) in self.places().into_iter().enumerate() {
            put(format!("convolutions.{i}.weight"), vec![outputs, inputs, 3, 3]);
            put(format!("convolutions.{i}.bias"), vec![outputs]);
            put(format!("convolutions.{i}.style.weight"), vec![inputs, self.style]);
            put(format!("convolutions.{i}.style.bias"), vec![inputs]);
            if self.noise {
                put(format!("convolutions.{i}.noise"), vec![side, side]);
            }
        }
        for (i, &inputs) in self.widths.iter().enumerate() {
            put(format!("colours.{i}.weight"), vec![self.colours, inputs, 1, 1]);
            put(format!("colours.{i}.bias"), vec![self.colours]);
            put(format!("colours.{i}.style.weight"), vec![inputs, self.style]);
            put(format!("colours.{i}.style.bias"), vec![inputs]);
        }
        all
    }

    /// Values of all maps of one picture together, as they are kept for a gradient.
    pub(super) fn map_values(&self) -> usize {
        let of = |place: &Place| {
            let read = if place.doubles { place.side / 2 } else { place.side };
            place.inputs * read * read + 2 * place.outputs * place.side * place.side
        };
        self.places().iter().map(of).sum()
    }
}

/// What makes scales of w.
pub(crate) struct Style {
    /// `[style, inputs]`.
    pub weight: Tensor,
    /// `[inputs]`.
    pub bias: Tensor,
}

impl Style {
    fn new(config: &StyleConfig, inputs: usize, params: &Params) -> Result<Self> {
        let weight = params.get("weight", &[inputs, config.style])?.detach().t()?.contiguous()?;
        Ok(Self { weight, bias: params.get("bias", &[inputs])?.detach() })
    }

    /// `[n, style]` to `[n, inputs]`.
    fn forward(&self, w: &Tensor) -> candle_core::Result<Tensor> {
        w.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// A modulated convolution and what follows it.
pub(crate) struct Modulated {
    pub style: Style,
    pub convolution: FrozenConv,
    /// The kernels' squares, summed over the pixels, `[inputs, outputs]`.
    pub squares: Tensor,
    pub after: Modulation,
}

impl Modulated {
    fn new(config: &StyleConfig, place: &Place, params: &Params) -> Result<Self> {
        let &Place { inputs, outputs, side, doubles } = place;
        let weight = params.get("weight", &[outputs, inputs, 3, 3])?.detach();
        let squares = weight.sqr()?.sum((2, 3))?.t()?.contiguous()?;
        let convolution = if doubles {
            let spec = ConvSpec::transposed(inputs, outputs, 6, 2, 2);
            FrozenConv::new(&spec, &filtered(&weight)?, None, Activation::None)?
        } else {
            FrozenConv::new(&ConvSpec::conv(inputs, outputs, 3, 1, 1), &weight, None, Activation::None)?
        };
        let bias = (params.get("bias", &[outputs])? * GAIN)?;
        let noise = config.noise.then(|| params.get("noise", &[side, side])).transpose()?;
        let noise = noise.map(|noise| (noise * GAIN)?.reshape((1, 1, side, side))).transpose()?;
        let style = Style::new(config, inputs, &params.pp("style"))?;
        Ok(Self { style, convolution, squares, after: Modulation::new(Some(bias), noise, LEAKY) })
    }

    fn forward(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let scales = self.style.forward(w)?; // [n, inputs]
        let lengths = (scales.sqr()?.matmul(&self.squares)? + EPSILON)?.sqrt()?; // [n, outputs]
        let back = (lengths.recip()? * GAIN)?;
        let y = self.convolution.forward(&Modulation::default().forward(x, &scales)?)?;
        Ok(self.after.forward(&y, &back)?)
    }
}

/// What makes colours of a map.
pub(crate) struct Colours {
    pub style: Style,
    pub convolution: FrozenConv,
}

impl Colours {
    fn new(config: &StyleConfig, inputs: usize, params: &Params) -> Result<Self> {
        let spec = ConvSpec::conv(inputs, config.colours, 1, 1, 0);
        let (weight, bias) =
            (params.get("weight", &spec.weight_shape())?, params.get("bias", &[config.colours])?.detach());
        let convolution = FrozenConv::new(&spec, &weight.detach(), Some(&bias), Activation::None)?;
        Ok(Self { style: Style::new(config, inputs, &params.pp("style"))?, convolution })
    }

    fn forward(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let scaled = Modulation::default().forward(x, &self.style.forward(w)?)?;
        Ok(self.convolution.forward(&scaled)?)
    }
}

/// The synthesis network.
pub struct Synthesis {
    /// `[1, channels, 4, 4]`.
    pub(crate) constant: Tensor,
    /// One at 4 pixels, two at each other size.
    pub(crate) convolutions: Vec<Modulated>,
    /// One at each size.
    pub(crate) colours: Vec<Colours>,
    /// Of one channel.
    pub(crate) doubling: FrozenConv,
}

impl Synthesis {
    /// Takes the parameters that [`StyleConfig::parameters`] names. They never learn.
    ///
    /// # Errors
    /// When one is missing or has a wrong shape.
    pub fn new(config: &StyleConfig, params: &Params) -> Result<Self> {
        config.check().map_err(|wrong| Error::new(format!("The synthesis network is impossible: {wrong}.")))?;
        let convolution = |(i, place): (usize, Place)| Modulated::new(config, &place, &params.pp("convolutions").pp(i));
        let colours = |(i, &width): (usize, &usize)| Colours::new(config, width, &params.pp("colours").pp(i));
        let constant = params.get("constant", &[config.widths[0], 4, 4])?.detach().unsqueeze(0)?;
        let kernel = FILTER.iter().flat_map(|a| FILTER.map(|b| a * b)).collect::<Vec<f32>>();
        let kernel = Tensor::from_vec(kernel, (1, 1, 4, 4), constant.device())?;
        let spec = ConvSpec::transposed(1, 1, 4, 2, 1);
        Ok(Self {
            convolutions: config.places().into_iter().enumerate().map(convolution).collect::<Result<_>>()?,
            colours: config.widths.iter().enumerate().map(colours).collect::<Result<_>>()?,
            doubling: FrozenConv::new(&spec, &kernel, None, Activation::None)?,
            constant,
        })
    }

    /// All convolutions of maps.
    pub(crate) fn all_convolutions(&self) -> impl Iterator<Item = &FrozenConv> {
        let modulated = self.convolutions.iter().map(|modulated| &modulated.convolution);
        modulated.chain(self.colours.iter().map(|colours| &colours.convolution)).chain([&self.doubling])
    }

    /// Styles `[n, style, 1, 1]` to pictures `[n, colours, s, s]`.
    ///
    /// # Errors
    /// When the styles have another length.
    pub fn forward(&self, w: &Tensor) -> Result<Tensor> {
        let w = w.flatten_from(1)?;
        let n = w.dim(0)?;
        let mut x = self.constant.repeat((n, 1, 1, 1))?;
        let mut convolutions = self.convolutions.iter();
        let mut picture: Option<Tensor> = None;
        for (level, colours) in self.colours.iter().enumerate() {
            for convolution in convolutions.by_ref().take(if level == 0 { 1 } else { 2 }) {
                x = convolution.forward(&x, &w)?;
            }
            let drawn = colours.forward(&x, &w)?;
            picture = Some(match picture {
                Some(coarse) => (self.doubled(&coarse)? + drawn)?,
                None => drawn,
            });
        }
        picture.ok_or_else(|| Error::new("A synthesis network without layers draws nothing."))
    }

    /// Twice the size, through the low-pass filter, zeros beyond the border.
    fn doubled(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let planes = self.doubling.forward(&x.reshape((n * c, 1, h, w))?)?;
        Ok(planes.reshape((n, c, 2 * h, 2 * w))?)
    }
}

/// The kernels `[inputs, outputs, 6, 6]` of the transposed convolution that does what the one of 3x3 kernels
/// `[outputs, inputs, 3, 3]` and the low-pass filter do together.
fn filtered(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, ..) = weight.dims4()?;
    let from: Vec<f32> = weight.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
    let mut to = vec![0.0; 36 * inputs * outputs];
    for (pair, kernel) in from.chunks_exact(9).enumerate() {
        let sums = &mut to[((pair % inputs) * outputs + pair / inputs) * 36..][..36];
        for (i, value) in kernel.iter().enumerate() {
            for (j, (a, b)) in FILTER.iter().flat_map(|a| FILTER.iter().map(move |b| (a, b))).enumerate() {
                sums[(i / 3 + j / 4) * 6 + i % 3 + j % 4] += value * a * b;
            }
        }
    }
    Ok(Tensor::from_vec(to, (inputs, outputs, 6, 6), weight.device())?)
}
