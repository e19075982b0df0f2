//! Frozen networks as one fixed graph, planned once and run many times: what solving for z and sampling run on.
//!
//! [`graph`] says what is computed and knows no processor; [`build`] makes it of networks; [`run`] runs it, forward and
//! backward, on the kernels of [`cpu`] over the layout of [`layout`], in memory shared as [`memory`] plans it. What a
//! graph cannot say (another device, some perceptual networks) stays with the operations of
//! [`crate::ops`], with the same results. [`service`] keeps the plans of the models in use.
//! Networks that learn are planned by [`train`]; [`wgpu`] runs the same graphs on graphics processors.

pub mod build;
pub mod cpu;
pub mod graph;
pub mod layout;
pub mod memory;
pub mod run;
mod sequence;
pub mod service;
pub mod train;
pub mod wgpu;

#[cfg(test)]
pub(crate) mod exact;
#[cfg(test)]
pub(crate) mod tests;

pub use run::{Plan, Targets, Workspace};
pub use service::{Found, Solving, encode, generate, map};
