//! The program: the window, or a subcommand.

use clap::Parser;
use std::process::ExitCode;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    window: counterpart::app::WindowOptions,
}

fn main() -> ExitCode {
    match counterpart::app::run(&Arguments::parse().window) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
