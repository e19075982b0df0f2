//! The gradient of a convolution in its kernels: sums, over all pixels of a batch, of outer products of channels; where
//! the shape allows it by Winograd's algorithm turned round, with products of transformed squares of both maps.

use super::super::layout::{LANES, Layout};
use super::convolution::Way;
use super::geometry::{Tap, View, grids};
use super::pack::{Unit, units};
use crate::ops::simd::tiles::{InputTransform, Kernels, Outer, SpreadTransform};
use crate::ops::simd::transform::kernel_matrix;
use crate::ops::simd::wide::{Work, run};
use crate::ops::simd::{Floats, Share, Sharing, Simd};
use crate::ops::{ConvSpec, threads};
use std::ops::Range;

/// The most floats of transformed squares at a time.
const SQUARE_FLOATS: usize = 3 << 20;
/// The most products that are summed in registers: their left and right sides stay in the nearest cache, and the error of
/// the sum stays small.
const CHAIN: usize = 128;
/// Squares or planes of a task that transforms.
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
    matrix: Vec<[f64; 3]>,
    /// Where each square begins in a plane of the large map, for every view, and of the small map.
    reads: Vec<Vec<u32>>,
    places: Vec<u32>,
    /// Floats between neighbouring rows and pixels that a view reads.
    steps: (usize, usize),
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
            points * views as f64 * pairs * (squares / 75.0 + 1.2) + transforms
        };
        let direct_cost = {
            let taps = grid.taps.len() as f64;
            let run = if small.width == 1 { 32.0 } else { small.width as f64 };
            taps * pairs * (pixels * (run + 6.0) / run / 75.0 + 1.2)
        };
        let squares = || {
            let (r, views) = grid.views()?;
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
                matrix: kernel_matrix(points, r),
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

    /// Floats of a pair of channels' sums, for all pairs of blocks.
    fn pairs(&self) -> usize {
        self.large_blocks.len() * self.small_blocks.len() * LANES * LANES
    }

    /// Floats of memory that all threads share, for so many pictures.
    pub fn shared(&self, count: usize) -> usize {
        match &self.way {
            Plan::Direct(taps) => taps.len() * self.pairs(),
            Plan::Squares(squares) => {
                let many = squares.many(self, count);
                let points = squares.points * squares.points;
                points * (squares.views.len() * self.pairs() + squares.left(self, many) + squares.right(self, many))
            }
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
        let to = &Sharing::new(to);
        match &self.way {
            Plan::Direct(taps) => self.direct(taps, count, large, small, to, shared),
            Plan::Squares(squares) => squares.run(self, count, large, small, to, shared),
        }
    }

    fn large_at(&self, picture: usize, block: usize) -> usize {
        picture * self.large.image() + (self.large_blocks.start + block) * self.large.plane()
    }

    fn small_at(&self, picture: usize, block: usize) -> usize {
        picture * self.small.image() + (self.small_blocks.start + block) * self.small.plane()
    }

    /// Sums products of one block of the left side with a unit of the right side, for all rows that have a channel.
    fn multiply(&self, block: usize, unit: &Unit, products: &Outer) {
        self.kernels.outer(unit.blocks, self.large.lanes[self.large_blocks.start + block], products);
    }

    /// Tap by tap.
    fn direct(
        &self,
        taps: &[(Tap, usize)],
        count: usize,
        large: &[f32],
        small: &[f32],
        to: &Sharing,
        shared: &mut Floats,
    ) {
        let step = self.spec.stride;
        let row = self.small_blocks.len() * LANES;
        // Each task has the sums of a tap and a unit.
        let sums = &Sharing::new(shared);
        let single = (self.small.height, self.small.width) == (1, 1);
        threads::for_each(taps.len() * self.units.len(), |task| {
            let (tap, unit) = (task / self.units.len(), &self.units[task % self.units.len()]);
            let sums = sums.task(task);
            for block in 0..self.large_blocks.len() {
                let place = (tap * self.large_blocks.len() + block) * LANES * row + unit.block * LANES;
                let sum = |first: bool, left: usize, right: usize, steps: (usize, usize), count: usize| {
                    let products = Outer {
                        left: (large, left, steps.0),
                        right: (small, right, steps.1),
                        block: self.small.plane(),
                        count,
                        to: (sums, place, row),
                        add: !first,
                    };
                    self.multiply(block, unit, &products);
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
        self.for_each_pair(to, |to, block, other| {
            for (lane, input) in self.inputs(block) {
                let row_of = |tap: usize| {
                    &sums[((tap * self.large_blocks.len() + block) * LANES + lane) * row + other * LANES..][..LANES]
                };
                for (t, (tap, _)) in taps.iter().enumerate() {
                    for (value, output) in row_of(t).iter().zip(self.outputs(other)) {
                        to.set((output * self.spec.inputs + input) * area + tap.index, *value);
                    }
                }
            }
        });
    }

    /// Calls `work(where to write, block of the large map, block of the small map)` for all pairs, on all threads. Each
    /// writes the kernels of its pairs of channels.
    fn for_each_pair(&self, to: &Sharing, work: impl Fn(Share, usize, usize) + Sync + Send) {
        let blocks = self.large_blocks.len();
        threads::for_each(blocks * self.small_blocks.len(), |i| work(to.task(i), i % blocks, i / blocks));
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
    fn many(&self, plan: &WeightGradient, count: usize) -> usize {
        let all = count * self.places.len();
        let each = self.points * self.points * (self.left(plan, 1) + self.right(plan, 1));
        all.min((SQUARE_FLOATS / each).max(1).next_multiple_of(CHAIN))
    }

    fn run(
        &self,
        plan: &WeightGradient,
        count: usize,
        large: &[f32],
        small: &[f32],
        to: &Sharing,
        shared: &mut Floats,
    ) {
        let all = count * self.places.len();
        let many = self.many(plan, count);
        let points = self.points * self.points;
        let (left_point, right_point) = (self.left(plan, many), self.right(plan, many));
        let (blocks, views) = (plan.large_blocks.len(), self.views.len());
        let row = plan.small_blocks.len() * LANES;
        let (sums, rest) = shared.split_at_mut(points * views * plan.pairs());
        let (left, right) = rest.split_at_mut(points * left_point);
        let input = InputTransform::new(self.points, self.steps, left_point);
        let spread = SpreadTransform::new(self.points, plan.small.row(), right_point);
        for begin in (0..all).step_by(many) {
            let here = many.min(all - begin);
            // Each task has squares of its own, and then the sums of a point and a unit.
            let (to_left, to_right) = (&Sharing::new(left), &Sharing::new(right));
            threads::for_each(here.div_ceil(TOGETHER), |i| {
                let (to_left, to_right) = (to_left.task(i), to_right.task(i));
                for square in i * TOGETHER..here.min((i + 1) * TOGETHER) {
                    let (picture, place) = ((begin + square) / self.places.len(), (begin + square) % self.places.len());
                    for (v, block) in (0..views).flat_map(|v| (0..blocks).map(move |block| (v, block))) {
                        let from = plan.large_at(picture, block) + self.reads[v][place] as usize;
                        let at = ((v * blocks + block) * many + square) * LANES;
                        plan.kernels.input(&input, (large, from), (to_left, at));
                    }
                    for block in 0..plan.small_blocks.len() {
                        let from = plan.small_at(picture, block) + self.places[place] as usize;
                        plan.kernels.spread(&spread, (small, from), (to_right, (block * many + square) * LANES));
                    }
                }
            });
            let (left, right, to_sums) = (&*left, &*right, &Sharing::new(sums));
            threads::for_each(points * plan.units.len(), |task| {
                let (point, unit) = (task / plan.units.len(), &plan.units[task % plan.units.len()]);
                for first in (0..here).step_by(CHAIN) {
                    for block in 0..views * blocks {
                        let place = (point * views * blocks + block) * LANES * row + unit.block * LANES;
                        let products = Outer {
                            left: (left, point * left_point + (block * many + first) * LANES, LANES),
                            right: (right, point * right_point + (unit.block * many + first) * LANES, LANES),
                            block: many * LANES,
                            count: CHAIN.min(here - first),
                            to: (to_sums.task(task), place, row),
                            add: begin + first > 0,
                        };
                        plan.multiply(block % blocks, unit, &products);
                    }
                }
            });
        }
        let sums = &*sums;
        plan.for_each_pair(to, |to, block, other| {
            run(plan.kernels, Back { plan, squares: self, sums, block, other, to });
        });
    }
}

/// The transform of the sums of one pair of blocks back to kernels, in double precision.
struct Back<'a> {
    plan: &'a WeightGradient,
    squares: &'a Squares,
    sums: &'a [f32],
    block: usize,
    other: usize,
    to: Share<'a>,
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { plan, squares, sums, block, other, to } = self;
        let Squares { points, side, views, matrix, .. } = squares;
        let (points, r) = (*points, points + 1 - side);
        let (blocks, row) = (plan.large_blocks.len(), plan.small_blocks.len() * LANES);
        let area = plan.spec.kernel * plan.spec.kernel;
        for (lane, input) in plan.inputs(block) {
            for (v, view) in views.iter().enumerate() {
                let mut taps = [[[0f64; LANES]; 3]; 3];
                for (y, factors) in matrix.iter().enumerate() {
                    let mut half = [[0f64; LANES]; 3];
                    for (x, factors) in matrix.iter().enumerate() {
                        let place = ((y * points + x) * views.len() + v) * blocks + block;
                        let values = &sums[(place * LANES + lane) * row + other * LANES..][..LANES];
                        for (half, factor) in half.iter_mut().zip(factors).take(r) {
                            half.iter_mut().zip(values).for_each(|(sum, &value)| *sum += factor * f64::from(value));
                        }
                    }
                    for (taps, factor) in taps.iter_mut().zip(factors).take(r) {
                        for (tap, half) in taps.iter_mut().zip(&half).take(r) {
                            tap.iter_mut().zip(half).for_each(|(tap, half)| *tap += factor * half);
                        }
                    }
                }
                for (i, index) in view.indices.iter().enumerate() {
                    for (value, output) in taps[i / r][i % r].iter().zip(plan.outputs(other)) {
                        let at = (output * plan.spec.inputs + input) * area + index;
                        to.set(at, *value as f32);
                    }
                }
            }
        }
    }
}
