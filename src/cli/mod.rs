//! The command line: one subcommand a file; all that the window can do but its sliders.

mod bench;
mod bench_scaling;
mod bench_ui;
mod data;
mod evaluate;
mod find;
mod import;
mod inputs;
mod inspect;
mod interrupt;
mod labelled;
mod loss;
mod model;
mod models;
pub mod options;
mod output;
mod progress;
mod run;
mod sample;
mod sheet;
mod solutions;
mod solve;
mod train;

use crate::Result;
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// Finds, for an image from one visual domain, its counterparts in another
#[derive(Parser, Debug)]
#[command(name = "counterpart", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a subcommand the window opens.")]
struct Arguments<W: Args> {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    window: W,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Finds the counterparts of images by descending from random starts (NAM)
    Solve(solve::Solve),
    /// Draws the counterparts of images from the encoder's posterior (VAE-NAM)
    Sample(sample::Sample),
    /// Trains a prior, a perceptual student, or a mapping
    #[command(subcommand)]
    Train(train::Train),
    /// Imports a generator that someone else trained
    #[command(subcommand)]
    Import(import::Import),
    /// Draws pictures whose truth is known
    #[command(subcommand)]
    Data(data::Data),
    /// Lists the models that come with the program
    Models(models::Models),
    /// Prints what a model file says of itself
    Inspect(inspect::Inspect),
    /// Measures a model on images that its training never saw
    Evaluate(evaluate::Evaluate),
    /// Runs one network on tensors from a file
    Run(run::Run),
    /// Times one step of what the program does all day
    Bench(bench::Bench),
}

/// Runs what the arguments of the process ask for. Those without a subcommand are the window's, and `open_window` gets
/// them.
pub fn main<W: Args>(open_window: impl FnOnce(W) -> Result<()>) -> ExitCode {
    let arguments = Arguments::<W>::parse();
    output::finish(match arguments.command {
        None => open_window(arguments.window),
        Some(command) => command.run(),
    })
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::Solve(command) => command.run(),
            Self::Sample(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Data(command) => command.run(),
            Self::Models(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Bench(command) => command.run(),
        }
    }
}
