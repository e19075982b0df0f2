//! Winograd's minimal filtering (Lavin & Gray, CVPR 2016): 4x4 outputs of a 3x3 correlation by 6x6 products (points
//! 0, 1, -1, 2, -2 and infinity), 4x4 of a 2x2 correlation by 5x5 (0, 1, -1, 2, infinity), and 2x2 of one by 3x3
//! (0, 1, infinity).
//!
//! # Safety
//! Pointers must be valid for the squares of vectors that are read and written.

use super::vector::Simd;
use super::wide::Work;
use super::{LANES, unroll};

/// `[points][taps]`: what the kernels are transformed by along each axis.
pub fn kernel_matrix(points: usize, taps: usize) -> Vec<[f64; 3]> {
    let points: &[f64] = match points {
        6 => &[0.0, 1.0, -1.0, 2.0, -2.0],
        5 => &[0.0, 1.0, -1.0, 2.0],
        _ => &[0.0, 1.0],
    };
    let mut rows: Vec<[f64; 3]> = points
        .iter()
        .map(|a| {
            let others: f64 = points.iter().filter(|b| *b != a).map(|b| a - b).product();
            [1.0 / others, a / others, a * a / others]
        })
        .collect();
    let mut last = [0.0; 3];
    last[taps - 1] = 1.0;
    rows.push(last);
    rows
}

/// The transform of kernels while they are used, from `[channel][taps * taps][outputs]` to
/// `[points * points][channel][outputs]`, the points one cache line further apart than they need to be.
pub struct KernelTransform<'a> {
    /// Points along each axis.
    pub points: usize,
    /// Outputs: a multiple of sixteen.
    pub width: usize,
    /// The kernels.
    pub from: &'a [f32],
    /// Where they go.
    pub to: &'a mut [f32],
}

impl Work for KernelTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { points, width, from, to } = self;
        let (taps, blocks) = (if points == 6 { 3 } else { 2 }, width / LANES);
        let (area, step) = (taps * taps, blocks * LANES);
        let vectors = from.len() / (area * LANES);
        let stride = (vectors + 1) * LANES;
        assert!(step > 0 && vectors.is_multiple_of(blocks));
        assert!([3, 5, 6].contains(&points) && to.len() >= points * points * stride);
        for channel in 0..vectors / blocks {
            for first in (0..step).step_by(S::LANES) {
                // SAFETY: the last tap that is read begins at `(channel + 1) * area * step - step + first`, and the last
                // point that is written at `(points * points - 1) * stride + channel * step + first`.
                unsafe {
                    let from = from.as_ptr().add(channel * area * step + first);
                    let to = to.as_mut_ptr().add(channel * step + first);
                    match points {
                        6 => kernel6::<S>(from, step, to, stride),
                        5 => kernel5::<S>(from, step, to, stride),
                        _ => kernel3::<S>(from, step, to, stride),
                    }
                }
            }
        }
    }
}

/// Transforms a register of kernels; two rows at a time, as all at once do not fit into sixteen registers. Here and below
/// there are functions and no closures, which would not be compiled for the instruction set.
#[inline(always)]
unsafe fn kernel6<S: Simd>(from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let a = load_taps::<S, 3>(from, step);
        let b = load_taps::<S, 3>(from.wrapping_add(3 * step), step);
        let c = load_taps::<S, 3>(from.wrapping_add(6 * step), step);
        let row = 6 * stride;
        kernel_row6::<S>([kernel_zero::<S>(a[0]), kernel_zero::<S>(a[1]), kernel_zero::<S>(a[2])], to, stride);
        let (left, left_minus) = kernel_ones::<S>([a[0], b[0], c[0]]);
        let (middle, middle_minus) = kernel_ones::<S>([a[1], b[1], c[1]]);
        let (right, right_minus) = kernel_ones::<S>([a[2], b[2], c[2]]);
        kernel_row6::<S>([left, middle, right], to.wrapping_add(row), stride);
        kernel_row6::<S>([left_minus, middle_minus, right_minus], to.wrapping_add(2 * row), stride);
        let (left, left_minus) = kernel_twos::<S>([a[0], b[0], c[0]]);
        let (middle, middle_minus) = kernel_twos::<S>([a[1], b[1], c[1]]);
        let (right, right_minus) = kernel_twos::<S>([a[2], b[2], c[2]]);
        kernel_row6::<S>([left, middle, right], to.wrapping_add(3 * row), stride);
        kernel_row6::<S>([left_minus, middle_minus, right_minus], to.wrapping_add(4 * row), stride);
        kernel_row6::<S>(c, to.wrapping_add(5 * row), stride);
    }
}

#[inline(always)]
unsafe fn load_taps<S: Simd, const N: usize>(from: *const f32, step: usize) -> [S::Vector; N] {
    unsafe {
        let mut taps = [S::zero(); N];
        for (i, tap) in taps.iter_mut().enumerate() {
            *tap = S::load(from.wrapping_add(i * step));
        }
        taps
    }
}

/// The values of a row of taps at all points.
#[inline(always)]
unsafe fn kernel_row6<S: Simd>(row: [S::Vector; 3], to: *mut f32, stride: usize) {
    unsafe {
        S::store(to, kernel_zero::<S>(row[0]));
        let (one, minus_one) = kernel_ones::<S>(row);
        S::store(to.wrapping_add(stride), one);
        S::store(to.wrapping_add(2 * stride), minus_one);
        let (two, minus_two) = kernel_twos::<S>(row);
        S::store(to.wrapping_add(3 * stride), two);
        S::store(to.wrapping_add(4 * stride), minus_two);
        S::store(to.wrapping_add(5 * stride), row[2]);
    }
}

/// The value of a kernel of three taps at the point 0.
#[inline(always)]
unsafe fn kernel_zero<S: Simd>(a: S::Vector) -> S::Vector {
    unsafe { S::multiply(a, S::splat(0.25)) }
}

/// At the points 1 and -1.
#[inline(always)]
unsafe fn kernel_ones<S: Simd>([a, b, c]: [S::Vector; 3]) -> (S::Vector, S::Vector) {
    unsafe {
        let even = S::multiply(S::add(a, c), S::splat(-1.0 / 6.0));
        (S::multiply_add(S::splat(-1.0 / 6.0), b, even), S::multiply_add(S::splat(1.0 / 6.0), b, even))
    }
}

/// At the points 2 and -2.
#[inline(always)]
unsafe fn kernel_twos<S: Simd>([a, b, c]: [S::Vector; 3]) -> (S::Vector, S::Vector) {
    unsafe {
        let even = S::multiply_add(S::splat(1.0 / 6.0), c, S::multiply(a, S::splat(1.0 / 24.0)));
        (S::multiply_add(S::splat(1.0 / 12.0), b, even), S::multiply_add(S::splat(-1.0 / 12.0), b, even))
    }
}

/// As [`kernel6`] for kernels of two taps.
#[inline(always)]
unsafe fn kernel5<S: Simd>(from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (kernel_line5::<S>([a, c]), kernel_line5::<S>([b, d]));
        unroll!(Y in [0 1 2 3 4] {
            let row = kernel_line5::<S>([left[Y], right[Y]]);
            unroll!(X in [0 1 2 3 4] { S::store(to.wrapping_add((Y * 5 + X) * stride), row[X]); });
        });
    }
}

#[inline(always)]
unsafe fn kernel_line5<S: Simd>([a, b]: [S::Vector; 2]) -> [S::Vector; 5] {
    unsafe {
        let sixth = S::multiply(a, S::splat(1.0 / 6.0));
        [
            S::multiply(a, S::splat(0.5)),
            S::multiply(S::add(a, b), S::splat(-0.5)),
            S::multiply_add(S::splat(1.0 / 6.0), b, S::subtract(S::zero(), sixth)),
            S::multiply_add(S::splat(1.0 / 3.0), b, sixth),
            b,
        ]
    }
}

/// As [`kernel5`] for squares of two outputs.
#[inline(always)]
unsafe fn kernel3<S: Simd>(from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (kernel_line3::<S>([a, c]), kernel_line3::<S>([b, d]));
        unroll!(Y in [0 1 2] {
            let row = kernel_line3::<S>([left[Y], right[Y]]);
            unroll!(X in [0 1 2] { S::store(to.wrapping_add((Y * 3 + X) * stride), row[X]); });
        });
    }
}

#[inline(always)]
unsafe fn kernel_line3<S: Simd>([a, b]: [S::Vector; 2]) -> [S::Vector; 3] {
    unsafe { [S::subtract(S::zero(), a), S::add(a, b), b] }
}

#[inline(always)]
unsafe fn line6<S: Simd>(d: [S::Vector; 6]) -> [S::Vector; 6] {
    unsafe {
        let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(-5.0));
        let minus_four = S::splat(-4.0);
        let a = S::multiply_add(minus_four, d[2], d[4]);
        let b = S::multiply_add(minus_four, d[1], d[3]);
        let c = S::subtract(d[4], d[2]);
        let e = S::multiply(two, S::subtract(d[3], d[1]));
        [
            S::multiply_add(four, d[0], S::multiply_add(five, d[2], d[4])),
            S::add(a, b),
            S::subtract(a, b),
            S::add(c, e),
            S::subtract(c, e),
            S::multiply_add(four, d[1], S::multiply_add(five, d[3], d[5])),
        ]
    }
}

#[inline(always)]
unsafe fn line5<S: Simd>(d: [S::Vector; 5]) -> [S::Vector; 5] {
    unsafe {
        let (two, minus_two) = (S::splat(2.0), S::splat(-2.0));
        let e = S::subtract(d[3], d[1]);
        [
            S::multiply_add(two, S::subtract(d[0], d[2]), e),
            S::multiply_add(minus_two, d[1], S::subtract(d[3], d[2])),
            S::multiply_add(two, d[1], S::multiply_add(S::splat(-3.0), d[2], d[3])),
            e,
            S::multiply_add(minus_two, e, S::subtract(d[4], d[2])),
        ]
    }
}

#[inline(always)]
unsafe fn line3<S: Simd>(d: [S::Vector; 3]) -> [S::Vector; 3] {
    unsafe { [S::subtract(d[1], d[0]), d[1], S::subtract(d[2], d[1])] }
}

#[inline(always)]
unsafe fn back3<S: Simd>(m: [S::Vector; 3]) -> [S::Vector; 2] {
    unsafe { [S::add(m[0], m[1]), S::add(m[1], m[2])] }
}

#[inline(always)]
unsafe fn back6<S: Simd>(m: [S::Vector; 6]) -> [S::Vector; 4] {
    unsafe {
        let (s, d) = (S::add(m[1], m[2]), S::subtract(m[1], m[2]));
        let (t, e) = (S::add(m[3], m[4]), S::subtract(m[3], m[4]));
        [
            S::add(S::add(m[0], s), t),
            S::multiply_add(S::splat(2.0), e, d),
            S::multiply_add(S::splat(4.0), t, s),
            S::add(S::multiply_add(S::splat(8.0), e, d), m[5]),
        ]
    }
}

#[inline(always)]
unsafe fn back5<S: Simd>(m: [S::Vector; 5]) -> [S::Vector; 4] {
    unsafe {
        let (s, d) = (S::add(m[1], m[2]), S::subtract(m[1], m[2]));
        [
            S::add(S::add(m[0], s), m[3]),
            S::multiply_add(S::splat(2.0), m[3], d),
            S::multiply_add(S::splat(4.0), m[3], s),
            S::add(S::multiply_add(S::splat(8.0), m[3], d), m[4]),
        ]
    }
}

/// The transpose of [`back6`]: the values at the points of a polynomial of four coefficients.
#[inline(always)]
unsafe fn spread6<S: Simd>(g: [S::Vector; 4]) -> [S::Vector; 6] {
    unsafe {
        let (even, odd) = (S::add(g[0], g[2]), S::add(g[1], g[3]));
        let far_even = S::multiply_add(S::splat(4.0), g[2], g[0]);
        let far_odd = S::multiply_add(S::splat(8.0), g[3], S::add(g[1], g[1]));
        [
            g[0],
            S::add(even, odd),
            S::subtract(even, odd),
            S::add(far_even, far_odd),
            S::subtract(far_even, far_odd),
            g[3],
        ]
    }
}

/// The transpose of [`back5`].
#[inline(always)]
unsafe fn spread5<S: Simd>(g: [S::Vector; 4]) -> [S::Vector; 5] {
    unsafe {
        let [zero, one, minus_one, two, _, last] = spread6::<S>(g);
        [zero, one, minus_one, two, last]
    }
}

/// The transpose of [`back3`].
#[inline(always)]
unsafe fn spread3<S: Simd>(g: [S::Vector; 2]) -> [S::Vector; 3] {
    unsafe { [g[0], S::add(g[0], g[1]), g[1]] }
}

/// The transposed output transforms, which gradients of kernels need.
macro_rules! spread {
    ($name:ident, $line:ident, $n:literal, $m:literal, [$($i:literal)*], [$($o:literal)*]) => {
        /// A square of gradients to its values at the points.
        #[inline(always)]
        pub unsafe fn $name<S: Simd>(x: *const f32, row: usize, to: *mut f32, stride: usize) {
            unsafe {
                let mut half = [[S::zero(); $n]; $m];
                $({
                    let x = x.wrapping_add($o * row);
                    let mut line = [S::zero(); $m];
                    for (j, value) in line.iter_mut().enumerate() {
                        *value = S::load(x.wrapping_add(j * LANES));
                    }
                    half[$o] = $line::<S>(line);
                })*
                $({
                    let to = to.wrapping_add($i * stride);
                    let mut column = [S::zero(); $m];
                    for (value, half) in column.iter_mut().zip(&half) {
                        *value = half[$i];
                    }
                    for (j, value) in $line::<S>(column).into_iter().enumerate() {
                        S::store(to.wrapping_add(j * $n * stride), value);
                    }
                })*
            }
        }
    };
}

spread!(spread_square6, spread6, 6, 4, [0 1 2 3 4 5], [0 1 2 3]);
spread!(spread_square5, spread5, 5, 4, [0 1 2 3 4], [0 1 2 3]);
spread!(spread_square3, spread3, 3, 2, [0 1 2], [0 1]);

/// The two transforms for one number of points.
macro_rules! square {
    ($input:ident, $output:ident, $line:ident, $back:ident, $n:tt, $m:tt, [$($i:literal)*], [$($o:literal)*]) => {
        /// A square of pixels to its values at the points.
        #[inline(always)]
        pub unsafe fn $input<S: Simd>(x: *const f32, row: usize, column: usize, to: *mut f32, stride: usize) {
            unsafe {
                let mut half = [[S::zero(); $n]; $n];
                $({
                    let x = x.wrapping_add($i * row);
                    half[$i] = $line::<S>(square!(@load S, x, column, $n));
                })*
                $({
                    let to = to.wrapping_add($i * stride);
                    let column = square!(@column half, $i, $n);
                    for (j, value) in $line::<S>(column).into_iter().enumerate() {
                        S::store(to.wrapping_add(j * $n * stride), value);
                    }
                })*
            }
        }

        /// The values at the points to a square of pixels.
        #[inline(always)]
        pub unsafe fn $output<S: Simd>(from: *const f32, stride: usize, to: *mut f32) {
            unsafe {
                let mut half = [[S::zero(); $m]; $n];
                $({
                    let from = from.wrapping_add($i * $n * stride);
                    half[$i] = $back::<S>(square!(@load S, from, stride, $n));
                })*
                square!(@columns half, to, $back, S, $n, $m, [$($o)*]);
            }
        }
    };
    (@load $s:ident, $x:ident, $step:ident, 6) => {[
        $s::load($x), $s::load($x.wrapping_add($step)), $s::load($x.wrapping_add(2 * $step)),
        $s::load($x.wrapping_add(3 * $step)), $s::load($x.wrapping_add(4 * $step)), $s::load($x.wrapping_add(5 * $step)),
    ]};
    (@load $s:ident, $x:ident, $step:ident, 5) => {[
        $s::load($x), $s::load($x.wrapping_add($step)), $s::load($x.wrapping_add(2 * $step)),
        $s::load($x.wrapping_add(3 * $step)), $s::load($x.wrapping_add(4 * $step)),
    ]};
    (@load $s:ident, $x:ident, $step:ident, 3) => {
        [$s::load($x), $s::load($x.wrapping_add($step)), $s::load($x.wrapping_add(2 * $step))]
    };
    (@column $half:ident, $i:literal, 3) => {
        [$half[0][$i], $half[1][$i], $half[2][$i]]
    };
    (@column $half:ident, $i:literal, 6) => {
        [$half[0][$i], $half[1][$i], $half[2][$i], $half[3][$i], $half[4][$i], $half[5][$i]]
    };
    (@column $half:ident, $i:literal, 5) => {
        [$half[0][$i], $half[1][$i], $half[2][$i], $half[3][$i], $half[4][$i]]
    };
    (@columns $half:ident, $to:ident, $back:ident, $s:ident, $n:tt, $m:tt, [$($i:literal)*]) => {
        $({
            let column = $back::<$s>(square!(@column $half, $i, $n));
            for (j, value) in column.into_iter().enumerate() {
                $s::store($to.wrapping_add((j * $m + $i) * LANES), value);
            }
        })*
    };
}

square!(input6, output6, line6, back6, 6, 4, [0 1 2 3 4 5], [0 1 2 3]);
square!(input5, output5, line5, back5, 5, 4, [0 1 2 3 4], [0 1 2 3]);
square!(input3, output3, line3, back3, 3, 2, [0 1 2], [0 1]);
