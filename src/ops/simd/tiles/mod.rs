//! The inner loops for each instruction set: the product that every convolution comes to, the transforms of
//! Winograd's algorithm, and what is done to a value before it is stored.
//!
//! # Safety
//! The functions of [`Kernels`] are made only for instruction sets that were detected. Their pointers are made by its
//! methods, which assert what is read and written.

mod arguments;
mod instances;
mod loops;

use arguments::{Ahead, ColumnsAt, Products};
pub use arguments::{
    Columns, Finish, InputTransform, Outer, Places, Repeat, Segment, Segments, SpreadTransform, TileSize,
};

use super::sharing::Share;
use super::{InstructionSet, LANES};
use crate::ops::Activation;

/// The most pixels of a tile.
pub const MOST_PIXELS: usize = 8;

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
    /// See [`Kernels::columns`].
    columns: unsafe fn(ColumnsAt),
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
    /// See [`Kernels::outer`].
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

    /// The columns that are computed where so many are asked for.
    pub fn computed(&self, count: usize) -> usize {
        match count % self.pixels {
            0 => count,
            rest => (count - rest).saturating_add(computed(rest, self.pixels)),
        }
    }

    /// As [`Kernels::tile`] for columns, a pixel each, at several points: those of a tile lie sixteen floats apart. For every
    /// block and column the sum is written, or added, to `to[point * point_stride + block * block_stride..][column][16]`.
    /// Columns up to [`Kernels::computed`] are read, and the results of those beyond `count` undefined.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn columns(&self, columns: &Columns, (to, point, block): (&mut [f32], usize, usize)) {
        let Columns { points, count, x, segments, weights, blocks, add, ahead } = *columns;
        let tiles = count.div_ceil(self.pixels);
        if points == 0 || tiles == 0 {
            return;
        }
        let last = |parts: &[(usize, usize)]| {
            parts.iter().try_fold(0usize, |sum, &(count, stride)| sum.checked_add(count.checked_mul(stride)?))
        };
        let fits = |length: usize, last: Option<usize>, more: usize| {
            last.is_some_and(|last| last <= length && more <= length - last)
        };
        let (low, high) = segments.reach;
        let all = self.computed(count);
        let pixel = last(&[(points - 1, x.1), (tiles - 1, x.2), (self.pixels - 1, LANES)]);
        assert!(low >= 0 && fits(x.0.len(), pixel, high.unsigned_abs()));
        assert!((1..=self.blocks.min(2)).contains(&blocks));
        assert!(fits(weights.0.len(), last(&[(points - 1, weights.1), (segments.channels, blocks * LANES)]), 0));
        let stored = last(&[(points - 1, point), (blocks - 1, block), (all, LANES)]);
        assert!(fits(to.len(), stored, 0));
        let (x, weights) = ((x.0.as_ptr(), x.1, x.2), (weights.0.as_ptr(), weights.1));
        let ahead = Ahead::new(ahead, points * tiles * segments.list.len());
        let (segments, to) = (&*segments.list, (to.as_mut_ptr(), point, block));
        // SAFETY: asserted: what all pixels of all points read of x, the weights of all channels, and all blocks of the result.
        unsafe { (self.columns)(ColumnsAt { points, count, x, segments, weights, blocks, add, to, ahead }) }
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

    /// For every sum that is asked for, the sum over all i of `left[i][row] * right[i][output]`, for the first `lanes` of
    /// sixteen rows (rounded up to [`Kernels::rows`]) and all outputs of the blocks, written to `to[row][blocks * 16]`.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[inline]
    pub fn outer(&self, blocks: usize, lanes: usize, products: &Outer) {
        let Outer { left, right, block, count, to, add, repeat } = *products;
        let second = if blocks > 1 { block } else { 0 };
        assert!((1..=self.blocks.min(2)).contains(&blocks) && lanes <= LANES && count > 0 && second <= right.0.len());
        let (groups, Some(last)) = (lanes.div_ceil(self.rows), repeat.times.checked_sub(1)) else { return };
        if groups == 0 {
            return;
        }
        let reach = |at: usize, stride: usize| last.checked_mul(stride).and_then(|last| last.checked_add(at));
        let fits = |length: usize, at: Option<usize>, step: usize| at.is_some_and(|at| fits(length, at, count, step));
        assert!(fits(left.0.len(), reach(left.1, repeat.left), left.2));
        assert!(fits(right.0.len() - second, reach(right.1, repeat.right), right.2));
        assert!(reach(to.1, repeat.to).is_some());
        let mut place = std::ptr::null_mut();
        for i in (0..repeat.times).rev() {
            place = to.0.claim_rows(to.1 + i * repeat.to, groups * self.rows, to.2, blocks * LANES);
        }
        // SAFETY: asserted, for sixteen rows of the left side and all blocks of the right one; what is written is claimed,
        // and the claim that was made last is that of the first sum.
        unsafe {
            let (left, right) = ((left.0.as_ptr().add(left.1), left.2), (right.0.as_ptr().add(right.1), right.2));
            (self.outer)(blocks, &Products { left, right, block, count, to: (place, to.2), add, repeat, groups });
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
