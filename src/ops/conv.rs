//! Convolution and transposed convolution, trainable and frozen.

use super::{Activation, composed};
use candle_core::{Result, Tensor};

/// The geometry of a convolution with square kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Channels that come in.
    pub inputs: usize,
    /// Channels that go out.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step between outputs (transposed: between inputs), in pixels.
    pub stride: usize,
    /// Zeros around the input (transposed: pixels cut off around the output).
    pub padding: usize,
    /// Whether this is a transposed convolution.
    pub transposed: bool,
}

impl ConvSpec {
    /// A convolution.
    pub fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self { inputs, outputs, kernel, stride, padding, transposed: false }
    }

    /// A transposed convolution.
    pub fn transposed(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self { inputs, outputs, kernel, stride, padding, transposed: true }
    }

    /// The shape of the kernels: `[outputs, inputs, k, k]`, or `[inputs, outputs, k, k]` when transposed.
    pub fn weight_shape(&self) -> [usize; 4] {
        let (first, second) = if self.transposed { (self.inputs, self.outputs) } else { (self.outputs, self.inputs) };
        [first, second, self.kernel, self.kernel]
    }

    /// The number of values that feed one output: what initialisation schemes call the fan-in.
    pub fn fan_in(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }
}

/// Convolution of `x: [n, cin, h, w]` with `w: [cout, cin, k, k]` and an optional `bias: [cout]`.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    composed::conv2d(x, w, bias, stride, padding)
}

/// Transposed convolution of `x: [n, cin, h, w]` with `w: [cin, cout, k, k]` and an optional `bias: [cout]`; the
/// output has `(h - 1) * stride - 2 * padding + k` rows.
pub fn conv_transpose2d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    composed::conv_transpose2d(x, w, bias, stride, padding)
}

/// A convolution whose kernels do not learn, with bias and activation: gradients flow to its input alone.
#[derive(Clone, Debug)]
pub struct FrozenConv {
    spec: ConvSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Activation,
}

impl FrozenConv {
    /// Takes the kernels (shape as [`ConvSpec::weight_shape`]) and the bias `[outputs]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(spec: &ConvSpec, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Self> {
        if weight.dims() != spec.weight_shape() || bias.is_some_and(|bias| bias.dims() != [spec.outputs]) {
            candle_core::bail!("the kernels {:?} or their bias do not fit {spec:?}", weight.shape());
        }
        Ok(Self {
            spec: *spec,
            weight: weight.detach().contiguous()?,
            bias: bias.map(|bias| bias.detach().contiguous()).transpose()?,
            activation,
        })
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`, activated.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvSpec { stride, padding, .. } = self.spec;
        let bias = self.bias.as_ref();
        let y = if self.spec.transposed {
            composed::conv_transpose2d(x, &self.weight, bias, stride, padding)?
        } else {
            composed::conv2d(x, &self.weight, bias, stride, padding)?
        };
        composed::activate(&y, self.activation)
    }
}
