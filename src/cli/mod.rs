//! The command line: one subcommand a file, everything that the window can do.

mod interrupt;
mod loss;
pub mod options;
mod output;
mod progress;
