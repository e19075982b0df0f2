//! The program: the window, or a subcommand.

use counterpart::app::{self, WindowOptions};
use std::process::ExitCode;

#[allow(unsafe_code)]
fn main() -> ExitCode {
    // SAFETY: no other thread has been started yet.
    unsafe { counterpart::ops::process::prepare() };
    counterpart::cli::main(|options: WindowOptions| app::run(&options))
}
