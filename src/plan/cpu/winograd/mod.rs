//! Winograd's algorithm for a grid of outputs: squares of input pixels are transformed, multiplied point by point with
//! the transformed kernels, and transformed back to squares of 4x4 or 2x2 outputs.

mod cost;
mod multiply;

use super::super::layout::{LANES, Layout};
use super::convolution::{Convolution, Sink};
use super::geometry::{Grid, View};
use super::pack::{Destination, Packed, What};
use crate::ops::simd::prefetch::prefetch_line;
use crate::ops::simd::tiles::InputTransform;
use crate::ops::simd::{Floats, Share, Sharing, with_scratch};
use crate::ops::threads;
use cost::LARGE_KERNELS;
pub(super) use cost::{Setting, cost, direct_cost, transforms_late};
use multiply::Piece;

/// How many squares ahead the pixels of one are asked for.
const AHEAD: usize = 2;
/// Blocks of input channels whose kernels are transformed at once.
const BLOCKS: usize = 8;
/// Units that a task multiplies the same columns with, where kernels are transformed while they are used.
const UNITS: usize = 2;
/// The most floats of transformed squares that all threads share.
const SHARED_FLOATS: usize = 3 << 19;

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
    views: Vec<View>,
    pub(super) kernels: Kernels,
}

/// The kernels of all units.
pub(super) enum Kernels {
    /// Transformed.
    Ready(Packed),
    /// As they are, to be transformed while they are used.
    Late(Packed),
}

impl Kernels {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Ready(packed) | Self::Late(packed) => packed.bytes(),
        }
    }
}

/// How transformed squares lie: `[points][chunks][tiles][views and blocks of the chunk][squares of a tile][16]`, so that
/// the tiles of a chunk read one line of memory after the other; the points one cache line further apart than they need to
/// be, or they would all fall into the same lines of the cache.
#[derive(Clone, Copy)]
struct Transformed {
    /// Tiles that there is room for.
    tiles: usize,
    point: usize,
}

impl Squares {
    pub(super) fn new(
        (from, lanes): (&Layout, &[usize]),
        to: &Layout,
        grid: &Grid,
        (points, side): (usize, usize),
        views: Vec<View>,
        kernels: Kernels,
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
        Self {
            points,
            side,
            reads: views.iter().map(read).collect(),
            writes: squares().map(write).collect(),
            pixels: std::array::from_fn(|i| grid.step_out * (i / side * to.row() + i % side * LANES)),
            steps: (grid.step_in * from.row(), grid.step_in * LANES),
            lanes: lanes.repeat(views.len()),
            views,
            kernels,
        }
    }

    /// Where other kernels are put.
    pub(super) fn destination(&mut self) -> Destination<'_> {
        let taps = self.points + 1 - self.side;
        match &mut self.kernels {
            Kernels::Ready(packed) => Destination { what: What::Winograd(&self.views, self.points, taps), packed },
            Kernels::Late(packed) => Destination { what: What::Views(&self.views), packed },
        }
    }

    /// Views and blocks of a chunk, which are multiplied together.
    fn chunks(&self) -> usize {
        match self.kernels {
            Kernels::Ready(_) => self.lanes.len(),
            Kernels::Late(_) => BLOCKS,
        }
    }

    /// Where a view's block of a tile lies, among so many tiles.
    fn tile(&self, block: usize, tile: usize, tiles: usize) -> usize {
        let chunks = self.chunks();
        let first = block / chunks * chunks;
        first * tiles + tile * chunks.min(self.lanes.len() - first) + block - first
    }

    fn point(&self, squares: usize) -> usize {
        self.lanes.len() * squares * LANES + LANES
    }

    /// Units that a task multiplies so many columns with: with few there is little to share, and few tasks.
    fn together(&self, conv: &Convolution, columns: usize) -> usize {
        match self.kernels {
            // The products of two must stay in the second cache: that of processors with wide tiles is large.
            Kernels::Late(_) if conv.kernels.blocks > 1 && columns > self.few(conv) => UNITS,
            _ => 1,
        }
    }

    /// Floats that the products of so many squares with the kernels of some units take, and some rows of transformed kernels.
    fn room(&self, conv: &Convolution, squares: usize) -> usize {
        let rows = match self.kernels {
            Kernels::Ready(_) => 0,
            Kernels::Late(_) => 2 * self.points * (BLOCKS * LANES * conv.kernels.blocks * LANES + LANES),
        };
        self.together(conv, squares) * self.products(conv, squares) + rows
    }

    /// Floats that the products of so many squares with the kernels of one unit take.
    fn products(&self, conv: &Convolution, squares: usize) -> usize {
        self.points * self.points * (conv.kernels.blocks * squares + 1) * LANES
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
        matches!(self.kernels, Kernels::Late(_))
            || self.kernels.bytes() > LARGE_KERNELS
            || (threads::count() > 1 && tasks < 2 * threads::count())
    }

    /// Floats of memory that all threads share.
    pub(super) fn shared(&self, conv: &Convolution, count: usize) -> usize {
        self.points * self.points * self.point(self.many(conv, count))
    }

    pub(super) fn run(&self, conv: &Convolution, count: usize, x: &[f32], sink: &Sink, shared: &mut Floats) {
        let all = count * self.writes.len();
        let (few, width) = (self.few(conv), conv.kernels.pixels);
        let count = self.points * self.points;
        if !self.shares(conv, all / self.writes.len().max(1)) {
            threads::for_each(all.div_ceil(few), |i| {
                let (start, end) = (i * few, all.min((i + 1) * few));
                let form = Transformed { tiles: few / width, point: self.point(few) };
                with_scratch(count * form.point + self.room(conv, few), |scratch| {
                    let (values, room) = scratch.split_at_mut(count * form.point);
                    self.transform(conv, x, (start, end), Sharing::new(values).task(0), form, 0);
                    for unit in 0..conv.units.len() {
                        let to = sink.values.task(i);
                        let units = unit..unit + 1;
                        let piece = Piece { conv, squares: self, units, values, form, column: 0, range: start..end };
                        piece.run(sink, to, room);
                    }
                });
            });
            return;
        }
        let many = self.many(conv, all / self.writes.len().max(1));
        let form = Transformed { tiles: many / width, point: self.point(many) };
        for begin in (0..all).step_by(many) {
            let end = all.min(begin + many);
            let group = conv.kernels.pixels;
            let values = &mut shared[..count * form.point];
            {
                // Each task has columns of its own.
                let sharing = Sharing::new(values);
                threads::for_each((end - begin).div_ceil(group), |i| {
                    let first = i * group;
                    let range = (begin + first, end.min(begin + first + group));
                    self.transform(conv, x, range, sharing.task(i), form, first);
                });
            }
            let values = &*values;
            // The parts that read the same kernels follow one another.
            let wide = match self.kernels {
                // All threads have something to do where there are few units.
                Kernels::Ready(_) => {
                    let parts = (2 * threads::count()).div_ceil(conv.units.len());
                    (end - begin).div_ceil(parts).next_multiple_of(width).min(2 * few)
                }
                Kernels::Late(_) => 3 * few,
            };
            let pieces = (end - begin).div_ceil(wide);
            let together = self.together(conv, wide.min(end - begin));
            threads::for_each(pieces * conv.units.len().div_ceil(together), |i| {
                let (unit, first) = (i / pieces * together, i % pieces * wide);
                let units = unit..conv.units.len().min(unit + together);
                let range = begin + first..end.min(begin + first + wide);
                let piece = Piece { conv, squares: self, units, values, form, column: first, range };
                with_scratch(self.room(conv, wide), |room| piece.run(sink, sink.values.task(i), room));
            });
        }
    }

    /// Transforms the squares `start..end` to the columns from `column` on.
    fn transform(
        &self,
        conv: &Convolution,
        x: &[f32],
        (start, end): (usize, usize),
        to: Share,
        form: Transformed,
        column: usize,
    ) {
        let (blocks, width) = (conv.inputs.len(), conv.kernels.pixels);
        let how = InputTransform::new(self.points, self.steps, form.point);
        for (v, reads) in self.reads.iter().enumerate() {
            for block in 0..blocks {
                let from = |square: usize, block: usize| {
                    let (picture, place) = (square / reads.len(), reads[square % reads.len()]);
                    picture * conv.from.image() + (conv.inputs.start + block) * conv.from.plane() + place as usize
                };
                for square in start..end {
                    if square + AHEAD < end {
                        self.prefetch_pixels(x, from(square + AHEAD, block));
                    } else if block + 1 < blocks && start + AHEAD <= end {
                        self.prefetch_pixels(x, from(start + square + AHEAD - end, block + 1));
                    }
                    let from = from(square, block);
                    let (tile, within) = ((column + square - start) / width, (column + square - start) % width);
                    let at = (self.tile(v * blocks + block, tile, form.tiles) * width + within) * LANES;
                    conv.kernels.input(&how, (x, from), (to, at));
                }
            }
        }
    }

    /// Asks for the pixels of a square that its neighbour to the left does not have.
    #[inline]
    fn prefetch_pixels(&self, x: &[f32], from: usize) {
        for row in 0..self.points {
            for column in self.points - self.side..self.points {
                prefetch_line::<true>(x, from + row * self.steps.0 + column * self.steps.1);
            }
        }
    }
}
