//! The judge that results are measured with: a small convolutional network of classes or of one number, in the manner
//! of VGG with batch normalisation.

use super::weights::Initialiser;
use super::{ConvBlock, Params, Statistics, Weights};
use crate::ops::{self, Activation, ConvSpec};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// What a judge says of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Which of several classes it belongs to.
    #[default]
    Class,
    /// An angle in degrees.
    Angle,
}

/// The shape of a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeConfig {
    /// What it says.
    pub verdict: Verdict,
    /// Classes; 1 for an angle.
    pub outputs: usize,
    /// Channels of the first layers.
    pub width: usize,
    /// Channels of the pictures.
    pub channels: usize,
    /// Pixels a side: 32, 64 or 128.
    pub size: usize,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { verdict: Verdict::Class, outputs: 10, width: 32, channels: 3, size: 32 }
    }
}

impl JudgeConfig {
    /// The convolutions of every stage; between stages the pictures are halved, and the last makes one pixel of 4x4.
    ///
    /// # Errors
    /// When there is no such judge.
    pub fn stages(&self) -> Result<Vec<Vec<ConvSpec>>> {
        let halvings = super::critic::halvings(self.size)? - 1;
        if [self.outputs, self.width, self.channels].contains(&0) {
            return Err(Error::new("A judge needs outputs, a width and channels of at least 1."));
        }
        let (mut stages, mut previous) = (Vec::new(), self.channels);
        for i in 0..halvings {
            let wide = self.width << i.min(2);
            stages.push(vec![ConvSpec::conv(previous, wide, 3, 1, 1), ConvSpec::conv(wide, wide, 3, 1, 1)]);
            previous = wide;
        }
        stages.push(vec![ConvSpec::conv(previous, 4 * self.width, 4, 1, 0)]);
        Ok(stages)
    }

    /// The layer that says the verdict.
    pub fn head(&self) -> ConvSpec {
        ConvSpec::conv(4 * self.width, self.outputs, 1, 1, 0)
    }

    /// Normal weights that keep the variance behind rectifiers (He et al., ICCV 2015).
    ///
    /// # Errors
    /// When there is no such judge.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Result<Weights> {
        let mut start = Initialiser::new(seed, device);
        for (i, spec) in self.stages()?.iter().flatten().enumerate() {
            let deviation = (2.0 / spec.fan_in() as f32).sqrt();
            start.normal(&format!("body.{i}.conv.weight"), &spec.weight_shape(), 0.0, deviation)?;
            start.batch_norm(&format!("body.{i}.norm"), spec.outputs, 0.0)?;
        }
        let head = self.head();
        start.normal("head.weight", &head.weight_shape(), 0.0, (1.0 / head.inputs as f32).sqrt())?;
        start.constant("head.bias", &[head.outputs], 0.0)?;
        Ok(start.finish())
    }
}

/// A judge of pictures.
pub struct Judge {
    config: JudgeConfig,
    stages: Vec<Vec<ConvBlock>>,
    head: ConvBlock,
}

impl Judge {
    /// Takes the weights `body.<i>.conv.weight`, `body.<i>.norm.*`, `head.weight` and `head.bias`.
    ///
    /// # Errors
    /// When a weight is missing or its shape does not fit.
    pub fn new(config: &JudgeConfig, params: &Params) -> Result<Self> {
        let mut i = 0;
        let mut block = |spec: &ConvSpec| {
            let body = params.pp("body").pp(i);
            i += 1;
            ConvBlock::new(spec, &body.pp("conv"), Some(&body.pp("norm")), Activation::Relu)
        };
        let stages = config.stages()?;
        let stages = stages.iter().map(|stage| stage.iter().map(&mut block).collect()).collect::<Result<_>>()?;
        let head = ConvBlock::new(&config.head(), &params.pp("head"), None, Activation::None)?;
        Ok(Self { config: *config, stages, head })
    }

    /// The shape of this judge.
    pub fn config(&self) -> &JudgeConfig {
        &self.config
    }

    /// `[n, channels, size, size]` to `[n, outputs]`: the logits of the classes, or the angle in units of 90 degrees.
    ///
    /// # Errors
    /// When the pictures have another shape.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        let mut h = x.clone();
        for (i, stage) in self.stages.iter().enumerate() {
            if i > 0 {
                h = ops::max_pool2(&h)?;
            }
            for block in stage {
                h = block.forward(&h, statistics)?;
            }
        }
        Ok(self.head.forward(&h, statistics)?.flatten_from(1)?)
    }

    /// What it says of pictures `[n, channels, size, size]`: the place of the class, or the angle in degrees.
    ///
    /// # Errors
    /// When the pictures have another shape.
    pub fn verdicts(&self, x: &Tensor) -> Result<Vec<f32>> {
        let JudgeConfig { channels, size, .. } = self.config;
        if x.rank() != 4 || x.dims()[1..] != [channels, size, size] {
            let found = &x.dims()[1..];
            return Err(Error::new(format!(
                "The judge was trained on pictures of {channels} x {size} x {size} values; these have {found:?}."
            )));
        }
        let mut verdicts = Vec::new();
        for start in (0..x.dim(0)?).step_by(64) {
            let part = x.narrow(0, start, 64.min(x.dim(0)? - start))?;
            let said = self.forward(&part.contiguous()?, Statistics::Running)?.to_vec2::<f32>()?;
            verdicts.extend(said.iter().map(|values| match self.config.verdict {
                Verdict::Angle => 90.0 * values[0],
                Verdict::Class => {
                    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0) as f32
                }
            }));
        }
        Ok(verdicts)
    }
}
