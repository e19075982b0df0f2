//! Vectors of sixteen for safe code: loops over them, compiled once for each instruction set.
//!
//! # Safety
//! The operations of [`Wide`] need the instructions of their set. A [`Work`] is run only by [`run`], with the set that
//! was detected, and everything below it is inlined there.

use super::tiles::Kernels;
#[cfg(target_arch = "aarch64")]
use super::vector::Neon;
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Simd};
use super::{InstructionSet, LANES};

/// Sixteen values; instruction sets of eight use two registers.
#[derive(Clone, Copy)]
pub struct Wide<S: Simd>([S::Vector; 2]);

/// Applies an operation to each register in use.
macro_rules! each {
    ($s:ident, $($name:ident = $value:expr),* => $operation:expr) => {
        unsafe {
            let first = { $(let $name = $value.0[0];)* $operation };
            let second = if $s::LANES < LANES { $(let $name = $value.0[1];)* $operation } else { first };
            Wide([first, second])
        }
    };
}

#[allow(clippy::should_implement_trait, reason = "methods chain as well as operators do, and are all inlined")]
impl<S: Simd> Wide<S> {
    /// All the same.
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        unsafe { Self([S::splat(value); 2]) }
    }

    /// Reads sixteen values.
    #[inline(always)]
    pub fn load(from: &[f32; LANES]) -> Self {
        unsafe {
            let first = S::load(from.as_ptr());
            Self([first, if S::LANES < LANES { S::load(from.as_ptr().add(LANES / 2)) } else { first }])
        }
    }

    /// Writes sixteen values.
    #[inline(always)]
    pub fn store(self, to: &mut [f32; LANES]) {
        unsafe {
            S::store(to.as_mut_ptr(), self.0[0]);
            if S::LANES < LANES {
                S::store(to.as_mut_ptr().add(LANES / 2), self.0[1]);
            }
        }
    }

    /// self + other.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        each!(S, a = self, other = other => S::add(a, other))
    }

    /// self - other.
    #[inline(always)]
    pub fn subtract(self, other: Self) -> Self {
        each!(S, a = self, other = other => S::subtract(a, other))
    }

    /// self * other.
    #[inline(always)]
    pub fn multiply(self, other: Self) -> Self {
        each!(S, a = self, other = other => S::multiply(a, other))
    }

    /// The larger of two.
    #[inline(always)]
    pub fn maximum(self, other: Self) -> Self {
        each!(S, a = self, other = other => S::maximum(a, other))
    }

    /// `then` where this is above 0, `other` elsewhere.
    #[inline(always)]
    pub fn where_positive(self, then: Self, other: Self) -> Self {
        each!(S, a = self, then = then, other = other => S::where_positive(a, then, other))
    }

    /// self * factor + other.
    #[inline(always)]
    pub fn times_plus(self, factor: f32, other: Self) -> Self {
        each!(S, a = self, other = other => S::multiply_add(a, S::splat(factor), other))
    }

    /// The sum.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        unsafe { S::sum(self.0[0]) + if S::LANES < LANES { S::sum(self.0[1]) } else { 0.0 } }
    }
}

/// Turns rows into columns.
#[inline(always)]
pub fn transpose<S: Simd>(values: &mut [[f32; LANES]; LANES]) {
    // SAFETY: as all operations of the set.
    unsafe { S::transpose(values) }
}

/// A loop over [`Wide`]; its `run` must be inlined.
pub trait Work {
    /// Does it.
    fn run<S: Simd>(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn avx512<W: Work>(work: W) {
    work.run::<Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: Work>(work: W) {
    work.run::<Avx2>();
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon<W: Work>(work: W) {
    work.run::<Neon>();
}

/// Runs a loop by the instruction set of these kernels.
#[inline]
pub fn run<W: Work>(kernels: &Kernels, work: W) {
    match kernels.set {
        // SAFETY: kernels of these sets are given out only where their instructions were detected.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { avx512(work) },
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { avx2(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => unsafe { neon(work) },
        InstructionSet::Portable => work.run::<Portable>(),
    }
}
