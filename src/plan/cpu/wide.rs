//! Compiling safe loops for each instruction set.
#![allow(unsafe_code)]

use super::micro::Kernels;

/// A loop; its `run` must be inlined for the compiler to widen it.
pub trait Work {
    /// Does it.
    fn run(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn avx512<W: Work>(work: W) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: Work>(work: W) {
    work.run();
}

/// Runs a loop by the instruction set of these kernels.
#[inline]
pub fn run<W: Work>(kernels: &Kernels, work: W) {
    match kernels.name {
        // SAFETY: kernels of these names are given out only where their instructions were detected.
        #[cfg(target_arch = "x86_64")]
        "AVX-512" => unsafe { avx512(work) },
        #[cfg(target_arch = "x86_64")]
        "AVX2" => unsafe { avx2(work) },
        _ => work.run(),
    }
}
