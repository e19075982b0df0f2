//! The loops over vectors of what imported generators have beside convolutions.

use super::super::graph::{Apply, Taps};
use super::super::layout::LANES;
use super::elementwise::{Plane, Source, Target, Vector, load, rows, seen_row, store};
use crate::ops::simd::Simd;
use crate::ops::simd::tiles::{Finish, Kernels};
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::threads;
use candle_core::cpu::erf::erf_f32;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Pixels in a piece of work, at least.
const PIECE: usize = 1 << 10;

/// What becomes of one value.
pub(super) fn function(what: &Apply, x: f32) -> f32 {
    match what {
        Apply::InverseRoot(factor) => factor / x.sqrt(),
        Apply::Uniform => erf_f32(x * FRAC_1_SQRT_2),
        _ => x * x,
    }
}

/// The derivative of [`function`].
pub(super) fn slope(what: &Apply, x: f32) -> f32 {
    match what {
        Apply::InverseRoot(factor) => -0.5 * factor / (x * x.sqrt()),
        Apply::Uniform => (2.0 / PI).sqrt() * (-0.5 * x * x).exp(),
        _ => 2.0 * x,
    }
}

/// A value after the other, `of(picture, block, row)(column, lane)`; lanes without a channel stay zero.
pub(super) fn value_by_value<F: Fn(usize, usize) -> f32>(
    kernels: &Kernels,
    count: usize,
    to: Target,
    of: impl Fn(usize, usize, usize) -> F + Sync + Send,
) {
    let (finish, width) = (to.finish, to.layout.width);
    let lanes = to.layout.lanes[to.layout.groups[to.group].clone()].to_vec();
    to.for_each(count, |picture, block, to, seen| {
        for (y, to) in rows(to, width).enumerate() {
            let of = of(picture, block, y);
            let value = |i| std::array::from_fn(|lane| if lane < lanes[block] { of(i, lane) } else { 0.0 });
            let values: Vec<Vector> = (0..width).map(value).collect();
            run(kernels, Stored { values: &values, to, finish, seen: seen_row(&seen, y) });
        }
    });
}

/// Values to be finished and stored.
struct Stored<'a> {
    values: &'a [Vector],
    to: &'a mut [Vector],
    finish: Finish,
    seen: &'a [Vector],
}

impl Work for Stored<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { values, to, finish, seen } = self;
        for (i, value) in values.iter().enumerate() {
            store(&finish, to, seen, i, Wide::<S>::load(value));
        }
    }
}

/// For every pixel of every picture, what its channels are multiplied by, and, with the gradient in the result, the share
/// of x in the gradient.
pub(super) fn norms(
    kernels: &Kernels,
    count: usize,
    x: Source,
    gradient: Option<Source>,
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let layout = x.layout;
    let blocks = layout.groups[x.group].len();
    let channels: usize = layout.lanes[layout.groups[x.group].clone()].iter().sum();
    let (width, height) = (layout.width, layout.height);
    let products = |other: Source| {
        let mut sums = vec![0.0; count * height * width];
        let together = PIECE.div_ceil(width);
        threads::for_each_chunk(&mut sums, together * width, |i, sums| {
            for (j, sums) in sums.chunks_exact_mut(width).enumerate() {
                let (picture, y) = ((i * together + j) / height, (i * together + j) % height);
                for block in 0..blocks {
                    let (a, b) = (x.plane(picture, block).row(y), other.plane(picture, block).row(y));
                    run(kernels, Products { a, b, sums });
                }
            }
        });
        sums
    };
    let mean = 1.0 / channels as f32;
    let roots: Vec<f32> = products(x).into_iter().map(|sum| (sum * mean + epsilon).sqrt().recip()).collect();
    let shares = gradient.map(products).unwrap_or_default();
    let shares = shares.into_iter().zip(&roots).map(|(sum, root)| -root * root * root * sum * mean).collect();
    (roots, shares)
}

/// Adds the sums of products of the lanes of two rows, pixel by pixel.
struct Products<'a> {
    a: &'a [Vector],
    b: &'a [Vector],
    sums: &'a mut [f32],
}

impl Work for Products<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (i, sum) in self.sums.iter_mut().enumerate() {
            *sum += load::<S>(self.a, i).multiply(load(self.b, i)).sum();
        }
    }
}

/// `x[c, p] * factors[p]`, and `other[c, p] * shares[p]` besides.
pub(super) fn by_pixel(
    kernels: &Kernels,
    count: usize,
    x: (Source, &[f32]),
    other: Option<(Source, &[f32])>,
    to: Target,
) {
    let (finish, area) = (to.finish, to.layout.width * to.layout.height);
    to.for_each(count, |picture, block, to, seen| {
        let other = other.map(|(other, shares)| (other.plane(picture, block), &shares[picture * area..][..area]));
        let x = (x.0.plane(picture, block), &x.1[picture * area..][..area]);
        run(kernels, ByPixel { x, other, to, finish, seen });
    });
}

struct ByPixel<'a> {
    x: (Plane<'a>, &'a [f32]),
    other: Option<(Plane<'a>, &'a [f32])>,
    to: &'a mut [f32],
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for ByPixel<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x: (x, factors), other, to, finish, seen } = self;
        let width = x.width;
        for (y, to) in rows(to, width).enumerate() {
            let (from, seen, factors) = (x.row(y), seen_row(&seen, y), &factors[y * width..][..width]);
            for i in 0..width {
                let mut value = load::<S>(from, i).multiply(Wide::splat(factors[i]));
                if let Some((other, shares)) = &other {
                    value = load::<S>(other.row(y), i).times_plus(shares[y * width + i], value);
                }
                store(&finish, to, seen, i, value);
            }
        }
    }
}

/// What channels are multiplied by: values that never change, those of a map of one pixel, or both.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub values: Option<&'a [f32]>,
    pub by: Option<Source<'a>>,
}

/// The values of a block, from one value a channel; 0 where there is no channel.
fn of_block(values: &[f32], block: usize) -> Vector {
    std::array::from_fn(|lane| values.get(block * LANES + lane).copied().unwrap_or(0.0))
}

impl Lanes<'_> {
    fn of(&self, picture: usize, block: usize) -> Vector {
        let mut lanes = self.values.map_or([1.0; LANES], |values| of_block(values, block));
        if let Some(by) = &self.by {
            let scales = &by.plane(picture, block).row(0)[0];
            lanes.iter_mut().zip(scales).for_each(|(lane, scale)| *lane *= scale);
        }
        lanes
    }
}

/// A map of every picture, or one that never changes.
#[derive(Clone, Copy)]
pub(super) enum Scaled<'a> {
    Map(Source<'a>),
    Constant(&'a [f32]),
}

impl Scaled<'_> {
    /// Calls `work` with a plane of `width` columns.
    fn with_plane<R>(
        &self,
        (picture, block): (usize, usize),
        area: (usize, usize),
        work: impl FnOnce(Plane) -> R,
    ) -> R {
        match self {
            Self::Map(map) => work(map.plane(picture, block)),
            Self::Constant(values) => {
                let (height, width) = area;
                let mut framed = vec![[0.0; LANES]; (height + 2) * (width + 2)];
                for (lane, plane) in values.chunks_exact(height * width).skip(block * LANES).take(LANES).enumerate() {
                    for (i, value) in plane.iter().enumerate() {
                        framed[(i / width + 1) * (width + 2) + i % width + 1][lane] = *value;
                    }
                }
                work(Plane { values: &framed, width })
            }
        }
    }
}

/// `x[c, p] * lanes[c] + bias[c] + plane[p]`.
pub(super) fn by_lane(
    kernels: &Kernels,
    count: usize,
    x: Scaled,
    lanes: Lanes,
    (bias, plane): (Option<&[f32]>, Option<&[f32]>),
    to: Target,
) {
    let (finish, area) = (to.finish, (to.layout.height, to.layout.width));
    let channels = to.layout.lanes[to.layout.groups[to.group].clone()].to_vec();
    to.for_each(count, |picture, block, to, seen| {
        let factors = lanes.of(picture, block);
        let bias = bias.map_or([0.0; LANES], |bias| of_block(bias, block));
        // Noise belongs to channels alone.
        let noisy = std::array::from_fn(|lane| if lane < channels[block] { 1.0 } else { 0.0 });
        x.with_plane((picture, block), area, |x| {
            run(kernels, ByLane { x, factors, bias, plane: plane.map(|plane| (plane, noisy)), to, finish, seen });
        });
    });
}

struct ByLane<'a> {
    x: Plane<'a>,
    factors: Vector,
    bias: Vector,
    plane: Option<(&'a [f32], Vector)>,
    to: &'a mut [f32],
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for ByLane<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, factors, bias, plane, to, finish, seen } = self;
        let (width, factors, bias) = (x.width, Wide::<S>::load(&factors), Wide::<S>::load(&bias));
        for (y, to) in rows(to, width).enumerate() {
            let (from, seen) = (x.row(y), seen_row(&seen, y));
            for i in 0..width {
                let mut value = load::<S>(from, i).multiply(factors).add(bias);
                if let Some((plane, noisy)) = &plane {
                    value = Wide::<S>::load(noisy).times_plus(plane[y * width + i], value);
                }
                store(&finish, to, seen, i, value);
            }
        }
    }
}

/// The sum over the pixels of `x[c, p] * gradient[c, p] * lanes[c]`, to maps of one pixel.
pub(super) fn sum_products(kernels: &Kernels, count: usize, x: Scaled, gradient: Source, lanes: Lanes, to: Target) {
    let (finish, area) = (to.finish, (gradient.layout.height, gradient.layout.width));
    to.for_each(count, |picture, block, to, seen| {
        let mut sums = [0.0; LANES];
        let gradient = gradient.plane(picture, block);
        x.with_plane((picture, block), area, |x| run(kernels, Summed { x, gradient, height: area.0, sums: &mut sums }));
        let factors = lanes.of(picture, block);
        let value = std::array::from_fn(|lane| (sums[lane] * f64::from(factors[lane])) as f32);
        for to in rows(to, 1) {
            run(kernels, Stored { values: &[value], to, finish, seen: seen_row(&seen, 0) });
        }
    });
}

struct Summed<'a> {
    x: Plane<'a>,
    gradient: Plane<'a>,
    height: usize,
    sums: &'a mut [f64; LANES],
}

impl Work for Summed<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, gradient, height, sums } = self;
        for y in 0..height {
            let (a, b) = (x.row(y), gradient.row(y));
            let mut line = Wide::<S>::splat(0.0);
            for i in 0..x.width {
                line = line.add(load::<S>(a, i).multiply(load(b, i)));
            }
            let mut values = [0.0; LANES];
            line.store(&mut values);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
        }
    }
}

/// Weighted sums of rows, and of columns.
pub(super) fn sample(kernels: &Kernels, count: usize, from: Source, [by_rows, by_columns]: [&Taps; 2], to: Target) {
    let (finish, width) = (to.finish, to.layout.width);
    to.for_each(count, |picture, block, to, seen| {
        let from = from.plane(picture, block);
        run(kernels, Sampled { from, by_rows, by_columns, to, width, finish, seen });
    });
}

struct Sampled<'a> {
    from: Plane<'a>,
    by_rows: &'a Taps,
    by_columns: &'a Taps,
    to: &'a mut [f32],
    width: usize,
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Sampled<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { from, by_rows, by_columns, to, width, finish, seen } = self;
        let mut line = vec![[0.0; LANES]; from.width];
        for (y, to) in rows(to, width).enumerate() {
            let seen = seen_row(&seen, y);
            let (first, weights) = by_rows.of(y);
            line.fill([0.0; LANES]);
            for (row, &weight) in (first..).zip(weights) {
                let row = from.row(row);
                for (i, sum) in line.iter_mut().enumerate() {
                    load::<S>(row, i).times_plus(weight, Wide::load(sum)).store(sum);
                }
            }
            for i in 0..width {
                let (first, weights) = by_columns.of(i);
                let mut sum = Wide::<S>::splat(0.0);
                for (column, &weight) in (first..).zip(weights) {
                    sum = load::<S>(&line, column).times_plus(weight, sum);
                }
                store(&finish, to, seen, i, sum);
            }
        }
    }
}

/// Moves every value to another channel and pixel.
pub(super) fn rearrange(kernels: &Kernels, (what, backward): (&Apply, bool), count: usize, from: Source, to: Target) {
    let larger = if backward { from.layout } else { to.layout };
    let area = larger.height * larger.width;
    let factor = if let Apply::Shuffle(factor) = what { *factor } else { 0 };
    let width = larger.width;
    let place = move |channel: usize, y: usize, x: usize| match (factor, backward) {
        (0, false) => (channel * area + y * width + x, 0, 0),
        (0, true) => (channel / area, channel % area / width, channel % width),
        (f, false) => (channel * f * f + y % f * f + x % f, y / f, x / f),
        (f, true) => (channel / (f * f), y * f + channel / f % f, x * f + channel % f),
    };
    value_by_value(kernels, count, to, |picture, block, y| {
        move |x, lane| {
            let (channel, y, x) = place(block * LANES + lane, y, x);
            from.plane(picture, channel / LANES).row(y)[x][channel % LANES]
        }
    });
}
