//! Asking for memory before it is needed, while something else is computed.
//!
//! # Safety
//! A prefetch reads and writes nothing that the program can see, and takes any address.

/// Asks for a line of the first cache, or, without `NEAR`, of the second.
#[inline(always)]
pub(super) fn line<const NEAR: bool>(at: *const f32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: part of every x86-64 processor.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if NEAR { _mm_prefetch::<_MM_HINT_T0>(at.cast()) } else { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: part of every 64-bit Arm processor.
    unsafe {
        use std::arch::asm;
        if NEAR {
            asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, preserves_flags));
        } else {
            asm!("prfm pldl2keep, [{0}]", in(reg) at, options(nostack, preserves_flags));
        }
    }
    let _ = at;
}

/// Asks for the values around a place: needed next, or, without `NEAR`, soon. A place that is not there is nothing to
/// ask for.
#[inline(always)]
pub fn prefetch_line<const NEAR: bool>(values: &[f32], place: usize) {
    line::<NEAR>(values.as_ptr().wrapping_add(place));
}
