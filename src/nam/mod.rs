//! The method: losses, joint training of the mapping, and solving for the counterparts of an image.
//!
//! NAM: Hoshen & Wolf, ECCV 2018 (arXiv 1806.00804). AE-NAM and VAE-NAM: Hoshen, NeurIPS 2018. The generator G of X is
//! frozen; a mapping T from X to Y is fitted so that T(G(z)) explains the images of Y ([`train`]); then, for a new y,
//! every z that explains it gives a counterpart G(z): drawn from the encoder's posterior ([`starting_codes`],
//! [`candidates`]) or found by descending from several starts ([`Solver`]).

mod codes;
mod distort;
mod findings;
mod half;
pub mod loss;
mod networks;
mod on_gpu;
mod random;
mod solve;
mod solve_on;
mod start;
pub mod student;
pub mod train;

pub use codes::{
    Candidates, Direction, Starts, candidates, pictures, pixel_differences, posterior, posterior_directions,
    starting_codes, starting_codes_for,
};
pub use half::Half;
pub use loss::Target;
pub use networks::{NetworkSet, Networks};
pub use solve::{Settle, SolveSettings, Solver, StepReport};
pub use solve_on::{Measured, SolveOn};

#[cfg(test)]
mod gpu_tests;
#[cfg(test)]
mod precision_tests;
#[cfg(test)]
mod tests;
