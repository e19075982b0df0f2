//! The gradient of a convolution in its kernels: sums, over all pixels of a batch, of outer products of channels; where
//! the shape allows it by Winograd's algorithm turned round, with products of transformed squares of both maps.
//!
//! # Safety
//! As in [`super::convolution`]: the slices are asserted against the layouts, and no two tasks write one value.
#![allow(unsafe_code)]

use super::super::layout::{LANES, Layout};
use super::convolution::Way;
use super::floats::Floats;
use super::geometry::{Tap, View, grids};
use super::micro::{Kernels, Outer};
use super::pack::{MOST_TAPS, Unit, units};
use super::transform::kernel_matrix;
use super::wide::{Wide, Work, run};
use crate::ops::kernels::simd::Simd;
use crate::ops::kernels::{Shared, with_scratch};
use crate::ops::{ConvSpec, threads};
use std::ops::Range;

/// The most floats of transformed squares at a time.
const SQUARE_FLOATS: usize = 3 << 20;
/// The most products that are summed in registers: their left and right sides stay in the nearest cache, and the error of
/// the sum stays small.
const CHAIN: usize = 128;
/// The most floats of sums that every task has for itself.
const FEW_SUMS: usize = 1 << 17;
/// Squares that such a task transforms at a time.
const FEW: usize = 32;
/// The most floats of a unit's transformed squares of a whole batch: they stay in a core's cache.
const UNIT_FLOATS: usize = 160 << 10;
/// Squares of a task that transforms.
const TOGETHER: usize = 8;

/// A planned gradient. A transposed convolution has that of the convolution which is its transpose: kernels lie
/// `[small channels][large channels][k][k]` for both, where the large map is the one that a convolution reads.
pub struct WeightGradient {
    kernels: &'static Kernels,
    spec: ConvSpec,
    large: Layout,
    large_blocks: Range<usize>,
    small: Layout,
    small_blocks: Range<usize>,
    units: Vec<Unit>,
    way: Plan,
}

enum Plan {
    Squares(Squares),
    /// The taps, each with its place in the large map for pixel (0, 0) of the small one.
    Direct(Vec<(Tap, usize)>),
}

struct Squares {
    points: usize,
    side: usize,
    views: Vec<View>,
    matrix: Vec<[f32; 3]>,
    /// Where each square begins in a plane of the large map, for every view, and of the small map.
    reads: Vec<Vec<u32>>,
    places: Vec<u32>,
    /// Floats between neighbouring rows and pixels that a view reads.
    steps: (usize, usize),
    /// [`FEW_SUMS`] and [`UNIT_FLOATS`], or what a test says.
    few_sums: usize,
    unit_floats: usize,
}

impl WeightGradient {
    /// Plans the gradient of a convolution from one map to a group of another; `None` where its geometry does not fit.
    pub fn new(
        kernels: &'static Kernels,
        spec: &ConvSpec,
        from: &Layout,
        (to, group): (&Layout, usize),
        way: Way,
    ) -> Option<Self> {
        let (all, group) = (0..from.lanes.len(), to.groups[group].clone());
        let (conv, large, large_blocks, small, small_blocks) = match spec.transposed {
            true => (spec.reversed(), to, group, from, all),
            false => (*spec, from, all, to, group),
        };
        let channels = |layout: &Layout, blocks: &Range<usize>| layout.lanes[blocks.clone()].iter().sum::<usize>();
        let sides = (conv.output_side(large.height).ok()?, conv.output_side(large.width).ok()?);
        let fits = channels(large, &large_blocks) == conv.inputs
            && channels(small, &small_blocks) == conv.outputs
            && sides == (small.height, small.width);
        let grids = grids(&conv, (large.height, large.width))?;
        let [grid] = &grids[..] else { return None };
        if !fits {
            return None;
        }
        // Nanoseconds of one core for a batch, by estimate: the products, the transforms, and the sums that are kept.
        let pixels = 32.0 * (small.height * small.width) as f64;
        let blocks = (large_blocks.len(), small_blocks.len());
        let pairs = (conv.inputs.next_multiple_of(kernels.rows) * blocks.1 * LANES) as f64;
        let cost = |(points, side): (usize, usize), views: usize| {
            let (points, squares) = ((points * points) as f64, pixels / (side * side) as f64);
            let transforms = squares * points * (views * blocks.0 + blocks.1) as f64;
            points * views as f64 * pairs * (squares / 75.0 + 0.4) + transforms
        };
        let direct_cost = {
            let taps = grid.taps.len() as f64;
            let run = if small.width == 1 { 32.0 } else { small.width as f64 };
            taps * pairs * (pixels * (run + 6.0) / run / 75.0 + 1.2)
        };
        let squares = || {
            let (r, views) = grid.views().filter(|_| conv.kernel * conv.kernel <= MOST_TAPS)?;
            let fits = |side: &usize| grid.size.0.is_multiple_of(*side) && grid.size.1.is_multiple_of(*side);
            let sides: &[usize] = if r == 3 { &[4] } else { &[4, 2] };
            let cost = |side: usize| cost((side + r - 1, side), views.len());
            let best = sides.iter().copied().filter(fits).min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
            let side = match way {
                Way::Direct => return None,
                Way::Winograd => best,
                _ if cost(best) < direct_cost => best,
                _ => return None,
            };
            let places =
                || (0..grid.size.0).step_by(side).flat_map(|y| (0..grid.size.1).step_by(side).map(move |x| (y, x)));
            let step = grid.step_in;
            let read = |view: &View| {
                let at = |i: usize, origin: isize| (i * step) as isize + origin;
                places().map(|(y, x)| large.at(at(y, view.origin.0), at(x, view.origin.1)) as u32).collect()
            };
            let points = side + r - 1;
            Some(Squares {
                points,
                side,
                reads: views.iter().map(read).collect(),
                places: places().map(|(y, x)| small.at(y as isize, x as isize) as u32).collect(),
                steps: (step * large.row(), step * LANES),
                few_sums: FEW_SUMS,
                unit_floats: UNIT_FLOATS,
                matrix: kernel_matrix(points, r).iter().map(|row| row.map(|value| value as f32)).collect(),
                views,
            })
        };
        let way = match squares() {
            Some(squares) => Plan::Squares(squares),
            None => Plan::Direct(grid.taps.iter().map(|tap| (*tap, large.at(tap.dy, tap.dx))).collect()),
        };
        Some(Self {
            kernels,
            spec: conv,
            units: units(kernels, small_blocks.len()),
            large: large.clone(),
            large_blocks,
            small: small.clone(),
            small_blocks,
            way,
        })
    }

    /// The same by other limits, so that small maps are shared out as large ones are.
    #[cfg(test)]
    pub fn limited(mut self, few_sums: usize, unit_floats: usize) -> Self {
        if let Plan::Squares(squares) = &mut self.way {
            (squares.few_sums, squares.unit_floats) = (few_sums, unit_floats);
        }
        self
    }

    /// Floats of a pair of channels' sums, for all pairs of blocks.
    fn pairs(&self) -> usize {
        self.large_blocks.len() * self.small_blocks.len() * LANES * LANES
    }

    /// Floats of memory that all threads share, for so many pictures.
    pub fn shared(&self, count: usize) -> usize {
        match &self.way {
            Plan::Direct(taps) => taps.len() * self.pairs(),
            Plan::Squares(squares) => squares.shared(self, count),
        }
    }

    /// Writes the gradient of the first `count` pictures, shaped as the kernels, from the values of the map that was read
    /// and the gradients of the one that was written.
    ///
    /// # Panics
    /// When a slice is shorter than the layouts say.
    pub fn run(
        &self,
        transposed: bool,
        count: usize,
        values: &[f32],
        gradients: &[f32],
        to: &mut [f32],
        shared: &mut Floats,
    ) {
        let (large, small) = if transposed { (gradients, values) } else { (values, gradients) };
        assert!(large.len() >= count * self.large.image() && small.len() >= count * self.small.image());
        assert!(to.len() >= self.spec.weight_shape().iter().product() && shared.len() >= self.shared(count));
        let to = Shared(to.as_mut_ptr());
        match &self.way {
            Plan::Direct(taps) => self.direct(taps, count, large, small, to, shared),
            Plan::Squares(squares) => squares.run(self, count, [large, small], to, shared),
        }
    }

    fn large_at(&self, picture: usize, block: usize) -> usize {
        picture * self.large.image() + (self.large_blocks.start + block) * self.large.plane()
    }

    fn small_at(&self, picture: usize, block: usize) -> usize {
        picture * self.small.image() + (self.small_blocks.start + block) * self.small.plane()
    }

    /// Sums products of one block of the left side with a unit of the right side, for all rows that have a channel.
    ///
    /// # Safety
    /// The pointers must be valid for all products, and `products.to` for sixteen rows.
    unsafe fn multiply(&self, block: usize, unit: &Unit, products: Outer) {
        let lanes = self.large.lanes[self.large_blocks.start + block];
        for row in (0..lanes).step_by(self.kernels.rows) {
            let (left, to) = (products.left.0.wrapping_add(row), products.to.0.wrapping_add(row * products.to.1));
            // SAFETY: the caller's.
            unsafe {
                let part = Outer { left: (left, products.left.1), to: (to, products.to.1), ..products };
                (self.kernels.outer)(unit.blocks, &part);
            }
        }
    }

    /// Tap by tap.
    fn direct(
        &self,
        taps: &[(Tap, usize)],
        count: usize,
        large: &[f32],
        small: &[f32],
        to: Shared,
        shared: &mut Floats,
    ) {
        let step = self.spec.stride;
        let row = self.small_blocks.len() * LANES;
        let sums = Shared(shared.as_mut_ptr());
        let single = (self.small.height, self.small.width) == (1, 1);
        threads::for_each(taps.len() * self.units.len(), |task| {
            let (tap, unit) = (task / self.units.len(), &self.units[task % self.units.len()]);
            for block in 0..self.large_blocks.len() {
                let place = (tap * self.large_blocks.len() + block) * LANES * row + unit.block * LANES;
                let sum = |first: bool, left: usize, right: usize, steps: (usize, usize), count: usize| {
                    // SAFETY: see the head of the file.
                    unsafe {
                        let products = Outer {
                            left: (large.as_ptr().add(left), steps.0),
                            right: (small.as_ptr().add(right), steps.1),
                            block: self.small.plane(),
                            count,
                            to: (sums.get().add(place), row),
                            add: !first,
                        };
                        self.multiply(block, unit, products);
                    }
                };
                let left = |picture: usize| self.large_at(picture, block) + taps[tap].1;
                let right = |picture: usize| self.small_at(picture, unit.block) + self.small.at(0, 0);
                if single {
                    for first in (0..count).step_by(CHAIN) {
                        let steps = (self.large.image(), self.small.image());
                        sum(first == 0, left(first), right(first), steps, CHAIN.min(count - first));
                    }
                    continue;
                }
                for (picture, y) in (0..count).flat_map(|p| (0..self.small.height).map(move |y| (p, y))) {
                    let places = (left(picture) + y * step * self.large.row(), right(picture) + y * self.small.row());
                    sum((picture, y) == (0, 0), places.0, places.1, (step * LANES, LANES), self.small.width);
                }
            }
        });
        let sums = &shared[..taps.len() * self.pairs()];
        let area = self.spec.kernel * self.spec.kernel;
        self.for_each_pair(|block, other| {
            for (lane, input) in self.inputs(block) {
                let row_of = |tap: usize| {
                    &sums[((tap * self.large_blocks.len() + block) * LANES + lane) * row + other * LANES..][..LANES]
                };
                for (t, (tap, _)) in taps.iter().enumerate() {
                    for (value, output) in row_of(t).iter().zip(self.outputs(other)) {
                        // SAFETY: this task alone writes this pair of channels.
                        unsafe { *to.get().add((output * self.spec.inputs + input) * area + tap.index) = *value };
                    }
                }
            }
        });
    }

    /// Calls `work(block of the large map, block of the small map)` for all pairs, on all threads.
    fn for_each_pair(&self, work: impl Fn(usize, usize) + Sync + Send) {
        let blocks = self.large_blocks.len();
        threads::for_each(blocks * self.small_blocks.len(), |i| work(i % blocks, i / blocks));
    }

    /// The lanes and channels of a block of the large map.
    fn inputs(&self, block: usize) -> impl Iterator<Item = (usize, usize)> {
        let lanes = &self.large.lanes[self.large_blocks.clone()];
        let first: usize = lanes[..block].iter().sum();
        (0..lanes[block]).map(move |lane| (lane, first + lane))
    }

    /// The channels of a block of the small map.
    fn outputs(&self, block: usize) -> Range<usize> {
        let lanes = &self.small.lanes[self.small_blocks.clone()];
        let first: usize = lanes[..block].iter().sum();
        first..first + lanes[block]
    }
}

impl Squares {
    /// Floats of a point of the transformed squares of the large map, and of the small one: a cache line more than they
    /// need, or all points would fall into the same lines of the cache.
    fn left(&self, plan: &WeightGradient, squares: usize) -> usize {
        (self.views.len() * plan.large_blocks.len() * squares + 1) * LANES
    }

    fn right(&self, plan: &WeightGradient, squares: usize) -> usize {
        (plan.small_blocks.len() * squares + 1) * LANES
    }

    /// Squares that are transformed at a time.
    fn many(&self, plan: &WeightGradient) -> usize {
        let each = self.points * self.points * (self.left(plan, 1) + self.right(plan, 1));
        (SQUARE_FLOATS / each).max(1).next_multiple_of(CHAIN)
    }

    /// How it is shared out, for so many pictures.
    fn order(&self, plan: &WeightGradient, count: usize) -> Order {
        let squares = count * self.places.len();
        let sums = self.sums(plan);
        if sums <= self.few_sums {
            Order::Tasks((squares.div_ceil(FEW)).min(4 * threads::count()))
        } else if self.points * self.points * plan.kernels.blocks * squares * LANES <= self.unit_floats {
            Order::Blocks
        } else {
            Order::Points(squares.min(self.many(plan)))
        }
    }

    /// Floats of the sums of all points.
    fn sums(&self, plan: &WeightGradient) -> usize {
        self.points * self.points * self.views.len() * plan.pairs()
    }

    /// Floats of memory that all threads share, for so many pictures.
    fn shared(&self, plan: &WeightGradient, count: usize) -> usize {
        let transformed =
            |squares: usize| self.points * self.points * (self.left(plan, squares) + self.right(plan, squares));
        match self.order(plan, count) {
            Order::Tasks(tasks) => tasks * self.sums(plan),
            Order::Blocks => transformed(count * self.places.len()),
            Order::Points(many) => self.sums(plan) + transformed(many),
        }
    }

    fn run(&self, plan: &WeightGradient, count: usize, maps: [&[f32]; 2], to: Shared, shared: &mut Floats) {
        match self.order(plan, count) {
            Order::Tasks(tasks) => self.by_tasks(plan, count, tasks, maps, to, shared),
            Order::Blocks => self.by_blocks(plan, count, maps, to, shared),
            Order::Points(many) => self.by_points(plan, count, many, maps, to, shared),
        }
    }

    /// Transforms square `square` of both maps to column `column` of those that `many` stand side by side in.
    ///
    /// # Safety
    /// The maps must have the square, and the pointers be valid for all points of so many squares.
    unsafe fn transform(
        &self,
        plan: &WeightGradient,
        [large, small]: [&[f32]; 2],
        square: usize,
        (left, right): (Shared, Shared),
        (column, many): (usize, usize),
    ) {
        let (picture, place) = (square / self.places.len(), square % self.places.len());
        let blocks = plan.large_blocks.len();
        for (v, reads) in self.reads.iter().enumerate() {
            for block in 0..blocks {
                let from = plan.large_at(picture, block) + reads[place] as usize;
                let at = ((v * blocks + block) * many + column) * LANES;
                // SAFETY: the caller's, and the head of the file.
                unsafe {
                    let (from, to) = (large.as_ptr().add(from), left.get().add(at));
                    (plan.kernels.input)(self.points, from, self.steps.0, self.steps.1, to, self.left(plan, many));
                }
            }
        }
        for block in 0..plan.small_blocks.len() {
            let from = plan.small_at(picture, block) + self.places[place] as usize;
            // SAFETY: as above.
            unsafe {
                let (from, to) = (small.as_ptr().add(from), right.get().add((block * many + column) * LANES));
                (plan.kernels.spread)(self.points, from, plan.small.row(), to, self.right(plan, many));
            }
        }
    }

    /// Sums the products of `here` squares of a block of the large map, in a view, with a unit, at one point.
    ///
    /// # Safety
    /// The pointers must be valid for the transformed squares, and `to` for sixteen rows, `row` floats apart.
    #[allow(clippy::too_many_arguments, reason = "where from, where to, and how many")]
    unsafe fn multiply(
        &self,
        plan: &WeightGradient,
        (point, view, block): (usize, usize, usize),
        unit: &Unit,
        (left, right): (Shared, Shared),
        (first, here, many): (usize, usize, usize),
        (to, row): (*mut f32, usize),
        add: bool,
    ) {
        let place = view * plan.large_blocks.len() + block;
        // SAFETY: the caller's.
        unsafe {
            let left = left.get().add(point * self.left(plan, many) + (place * many + first) * LANES);
            let right = right.get().add(point * self.right(plan, many) + (unit.block * many + first) * LANES);
            let (left, right) = ((left.cast_const(), LANES), (right.cast_const(), LANES));
            plan.multiply(block, unit, Outer { left, right, block: many * LANES, count: here, to: (to, row), add });
        }
    }

    /// Few sums: each task transforms and multiplies its own squares, a few at a time, and adds up its own sums.
    fn by_tasks(
        &self,
        plan: &WeightGradient,
        count: usize,
        tasks: usize,
        maps: [&[f32]; 2],
        to: Shared,
        shared: &mut Floats,
    ) {
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (size, row, blocks) = (self.sums(plan), plan.small_blocks.len() * LANES, plan.large_blocks.len());
        let (left_size, right_size) = (points * self.left(plan, FEW), points * self.right(plan, FEW));
        let each = all.div_ceil(tasks).next_multiple_of(FEW);
        let sums = Shared(shared.as_mut_ptr());
        threads::for_each(tasks, |task| {
            let (begin, end) = ((task * each).min(all), ((task + 1) * each).min(all));
            let place = task * size;
            if begin == end {
                // SAFETY: this task alone has these sums.
                unsafe { std::slice::from_raw_parts_mut(sums.get().add(place), size).fill(0.0) };
            }
            with_scratch(left_size + right_size, |scratch| {
                let (left, right) = scratch.split_at_mut(left_size);
                let transformed = (Shared(left.as_mut_ptr()), Shared(right.as_mut_ptr()));
                for start in (begin..end).step_by(FEW) {
                    let here = FEW.min(end - start);
                    // SAFETY: see the head of the file; this task alone has these sums.
                    unsafe {
                        for column in 0..here {
                            self.transform(plan, maps, start + column, transformed, (column, FEW));
                        }
                        for point in 0..points {
                            for (v, block) in (0..self.views.len()).flat_map(|v| (0..blocks).map(move |b| (v, b))) {
                                let at = ((point * self.views.len() + v) * blocks + block) * LANES * row;
                                for unit in &plan.units {
                                    let to = sums.get().add(place + at + unit.block * LANES);
                                    let range = (0, here, FEW);
                                    let which = (point, v, block);
                                    self.multiply(plan, which, unit, transformed, range, (to, row), start > begin);
                                }
                            }
                        }
                    }
                }
            });
        });
        let (first, rest) = shared[..tasks * size].split_at_mut(size);
        const PIECE: usize = 1 << 12;
        threads::for_each_chunk(first, PIECE, |i, sums| {
            for other in rest.chunks_exact(size) {
                sums.iter_mut().zip(&other[i * PIECE..]).for_each(|(sum, other)| *sum += other);
            }
        });
        self.back(plan, first, to);
    }

    /// Few squares and many sums: all squares are transformed, and each task brings its sums back to kernels at once.
    fn by_blocks(&self, plan: &WeightGradient, count: usize, maps: [&[f32]; 2], to: Shared, shared: &mut Floats) {
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (left, right) = shared.split_at_mut(points * self.left(plan, all));
        let transformed = (Shared(left.as_mut_ptr()), Shared(right.as_mut_ptr()));
        threads::for_each(all.div_ceil(TOGETHER), |i| {
            for square in i * TOGETHER..all.min((i + 1) * TOGETHER) {
                // SAFETY: see the head of the file.
                unsafe { self.transform(plan, maps, square, transformed, (square, all)) };
            }
        });
        let blocks = plan.large_blocks.len();
        let pieces = (4 * threads::count()).div_ceil(plan.units.len()).clamp(1, blocks);
        let each = blocks.div_ceil(pieces);
        threads::for_each(plan.units.len() * pieces, |task| {
            let (unit, piece) = (&plan.units[task / pieces], task % pieces);
            let row = unit.blocks * LANES;
            let size = points * LANES * row;
            with_scratch(self.views.len() * size, |sums| {
                for block in (piece * each).min(blocks)..((piece + 1) * each).min(blocks) {
                    for (v, sums) in sums.chunks_exact_mut(size).enumerate() {
                        for (point, sums) in sums.chunks_exact_mut(LANES * row).enumerate() {
                            for first in (0..all).step_by(CHAIN) {
                                let range = (first, CHAIN.min(all - first), all);
                                let to = (sums.as_mut_ptr(), row);
                                // SAFETY: as above.
                                unsafe {
                                    self.multiply(plan, (point, v, block), unit, transformed, range, to, first > 0);
                                }
                            }
                        }
                    }
                    for b in 0..unit.blocks {
                        let strides = (size, LANES * row, row);
                        let sums = &sums[b * LANES..];
                        let other = unit.block + b;
                        run(plan.kernels, Back { plan, squares: self, sums, strides, block, other, to });
                    }
                }
            });
        });
    }

    /// Many squares and many sums: some squares at a time are transformed, and each task has a point.
    fn by_points(
        &self,
        plan: &WeightGradient,
        count: usize,
        many: usize,
        maps: [&[f32]; 2],
        to: Shared,
        shared: &mut Floats,
    ) {
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (blocks, views, row) = (plan.large_blocks.len(), self.views.len(), plan.small_blocks.len() * LANES);
        let (sums, rest) = shared.split_at_mut(self.sums(plan));
        let (left, right) = rest.split_at_mut(points * self.left(plan, many));
        let transformed = (Shared(left.as_mut_ptr()), Shared(right.as_mut_ptr()));
        let to_sums = Shared(sums.as_mut_ptr());
        for begin in (0..all).step_by(many) {
            let here = many.min(all - begin);
            threads::for_each(here.div_ceil(TOGETHER), |i| {
                for square in i * TOGETHER..here.min((i + 1) * TOGETHER) {
                    // SAFETY: see the head of the file.
                    unsafe { self.transform(plan, maps, begin + square, transformed, (square, many)) };
                }
            });
            threads::for_each(points * plan.units.len(), |task| {
                let (point, unit) = (task / plan.units.len(), &plan.units[task % plan.units.len()]);
                for first in (0..here).step_by(CHAIN) {
                    for (v, block) in (0..views).flat_map(|v| (0..blocks).map(move |block| (v, block))) {
                        let at = ((point * views + v) * blocks + block) * LANES * row + unit.block * LANES;
                        let range = (first, CHAIN.min(here - first), many);
                        // SAFETY: as above; the task alone writes these sums.
                        unsafe {
                            let to = (to_sums.get().add(at), row);
                            self.multiply(plan, (point, v, block), unit, transformed, range, to, begin + first > 0);
                        }
                    }
                }
            });
        }
        self.back(plan, sums, to);
    }

    /// Brings the sums of all points, `[points][views][blocks][16][outputs]`, back to kernels.
    fn back(&self, plan: &WeightGradient, sums: &[f32], to: Shared) {
        let (blocks, row) = (plan.large_blocks.len(), plan.small_blocks.len() * LANES);
        let view = blocks * LANES * row;
        plan.for_each_pair(|block, other| {
            let sums = &sums[block * LANES * row + other * LANES..];
            let strides = (view, self.views.len() * view, row);
            run(plan.kernels, Back { plan, squares: self, sums, strides, block, other, to });
        });
    }
}

/// How the work of squares is shared out.
enum Order {
    /// So many tasks, each with sums of its own.
    Tasks(usize),
    /// Every task has some blocks.
    Blocks,
    /// Every task has a point, for so many squares at a time.
    Points(usize),
}

/// The transform of the sums of one pair of blocks back to kernels.
struct Back<'a> {
    plan: &'a WeightGradient,
    squares: &'a Squares,
    /// From the first sum of the pair on.
    sums: &'a [f32],
    /// Floats between views, points and rows.
    strides: (usize, usize, usize),
    block: usize,
    other: usize,
    to: Shared,
}

impl Back<'_> {
    #[inline(always)]
    fn transform<S: Simd, const POINTS: usize, const R: usize>(self) {
        let Self { plan, squares, sums, strides, block, other, to } = self;
        let area = plan.spec.kernel * plan.spec.kernel;
        let zero = Wide::<S>::splat(0.0);
        let outputs = plan.outputs(other);
        for (lane, input) in plan.inputs(block) {
            let mut taps = [[0.0; LANES]; MOST_TAPS];
            for (v, view) in squares.views.iter().enumerate() {
                let mut kernel = [[zero; R]; R];
                for (y, factors) in squares.matrix.iter().enumerate() {
                    let mut half = [zero; R];
                    for (x, factors) in squares.matrix.iter().enumerate() {
                        let at = v * strides.0 + (y * POINTS + x) * strides.1 + lane * strides.2;
                        let Some(values) = sums[at..].first_chunk() else { return };
                        let values = Wide::<S>::load(values);
                        for (half, factor) in half.iter_mut().zip(factors) {
                            *half = values.times_plus(*factor, *half);
                        }
                    }
                    for (kernel, factor) in kernel.iter_mut().zip(factors) {
                        for (tap, half) in kernel.iter_mut().zip(&half) {
                            *tap = half.times_plus(*factor, *tap);
                        }
                    }
                }
                for (i, &index) in view.indices.iter().enumerate() {
                    kernel[i / R][i % R].store(&mut taps[index]);
                }
            }
            for (lane, output) in outputs.clone().enumerate() {
                // SAFETY: this task alone writes this pair of channels.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(to.get().add((output * plan.spec.inputs + input) * area), area)
                };
                to.iter_mut().zip(&taps).for_each(|(to, tap)| *to = tap[lane]);
            }
        }
    }
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        match (self.squares.points, self.squares.side) {
            (6, _) => self.transform::<S, 6, 3>(),
            (5, _) => self.transform::<S, 5, 2>(),
            _ => self.transform::<S, 3, 2>(),
        }
    }
}
