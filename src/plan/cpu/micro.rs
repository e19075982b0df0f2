//! The inner loops for each instruction set: the product that every convolution comes to, the transforms of
//! Winograd's algorithm, and what is done to a value before it is stored.
//!
//! # Safety
//! The functions of [`Kernels`] are made only for instruction sets that were detected; each says what its pointers must
//! be valid for.
#![allow(unsafe_code)]

use super::super::layout::LANES;
use super::transform::{input3, input5, input6, output3, output5, output6};
use super::transform::{spread_square3, spread_square5, spread_square6};
use crate::ops::Activation;
use crate::ops::kernels::sets::InstructionSet;
use crate::ops::kernels::simd::{Portable, Simd};

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

/// See [`Kernels::tile`].
pub type Tile = unsafe fn(TileSize, *const f32, &[usize; MOST_PIXELS], &[Segment], *const f32, *mut f32, usize);

/// What a tile covers.
#[derive(Clone, Copy, Debug)]
pub struct TileSize {
    /// Blocks of outputs.
    pub blocks: usize,
    /// Whether half of the pixels are enough; the others are then not written.
    pub half: bool,
    /// Whether the sums are added to what lies there.
    pub add: bool,
}

/// A sum of outer products: see [`Kernels::outer`].
pub struct Outer {
    /// The first vector of the left side, and the floats between one and the next.
    pub left: (*const f32, usize),
    /// The first vectors of the right side, and the floats between one and the next.
    pub right: (*const f32, usize),
    /// Floats between the blocks of the right side.
    pub block: usize,
    /// How many products are summed.
    pub count: usize,
    /// The first row of the sum, and the floats between its rows.
    pub to: (*mut f32, usize),
    /// Whether what lies there is added.
    pub add: bool,
}

/// The inner loops for one instruction set.
pub struct Kernels {
    /// The instruction set.
    pub set: InstructionSet,
    /// Pixels of a tile.
    pub pixels: usize,
    /// The most blocks of outputs of a tile.
    pub blocks: usize,
    /// `(size, x, pixels, segments, weights, out, block stride)`: for every pixel p and output o the sum over the
    /// channels c of the segments of `x[pixels[p] + c] * weights[c][o]`, written to `out[p][16]` of every block. Reads
    /// the weights `[all channels][blocks * 16]`.
    pub tile: Tile,
    /// `(finish, bias, values, offsets, to, seen)`: finishes the vectors of 16 `values[i]` and stores them at
    /// `to + offsets[i]`; the slopes are those at `seen + offsets[i]`. `bias` is null or has 16 values.
    pub finish: unsafe fn(&Finish, *const f32, *const f32, &[usize], *mut f32, *const f32),
    /// `(points a side: 3, 5 or 6, x, row, column, to, stride)`: the transform of a square of vectors of 16, `row` and
    /// `column` floats apart, to `points * points` vectors that lie `stride` floats apart.
    pub input: unsafe fn(usize, *const f32, usize, usize, *mut f32, usize),
    /// `(points a side, from, stride, to)`: from `points * points` vectors to the 2x2 (of 3 points) or 4x4 vectors `to`.
    pub output: unsafe fn(usize, *const f32, usize, *mut f32),
    /// `(points a side, x, row, to, stride)`: the transpose of `output`, from a square of 2x2 (of 3 points) or 4x4 vectors
    /// of 16 whose rows are `row` floats apart to `points * points` vectors that lie `stride` floats apart.
    pub spread: unsafe fn(usize, *const f32, usize, *mut f32, usize),
    /// Rows of the sum that `outer` makes at once.
    pub rows: usize,
    /// `(blocks, products)`: the sum over all i of `left[i][row] * right[i][output]`, for the first `rows` values of the
    /// left vectors and all outputs of the blocks, written to `to[row][blocks * 16]`.
    pub outer: unsafe fn(usize, &Outer),
    /// Rounds of twelve independent vector multiply-adds, and how many values a vector has.
    pub spin: (unsafe fn(usize) -> f32, usize),
}

impl Kernels {
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

/// Repeats a block with a constant: indices must be literal, or the accumulators are spilled to the stack.
macro_rules! unroll {
    ($index:ident in [$($value:literal)*] $body:block) => { $({ const $index: usize = $value; $body })* };
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
unsafe fn outer<S: Simd, const ROWS: usize, const VECTORS: usize>(products: &Outer) {
    unsafe {
        let Outer { left: (mut left, left_step), right: (mut right, right_step), block, count, to: (to, row), add } =
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
            pub unsafe fn outer(blocks: usize, products: &Outer) {
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
use crate::ops::kernels::simd::{Avx2, Avx512};
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

/// The kernels for an instruction set.
fn of(set: InstructionSet) -> &'static Kernels {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => &AVX2,
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
