//! The generator G: DCGAN's (Radford et al., ICLR 2016), as in the well-known PyTorch example, whose checkpoints load, or
//! any sequence of layers.

use super::in_parts::InParts;
use super::layers::{ConvBlock, Statistics};
use super::sequence::{Layer, Sequence, drawn, map_values};
use super::weights::Initialiser;
use super::{Params, Weights};
use crate::ops::{Activation, ConvSpec, FrozenConv};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Values of maps that are kept at once for a gradient, at most: more pictures are then computed in parts.
pub(crate) const MAPS_AT_ONCE: usize = 1 << 28;

/// The shape of a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GeneratorConfig {
    /// nz: values in a latent code.
    pub latent: usize,
    /// f: channels of DCGAN's last hidden layer; 0 for another sequence of layers.
    pub width: usize,
    /// Channels of the picture.
    pub channels: usize,
    /// Rows and columns of the picture; DCGAN's has 32, 64 or 128.
    pub size: usize,
    /// The layers of a generator that is not DCGAN's; none for DCGAN's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self { latent: 100, width: 64, channels: 3, size: 64, layers: Vec::new() }
    }
}

impl GeneratorConfig {
    /// The generator that is this sequence of layers.
    ///
    /// # Errors
    /// When a layer does not fit what comes before it.
    pub fn of_layers(latent: usize, layers: Vec<Layer>) -> Result<Self> {
        let (channels, size) = drawn(&layers, latent)?;
        Ok(Self { latent, width: 0, channels, size, layers })
    }

    /// Whether this is DCGAN's, which this program also trains.
    pub fn is_dcgan(&self) -> bool {
        self.layers.is_empty()
    }

    /// Checks that the layers draw pictures of this size from codes of this length.
    ///
    /// # Errors
    /// When they do not, or do not fit one another.
    pub(crate) fn check_layers(&self) -> Result<()> {
        if drawn(&self.layers, self.latent)? == (self.channels, self.size) {
            return Ok(());
        }
        Err(Error::new("The layers of the generator draw pictures of another size than it says."))
    }

    /// The convolutions of DCGAN from the latent code to the picture.
    ///
    /// # Errors
    /// When the size is none of 32, 64, 128, or another number is zero, or this is not DCGAN's generator.
    fn dcgan(&self) -> Result<Vec<ConvSpec>> {
        if !self.is_dcgan() {
            return Err(Error::new("Only DCGAN's generator can be made anew; an imported one is used as it is."));
        }
        let hidden = super::critic::halvings(self.size)? - 1;
        if [self.latent, self.width, self.channels].contains(&0) {
            return Err(Error::new("A generator needs a latent code, a width and channels of at least 1."));
        }
        let mut layers = Vec::new();
        let mut previous = self.latent;
        for i in 0..hidden {
            let channels = self.width << (hidden - 1 - i);
            let (stride, padding) = if i == 0 { (1, 0) } else { (2, 1) };
            layers.push(ConvSpec::transposed(previous, channels, 4, stride, padding));
            previous = channels;
        }
        layers.push(ConvSpec::transposed(previous, self.channels, 4, 2, 1));
        Ok(layers)
    }

    /// Random weights as DCGAN starts: N(0, 0.02) kernels, N(1, 0.02) scales.
    ///
    /// # Errors
    /// When the configuration is impossible.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        let mut start = Initialiser::new(seed, device);
        let layers = self.dcgan()?;
        for (i, spec) in layers.iter().enumerate() {
            start.normal(&format!("main.{}.weight", 3 * i), &spec.weight_shape(), 0.0, 0.02)?;
            if i + 1 < layers.len() {
                start.batch_norm(&format!("main.{}", 3 * i + 1), spec.outputs, 0.02)?;
            }
        }
        Ok(start.finish())
    }

    /// The configuration that fits a checkpoint under the names of the PyTorch example.
    ///
    /// # Errors
    /// When the tensors are not those of such a generator.
    pub fn of_weights(weights: &Weights) -> Result<Self> {
        let shape = |i: usize| weights.find(&format!("main.{}.weight", 3 * i)).map(|t| t.dims().to_vec());
        let count = (0..).take_while(|&i| shape(i).is_some()).count();
        match (shape(0), count.checked_sub(1).and_then(shape)) {
            (Some(first), Some(last)) if (4..=6).contains(&count) && first.len() == 4 && last.len() == 4 => {
                Ok(Self { latent: first[0], width: last[0], channels: last[1], size: 2 << count, ..Self::default() })
            }
            _ => Err(Error::new("The weights are not those of a DCGAN generator (main.0.weight, main.3.weight, ...).")),
        }
    }
}

/// G: latent codes to pictures of the domain X.
pub struct Generator {
    config: GeneratorConfig,
    body: Body,
}

enum Body {
    Dcgan(Vec<ConvBlock>),
    Sequence { sequence: Arc<Sequence>, at_once: usize },
}

impl Generator {
    /// DCGAN's generator from `main.0.weight`, `main.1.weight`, `main.1.running_mean`, ..., or another from
    /// `layers.0.weight`, ...
    ///
    /// # Errors
    /// When a parameter is missing or has a wrong shape.
    pub fn new(config: &GeneratorConfig, params: &Params) -> Result<Self> {
        let body = if config.is_dcgan() { Self::dcgan(config, params)? } else { Self::sequence(config, params)? };
        Ok(Self { config: config.clone(), body })
    }

    fn dcgan(config: &GeneratorConfig, params: &Params) -> Result<Body> {
        let specs = config.dcgan()?;
        let build = |(i, spec): (usize, &ConvSpec)| {
            let conv = params.pp("main").pp(3 * i);
            if i + 1 == specs.len() {
                ConvBlock::new(spec, &conv, None, Activation::Tanh)
            } else {
                ConvBlock::new(spec, &conv, Some(&params.pp("main").pp(3 * i + 1)), Activation::Relu)
            }
        };
        Ok(Body::Dcgan(specs.iter().enumerate().map(build).collect::<Result<_>>()?))
    }

    fn sequence(config: &GeneratorConfig, params: &Params) -> Result<Body> {
        config.check_layers()?;
        let sequence = Arc::new(Sequence::new(&config.layers, params)?);
        let values = map_values(&config.layers, config.latent).max(1);
        Ok(Body::Sequence { sequence, at_once: (MAPS_AT_ONCE / values).max(1) })
    }

    /// The shape.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// The blocks of DCGAN's generator in order; `None` for another sequence of layers.
    pub fn blocks(&self) -> Option<Vec<&ConvBlock>> {
        match &self.body {
            Body::Dcgan(blocks) => Some(blocks.iter().collect()),
            Body::Sequence { .. } => None,
        }
    }

    /// The layers of a generator that is not DCGAN's.
    pub(crate) fn layers(&self) -> Option<&Sequence> {
        match &self.body {
            Body::Dcgan(_) => None,
            Body::Sequence { sequence, .. } => Some(sequence),
        }
    }

    /// All convolutions, by which the generator can be told from others; `None` where they learn, or draw no part of what
    /// is computed.
    pub(crate) fn convolutions(&self) -> Option<Vec<&FrozenConv>> {
        match &self.body {
            Body::Dcgan(blocks) => blocks.iter().map(ConvBlock::frozen).collect(),
            Body::Sequence { sequence, .. } => sequence.convolutions(),
        }
    }

    /// Latent codes `[n, nz]` to pictures `[n, c, s, s]` in [-1, 1].
    ///
    /// # Errors
    /// When the codes have another length.
    pub fn forward(&self, z: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let mut x = z.reshape((z.dim(0)?, self.config.latent, 1, 1))?;
        match &self.body {
            Body::Dcgan(blocks) => {
                for block in blocks {
                    x = block.forward(&x, statistics)?;
                }
                Ok(x)
            }
            Body::Sequence { sequence, at_once } if x.dim(0)? > *at_once && x.device().is_cpu() => {
                let GeneratorConfig { channels, size, .. } = self.config;
                let sequence = sequence.clone();
                let draw = move |z: &Tensor| sequence.forward(z, Statistics::Running);
                Ok(x.contiguous()?.apply_op1(InParts::new(draw, *at_once, [channels, size, size]))?)
            }
            Body::Sequence { sequence, .. } => sequence.forward(&x, statistics),
        }
    }

    /// The codes that become of values of N(0, I), `[n, nz]` both: the values themselves, but for a generator whose codes
    /// have a distribution of their own (StyleGAN2's w).
    ///
    /// # Errors
    /// When there are not nz values for each.
    pub fn codes(&self, normals: &Tensor) -> Result<Tensor> {
        match &self.body {
            Body::Dcgan(_) => Ok(normals.clone()),
            Body::Sequence { sequence, .. } => {
                Ok(sequence.codes(&normals.reshape((normals.dim(0)?, self.config.latent, 1, 1))?)?.flatten_from(1)?)
            }
        }
    }
}
