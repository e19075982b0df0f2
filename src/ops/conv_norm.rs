//! A trainable convolution with the normalisation and activation behind it, as one operation: candle's backward pass
//! writes and adds every gradient between two operations, which costs more than some of the operations.

use super::conv::{ConvSpec, Plans, conv_transpose2d, conv2d};
use super::norm::{Form, Moments, batch_norm};
use super::{Activation, cpu};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::{Arc, OnceLock};

/// What the forward pass leaves for the backward pass: the convolved values, and mean and variance of every channel.
type Saved = Arc<OnceLock<(Vec<f32>, Vec<Moments>)>>;

struct ConvNorm {
    spec: ConvSpec,
    plans: Plans,
    epsilon: f64,
    activation: Activation,
    saved: Saved,
}

impl ConvNorm {
    fn form(&self, y: &Shape) -> Result<Form> {
        Form::new(y, self.epsilon, self.activation)
    }
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "convolution and batch normalisation"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, scales) = (cpu::values(s1, l1)?, cpu::values(s2, l2)?, cpu::values(s3, l3)?);
        let (convolved, shape) = self.plans.output(&self.spec, x, l1.shape(), weight, l2.shape())?;
        let form = self.form(&shape)?;
        if l3.dims() != [2, form.channels] {
            candle_core::bail!("a batch {shape:?} cannot be normalised by scales and shifts {:?}", l3.shape());
        }
        let moments = form.moments(&convolved);
        let (gamma, beta) = scales.split_at(form.channels);
        let y = form.forward(&convolved, gamma, beta, &moments);
        let _ = self.saved.set((convolved, moments));
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        scales: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some((convolved, moments)) = self.saved.get() else {
            candle_core::bail!("a convolution was run backward before forward")
        };
        let form = self.form(y.shape())?;
        let gamma = scales.get(0)?.to_vec1::<f32>()?;
        let (back, totals) = cpu::with_values(y, |y| {
            cpu::with_values(&grad.contiguous()?, |grad| Ok(form.backward(convolved, &gamma, moments, y, grad)))
        })?;
        let (of_x, of_weight) = self.plans.gradients(&self.spec, x, weight, &back)?;
        let of_scales = totals.iter().map(|t| t.1).chain(totals.iter().map(|t| t.0)).collect::<Vec<_>>();
        Ok((of_x, of_weight, Some(Tensor::from_vec(of_scales, scales.shape(), scales.device())?)))
    }
}

/// A convolution (as `spec` has it) of `x: [n, inputs, h, w]` without bias, then [`batch_norm`]. Returns the result and
/// the mean and biased variance of the convolved values, `[outputs]` each, without gradient.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv_batch_norm(
    spec: &ConvSpec,
    x: &Tensor,
    weight: &Tensor,
    (gamma, beta): (&Tensor, &Tensor),
    epsilon: f64,
    activation: Activation,
) -> Result<(Tensor, Tensor, Tensor)> {
    if !cpu::ours(&[x, weight, gamma, beta]) {
        let convolve = if spec.transposed { conv_transpose2d } else { conv2d };
        let y = convolve(x, weight, None, spec.stride, spec.padding)?;
        return batch_norm(&y, gamma, beta, epsilon, activation);
    }
    let saved = Saved::default();
    let op = ConvNorm { spec: *spec, plans: Plans::default(), epsilon, activation, saved: saved.clone() };
    let scales = Tensor::stack(&[gamma, beta], 0)?;
    let y = x.contiguous()?.apply_op3(&weight.contiguous()?, &scales, op)?;
    let Some((_, moments)) = saved.get() else { candle_core::bail!("a convolution left no statistics") };
    let (means, variances): (Vec<f32>, Vec<f32>) = moments.iter().copied().unzip();
    let channels = means.len();
    Ok((y, Tensor::from_vec(means, channels, x.device())?, Tensor::from_vec(variances, channels, x.device())?))
}
