//! The mapping T from X to Y: the CRN-like pyramid network of NAM (Hoshen & Wolf, ECCV 2018, after Chen & Koltun).

use super::sampler::Sampler;
use super::weights::Initialiser;
use super::{ConvBlock, Params, Statistics, Weights};
use crate::ops::{self, Activation, ConvSpec};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// How far from the identity a mapping with a skip starts: the share that its head's weights have of the usual ones. From
/// there codes find what looks like y before T has learned anything; a random T draws blurs that no code can mend.
const NEAR_IDENTITY: f64 = 0.01;

const LEAKY: Activation = Activation::LeakyRelu(0.2);

/// The shape of a mapping: F, the channels on both sides, and the size of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MappingConfig {
    /// F, the filters of the finest scale.
    pub width: usize,
    /// Channels of X.
    pub inputs: usize,
    /// Channels of Y.
    pub outputs: usize,
    /// Pixels a side: 32, 64 or 128.
    pub size: usize,
    /// Whether G(z) is added to the output (car2car, shoes to handbags).
    pub skip: bool,
    /// Pixels a side of the pictures of X where these are others than T's, which a fitted sampler then brings to T's
    /// size; 0 where they are the same.
    #[serde(skip_serializing_if = "is_zero")]
    pub source: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Default for MappingConfig {
    /// 64 pixels a side in colour, F = 32: 401 856 parameters.
    fn default() -> Self {
        Self { width: 32, inputs: 3, outputs: 3, size: 64, skip: false, source: 0 }
    }
}

impl MappingConfig {
    /// The filters of every scale, the coarsest (4x4) first.
    ///
    /// # Errors
    /// When there is no such mapping for this size, or a number is zero.
    pub fn filters(&self) -> Result<Vec<usize>> {
        let plan: &[usize] = match self.size {
            32 => &[4, 3, 2, 1],
            64 => &[4, 4, 4, 2, 1],
            128 => &[4, 4, 4, 4, 2, 1],
            size => return Err(Error::new(format!("A mapping works at 32, 64 or 128 pixels, not at {size}."))),
        };
        if self.width == 0 || self.inputs == 0 || self.outputs == 0 {
            return Err(Error::new("A mapping needs at least one filter and one channel on each side."));
        }
        if self.skip && self.inputs != self.outputs {
            return Err(Error::new(
                "A mapping that adds its input to its output needs as many channels on both sides.",
            ));
        }
        Ok(plan.iter().map(|share| share * self.width).collect())
    }

    /// Pixels a side of the pictures of X.
    pub fn source_size(&self) -> usize {
        if self.source == 0 { self.size } else { self.source }
    }

    /// Reads the shape off the weights; whether there is a skip is not written in them.
    ///
    /// # Errors
    /// When these are not the weights of a mapping.
    pub fn of_weights(weights: &Weights, skip: bool) -> Result<Self> {
        let shape = |name: &str| weights.find(name).map(|tensor| tensor.dims().to_vec());
        let scales = (0..).take_while(|i| shape(&format!("scales.{i}.conv.weight")).is_some()).count();
        let foreign = || Error::new("These are not the weights of a mapping: `scales` and `head` are missing.");
        let (Some(first), Some(head)) = (shape("scales.0.conv.weight"), shape("head.weight")) else {
            return Err(foreign());
        };
        if !(4..=6).contains(&scales) || first.len() != 4 || head.len() != 4 {
            return Err(foreign());
        }
        let size = 4 << (scales - 1);
        Ok(Self { width: head[1], inputs: first[1], outputs: head[0], size, skip, source: 0 })
    }

    fn spec(inputs: usize, outputs: usize) -> ConvSpec {
        ConvSpec::conv(inputs, outputs, 3, 1, 1)
    }

    /// Xavier-normal weights of gain sqrt 2, normalisation that changes nothing; with a skip a head of small weights, so
    /// that T starts near the identity.
    ///
    /// # Errors
    /// When there is no such mapping.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        let mut start = Initialiser::new(seed, device);
        let xavier = |start: &mut Initialiser, name: &str, inputs: usize, outputs: usize| {
            let deviation = 2f32.sqrt() * (2.0 / (9 * (inputs + outputs)) as f32).sqrt();
            start.normal(name, &[outputs, inputs, 3, 3], 0.0, deviation)
        };
        let mut previous = 0;
        for (i, filters) in self.filters()?.into_iter().enumerate() {
            xavier(&mut start, &format!("scales.{i}.conv.weight"), previous + self.inputs, filters)?;
            start.batch_norm(&format!("scales.{i}.norm"), filters, 0.0)?;
            previous = filters;
        }
        xavier(&mut start, "head.weight", previous, self.outputs)?;
        if self.source > 0 {
            Sampler::start("sampler", &mut start, device)?;
        }
        let mut weights = start.finish();
        if self.skip {
            let head = weights.find("head.weight").map(|head| head * NEAR_IDENTITY).transpose()?;
            head.into_iter().for_each(|head| weights.insert("head.weight", head));
        }
        Ok(weights)
    }
}

/// T: an image of X to an image of Y.
pub struct Mapping {
    config: MappingConfig,
    scales: Vec<ConvBlock>,
    head: ConvBlock,
    sampler: Option<Sampler>,
}

impl Mapping {
    /// Takes the weights `scales.<i>.conv.weight`, `scales.<i>.norm.*` (the coarsest scale first) and `head.weight`;
    /// `sampler.*` where pictures of X have another size.
    ///
    /// # Errors
    /// When a weight is missing or its shape does not fit.
    pub fn new(config: &MappingConfig, params: &Params) -> Result<Self> {
        let mut scales = Vec::new();
        let mut previous = 0;
        for (i, filters) in config.filters()?.into_iter().enumerate() {
            let scale = params.pp(format!("scales.{i}"));
            let spec = MappingConfig::spec(previous + config.inputs, filters);
            scales.push(ConvBlock::new(&spec, &scale.pp("conv"), Some(&scale.pp("norm")), LEAKY)?);
            previous = filters;
        }
        // The published networks end in tanh at 32 pixels only; with a skip the sum goes through it.
        let last = if config.size == 32 && !config.skip { Activation::Tanh } else { Activation::None };
        let head = ConvBlock::new(&MappingConfig::spec(previous, config.outputs), &params.pp("head"), None, last)?;
        let sampler = (config.source > 0).then(|| Sampler::new(config.source, config.size, &params.pp("sampler")));
        Ok(Self { config: *config, scales, head, sampler: sampler.transpose()? })
    }

    /// The shape of this mapping.
    pub fn config(&self) -> &MappingConfig {
        &self.config
    }

    /// The convolution of every scale, the coarsest first, and the last one.
    pub fn layers(&self) -> (&[ConvBlock], &ConvBlock) {
        (&self.scales, &self.head)
    }

    /// What brings pictures of another size to T's.
    pub fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_ref()
    }

    /// `[n, inputs, size, size]` (or pixels as [`MappingConfig::source`]) to `[n, outputs, size, size]`.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let x = &match &self.sampler {
            Some(sampler) => sampler.forward(x)?,
            None => x.clone(),
        };
        let mut pyramid = vec![x.clone()];
        while pyramid.len() < self.scales.len() {
            pyramid.push(ops::avg_pool2(&pyramid[pyramid.len() - 1])?);
        }
        let mut state: Option<Tensor> = None;
        for (scale, image) in self.scales.iter().zip(pyramid.iter().rev()) {
            let input = match &state {
                None => image.clone(),
                Some(coarse) => Tensor::cat(&[&ops::upsample_bilinear2(coarse)?, image], 1)?,
            };
            state = Some(scale.forward(&input, statistics)?); // [n, filters, 4 << i, 4 << i]
        }
        let state = state.ok_or_else(|| Error::new("A mapping without scales maps nothing."))?;
        let y = self.head.forward(&state, statistics)?;
        if !self.config.skip {
            return Ok(y);
        }
        let y = (y + x)?;
        Ok(if self.config.size == 32 { ops::activate(&y, Activation::Tanh)? } else { y })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(config: MappingConfig) -> usize {
        let weights = config.initial_weights(1, &Device::Cpu).unwrap();
        weights.iter().filter(|(name, _)| !name.contains("running")).map(|(_, tensor)| tensor.elem_count()).sum()
    }

    #[test]
    fn parameters_are_those_of_the_papers() {
        assert_eq!(count(MappingConfig { width: 8, size: 32, ..MappingConfig::default() }), 14_056);
        assert_eq!(count(MappingConfig::default()), 401_856);
    }

    #[test]
    fn every_size_keeps_the_image_size() {
        for size in [32, 64, 128] {
            let config = MappingConfig { width: 2, size, outputs: 1, ..MappingConfig::default() };
            let weights = config.initial_weights(3, &Device::Cpu).unwrap();
            assert_eq!(MappingConfig::of_weights(&weights, false).unwrap(), config);
            let mapping = Mapping::new(&config, &Params::frozen(weights)).unwrap();
            let x = Tensor::randn(0f32, 0.5, (2, 3, size, size), &Device::Cpu).unwrap();
            assert_eq!(mapping.forward(&x, Statistics::Running).unwrap().dims(), [2, 1, size, size]);
        }
    }

    #[test]
    fn pictures_of_another_size_are_brought_to_the_mappings() {
        let config = MappingConfig { width: 2, size: 32, outputs: 1, source: 80, ..MappingConfig::default() };
        let weights = config.initial_weights(3, &Device::Cpu).unwrap();
        let mapping = Mapping::new(&config, &Params::frozen(weights.clone())).unwrap();
        let x = Tensor::randn(0f32, 0.5, (2, 3, 80, 80), &Device::Cpu).unwrap();
        let y = mapping.forward(&x, Statistics::Running).unwrap();
        assert_eq!(y.dims(), [2, 1, 32, 32]);
        let small = mapping.sampler().unwrap().forward(&x).unwrap();
        let plain = Mapping::new(&MappingConfig { source: 0, ..config }, &Params::frozen(weights)).unwrap();
        let wanted = plain.forward(&small, Statistics::Running).unwrap();
        assert_eq!(
            y.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }

    #[test]
    fn a_skip_adds_the_input() {
        let config = MappingConfig { width: 2, size: 64, skip: true, ..MappingConfig::default() };
        let mut weights = config.initial_weights(3, &Device::Cpu).unwrap();
        weights.insert("head.weight", Tensor::zeros((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap());
        let mapping = Mapping::new(&config, &Params::frozen(weights)).unwrap();
        let x = Tensor::randn(0f32, 0.5, (1, 3, 64, 64), &Device::Cpu).unwrap();
        let y = mapping.forward(&x, Statistics::Running).unwrap();
        let difference = (y - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(difference, 0.0);
    }

    #[test]
    fn a_mapping_with_a_skip_starts_near_the_identity() {
        let config = MappingConfig { width: 4, skip: true, ..MappingConfig::default() };
        let weights = config.initial_weights(3, &Device::Cpu).unwrap();
        let mapping = Mapping::new(&config, &Params::frozen(weights)).unwrap();
        let x = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu).unwrap();
        let moved = (mapping.forward(&x, Statistics::Batch).unwrap() - &x).unwrap().abs().unwrap();
        let most = moved.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(most > 0.0 && most < 0.3, "{most}");
    }

    #[test]
    fn senseless_shapes_are_refused() {
        assert!(MappingConfig { size: 48, ..MappingConfig::default() }.filters().is_err());
        assert!(MappingConfig { width: 0, ..MappingConfig::default() }.filters().is_err());
        assert!(MappingConfig { outputs: 1, skip: true, ..MappingConfig::default() }.filters().is_err());
        assert!(MappingConfig::of_weights(&Weights::default(), false).is_err());
    }
}
