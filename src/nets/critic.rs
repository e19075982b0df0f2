//! The critic D, the mirror of the generator: plain (DCGAN) or with spectral normalisation (SN-GAN: Miyato et al.,
//! ICLR 2018). Its body is also the encoder of VAE-NAM.

use super::layers::{ConvBlock, Statistics, TrainingLayer};
use super::spectral::SpectralConv;
use super::weights::Initialiser;
use super::{Params, Weights};
use crate::ops::{Activation, ConvSpec};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// The shape of a critic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CriticConfig {
    /// Values that come out.
    pub outputs: usize,
    /// f: channels of the first layer.
    pub width: usize,
    /// Channels of the picture or map.
    pub channels: usize,
    /// Rows and columns of the picture: 32, 64 or 128; or of a map of features, 8 or 16.
    pub size: usize,
    /// Spectral normalisation in place of batch normalisation.
    pub spectral: bool,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self { outputs: 1, width: 64, channels: 3, size: 64, spectral: false }
    }
}

/// How often a picture of this size is halved on the way to 4x4, plus one for the last step to 1x1.
pub(super) fn halvings(size: usize) -> Result<usize> {
    match size {
        32 => Ok(4),
        64 => Ok(5),
        128 => Ok(6),
        _ => Err(Error::new(format!("Networks are built for pictures of 32, 64 or 128 pixels, not {size}."))),
    }
}

impl CriticConfig {
    /// The convolutions with the index of each in the sequence and of its normalisation, if it has one.
    fn layers(&self) -> Result<Vec<(ConvSpec, usize, Option<usize>)>> {
        let hidden = match self.size {
            8 => 1,
            16 => 2,
            size => halvings(size)? - 1,
        };
        if [self.outputs, self.width, self.channels].contains(&0) {
            return Err(Error::new("A critic needs outputs, a width and channels of at least 1."));
        }
        let mut layers = Vec::new();
        let (mut previous, mut index) = (self.channels, 0);
        for i in 0..hidden {
            let norm = (i > 0 && !self.spectral).then_some(index + 1);
            layers.push((ConvSpec::conv(previous, self.width << i, 4, 2, 1), index, norm));
            previous = self.width << i;
            index += 2 + usize::from(norm.is_some());
        }
        layers.push((ConvSpec::conv(previous, self.outputs, 4, 1, 0), index, None));
        Ok(layers)
    }

    /// Random weights as DCGAN starts: N(0, 0.02) kernels, N(1, 0.02) scales. The layers of a spectral critic have biases,
    /// 0 at first: no normalisation shifts their values, and without biases D(a x) = a D(x), which cannot tell a dim
    /// picture from a bright one.
    ///
    /// # Errors
    /// When the configuration is impossible.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        let mut start = Initialiser::new(seed, device);
        for (spec, index, norm) in self.layers()? {
            start.normal(&format!("main.{index}.weight"), &spec.weight_shape(), 0.0, 0.02)?;
            if let Some(norm) = norm {
                start.batch_norm(&format!("main.{norm}"), spec.outputs, 0.02)?;
            }
            if self.spectral {
                start.constant(&format!("main.{index}.bias"), &[spec.outputs], 0.0)?;
                start.normal(&format!("main.{index}.u"), &[spec.outputs], 0.0, 1.0)?;
            }
        }
        Ok(start.finish())
    }
}

enum Step {
    Block(ConvBlock),
    Spectral(SpectralConv),
}

/// D: pictures to `outputs` values each.
pub struct Critic {
    config: CriticConfig,
    layers: Vec<Step>,
}

impl Critic {
    /// A critic from `main.0.weight`, `main.2.weight`, `main.3.weight`, ... (spectral: `main.0.weight`,
    /// `main.0.bias`, `main.0.u`, `main.2.weight`, ...).
    ///
    /// # Errors
    /// When a parameter is missing or has a wrong shape.
    pub fn new(config: &CriticConfig, params: &Params) -> Result<Self> {
        let specs = config.layers()?;
        let count = specs.len();
        let build = |(i, (spec, index, norm)): (usize, &(ConvSpec, usize, Option<usize>))| {
            let activation = if i + 1 == count { Activation::None } else { Activation::LeakyRelu(0.2) };
            let main = params.pp("main");
            let conv = main.pp(index);
            if config.spectral {
                Ok(Step::Spectral(SpectralConv::new(spec, &conv, activation)?))
            } else {
                let norm = norm.map(|norm| main.pp(norm));
                Ok(Step::Block(ConvBlock::new(spec, &conv, norm.as_ref(), activation)?))
            }
        };
        Ok(Self { config: config.clone(), layers: specs.iter().enumerate().map(build).collect::<Result<_>>()? })
    }

    /// The shape.
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }

    /// What the layers consist of in training; `None` where one is frozen.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn training_layers(&self) -> Result<Option<Vec<TrainingLayer>>> {
        let layer = |step: &Step| match step {
            Step::Block(block) => Ok(block.layer()),
            Step::Spectral(conv) => conv.layer().map(Some),
        };
        self.layers.iter().map(layer).collect()
    }

    /// The layers in order; `None` where a layer is normalised by its spectrum.
    pub fn blocks(&self) -> Option<Vec<&ConvBlock>> {
        self.layers
            .iter()
            .map(|layer| match layer {
                Step::Block(block) => Some(block),
                Step::Spectral(_) => None,
            })
            .collect()
    }

    /// Pictures `[n, c, s, s]` to values `[n, outputs]`.
    ///
    /// # Errors
    /// When the pictures have another shape.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let (count, channels, rows, columns) = x.dims4()?;
        if count == 0 || channels != self.config.channels || rows != self.config.size || columns != self.config.size {
            let (channels, size) = (self.config.channels, self.config.size);
            return Err(Error::new(format!(
                "Pictures of the shape {:?} do not fit a network that takes [n, {channels}, {size}, {size}].",
                x.dims()
            )));
        }
        let mut h = x.clone();
        for layer in &self.layers {
            h = match layer {
                Step::Block(block) => block.forward(&h, statistics)?,
                Step::Spectral(conv) => conv.forward(&h)?,
            };
        }
        Ok(h.flatten_from(1)?)
    }

    /// One power iteration in every spectrally normalised layer: once a training step, before it.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn iterate_power(&self) -> Result<()> {
        self.layers.iter().try_for_each(|layer| match layer {
            Step::Spectral(conv) => conv.iterate_power(),
            Step::Block(_) => Ok(()),
        })
    }
}
