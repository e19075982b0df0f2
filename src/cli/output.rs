//! What the command line prints: results on standard output, everything else on standard error.

use crate::{Because, Error, Result};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The exit code of a failure; clap uses 2 for arguments that make no sense.
const FAILED: u8 = 1;
/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Prints a line on standard output. A reader that went away (`| head`) ends the program quietly.
///
/// # Errors
/// When standard output cannot take it, a full disk for example.
pub fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.because(|| "Standard output took no more text."),
    }
}

/// Says something on standard error; that nobody listens is no failure.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints the sentence and its causes, and says how the process ends.
pub fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) if super::interrupt::happened() => ExitCode::from(INTERRUPTED),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&explain(&error));
            ExitCode::from(if super::interrupt::happened() { INTERRUPTED } else { FAILED })
        }
    }
}

/// The sentence of an error with its causes below, as it is printed.
pub fn explain(error: &Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.causes() {
        // Causes may have a backtrace or a second line; one line says enough.
        text += &format!("\n  because: {}", cause.lines().next().unwrap_or_default());
    }
    text
}

/// A number of seconds as a person says it.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_a_sentence_with_causes_below() {
        let inner: std::io::Result<()> = Err(std::io::Error::other("first\nsecond"));
        let error = inner.because(|| "Cannot do it.").unwrap_err();
        assert_eq!(explain(&error), "error: Cannot do it.\n  because: first");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(1.25), "1.2 s");
        assert_eq!(duration(61.0), "1 min 01 s");
        assert_eq!(duration(7322.0), "2 h 02 min");
    }
}
