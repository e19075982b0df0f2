//! The program: the window, or a subcommand.

use counterpart::app::{self, WindowOptions};
use std::process::ExitCode;

fn main() -> ExitCode {
    counterpart::cli::main(|options: WindowOptions| app::run(&options))
}
