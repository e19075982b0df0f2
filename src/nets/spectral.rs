//! Spectral normalisation (Miyato et al., ICLR 2018): kernels divided by their largest singular value, which one power
//! iteration a step follows.

use super::Params;
use super::layers::TrainingLayer;
use crate::ops::{self, Activation, ConvSpec};
use crate::{Error, Result};
use candle_core::{Tensor, Var};

/// A convolution whose kernels, as a matrix `[outputs, inputs * k * k]`, have a largest singular value of 1. Its bias is
/// not normalised.
pub struct SpectralConv {
    spec: ConvSpec,
    weight: Tensor,
    bias: Tensor,
    /// The left singular vector `[outputs]` as far as it is known; fixed where the parameters are frozen.
    left: Left,
    activation: Activation,
}

enum Left {
    Fixed(Tensor),
    Moving(Var),
}

impl SpectralConv {
    /// From `weight`, `bias` and `u`.
    ///
    /// # Errors
    /// When one is missing or has a wrong shape, or the convolution is transposed.
    pub fn new(spec: &ConvSpec, params: &Params, activation: Activation) -> Result<Self> {
        if spec.transposed {
            return Err(Error::new("Spectral normalisation is made for plain convolutions."));
        }
        let fixed = params.get("u", &[spec.outputs])?;
        let left = params.variable("u").map_or(Left::Fixed(fixed), Left::Moving);
        let (weight, bias) = (params.get("weight", &spec.weight_shape())?, params.get("bias", &[spec.outputs])?);
        Ok(Self { spec: *spec, weight, bias, left, activation })
    }

    fn left(&self) -> Tensor {
        match &self.left {
            Left::Fixed(left) => left.detach(),
            Left::Moving(left) => left.as_detached_tensor(),
        }
    }

    /// The right singular vector `[1, columns]` that belongs to a left one.
    fn right(&self, left: &Tensor) -> candle_core::Result<Tensor> {
        unit(&left.unsqueeze(0)?.matmul(&self.weight.detach().flatten_from(1)?)?)
    }

    /// Moves the left vector by one power iteration.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn iterate_power(&self) -> Result<()> {
        if let Left::Moving(variable) = &self.left {
            let right = self.right(&self.left())?;
            let left = self.weight.detach().flatten_from(1)?.matmul(&right.t()?.contiguous()?)?;
            variable.set(&unit(&left.flatten_all()?)?)?;
        }
        Ok(())
    }

    /// What the layer consists of in training.
    ///
    /// # Errors
    /// When the computation fails.
    pub fn layer(&self) -> Result<TrainingLayer> {
        let (weight, bias) = (self.normalised()?, Some(self.bias.clone()));
        Ok(TrainingLayer { spec: self.spec, weight, bias, norm: None, activation: self.activation })
    }

    /// The kernels divided by their singular value. The gradient sees the division, with the singular vectors held
    /// fixed, as the paper's.
    fn normalised(&self) -> Result<Tensor> {
        let left = unit(&self.left())?;
        let right = self.right(&left)?.t()?.contiguous()?; // [columns, 1]
        let sigma = left.unsqueeze(0)?.matmul(&self.weight.flatten_from(1)?)?.matmul(&right)?;
        Ok(self.weight.broadcast_div(&(sigma.reshape((1, 1, 1, 1))? + 1e-12)?)?)
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`, activated.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.spec.apply(x, &self.normalised()?, Some(&self.bias))?;
        Ok(ops::activate(&y, self.activation)?)
    }
}

fn unit(vector: &Tensor) -> candle_core::Result<Tensor> {
    vector.broadcast_div(&(vector.sqr()?.sum_all()?.sqrt()? + 1e-12)?)
}
