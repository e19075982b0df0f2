//! Settings of the whole process that the kernels want, made once before anything else runs.

/// Keeps candle's own threads from competing with the kernels': its pool waits by spinning, which costs a small machine
/// more than it brings, and what is left to candle is small. Keeps freed memory for the next step instead of giving it
/// back: fresh pages cost a training step a quarter of its time (glibc; elsewhere the allocator is left as it is).
/// What the environment says (`CANDLE_NUM_THREADS`) is respected.
///
/// # Safety
/// Only while the process has a single thread, as the environment is changed: first thing in `main`.
#[allow(unsafe_code)]
pub unsafe fn prepare() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: the caller vouches that no other thread reads the environment.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls only set numbers; there is no other thread that could be allocating.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        // One arena, whose memory all threads share: the others are limited to 64 MiB a heap.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
