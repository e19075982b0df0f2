//! The options that all trainings share.

use super::drive::Schedule;
use super::files::Files;
use super::images::ImageOptions;
use crate::Result;
use crate::cli::options::{Compute, Json, Seed};
use clap::Args;
use std::path::PathBuf;

/// What every training is told. What `--out` and `--licence` are of, each says with `mut_arg`.
#[derive(Args, Debug)]
pub struct TrainingOptions {
    #[command(flatten)]
    pub images: ImageOptions,
    #[command(flatten)]
    pub result: ResultOptions,
    #[command(flatten)]
    pub schedule: Schedule,
    #[command(flatten)]
    pub seed: Seed,
    #[command(flatten)]
    pub compute: Compute,
    #[command(flatten)]
    pub json: Json,
}

/// What becomes of the result.
#[derive(Args, Debug)]
#[command(next_help_heading = "Result")]
pub struct ResultOptions {
    /// Where the result goes
    #[arg(long, value_name = "OUT.safetensors")]
    pub out: PathBuf,
    /// Goes on with the training that was stopped or broke off, from what stands beside OUT
    #[arg(long)]
    pub resume: bool,
    /// The licence of the result, for the manifest
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub licence: String,
}

/// What a model and its domains are called.
#[derive(Args, Debug)]
#[command(next_help_heading = "Result")]
pub struct Names {
    /// What the model is called
    #[arg(long, value_name = "TEXT", default_value = "Untitled")]
    pub title: String,
    /// What the generator draws
    #[arg(long, value_name = "TEXT", default_value = "X")]
    pub domain_x: String,
    /// What a person gives
    #[arg(long, value_name = "TEXT", default_value = "Y")]
    pub domain_y: String,
}

impl TrainingOptions {
    /// The files of the training.
    ///
    /// # Errors
    /// As [`Files::new`].
    pub fn files(&self) -> Result<Files> {
        Files::new(&self.result.out, self.result.resume)
    }
}
