//! Counterpart finds, for an image from one visual domain, its counterparts in another.
//!
//! The method is non-adversarial mapping (NAM: Hoshen & Wolf, ECCV 2018; VAE-NAM: Hoshen, NeurIPS 2018).

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
