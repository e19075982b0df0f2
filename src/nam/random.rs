//! Seeded sources of randomness, one a purpose and place, so that any step can be repeated without those before it.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// What a source is used for: sources of different purposes share nothing.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Start = 1,
    TrainingCodes = 2,
    Order = 3,
    Noise = 4,
    Augmentation = 5,
    Pairs = 6,
    Contrast = 7,
    Sleep = 8,
    SleepContrast = 9,
}

/// The source of one purpose at one place (a candidate, a row, a step, an epoch).
pub(crate) fn source(seed: u64, purpose: Purpose, place: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    bytes[16..24].copy_from_slice(&place.to_le_bytes());
    StdRng::from_seed(bytes)
}

/// `count` draws from N(0, 1).
pub(crate) fn normals(source: &mut StdRng, count: usize) -> Vec<f32> {
    crate::nets::weights::normal_values(source, count, 0.0, 1.0)
}
