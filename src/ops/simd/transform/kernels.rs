//! The transform of kernels while they are used.
//!
//! # Safety
//! As of the folder.

use super::super::LANES;
use super::super::vector::Simd;
use super::super::wide::Work;
use std::ops::Range;

/// Rows of points that share most of what the transform of kernels to them takes, two at the most.
pub fn row_groups(points: usize) -> &'static [Range<usize>] {
    match points {
        6 => &[0..1, 1..3, 3..5, 5..6],
        5 => &[0..2, 2..4, 4..5],
        _ => &[0..2, 2..3],
    }
}

/// The taps of kernels for squares of so many points, along each axis.
pub(super) fn taps(points: usize) -> usize {
    if points == 6 { 3 } else { 2 }
}

/// Stores one row of points or two. No function takes another one here: it would not be compiled for the instruction set.
macro_rules! store {
    ($s:ident, $rows_of:ident, $line:ident, $points:literal, $rows:ident, $from:ident, $width:ident, $to:ident, $stride:ident) => {{
        let [first, second] = $rows_of::<$s>($rows.start, $from, $width);
        for (i, value) in $line::<$s>(first).into_iter().enumerate() {
            $s::store($to.wrapping_add(i * $stride), value);
        }
        if $rows.len() > 1 {
            for (i, value) in $line::<$s>(second).into_iter().enumerate() {
                $s::store($to.wrapping_add(($points + i) * $stride), value);
            }
        }
    }};
}

/// The transform of kernels to some rows of points: from `[channel][taps * taps][outputs]` to
/// `[rows * points][channel][outputs]`, the points one cache line further apart than they need to be.
pub struct KernelTransform<'a> {
    /// Points along each axis.
    pub points: usize,
    /// Rows of points: one of [`row_groups`].
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
        let area = taps(points) * taps(points);
        assert!(width > 0 && width.is_multiple_of(LANES) && width <= from.len() / area);
        let size = area * width;
        assert!(from.len().is_multiple_of(size));
        let channels = from.len() / size;
        let stride = channels * width + LANES;
        assert!(
            [3, 5, 6].contains(&points) && (1..=2).contains(&rows.len()) && to.len() >= rows.len() * points * stride
        );
        for channel in 0..channels {
            for first in (0..width).step_by(S::LANES) {
                // SAFETY: the last tap that is read begins at `(channel + 1) * size - width + first`, and the last point
                // that is written at `(rows.len() * points - 1) * stride + channel * width + first`.
                unsafe {
                    let from = from.as_ptr().add(channel * size + first);
                    let to = to.as_mut_ptr().add(channel * width + first);
                    match points {
                        6 => store!(S, rows6, line6, 6, rows, from, width, to, stride),
                        5 => store!(S, rows5, line5, 5, rows, from, width, to, stride),
                        _ => store!(S, rows3, line3, 3, rows, from, width, to, stride),
                    }
                }
            }
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

/// A register of kernels of three taps in the rows of points from `first` on, which begins one of [`row_groups`]; where that
/// is a single row, both results are this one.
#[inline(always)]
pub(super) unsafe fn rows6<S: Simd>(first: usize, from: *const f32, step: usize) -> [[S::Vector; 3]; 2] {
    unsafe {
        if first == 0 {
            let (a, quarter) = (load_taps::<S, 3>(from, step), S::splat(0.25));
            return [[S::multiply(a[0], quarter), S::multiply(a[1], quarter), S::multiply(a[2], quarter)]; 2];
        }
        let c = load_taps::<S, 3>(from.wrapping_add(6 * step), step);
        if first == 5 {
            return [c; 2];
        }
        let a = load_taps::<S, 3>(from, step);
        let b = load_taps::<S, 3>(from.wrapping_add(3 * step), step);
        let ((left, left_minus), (middle, middle_minus), (right, right_minus)) = if first == 1 {
            (ones::<S>([a[0], b[0], c[0]]), ones::<S>([a[1], b[1], c[1]]), ones::<S>([a[2], b[2], c[2]]))
        } else {
            (twos::<S>([a[0], b[0], c[0]]), twos::<S>([a[1], b[1], c[1]]), twos::<S>([a[2], b[2], c[2]]))
        };
        [[left, middle, right], [left_minus, middle_minus, right_minus]]
    }
}

/// The values of a row of three taps at all points.
#[inline(always)]
pub(super) unsafe fn line6<S: Simd>(row: [S::Vector; 3]) -> [S::Vector; 6] {
    unsafe {
        let ((one, minus_one), (two, minus_two)) = (ones::<S>(row), twos::<S>(row));
        [S::multiply(row[0], S::splat(0.25)), one, minus_one, two, minus_two, row[2]]
    }
}

/// Three taps at the points 1 and -1.
#[inline(always)]
unsafe fn ones<S: Simd>([a, b, c]: [S::Vector; 3]) -> (S::Vector, S::Vector) {
    unsafe {
        let even = S::multiply(S::add(a, c), S::splat(-1.0 / 6.0));
        (S::multiply_add(S::splat(-1.0 / 6.0), b, even), S::multiply_add(S::splat(1.0 / 6.0), b, even))
    }
}

/// At the points 2 and -2.
#[inline(always)]
unsafe fn twos<S: Simd>([a, b, c]: [S::Vector; 3]) -> (S::Vector, S::Vector) {
    unsafe {
        let even = S::multiply_add(S::splat(1.0 / 6.0), c, S::multiply(a, S::splat(1.0 / 24.0)));
        (S::multiply_add(S::splat(1.0 / 12.0), b, even), S::multiply_add(S::splat(-1.0 / 12.0), b, even))
    }
}

/// As [`rows6`] for kernels of two taps.
#[inline(always)]
pub(super) unsafe fn rows5<S: Simd>(first: usize, from: *const f32, step: usize) -> [[S::Vector; 2]; 2] {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (line5::<S>([a, c]), line5::<S>([b, d]));
        let second = if first < 4 { first + 1 } else { 4 };
        [[left[first], right[first]], [left[second], right[second]]]
    }
}

#[inline(always)]
pub(super) unsafe fn line5<S: Simd>([a, b]: [S::Vector; 2]) -> [S::Vector; 5] {
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

/// As [`rows5`] for squares of two outputs.
#[inline(always)]
unsafe fn rows3<S: Simd>(first: usize, from: *const f32, step: usize) -> [[S::Vector; 2]; 2] {
    unsafe {
        let [a, b, c, d] = load_taps::<S, 4>(from, step);
        let (left, right) = (line3::<S>([a, c]), line3::<S>([b, d]));
        let second = if first < 2 { first + 1 } else { 2 };
        [[left[first], right[first]], [left[second], right[second]]]
    }
}

#[inline(always)]
unsafe fn line3<S: Simd>([a, b]: [S::Vector; 2]) -> [S::Vector; 3] {
    unsafe { [S::subtract(S::zero(), a), S::add(a, b), b] }
}
