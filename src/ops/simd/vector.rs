//! Vectors of f32 for each instruction set, behind one trait.
//!
//! # Safety
//! Every function of an implementation may be called only on a processor that has its instructions; pointers must be
//! valid for the lanes that are read or written (masked-out lanes are neither).

/// A vector of f32.
pub trait Simd: Copy {
    /// The register.
    type Vector: Copy;
    /// Which lanes of a register take part.
    type Mask: Copy;
    /// Values in a register.
    const LANES: usize;
    /// All lanes 0.
    unsafe fn zero() -> Self::Vector;
    /// All lanes the same.
    unsafe fn splat(value: f32) -> Self::Vector;
    /// Reads all lanes.
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// Writes all lanes.
    unsafe fn store(to: *mut f32, vector: Self::Vector);
    /// a * b + c.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// a + b.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a - b.
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b.
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a / b.
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller of two values.
    unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of two values; the second where one of them is not a number.
    unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `then` where `value` is above 0, `other` elsewhere.
    unsafe fn where_positive(value: Self::Vector, then: Self::Vector, other: Self::Vector) -> Self::Vector;
    /// The sum of the lanes.
    unsafe fn sum(vector: Self::Vector) -> f32;
    /// The lanes `low..high`.
    unsafe fn mask(low: usize, high: usize) -> Self::Mask;
    /// Puts the lanes of a mask, read from `from + lane`, into a vector whose lanes there are 0.
    unsafe fn merge(vector: Self::Vector, mask: Self::Mask, from: *const f32) -> Self::Vector;
    /// Turns the rows of a square into columns.
    #[inline(always)]
    unsafe fn transpose(square: &mut [[f32; 16]; 16]) {
        let rows = *square;
        for (i, column) in square.iter_mut().enumerate() {
            column.iter_mut().zip(&rows).for_each(|(value, row)| *value = row[i]);
        }
    }
}

/// Plain Rust, for every processor.
#[derive(Clone, Copy)]
pub struct Portable;

impl Simd for Portable {
    type Vector = [f32; 8];
    type Mask = (usize, usize);
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        [0.0; 8]
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: Self::Vector) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(vector) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, mut c: Self::Vector) -> Self::Vector {
        for i in 0..8 {
            c[i] += a[i] * b[i];
        }
        c
    }
    #[inline(always)]
    unsafe fn add(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    }
    #[inline(always)]
    unsafe fn subtract(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a -= b);
        a
    }
    #[inline(always)]
    unsafe fn multiply(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
        a
    }
    #[inline(always)]
    unsafe fn divide(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a /= b);
        a
    }
    #[inline(always)]
    unsafe fn minimum(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a = if *a < b { *a } else { b });
        a
    }
    #[inline(always)]
    unsafe fn maximum(mut a: Self::Vector, b: Self::Vector) -> Self::Vector {
        a.iter_mut().zip(b).for_each(|(a, b)| *a = if *a > b { *a } else { b });
        a
    }
    #[inline(always)]
    unsafe fn where_positive(value: Self::Vector, then: Self::Vector, mut other: Self::Vector) -> Self::Vector {
        for ((other, then), value) in other.iter_mut().zip(then).zip(value) {
            *other = if value > 0.0 { then } else { *other };
        }
        other
    }
    #[inline(always)]
    unsafe fn sum(vector: Self::Vector) -> f32 {
        vector.iter().sum()
    }
    #[inline(always)]
    unsafe fn mask(low: usize, high: usize) -> Self::Mask {
        (low, high)
    }
    #[inline(always)]
    unsafe fn merge(mut vector: Self::Vector, mask: Self::Mask, from: *const f32) -> Self::Vector {
        for (lane, value) in vector.iter_mut().enumerate().take(mask.1).skip(mask.0) {
            *value = unsafe { *from.wrapping_add(lane) };
        }
        vector
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm::Neon;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::Simd;
    use std::arch::aarch64::*;

    /// NEON, two registers at a time.
    #[derive(Clone, Copy)]
    pub struct Neon;

    /// Applies an operation to both registers.
    macro_rules! both {
        ($operation:ident($($vector:expr),*)) => { [$operation($($vector[0]),*), $operation($($vector[1]),*)] };
    }

    #[allow(unused_unsafe, reason = "part of every processor that this is compiled for by default")]
    impl Simd for Neon {
        type Vector = [float32x4_t; 2];
        type Mask = (usize, usize);
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> Self::Vector {
            unsafe { [vdupq_n_f32(0.0); 2] }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::Vector {
            unsafe { [vdupq_n_f32(value); 2] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::Vector {
            unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: Self::Vector) {
            unsafe {
                vst1q_f32(to, vector[0]);
                vst1q_f32(to.add(4), vector[1]);
            }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            unsafe { both!(vfmaq_f32(c, a, b)) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vaddq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vsubq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vmulq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vdivq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vminq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { both!(vmaxq_f32(a, b)) }
        }
        #[inline(always)]
        unsafe fn where_positive(value: Self::Vector, then: Self::Vector, other: Self::Vector) -> Self::Vector {
            unsafe {
                let above = both!(vcgtzq_f32(value));
                both!(vbslq_f32(above, then, other))
            }
        }
        #[inline(always)]
        unsafe fn sum(vector: Self::Vector) -> f32 {
            unsafe { vaddvq_f32(vaddq_f32(vector[0], vector[1])) }
        }
        #[inline(always)]
        unsafe fn mask(low: usize, high: usize) -> Self::Mask {
            (low, high)
        }
        #[inline(always)]
        unsafe fn merge(vector: Self::Vector, mask: Self::Mask, from: *const f32) -> Self::Vector {
            unsafe {
                if mask == (0, Self::LANES) {
                    return Self::load(from);
                }
                let mut lanes = [0.0; Self::LANES];
                Self::store(lanes.as_mut_ptr(), vector);
                for (lane, value) in lanes.iter_mut().enumerate().take(mask.1).skip(mask.0) {
                    *value = *from.wrapping_add(lane);
                }
                Self::load(lanes.as_ptr())
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX-512 F.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    impl Simd for Avx512 {
        type Vector = __m512;
        type Mask = __mmask16;
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn transpose(square: &mut [[f32; 16]; 16]) {
            unsafe { super::super::transpose::avx512(square) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self::Vector {
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::Vector {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::Vector {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: Self::Vector) {
            unsafe { _mm512_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn where_positive(value: Self::Vector, then: Self::Vector, other: Self::Vector) -> Self::Vector {
            unsafe { _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, _mm512_setzero_ps()), then) }
        }
        #[inline(always)]
        unsafe fn sum(vector: Self::Vector) -> f32 {
            unsafe { _mm512_reduce_add_ps(vector) }
        }
        #[inline(always)]
        unsafe fn mask(low: usize, high: usize) -> Self::Mask {
            ((1u32 << high) - (1u32 << low)) as __mmask16
        }
        #[inline(always)]
        unsafe fn merge(vector: Self::Vector, mask: Self::Mask, from: *const f32) -> Self::Vector {
            unsafe { _mm512_mask_loadu_ps(vector, mask, from) }
        }
    }

    /// AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    impl Simd for Avx2 {
        type Vector = __m256;
        type Mask = __m256i;
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn transpose(square: &mut [[f32; 16]; 16]) {
            unsafe { super::super::transpose::avx2(square) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self::Vector {
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::Vector {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::Vector {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: Self::Vector) {
            unsafe { _mm256_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn where_positive(value: Self::Vector, then: Self::Vector, other: Self::Vector) -> Self::Vector {
            unsafe { _mm256_blendv_ps(other, then, _mm256_cmp_ps::<_CMP_GT_OQ>(value, _mm256_setzero_ps())) }
        }
        #[inline(always)]
        unsafe fn sum(vector: Self::Vector) -> f32 {
            unsafe {
                let halves = _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps(vector, 1));
                let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
                _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)))
            }
        }
        #[inline(always)]
        unsafe fn mask(low: usize, high: usize) -> Self::Mask {
            let lane = |i: usize| if (low..high).contains(&i) { -1 } else { 0 };
            unsafe { _mm256_setr_epi32(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7)) }
        }
        #[inline(always)]
        unsafe fn merge(vector: Self::Vector, mask: Self::Mask, from: *const f32) -> Self::Vector {
            unsafe { _mm256_or_ps(vector, _mm256_maskload_ps(from, mask)) }
        }
    }
}
