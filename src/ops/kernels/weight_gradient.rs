//! The gradient of a convolution in its kernels.

use super::conv::Size;
use super::gather::{Grid, Source, Tap, gather, split};
use super::plan::conv_taps;
use crate::ops::simd::panels::{DOT_A, DOT_B, Kernels};
use crate::ops::simd::{Sharing, with_scratch};
use crate::ops::threads;

/// Output pixels in one round of dot products.
const ROUND: usize = 512;
/// Rows of the left side that are gathered at once.
const ROWS: usize = 64;

/// The sums over all output pixels of `grad: [n, outputs, out_h, out_w]` times the pixel of `x: [n, inputs, h, w]`
/// that each tap of a (k, stride, padding) convolution reads: `[outputs, inputs, k, k]`.
///
/// For a transposed convolution pass its input as `grad` and the gradient of its output as `x`: the result is then in
/// its own order, `[inputs, outputs, k, k]`.
///
/// # Panics
/// When the slices do not have the sizes stated.
#[allow(clippy::too_many_arguments)]
pub fn weight_gradient(
    kernels: &Kernels,
    x: &[f32],
    (n, h, w): Size,
    grad: &[f32],
    (out_h, out_w): (usize, usize),
    (inputs, outputs): (usize, usize),
    (kernel, stride, padding): (usize, usize, usize),
) -> Vec<f32> {
    assert!(x.len() == n * inputs * h * w && grad.len() == n * outputs * out_h * out_w);
    let planes;
    let source = if stride == 1 {
        Source { data: x, channels: inputs, planes: 1, height: h, width: w }
    } else {
        let (data, height, width) = split(x, h, w, stride);
        planes = data;
        Source { data: &planes, channels: inputs, planes: stride * stride, height, width }
    };
    let rows = Source { data: grad, channels: outputs, planes: 1, height: out_h, width: out_w };
    let taps = conv_taps(kernel, stride, padding);
    let grid = Grid { batch: n, rows: out_h, columns: out_w };
    let mut result = vec![0.0; outputs * inputs * taps.len()];
    let to = Sharing::new(&mut result);

    // Tasks own blocks of the result: some input channels by some output channels.
    let wanted = 3 * threads::count();
    let channels = (160 / taps.len()).clamp(1, inputs);
    let columns = inputs.div_ceil(channels);
    let bands = wanted.div_ceil(columns).min(outputs.div_ceil(16)).max(1);
    let band = outputs.div_ceil(bands);
    threads::for_each(columns * bands, |task| {
        let to = to.task(task);
        let first_input = task / bands * channels;
        let inputs_here = channels.min(inputs - first_input);
        let first_output = (task % bands * band).min(outputs);
        let outputs_here = band.min(outputs - first_output);
        let depth = inputs_here * taps.len();
        let round = ROUND.min(grid.len().next_multiple_of(kernels.lanes));
        // Not a power of two, or all rows would compete for the same lines of the cache.
        let length = round + kernels.lanes;
        with_scratch((depth + ROWS) * length, |scratch| {
            let (right, left) = scratch.split_at_mut(depth * length);
            for start in (0..grid.len()).step_by(round) {
                let count = round.min(grid.len() - start);
                let vectors = count.div_ceil(kernels.lanes);
                let used = vectors * kernels.lanes;
                let here = (first_input, inputs_here);
                gather(kernels, &source, &taps, here, &grid, (start, count), (vectors, length), right);
                for top in (first_output..first_output + outputs_here).step_by(ROWS) {
                    let rows_here = ROWS.min(first_output + outputs_here - top);
                    let tap = [Tap { plane: 0, dy: 0, dx: 0 }];
                    gather(kernels, &rows, &tap, (top, rows_here), &grid, (start, count), (vectors, length), left);
                    for j in (0..depth).step_by(DOT_B) {
                        let wide = DOT_B.min(depth - j);
                        for i in (0..rows_here).step_by(DOT_A) {
                            let tall = DOT_A.min(rows_here - i);
                            let mut block = [0.0; DOT_A * DOT_B];
                            let (a, b) = ((&left[i * length..], length), (&right[j * length..], length));
                            kernels.dot((tall, wide), used, a, b, &mut block);
                            for (y, block) in block.chunks_exact(DOT_B).take(tall).enumerate() {
                                let place = ((top + i + y) * inputs + first_input) * taps.len() + j;
                                to.with(place, wide, |to| {
                                    to.iter_mut().zip(block).for_each(|(to, value)| *to += value);
                                });
                            }
                        }
                    }
                }
            }
        });
    });
    result
}
