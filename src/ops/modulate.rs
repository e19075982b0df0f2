//! Scaling the channels of every picture by numbers of its own, as StyleGAN2 does around its convolutions.

use super::elementwise::activation_gradient;
use super::{Activation, composed, cpu, threads};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// What follows the scaling: `y[n, c, p] = activation(x[n, c, p] * scale[n, c] + bias[c] + plane[p])`, of which bias and
/// plane never change.
#[derive(Clone, Debug, Default)]
pub struct Modulation {
    bias: Option<Tensor>,
    plane: Option<Tensor>,
    activation: Activation,
}

impl Modulation {
    /// With a bias `[c]`, a plane `[1, 1, h, w]` and an activation.
    pub fn new(bias: Option<Tensor>, plane: Option<Tensor>, activation: Activation) -> Self {
        Self { bias: bias.map(|bias| bias.detach()), plane: plane.map(|plane| plane.detach()), activation }
    }

    /// The bias `[c]` and the plane `[1, 1, h, w]`.
    pub fn after(&self) -> (Option<&Tensor>, Option<&Tensor>) {
        (self.bias.as_ref(), self.plane.as_ref())
    }

    /// The activation.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// `x: [n, c, h, w]` and `scale: [n, c]` to `[n, c, h, w]`; gradients flow to both.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor, scale: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let fits = scale.dims() == [n, c]
            && self.bias.as_ref().is_none_or(|bias| bias.dims() == [c])
            && self.plane.as_ref().is_none_or(|plane| plane.dims() == [1, 1, h, w]);
        if !fits {
            candle_core::bail!("scales {:?} do not fit a map {:?}", scale.shape(), x.shape());
        }
        if cpu::ours(&[x, scale]) {
            return x.contiguous()?.apply_op2(&scale.contiguous()?, self.clone());
        }
        let mut y = x.broadcast_mul(&scale.reshape((n, c, 1, 1))?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.reshape((1, c, 1, 1))?)?;
        }
        if let Some(plane) = &self.plane {
            y = y.broadcast_add(plane)?;
        }
        composed::activate(&y, self.activation)
    }
}

fn fixed(tensor: Option<&Tensor>) -> Result<Option<Vec<f32>>> {
    tensor.map(|tensor| tensor.flatten_all()?.to_vec1()).transpose()
}

impl CustomOp2 for Modulation {
    fn name(&self) -> &'static str {
        "modulation"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, scale) = (cpu::values(s1, l1)?, cpu::values(s2, l2)?);
        let (_, channels, h, w) = l1.shape().dims4()?;
        let (bias, plane) = (fixed(self.bias.as_ref())?, fixed(self.plane.as_ref())?);
        let mut y = x.to_vec();
        threads::for_each_chunk(&mut y, (h * w).max(1), |i, y| {
            let (scale, bias) = (scale[i], bias.as_ref().map_or(0.0, |bias| bias[i % channels]));
            match &plane {
                Some(plane) => y.iter_mut().zip(plane).for_each(|(v, p)| *v = *v * scale + bias + p),
                None => y.iter_mut().for_each(|v| *v = *v * scale + bias),
            }
            if self.activation != Activation::None {
                y.iter_mut().for_each(|v| *v = self.activation.apply(*v));
            }
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, scale: &Tensor, y: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = activation_gradient(y, &grad.contiguous()?, self.activation)?;
        let (n, c, h, w) = x.dims4()?;
        let area = (h * w).max(1);
        let mut of_scale = vec![0.0; n * c];
        let of_x = cpu::with_values(&grad, |grad| {
            cpu::with_values(x, |x| {
                threads::for_each_chunk(&mut of_scale, 1, |i, sum| {
                    let planes = grad[i * area..][..area].chunks(256).zip(x[i * area..][..area].chunks(256));
                    // Short partial sums, in single precision, so that they are vectorised.
                    let part = |(g, x): (&[f32], &[f32])| f64::from(g.iter().zip(x).map(|(g, x)| g * x).sum::<f32>());
                    sum[0] = planes.map(part).sum::<f64>() as f32;
                });
                Ok(())
            })?;
            cpu::with_values(scale, |scale| {
                let mut of_x = grad.to_vec();
                threads::for_each_chunk(&mut of_x, area, |i, g| g.iter_mut().for_each(|g| *g *= scale[i]));
                Ok(of_x)
            })
        })?;
        let of_scale = Tensor::from_vec(of_scale, (n, c), x.device())?;
        Ok((Some(Tensor::from_vec(of_x, x.shape(), x.device())?), Some(of_scale)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{check_gradients, difference, random};
    use candle_core::Var;

    #[test]
    fn it_does_what_its_parts_do_and_has_their_gradients() {
        let (x, scale) = (random(&[2, 3, 4, 5], 1), random(&[2, 3], 2));
        let (bias, plane) = (random(&[3], 3), random(&[1, 1, 4, 5], 4));
        let parts = x.broadcast_mul(&scale.reshape((2, 3, 1, 1)).unwrap()).unwrap();
        let plain = Modulation::default().forward(&x, &scale).unwrap();
        assert!(difference(&plain, &parts) < 1e-6);
        let parts = |x: &Tensor, scale: &Tensor, activation: Activation| {
            let y = x.broadcast_mul(&scale.reshape((2, 3, 1, 1)).unwrap()).unwrap();
            let y = y.broadcast_add(&bias.reshape((1, 3, 1, 1)).unwrap()).unwrap().broadcast_add(&plane).unwrap();
            composed::activate(&y, activation).unwrap()
        };
        for activation in [Activation::None, Activation::LeakyRelu(0.2), Activation::Tanh] {
            let all = Modulation::new(Some(bias.clone()), Some(plane.clone()), activation);
            assert!(difference(&all.forward(&x, &scale).unwrap(), &parts(&x, &scale, activation)) < 1e-6);
            // Against the gradients of the parts, which know no steps across the kink of an activation.
            let towards = random(&[2, 3, 4, 5], 5);
            let (a, b) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&scale).unwrap());
            let gradients = |y: Tensor| {
                let gradients = (y * &towards).unwrap().sum_all().unwrap().backward().unwrap();
                [&a, &b].map(|variable| gradients.get(variable).unwrap().clone())
            };
            let (found, wanted) = (gradients(all.forward(&a, &b).unwrap()), gradients(parts(&a, &b, activation)));
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!(difference(found, wanted) < 1e-5, "{activation:?}: {found} instead of {wanted}");
            }
        }
        let all = Modulation::new(Some(bias), Some(plane), Activation::Tanh);
        check_gradients(&[x.clone(), scale], |t| all.forward(&t[0], &t[1]));
        assert!(all.forward(&x, &random(&[2, 4], 1)).is_err());
    }
}
