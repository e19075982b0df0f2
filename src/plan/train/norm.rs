//! Batch normalisation of a laid-out map by the statistics of its pictures, forward and backward. The pictures come in
//! one part or more, each normalised by itself; all sums of a plane are brought together in double precision.

use super::super::cpu::Kernels;
use super::super::layout::{LANES, Layout};
use crate::ops::simd::Simd;
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::{Activation, threads};

type Vector = [f32; LANES];

/// Planes of a task: enough that small ones are not handed over one by one.
fn together(layout: &Layout) -> usize {
    (1usize << 13).div_ceil(layout.plane())
}

/// The rows of a plane without its frame.
#[inline(always)]
fn rows(plane: &[f32], width: usize) -> impl Iterator<Item = &[Vector]> {
    let height = plane.len() / ((width + 2) * LANES) - 2;
    plane.as_chunks::<LANES>().0.chunks_exact(width + 2).skip(1).take(height).map(move |row| &row[1..=width])
}

#[inline(always)]
fn rows_mut(plane: &mut [f32], width: usize) -> impl Iterator<Item = &mut [Vector]> {
    let height = plane.len() / ((width + 2) * LANES) - 2;
    plane
        .as_chunks_mut::<LANES>()
        .0
        .chunks_exact_mut(width + 2)
        .skip(1)
        .take(height)
        .map(move |row| &mut row[1..=width])
}

/// Adds a vector of short sums to sums in double precision.
#[inline(always)]
fn gather<S: Simd>(total: &mut [f64], sums: [Wide<S>; 4]) {
    let mut values = [0.0; LANES];
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(&mut values);
    total.iter_mut().zip(values).for_each(|(total, value)| *total += f64::from(value));
}

/// The means of a plane's channels, and the sums of their squared differences from it: 16 values each.
struct PlaneMoments<'a> {
    plane: &'a [f32],
    width: usize,
    to: &'a mut [f64],
}

impl Work for PlaneMoments<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { plane, width, to } = self;
        let count = (rows(plane, width).count() * width) as f64;
        let (means, squares) = to.split_at_mut(LANES);
        PlaneSum { plane, width, to: means }.run::<S>();
        squares.fill(0.0);
        let mut near = [0.0; LANES];
        for (mean, near) in means.iter_mut().zip(&mut near) {
            *mean /= count;
            *near = *mean as f32;
        }
        let middle = Wide::<S>::load(&near);
        for row in rows(plane, width) {
            for part in row.chunks(32) {
                let mut sums = [Wide::<S>::splat(0.0); 4];
                for four in part.chunks(4) {
                    for (sum, value) in sums.iter_mut().zip(four) {
                        let difference = Wide::load(value).subtract(middle);
                        *sum = sum.add(difference.multiply(difference));
                    }
                }
                gather(squares, sums);
            }
        }
        for ((square, mean), near) in squares.iter_mut().zip(means).zip(near) {
            *square -= count * (*mean - f64::from(near)).powi(2);
        }
    }
}

/// Mean and biased variance of every lane of a map for every part: `[parts][blocks * 16]` each.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// The means.
    pub means: Vec<f64>,
    /// The variances.
    pub variances: Vec<f64>,
}

/// The moments of the first `count` pictures of a map, in so many parts of equal size.
pub fn moments(kernels: &Kernels, layout: &Layout, (count, parts): (usize, usize), map: &[f32]) -> Moments {
    let (planes, blocks) = (count * layout.lanes.len(), layout.lanes.len());
    let mut each = vec![0.0; planes * 2 * LANES];
    let group = together(layout);
    threads::for_each_chunk(&mut each, group * 2 * LANES, |i, each| {
        for (j, to) in each.chunks_exact_mut(2 * LANES).enumerate() {
            let plane = &map[(i * group + j) * layout.plane()..][..layout.plane()];
            run(kernels, PlaneMoments { plane, width: layout.width, to });
        }
    });
    let (here, area) = (count / parts, (layout.height * layout.width) as f64);
    let mut found = Moments { means: vec![0.0; parts * blocks * LANES], variances: vec![0.0; parts * blocks * LANES] };
    for part in 0..parts {
        let at = part * blocks * LANES..(part + 1) * blocks * LANES;
        let (means, variances) = (&mut found.means[at.clone()], &mut found.variances[at]);
        let pictures = || each.chunks_exact(blocks * 2 * LANES).skip(part * here).take(here);
        for (i, mean) in means.iter_mut().enumerate() {
            let place = i / LANES * 2 * LANES + i % LANES;
            *mean = pictures().map(|each| each[place]).sum::<f64>() / here as f64;
            let squares = pictures().map(|each| each[place + LANES] + area * (each[place] - *mean).powi(2));
            variances[i] = squares.sum::<f64>() / (here as f64 * area);
        }
    }
    found
}

/// One plane normalised, scaled, shifted and activated.
struct Normalised<'a> {
    from: &'a [f32],
    width: usize,
    scale: &'a Vector,
    shift: &'a Vector,
    activation: Activation,
    to: &'a mut [f32],
}

impl Work for Normalised<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { from, width, scale, shift, activation, to } = self;
        let (scale, shift, zero) = (Wide::<S>::load(scale), Wide::<S>::load(shift), Wide::<S>::splat(0.0));
        for (from, to) in rows(from, width).zip(rows_mut(to, width)) {
            for (from, to) in from.iter().zip(to) {
                let value = Wide::<S>::load(from).multiply(scale).add(shift);
                match activation {
                    Activation::None => value.store(to),
                    Activation::Relu => value.maximum(zero).store(to),
                    Activation::LeakyRelu(slope) => {
                        value.where_positive(value, value.multiply(Wide::splat(slope))).store(to);
                    }
                    Activation::Tanh => {
                        value.store(to);
                        to.iter_mut().for_each(|value| *value = activation.apply(*value));
                    }
                }
            }
        }
    }
}

/// Factors or summands of every lane, `[parts][blocks * 16]`: those of a plane.
fn of_plane<'a>(values: &'a [f32], layout: &Layout, picture: usize, block: usize, here: usize) -> &'a Vector {
    &values.as_chunks::<LANES>().0[picture / here * layout.lanes.len() + block]
}

/// `to = activation(from * scale + shift)` for the first `count` pictures; scales and shifts are `[parts][blocks * 16]`.
pub fn normalise(
    kernels: &Kernels,
    layout: &Layout,
    (count, parts): (usize, usize),
    from: &[f32],
    (scales, shifts): (&[f32], &[f32]),
    activation: Activation,
    to: &mut [f32],
) {
    let (group, plane, blocks, here) = (together(layout), layout.plane(), layout.lanes.len(), count / parts);
    threads::for_each_chunk(&mut to[..count * layout.image()], group * plane, |i, to| {
        for (j, to) in to.chunks_exact_mut(plane).enumerate() {
            let index = i * group + j;
            let (picture, block) = (index / blocks, index % blocks);
            let scale = of_plane(scales, layout, picture, block, here);
            let shift = of_plane(shifts, layout, picture, block, here);
            let from = &from[index * plane..][..plane];
            run(kernels, Normalised { from, width: layout.width, scale, shift, activation, to });
        }
    });
}

/// The sums of a plane's gradients, and of their products with the normalised values: 16 values each.
struct PlaneSums<'a> {
    values: &'a [f32],
    gradients: &'a [f32],
    width: usize,
    mean: &'a Vector,
    inverse: &'a Vector,
    to: &'a mut [f64],
}

impl Work for PlaneSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { values, gradients, width, mean, inverse, to } = self;
        let (mean, inverse) = (Wide::<S>::load(mean), Wide::<S>::load(inverse));
        to.fill(0.0);
        let (first, second) = to.split_at_mut(LANES);
        for (values, gradients) in rows(values, width).zip(rows(gradients, width)) {
            for (values, gradients) in values.chunks(32).zip(gradients.chunks(32)) {
                let (mut sums, mut products) = ([Wide::<S>::splat(0.0); 4], [Wide::<S>::splat(0.0); 4]);
                for (values, gradients) in values.chunks(4).zip(gradients.chunks(4)) {
                    let pairs = values.iter().zip(gradients);
                    for ((sum, product), (value, gradient)) in sums.iter_mut().zip(&mut products).zip(pairs) {
                        let gradient = Wide::load(gradient);
                        let normalised = Wide::load(value).subtract(mean).multiply(inverse);
                        *sum = sum.add(gradient);
                        *product = product.add(gradient.multiply(normalised));
                    }
                }
                gather(first, sums);
                gather(second, products);
            }
        }
    }
}

/// The sums of a plane's channels: 16 values.
struct PlaneSum<'a> {
    plane: &'a [f32],
    width: usize,
    to: &'a mut [f64],
}

impl Work for PlaneSum<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { plane, width, to } = self;
        to.fill(0.0);
        for row in rows(plane, width) {
            for part in row.chunks(32) {
                let mut sums = [Wide::<S>::splat(0.0); 4];
                for four in part.chunks(4) {
                    for (sum, value) in sums.iter_mut().zip(four) {
                        *sum = sum.add(Wide::load(value));
                    }
                }
                gather(to, sums);
            }
        }
    }
}

/// The sum of every lane of a map over the first `count` pictures, `[blocks * 16]`: the gradient in a bias.
pub fn sums(kernels: &Kernels, layout: &Layout, count: usize, map: &[f32]) -> Vec<f32> {
    let (group, plane, blocks) = (together(layout), layout.plane(), layout.lanes.len());
    let mut each = vec![0.0; count * blocks * LANES];
    threads::for_each_chunk(&mut each, group * LANES, |i, each| {
        for (j, to) in each.chunks_exact_mut(LANES).enumerate() {
            let plane = &map[(i * group + j) * plane..][..plane];
            run(kernels, PlaneSum { plane, width: layout.width, to });
        }
    });
    let lane = |lane| each.chunks_exact(blocks * LANES).map(|each| each[lane]).sum::<f64>() as f32;
    (0..blocks * LANES).map(lane).collect()
}

/// The gradient of one plane before the normalisation.
struct Unnormalised<'a> {
    values: &'a [f32],
    width: usize,
    mean: &'a Vector,
    inverse: &'a Vector,
    scale: &'a Vector,
    sum: &'a Vector,
    product: &'a Vector,
    gradients: &'a mut [f32],
}

impl Work for Unnormalised<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { values, width, mean, inverse, scale, sum, product, gradients } = self;
        let [mean, inverse, scale, sum, product] = [mean, inverse, scale, sum, product].map(Wide::<S>::load);
        for (values, gradients) in rows(values, width).zip(rows_mut(gradients, width)) {
            for (value, gradient) in values.iter().zip(gradients) {
                let normalised = Wide::<S>::load(value).subtract(mean).multiply(inverse);
                let rest = Wide::load(gradient).subtract(sum).subtract(normalised.multiply(product));
                rest.multiply(scale).store(gradient);
            }
        }
    }
}

/// What a normalisation keeps for its backward pass, `[parts][blocks * 16]` each.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The means of the batch.
    pub means: Vec<f32>,
    /// 1 / sqrt(variance + epsilon).
    pub inverses: Vec<f32>,
    /// The same times gamma.
    pub scales: Vec<f32>,
}

impl Kept {
    /// From the moments and the scales and shifts of the channels, with the shifts of the whole in every part. Lanes
    /// without a channel stay zero.
    pub fn new(moments: &Moments, scales: &[f32], shifts: &[f32], epsilon: f64, lanes: usize) -> (Self, Vec<f32>) {
        let zeros = vec![0.0; moments.means.len()];
        let mut kept = Self { means: zeros.clone(), inverses: zeros.clone(), scales: zeros.clone() };
        let mut moved = zeros;
        for (i, (mean, variance)) in moments.means.iter().zip(&moments.variances).enumerate() {
            let (Some(scale), Some(shift)) = (scales.get(i % lanes), shifts.get(i % lanes)) else { continue };
            let inverse = 1.0 / (variance + epsilon).sqrt();
            let whole = f64::from(*scale) * inverse;
            kept.means[i] = *mean as f32;
            kept.inverses[i] = inverse as f32;
            kept.scales[i] = whole as f32;
            moved[i] = (f64::from(*shift) - mean * whole) as f32;
        }
        (kept, moved)
    }
}

/// Turns the gradients behind a normalisation into those before it, and returns the gradients of scale and shift, a
/// value a lane. `values` is the map before the normalisation.
pub fn unnormalise(
    kernels: &Kernels,
    layout: &Layout,
    (count, parts): (usize, usize),
    values: &[f32],
    kept: &Kept,
    gradients: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let (group, plane, blocks, here) = (together(layout), layout.plane(), layout.lanes.len(), count / parts);
    let of = |values, index| of_plane(values, layout, index / blocks, index % blocks, here);
    let mut each = vec![0.0; count * blocks * 2 * LANES];
    let before = &*gradients;
    threads::for_each_chunk(&mut each, group * 2 * LANES, |i, each| {
        for (j, to) in each.chunks_exact_mut(2 * LANES).enumerate() {
            let index = i * group + j;
            let (mean, inverse) = (of(&kept.means, index), of(&kept.inverses, index));
            let at = index * plane..(index + 1) * plane;
            let (values, gradients) = (&values[at.clone()], &before[at]);
            run(kernels, PlaneSums { values, gradients, width: layout.width, mean, inverse, to });
        }
    });
    let pixels = (here * layout.height * layout.width) as f64;
    let (mut scales, mut shifts) = (vec![0.0; blocks * LANES], vec![0.0; blocks * LANES]);
    let (mut sums, mut products) = (vec![0.0; parts * blocks * LANES], vec![0.0; parts * blocks * LANES]);
    for (i, (sum_to, product_to)) in sums.iter_mut().zip(&mut products).enumerate() {
        let (part, lane) = (i / (blocks * LANES), i % (blocks * LANES));
        let place = lane / LANES * 2 * LANES + lane % LANES;
        let pictures = || each.chunks_exact(blocks * 2 * LANES).skip(part * here).take(here);
        let sum = pictures().map(|each| each[place]).sum::<f64>();
        let product = pictures().map(|each| each[place + LANES]).sum::<f64>();
        (*sum_to, *product_to) = ((sum / pixels) as f32, (product / pixels) as f32);
        shifts[lane] += sum;
        scales[lane] += product;
    }
    threads::for_each_chunk(&mut gradients[..count * layout.image()], group * plane, |i, gradients| {
        for (j, gradients) in gradients.chunks_exact_mut(plane).enumerate() {
            let index = i * group + j;
            let values = &values[index * plane..][..plane];
            let [mean, inverse, scale, sum, product] =
                [&kept.means, &kept.inverses, &kept.scales, &sums, &products].map(|values| of(values, index));
            let width = layout.width;
            run(kernels, Unnormalised { values, width, mean, inverse, scale, sum, product, gradients });
        }
    });
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    (single(scales), single(shifts))
}
