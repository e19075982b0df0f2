//! The two inner loops that all convolutions are made of, and the gathering that feeds them, for each instruction set.
//!
//! * `tile`: a block of `rows x (vectors * lanes)` outputs, the sum over k of `a[k][row] * panel[k][column]`.
//! * `dot`: a block of `4 x 6` outputs, each the dot product of two long rows.
//! * `gather`: rows of a panel from runs of pixels.
//!
//! # Safety
//! The functions of [`Kernels`] are made only for instruction sets that were detected. Their pointers are made by its
//! methods, which assert what is read and written.

use super::vector::{Portable, Simd};
use super::{InstructionSet, unroll};

/// A run of pixels that fills the lanes `low..high` of one vector of a panel.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which vector of the row.
    pub vector: usize,
    /// The first lane that is filled.
    pub low: usize,
    /// One past the last lane that is filled.
    pub high: usize,
    /// Where lane 0 would be read, relative to the first channel: may lie before the data while `low` is above 0.
    pub offset: isize,
}

/// The inner loops for one instruction set.
pub struct Kernels {
    /// Values in a vector; a panel has two vectors.
    pub lanes: usize,
    /// The largest number of rows of a tile.
    pub rows: usize,
    /// `(rows, vectors, k, a, panel, out)`: see [`Kernels::tile`].
    tile: unsafe fn(usize, usize, usize, *const f32, *const f32, *mut f32),
    /// `(i, j, length, a, a_stride, b, b_stride, out)`: see [`Kernels::dot`].
    dot: unsafe fn(usize, usize, usize, *const f32, usize, *const f32, usize, *mut f32),
    /// `(runs, vectors, channels, data, channel_stride, out, out_stride)`: see [`Kernels::gather`].
    gather: unsafe fn(&[Run], usize, usize, *const f32, usize, *mut f32, usize),
}

/// Whether `count` rows of `length` floats, each `stride` after the one before, lie in so many floats.
fn fits(floats: usize, count: usize, stride: usize, length: usize) -> bool {
    let last = count.saturating_sub(1).checked_mul(stride);
    count == 0 || last.is_some_and(|last| last <= floats && floats - last >= length)
}

impl Kernels {
    /// A block of `[rows][vectors * lanes]` outputs, the sums over k of `a[k][row] * panel[k][column]`, written to `out`.
    ///
    /// # Panics
    /// When a slice is too short for that, or there are more than two vectors or [`Kernels::rows`].
    pub fn tile(&self, (rows, vectors): (usize, usize), k: usize, a: &[f32], panel: &[f32], out: &mut [f32]) {
        assert!(rows <= self.rows && vectors <= 2);
        let width = vectors * self.lanes;
        assert!(fits(a.len(), k, rows, rows) && fits(panel.len(), k, width, width) && out.len() >= rows * width);
        // SAFETY: asserted.
        unsafe { (self.tile)(rows, vectors, k, a.as_ptr(), panel.as_ptr(), out.as_mut_ptr()) }
    }

    /// The dot products of `rows.0 <= 4` rows of a with `rows.1 <= 6` rows of b, added to `out`; the length is a multiple
    /// of [`Kernels::lanes`]. The rows of a and of b lie `a.1` and `b.1` floats apart.
    ///
    /// # Panics
    /// When a slice is too short for that.
    pub fn dot(
        &self,
        rows: (usize, usize),
        length: usize,
        a: (&[f32], usize),
        b: (&[f32], usize),
        out: &mut [f32; DOT_A * DOT_B],
    ) {
        assert!(rows.0 <= DOT_A && rows.1 <= DOT_B && length.is_multiple_of(self.lanes));
        assert!(fits(a.0.len(), rows.0, a.1, length) && fits(b.0.len(), rows.1, b.1, length));
        // SAFETY: asserted.
        unsafe { (self.dot)(rows.0, rows.1, length, a.0.as_ptr(), a.1, b.0.as_ptr(), b.1, out.as_mut_ptr()) }
    }

    /// Fills one row of a panel for each channel, `vectors` vectors long and `out_stride` floats after the one before,
    /// from runs of the first channel's pixels and of those `stride` floats further for every channel.
    ///
    /// # Panics
    /// When a slice is too short for that.
    #[allow(clippy::too_many_arguments, reason = "what is gathered and where it goes")]
    pub fn gather(
        &self,
        runs: &[Run],
        vectors: usize,
        channels: usize,
        data: &[f32],
        stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let lies_inside = |run: &Run| {
            let (first, end) =
                (run.offset.saturating_add_unsigned(run.low), run.offset.saturating_add_unsigned(run.high));
            run.vector < vectors
                && run.low <= run.high
                && run.high <= self.lanes
                && first >= 0
                && fits(data.len(), channels, stride, end.max(0) as usize)
        };
        assert!(runs.iter().all(lies_inside) && fits(out.len(), channels, out_stride, vectors * self.lanes));
        // SAFETY: asserted.
        unsafe { (self.gather)(runs, vectors, channels, data.as_ptr(), stride, out.as_mut_ptr(), out_stride) }
    }
}

/// The most rows that `dot` takes of a.
pub const DOT_A: usize = 4;
/// The most rows that `dot` takes of b.
pub const DOT_B: usize = 6;

#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    k: usize,
    a: *const f32,
    panel: *const f32,
    out: *mut f32,
) {
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; ROWS];
        let (mut a, mut panel) = (a, panel);
        for _ in 0..k {
            let first = S::load(panel);
            let second = if VECTORS > 1 { S::load(panel.add(S::LANES)) } else { first };
            unroll!(ROW in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] {
                if ROW < ROWS {
                    let value = S::splat(*a.add(ROW));
                    sums[ROW][0] = S::multiply_add(value, first, sums[ROW][0]);
                    if VECTORS > 1 {
                        sums[ROW][1] = S::multiply_add(value, second, sums[ROW][1]);
                    }
                }
            });
            a = a.add(ROWS);
            panel = panel.add(VECTORS * S::LANES);
        }
        unroll!(ROW in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] {
            if ROW < ROWS {
                S::store(out.add(ROW * VECTORS * S::LANES), sums[ROW][0]);
                if VECTORS > 1 {
                    S::store(out.add((ROW * VECTORS + 1) * S::LANES), sums[ROW][1]);
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn dot<S: Simd, const I: usize, const J: usize>(
    length: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    out: *mut f32,
) {
    unsafe {
        // Wrapping, as the checks of plain arithmetic would take the registers of the sums.
        let mut sums = [[S::zero(); J]; I];
        let mut at = 0usize;
        while at < length {
            let mut left = [S::zero(); I];
            unroll!(ROW in [0 1 2 3] {
                if ROW < I {
                    left[ROW] = S::load(a.add(ROW.wrapping_mul(a_stride).wrapping_add(at)));
                }
            });
            unroll!(COLUMN in [0 1 2 3 4 5] {
                if COLUMN < J {
                    let right = S::load(b.add(COLUMN.wrapping_mul(b_stride).wrapping_add(at)));
                    unroll!(ROW in [0 1 2 3] {
                        if ROW < I {
                            sums[ROW][COLUMN] = S::multiply_add(left[ROW], right, sums[ROW][COLUMN]);
                        }
                    });
                }
            });
            at = at.wrapping_add(S::LANES);
        }
        unroll!(ROW in [0 1 2 3] {
            if ROW < I {
                unroll!(COLUMN in [0 1 2 3 4 5] {
                    if COLUMN < J {
                        *out.add(ROW * DOT_B + COLUMN) += S::sum(sums[ROW][COLUMN]);
                    }
                });
            }
        });
    }
}

#[inline(always)]
unsafe fn gather<S: Simd>(
    runs: &[Run],
    vectors: usize,
    channels: usize,
    data: *const f32,
    channel_stride: usize,
    out: *mut f32,
    out_stride: usize,
) {
    unsafe {
        // Vectors that one run fills, which is nearly all of them, go channel by channel without further questions.
        let mut next = 0;
        for vector in 0..vectors {
            let first = next;
            while next < runs.len() && runs[next].vector == vector {
                next += 1;
            }
            let mut to = out.add(vector * S::LANES);
            match &runs[first..next] {
                [] => {
                    for _ in 0..channels {
                        S::store(to, S::zero());
                        to = to.wrapping_add(out_stride);
                    }
                }
                [run] => {
                    let mask = S::mask(run.low, run.high);
                    let mut from = data.wrapping_offset(run.offset);
                    for _ in 0..channels {
                        S::store(to, S::merge(S::zero(), mask, from));
                        to = to.wrapping_add(out_stride);
                        from = from.wrapping_add(channel_stride);
                    }
                }
                several => {
                    for channel in 0..channels {
                        let mut sum = S::zero();
                        for run in several {
                            let from = data.wrapping_offset(run.offset).wrapping_add(channel * channel_stride);
                            sum = S::merge(sum, S::mask(run.low, run.high), from);
                        }
                        S::store(to, sum);
                        to = to.wrapping_add(out_stride);
                    }
                }
            }
        }
    }
}

/// Names the instantiations of the generic loops for one instruction set.
macro_rules! kernels {
    ($set:ty, $tile:ident, $dot:ident, $gather:ident, [$($rows:literal)*] $(, $feature:meta)*) => {
        $(#[$feature])*
        unsafe fn $tile(rows: usize, vectors: usize, k: usize, a: *const f32, panel: *const f32, out: *mut f32) {
            unsafe {
                match (rows, vectors) {
                    $(($rows, 1) => tile::<$set, $rows, 1>(k, a, panel, out),
                      ($rows, 2) => tile::<$set, $rows, 2>(k, a, panel, out),)*
                    _ => unreachable!("a tile of {rows} rows and {vectors} vectors"),
                }
            }
        }
        $(#[$feature])*
        #[allow(clippy::too_many_arguments)]
        unsafe fn $dot(i: usize, j: usize, n: usize, a: *const f32, s: usize, b: *const f32, t: usize, out: *mut f32) {
            unsafe {
                kernels!(@dot $set, i, j, n, a, s, b, t, out, [(1 1) (1 2) (1 3) (1 4) (1 5) (1 6)
                    (2 1) (2 2) (2 3) (2 4) (2 5) (2 6) (3 1) (3 2) (3 3) (3 4) (3 5) (3 6)
                    (4 1) (4 2) (4 3) (4 4) (4 5) (4 6)])
            }
        }
        $(#[$feature])*
        unsafe fn $gather(r: &[Run], v: usize, c: usize, data: *const f32, s: usize, out: *mut f32, t: usize) {
            unsafe { gather::<$set>(r, v, c, data, s, out, t) }
        }
    };
    (@dot $set:ty, $i:ident, $j:ident, $n:ident, $a:ident, $s:ident, $b:ident, $t:ident, $out:ident, [$(($x:literal $y:literal))*]) => {
        match ($i, $j) {
            $(($x, $y) => dot::<$set, $x, $y>($n, $a, $s, $b, $t, $out),)*
            _ => unreachable!("a block of {} x {} dot products", $i, $j),
        }
    };
}

kernels!(Portable, tile_portable, dot_portable, gather_portable, [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
kernels!(super::vector::Avx512, tile_avx512, dot_avx512, gather_avx512,
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"));
#[cfg(target_arch = "x86_64")]
kernels!(super::vector::Avx2, tile_avx2, dot_avx2, gather_avx2, [1 2 3 4 5 6], target_feature(enable = "avx2,fma"));
#[cfg(target_arch = "aarch64")]
kernels!(super::vector::Neon, tile_neon, dot_neon, gather_neon, [1 2 3 4 5 6], target_feature(enable = "neon"));

static PORTABLE: Kernels =
    Kernels { lanes: 8, rows: 6, tile: tile_portable, dot: dot_portable, gather: gather_portable };
#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels { lanes: 16, rows: 14, tile: tile_avx512, dot: dot_avx512, gather: gather_avx512 };
#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels { lanes: 8, rows: 6, tile: tile_avx2, dot: dot_avx2, gather: gather_avx2 };
#[cfg(target_arch = "aarch64")]
static NEON: Kernels = Kernels { lanes: 8, rows: 6, tile: tile_neon, dot: dot_neon, gather: gather_neon };

/// The kernels for an instruction set that this processor has.
pub fn of(set: InstructionSet) -> &'static Kernels {
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

/// The kernels in use.
pub fn kernels() -> &'static Kernels {
    of(InstructionSet::chosen())
}
