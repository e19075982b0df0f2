//! The inner loops over vectors of any instruction set.
//!
//! # Safety
//! They are inlined into the functions of [`super::instances`], whose pointers the methods of [`super::Kernels`] made.

use super::super::prefetch::line;
use super::super::transform::{
    input3, input5, input6, output3, output5, output6, spread_square3, spread_square5, spread_square6,
};
use super::super::vector::Simd;
use super::super::{LANES, unroll};
use super::{Ahead, Finish, MOST_PIXELS, Products, Segment};
use crate::ops::Activation;

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as the kernels that it is inlined into")]
pub(super) unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    add: bool,
    x: *const f32,
    pixels: &[usize; MOST_PIXELS],
    segments: &[Segment],
    weights: *const f32,
    out: *mut f32,
    stride: usize,
    ahead: &mut Ahead,
) {
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; PIXELS];
        let mut at = [x; PIXELS];
        let beside = if S::LANES < LANES { S::LANES } else { stride };
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
            let mut lines = ahead.lines;
            while lines > 0 && ahead.at < ahead.end {
                line::<false>(ahead.at);
                ahead.at = ahead.at.wrapping_add(LANES);
                lines = lines.wrapping_sub(1);
            }
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
            Activation::Relu => S::maximum(S::zero(), x),
            Activation::LeakyRelu(slope) => S::where_positive(x, x, S::multiply(x, S::splat(slope))),
            Activation::Tanh => {
                // As `Activation::apply` has it.
                let x = S::maximum(S::splat(-7.903_89), S::minimum(S::splat(7.903_89), x));
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
pub(super) unsafe fn finish<S: Simd>(
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
pub(super) unsafe fn input<S: Simd>(
    points: usize,
    x: *const f32,
    row: usize,
    column: usize,
    to: *mut f32,
    stride: usize,
) {
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
pub(super) unsafe fn output<S: Simd>(points: usize, from: *const f32, stride: usize, to: *mut f32) {
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
pub(super) unsafe fn spread<S: Simd>(points: usize, x: *const f32, row: usize, to: *mut f32, stride: usize) {
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
pub(super) unsafe fn outer<S: Simd, const ROWS: usize, const VECTORS: usize>(products: &Products) {
    unsafe {
        let &Products { left: (left, left_step), right: (right, right_step), block, count, to: (to, row), .. } =
            products;
        let (add, repeat, groups) = (products.add, products.repeat, products.groups);
        let second = if S::LANES < LANES { S::LANES } else { block };
        for i in 0..repeat.times {
            let left = left.wrapping_add(i.wrapping_mul(repeat.left));
            let right = right.wrapping_add(i.wrapping_mul(repeat.right));
            let to = to.wrapping_add(i.wrapping_mul(repeat.to));
            for group in 0..groups {
                let (mut left, mut right) = (left.wrapping_add(group.wrapping_mul(ROWS)), right);
                let to = to.wrapping_add(group.wrapping_mul(ROWS).wrapping_mul(row));
                // The next sum's left side is asked for, a vector with each product.
                let more = group == 0 && i.wrapping_add(1) < repeat.times;
                let ahead = if more { repeat.left } else { 0 };
                let mut sums = [[S::zero(); VECTORS]; ROWS];
                let mut rest = count;
                while rest > 0 {
                    line::<true>(left.wrapping_add(ahead));
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
    }
}

#[inline(always)]
pub(super) unsafe fn spin<S: Simd>(rounds: usize) -> f32 {
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
