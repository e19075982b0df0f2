//! The operations of [`super`], put together from candle's own: for devices other than the CPU, and as the second
//! opinion of the tests. candle's pooling, nearest upsampling and bilinear upsampling are avoided, because their
//! gradients are wrong or missing in 0.11.1.

use super::Activation;
use candle_core::{D, Result, Tensor};

/// Convolution of `x: [n, cin, h, w]` with `w: [cout, cin, k, k]` and an optional `bias: [cout]`.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    add_bias(x.conv2d(w, padding, stride, 1, 1)?, bias)
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
    add_bias(x.conv_transpose2d(w, padding, 0, stride, 1)?, bias)
}

fn add_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// The activation of every element.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::LeakyRelu(slope) => x.relu()? - (x.neg()?.relu()? * f64::from(slope))?,
        Activation::Tanh => x.tanh(),
    }
}

/// Batch normalisation of `x: [n, c, h, w]` by its own mean and (biased) variance, then scale `gamma: [c]`, shift
/// `beta: [c]` and the activation. Also returns the mean and the biased variance, `[c]` each, without gradient.
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    activation: Activation,
) -> Result<(Tensor, Tensor, Tensor)> {
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let normal = centred.broadcast_div(&(&variance + epsilon)?.sqrt()?)?;
    let y = normal.broadcast_mul(&gamma.reshape((1, (), 1, 1))?)?.broadcast_add(&beta.reshape((1, (), 1, 1))?)?;
    Ok((activate(&y, activation)?, mean.flatten_all()?.detach(), variance.flatten_all()?.detach()))
}

/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`: the largest of every 2x2 square.
pub fn max_pool2(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape(&[n, c, h / 2, 2, w / 2, 2][..])?.max(5)?.max(3)
}

/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`: the mean of every 2x2 square.
pub fn avg_pool2(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape(&[n, c, h / 2, 2, w / 2, 2][..])?.mean(5)?.mean(3)
}

/// Twice the size by bilinear interpolation with half-pixel centres (`align_corners = false`).
pub fn upsample_bilinear2(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let rows = doubling(h, x)?;
    let columns = doubling(w, x)?;
    let tall = rows.broadcast_matmul(&x.reshape((n * c, h, w))?)?; // [n * c, 2h, w]
    tall.broadcast_matmul(&columns.t()?.contiguous()?)?.reshape((n, c, 2 * h, 2 * w))
}

/// The matrix `[2 * size, size]` that doubles one axis.
fn doubling(size: usize, like: &Tensor) -> Result<Tensor> {
    let mut matrix = vec![0f32; 2 * size * size];
    for out in 0..2 * size {
        let position = ((out as f32 + 0.5) / 2.0 - 0.5).max(0.0);
        let low = position as usize;
        let share = position - low as f32;
        matrix[out * size + low] += 1.0 - share;
        matrix[out * size + (low + 1).min(size - 1)] += share;
    }
    Tensor::from_vec(matrix, (2 * size, size), like.device())?.to_dtype(like.dtype())
}

/// Twice the size by repeating every pixel.
pub fn upsample_nearest2(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape(&[n, c, h, 1, w, 1][..])?.broadcast_as(&[n, c, h, 2, w, 2][..])?.reshape((n, c, 2 * h, 2 * w))
}

/// `[n]`: the mean of |a - b| over all but the first dimension; `b` may have a first dimension of 1.
pub fn l1_mean(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.broadcast_sub(b)?.abs()?.flatten_from(1)?.mean(D::Minus1)
}

/// `[n]`: the mean of (a - b)^2 over all but the first dimension; `b` may have a first dimension of 1.
pub fn l2_mean(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.broadcast_sub(b)?.sqr()?.flatten_from(1)?.mean(D::Minus1)
}
