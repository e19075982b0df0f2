//! Perceptual networks: features after several blocks of a frozen network, between which images are compared.
//!
//! VGG16 and VGG19 (Simonyan & Zisserman, ICLR 2015) under torchvision's names, the normalised VGG19 (Gatys et al.,
//! CVPR 2016) as style transfer uses it, SqueezeNet 1.0 (Iandola et al., 2016), and the small student that travels
//! inside a model file. A level is the map after the last ReLU of a block; widths are read from the weights.

pub(crate) use super::perceptual_layers::Layer;
use super::perceptual_layers::{Preparation, run};
use super::weights::Initialiser;
use super::{Params, Weights};
use crate::ops::ConvSpec;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Which perceptual network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerceptualKind {
    /// torchvision's `vgg16`: five levels (features 3, 8, 15, 22, 29).
    Vgg16,
    /// torchvision's `vgg19`: five levels (features 3, 8, 17, 26, 35).
    Vgg19,
    /// VGG19 up to conv3_1 with channels scaled to a mean activation of 1, its own colour preprocessing (`0`) and
    /// reflection padding: three levels.
    VggNormalised,
    /// SqueezeNet 1.0 with Caffe's preprocessing (BGR, 0 to 255, mean subtracted): four levels (conv1, fire4, fire8,
    /// fire9).
    SqueezeNet,
    /// The small network that is trained to reproduce another: three levels (features 3, 8, 13), no preprocessing.
    #[default]
    Student,
}

impl PerceptualKind {
    /// Convolutions in each block; after every block but the last come 2x2 maxima.
    fn blocks(self) -> &'static [usize] {
        match self {
            Self::Vgg16 => &[2, 2, 3, 3, 3],
            Self::Vgg19 => &[2, 2, 4, 4, 4],
            Self::VggNormalised => &[2, 2, 1],
            Self::Student => &[2, 2, 2],
            Self::SqueezeNet => &[],
        }
    }

    /// The names of the convolutions and the block each belongs to, in order.
    pub(crate) fn convolutions(self) -> Vec<(String, usize)> {
        let mut names = Vec::new();
        let mut index = 0;
        for (block, &count) in self.blocks().iter().enumerate() {
            for _ in 0..count {
                // The normalised network counts its colour preprocessing and its padding as layers.
                let (name, step) = match self {
                    Self::VggNormalised => (format!("{}", index + 2), 3),
                    _ => (format!("features.{index}"), 2),
                };
                names.push((name, block));
                index += step;
            }
            index += 1;
        }
        names
    }
}

/// The shape of a perceptual network. The default is the student of widths 16, 32, 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PerceptualConfig {
    /// Which network.
    pub kind: PerceptualKind,
    /// The outputs of every convolution, in order; fewer than the network has where it is cut off after a block.
    /// Empty for SqueezeNet, whose widths are fixed.
    pub widths: Vec<usize>,
    /// Whether VGG16 and VGG19 see images normalised by ImageNet's mean and standard deviation, as they were trained.
    pub normalise: bool,
}

impl Default for PerceptualConfig {
    fn default() -> Self {
        Self { kind: PerceptualKind::Student, widths: vec![16, 16, 32, 32, 64, 64], normalise: true }
    }
}

impl PerceptualConfig {
    /// Reads kind and widths off the names and shapes of the weights. Layers behind the last level (a classifier) are
    /// ignored.
    ///
    /// # Errors
    /// When these are not the weights of a network that is known here.
    pub fn of_weights(weights: &Weights) -> Result<Self> {
        let has = |name: &str| weights.find(&format!("{name}.weight")).is_some();
        let kind = if has("fire2/conv1x1_1") {
            PerceptualKind::SqueezeNet
        } else if has("features.16") {
            PerceptualKind::Vgg19
        } else if has("features.14") {
            PerceptualKind::Vgg16
        } else if has("features.12") {
            PerceptualKind::Student
        } else if has("0") && has("2") && has("16") {
            PerceptualKind::VggNormalised
        } else {
            return Err(Error::new(
                "These are not the weights of a perceptual network that is known here (VGG16, VGG19, normalised VGG19, \
                 SqueezeNet 1.0 or a student).",
            ));
        };
        let width = |(name, _): &(String, usize)| weights.find(&format!("{name}.weight"))?.dims().first().copied();
        let widths = kind.convolutions().iter().map_while(width).collect();
        Ok(Self { kind, widths, normalise: true })
    }

    /// How many levels there are.
    pub fn levels(&self) -> usize {
        match self.kind {
            PerceptualKind::SqueezeNet => 4,
            kind => {
                let ends = kind.blocks().iter().scan(0, |end, count| {
                    *end += count;
                    Some(*end)
                });
                ends.filter(|&end| end <= self.widths.len()).count()
            }
        }
    }

    /// The channels of every level.
    pub fn level_widths(&self) -> Vec<usize> {
        if self.kind == PerceptualKind::SqueezeNet {
            return vec![96, 256, 512, 512];
        }
        let names = self.kind.convolutions();
        let last = |level| names.iter().rposition(|(_, block)| *block == level);
        (0..self.levels()).filter_map(|level| self.widths.get(last(level)?).copied()).collect()
    }

    fn check(&self) -> Result<()> {
        if self.levels() == 0 || self.widths.contains(&0) || self.widths.len() > self.kind.convolutions().len() {
            return Err(Error::new("The widths given for the perceptual network do not fit it."));
        }
        Ok(())
    }

    /// He-normal kernels and biases of zero, to train a student from.
    ///
    /// # Errors
    /// When the widths do not fit, or this is SqueezeNet, which is only ever read from a file.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        self.check()?;
        if self.kind != PerceptualKind::Student {
            return Err(Error::new("Only the student is trained here; other perceptual networks are read from files."));
        }
        let mut start = Initialiser::new(seed, device);
        let mut previous = 3;
        for ((name, _), &width) in self.kind.convolutions().iter().zip(&self.widths) {
            let deviation = (2.0 / (9 * previous) as f32).sqrt();
            start.normal(&format!("{name}.weight"), &[width, previous, 3, 3], 0.0, deviation)?;
            start.constant(&format!("{name}.bias"), &[width], 0.0)?;
            previous = width;
        }
        Ok(start.finish())
    }
}

/// A perceptual network: an image to its features at several levels.
pub struct Perceptual {
    config: PerceptualConfig,
    layers: Vec<Layer>,
}

impl Perceptual {
    /// Takes the weights under the names of the kind.
    ///
    /// # Errors
    /// When a weight is missing or its shape does not fit.
    pub fn new(config: &PerceptualConfig, params: &Params) -> Result<Self> {
        config.check()?;
        let mut layers = Vec::new();
        let kind = config.kind;
        match kind {
            PerceptualKind::SqueezeNet => layers.extend(Layer::squeezenet(params)?),
            PerceptualKind::VggNormalised => {
                let (weight, bias) = (params.get("0.weight", &[3, 3, 1, 1])?, params.get("0.bias", &[3])?);
                layers.push(Preparation::UnitThen(&weight, &bias).layer()?);
            }
            PerceptualKind::Vgg16 | PerceptualKind::Vgg19 if config.normalise => {
                let device = params.get("features.0.bias", &[config.widths[0]])?.device().clone();
                layers.push(Preparation::ImageNet(&device).layer()?);
            }
            _ => {}
        }
        let names = kind.convolutions();
        let mut previous = 3;
        for (i, ((name, block), &width)) in names.iter().zip(&config.widths).enumerate() {
            if kind == PerceptualKind::VggNormalised {
                layers.push(Layer::Reflect);
            }
            let padding = usize::from(kind != PerceptualKind::VggNormalised);
            layers.push(Layer::convolution(&ConvSpec::conv(previous, width, 3, 1, padding), &params.pp(name))?);
            if names.get(i + 1).is_none_or(|(_, next)| next != block) {
                layers.extend([Layer::Level, Layer::Pool]);
            }
            previous = width;
        }
        Ok(Self { config: config.clone(), layers })
    }

    /// The shape of this network.
    pub fn config(&self) -> &PerceptualConfig {
        &self.config
    }

    /// The layers in order.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many levels there are.
    pub fn level_count(&self) -> usize {
        self.config.levels()
    }

    /// The first `count` levels of `image: [n, 3 or 1, h, w]` in [-1, 1]; one channel is shown as grey. Each level is
    /// `[n, channels, h', w']` after its ReLU.
    ///
    /// # Errors
    /// When there are fewer levels, or the image is too small.
    pub fn levels(&self, image: &Tensor, count: usize) -> Result<Vec<Tensor>> {
        if count > self.level_count() {
            let all = self.level_count();
            return Err(Error::new(format!("The perceptual network has {all} levels; {count} were asked for.")));
        }
        let colour = if image.dim(1)? == 1 { Tensor::cat(&[image, image, image], 1)? } else { image.clone() };
        run(&self.layers, colour, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_torchvisions() {
        let indices = |kind: PerceptualKind| -> Vec<usize> {
            let cut = |(name, _): (String, usize)| name.trim_start_matches("features.").parse().unwrap();
            kind.convolutions().into_iter().map(cut).collect()
        };
        assert_eq!(indices(PerceptualKind::Vgg16), [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
        assert_eq!(indices(PerceptualKind::Vgg19), [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]);
        assert_eq!(indices(PerceptualKind::Student), [0, 2, 5, 7, 10, 12]);
        assert_eq!(indices(PerceptualKind::VggNormalised), [2, 5, 9, 12, 16]);
    }

    #[test]
    fn a_student_has_three_levels() {
        let config = PerceptualConfig::default();
        let weights = config.initial_weights(5, &Device::Cpu).unwrap();
        assert_eq!(PerceptualConfig::of_weights(&weights).unwrap(), config);
        assert_eq!(config.level_widths(), [16, 32, 64]);
        let student = Perceptual::new(&config, &Params::frozen(weights)).unwrap();
        let image = Tensor::randn(0f32, 1.0, (2, 1, 64, 64), &Device::Cpu).unwrap();
        let shapes: Vec<_> = student.levels(&image, 3).unwrap().iter().map(|level| level.dims().to_vec()).collect();
        assert_eq!(shapes, [[2, 16, 64, 64], [2, 32, 32, 32], [2, 64, 16, 16]]);
        assert!(student.levels(&image, 4).is_err());
    }

    #[test]
    fn a_network_may_be_cut_off_after_a_block() {
        let widths = vec![4, 4, 8, 8, 16, 16, 16];
        let config = PerceptualConfig { kind: PerceptualKind::Vgg16, widths, normalise: true };
        assert_eq!((config.levels(), config.level_widths()), (3, vec![4, 8, 16]));
        assert!(PerceptualConfig { widths: vec![4], ..config }.check().is_err());
    }
}
