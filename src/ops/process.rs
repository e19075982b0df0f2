//! The process as a whole: settings that the kernels want, made once before anything else runs, and what it costs.

use std::time::Duration;

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

/// Processor time of the calling thread so far; `None` where the system does not tell.
pub fn thread_time() -> Option<Duration> {
    clock(Clock::Thread)
}

/// Processor time of all threads so far; `None` where the system does not tell.
pub fn process_time() -> Option<Duration> {
    clock(Clock::Process)
}

#[derive(Clone, Copy)]
enum Clock {
    Thread,
    Process,
}

#[cfg(target_os = "linux")]
fn clock(clock: Clock) -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(match clock {
        Clock::Thread => ClockId::ThreadCPUTime,
        Clock::Process => ClockId::ProcessCPUTime,
    });
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(target_os = "linux"))]
fn clock(_: Clock) -> Option<Duration> {
    None
}

/// Memory in megabytes (2^20 bytes) that this process holds now; `None` where the system does not tell.
pub fn memory_mb() -> Option<f64> {
    status_mb("VmRSS:")
}

/// The most memory in megabytes (2^20 bytes) that this process has held so far; `None` where the system does not tell.
pub fn peak_memory_mb() -> Option<f64> {
    status_mb("VmHWM:")
}

fn status_mb(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}
