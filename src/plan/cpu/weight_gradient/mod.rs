//! The gradient of a convolution in its kernels: sums, over all pixels of a batch, of outer products of channels; where
//! the shape allows it by Winograd's algorithm turned round, with products of transformed squares of both maps.

use super::super::layout::{LANES, Layout};
use super::convolution::Way;
use super::geometry::{Tap, View, grids};
use super::pack::{MOST_TAPS, Unit, units};
use crate::ops::simd::sharing::filled;
use crate::ops::simd::tiles::{Kernels, Outer, Repeat};
use crate::ops::simd::transform::kernel_matrix;
use crate::ops::simd::{Floats, Share, Sharing};
use crate::ops::{ConvSpec, threads};
use std::ops::Range;

mod squares;

/// The most products that are summed in registers: their left and right sides stay in the nearest cache, and the error of
/// the sum stays small.
const CHAIN: usize = 128;
/// The most floats of sums that every task has for itself.
const FEW_SUMS: usize = 1 << 17;
/// The most floats of a unit's transformed squares of a whole batch: they stay in a core's cache.
const UNIT_FLOATS: usize = 160 << 10;

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

    /// The gradient of the first `count` pictures, shaped as the kernels, from the values of the map that was read
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
        shared: &mut Floats,
    ) -> Vec<f32> {
        let (large, small) = if transposed { (gradients, values) } else { (values, gradients) };
        assert!(large.len() >= count * self.large.image() && small.len() >= count * self.small.image());
        assert!(shared.len() >= self.shared(count));
        // Every tap of every pair of channels is written by the task that has the pair.
        filled(self.spec.weight_shape().iter().product(), |to| match &self.way {
            Plan::Direct(taps) => self.direct(taps, count, large, small, to, shared),
            Plan::Squares(squares) => squares.run(self, count, [large, small], to, shared),
        })
    }

    fn large_at(&self, picture: usize, block: usize) -> usize {
        picture * self.large.image() + (self.large_blocks.start + block) * self.large.plane()
    }

    fn small_at(&self, picture: usize, block: usize) -> usize {
        picture * self.small.image() + (self.small_blocks.start + block) * self.small.plane()
    }

    /// Sums products of a block of the left side with a unit of the right side, for all rows that have a channel; and as many
    /// more such sums as are asked for, of blocks with as many rows.
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
                        repeat: Repeat::NONE,
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
