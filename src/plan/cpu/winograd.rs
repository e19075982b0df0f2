//! Winograd's algorithm for a grid of outputs: squares of input pixels are transformed, multiplied point by point with
//! the transformed kernels, and transformed back to squares of 4x4 or 2x2 outputs.
//!
//! # Safety
//! As in [`super::convolution`].
#![allow(unsafe_code)]

use super::super::layout::{LANES, Layout};
use super::convolution::{Convolution, Sink, Sums};
use super::floats::Floats;
use super::geometry::{Grid, View};
use super::micro::{MOST_PIXELS, Segment};
use super::pack::{Packed, Source, Unit};
use crate::ops::kernels::{Shared, with_scratch};
use crate::ops::threads;

/// Kernels of more bytes than this are read once for all squares, not once for every few.
const LARGE_KERNELS: usize = 3 << 20;
/// The most floats of transformed squares that all threads share.
const SHARED_FLOATS: usize = 3 << 20;

/// A grid of outputs, in squares.
pub struct Squares {
    /// Points and outputs along each axis.
    points: usize,
    side: usize,
    /// Where each square begins, in the planes of one picture: in every view of the input, and in the output.
    reads: Vec<Vec<u32>>,
    writes: Vec<u32>,
    /// From the first output of a square to each of them, row by row.
    pixels: [usize; 16],
    /// Floats between neighbouring rows and pixels of the input.
    steps: (usize, usize),
    /// Input channels of each block, for one view after the other.
    lanes: Vec<usize>,
    /// Input channels of all views.
    depth: usize,
    views: Vec<View>,
    pub(super) packed: Packed,
}

/// Pictures that costs are estimated for.
const PICTURES: f64 = 16.0;

/// Floats of a kernel's tap over all pairs of channels, lanes without a channel included.
fn products(source: &Source, units: &[Unit]) -> f64 {
    let outputs: usize = units.iter().map(|unit| unit.blocks).sum();
    (source.spec.inputs * outputs * LANES) as f64
}

/// Estimated nanoseconds of one core for sixteen pictures, product by product.
pub(super) fn direct_cost(source: &Source, units: &[Unit], grid: &Grid) -> f64 {
    (grid.taps.len() * grid.size.0 * grid.size.1) as f64 * PICTURES * products(source, units) / 90.0
}

/// The same for squares of `side` outputs by this many points along each axis.
pub(super) fn cost(source: &Source, units: &[Unit], grid: &Grid, points: usize, side: usize, views: usize) -> f64 {
    let outputs: usize = units.iter().map(|unit| unit.blocks).sum();
    let squares = (grid.size.0 * grid.size.1 / (side * side)) as f64 * PICTURES;
    let points = (points * points) as f64;
    let products = points * views as f64 * products(source, units);
    let transforms = squares * points * (views * source.from.len() + outputs) as f64;
    products * squares / 80.0 + transforms + products * 4.0 / 15.0
}

/// Transformed squares: `[points][views and blocks][squares][16]`, the points one cache line further apart than they
/// need to be, or they would all fall into the same lines of the cache.
#[derive(Clone, Copy)]
struct Transformed {
    values: Shared,
    squares: usize,
    point: usize,
}

impl Squares {
    pub(super) fn new(
        (from, lanes): (&Layout, &[usize]),
        to: &Layout,
        grid: &Grid,
        (points, side): (usize, usize),
        views: Vec<View>,
        packed: Packed,
    ) -> Self {
        let (rows, columns) = (grid.size.0 / side, grid.size.1 / side);
        let squares = || (0..rows).flat_map(move |y| (0..columns).map(move |x| (side * y, side * x)));
        let read = |view: &View| {
            let at = |(y, x): (usize, usize)| {
                let place = |i: usize, origin: isize| (i * grid.step_in) as isize + origin;
                from.at(place(y, view.origin.0), place(x, view.origin.1)) as u32
            };
            squares().map(at).collect()
        };
        let write = |(y, x): (usize, usize)| {
            let place = |i: usize, offset: usize| (i * grid.step_out + offset) as isize;
            to.at(place(y, grid.offset.0), place(x, grid.offset.1)) as u32
        };
        let depth = views.len() * lanes.iter().sum::<usize>();
        Self {
            points,
            side,
            reads: views.iter().map(read).collect(),
            writes: squares().map(write).collect(),
            pixels: std::array::from_fn(|i| grid.step_out * (i / side * to.row() + i % side * LANES)),
            steps: (grid.step_in * from.row(), grid.step_in * LANES),
            lanes: lanes.repeat(views.len()),
            depth,
            views,
            packed,
        }
    }

    /// Transforms other kernels.
    pub(super) fn repack(&mut self, source: &Source, units: &[Unit]) {
        source.winograd_again(units, (self.points, self.points + 1 - self.side), &self.views, &mut self.packed);
    }

    fn point(&self, squares: usize) -> usize {
        self.lanes.len() * squares * LANES + LANES
    }

    /// Floats of the products of so many squares with the kernels of a unit.
    fn products(&self, squares: usize) -> usize {
        self.points * self.points * (2 * squares * LANES + LANES)
    }

    /// Squares that a task transforms and multiplies at once.
    fn few(&self, conv: &Convolution) -> usize {
        4 * conv.kernels.pixels
    }

    /// The squares that are shared at once, for so many pictures.
    fn many(&self, conv: &Convolution, count: usize) -> usize {
        let all = (count * self.writes.len()).next_multiple_of(conv.kernels.pixels);
        let limit = SHARED_FLOATS / (self.points * self.points * self.lanes.len() * LANES);
        all.min((limit / self.few(conv)).max(1) * self.few(conv))
    }

    /// Whether the transformed squares are shared by all threads: the same results, by another order.
    fn shares(&self, conv: &Convolution, count: usize) -> bool {
        let tasks = (count * self.writes.len()).div_ceil(self.few(conv));
        self.packed.bytes() > LARGE_KERNELS || (threads::count() > 1 && tasks < 2 * threads::count())
    }

    /// Floats of memory that all threads share.
    pub(super) fn shared(&self, conv: &Convolution, count: usize) -> usize {
        self.points * self.points * self.point(self.many(conv, count))
    }

    pub(super) fn run(&self, conv: &Convolution, count: usize, x: &[f32], sink: Sink, shared: &mut Floats) {
        let all = count * self.writes.len();
        let few = self.few(conv);
        if !self.shares(conv, count) {
            threads::for_each(all.div_ceil(few), |i| {
                let (start, end) = (i * few, all.min((i + 1) * few));
                let point = self.point(few);
                let room = self.points * self.points * point;
                with_scratch(room + self.products(few), |scratch| {
                    let (values, products) = scratch.split_at_mut(room);
                    let transformed = Transformed { values: Shared(values.as_mut_ptr()), squares: few, point };
                    self.transform(conv, x, (start, end), transformed, 0);
                    for unit in 0..conv.units.len() {
                        self.multiply(conv, unit, transformed, 0, (start, end), sink, products);
                    }
                });
            });
            return;
        }
        let many = self.many(conv, count);
        let point = self.point(many);
        assert!(shared.len() >= self.points * self.points * point);
        let transformed = Transformed { values: Shared(shared.as_mut_ptr()), squares: many, point };
        for begin in (0..all).step_by(many) {
            let end = all.min(begin + many);
            let group = conv.kernels.pixels;
            threads::for_each((end - begin).div_ceil(group), |i| {
                let first = i * group;
                self.transform(conv, x, (begin + first, end.min(begin + first + group)), transformed, first);
            });
            // The parts that read the same kernels follow one another.
            let wide = 2 * few;
            let pieces = (end - begin).div_ceil(wide);
            threads::for_each(pieces * conv.units.len(), |i| {
                let (unit, first) = (i / pieces, i % pieces * wide);
                let range = (begin + first, end.min(begin + first + wide));
                with_scratch(self.products(wide), |products| {
                    self.multiply(conv, unit, transformed, first, range, sink, products);
                });
            });
        }
    }

    /// Transforms the squares `start..end` to the columns from `column` on.
    fn transform(&self, conv: &Convolution, x: &[f32], (start, end): (usize, usize), to: Transformed, column: usize) {
        let blocks = conv.inputs.len();
        for (v, reads) in self.reads.iter().enumerate() {
            for block in 0..blocks {
                for square in start..end {
                    let (picture, place) = (square / reads.len(), reads[square % reads.len()]);
                    let from =
                        picture * conv.from.image() + (conv.inputs.start + block) * conv.from.plane() + place as usize;
                    let at = ((v * blocks + block) * to.squares + column + square - start) * LANES;
                    // SAFETY: see the head of the file.
                    unsafe {
                        let (from, to_place) = (x.as_ptr().add(from), to.values.get().add(at));
                        (conv.kernels.input)(self.points, from, self.steps.0, self.steps.1, to_place, to.point);
                    }
                }
            }
        }
    }

    /// Multiplies the columns from `column` on with the kernels of a unit and stores the squares `start..end`.
    #[allow(clippy::too_many_arguments, reason = "where from, where to, and the room in between")]
    fn multiply(
        &self,
        conv: &Convolution,
        unit: usize,
        from: Transformed,
        column: usize,
        (start, end): (usize, usize),
        sink: Sink,
        products: &mut [f32],
    ) {
        let width = conv.kernels.pixels;
        let squares = (end - start).next_multiple_of(width);
        let Unit { block, blocks } = conv.units[unit];
        let weights = self.packed.unit(unit);
        let segment = |(i, &length): (usize, &usize)| Segment { offset: (i * from.squares * LANES) as isize, length };
        let columns: [usize; MOST_PIXELS] = std::array::from_fn(|i| i * LANES);
        let count = self.points * self.points;
        let point = blocks * squares * LANES + LANES;
        let mut sums = Sums([0.0; 2 * MOST_PIXELS * LANES]);
        with_segments(self.lanes.iter().enumerate().map(segment), |segments| {
            for p in 0..count {
                let weights = &weights[p * self.depth * blocks * LANES..];
                for first in (0..squares).step_by(width) {
                    let x = p * from.point + (column + first) * LANES;
                    let to = &mut products[p * point + first * LANES..];
                    // SAFETY: see the head of the file; the columns beyond the last square hold anything.
                    unsafe {
                        let x = from.values.get().add(x);
                        let weights = weights.as_ptr();
                        let stride = squares * LANES;
                        (conv.kernels.tile)(blocks, x, &columns, segments, weights, to.as_mut_ptr(), stride);
                    }
                }
            }
            for square in start..end {
                let (picture, place) = (square / self.writes.len(), self.writes[square % self.writes.len()]);
                let to = picture * conv.to.image() + place as usize;
                let offsets = self.pixels.map(|pixel| to + pixel);
                for b in 0..blocks {
                    let at = (b * squares + square - start) * LANES;
                    // SAFETY: as above.
                    unsafe {
                        (conv.kernels.output)(self.points, products[at..].as_ptr(), point, sums.0.as_mut_ptr());
                        sink.store(conv, block + b, sums.0.as_ptr(), &offsets[..self.side * self.side]);
                    }
                }
            }
        });
    }
}

/// Segments on the stack where they fit.
fn with_segments<R>(segments: impl ExactSizeIterator<Item = Segment>, work: impl FnOnce(&[Segment]) -> R) -> R {
    const MOST: usize = 128;
    let count = segments.len();
    if count > MOST {
        return work(&segments.collect::<Vec<_>>());
    }
    let mut room = [Segment { offset: 0, length: 0 }; MOST];
    room.iter_mut().zip(segments).for_each(|(room, segment)| *room = segment);
    work(&room[..count])
}
