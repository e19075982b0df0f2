//! Every instruction set that this processor has against loops that cannot be wrong.

use super::conv::convolve;
use super::dense::{product, product_of_rows};
use super::plan::Plan;
use super::weight_gradient::weight_gradient;
use crate::ops::simd::InstructionSet;
use crate::ops::simd::panels::of;
use crate::ops::{Activation, ConvSpec};

/// Reproducible values in [-1, 1].
pub(crate) fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn assert_close(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= 2e-4 * (1.0 + w.abs()), "{what}: value {i} is {f} instead of {w}");
    }
}

/// Calls `each(x index, weight index, y index)` for every product of a convolution.
pub(crate) fn each_product(
    spec: &ConvSpec,
    (n, h, w): (usize, usize, usize),
    (oh, ow): (usize, usize),
    mut each: impl FnMut(usize, usize, usize),
) {
    let ConvSpec { inputs, outputs, kernel: k, stride, padding, transposed } = *spec;
    let (small, large) = if transposed { ((h, w), (oh, ow)) } else { ((oh, ow), (h, w)) };
    for b in 0..n {
        for (i, o) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
            for (sy, sx) in (0..small.0).flat_map(|y| (0..small.1).map(move |x| (y, x))) {
                for (ky, kx) in (0..k).flat_map(|y| (0..k).map(move |x| (y, x))) {
                    let (ly, lx) = (sy * stride + ky, sx * stride + kx);
                    if ly < padding || lx < padding || ly - padding >= large.0 || lx - padding >= large.1 {
                        continue;
                    }
                    let (ly, lx) = (ly - padding, lx - padding);
                    let ((xy, xx), (yy, yx)) = if transposed { ((sy, sx), (ly, lx)) } else { ((ly, lx), (sy, sx)) };
                    let pair = if transposed { i * outputs + o } else { o * inputs + i };
                    each(
                        ((b * inputs + i) * h + xy) * w + xx,
                        pair * k * k + ky * k + kx,
                        ((b * outputs + o) * oh + yy) * ow + yx,
                    );
                }
            }
        }
    }
}

/// A convolution, the size of its input and that of its output.
type Case = (ConvSpec, (usize, usize, usize), (usize, usize));

const CASES: [Case; 14] = [
    (spec(3, 5, 3, 1, 1, false), (2, 7, 5), (7, 5)),
    (spec(2, 17, 3, 1, 1, false), (1, 64, 64), (64, 64)),
    (spec(20, 33, 3, 1, 1, false), (3, 8, 8), (8, 8)),
    (spec(20, 3, 3, 1, 1, false), (5, 4, 4), (4, 4)),
    (spec(4, 6, 1, 1, 0, false), (2, 9, 33), (9, 33)),
    (spec(3, 8, 4, 2, 1, false), (2, 16, 16), (8, 8)),
    (spec(3, 8, 4, 2, 1, false), (1, 7, 9), (3, 4)),
    (spec(3, 8, 5, 3, 2, false), (1, 11, 10), (4, 4)),
    (spec(6, 7, 4, 1, 0, false), (2, 4, 4), (1, 1)),
    (spec(6, 7, 4, 2, 1, true), (2, 8, 8), (16, 16)),
    (spec(5, 29, 4, 2, 1, true), (3, 3, 5), (6, 10)),
    (spec(5, 3, 3, 2, 0, true), (1, 4, 4), (9, 9)),
    (spec(9, 4, 4, 1, 0, true), (4, 1, 1), (4, 4)),
    (spec(5, 3, 2, 3, 0, true), (1, 4, 5), (11, 14)),
];

/// Whether there is time for a case: Miri has little.
fn few_enough((spec, (n, ..), out): &Case) -> bool {
    !cfg!(miri) || spec.weight_shape().iter().product::<usize>() * n * out.0 * out.1 <= 5_000
}

const fn spec(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    transposed: bool,
) -> ConvSpec {
    ConvSpec { inputs, outputs, kernel, stride, padding, transposed }
}

#[test]
fn convolutions_agree_with_plain_loops() {
    for set in InstructionSet::runnable() {
        let kernels = of(set);
        for (spec, size, out) in CASES.into_iter().filter(few_enough) {
            let x = noise(size.0 * spec.inputs * size.1 * size.2, 1);
            let weight = noise(spec.weight_shape().iter().product(), 2);
            let bias = noise(spec.outputs, 3);
            let area = out.0 * out.1;
            let mut wanted: Vec<f32> =
                (0..size.0 * spec.outputs * area).map(|i| bias[i / area % spec.outputs]).collect();
            each_product(&spec, size, out, |xi, wi, yi| wanted[yi] += x[xi] * weight[wi]);
            for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2), Activation::Tanh] {
                let wanted: Vec<f32> = wanted.iter().map(|&v| activation.apply(v)).collect();
                let plan = Plan::new(kernels, &spec, &weight);
                let y = convolve(kernels, &plan, &x, size, out, Some(&bias), activation);
                assert_close(&y, &wanted, &format!("{} {spec:?} {size:?} {activation:?}", set.name()));
            }
        }
    }
}

#[test]
fn weight_gradients_agree_with_plain_loops() {
    for set in InstructionSet::runnable() {
        let kernels = of(set);
        for (spec, size, out) in CASES.into_iter().filter(few_enough) {
            let x = noise(size.0 * spec.inputs * size.1 * size.2, 4);
            let grad = noise(size.0 * spec.outputs * out.0 * out.1, 5);
            let mut wanted = vec![0.0; spec.weight_shape().iter().product()];
            each_product(&spec, size, out, |xi, wi, yi| wanted[wi] += x[xi] * grad[yi]);
            let geometry = (spec.kernel, spec.stride, spec.padding);
            let found = if spec.transposed {
                let (grad_size, channels) = ((size.0, out.0, out.1), (spec.outputs, spec.inputs));
                weight_gradient(kernels, &grad, grad_size, &x, (size.1, size.2), channels, geometry)
            } else {
                weight_gradient(kernels, &x, size, &grad, out, (spec.inputs, spec.outputs), geometry)
            };
            assert_close(&found, &wanted, &format!("{} {spec:?} {size:?}", set.name()));
        }
    }
}

#[test]
fn products_agree_with_plain_loops() {
    for set in InstructionSet::runnable() {
        let kernels = of(set);
        let sizes = [(1, 1, 1), (3, 70, 11), (17, 33, 100), (40, 5, 257)];
        for (rows, columns, depth) in sizes.into_iter().take(if cfg!(miri) { 2 } else { 4 }) {
            let (a, b) = (noise(rows * depth, 6), noise(depth * columns, 7));
            let mut wanted = vec![0.0; rows * columns];
            for (i, wanted) in wanted.iter_mut().enumerate() {
                *wanted = (0..depth).map(|k| a[i / columns * depth + k] * b[k * columns + i % columns]).sum();
            }
            let name = set.name();
            assert_close(&product(kernels, &a, (rows, depth), (depth, 1), &b, columns), &wanted, name);
            let across: Vec<f32> = (0..rows * depth).map(|i| a[i % rows * depth + i / rows]).collect();
            assert_close(&product(kernels, &across, (rows, 1), (depth, rows), &b, columns), &wanted, name);
            let turned: Vec<f32> = (0..columns * depth).map(|i| b[i % depth * columns + i / depth]).collect();
            assert_close(&product_of_rows(kernels, &a, &turned, depth), &wanted, name);
        }
    }
}
