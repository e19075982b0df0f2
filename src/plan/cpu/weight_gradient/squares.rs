//! Sums over squares: how they are shared out, and how they are brought back to kernels.

use super::super::pack::{MOST_TAPS, Unit};
use super::{CHAIN, Squares, WeightGradient};
use crate::ops::simd::tiles::{InputTransform, Outer, Repeat, SpreadTransform};
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::simd::{Floats, LANES, Share, Sharing, Simd, with_scratch};
use crate::ops::threads;

/// The most floats of transformed squares at a time.
const SQUARE_FLOATS: usize = 3 << 20;
/// Squares that a task transforms at a time where it has sums of its own.
const FEW: usize = 32;
/// Squares of a task that transforms.
const TOGETHER: usize = 8;
/// Units that a task multiplies the squares of a block with, which are too many to stay in its core's caches for the next.
const UNITS: usize = 2;

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
    pub(super) fn shared(&self, plan: &WeightGradient, count: usize) -> usize {
        let transformed =
            |squares: usize| self.points * self.points * (self.left(plan, squares) + self.right(plan, squares));
        match self.order(plan, count) {
            Order::Tasks(tasks) => tasks * self.sums(plan),
            Order::Blocks => transformed(count * self.places.len()),
            Order::Points(many) => self.sums(plan) + transformed(many),
        }
    }

    pub(super) fn run(
        &self,
        plan: &WeightGradient,
        count: usize,
        maps: [&[f32]; 2],
        to: &Sharing,
        shared: &mut Floats,
    ) {
        match self.order(plan, count) {
            Order::Tasks(tasks) => self.by_tasks(plan, count, tasks, maps, to, shared),
            Order::Blocks => self.by_blocks(plan, count, maps, to, shared),
            Order::Points(many) => self.by_points(plan, count, many, maps, to, shared),
        }
    }

    /// The transforms of squares of which `many` stand side by side.
    fn transforms(&self, plan: &WeightGradient, many: usize) -> (InputTransform, SpreadTransform) {
        let input = InputTransform::new(self.points, self.steps, self.left(plan, many));
        (input, SpreadTransform::new(self.points, plan.small.row(), self.right(plan, many)))
    }

    /// Transforms square `square` of both maps to column `column` of those that `many` stand side by side in.
    fn transform(
        &self,
        plan: &WeightGradient,
        [large, small]: [&[f32]; 2],
        square: usize,
        (left, right): (Share, Share),
        ((input, spread), column, many): (&(InputTransform, SpreadTransform), usize, usize),
    ) {
        let (picture, place) = (square / self.places.len(), square % self.places.len());
        let blocks = plan.large_blocks.len();
        for (v, reads) in self.reads.iter().enumerate() {
            for block in 0..blocks {
                let from = plan.large_at(picture, block) + reads[place] as usize;
                plan.kernels.input(input, (large, from), (left, ((v * blocks + block) * many + column) * LANES));
            }
        }
        for block in 0..plan.small_blocks.len() {
            let from = plan.small_at(picture, block) + self.places[place] as usize;
            plan.kernels.spread(spread, (small, from), (right, (block * many + column) * LANES));
        }
    }

    /// Sums the products of some squares with a unit at a point and a place: a block of the large map in a view. More
    /// points or places are in `repeat`.
    #[allow(clippy::too_many_arguments, reason = "where from, where to, and how many")]
    fn multiply(
        &self,
        plan: &WeightGradient,
        (point, place): (usize, usize),
        unit: &Unit,
        (left, right): (&[f32], &[f32]),
        (first, count, many): (usize, usize, usize),
        to: (Share, usize, usize),
        add: bool,
        repeat: Repeat,
    ) {
        let products = Outer {
            left: (left, point * self.left(plan, many) + (place * many + first) * LANES, LANES),
            right: (right, point * self.right(plan, many) + (unit.block * many + first) * LANES, LANES),
            block: many * LANES,
            count,
            to,
            add,
            repeat,
        };
        plan.multiply(place % plan.large_blocks.len(), unit, &products);
    }

    /// [`Squares::multiply`] for all places of a point, whose sums follow one another.
    #[allow(clippy::too_many_arguments, reason = "where from, where to, and how many")]
    fn multiply_all(
        &self,
        plan: &WeightGradient,
        point: usize,
        unit: &Unit,
        sides: (&[f32], &[f32]),
        (first, count, many): (usize, usize, usize),
        (to, at, row): (Share, usize, usize),
        add: bool,
    ) {
        let places = self.views.len() * plan.large_blocks.len();
        let lanes = &plan.large.lanes[plan.large_blocks.clone()];
        // Blocks of fewer channels take fewer rows, so that they have calls of their own.
        let rows = |lanes: &usize| lanes.div_ceil(plan.kernels.rows);
        let times = if lanes.iter().all(|each| rows(each) == rows(&lanes[0])) { places } else { 1 };
        for place in (0..places).step_by(times) {
            let to = (to, at + place * LANES * row, row);
            let repeat = Repeat { times, left: many * LANES, right: 0, to: LANES * row };
            self.multiply(plan, (point, place), unit, sides, (first, count, many), to, add, repeat);
        }
    }

    /// Few sums: each task transforms and multiplies its own squares, a few at a time, and adds up its own sums.
    fn by_tasks(
        &self,
        plan: &WeightGradient,
        count: usize,
        tasks: usize,
        maps: [&[f32]; 2],
        to: &Sharing,
        shared: &mut Floats,
    ) {
        const PIECE: usize = 1 << 12;
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (size, row, blocks) = (self.sums(plan), plan.small_blocks.len() * LANES, plan.large_blocks.len());
        let (left_size, right_size) = (points * self.left(plan, FEW), points * self.right(plan, FEW));
        let each = all.div_ceil(tasks).next_multiple_of(FEW);
        let transforms = self.transforms(plan, FEW);
        {
            let sums = &Sharing::new(shared);
            threads::for_each(tasks, |task| {
                let (begin, end) = ((task * each).min(all), ((task + 1) * each).min(all));
                let (place, sums) = (task * size, sums.task(task));
                if begin == end {
                    sums.with(place, size, |sums| sums.fill(0.0));
                }
                with_scratch(left_size + right_size, |scratch| {
                    let (left, right) = scratch.split_at_mut(left_size);
                    for start in (begin..end).step_by(FEW) {
                        let here = FEW.min(end - start);
                        {
                            let shares = (&Sharing::new(left), &Sharing::new(right));
                            let shares = (shares.0.task(0), shares.1.task(0));
                            for column in 0..here {
                                self.transform(plan, maps, start + column, shares, (&transforms, column, FEW));
                            }
                        }
                        for (point, unit) in (0..points).flat_map(|p| plan.units.iter().map(move |unit| (p, unit))) {
                            let at = place + point * self.views.len() * blocks * LANES * row + unit.block * LANES;
                            let (to, range) = ((sums, at, row), (0, here, FEW));
                            self.multiply_all(plan, point, unit, (left, right), range, to, start > begin);
                        }
                    }
                });
            });
        }
        let (first, rest) = shared[..tasks * size].split_at_mut(size);
        threads::for_each_chunk(first, PIECE, |i, sums| {
            for other in rest.chunks_exact(size) {
                sums.iter_mut().zip(&other[i * PIECE..]).for_each(|(sum, other)| *sum += other);
            }
        });
        self.back(plan, first, to);
    }

    /// Few squares and many sums: all squares are transformed, and each task brings its sums back to kernels at once.
    fn by_blocks(&self, plan: &WeightGradient, count: usize, maps: [&[f32]; 2], to: &Sharing, shared: &mut Floats) {
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (left, right) = shared.split_at_mut(points * self.left(plan, all));
        self.transform_all(plan, maps, (0, all, all), (left, right));
        let (left, right) = (&*left, &*right);
        let blocks = plan.large_blocks.len();
        let groups: Vec<&[Unit]> = plan.units.chunks(UNITS).collect();
        let pieces = (4 * threads::count()).div_ceil(groups.len()).clamp(1, blocks);
        let each = blocks.div_ceil(pieces);
        let strides = (self.left(plan, all), self.right(plan, all));
        // Each task has the kernels of a few units and some blocks.
        threads::for_each(groups.len() * pieces, |task| {
            let (units, piece) = (groups[task / pieces], task % pieces);
            // No later unit has more blocks than the first.
            let row = units[0].blocks * LANES;
            let size = points * LANES * row;
            let unit_size = self.views.len() * size;
            // All points, one after the other.
            let repeat = Repeat { times: points, left: strides.0, right: strides.1, to: LANES * row };
            with_scratch(units.len() * unit_size, |sums| {
                for block in (piece * each).min(blocks)..((piece + 1) * each).min(blocks) {
                    {
                        let sums = &Sharing::new(sums);
                        let firsts = || (0..all).step_by(CHAIN);
                        for (v, first) in (0..self.views.len()).flat_map(|v| firsts().map(move |first| (v, first))) {
                            for (u, unit) in units.iter().enumerate() {
                                let range = (first, CHAIN.min(all - first), all);
                                let to = (sums.task(0), u * unit_size + v * size, row);
                                let which = (0, v * blocks + block);
                                self.multiply(plan, which, unit, (left, right), range, to, first > 0, repeat);
                            }
                        }
                    }
                    for (u, unit) in units.iter().enumerate() {
                        for b in 0..unit.blocks {
                            let (sums, strides) = (&sums[u * unit_size + b * LANES..], (size, LANES * row, row));
                            let (other, to) = (unit.block + b, to.task(task));
                            run(plan.kernels, Back { plan, squares: self, sums, strides, block, other, to });
                        }
                    }
                }
            });
        });
    }

    /// Transforms the squares `begin..begin + here` to the first columns of `many`, on all threads.
    fn transform_all(
        &self,
        plan: &WeightGradient,
        maps: [&[f32]; 2],
        (begin, here, many): (usize, usize, usize),
        (left, right): (&mut [f32], &mut [f32]),
    ) {
        let transforms = self.transforms(plan, many);
        // Each task has squares of its own.
        let (left, right) = (&Sharing::new(left), &Sharing::new(right));
        threads::for_each(here.div_ceil(TOGETHER), |i| {
            for column in i * TOGETHER..here.min((i + 1) * TOGETHER) {
                let to = (left.task(i), right.task(i));
                self.transform(plan, maps, begin + column, to, (&transforms, column, many));
            }
        });
    }

    /// Many squares and many sums: some squares at a time are transformed, and each task has a point.
    fn by_points(
        &self,
        plan: &WeightGradient,
        count: usize,
        many: usize,
        maps: [&[f32]; 2],
        to: &Sharing,
        shared: &mut Floats,
    ) {
        let all = count * self.places.len();
        let points = self.points * self.points;
        let (blocks, views, row) = (plan.large_blocks.len(), self.views.len(), plan.small_blocks.len() * LANES);
        let (sums, rest) = shared.split_at_mut(self.sums(plan));
        let (left, right) = rest.split_at_mut(points * self.left(plan, many));
        for begin in (0..all).step_by(many) {
            let here = many.min(all - begin);
            self.transform_all(plan, maps, (begin, here, many), (left, right));
            let (left, right, sums) = (&*left, &*right, &Sharing::new(sums));
            // Each task has the sums of a point and a unit.
            threads::for_each(points * plan.units.len(), |task| {
                let (point, unit) = (task / plan.units.len(), &plan.units[task % plan.units.len()]);
                for first in (0..here).step_by(CHAIN) {
                    let at = point * views * blocks * LANES * row + unit.block * LANES;
                    let (range, to) = ((first, CHAIN.min(here - first), many), (sums.task(task), at, row));
                    self.multiply_all(plan, point, unit, (left, right), range, to, begin + first > 0);
                }
            });
        }
        self.back(plan, sums, to);
    }

    /// Brings the sums of all points, `[points][views][blocks][16][outputs]`, back to kernels.
    fn back(&self, plan: &WeightGradient, sums: &[f32], to: &Sharing) {
        let (blocks, row) = (plan.large_blocks.len(), plan.small_blocks.len() * LANES);
        let view = blocks * LANES * row;
        plan.for_each_pair(to, |to, block, other| {
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
    to: Share<'a>,
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
                        let values = Wide::<S>::load(&sums[at..].as_chunks().0[0]);
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
                to.with((output * plan.spec.inputs + input) * area, area, |to| {
                    to.iter_mut().zip(&taps).for_each(|(to, tap)| *to = tap[lane]);
                });
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
