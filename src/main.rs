//! The program: the window, or a subcommand.

use std::process::ExitCode;

/// Nothing: the window takes no arguments yet.
#[derive(clap::Args, Debug)]
struct NoWindow {}

fn main() -> ExitCode {
    counterpart::cli::main(|_: NoWindow| {
        Err(counterpart::Error::new("The window is not part of this build; see --help."))
    })
}
