//! Counterpart finds, for an image from one visual domain, its counterparts in another.
//!
//! The method is non-adversarial mapping. A generator G of the domain X is trained first, on pictures of X alone, and
//! frozen. Then a mapping T from X to Y and a latent code z for every picture y of Y are fitted together, so that
//! T(G(z)) is like y; no pairs are used. With T frozen, the counterparts of a new y are the pictures G(z) whose z make
//! T(G(z)) like y: found by descending from many random starts, or drawn from the posterior of an encoder E that was
//! trained for it.
//!
//! Papers that the docs cite by these keys:
//! * \[NAM\] Y. Hoshen, L. Wolf: NAM: Non-Adversarial Unsupervised Domain Mapping. ECCV 2018.
//! * \[VAE-NAM\] Y. Hoshen: Non-Adversarial Mapping with VAEs. NeurIPS 2018.
//! * \[GLO\] P. Bojanowski et al.: Optimizing the Latent Space of Generative Networks. ICML 2018.
//!
//! Imports run one way: [`app`] (the window) and [`cli`] use [`engine`] and [`workshop`] (whole trainings), which use
//! [`nam`] (the method), [`prior`] (generators), [`evaluate`] (measures) and [`mod@export`] (pictures of results). Below lie
//! [`plan`] (networks as fixed graphs, on the CPU and on wgpu), [`model_file`], [`nets`] (the networks) and [`data`]
//! (pictures as networks see them); at the bottom [`ops`] (operations on tensors, and their kernels), [`gpu`],
//! [`picture`], [`files`] and [`error`].

pub mod app;
pub mod cli;
pub mod data;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod gpu;
pub mod model_file;
pub mod nam;
pub mod nets;
pub mod ops;
pub mod picture;
pub mod plan;
pub mod prior;
pub mod workshop;

pub use error::{Because, Error, Result};
pub use picture::Picture;
