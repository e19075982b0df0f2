//! Solving for z on a graphics processor: the graph of [`super::graph`], planned once for a number of starts.
//!
//! [`Gpu`] is a device with its kernels, [`Plan`] a graph on it with all buffers and dispatches of a step, [`Descent`]
//! the codes of one search with Adam's state. A step is one submission: what the losses of the step before have decided
//! (`shaders/solve_update.wgsl`), forward, losses, backward. Nothing is read back but the losses, pictures when they are
//! asked for, and now and then the codes, so that a search survives its device. On the window's own device pictures are
//! left in a sheet ([`Descent::sheet`]), which the window samples, and a step that takes long is sent in slices
//! (`pace`), so that frames find room between them; elsewhere only one that takes so long that a driver might mind.
//!
//! What a step computes is at least as exact as on the processor (`nam/precision_tests.rs` measures both against the graph
//! in f64). Searches of small networks keep within a thousandth of the processor's losses for a hundred steps. With real
//! models they do so for five to ten: then roundings turn signs at the loss's corners (L1, relu), and searches part as far
//! as those of two sets of the processor's kernels, or of codes that differ in f64 by a rounding of f32, do.

mod convolution;
mod descent;
mod device;
mod dispatch;
mod layout;
mod pace;
mod plan;
mod programs;
mod solvers;

#[cfg(test)]
mod tests;

pub use descent::{Decision, Descent, Outcome, State};
pub use device::{Gpu, Style};
pub use plan::Plan;
pub use solvers::Solvers;
