//! The parameters that each network has by its configuration, so that a file can be checked before it is read.

use crate::nets::PerceptualKind;
use crate::nets::sampler::Sampler;
use crate::nets::sequence::parameters;
use crate::nets::{EncoderConfig, GeneratorConfig, JudgeConfig, MappingConfig, PerceptualConfig, Weights};
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;

/// A network's configuration as a file holds it.
pub trait Network: Serialize + DeserializeOwned + Clone {
    /// What the names of its tensors begin with in a model file.
    const PREFIX: &'static str;
    /// What it is called in sentences.
    const NAME: &'static str;
    /// The stage of training that makes it, as records call it.
    const STAGE: &'static str;

    /// The names and shapes of all its parameters.
    ///
    /// # Errors
    /// When there is no such network, or it would be larger than any that this program makes.
    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>>;

    /// The configuration that weights without a manifest have.
    ///
    /// # Errors
    /// When they are not those of such a network.
    fn of_weights(weights: &Weights) -> Result<Self>;
}

/// Refuses numbers outside a range, with a sentence that names them.
pub(super) fn check_range(name: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::new(format!("{name} is {value}; it must be from {} to {}.", range.start(), range.end())))
}

/// Checks what generators, mappings and encoders have in common; the number of halvings from `size` to 4.
fn check_square(size: usize, width: usize, channels: usize) -> Result<usize> {
    check_range("channels", channels, 1..=4)?;
    check_range("width", width, 1..=512)?;
    match size {
        32 => Ok(3),
        64 => Ok(4),
        128 => Ok(5),
        _ => Err(Error::new(format!("size is {size}; it must be 32, 64 or 128."))),
    }
}

fn normalisation(shapes: &mut Vec<(String, Vec<usize>)>, name: &str, channels: usize) {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        shapes.push((format!("{name}.{part}"), vec![channels]));
    }
}

impl Network for GeneratorConfig {
    const PREFIX: &'static str = "generator.";
    const NAME: &'static str = "generator";
    const STAGE: &'static str = "prior";

    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        check_range("latent", self.latent, 1..=4096)?;
        if !self.is_dcgan() {
            check_range("channels", self.channels, 1..=4)?;
            self.check_layers()?;
            return Ok(parameters(&self.layers));
        }
        let hidden = check_square(self.size, self.width, self.channels)?;
        let (mut shapes, mut previous) = (Vec::new(), self.latent);
        for i in 0..hidden {
            let channels = self.width << (hidden - 1 - i);
            shapes.push((format!("main.{}.weight", 3 * i), vec![previous, channels, 4, 4]));
            normalisation(&mut shapes, &format!("main.{}", 3 * i + 1), channels);
            previous = channels;
        }
        shapes.push((format!("main.{}.weight", 3 * hidden), vec![previous, self.channels, 4, 4]));
        Ok(shapes)
    }

    fn of_weights(weights: &Weights) -> Result<Self> {
        Self::of_weights(weights)
    }
}

impl Network for MappingConfig {
    const PREFIX: &'static str = "mapping.";
    const NAME: &'static str = "mapping";
    const STAGE: &'static str = "mapping";

    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        check_square(self.size, self.width, self.inputs)?;
        check_range("channels", self.outputs, 1..=4)?;
        let (mut shapes, mut previous) = (Vec::new(), 0);
        for (i, filters) in self.filters()?.into_iter().enumerate() {
            shapes.push((format!("scales.{i}.conv.weight"), vec![filters, previous + self.inputs, 3, 3]));
            normalisation(&mut shapes, &format!("scales.{i}.norm"), filters);
            previous = filters;
        }
        shapes.push(("head.weight".to_owned(), vec![self.outputs, previous, 3, 3]));
        if self.source > 0 {
            check_range("source", self.source, 8..=1024)?;
            shapes.extend(Sampler::parameters().map(|(name, shape)| (format!("sampler.{name}"), shape)));
        }
        Ok(shapes)
    }

    fn of_weights(weights: &Weights) -> Result<Self> {
        Self::of_weights(weights, false)
    }
}

impl Network for EncoderConfig {
    const PREFIX: &'static str = "encoder.";
    const NAME: &'static str = "encoder";
    const STAGE: &'static str = "encoder";

    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let hidden = check_square(self.size, self.width, self.channels)?;
        check_range("latent", self.latent, 1..=4096)?;
        let (mut shapes, mut previous, mut index) = (Vec::new(), self.channels, 0);
        for i in 0..hidden {
            let channels = self.width << i;
            shapes.push((format!("main.{index}.weight"), vec![channels, previous, 4, 4]));
            if i > 0 {
                normalisation(&mut shapes, &format!("main.{}", index + 1), channels);
            }
            index += if i > 0 { 3 } else { 2 };
            previous = channels;
        }
        shapes.push((format!("main.{index}.weight"), vec![2 * self.latent, previous, 4, 4]));
        Ok(shapes)
    }

    fn of_weights(weights: &Weights) -> Result<Self> {
        let foreign = || Error::new("The weights are not those of an encoder (main.0.weight, main.2.weight, ...).");
        let shape = |index: usize| weights.find(&format!("main.{index}.weight")).map(|tensor| tensor.dims().to_vec());
        let first = shape(0).filter(|first| first.len() == 4).ok_or_else(foreign)?;
        let convolutions = std::iter::once(0).chain((0..).map(|i| 2 + 3 * i));
        let last = convolutions.map_while(shape).filter(|shape| shape.len() == 4).collect::<Vec<_>>();
        let size = 1 << (last.len() + 1);
        let latent = last.last().ok_or_else(foreign)?[0] / 2;
        let config = Self { latent, width: first[0], channels: first[1], size, variational: true };
        config.shapes().map(|_| config).map_err(|_| foreign())
    }
}

impl Network for PerceptualConfig {
    const PREFIX: &'static str = "perceptual.";
    const NAME: &'static str = "perceptual network";
    const STAGE: &'static str = "student";

    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        if self.kind == PerceptualKind::SqueezeNet {
            return Ok(squeezenet());
        }
        check_range("convolutions of the perceptual network", self.widths.len(), 1..=self.kind.convolutions().len())?;
        let (mut shapes, mut previous) = (Vec::new(), 3);
        if self.kind == PerceptualKind::VggNormalised {
            shapes.extend([("0.weight".to_owned(), vec![3, 3, 1, 1]), ("0.bias".to_owned(), vec![3])]);
        }
        for ((name, _), &width) in self.kind.convolutions().iter().zip(&self.widths) {
            check_range("width of the perceptual network", width, 1..=2048)?;
            shapes.push((format!("{name}.weight"), vec![width, previous, 3, 3]));
            shapes.push((format!("{name}.bias"), vec![width]));
            previous = width;
        }
        Ok(shapes)
    }

    fn of_weights(weights: &Weights) -> Result<Self> {
        Self::of_weights(weights)
    }
}

impl Network for JudgeConfig {
    const PREFIX: &'static str = "judge.";
    const NAME: &'static str = "judge";
    const STAGE: &'static str = "judge";

    fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        check_square(self.size, self.width, self.channels)?;
        check_range("outputs", self.outputs, 1..=1000)?;
        let mut shapes = Vec::new();
        for (i, spec) in self.stages()?.iter().flatten().enumerate() {
            shapes.push((format!("body.{i}.conv.weight"), spec.weight_shape().to_vec()));
            normalisation(&mut shapes, &format!("body.{i}.norm"), spec.outputs);
        }
        shapes.push(("head.weight".to_owned(), self.head().weight_shape().to_vec()));
        shapes.push(("head.bias".to_owned(), vec![self.outputs]));
        Ok(shapes)
    }

    fn of_weights(_: &Weights) -> Result<Self> {
        Err(Error::new("A judge is known by its manifest alone; use a file that `train judge` wrote."))
    }
}

/// SqueezeNet 1.0 up to fire9.
fn squeezenet() -> Vec<(String, Vec<usize>)> {
    let mut shapes = vec![("conv1.weight".to_owned(), vec![96, 3, 7, 7]), ("conv1.bias".to_owned(), vec![96])];
    let mut previous = 96;
    for (number, narrow) in (2..=9).zip([16, 16, 32, 32, 48, 48, 64, 64]) {
        let blocks = [("conv1x1_1", narrow, previous, 1), ("conv1x1_2", 4 * narrow, narrow, 1)];
        for (name, outputs, inputs, kernel) in blocks.into_iter().chain([("conv3x3_2", 4 * narrow, narrow, 3)]) {
            let name = format!("fire{number}/{name}");
            shapes.push((format!("{name}.weight"), vec![outputs, inputs, kernel, kernel]));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        }
        previous = 8 * narrow;
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::collections::BTreeMap;

    fn same(config: &impl Network, weights: &Weights) {
        let listed: BTreeMap<String, Vec<usize>> = config.shapes().unwrap().into_iter().collect();
        let made = weights.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect();
        assert_eq!(listed, made);
    }

    #[test]
    fn shapes_are_those_of_the_networks() {
        for (size, width) in [(32, 2), (64, 3), (128, 2)] {
            let generator = GeneratorConfig { latent: 5, width, channels: 3, size, layers: Vec::new() };
            let weights = generator.initial_weights(1, &Device::Cpu).unwrap();
            same(&generator, &weights);
            assert_eq!(<GeneratorConfig as Network>::of_weights(&weights).unwrap(), generator);
            let mapping = MappingConfig { width, inputs: 3, outputs: 1, size, skip: false, source: size - 4 };
            same(&mapping, &mapping.initial_weights(1, &Device::Cpu).unwrap());
            let encoder = EncoderConfig { latent: 5, width, channels: 1, size, variational: true };
            let weights = encoder.initial_weights(1, &Device::Cpu).unwrap();
            same(&encoder, &weights);
            assert_eq!(EncoderConfig::of_weights(&weights).unwrap(), encoder);
        }
        let judge = JudgeConfig { width: 2, ..JudgeConfig::default() };
        same(&judge, &judge.initial_weights(1, &Device::Cpu).unwrap());
        let student = PerceptualConfig::default();
        same(&student, &student.initial_weights(1, &Device::Cpu).unwrap());
    }

    #[test]
    fn monstrous_networks_are_refused() {
        assert!(GeneratorConfig { width: usize::MAX, ..Default::default() }.shapes().is_err());
        assert!(GeneratorConfig { latent: 1 << 60, ..Default::default() }.shapes().is_err());
        assert!(GeneratorConfig { size: 48, ..Default::default() }.shapes().is_err());
        assert!(MappingConfig { outputs: 0, ..Default::default() }.shapes().is_err());
        assert!(MappingConfig { width: usize::MAX, ..Default::default() }.shapes().is_err());
        assert!(EncoderConfig { channels: 9, ..Default::default() }.shapes().is_err());
        assert!(PerceptualConfig { widths: vec![usize::MAX; 6], ..Default::default() }.shapes().is_err());
    }
}
