//! Squares of 16x16 with their rows turned into columns.
//!
//! # Safety
//! Every function may be called only on a processor that has its instructions.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

/// By AVX-512 F.
#[inline(always)]
pub(super) unsafe fn avx512(square: &mut [[f32; 16]; 16]) {
    /// Which values of two rows the first and the second of them have after they swapped pieces of `step`.
    const fn swapped(step: usize, second: bool) -> [i32; 16] {
        let mut indices = [0; 16];
        let mut i = 0;
        while i < 16 {
            let own = (i & step == 0) != second;
            let from = if own {
                i
            } else if second {
                i + step
            } else {
                i - step
            };
            indices[i] = (from + if own == second { 16 } else { 0 }) as i32;
            i += 1;
        }
        indices
    }
    const INDICES: [[[i32; 16]; 2]; 4] = [
        [swapped(8, false), swapped(8, true)],
        [swapped(4, false), swapped(4, true)],
        [swapped(2, false), swapped(2, true)],
        [swapped(1, false), swapped(1, true)],
    ];
    unsafe {
        let mut rows = [_mm512_setzero_ps(); 16];
        for (row, values) in rows.iter_mut().zip(&*square) {
            *row = _mm512_loadu_ps(values.as_ptr());
        }
        for (stage, indices) in INDICES.iter().enumerate() {
            let step = 8 >> stage;
            let first = _mm512_loadu_si512(indices[0].as_ptr().cast());
            let second = _mm512_loadu_si512(indices[1].as_ptr().cast());
            for i in 0..16 {
                if i & step == 0 {
                    let (a, b) = (rows[i], rows[i + step]);
                    rows[i] = _mm512_permutex2var_ps(a, first, b);
                    rows[i + step] = _mm512_permutex2var_ps(a, second, b);
                }
            }
        }
        for (row, values) in rows.iter().zip(square.iter_mut()) {
            _mm512_storeu_ps(values.as_mut_ptr(), *row);
        }
    }
}

/// By AVX, a quarter at a time.
#[inline(always)]
pub(super) unsafe fn avx2(square: &mut [[f32; 16]; 16]) {
    unsafe {
        let base = square.as_mut_ptr().cast::<f32>();
        let (right, below) = (base.add(8), base.add(8 * 16));
        quarter(base, base);
        quarter(below.add(8), below.add(8));
        let mut kept = [0.0; 8 * 16];
        quarter(right, kept.as_mut_ptr());
        quarter(below, right);
        for row in 0..8 {
            _mm256_storeu_ps(below.add(16 * row), _mm256_loadu_ps(kept.as_ptr().add(16 * row)));
        }
    }
}

/// Transposes 8x8 values whose rows are sixteen floats apart, in place as well.
#[inline(always)]
unsafe fn quarter(from: *const f32, to: *mut f32) {
    unsafe {
        let mut columns = [_mm256_setzero_ps(); 8];
        for half in 0..2 {
            // Four columns: of the rows 0 to 3 in the lower lanes, of the rows 4 to 7 in the upper.
            let mut rows = [_mm256_setzero_ps(); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                let from = from.add(16 * i + 4 * half);
                let low = _mm256_castps128_ps256(_mm_loadu_ps(from));
                *row = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add(4 * 16)));
            }
            let (a, b) = (_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
            let (c, d) = (_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
            columns[4 * half] = _mm256_shuffle_ps::<0x44>(a, c);
            columns[4 * half + 1] = _mm256_shuffle_ps::<0xEE>(a, c);
            columns[4 * half + 2] = _mm256_shuffle_ps::<0x44>(b, d);
            columns[4 * half + 3] = _mm256_shuffle_ps::<0xEE>(b, d);
        }
        for (i, column) in columns.into_iter().enumerate() {
            _mm256_storeu_ps(to.add(16 * i), column);
        }
    }
}
