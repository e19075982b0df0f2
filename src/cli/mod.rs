//! The command line: one subcommand a file, everything that the window can do.

mod bench;
mod evaluate;
mod inputs;
mod inspect;
mod interrupt;
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
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Finds, for an image from one visual domain, its counterparts in another
#[derive(Parser, Debug)]
#[command(name = "counterpart", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a subcommand the window opens.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    window: Window,
}

/// What the window opens with.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Window {
    /// The image to find counterparts for
    pub image: Option<PathBuf>,
    /// A model file, or the name of a model that comes with the program
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
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

/// Runs what the arguments of the process ask for; `open_window` is called when they name no subcommand.
pub fn main(open_window: impl FnOnce(Window) -> Result<()>) -> ExitCode {
    let arguments = Arguments::parse();
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
            Self::Models(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Bench(command) => command.run(),
        }
    }
}
