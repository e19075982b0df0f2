//! What happens value by value: activations, biases and distances, spread over the threads.

use super::{Activation, composed, cpu, threads};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// Values in a piece of work.
const PIECE: usize = 1 << 15;

/// `to[i] = with(a[i], b[i])` for all i.
fn zip_map(a: &[f32], b: &[f32], with: impl Fn(f32, f32) -> f32 + Sync + Send) -> Vec<f32> {
    let mut to = vec![0.0; a.len()];
    threads::for_each_chunk(&mut to, PIECE, |i, to| {
        let (a, b) = (&a[i * PIECE..][..to.len()], &b[i * PIECE..][..to.len()]);
        to.iter_mut().zip(a).zip(b).for_each(|((to, &a), &b)| *to = with(a, b));
    });
    to
}

/// Adds the bias `[channels]` to planes of `area` values each and activates them.
pub fn finish(values: &mut [f32], channels: usize, area: usize, bias: Option<&[f32]>, activation: Activation) {
    if bias.is_none() && activation == Activation::None {
        return;
    }
    let planes = (PIECE / area.max(1)).max(1);
    threads::for_each_chunk(values, planes * area, |i, values| {
        for (j, plane) in values.chunks_mut(area).enumerate() {
            let bias = bias.map_or(0.0, |bias| bias[(i * planes + j) % channels]);
            plane.iter_mut().for_each(|v| *v = activation.apply(*v + bias));
        }
    });
}

/// The gradient before an activation, from the activated values and the gradient after it.
pub fn activation_gradient(activated: &Tensor, grad: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::None {
        return Ok(grad.clone());
    }
    let values = cpu::with_values(activated, |y| {
        cpu::with_values(grad, |g| {
            Ok(match activation {
                Activation::Relu => zip_map(y, g, |y, g| if y > 0.0 { g } else { 0.0 }),
                Activation::LeakyRelu(slope) => zip_map(y, g, |y, g| if y > 0.0 { g } else { g * slope }),
                other => zip_map(y, g, |y, g| g * other.slope(y)),
            })
        })
    })?;
    Tensor::from_vec(values, activated.shape(), activated.device())
}

struct Activate(Activation);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = cpu::values(storage, layout)?.to_vec();
        let count = y.len();
        finish(&mut y, 1, count.clamp(1, PIECE), None, self.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        activation_gradient(y, &grad.contiguous()?, self.0).map(Some)
    }
}

/// The activation of every element.
///
/// # Errors
/// When the device fails.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        _ if cpu::ours(&[x]) => x.contiguous()?.apply_op1(Activate(activation)),
        _ => composed::activate(x, activation),
    }
}

/// Which distance is taken between two values.
#[derive(Clone, Copy, Debug)]
enum Distance {
    Absolute,
    Squared,
}

/// The mean distance of each row of the first operand to its row of the second, or to the only row of the second.
struct MeanDistance(Distance);

impl CustomOp2 for MeanDistance {
    fn name(&self) -> &'static str {
        "mean distance"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (cpu::values(s1, l1)?, cpu::values(s2, l2)?);
        let n = l1.dims()[0];
        let length = a.len() / n.max(1);
        let mut sums = vec![0.0; n];
        threads::for_each_chunk(&mut sums, 1, |i, sum| {
            let a = &a[i * length..][..length];
            let b = if b.len() == length { b } else { &b[i * length..][..length] };
            // Short partial sums: as exact as sums in double precision need here, and vectorised.
            let pieces = a.chunks(1024).zip(b.chunks(1024)).map(|(a, b)| {
                let mut lanes = [0f32; 16];
                for (a, b) in a.chunks(16).zip(b.chunks(16)) {
                    for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                        let d = a - b;
                        *lane += match self.0 {
                            Distance::Absolute => d.abs(),
                            Distance::Squared => d * d,
                        };
                    }
                }
                lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
            });
            sum[0] = (pieces.sum::<f64>() / length as f64) as f32;
        });
        Ok((CpuStorage::F32(sums), Shape::from(n)))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grads = grad.to_vec1::<f32>()?;
        let mut towards = vec![0.0; a.elem_count()];
        let length = a.elem_count() / grads.len().max(1);
        cpu::with_values(a, |a| {
            cpu::with_values(b, |b| {
                threads::for_each_chunk(&mut towards, length, |i, to| {
                    let a = &a[i * length..][..length];
                    let b = if b.len() == length { b } else { &b[i * length..][..length] };
                    let g = grads[i] / length as f32;
                    let values = to.iter_mut().zip(a).zip(b);
                    match self.0 {
                        Distance::Absolute => values.for_each(|((to, a), b)| {
                            let d = a - b;
                            *to = if d > 0.0 {
                                g
                            } else if d < 0.0 {
                                -g
                            } else {
                                0.0
                            };
                        }),
                        Distance::Squared => values.for_each(|((to, a), b)| *to = 2.0 * g * (a - b)),
                    }
                });
                Ok(())
            })
        })?;
        let towards = Tensor::from_vec(towards, a.shape(), a.device())?;
        let back = match (b.track_op(), b.shape() == a.shape()) {
            (false, _) => None,
            (true, true) => Some(towards.neg()?),
            (true, false) => Some(towards.neg()?.sum_keepdim(0)?.reshape(b.shape())?),
        };
        Ok((Some(towards), back))
    }
}

fn mean_distance(a: &Tensor, b: &Tensor, distance: Distance) -> Result<Tensor> {
    if a.dims().get(1..) != b.dims().get(1..) || ![1, a.dim(0)?].contains(&b.dim(0)?) {
        candle_core::bail!("no distance between {:?} and {:?}", a.shape(), b.shape());
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, MeanDistance(distance))
}

/// `[n]`: the mean of |a - b| over all but the first dimension; `b` may have a first dimension of 1.
///
/// # Errors
/// When the shapes differ otherwise.
pub fn l1_mean(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if cpu::ours(&[a, b]) { mean_distance(a, b, Distance::Absolute) } else { composed::l1_mean(a, b) }
}

/// `[n]`: the mean of (a - b)^2 over all but the first dimension; `b` may have a first dimension of 1.
///
/// # Errors
/// When the shapes differ otherwise.
pub fn l2_mean(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if cpu::ours(&[a, b]) { mean_distance(a, b, Distance::Squared) } else { composed::l2_mean(a, b) }
}
