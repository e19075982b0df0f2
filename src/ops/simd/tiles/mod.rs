//! The inner loops for each instruction set: the product that every convolution comes to, the transforms of
//! Winograd's algorithm, and what is done to a value before it is stored.
//!
//! # Safety
//! The functions of [`Kernels`] are made only for instruction sets that were detected. Their pointers are made by its
//! methods, which assert what is read and written.

mod instances;
mod loops;

use super::sharing::Share;
use super::{InstructionSet, LANES};
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
    /// Pixels that are asked for, at most [`Kernels::pixels`]: where they are few, nothing is done for the others.
    pub pixels: usize,
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

/// The sizes of the smaller tiles beside one of so many pixels: a half, and two thirds.
const fn smaller(pixels: usize) -> [usize; 2] {
    [pixels / 2, (2 * pixels).div_ceil(3)]
}

/// The pixels that a tile computes, of which so many are asked for.
#[inline(always)]
fn computed(pixels: usize, all: usize) -> usize {
    let [half, most] = smaller(all);
    match pixels {
        few if few <= half => half,
        more if more <= most => most,
        _ => all,
    }
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
        assert!(size.pixels <= self.pixels);
        let count = computed(size.pixels, self.pixels);
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
        let tiles = count.div_ceil(self.pixels);
        let (low, high) = segments.reach;
        let fits = |length: usize| tiles.saturating_mul(self.pixels) <= length / LANES;
        let last = tiles.saturating_sub(1).checked_mul(tile);
        let last = last.and_then(|last| last.checked_add((self.pixels - 1) * LANES));
        assert!(low >= 0 && last.is_some_and(|last| last <= x.len() && high <= (x.len() - last) as isize));
        assert!(
            (1..=self.blocks).contains(&blocks) && segments.channels.saturating_mul(blocks * LANES) <= weights.len()
        );
        let second = if blocks > 1 { stride } else { 0 };
        assert!(blocks <= 2 && second <= out.len() && fits(out.len() - second));
        let (mut x, mut out, mut left) = (x.as_ptr(), out.as_mut_ptr(), count);
        for _ in 0..tiles {
            let size = TileSize { blocks, pixels: self.pixels.min(left), add };
            // SAFETY: asserted, for all pixels of all tiles at once.
            unsafe { (self.tile)(size, x, &PIXELS, &segments.list, weights.as_ptr(), out, stride) };
            left = left.saturating_sub(self.pixels);
            (x, out) = (x.wrapping_add(tile), out.wrapping_add(self.pixels * LANES));
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

/// The kernels for an instruction set.
fn of(set: InstructionSet) -> &'static Kernels {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => &instances::AVX512,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => &instances::AVX2,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => &instances::NEON,
        InstructionSet::Portable => &instances::PORTABLE,
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
