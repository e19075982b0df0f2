//! The program: the window, or a subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    counterpart::cli::main(|_window| Err(counterpart::Error::new("The window is not part of this build; see --help.")))
}
