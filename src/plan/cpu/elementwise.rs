//! Halving, doubling, adding and comparing maps: everything but convolutions. Safe code over vectors of sixteen,
//! compiled once for each instruction set.

use super::super::graph::{Compare, Resample};
use super::super::layout::{LANES, Layout};
use super::micro::{Finish, Kernels};
use super::wide::{Work, run};
use crate::ops::{Activation, threads};
use std::sync::atomic::{AtomicU64, Ordering};

type Vector = [f32; LANES];

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
    fn plane(&self, picture: usize, block: usize) -> Plane<'a> {
        let at = picture * self.layout.image() + (self.layout.groups[self.group].start + block) * self.layout.plane();
        let values = &self.values[at..at + self.layout.plane()];
        Plane { values: values.as_chunks().0, width: self.layout.width }
    }
}

/// One block of a picture with its frame.
#[derive(Clone, Copy)]
struct Plane<'a> {
    values: &'a [Vector],
    width: usize,
}

impl<'a> Plane<'a> {
    /// Row `y - 1`, with its frame: the frame's upper row is 0.
    #[inline(always)]
    fn framed(&self, y: usize) -> &'a [Vector] {
        &self.values[y * (self.width + 2)..][..self.width + 2]
    }

    #[inline(always)]
    fn row(&self, y: usize) -> &'a [Vector] {
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
    fn for_each(self, count: usize, work: impl Fn(usize, usize, &mut [f32], Plane) + Sync + Send) {
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
fn store(finish: &Finish, to: &mut [Vector], seen: &[Vector], x: usize, value: Vector) {
    let mut value = value;
    let old = &mut to[x];
    if finish.add {
        value.iter_mut().zip(&*old).for_each(|(value, old)| *value += old);
    }
    match finish.activation {
        Activation::None => {}
        other => value.iter_mut().for_each(|value| *value = other.apply(*value)),
    }
    match finish.slope {
        Activation::None => {}
        Activation::Relu => {
            value.iter_mut().zip(&seen[x]).for_each(|(value, &seen)| *value = if seen > 0.0 { *value } else { 0.0 });
        }
        other => value.iter_mut().zip(&seen[x]).for_each(|(value, &seen)| *value *= other.slope(seen)),
    }
    *old = value;
}

/// The rows of a plane that is written, without its frame.
#[inline(always)]
fn rows(to: &mut [f32], width: usize) -> impl Iterator<Item = &mut [Vector]> {
    let height = to.len() / ((width + 2) * LANES) - 2;
    to.as_chunks_mut::<LANES>().0.chunks_exact_mut(width + 2).skip(1).take(height).map(move |row| &mut row[1..=width])
}

#[inline(always)]
fn seen_row<'a>(seen: &Plane<'a>, y: usize) -> &'a [Vector] {
    if seen.values.is_empty() { &[] } else { seen.row(y) }
}

#[inline(always)]
fn weighted<const N: usize>(terms: [(&Vector, f32); N]) -> Vector {
    std::array::from_fn(|i| terms.iter().map(|(v, w)| v[i] * w).fold(0.0, |sum, term| sum + term))
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
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Resampled<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { how, backward, from, origin, to, width, finish, seen } = self;
        let height = to.len() / ((width + 2) * LANES) - 2;
        for (y, to) in rows(to, width).enumerate() {
            let seen = seen_row(&seen, y);
            match (how, backward) {
                (Resample::AveragePool, false) => {
                    let (a, b) = (from.row(2 * y), from.row(2 * y + 1));
                    for x in 0..width {
                        let (c, d) = (2 * x, 2 * x + 1);
                        let sum: Vector = std::array::from_fn(|i| ((a[c][i] + a[d][i]) + (b[c][i] + b[d][i])) * 0.25);
                        store(&finish, to, seen, x, sum);
                    }
                }
                (Resample::MaxPool, false) => {
                    let (a, b) = (from.row(2 * y), from.row(2 * y + 1));
                    for x in 0..width {
                        let (c, d) = (2 * x, 2 * x + 1);
                        let most: Vector = std::array::from_fn(|i| larger(larger(a[c][i], a[d][i]), larger(b[c][i], b[d][i])));
                        store(&finish, to, seen, x, most);
                    }
                }
                (Resample::Bilinear, false) => {
                    let near = from.row(y / 2);
                    let far = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(height / 2 - 1) };
                    let far = from.row(far);
                    for x in 0..width {
                        let (c, side) = (x / 2, if x % 2 == 0 { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(width / 2 - 1) });
                        let terms = [(&near[c], 0.5625), (&near[side], 0.1875), (&far[c], 0.1875), (&far[side], 0.0625)];
                        store(&finish, to, seen, x, weighted(terms));
                    }
                }
                (Resample::AveragePool, true) => {
                    let from = from.row((y / 2).min(height / 2 - 1));
                    for x in 0..width {
                        store(&finish, to, seen, x, from[x / 2].map(|v| v * 0.25));
                    }
                }
                (Resample::MaxPool, true) => {
                    let Some(origin) = origin else { return };
                    let from = from.row(y / 2);
                    let (a, b) = (origin.row(y & !1), origin.row(y | 1));
                    for x in 0..width {
                        let (c, d) = (x & !1, x | 1);
                        let gradient = &from[x / 2];
                        let mine = 2 * (y & 1) + (x & 1);
                        // The first of the largest, as a chain of choices without branches.
                        let value: Vector = std::array::from_fn(|i| {
                            let (p, q, r, s) = (a[c][i], a[d][i], b[c][i], b[d][i]);
                            let upper = larger(p, q);
                            let lower = larger(r, s);
                            let chosen = match mine {
                                0 => (p >= q) & (upper >= lower),
                                1 => (q > p) & (upper >= lower),
                                2 => (r >= s) & (lower > upper),
                                _ => (s > r) & (lower > upper),
                            };
                            if chosen { gradient[i] } else { 0.0 }
                        });
                        store(&finish, to, seen, x, value);
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
                        let across = ends(x, width);
                        let mut sum = [0.0; LANES];
                        for (line, share) in lines.iter().zip(shares) {
                            let terms = [
                                (&line[2 * x], across[0]),
                                (&line[2 * x + 1], across[1]),
                                (&line[2 * x + 2], across[2]),
                                (&line[2 * x + 3], across[3]),
                            ];
                            let part = weighted(terms);
                            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part * share);
                        }
                        store(&finish, to, seen, x, sum);
                    }
                }
            }
        }
    }
}

/// The larger of two numbers, in the one instruction that does not ask for NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
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
    to.for_each(count, |picture, block, to, seen| {
        let origin_plane = origin.map(|origin| origin.plane(picture, block));
        let from = from.plane(picture, block);
        run(kernels, Resampled { how, backward, from, origin: origin_plane, to, width, finish, seen });
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
    fn run(self) {
        let Self { from, other, to, finish, seen } = self;
        let width = from.width;
        for (y, to) in rows(to, width).enumerate() {
            let (seen, from) = (seen_row(&seen, y), from.row(y));
            for x in 0..width {
                let value = match &other {
                    Some(other) => weighted([(&from[x], 1.0), (&other.row(y)[x], 1.0)]),
                    None => from[x],
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
    fn run(self) {
        let Self { compare, a, b, gradient, finish, seen, sum } = self;
        let width = a.width;
        let height = a.values.len() / (width + 2) - 2;
        let mut total = 0.0;
        for y in 0..height {
            let mut line = [0f32; LANES];
            for (a, b) in a.row(y).iter().zip(b.row(y)) {
                for i in 0..LANES {
                    let difference = a[i] - b[i];
                    line[i] += match compare {
                        Compare::L1 => difference.abs(),
                        Compare::L2 => difference * difference,
                    };
                }
            }
            total += f64::from(line.iter().sum::<f32>());
        }
        *sum = total;
        let Some((to, factor)) = gradient else { return };
        for (y, to) in rows(to, width).enumerate() {
            let (a, b, seen) = (a.row(y), b.row(y), seen_row(&seen, y));
            for x in 0..width {
                let value: Vector = std::array::from_fn(|i| {
                    let difference = a[x][i] - b[x][i];
                    match compare {
                        Compare::L1 if difference > 0.0 => factor,
                        Compare::L1 if difference < 0.0 => -factor,
                        Compare::L1 => 0.0,
                        Compare::L2 => 2.0 * factor * difference,
                    }
                });
                store(&finish, to, seen, x, value);
            }
        }
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
