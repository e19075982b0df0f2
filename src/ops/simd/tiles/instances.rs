//! The inner loops, compiled for each instruction set.

use super::super::vector::{Portable, Simd};
use super::super::{InstructionSet, LANES};
use super::{Ahead, ColumnsAt, Finish, Kernels, MOST_PIXELS, Products, Segment, TileSize, computed, loops, smaller};

/// Names the instantiations for one instruction set: pixels of a tile, and the vectors of one and of two blocks.
macro_rules! kernels {
    ($name:ident, $instructions:expr, $module:ident, $set:ty, $pixels:literal, $blocks:literal, $one:literal, $two:literal,
        $rows:literal $(, $feature:meta)*) => {
        mod $module {
            use super::*;
            const HALF: usize = smaller($pixels)[0];
            const MOST: usize = smaller($pixels)[1];
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "those of a tile")]
            unsafe fn any_tile(
                size: TileSize, x: *const f32, pixels: &[usize; MOST_PIXELS], segments: &[Segment],
                weights: *const f32, out: *mut f32, stride: usize, ahead: &mut Ahead,
            ) {
                let (add, count) = (size.add, computed(size.pixels, $pixels));
                unsafe {
                    match (size.blocks, count) {
                        (1, HALF) => loops::tile::<$set, HALF, $one>(add, x, pixels, segments, weights, out, stride, ahead),
                        (_, HALF) => loops::tile::<$set, HALF, $two>(add, x, pixels, segments, weights, out, stride, ahead),
                        (1, $pixels) => loops::tile::<$set, $pixels, $one>(add, x, pixels, segments, weights, out, stride, ahead),
                        (_, $pixels) => loops::tile::<$set, $pixels, $two>(add, x, pixels, segments, weights, out, stride, ahead),
                        (1, _) => loops::tile::<$set, MOST, $one>(add, x, pixels, segments, weights, out, stride, ahead),
                        (_, _) => loops::tile::<$set, MOST, $two>(add, x, pixels, segments, weights, out, stride, ahead),
                    }
                }
            }
            $(#[$feature])*
            pub unsafe fn tile(
                size: TileSize, x: *const f32, pixels: &[usize; MOST_PIXELS], segments: &[Segment],
                weights: *const f32, out: *mut f32, stride: usize,
            ) {
                let mut ahead = Ahead::new(&[], 1);
                unsafe { any_tile(size, x, pixels, segments, weights, out, stride, &mut ahead) }
            }
            $(#[$feature])*
            pub unsafe fn columns(columns: ColumnsAt) {
                const PIXELS: [usize; MOST_PIXELS] =
                    [0, LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES, 6 * LANES, 7 * LANES];
                let ColumnsAt { points, count, x, segments, weights, blocks, add, to, mut ahead } = columns;
                for point in 0..points {
                    let mut x_at = x.0.wrapping_add(point * x.1);
                    let mut to_at = to.0.wrapping_add(point * to.1);
                    let weights = weights.0.wrapping_add(point * weights.1);
                    let mut left = count;
                    while left > 0 {
                        let size = TileSize { blocks, pixels: if left < $pixels { left } else { $pixels }, add };
                        unsafe { any_tile(size, x_at, &PIXELS, segments, weights, to_at, to.2, &mut ahead) };
                        (x_at, to_at) = (x_at.wrapping_add(x.2), to_at.wrapping_add($pixels * LANES));
                        left = left.wrapping_sub(size.pixels);
                    }
                }
            }
            $(#[$feature])*
            pub unsafe fn finish(
                how: &Finish, bias: *const f32, values: *const f32, offsets: &[usize], to: *mut f32, seen: *const f32,
            ) {
                unsafe { loops::finish::<$set>(how, bias, values, offsets, to, seen) }
            }
            $(#[$feature])*
            pub unsafe fn input(n: usize, x: *const f32, row: usize, column: usize, to: *mut f32, stride: usize) {
                unsafe { loops::input::<$set>(n, x, row, column, to, stride) }
            }
            $(#[$feature])*
            pub unsafe fn spread(n: usize, x: *const f32, row: usize, to: *mut f32, stride: usize) {
                unsafe { loops::spread::<$set>(n, x, row, to, stride) }
            }
            $(#[$feature])*
            pub unsafe fn outer(blocks: usize, products: &Products) {
                unsafe {
                    if blocks == 1 {
                        loops::outer::<$set, $rows, $one>(products)
                    } else {
                        loops::outer::<$set, $rows, $two>(products)
                    }
                }
            }
            $(#[$feature])*
            pub unsafe fn spin(rounds: usize) -> f32 {
                unsafe { loops::spin::<$set>(rounds) }
            }
            $(#[$feature])*
            pub unsafe fn output(n: usize, from: *const f32, stride: usize, to: *mut f32) {
                unsafe { loops::output::<$set>(n, from, stride, to) }
            }
        }
        pub(super) static $name: Kernels = Kernels {
            set: $instructions, pixels: $pixels, blocks: $blocks, tile: $module::tile, columns: $module::columns, finish: $module::finish,
            input: $module::input, output: $module::output, spread: $module::spread, rows: $rows, outer: $module::outer,
            spin: ($module::spin, <$set as Simd>::LANES),
        };
    };
}

kernels!(PORTABLE, InstructionSet::Portable, portable, Portable, 2, 1, 2, 2, 2);
#[cfg(target_arch = "x86_64")]
use super::super::vector::{Avx2, Avx512};
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
use super::super::vector::Neon;
#[cfg(target_arch = "aarch64")]
kernels!(NEON, InstructionSet::Neon, neon, Neon, 6, 1, 2, 2, 4, target_feature(enable = "neon"));
