//! Halving and doubling the size of pictures, with the gradients that candle 0.11.1 lacks or gets wrong.

use super::{composed, cpu, threads};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

#[derive(Clone, Copy, PartialEq)]
enum Resample {
    MaxPool,
    AveragePool,
    Bilinear,
    Nearest,
}

impl Resample {
    fn halves(self) -> bool {
        matches!(self, Self::MaxPool | Self::AveragePool)
    }

    fn output(self, (h, w): (usize, usize)) -> (usize, usize) {
        if self.halves() { (h / 2, w / 2) } else { (2 * h, 2 * w) }
    }

    /// One plane from `[h, w]` to its output.
    fn forward(self, from: &[f32], w: usize, to: &mut [f32]) {
        match self {
            Self::MaxPool => halve(from, w, to, |a, b, c, d| a.max(b).max(c.max(d))),
            Self::AveragePool => halve(from, w, to, |a, b, c, d| ((a + b) + (c + d)) * 0.25),
            Self::Bilinear => bilinear(from, w, to),
            Self::Nearest => {
                for (row, to) in to.chunks_exact_mut(4 * w).enumerate() {
                    let from = &from[row * w..][..w];
                    let (first, second) = to.split_at_mut(2 * w);
                    first.as_chunks_mut::<2>().0.iter_mut().zip(from).for_each(|(pair, &v)| *pair = [v, v]);
                    second.copy_from_slice(first);
                }
            }
        }
    }

    /// The gradient of one plane `[h, w]` from that of its output; `from` and `out` are what went in and came out.
    fn backward(self, from: &[f32], w: usize, grad: &[f32], to: &mut [f32]) {
        let half = w / 2;
        match self {
            Self::MaxPool => {
                for (row, grad) in grad.chunks_exact(half).enumerate() {
                    let at = 2 * row * w;
                    for (x, &g) in grad.iter().enumerate() {
                        let places = [at + 2 * x, at + 2 * x + 1, at + w + 2 * x, at + w + 2 * x + 1];
                        let mut best = places[0];
                        for place in places {
                            if from[place] > from[best] {
                                best = place;
                            }
                        }
                        to[best] = g;
                    }
                }
            }
            Self::AveragePool => {
                for (row, grad) in grad.chunks_exact(half).enumerate() {
                    for line in to[2 * row * w..][..2 * w].chunks_exact_mut(w) {
                        let pairs = line.as_chunks_mut::<2>().0;
                        pairs.iter_mut().zip(grad).for_each(|(pair, g)| *pair = [g * 0.25; 2]);
                    }
                }
            }
            Self::Bilinear => bilinear_backward(grad, w, to),
            Self::Nearest => halve(grad, 2 * w, to, |a, b, c, d| (a + b) + (c + d)),
        }
    }
}

/// `to[y][x]` from the 2x2 square of `from` below it; a last odd row or column is left out.
fn halve(from: &[f32], w: usize, to: &mut [f32], with: impl Fn(f32, f32, f32, f32) -> f32) {
    let half = w / 2;
    for (row, to) in to.chunks_exact_mut(half.max(1)).enumerate() {
        let upper = from[2 * row * w..][..w].as_chunks::<2>().0;
        let lower = from[(2 * row + 1) * w..][..w].as_chunks::<2>().0;
        to.iter_mut().zip(upper).zip(lower).for_each(|((to, a), b)| *to = with(a[0], a[1], b[0], b[1]));
    }
}

/// Doubles one plane, half-pixel centres: output 2i is 3/4 of input i and 1/4 of i - 1, output 2i + 1 is 3/4 of i and
/// 1/4 of i + 1, the borders repeated.
fn bilinear(from: &[f32], w: usize, to: &mut [f32]) {
    let h = from.len() / w;
    let mut line = vec![0.0; w];
    for (y, to) in to.chunks_exact_mut(2 * w).enumerate() {
        let near = &from[y / 2 * w..][..w];
        let far = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(h - 1) };
        let far = &from[far * w..][..w];
        line.iter_mut().zip(near).zip(far).for_each(|((line, near), far)| *line = 0.75 * near + 0.25 * far);
        let pairs = to.as_chunks_mut::<2>().0;
        pairs[0][0] = line[0];
        pairs[w - 1][1] = line[w - 1];
        for x in 1..w {
            pairs[x][0] = 0.75 * line[x] + 0.25 * line[x - 1];
            pairs[x - 1][1] = 0.75 * line[x - 1] + 0.25 * line[x];
        }
    }
}

/// The transpose of [`bilinear`]; `to` starts at 0.
fn bilinear_backward(grad: &[f32], w: usize, to: &mut [f32]) {
    let h = to.len() / w;
    let mut line = vec![0.0; w];
    for (y, grad) in grad.chunks_exact(2 * w).enumerate() {
        let pairs = grad.as_chunks::<2>().0;
        for (x, line) in line.iter_mut().enumerate() {
            let left = if x > 0 { pairs[x - 1][1] } else { pairs[0][0] };
            let right = if x + 1 < w { pairs[x + 1][0] } else { pairs[w - 1][1] };
            *line = 0.75 * (pairs[x][0] + pairs[x][1]) + 0.25 * (left + right);
        }
        let far = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(h - 1) };
        for (row, share) in [(y / 2, 0.75), (far, 0.25)] {
            to[row * w..][..w].iter_mut().zip(&line).for_each(|(to, line)| *to += share * line);
        }
    }
}

/// Planes in a piece of work.
fn group(area: usize) -> usize {
    (1usize << 14).div_ceil(area.max(1))
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = cpu::values(storage, layout)?;
        let (n, c, h, w) = layout.shape().dims4()?;
        let (out_h, out_w) = self.output((h, w));
        let mut y = vec![0.0; n * c * out_h * out_w];
        let group = group(h * w);
        threads::for_each_chunk(&mut y, group * out_h * out_w, |i, y| {
            for (j, y) in y.chunks_exact_mut(out_h * out_w).enumerate() {
                self.forward(&x[(i * group + j) * h * w..][..h * w], w, y);
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((n, c, out_h, out_w))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, c, h, w) = x.dims4()?;
        let (out_h, out_w) = self.output((h, w));
        let mut back = vec![0.0; n * c * h * w];
        let group = group(h * w);
        cpu::with_values(x, |x| {
            cpu::with_values(&grad.contiguous()?, |grad| {
                threads::for_each_chunk(&mut back, group * h * w, |i, back| {
                    for (j, back) in back.chunks_exact_mut(h * w).enumerate() {
                        let at = i * group + j;
                        let grad = &grad[at * out_h * out_w..][..out_h * out_w];
                        self.backward(&x[at * h * w..][..h * w], w, grad, back);
                    }
                });
                Ok(())
            })
        })?;
        Tensor::from_vec(back, x.shape(), x.device()).map(Some)
    }
}

fn resample(x: &Tensor, how: Resample, elsewhere: fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if n * c * h * w == 0 || (how.halves() && (h < 2 || w < 2)) {
        candle_core::bail!("pictures {:?} cannot be resampled", x.shape());
    }
    if cpu::ours(&[x]) { x.contiguous()?.apply_op1(how) } else { elsewhere(x) }
}

/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`: the largest of every 2x2 square.
///
/// # Errors
/// When there is no square.
pub fn max_pool2(x: &Tensor) -> Result<Tensor> {
    resample(x, Resample::MaxPool, composed::max_pool2)
}

/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`: the mean of every 2x2 square.
///
/// # Errors
/// When there is no square.
pub fn avg_pool2(x: &Tensor) -> Result<Tensor> {
    resample(x, Resample::AveragePool, composed::avg_pool2)
}

/// Twice the size by bilinear interpolation with half-pixel centres (`align_corners = false`).
///
/// # Errors
/// When the pictures are empty.
pub fn upsample_bilinear2(x: &Tensor) -> Result<Tensor> {
    resample(x, Resample::Bilinear, composed::upsample_bilinear2)
}

/// Twice the size by repeating every pixel.
///
/// # Errors
/// When the pictures are empty.
pub fn upsample_nearest2(x: &Tensor) -> Result<Tensor> {
    resample(x, Resample::Nearest, composed::upsample_nearest2)
}

/// The Laplacian pyramid of `image: [n, c, s, s]`: what 2x2 averaging and bilinear doubling lose at each scale, the
/// finest first, and the low pass last.
///
/// # Errors
/// When the image cannot be halved so often.
pub fn laplacian_pyramid(image: &Tensor, levels: usize) -> Result<Vec<Tensor>> {
    let mut bands = Vec::with_capacity(levels);
    let mut image = image.clone();
    for _ in 1..levels {
        let low = avg_pool2(&image)?;
        bands.push((&image - upsample_bilinear2(&low)?)?);
        image = low;
    }
    bands.push(image);
    Ok(bands)
}
