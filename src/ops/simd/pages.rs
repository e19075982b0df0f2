//! Memory for kernels: large, made once, and read from end to end at every step.
//!
//! # Safety
//! A map is as long as was asked for, begins at a page, is made of zeros and is no one else's.

use super::Floats;
use std::ops::{Deref, DerefMut};

/// Below so many bytes large pages are nothing to ask for: there would be one at most.
#[cfg(all(target_os = "linux", not(miri)))]
const LARGE: usize = 4 << 20;

/// Aligned floats in large pages, where there are many of them and the system gives such pages on request (as most
/// Linux systems do): in pages of 4 KiB a core waits at each for its place to be looked up, and does not read ahead
/// beyond it. For maps they are of no use: planes that lie so many bytes apart would take the same lines of the caches.
pub struct Pages(Memory);

enum Memory {
    Floats(Floats),
    #[cfg(all(target_os = "linux", not(miri)))]
    Mapped(memmap2::MmapMut),
}

impl Pages {
    /// At least `length` zeros.
    pub fn zeros(length: usize) -> Self {
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            let bytes = length.next_multiple_of(super::LANES) * size_of::<f32>();
            // A system without room for it, or that knows no large pages, is no reason to fail.
            if bytes >= LARGE
                && let Ok(map) = memmap2::MmapMut::map_anon(bytes)
            {
                map.advise(memmap2::Advice::HugePage).ok();
                return Self(Memory::Mapped(map));
            }
        }
        Self(Memory::Floats(Floats::zeros(length)))
    }
}

impl Deref for Pages {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Memory::Floats(floats) => floats,
            // SAFETY: aligned, and any bytes are floats.
            #[cfg(all(target_os = "linux", not(miri)))]
            Memory::Mapped(map) => unsafe {
                std::slice::from_raw_parts(map.as_ptr().cast(), map.len() / size_of::<f32>())
            },
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Memory::Floats(floats) => floats,
            // SAFETY: as above.
            #[cfg(all(target_os = "linux", not(miri)))]
            Memory::Mapped(map) => unsafe {
                std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), map.len() / size_of::<f32>())
            },
        }
    }
}
