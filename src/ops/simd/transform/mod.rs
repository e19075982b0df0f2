//! Winograd's minimal filtering (Lavin & Gray, CVPR 2016): 4x4 outputs of a 3x3 correlation by 6x6 products (points
//! 0, 1, -1, 2, -2 and infinity), 4x4 of a 2x2 correlation by 5x5 (0, 1, -1, 2, infinity), and 2x2 of one by 3x3
//! (0, 1, infinity).
//!
//! # Safety
//! Pointers must be valid for the squares of vectors that are read and written.

mod few;
mod kernels;
#[cfg(test)]
mod tests;

use super::LANES;
use super::vector::Simd;
pub use few::{FEW_COLUMNS, FewColumns};
pub use kernels::{KernelTransform, row_groups};

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

/// The input transforms along one axis. Here and below there are functions and no closures, which would not be compiled
/// for the instruction set.
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
