//! The inner loops for each instruction set: the product that every convolution comes to, the transforms of
//! Winograd's algorithm, and what is done to a value before it is stored.
//!
//! # Safety
//! The functions of [`Kernels`] are made only for instruction sets that were detected. Their pointers are made by its
//! methods, which assert what is read and written.

use super::sharing::Share;
use super::transform::{
    input3, input5, input6, output3, output5, output6, spread_square3, spread_square5, spread_square6,
};
use super::vector::{Portable, Simd};
use super::{InstructionSet, LANES, unroll};
use crate::ops::Activation;
use std::borrow::Cow;

/// The most pixels of a tile.
pub const MOST_PIXELS: usize = 8;

/// Channels that are read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where they begin, in floats from the place of the pixel.
    pub offset: isize,
    /// How many.
    pub length: usize,
}

/// Segments, and which floats they take in.
pub struct Segments<'a> {
    list: Cow<'a, [Segment]>,
    /// The first float, and one past the last, from the place of the pixel.
    reach: (isize, isize),
    /// All channels.
    channels: usize,
}

impl<'a> Segments<'a> {
    /// Looks through segments.
    pub fn new(list: impl Into<Cow<'a, [Segment]>>) -> Self {
        let list = list.into();
        let (mut reach, mut channels) = ((0, 0), 0usize);
        for segment in list.iter().filter(|segment| segment.length > 0) {
            let end = segment.offset.saturating_add_unsigned(segment.length);
            reach = (segment.offset.min(reach.0), end.max(reach.1));
            channels = channels.saturating_add(segment.length);
        }
        Self { list, reach, channels }
    }
}

/// Places of vectors, and the last of them.
pub struct Places<'a> {
    list: &'a [usize],
    last: usize,
}

impl<'a> Places<'a> {
    /// Looks through places.
    #[inline]
    pub fn new(list: &'a [usize]) -> Self {
        Self { list, last: list.iter().fold(0, |last, &place| last.max(place)) }
    }
}

/// How squares are transformed, and which floats that takes in.
pub struct InputTransform {
    points: usize,
    steps: (usize, usize),
    stride: usize,
    /// The floats that are read, from the first on, and those among which the result is written.
    reads: usize,
    writes: usize,
}

impl InputTransform {
    /// Squares of `points * points` vectors of sixteen (3, 5 or 6 points), rows and columns `steps` floats apart, to as
    /// many vectors `stride` floats apart.
    ///
    /// # Panics
    /// For other numbers of points, and for steps beyond all bounds.
    pub fn new(points: usize, steps: (usize, usize), stride: usize) -> Self {
        const MOST: usize = 1 << 48;
        assert!([3, 5, 6].contains(&points) && steps.0 < MOST && steps.1 < MOST && stride < MOST);
        let reads = (points - 1) * (steps.0 + steps.1) + LANES;
        Self { points, steps, stride, reads, writes: (points * points - 1) * stride + LANES }
    }
}

/// [`InputTransform`] for the transpose of what [`Kernels::output`] does.
pub struct SpreadTransform(InputTransform);

impl SpreadTransform {
    /// From squares of 2x2 (of 3 points) or 4x4 vectors of sixteen, whose rows are `row` floats apart, to
    /// `points * points` vectors `stride` floats apart.
    ///
    /// # Panics
    /// As [`InputTransform::new`].
    pub fn new(points: usize, row: usize, stride: usize) -> Self {
        let how = InputTransform::new(points, (row, LANES), stride);
        let side = if points == 3 { 2 } else { 4 };
        Self(InputTransform { reads: (side - 1) * (row + LANES) + LANES, ..how })
    }
}

/// What is done to a value before it is stored: what lies there is added, then the bias; then the activation, or the
/// slope of the activation at the value that it once gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Finish {
    /// Whether what lies there is added.
    pub add: bool,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// The activation whose slope the value is multiplied by.
    pub slope: Activation,
}

/// What a tile covers.
#[derive(Clone, Copy, Debug)]
pub struct TileSize {
    /// Blocks of outputs.
    pub blocks: usize,
    /// Whether half of the pixels are enough; nothing is then done for the others.
    pub half: bool,
    /// Whether the sums are added to what lies there.
    pub add: bool,
}

/// A sum of outer products: see [`Kernels::outer`].
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    /// The left side: where its first vector lies, and the floats between one and the next.
    pub left: (&'a [f32], usize, usize),
    /// The same of the right side.
    pub right: (&'a [f32], usize, usize),
    /// Floats between the blocks of the right side.
    pub block: usize,
    /// How many products are summed.
    pub count: usize,
    /// The sum: where its first row lies, and the floats between its rows.
    pub to: (Share<'a>, usize, usize),
    /// Whether what lies there is added.
    pub add: bool,
}

/// [`Outer`] for some rows, with pointers.
#[derive(Clone, Copy)]
struct Products {
    left: (*const f32, usize),
    right: (*const f32, usize),
    block: usize,
    count: usize,
    to: (*mut f32, usize),
    add: bool,
}

type Tile = unsafe fn(TileSize, *const f32, &[usize; MOST_PIXELS], &[Segment], *const f32, *mut f32, usize);

/// The inner loops for one instruction set.
pub struct Kernels {
    /// The instruction set.
    pub set: InstructionSet,
    /// Pixels of a tile.
    pub pixels: usize,
    /// The most blocks of outputs of a tile.
    pub blocks: usize,
    /// See [`Kernels::tile`].
    tile: Tile,
    /// `(finish, bias or null, values, offsets, to, seen or null)`: see [`Kernels::finish`].
    finish: unsafe fn(&Finish, *const f32, *const f32, &[usize], *mut f32, *const f32),
    /// `(points, x, row, column, to, stride)`: see [`Kernels::input`].
    input: unsafe fn(usize, *const f32, usize, usize, *mut f32, usize),
    /// `(points, from, stride, to)`: see [`Kernels::output`].
    output: unsafe fn(usize, *const f32, usize, *mut f32),
    /// `(points, x, row, to, stride)`: see [`Kernels::spread`].
    spread: unsafe fn(usize, *const f32, usize, *mut f32, usize),
    /// Rows of the sum that `outer` makes at once.
    pub rows: usize,
    /// See [`Kernels::outer`]; for the first `rows` rows.
    outer: unsafe fn(usize, &Products),
    /// Rounds of twelve independent vector multiply-adds, and how many values a vector has.
    spin: (unsafe fn(usize) -> f32, usize),
}

/// Whether `count` vectors of sixteen, each `stride` floats after the one before, lie in `length` floats from `at` on.
fn fits(length: usize, at: usize, count: usize, stride: usize) -> bool {
    let last = (count - 1).checked_mul(stride).and_then(|last| last.checked_add(at));
    last.is_some_and(|last| last <= length && length - last >= LANES)
}

impl Kernels {
    /// For every pixel p and output o the sum over the channels c of the segments of `x[pixels[p] + c] * weights[c][o]`,
    /// written to `out[p][16]` of every block, `stride` floats apart. `weights` is `[all channels][blocks * 16]`.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the sides of a product and where it goes")]
    pub fn tile(
        &self,
        size: TileSize,
        x: &[f32],
        pixels: &[usize; MOST_PIXELS],
        segments: &Segments,
        weights: &[f32],
        out: &mut [f32],
        stride: usize,
    ) {
        let count = if size.half { self.pixels / 2 } else { self.pixels };
        let (mut first, mut last) = (pixels[0], pixels[0]);
        for &pixel in &pixels[1..count] {
            (first, last) = (first.min(pixel), last.max(pixel));
        }
        let (low, high) = segments.reach;
        assert!(last <= x.len() && low >= -(first as isize) && high <= (x.len() - last) as isize);
        assert!((1..=self.blocks).contains(&size.blocks) && segments.channels <= weights.len() / (size.blocks * LANES));
        let second = if size.blocks > 1 { stride } else { 0 };
        assert!(size.blocks <= 2 && second <= out.len() && out.len() - second >= count * LANES);
        // SAFETY: asserted: what all pixels read of x, the weights of all channels, and all blocks of the result.
        unsafe { (self.tile)(size, x.as_ptr(), pixels, &segments.list, weights.as_ptr(), out.as_mut_ptr(), stride) }
    }

    /// As [`Kernels::tile`] for `count` pixels: those of a tile lie sixteen floats apart, and each tile so many floats after
    /// the one before. For every block and pixel the sum is written, or added where `add` says so, to
    /// `out[block * stride..][pixel][16]`. Pixels up to the next multiple of [`Kernels::pixels`] are read, and their results
    /// undefined.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the sides of a product and where it goes")]
    pub fn columns(
        &self,
        (blocks, add): (usize, bool),
        (x, tile): (&[f32], usize),
        count: usize,
        segments: &Segments,
        weights: &[f32],
        out: &mut [f32],
        stride: usize,
    ) {
        const PIXELS: [usize; MOST_PIXELS] =
            [0, LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES, 6 * LANES, 7 * LANES];
        let all = count.next_multiple_of(self.pixels);
        let (low, high) = segments.reach;
        let fits = |length: usize| all <= length / LANES;
        let last = (all / self.pixels).saturating_sub(1).checked_mul(tile);
        let last = last.and_then(|last| last.checked_add((self.pixels - 1) * LANES));
        assert!(low >= 0 && last.is_some_and(|last| last <= x.len() && high <= (x.len() - last) as isize));
        assert!((1..=self.blocks).contains(&blocks) && segments.channels <= weights.len() / (blocks * LANES));
        let second = if blocks > 1 { stride } else { 0 };
        assert!(blocks <= 2 && second <= out.len() && fits(out.len() - second));
        for first in (0..count).step_by(self.pixels) {
            let size = TileSize { blocks, half: 2 * (count - first) <= self.pixels, add };
            // SAFETY: asserted, for all pixels of all tiles at once.
            unsafe {
                let (x, out) = (x.as_ptr().add(first / self.pixels * tile), out.as_mut_ptr().add(first * LANES));
                (self.tile)(size, x, &PIXELS, &segments.list, weights.as_ptr(), out, stride);
            }
        }
    }

    /// Finishes the vectors of sixteen `values[i]` and stores them at `at + places[i]` of what is shared; the slopes are
    /// those at the same places of `seen`. `bias` has sixteen values or none.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn finish(
        &self,
        how: &Finish,
        bias: &[f32],
        values: &[f32],
        (to, at): (Share, usize),
        places: &Places,
        seen: &[f32],
    ) {
        assert!(values.len() / LANES >= places.list.len() && (bias.is_empty() || bias.len() >= LANES));
        assert!(how.slope == Activation::None || seen.len() >= to.length());
        let place = to.claim_places(at, places.list, places.last);
        let bias = if bias.is_empty() { std::ptr::null() } else { bias.as_ptr() };
        let seen = seen.as_ptr().wrapping_add(at);
        // SAFETY: asserted: a vector for every place, which lies in what is shared, and so in `seen` where it is read.
        unsafe { (self.finish)(how, bias, values.as_ptr(), places.list, place, seen) }
    }

    /// Transforms the square whose first vector is at `x[from]`; the first vector of the result is at `at` of what is
    /// shared.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn input(&self, how: &InputTransform, (x, from): (&[f32], usize), (to, at): (Share, usize)) {
        assert!(from <= x.len() && x.len() - from >= how.reads);
        let place = to.claim_vectors(at, how.points * how.points, how.stride, how.writes);
        // SAFETY: asserted, for the last row and column of the square and the last vector of the result.
        unsafe { (self.input)(how.points, x.as_ptr().add(from), how.steps.0, how.steps.1, place, how.stride) }
    }

    /// The transpose of [`Kernels::output`]: spreads the square whose first vector is at `x[from]`; the first vector of the
    /// result is at `at` of what is shared.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn spread(&self, SpreadTransform(how): &SpreadTransform, (x, from): (&[f32], usize), (to, at): (Share, usize)) {
        assert!(from <= x.len() && x.len() - from >= how.reads);
        let place = to.claim_vectors(at, how.points * how.points, how.stride, how.writes);
        // SAFETY: asserted, for the last row and column of the square and the last vector of the result.
        unsafe { (self.spread)(how.points, x.as_ptr().add(from), how.steps.0, place, how.stride) }
    }

    /// The sum over all i of `left[i][row] * right[i][output]`, for the first `lanes` of sixteen rows (rounded up to
    /// [`Kernels::rows`]) and all outputs of the blocks, written to `to[row][blocks * 16]`.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn outer(&self, blocks: usize, lanes: usize, products: &Outer) {
        let Outer { left, right, block, count, to, add } = *products;
        let second = if blocks > 1 { block } else { 0 };
        assert!((1..=self.blocks.min(2)).contains(&blocks) && lanes <= LANES && count > 0 && second <= right.0.len());
        assert!(fits(left.0.len(), left.1, count, left.2) && fits(right.0.len() - second, right.1, count, right.2));
        for row in (0..lanes).step_by(self.rows) {
            let place = to.0.claim_rows(to.1 + row * to.2, self.rows, to.2, blocks * LANES);
            // SAFETY: asserted, for sixteen rows of the left side and all blocks of the right one; what is written is
            // claimed.
            unsafe {
                let (left, right) =
                    ((left.0.as_ptr().add(left.1 + row), left.2), (right.0.as_ptr().add(right.1), right.2));
                (self.outer)(blocks, &Products { left, right, block, count, to: (place, to.2), add });
            }
        }
    }

    /// From `points * points` vectors `stride` floats apart to the 2x2 (of 3 points) or 4x4 vectors `to`.
    ///
    /// # Panics
    /// When there are fewer vectors.
    #[inline]
    pub fn output(&self, points: usize, from: &[f32], stride: usize, to: &mut [f32; 16 * LANES]) {
        assert!([3, 5, 6].contains(&points) && fits(from.len(), 0, points * points, stride));
        // SAFETY: asserted; there is room for sixteen vectors.
        unsafe { (self.output)(points, from.as_ptr(), stride, to.as_mut_ptr()) }
    }

    /// The multiply-adds that one core does in a second when nothing holds it up, measured.
    pub fn peak(&self) -> f64 {
        const ROUNDS: usize = 1 << 21;
        let time = || {
            let start = std::time::Instant::now();
            // SAFETY: these kernels were made for this processor.
            std::hint::black_box(unsafe { (self.spin.0)(std::hint::black_box(ROUNDS)) });
            start.elapsed().as_secs_f64()
        };
        let best = (0..8).map(|_| time()).fold(f64::INFINITY, f64::min);
        (12 * ROUNDS * self.spin.1) as f64 / best
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    add: bool,
    x: *const f32,
    pixels: &[usize; MOST_PIXELS],
    segments: &[Segment],
    weights: *const f32,
    out: *mut f32,
    block_stride: usize,
) {
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; PIXELS];
        let mut at = [x; PIXELS];
        let beside = if S::LANES < LANES { S::LANES } else { block_stride };
        unroll!(P in [0 1 2 3 4 5 6 7] {
            if P < PIXELS {
                at[P] = x.wrapping_add(pixels[P]);
                if add {
                    sums[P][0] = S::load(out.wrapping_add(P * LANES));
                    if VECTORS > 1 {
                        sums[P][1] = S::load(out.wrapping_add(P * LANES).wrapping_add(beside));
                    }
                }
            }
        });
        let mut weights = weights;
        for segment in segments {
            let mut k = segment.offset;
            let end = k.wrapping_add(segment.length as isize);
            while k < end {
                let first = S::load(weights);
                let second = if VECTORS > 1 { S::load(weights.wrapping_add(S::LANES)) } else { first };
                unroll!(P in [0 1 2 3 4 5 6 7] {
                    if P < PIXELS {
                        let value = S::splat(*at[P].wrapping_offset(k));
                        sums[P][0] = S::multiply_add(value, first, sums[P][0]);
                        if VECTORS > 1 {
                            sums[P][1] = S::multiply_add(value, second, sums[P][1]);
                        }
                    }
                });
                weights = weights.wrapping_add(VECTORS * S::LANES);
                k = k.wrapping_add(1);
            }
        }
        unroll!(P in [0 1 2 3 4 5 6 7] {
            if P < PIXELS {
                S::store(out.wrapping_add(P * LANES), sums[P][0]);
                if VECTORS > 1 {
                    S::store(out.wrapping_add(P * LANES).wrapping_add(beside), sums[P][1]);
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn activated<S: Simd>(x: S::Vector, activation: Activation) -> S::Vector {
    unsafe {
        match activation {
            Activation::None => x,
            Activation::Relu => S::maximum(x, S::zero()),
            Activation::LeakyRelu(slope) => S::where_positive(x, x, S::multiply(x, S::splat(slope))),
            Activation::Tanh => {
                // As `Activation::apply` has it.
                let x = S::maximum(S::minimum(x, S::splat(7.903_89)), S::splat(-7.903_89));
                let s = S::multiply(x, x);
                let next = |p, c| S::multiply_add(p, s, S::splat(c));
                let p = next(S::splat(-2.760_768_5e-16), 2.000_188e-13);
                let p = next(next(next(p, -8.604_672e-11), 5.122_297e-8), 1.485_722_4e-5);
                let p = S::multiply(next(next(p, 6.372_619_3e-4), 4.893_525e-3), x);
                let q = next(S::splat(1.198_258_4e-6), 1.185_347e-4);
                let q = next(next(q, 2.268_434_6e-3), 4.893_525e-3);
                S::divide(p, q)
            }
        }
    }
}

#[inline(always)]
unsafe fn finish<S: Simd>(
    finish: &Finish,
    bias: *const f32,
    values: *const f32,
    offsets: &[usize],
    to: *mut f32,
    seen: *const f32,
) {
    unsafe {
        let mut values = values;
        for &offset in offsets {
            let mut lane = 0;
            while lane < LANES {
                let place = to.wrapping_add(offset + lane);
                let mut value = S::load(values.wrapping_add(lane));
                if finish.add {
                    value = S::add(value, S::load(place));
                }
                if !bias.is_null() {
                    value = S::add(value, S::load(bias.wrapping_add(lane)));
                }
                value = activated::<S>(value, finish.activation);
                if finish.slope != Activation::None {
                    let seen = S::load(seen.wrapping_add(offset + lane));
                    value = match finish.slope {
                        Activation::None => value,
                        Activation::Relu => S::where_positive(seen, value, S::zero()),
                        Activation::LeakyRelu(slope) => {
                            S::where_positive(seen, value, S::multiply(value, S::splat(slope)))
                        }
                        Activation::Tanh => S::multiply(value, S::subtract(S::splat(1.0), S::multiply(seen, seen))),
                    };
                }
                S::store(place, value);
                lane += S::LANES;
            }
            values = values.wrapping_add(LANES);
        }
    }
}

#[inline(always)]
unsafe fn input<S: Simd>(points: usize, x: *const f32, row: usize, column: usize, to: *mut f32, stride: usize) {
    unsafe {
        let mut lane = 0;
        while lane < LANES {
            let (x, to) = (x.wrapping_add(lane), to.wrapping_add(lane));
            match points {
                6 => input6::<S>(x, row, column, to, stride),
                5 => input5::<S>(x, row, column, to, stride),
                _ => input3::<S>(x, row, column, to, stride),
            }
            lane += S::LANES;
        }
    }
}

#[inline(always)]
unsafe fn output<S: Simd>(points: usize, from: *const f32, stride: usize, to: *mut f32) {
    unsafe {
        let mut lane = 0;
        while lane < LANES {
            let (from, to) = (from.wrapping_add(lane), to.wrapping_add(lane));
            match points {
                6 => output6::<S>(from, stride, to),
                5 => output5::<S>(from, stride, to),
                _ => output3::<S>(from, stride, to),
            }
            lane += S::LANES;
        }
    }
}

#[inline(always)]
unsafe fn spread<S: Simd>(points: usize, x: *const f32, row: usize, to: *mut f32, stride: usize) {
    unsafe {
        let mut lane = 0;
        while lane < LANES {
            let (x, to) = (x.wrapping_add(lane), to.wrapping_add(lane));
            match points {
                6 => spread_square6::<S>(x, row, to, stride),
                5 => spread_square5::<S>(x, row, to, stride),
                _ => spread_square3::<S>(x, row, to, stride),
            }
            lane += S::LANES;
        }
    }
}

#[inline(always)]
unsafe fn outer<S: Simd, const ROWS: usize, const VECTORS: usize>(products: &Products) {
    unsafe {
        let Products { left: (mut left, left_step), right: (mut right, right_step), block, count, to: (to, row), add } =
            *products;
        let mut sums = [[S::zero(); VECTORS]; ROWS];
        let second = if S::LANES < LANES { S::LANES } else { block };
        let mut rest = count;
        while rest > 0 {
            let first = S::load(right);
            let other = if VECTORS > 1 { S::load(right.wrapping_add(second)) } else { first };
            unroll!(R in [0 1 2 3 4 5 6 7] {
                if R < ROWS {
                    let value = S::splat(*left.wrapping_add(R));
                    sums[R][0] = S::multiply_add(value, first, sums[R][0]);
                    if VECTORS > 1 {
                        sums[R][1] = S::multiply_add(value, other, sums[R][1]);
                    }
                }
            });
            left = left.wrapping_add(left_step);
            right = right.wrapping_add(right_step);
            rest = rest.wrapping_sub(1);
        }
        unroll!(R in [0 1 2 3 4 5 6 7] {
            if R < ROWS {
                let to = to.wrapping_add(R * row);
                let sum = if add { S::add(sums[R][0], S::load(to)) } else { sums[R][0] };
                S::store(to, sum);
                if VECTORS > 1 {
                    let to = to.wrapping_add(S::LANES);
                    let sum = if add { S::add(sums[R][1], S::load(to)) } else { sums[R][1] };
                    S::store(to, sum);
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn spin<S: Simd>(rounds: usize) -> f32 {
    unsafe {
        let (a, b) = (S::splat(0.999), S::splat(std::hint::black_box(1e-3)));
        let mut sums = [b; 12];
        for _ in 0..rounds {
            unroll!(I in [0 1 2 3 4 5 6 7 8 9 10 11] { sums[I] = S::multiply_add(sums[I], a, b); });
        }
        let mut total = S::zero();
        unroll!(I in [0 1 2 3 4 5 6 7 8 9 10 11] { total = S::add(total, sums[I]); });
        S::sum(total)
    }
}

/// Names the instantiations for one instruction set: pixels of a tile, and the vectors of one and of two blocks.
macro_rules! kernels {
    ($name:ident, $instructions:expr, $module:ident, $set:ty, $pixels:literal, $blocks:literal, $one:literal, $two:literal,
        $rows:literal $(, $feature:meta)*) => {
        mod $module {
            use super::*;
            $(#[$feature])*
            pub unsafe fn tile(
                size: TileSize, x: *const f32, pixels: &[usize; MOST_PIXELS], segments: &[Segment],
                weights: *const f32, out: *mut f32, block_stride: usize,
            ) {
                const HALF: usize = $pixels / 2;
                let add = size.add;
                unsafe {
                    match (size.blocks, size.half) {
                        (1, false) => super::tile::<$set, $pixels, $one>(add, x, pixels, segments, weights, out, block_stride),
                        (1, true) => super::tile::<$set, HALF, $one>(add, x, pixels, segments, weights, out, block_stride),
                        (_, false) => super::tile::<$set, $pixels, $two>(add, x, pixels, segments, weights, out, block_stride),
                        (_, true) => super::tile::<$set, HALF, $two>(add, x, pixels, segments, weights, out, block_stride),
                    }
                }
            }
            $(#[$feature])*
            pub unsafe fn finish(
                how: &Finish, bias: *const f32, values: *const f32, offsets: &[usize], to: *mut f32, seen: *const f32,
            ) {
                unsafe { super::finish::<$set>(how, bias, values, offsets, to, seen) }
            }
            $(#[$feature])*
            pub unsafe fn input(n: usize, x: *const f32, row: usize, column: usize, to: *mut f32, stride: usize) {
                unsafe { super::input::<$set>(n, x, row, column, to, stride) }
            }
            $(#[$feature])*
            pub unsafe fn spread(n: usize, x: *const f32, row: usize, to: *mut f32, stride: usize) {
                unsafe { super::spread::<$set>(n, x, row, to, stride) }
            }
            $(#[$feature])*
            pub unsafe fn outer(blocks: usize, products: &Products) {
                unsafe {
                    if blocks == 1 {
                        super::outer::<$set, $rows, $one>(products)
                    } else {
                        super::outer::<$set, $rows, $two>(products)
                    }
                }
            }
            $(#[$feature])*
            pub unsafe fn spin(rounds: usize) -> f32 {
                unsafe { super::spin::<$set>(rounds) }
            }
            $(#[$feature])*
            pub unsafe fn output(n: usize, from: *const f32, stride: usize, to: *mut f32) {
                unsafe { super::output::<$set>(n, from, stride, to) }
            }
        }
        static $name: Kernels = Kernels {
            set: $instructions, pixels: $pixels, blocks: $blocks, tile: $module::tile, finish: $module::finish,
            input: $module::input, output: $module::output, spread: $module::spread, rows: $rows, outer: $module::outer,
            spin: ($module::spin, <$set as Simd>::LANES),
        };
    };
}

kernels!(PORTABLE, InstructionSet::Portable, portable, Portable, 2, 1, 2, 2, 2);
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512,
    InstructionSet::Avx512,
    avx512,
    Avx512,
    8,
    2,
    1,
    2,
    8,
    target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, InstructionSet::Avx2, avx2, Avx2, 6, 1, 2, 2, 4, target_feature(enable = "avx2,fma"));
#[cfg(target_arch = "aarch64")]
use super::vector::Neon;
#[cfg(target_arch = "aarch64")]
kernels!(NEON, InstructionSet::Neon, neon, Neon, 6, 1, 2, 2, 4, target_feature(enable = "neon"));

/// The kernels for an instruction set.
fn of(set: InstructionSet) -> &'static Kernels {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => &AVX2,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => &NEON,
        InstructionSet::Portable => &PORTABLE,
    }
}

/// All kernels that this processor can run, the best first.
pub fn runnable() -> Vec<&'static Kernels> {
    InstructionSet::runnable().into_iter().map(of).collect()
}

/// The kernels in use.
pub fn kernels() -> &'static Kernels {
    of(InstructionSet::chosen())
}
