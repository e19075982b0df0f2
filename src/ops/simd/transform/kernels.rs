//! The transform of kernels while they are used.
//!
//! # Safety
//! As of the folder.

use super::super::vector::Simd;
use super::super::wide::Work;
use super::super::{LANES, unroll};
use std::ops::Range;

/// Rows of points that share most of what the transform of kernels to them takes, two at the most.
pub fn row_groups(points: usize) -> &'static [Range<usize>] {
    match points {
        6 => &[0..1, 1..3, 3..5, 5..6],
        5 => &[0..2, 2..4, 4..5],
        _ => &[0..2, 2..3],
    }
}

/// The transform of kernels to some rows of points, while they are used: from `[channel][taps * taps][outputs]` to
/// `[rows * points][channel][outputs]`, the points one cache line further apart than they need to be.
pub struct KernelTransform<'a> {
    /// Points along each axis.
    pub points: usize,
    /// Rows of points: one of [`row_groups`], or all.
    pub rows: Range<usize>,
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
        let Self { points, rows, width, from, to } = self;
        let (taps, step) = (if points == 6 { 3 } else { 2 }, width);
        let size = taps * taps * step;
        assert!(step > 0 && step.is_multiple_of(LANES) && from.len().is_multiple_of(size));
        let channels = from.len() / size;
        let stride = channels * step + LANES;
        assert!([3, 5, 6].contains(&points) && rows.end <= points && to.len() >= rows.len() * points * stride);
        for channel in 0..channels {
            for first in (0..step).step_by(S::LANES) {
                // SAFETY: the last tap that is read begins at `(channel + 1) * size - step + first`, and the last point
                // that is written at `(rows.len() * points - 1) * stride + channel * step + first`.
                unsafe {
                    let from = from.as_ptr().add(channel * size + first);
                    let to = to.as_mut_ptr().add(channel * step + first);
                    match points {
                        6 => kernel6::<S>(&rows, from, step, to, stride),
                        5 => kernel5::<S>(&rows, from, step, to, stride),
                        _ => kernel3::<S>(&rows, from, step, to, stride),
                    }
                }
            }
        }
    }
}

/// Transforms a register of kernels; two rows at a time, as all at once do not fit into sixteen registers. Here and below
/// there are functions and no closures, which would not be compiled for the instruction set.
#[inline(always)]
unsafe fn kernel6<S: Simd>(rows: &Range<usize>, from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let (row, mut to) = (6 * stride, to);
        let a = load_taps::<S, 3>(from, step);
        if rows.start == 0 {
            let quarter = S::splat(0.25);
            let taps = [S::multiply(a[0], quarter), S::multiply(a[1], quarter), S::multiply(a[2], quarter)];
            kernel_row6::<S>(taps, to, stride);
            to = to.wrapping_add(row);
        }
        let b = load_taps::<S, 3>(from.wrapping_add(3 * step), step);
        let c = load_taps::<S, 3>(from.wrapping_add(6 * step), step);
        if rows.contains(&1) {
            let (left, left_minus) = kernel_ones::<S>([a[0], b[0], c[0]]);
            let (middle, middle_minus) = kernel_ones::<S>([a[1], b[1], c[1]]);
            let (right, right_minus) = kernel_ones::<S>([a[2], b[2], c[2]]);
            kernel_row6::<S>([left, middle, right], to, stride);
            kernel_row6::<S>([left_minus, middle_minus, right_minus], to.wrapping_add(row), stride);
            to = to.wrapping_add(2 * row);
        }
        if rows.contains(&3) {
            let (left, left_minus) = kernel_twos::<S>([a[0], b[0], c[0]]);
            let (middle, middle_minus) = kernel_twos::<S>([a[1], b[1], c[1]]);
            let (right, right_minus) = kernel_twos::<S>([a[2], b[2], c[2]]);
            kernel_row6::<S>([left, middle, right], to, stride);
            kernel_row6::<S>([left_minus, middle_minus, right_minus], to.wrapping_add(row), stride);
            to = to.wrapping_add(2 * row);
        }
        if rows.end == 6 {
            kernel_row6::<S>(c, to, stride);
        }
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
        S::store(to, S::multiply(row[0], S::splat(0.25)));
        let (one, minus_one) = kernel_ones::<S>(row);
        S::store(to.wrapping_add(stride), one);
        S::store(to.wrapping_add(2 * stride), minus_one);
        let (two, minus_two) = kernel_twos::<S>(row);
        S::store(to.wrapping_add(3 * stride), two);
        S::store(to.wrapping_add(4 * stride), minus_two);
        S::store(to.wrapping_add(5 * stride), row[2]);
    }
}

/// A kernel of three taps at the points 1 and -1.
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
unsafe fn kernel5<S: Simd>(rows: &Range<usize>, from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (kernel_line5::<S>([a, c]), kernel_line5::<S>([b, d]));
        unroll!(Y in [0 1 2 3 4] {
            if rows.contains(&Y) {
                let row = kernel_line5::<S>([left[Y], right[Y]]);
                let to = to.wrapping_add((Y - rows.start) * 5 * stride);
                unroll!(X in [0 1 2 3 4] { S::store(to.wrapping_add(X * stride), row[X]); });
            }
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
unsafe fn kernel3<S: Simd>(rows: &Range<usize>, from: *const f32, step: usize, to: *mut f32, stride: usize) {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (kernel_line3::<S>([a, c]), kernel_line3::<S>([b, d]));
        unroll!(Y in [0 1 2] {
            if rows.contains(&Y) {
                let row = kernel_line3::<S>([left[Y], right[Y]]);
                let to = to.wrapping_add((Y - rows.start) * 3 * stride);
                unroll!(X in [0 1 2] { S::store(to.wrapping_add(X * stride), row[X]); });
            }
        });
    }
}

#[inline(always)]
unsafe fn kernel_line3<S: Simd>([a, b]: [S::Vector; 2]) -> [S::Vector; 3] {
    unsafe { [S::subtract(S::zero(), a), S::add(a, b), b] }
}
