//! Halving, doubling, adding and comparing maps: everything but convolutions. Safe code over vectors of sixteen.

use super::super::graph::{Compare, Resample};
use super::super::layout::{LANES, Layout};
use crate::ops::simd::Simd;
use crate::ops::simd::tiles::{Finish, Kernels};
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::{Activation, threads};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) type Vector = [f32; LANES];

/// A group of a map: its layout and its values.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The layout of the map.
    pub layout: &'a Layout,
    /// The group.
    pub group: usize,
    /// The map.
    pub values: &'a [f32],
}

impl<'a> Source<'a> {
    /// A plane of a picture, by the block's place in the group.
    pub(super) fn plane(&self, picture: usize, block: usize) -> Plane<'a> {
        let at = picture * self.layout.image() + (self.layout.groups[self.group].start + block) * self.layout.plane();
        let values = &self.values[at..at + self.layout.plane()];
        Plane { values: values.as_chunks().0, width: self.layout.width }
    }
}

/// One block of a picture with its frame.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    values: &'a [Vector],
    pub(super) width: usize,
}

impl<'a> Plane<'a> {
    /// Row `y - 1`, with its frame: the frame's upper row is 0.
    #[inline(always)]
    fn framed(&self, y: usize) -> &'a [Vector] {
        &self.values[y * (self.width + 2)..][..self.width + 2]
    }

    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &'a [Vector] {
        &self.framed(y + 1)[1..self.width + 1]
    }
}

/// Where results go: a group of a map, and what is done to them.
pub struct Target<'a> {
    /// The layout of the map.
    pub layout: &'a Layout,
    /// The group.
    pub group: usize,
    /// The map.
    pub values: &'a mut [f32],
    /// What is done before storing.
    pub finish: Finish,
    /// The map whose slopes are asked for, or nothing.
    pub seen: &'a [f32],
}

impl Target<'_> {
    /// Calls `work(picture, block, plane, seen)` for every plane, on all threads.
    pub(super) fn for_each(self, count: usize, work: impl Fn(usize, usize, &mut [f32], Plane) + Sync + Send) {
        const PIECE: usize = 1 << 13;
        let Self { layout, group, values, seen, .. } = self;
        let (blocks, plane) = (layout.lanes.len(), layout.plane());
        let together = PIECE.div_ceil(plane);
        threads::for_each_chunk(&mut values[..count * layout.image()], together * plane, |i, values| {
            for (j, values) in values.chunks_exact_mut(plane).enumerate() {
                let (picture, block) = ((i * together + j) / blocks, (i * together + j) % blocks);
                if layout.groups[group].contains(&block) {
                    let block = block - layout.groups[group].start;
                    let empty = Plane { values: &[], width: layout.width };
                    let seen = if seen.is_empty() {
                        empty
                    } else {
                        Source { layout, group, values: seen }.plane(picture, block)
                    };
                    work(picture, block, values, seen);
                }
            }
        });
    }
}

/// Stores a value at pixel `x` of a row.
#[inline(always)]
pub(super) fn store<S: Simd>(finish: &Finish, to: &mut [Vector], seen: &[Vector], x: usize, value: Wide<S>) {
    let mut value = value;
    let to = &mut to[x];
    if finish.add {
        value = value.add(Wide::load(to));
    }
    if finish.slope != Activation::None {
        let seen = Wide::<S>::load(&seen[x]);
        value = match finish.slope {
            Activation::None => value,
            Activation::Relu => seen.where_positive(value, Wide::splat(0.0)),
            Activation::LeakyRelu(slope) => seen.where_positive(value, value.multiply(Wide::splat(slope))),
            Activation::Tanh => value.multiply(Wide::splat(1.0).subtract(seen.multiply(seen))),
        };
    }
    value.store(to);
    if finish.activation != Activation::None {
        to.iter_mut().for_each(|value| *value = finish.activation.apply(*value));
    }
}

/// The rows of a plane that is written, without its frame.
#[inline(always)]
pub(super) fn rows(to: &mut [f32], width: usize) -> impl Iterator<Item = &mut [Vector]> {
    let height = to.len() / ((width + 2) * LANES) - 2;
    to.as_chunks_mut::<LANES>().0.chunks_exact_mut(width + 2).skip(1).take(height).map(move |row| &mut row[1..=width])
}

#[inline(always)]
pub(super) fn seen_row<'a>(seen: &Plane<'a>, y: usize) -> &'a [Vector] {
    if seen.values.is_empty() { &[] } else { seen.row(y) }
}

#[inline(always)]
fn load<S: Simd>(row: &[Vector], x: usize) -> Wide<S> {
    Wide::load(&row[x])
}

/// The weighted sum of four pixels of a row.
#[inline(always)]
fn weighted<S: Simd>(row: &[Vector], places: [usize; 4], weights: [f32; 4]) -> Wide<S> {
    let sum = load::<S>(row, places[0]).multiply(Wide::splat(weights[0]));
    let sum = load::<S>(row, places[1]).times_plus(weights[1], sum);
    let sum = load::<S>(row, places[2]).times_plus(weights[2], sum);
    load::<S>(row, places[3]).times_plus(weights[3], sum)
}

/// One plane of a change of size, forward or backward.
struct Resampled<'a> {
    how: Resample,
    backward: bool,
    /// The map that is resampled, or the gradient of the result.
    from: Plane<'a>,
    /// The map that was resampled, for the gradient of maxima.
    origin: Option<Plane<'a>>,
    to: &'a mut [f32],
    /// Columns that are written.
    width: usize,
    /// Channels of the block of the larger map.
    channels: usize,
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Resampled<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { how, backward, from, origin, to, width, channels, finish, seen } = self;
        let height = to.len() / ((width + 2) * LANES) - 2;
        for (y, to) in rows(to, width).enumerate() {
            let seen = seen_row(&seen, y);
            match (how, backward) {
                (Resample::AveragePool, false) => {
                    let (a, b) = (from.row(2 * y), from.row(2 * y + 1));
                    for x in 0..width {
                        let (c, d) = (2 * x, 2 * x + 1);
                        let sum = load::<S>(a, c).add(load(a, d)).add(load::<S>(b, c).add(load(b, d)));
                        store(&finish, to, seen, x, sum.multiply(Wide::splat(0.25)));
                    }
                }
                (Resample::MaxPool, false) => {
                    let (a, b) = (from.row(2 * y), from.row(2 * y + 1));
                    for x in 0..width {
                        let (c, d) = (2 * x, 2 * x + 1);
                        let upper = load::<S>(a, c).maximum(load(a, d));
                        store(&finish, to, seen, x, upper.maximum(load::<S>(b, c).maximum(load(b, d))));
                    }
                }
                (Resample::Bilinear, false) => {
                    let beside = |i: usize, count: usize| {
                        if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(count / 2 - 1) }
                    };
                    let (near, far) = (from.row(y / 2), from.row(beside(y, height)));
                    for x in 0..width {
                        let (c, d) = (x / 2, beside(x, width));
                        let sum = load::<S>(near, c).multiply(Wide::splat(0.5625));
                        let sum = load::<S>(near, d).times_plus(0.1875, sum);
                        let sum = load::<S>(far, c).times_plus(0.1875, sum);
                        store(&finish, to, seen, x, load::<S>(far, d).times_plus(0.0625, sum));
                    }
                }
                (Resample::Unfold, false) => {
                    let from = from.row(y / 2);
                    for (x, to) in to.iter_mut().enumerate() {
                        let part = (y % 2 * 2 + x % 2) * channels;
                        for (lane, to) in to.iter_mut().enumerate() {
                            *to = if lane < channels { from[x / 2][(part + lane) % LANES] } else { 0.0 };
                        }
                    }
                }
                (Resample::Unfold, true) => {
                    let (upper, lower) = (from.row(2 * y), from.row(2 * y + 1));
                    for x in 0..width {
                        let mut value = [0.0; LANES];
                        let pixels = [&upper[2 * x], &upper[2 * x + 1], &lower[2 * x], &lower[2 * x + 1]];
                        for (part, pixel) in value.chunks_exact_mut(channels).zip(pixels) {
                            part.copy_from_slice(&pixel[..channels]);
                        }
                        store(&finish, to, seen, x, Wide::<S>::load(&value));
                    }
                }
                (Resample::AveragePool, true) => {
                    let from = from.row((y / 2).min(height / 2 - 1));
                    for x in 0..width {
                        store(&finish, to, seen, x, load::<S>(from, x / 2).multiply(Wide::splat(0.25)));
                    }
                }
                (Resample::MaxPool, true) => {
                    let Some(origin) = origin else { return };
                    let from = from.row(y / 2);
                    let (a, b) = (origin.row(y & !1), origin.row(y | 1));
                    let zero = Wide::<S>::splat(0.0);
                    for x in 0..width / 2 {
                        let (c, d) = (2 * x, 2 * x + 1);
                        let (p, q, r, s) = (load::<S>(a, c), load::<S>(a, d), load::<S>(b, c), load::<S>(b, d));
                        let gradient = load::<S>(from, x);
                        // The first of the largest has it all.
                        let lower_wins = r.maximum(s).subtract(p.maximum(q));
                        let (row, right_wins) = if y.is_multiple_of(2) {
                            (lower_wins.where_positive(zero, gradient), q.subtract(p))
                        } else {
                            (lower_wins.where_positive(gradient, zero), s.subtract(r))
                        };
                        store(&finish, to, seen, c, right_wins.where_positive(zero, row));
                        store(&finish, to, seen, d, right_wins.where_positive(row, zero));
                    }
                }
                (Resample::Bilinear, true) => {
                    // Rows 2y - 1 to 2y + 2 of the gradient, in a frame of zeros.
                    let lines = [0, 1, 2, 3].map(|i| from.framed(2 * y + i));
                    let ends = |at: usize, count: usize| {
                        [0.25, if at == 0 { 1.0 } else { 0.75 }, if at + 1 == count { 1.0 } else { 0.75 }, 0.25]
                    };
                    let shares = ends(y, height);
                    for x in 0..width {
                        let places = [2 * x, 2 * x + 1, 2 * x + 2, 2 * x + 3];
                        let across = ends(x, width);
                        let sum = weighted::<S>(lines[0], places, across).multiply(Wide::splat(shares[0]));
                        let sum = weighted::<S>(lines[1], places, across).times_plus(shares[1], sum);
                        let sum = weighted::<S>(lines[2], places, across).times_plus(shares[2], sum);
                        let sum = weighted::<S>(lines[3], places, across).times_plus(shares[3], sum);
                        store(&finish, to, seen, x, sum);
                    }
                }
            }
        }
    }
}

/// Resamples the first `count` pictures, or brings the gradient back; for that of maxima, `origin` is the map that was
/// resampled.
pub fn resample(
    kernels: &Kernels,
    (how, backward): (Resample, bool),
    count: usize,
    from: Source,
    origin: Option<Source>,
    to: Target,
) {
    let (finish, width) = (to.finish, to.layout.width);
    let larger = if backward { (from.layout, from.group) } else { (to.layout, to.group) };
    let channels = larger.0.lanes[larger.0.groups[larger.1].start];
    to.for_each(count, |picture, block, to, seen| {
        let origin_plane = origin.map(|origin| origin.plane(picture, block));
        let from = from.plane(picture, block);
        run(kernels, Resampled { how, backward, from, origin: origin_plane, to, width, channels, finish, seen });
    });
}

/// One plane of a sum.
struct Sum<'a> {
    from: Plane<'a>,
    other: Option<Plane<'a>>,
    to: &'a mut [f32],
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Sum<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { from, other, to, finish, seen } = self;
        let width = from.width;
        for (y, to) in rows(to, width).enumerate() {
            let (seen, from) = (seen_row(&seen, y), from.row(y));
            for x in 0..width {
                let value = match &other {
                    Some(other) => load::<S>(from, x).add(load(other.row(y), x)),
                    None => load::<S>(from, x),
                };
                store(&finish, to, seen, x, value);
            }
        }
    }
}

/// Adds the first `count` pictures of two maps of one shape, or copies those of one.
pub fn add(kernels: &Kernels, count: usize, from: Source, other: Option<Source>, to: Target) {
    let finish = to.finish;
    to.for_each(count, |picture, block, to, seen| {
        let other = other.map(|other| other.plane(picture, block));
        run(kernels, Sum { from: from.plane(picture, block), other, to, finish, seen });
    });
}

/// One plane of a comparison.
struct Compared<'a> {
    compare: Compare,
    a: Plane<'a>,
    b: Plane<'a>,
    /// The gradient, and the factor of a difference's gradient.
    gradient: Option<(&'a mut [f32], f32)>,
    finish: Finish,
    seen: Plane<'a>,
    sum: &'a mut f64,
}

impl Work for Compared<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { compare, a, b, mut gradient, finish, seen, sum } = self;
        let width = a.width;
        let height = a.values.len() / (width + 2) - 2;
        let mut total = 0.0;
        for y in 0..height {
            let (a, b, seen) = (a.row(y), b.row(y), seen_row(&seen, y));
            let mut to = gradient.as_mut().map(|(to, factor)| {
                let row = &mut to.as_chunks_mut::<LANES>().0[(y + 1) * (width + 2) + 1..][..width];
                (row, Wide::<S>::splat(*factor), Wide::<S>::splat(-*factor))
            });
            let zero = Wide::<S>::splat(0.0);
            let mut line = zero;
            for x in 0..width {
                let difference = load::<S>(a, x).subtract(load(b, x));
                let opposite = zero.subtract(difference);
                let slope = |factor: Wide<S>, minus: Wide<S>| match compare {
                    Compare::L1 => difference.where_positive(factor, opposite.where_positive(minus, zero)),
                    Compare::L2 => difference.add(difference).multiply(factor),
                };
                line = match compare {
                    Compare::L1 => line.add(difference.maximum(opposite)),
                    Compare::L2 => line.add(difference.multiply(difference)),
                };
                if let Some((to, factor, minus)) = &mut to {
                    store(&finish, to, seen, x, slope(*factor, *minus));
                }
            }
            total += f64::from(line.sum());
        }
        *sum = total;
    }
}

/// Adds the weighted mean difference of every picture to `losses`, and writes its gradient where one is wanted. `b` has
/// the rows that are named, one a picture.
#[allow(clippy::too_many_arguments, reason = "a comparison is all of these")]
pub fn compare(
    kernels: &Kernels,
    compare: Compare,
    weight: f32,
    a: Source,
    (b, rows): (Source, &[usize]),
    gradient: Option<Target>,
    sums: &[AtomicU64],
    losses: &mut [f32],
) {
    let layout = a.layout;
    let blocks = layout.groups[a.group].len();
    let channels: usize = layout.lanes[layout.groups[a.group].clone()].iter().sum();
    let factor = weight / (channels * layout.height * layout.width) as f32;
    let plane = |picture: usize, block: usize| b.plane(rows[picture], block);
    let keep = |picture: usize, block: usize, sum: f64| {
        sums[picture * blocks + block].store(sum.to_bits(), Ordering::Relaxed);
    };
    match gradient {
        Some(target) => {
            let finish = target.finish;
            target.for_each(losses.len(), |picture, block, to, seen| {
                let mut sum = 0.0;
                let (a, b) = (a.plane(picture, block), plane(picture, block));
                let gradient = Some((to, factor));
                run(kernels, Compared { compare, a, b, gradient, finish, seen, sum: &mut sum });
                keep(picture, block, sum);
            });
        }
        None => threads::for_each(losses.len() * blocks, |i| {
            let (picture, block) = (i / blocks, i % blocks);
            let mut sum = 0.0;
            let (a, b) = (a.plane(picture, block), plane(picture, block));
            let seen = Plane { values: &[], width: a.width };
            run(kernels, Compared { compare, a, b, gradient: None, finish: Finish::default(), seen, sum: &mut sum });
            keep(picture, block, sum);
        }),
    }
    for (loss, sums) in losses.iter_mut().zip(sums.chunks(blocks)) {
        let sum: f64 = sums.iter().map(|sum| f64::from_bits(sum.load(Ordering::Relaxed))).sum();
        *loss += (sum * f64::from(factor)) as f32;
    }
}
