//! The layer that all networks are made of: convolution, normalisation, activation.

use super::Params;
use crate::ops::{self, Activation, ConvSpec, FrozenConv};
use crate::{Error, Result};
use candle_core::{Tensor, Var};

/// Added to variances, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// The share of a batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Which statistics a normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Those gathered in training: one result never depends on its neighbours in the batch.
    Running,
    /// Those of the batch, which also move the running ones. For training alone.
    Batch,
}

/// A convolution (plain or transposed), an optional batch normalisation and an activation.
pub enum ConvBlock {
    /// All of it folded into one prepared convolution.
    Frozen(FrozenConv),
    /// Variables.
    Trainable(TrainableConv),
}

/// The trainable form of [`ConvBlock`].
pub struct TrainableConv {
    spec: ConvSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
    activation: Activation,
}

/// A trainable batch normalisation.
#[derive(Clone)]
pub struct BatchNorm {
    gamma: Tensor,
    beta: Tensor,
    mean: Var,
    variance: Var,
}

/// What a layer consists of in training: a convolution, with a bias or a normalisation or neither, and what follows it.
#[derive(Clone)]
pub struct TrainingLayer {
    /// The geometry.
    pub spec: ConvSpec,
    /// The kernels, of the shape [`ConvSpec::weight_shape`].
    pub weight: Tensor,
    /// What is added to every channel, `[outputs]`; never besides a normalisation.
    pub bias: Option<Tensor>,
    /// The normalisation by the statistics of the batch.
    pub norm: Option<BatchNorm>,
    /// The activation.
    pub activation: Activation,
}

impl ConvBlock {
    /// A block from `conv` (`weight`, and `bias` where there is one) and `norm` (`weight`, `bias`, `running_mean`,
    /// `running_var`).
    ///
    /// # Errors
    /// When a parameter is missing or has a wrong shape.
    pub fn new(spec: &ConvSpec, conv: &Params, norm: Option<&Params>, activation: Activation) -> Result<Self> {
        let weight = conv.get("weight", &spec.weight_shape())?;
        let bias = conv.has("bias").then(|| conv.get("bias", &[spec.outputs])).transpose()?;
        if !conv.is_trainable() {
            let (weight, bias) = match norm {
                Some(norm) => fold(spec, &weight, bias.as_ref(), norm)?,
                None => (weight, bias),
            };
            return Ok(Self::Frozen(FrozenConv::new(spec, &weight, bias.as_ref(), activation)?));
        }
        let norm = norm.map(|norm| BatchNorm::new(norm, spec.outputs)).transpose()?;
        Ok(Self::Trainable(TrainableConv { spec: *spec, weight, bias, norm, activation }))
    }

    /// What the block consists of in training; `None` where it is frozen, or has a bias before a normalisation.
    pub fn layer(&self) -> Option<TrainingLayer> {
        match self {
            Self::Trainable(TrainableConv { spec, weight, bias, norm, activation })
                if bias.is_none() || norm.is_none() =>
            {
                let (weight, bias, norm) = (weight.clone(), bias.clone(), norm.clone());
                Some(TrainingLayer { spec: *spec, weight, bias, norm, activation: *activation })
            }
            _ => None,
        }
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`. Frozen blocks always use running statistics.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => Ok(conv.forward(x)?),
            Self::Trainable(block) => block.forward(x, statistics),
        }
    }
}

impl TrainableConv {
    fn forward(&self, x: &Tensor, statistics: Statistics) -> Result<Tensor> {
        if let (Some(norm), None, Statistics::Batch) = (&self.norm, &self.bias, statistics) {
            let scales = (&norm.gamma, &norm.beta);
            let (y, mean, variance) =
                ops::conv_batch_norm(&self.spec, x, &self.weight, scales, EPSILON, self.activation)?;
            norm.follow_batch(&y, &mean, &variance)?;
            return Ok(y);
        }
        let y = self.spec.apply(x, &self.weight, self.bias.as_ref())?;
        match (&self.norm, statistics) {
            (None, _) => Ok(ops::activate(&y, self.activation)?),
            (Some(norm), Statistics::Batch) => norm.batch(&y, self.activation),
            (Some(norm), Statistics::Running) => norm.running(&y, self.activation),
        }
    }
}

impl BatchNorm {
    fn new(params: &Params, channels: usize) -> Result<Self> {
        let shape = [channels];
        let statistic = |name: &str| {
            params.get(name, &shape)?;
            params.variable(name).ok_or_else(|| Error::new(format!("The statistic {name} cannot be trained.")))
        };
        Ok(Self {
            gamma: params.get("weight", &shape)?,
            beta: params.get("bias", &shape)?,
            mean: statistic("running_mean")?,
            variance: statistic("running_var")?,
        })
    }

    fn batch(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let (y, mean, variance) = ops::batch_norm(x, &self.gamma, &self.beta, EPSILON, activation)?;
        self.follow_batch(x, &mean, &variance)?;
        Ok(y)
    }

    fn follow_batch(&self, batch: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<()> {
        let (n, _, h, w) = batch.dims4()?;
        self.follow(n * h * w, mean, variance)
    }

    /// The scales and shifts, `[channels]` each.
    pub fn scales(&self) -> (&Tensor, &Tensor) {
        (&self.gamma, &self.beta)
    }

    /// Added to variances.
    pub fn epsilon(&self) -> f64 {
        EPSILON
    }

    /// Moves the running statistics towards the means and biased variances `[channels]` of a batch of `count` values a
    /// channel.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn follow(&self, count: usize, mean: &Tensor, variance: &Tensor) -> Result<()> {
        let count = count as f64;
        let unbiased = (variance * (count / (count - 1.0).max(1.0)))?;
        for (running, now) in [(&self.mean, mean), (&self.variance, &unbiased)] {
            running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (now * MOMENTUM)?)?)?;
        }
        Ok(())
    }

    fn running(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let deviation = (self.variance.as_detached_tensor() + EPSILON)?.sqrt()?;
        let scale = (&self.gamma / deviation)?;
        let shift = (&self.beta - (self.mean.as_detached_tensor() * &scale)?)?;
        let y = x.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?.broadcast_add(&shift.reshape((1, (), 1, 1))?)?;
        Ok(ops::activate(&y, activation)?)
    }
}

impl ConvSpec {
    /// This convolution with trainable kernels.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn apply(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        if self.transposed {
            ops::conv_transpose2d(x, weight, bias, self.stride, self.padding)
        } else {
            ops::conv2d(x, weight, bias, self.stride, self.padding)
        }
    }
}

/// The kernels and bias that do what the convolution and the normalisation by running statistics do together.
fn fold(spec: &ConvSpec, weight: &Tensor, bias: Option<&Tensor>, norm: &Params) -> Result<(Tensor, Option<Tensor>)> {
    let get = |name: &str| norm.get(name, &[spec.outputs]);
    let scale = (get("weight")? / (get("running_var")? + EPSILON)?.sqrt()?)?;
    let mean = match bias {
        Some(bias) => (get("running_mean")? - bias)?,
        None => get("running_mean")?,
    };
    let shift = (get("bias")? - (mean * &scale)?)?;
    let shape = if spec.transposed { (1, spec.outputs, 1, 1) } else { (spec.outputs, 1, 1, 1) };
    Ok((weight.broadcast_mul(&scale.reshape(shape)?)?, Some(shift)))
}
