//! Batch normalisation by the statistics of the batch (Ioffe & Szegedy, ICML 2015), with its activation.

use super::{Activation, composed, cpu, threads};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::{Arc, OnceLock};

/// Mean and biased variance of a channel.
pub(super) type Moments = (f32, f32);

struct BatchNorm {
    epsilon: f64,
    activation: Activation,
    /// Of every channel; set by the forward pass.
    moments: Arc<OnceLock<Vec<Moments>>>,
}

/// The planes of one channel in all pictures.
fn planes(values: &[f32], channel: usize, channels: usize, area: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(area).skip(channel).step_by(channels)
}

/// Sums of `f(a, b)` over two slices: two results at once, in short vectorised pieces added in double precision.
fn sums(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> (f32, f32)) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for (a, b) in a.chunks(512).zip(b.chunks(512)) {
        let (mut first, mut second) = ([0f32; 16], [0f32; 16]);
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            for (((x, y), &a), &b) in first.iter_mut().zip(&mut second).zip(a).zip(b) {
                let (p, q) = f(a, b);
                *x += p;
                *y += q;
            }
        }
        total.0 += f64::from(first.iter().sum::<f32>());
        total.1 += f64::from(second.iter().sum::<f32>());
    }
    total
}

/// `to` and the planes it is computed from, channel by channel on all threads. Each picture is one piece of work.
fn for_each_plane(to: &mut [f32], channels: usize, area: usize, work: impl Fn(usize, usize, &mut [f32]) + Sync + Send) {
    let group = (1usize << 14).div_ceil(area.max(1));
    threads::for_each_chunk(to, group * area, |i, to| {
        for (j, plane) in to.chunks_mut(area).enumerate() {
            let index = i * group + j;
            work(index, index % channels, plane);
        }
    });
}

/// What normalising a batch comes to: `x` has `channels` channels of `area` values in each picture.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) channels: usize,
    pub(super) area: usize,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
}

impl Form {
    /// For batches `[n, c, h, w]` that are not empty.
    pub(super) fn new(x: &Shape, epsilon: f64, activation: Activation) -> Result<Self> {
        let (n, channels, h, w) = x.dims4()?;
        if n * h * w * channels == 0 {
            candle_core::bail!("a batch {x:?} cannot be normalised");
        }
        Ok(Self { channels, area: h * w, epsilon: epsilon as f32, activation })
    }

    fn inverse(&self, variance: f32) -> f32 {
        1.0 / (variance + self.epsilon).sqrt()
    }

    /// Mean and biased variance of every channel.
    pub(super) fn moments(&self, x: &[f32]) -> Vec<Moments> {
        let Self { channels, area, .. } = *self;
        let count = (x.len() / channels) as f64;
        let mut moments = vec![(0.0, 0.0); channels];
        threads::for_each_chunk(&mut moments, 4, |i, moments| {
            for (j, moments) in moments.iter_mut().enumerate() {
                let channel = || planes(x, 4 * i + j, channels, area);
                let mean = (channel().map(|p| sums(p, p, |x, _| (x, 0.0)).0).sum::<f64>() / count) as f32;
                let squares = channel().map(|p| sums(p, p, |x, _| ((x - mean) * (x - mean), 0.0)).0).sum::<f64>();
                *moments = (mean, (squares / count) as f32);
            }
        });
        moments
    }

    /// The normalised, scaled, shifted and activated values.
    pub(super) fn forward(&self, x: &[f32], gamma: &[f32], beta: &[f32], moments: &[Moments]) -> Vec<f32> {
        let Self { channels, area, .. } = *self;
        let mut y = vec![0.0; x.len()];
        for_each_plane(&mut y, channels, area, |index, c, y| {
            let (mean, variance) = moments[c];
            let scale = gamma[c] * self.inverse(variance);
            let shift = beta[c] - mean * scale;
            let x = &x[index * area..][..area];
            match self.activation {
                // A loop of its own, without a choice in it.
                Activation::Relu => {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = Activation::Relu.apply(x * scale + shift));
                }
                other => y.iter_mut().zip(x).for_each(|(y, x)| *y = other.apply(x * scale + shift)),
            }
        });
        y
    }

    /// The gradient in `x`, and of every channel the sums that are the gradients of its shift and of its scale.
    pub(super) fn backward(
        &self,
        x: &[f32],
        gamma: &[f32],
        moments: &[Moments],
        y: &[f32],
        grad: &[f32],
    ) -> (Vec<f32>, Vec<(f32, f32)>) {
        let Self { channels, area, activation, .. } = *self;
        let count = (x.len() / channels) as f32;
        let mut totals = vec![(0f32, 0f32); channels];
        let mut back = vec![0.0; x.len()];
        for_each_plane(&mut back, channels, area, |index, _, back| {
            let at = index * area..(index + 1) * area;
            let pairs = back.iter_mut().zip(&y[at.clone()]).zip(&grad[at]);
            match activation {
                Activation::Relu => pairs.for_each(|((b, &y), &g)| *b = if y > 0.0 { g } else { 0.0 }),
                other => pairs.for_each(|((b, &y), &g)| *b = g * other.slope(y)),
            }
        });
        threads::for_each_chunk(&mut totals, 4, |i, totals| {
            for (j, totals) in totals.iter_mut().enumerate() {
                let c = 4 * i + j;
                let (mean, variance) = moments[c];
                let inverse = self.inverse(variance);
                let pairs = planes(x, c, channels, area).zip(planes(&back, c, channels, area));
                let total = pairs
                    .map(|(x, g)| sums(x, g, |x, g| (g, g * (x - mean) * inverse)))
                    .fold((0.0, 0.0), |t, s| (t.0 + s.0, t.1 + s.1));
                *totals = (total.0 as f32, total.1 as f32);
            }
        });
        for_each_plane(&mut back, channels, area, |index, c, back| {
            let (mean, variance) = moments[c];
            let inverse = self.inverse(variance);
            let (sum, product) = (totals[c].0 / count, totals[c].1 / count);
            let scale = gamma[c] * inverse;
            let x = &x[index * area..][..area];
            back.iter_mut().zip(x).for_each(|(b, x)| *b = scale * (*b - sum - (x - mean) * inverse * product));
        });
        (back, totals)
    }
}

/// A vector of one of the two sums, shaped as a parameter.
fn of_totals(totals: &[(f32, f32)], pick: fn(&(f32, f32)) -> f32, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(totals.iter().map(pick).collect::<Vec<_>>(), like.shape(), like.device())
}

impl BatchNorm {
    fn form(&self, x: &Shape) -> Result<Form> {
        Form::new(x, self.epsilon, self.activation)
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch normalisation"
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
        let (x, gamma, beta) = (cpu::values(s1, l1)?, cpu::values(s2, l2)?, cpu::values(s3, l3)?);
        let form = self.form(l1.shape())?;
        if gamma.len() != form.channels || beta.len() != form.channels {
            candle_core::bail!("a batch {:?} cannot be normalised by {} scales", l1.shape(), gamma.len());
        }
        let moments = form.moments(x);
        let y = form.forward(x, gamma, beta, &moments);
        let _ = self.moments.set(moments);
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let form = self.form(x.shape())?;
        let Some(moments) = self.moments.get() else {
            candle_core::bail!("batch normalisation was run backward before forward")
        };
        let scales = gamma.to_vec1::<f32>()?;
        let grad = grad.contiguous()?;
        let (back, totals) = cpu::with_values(x, |x| {
            cpu::with_values(y, |y| cpu::with_values(&grad, |grad| Ok(form.backward(x, &scales, moments, y, grad))))
        })?;
        let back = Tensor::from_vec(back, x.shape(), x.device())?;
        let (scale, shift) = (of_totals(&totals, |t| t.1, gamma)?, of_totals(&totals, |t| t.0, beta)?);
        Ok((Some(back), Some(scale), Some(shift)))
    }
}

/// Batch normalisation of `x: [n, c, h, w]` by its own mean and (biased) variance, then scale `gamma: [c]`, shift
/// `beta: [c]` and the activation. Also returns the mean and the biased variance, `[c]` each, without gradient.
///
/// # Errors
/// When the shapes do not fit.
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    activation: Activation,
) -> Result<(Tensor, Tensor, Tensor)> {
    if !cpu::ours(&[x, gamma, beta]) {
        return composed::batch_norm(x, gamma, beta, epsilon, activation);
    }
    let moments = Arc::new(OnceLock::new());
    let norm = BatchNorm { epsilon, activation, moments: moments.clone() };
    let y = x.contiguous()?.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, norm)?;
    let Some(moments) = moments.get() else { candle_core::bail!("batch normalisation left no statistics") };
    let (means, variances): (Vec<f32>, Vec<f32>) = moments.iter().copied().unzip();
    let channels = means.len();
    let device = x.device();
    Ok((y, Tensor::from_vec(means, channels, device)?, Tensor::from_vec(variances, channels, device)?))
}
