//! What the perceptual networks are made of.

use super::Params;
use super::layers::{ConvBlock, Statistics};
use crate::Result;
use crate::ops::{self, Activation, ConvSpec, FrozenConv};
use candle_core::{D, Device, Tensor};

/// One step from an image to its features.
pub(crate) enum Layer {
    /// Colours, brought to what the network was trained on.
    Prepare(FrozenConv),
    /// A convolution with its ReLU.
    Convolution(ConvBlock),
    /// One pixel more on every side, mirrored at the border pixel.
    Reflect,
    /// The largest of every 2x2 square.
    Pool,
    /// The largest of 3x3 at every second pixel, the last squares cut off at the border (Caffe's rounding up).
    PoolOverlapping,
    /// SqueezeNet's module: 1x1 down, then 1x1 and 3x3 up side by side.
    Fire(Box<[ConvBlock; 3]>),
    /// The map here is a level.
    Level,
}

/// Runs the layers until `count` levels are found; nothing else is kept.
pub(super) fn run(layers: &[Layer], image: Tensor, count: usize) -> Result<Vec<Tensor>> {
    let mut levels = Vec::with_capacity(count);
    let mut x = image;
    for layer in layers {
        if levels.len() == count {
            break;
        }
        x = match layer {
            Layer::Prepare(conv) => conv.forward(&x)?,
            Layer::Convolution(block) => block.forward(&x, Statistics::Running)?,
            Layer::Reflect => reflect(&reflect(&x, 2)?, 3)?,
            Layer::Pool => ops::max_pool2(&x)?,
            Layer::PoolOverlapping => overlapping_maximum(&overlapping_maximum(&x, 2)?, 3)?,
            Layer::Fire(fire) => {
                let squeezed = fire[0].forward(&x, Statistics::Running)?;
                let one = fire[1].forward(&squeezed, Statistics::Running)?;
                Tensor::cat(&[one, fire[2].forward(&squeezed, Statistics::Running)?], 1)?
            }
            Layer::Level => {
                levels.push(x.clone());
                continue;
            }
        };
    }
    Ok(levels)
}

impl Layer {
    /// A convolution with its ReLU.
    pub(super) fn convolution(spec: &ConvSpec, params: &Params) -> Result<Self> {
        Ok(Self::Convolution(ConvBlock::new(spec, params, None, Activation::Relu)?))
    }

    /// SqueezeNet 1.0 up to fire9.
    pub(super) fn squeezenet(params: &Params) -> Result<Vec<Self>> {
        let device = params.get("conv1.bias", &[96])?.device().clone();
        let first = Self::convolution(&ConvSpec::conv(3, 96, 7, 2, 0), &params.pp("conv1"))?;
        let mut layers = vec![Preparation::Caffe(&device).layer()?, first, Self::Level, Self::PoolOverlapping];
        let mut previous = 96;
        for (number, narrow) in (2..=9).zip([16, 16, 32, 32, 48, 48, 64, 64]) {
            // Caffe's names have a slash where PyTorch's have a point.
            let fire = |name: &str| params.pp(format!("fire{number}/{name}"));
            let wide = 4 * narrow;
            let block = |name: &str, spec: ConvSpec| ConvBlock::new(&spec, &fire(name), None, Activation::Relu);
            layers.push(Self::Fire(Box::new([
                block("conv1x1_1", ConvSpec::conv(previous, narrow, 1, 1, 0))?,
                block("conv1x1_2", ConvSpec::conv(narrow, wide, 1, 1, 0))?,
                block("conv3x3_2", ConvSpec::conv(narrow, wide, 3, 1, 1))?,
            ])));
            match number {
                4 | 8 => layers.extend([Self::Level, Self::PoolOverlapping]),
                9 => layers.push(Self::Level),
                _ => {}
            }
            previous = 2 * wide;
        }
        Ok(layers)
    }
}

/// What colours in [-1, 1] are brought to.
pub(super) enum Preparation<'a> {
    /// [0, 1], minus ImageNet's mean, divided by its standard deviation.
    ImageNet(&'a Device),
    /// BGR from 0 to 255 minus ImageNet's mean, as Caffe's networks were trained.
    Caffe(&'a Device),
    /// [0, 1], then this 1x1 convolution (`[3, 3, 1, 1]` and `[3]`).
    UnitThen(&'a Tensor, &'a Tensor),
}

impl Preparation<'_> {
    /// All of it as one 1x1 convolution.
    pub(super) fn layer(&self) -> Result<Layer> {
        let (weight, bias) = match self {
            Self::ImageNet(device) => {
                let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
                matrix(|row, column| if row == column { 0.5 / deviation[row] } else { 0.0 }, device)
                    .and_then(|weight| Ok((weight, vector(|row| (0.5 - mean[row]) / deviation[row], device)?)))?
            }
            Self::Caffe(device) => {
                let mean = [104.0, 117.0, 123.0];
                matrix(|row, column| if row + column == 2 { 127.5 } else { 0.0 }, device)
                    .and_then(|weight| Ok((weight, vector(|row| 127.5 - mean[row], device)?)))?
            }
            Self::UnitThen(weight, bias) => {
                let half = (*weight * 0.5)?;
                let bias = (*bias + half.reshape((3, 3))?.sum(D::Minus1)?)?;
                (half, bias)
            }
        };
        let spec = ConvSpec::conv(3, 3, 1, 1, 0);
        Ok(Layer::Prepare(FrozenConv::new(&spec, &weight, Some(&bias), Activation::None)?))
    }
}

fn matrix(value: impl Fn(usize, usize) -> f32, device: &Device) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = (0..9).map(|i| value(i / 3, i % 3)).collect();
    Tensor::from_vec(values, (3, 3, 1, 1), device)
}

fn vector(value: impl Fn(usize) -> f32, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_vec((0..3).map(value).collect(), 3, device)
}

/// One pixel more at both ends of an axis, mirrored at the end pixel.
fn reflect(x: &Tensor, axis: usize) -> candle_core::Result<Tensor> {
    let length = x.dim(axis)?;
    Tensor::cat(&[&x.narrow(axis, 1, 1)?, x, &x.narrow(axis, length - 2, 1)?], axis)
}

/// The largest of three neighbours at every second place of an axis; beyond the end lies zero, which never wins over
/// what a ReLU gives.
fn overlapping_maximum(x: &Tensor, axis: usize) -> candle_core::Result<Tensor> {
    let length = x.dim(axis)?;
    let count = (length - 3).div_ceil(2) + 1;
    let x = if 2 * count + 1 > length { x.pad_with_zeros(axis, 0, 2 * count + 1 - length)? } else { x.clone() };
    let every_second = |first: usize| -> candle_core::Result<Tensor> {
        let places: Vec<u32> = (0..count).map(|i| (first + 2 * i) as u32).collect();
        x.index_select(&Tensor::new(places, x.device())?, axis)
    };
    every_second(0)?.maximum(&every_second(1)?)?.maximum(&every_second(2)?)
}
