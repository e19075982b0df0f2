//! Convolution and transposed convolution, trainable and frozen.

use super::kernels::conv::{Size, convolve};
use super::kernels::dense::{product, product_of_rows};
use super::kernels::plan::Plan;
use super::kernels::weight_gradient::weight_gradient;
use super::simd::panels::kernels;
use super::{Activation, composed, cpu, elementwise};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use std::sync::{Arc, OnceLock};

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

    /// The convolution that computes the gradient in the input of this one, with the same kernels.
    pub(crate) fn reversed(&self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, transposed: !self.transposed, ..*self }
    }

    /// Rows (or columns) of the output for those of the input.
    pub(crate) fn output_side(&self, side: usize) -> Result<usize> {
        let Self { kernel, stride, padding, .. } = *self;
        let found = if self.transposed { (side.max(1) - 1) * stride + kernel } else { side + 2 * padding + stride };
        match found.checked_sub(if self.transposed { 2 * padding } else { kernel }) {
            Some(found) if self.transposed && found > 0 && side > 0 => Ok(found),
            Some(found) if !self.transposed && found >= stride && stride > 0 => Ok(found / stride),
            _ => candle_core::bail!("{self:?} does not fit a side of {side} pixels"),
        }
    }

    /// The shape of the output for a checked input `[n, inputs, h, w]`.
    pub(super) fn output_shape(&self, x: &Shape, weight: &Shape) -> Result<(Size, (usize, usize))> {
        let (n, channels, h, w) = x.dims4()?;
        if channels != self.inputs || weight.dims() != self.weight_shape() {
            candle_core::bail!("{self:?} does not fit the input {x:?} and the kernels {weight:?}");
        }
        Ok(((n, h, w), (self.output_side(h)?, self.output_side(w)?)))
    }
}

/// The kernels of a convolution with their plans, each made when it is first needed.
#[derive(Default)]
pub(super) struct Plans {
    forward: OnceLock<Plan>,
    backward: OnceLock<Plan>,
}

/// Runs a convolution by the shortest way: as a plain product where the input or the output is one pixel.
#[allow(clippy::too_many_arguments, reason = "a convolution is all of these")]
fn run(
    spec: &ConvSpec,
    weight: &[f32],
    plan: &OnceLock<Plan>,
    x: &[f32],
    size: Size,
    out: (usize, usize),
    bias: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    let kernels = kernels();
    let (n, h, w) = size;
    let area = spec.kernel * spec.kernel;
    let square = (spec.kernel, spec.kernel);
    let mut y = if spec.padding == 0 && spec.transposed && (h, w) == (1, 1) && out == square {
        product(kernels, x, (n, spec.inputs), (spec.inputs, 1), weight, spec.outputs * area)
    } else if spec.padding == 0 && !spec.transposed && out == (1, 1) && (h, w) == square {
        product_of_rows(kernels, x, weight, spec.inputs * area)
    } else {
        let plan = plan.get_or_init(|| Plan::new(kernels, spec, weight));
        return convolve(kernels, plan, x, size, out, bias, activation);
    };
    elementwise::finish(&mut y, spec.outputs, out.0 * out.1, bias, activation);
    y
}

/// The gradient in the input: `grad` is `[n, outputs, out]`, the result `[n, inputs, h, w]`.
fn run_backward(
    spec: &ConvSpec,
    weight: &[f32],
    plans: &Plans,
    grad: &[f32],
    (n, h, w): Size,
    out: (usize, usize),
) -> Vec<f32> {
    let size = (n, out.0, out.1);
    run(&spec.reversed(), weight, &plans.backward, grad, size, (h, w), None, Activation::None)
}

/// The gradient in the kernels, in their own shape.
fn run_weight_gradient(spec: &ConvSpec, x: &[f32], size: Size, grad: &[f32], out: (usize, usize)) -> Vec<f32> {
    let kernels = kernels();
    let (n, h, w) = size;
    let ConvSpec { inputs, outputs, kernel: k, stride, padding, transposed } = *spec;
    match (transposed, (h, w), out) {
        (true, (1, 1), out) if padding == 0 && out == (k, k) => {
            product(kernels, x, (inputs, 1), (n, inputs), grad, outputs * k * k)
        }
        (false, size, (1, 1)) if padding == 0 && size == (k, k) => {
            product(kernels, grad, (outputs, 1), (n, outputs), x, inputs * k * k)
        }
        (true, ..) => {
            weight_gradient(kernels, grad, (n, out.0, out.1), x, (h, w), (outputs, inputs), (k, stride, padding))
        }
        (false, ..) => weight_gradient(kernels, x, size, grad, out, (inputs, outputs), (k, stride, padding)),
    }
}

struct Trainable {
    spec: ConvSpec,
    plans: Plans,
}

impl CustomOp2 for Trainable {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (cpu::values(s1, l1)?, cpu::values(s2, l2)?);
        let (y, shape) = self.plans.output(&self.spec, x, l1.shape(), weight, l2.shape())?;
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        cpu::with_values(&grad.contiguous()?, |grad| self.plans.gradients(&self.spec, x, weight, grad))
    }
}

impl Plans {
    /// The output of a convolution, without bias or activation, and its shape.
    pub(super) fn output(
        &self,
        spec: &ConvSpec,
        x: &[f32],
        x_shape: &Shape,
        w: &[f32],
        w_shape: &Shape,
    ) -> Result<(Vec<f32>, Shape)> {
        let (size, out) = spec.output_shape(x_shape, w_shape)?;
        let y = run(spec, w, &self.forward, x, size, out, None, Activation::None);
        Ok((y, Shape::from((size.0, spec.outputs, out.0, out.1))))
    }

    /// The gradients in the input and in the kernels, where they are wanted, from that of the output.
    pub(super) fn gradients(
        &self,
        spec: &ConvSpec,
        x: &Tensor,
        weight: &Tensor,
        grad: &[f32],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (size, out) = spec.output_shape(x.shape(), weight.shape())?;
        let like = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let of_x = x.track_op().then(|| {
            let values = cpu::with_values(weight, |w| Ok(run_backward(spec, w, self, grad, size, out)))?;
            like(values, x)
        });
        let of_weight = weight.track_op().then(|| {
            let values = cpu::with_values(x, |x| Ok(run_weight_gradient(spec, x, size, grad, out)))?;
            like(values, weight)
        });
        Ok((of_x.transpose()?, of_weight.transpose()?))
    }
}

fn trainable(spec: ConvSpec, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.contiguous()?.apply_op2(&w.contiguous()?, Trainable { spec, plans: Plans::default() })?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// Convolution of `x: [n, cin, h, w]` with `w: [cout, cin, k, k]` and an optional `bias: [cout]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    if !cpu::ours(&[x, w]) {
        return composed::conv2d(x, w, bias, stride, padding);
    }
    let (outputs, inputs, kernel, _) = w.dims4()?;
    trainable(ConvSpec::conv(inputs, outputs, kernel, stride, padding), x, w, bias)
}

/// Transposed convolution of `x: [n, cin, h, w]` with `w: [cin, cout, k, k]` and an optional `bias: [cout]`; the
/// output has `(h - 1) * stride - 2 * padding + k` rows.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv_transpose2d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    if !cpu::ours(&[x, w]) {
        return composed::conv_transpose2d(x, w, bias, stride, padding);
    }
    let (inputs, outputs, kernel, _) = w.dims4()?;
    trainable(ConvSpec::transposed(inputs, outputs, kernel, stride, padding), x, w, bias)
}

/// A convolution whose kernels do not learn, with bias and activation: gradients flow to its input alone.
#[derive(Clone)]
pub struct FrozenConv(Arc<Frozen>);

struct Frozen {
    spec: ConvSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Activation,
    plans: Plans,
}

/// Tells whether a convolution is still the same one, without keeping it.
#[derive(Clone)]
pub struct Identity(std::sync::Weak<Frozen>);

impl Identity {
    /// Whether this is it.
    pub fn is(&self, conv: &FrozenConv) -> bool {
        self.0.as_ptr() == Arc::as_ptr(&conv.0)
    }

    /// Whether nobody has the convolution any more.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl FrozenConv {
    /// The geometry.
    pub fn spec(&self) -> &ConvSpec {
        &self.0.spec
    }

    /// The kernels, of the shape [`ConvSpec::weight_shape`].
    pub fn weight(&self) -> &Tensor {
        &self.0.weight
    }

    /// The bias `[outputs]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.0.bias.as_ref()
    }

    /// What follows the convolution.
    pub fn activation(&self) -> Activation {
        self.0.activation
    }

    /// A token by which this convolution is recognised.
    pub fn identity(&self) -> Identity {
        Identity(Arc::downgrade(&self.0))
    }

    /// Takes the kernels (shape as [`ConvSpec::weight_shape`]) and the bias `[outputs]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(spec: &ConvSpec, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Self> {
        if weight.dims() != spec.weight_shape() || bias.is_some_and(|bias| bias.dims() != [spec.outputs]) {
            candle_core::bail!("the kernels {:?} or their bias do not fit {spec:?}", weight.shape());
        }
        Ok(Self(Arc::new(Frozen {
            spec: *spec,
            weight: weight.detach().contiguous()?,
            bias: bias.map(|bias| bias.detach().contiguous()).transpose()?,
            activation,
            plans: Plans::default(),
        })))
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`, activated.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Frozen { spec, weight, bias, activation, .. } = &*self.0;
        if cpu::ours(&[x, weight]) {
            return x.contiguous()?.apply_op1(self.clone());
        }
        let bias = bias.as_ref();
        let y = if spec.transposed {
            composed::conv_transpose2d(x, weight, bias, spec.stride, spec.padding)?
        } else {
            composed::conv2d(x, weight, bias, spec.stride, spec.padding)?
        };
        composed::activate(&y, *activation)
    }
}

impl CustomOp1 for FrozenConv {
    fn name(&self) -> &'static str {
        "frozen convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Frozen { spec, weight, bias, activation, plans } = &*self.0;
        let (size, out) = spec.output_shape(layout.shape(), weight.shape())?;
        let x = cpu::values(storage, layout)?;
        let bias = bias.as_ref().map(|bias| cpu::with_values(bias, |bias| Ok(bias.to_vec()))).transpose()?;
        let y = cpu::with_values(weight, |weight| {
            Ok(run(spec, weight, &plans.forward, x, size, out, bias.as_deref(), *activation))
        })?;
        Ok((CpuStorage::F32(y), Shape::from((size.0, spec.outputs, out.0, out.1))))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Frozen { spec, weight, activation, plans, .. } = &*self.0;
        let (size, out) = spec.output_shape(x.shape(), weight.shape())?;
        let grad = elementwise::activation_gradient(y, &grad.contiguous()?, *activation)?;
        let values = cpu::with_values(&grad, |grad| {
            cpu::with_values(weight, |weight| Ok(run_backward(spec, weight, plans, grad, size, out)))
        })?;
        Ok(Some(Tensor::from_vec(values, x.shape(), x.device())?))
    }
}
