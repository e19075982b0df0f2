//! The one error type: a sentence for the person, with its causes folded below.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong and what to do about it, in one sentence a person understands.
///
/// `Display` writes the sentence alone; [`Error::causes`] and [`StdError::source`] give what lies below it.
pub struct Error {
    sentence: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that is explained by its sentence alone.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), cause: None }
    }

    /// An error whose sentence says what it means here, with the error that led to it kept below.
    pub fn because(sentence: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { sentence: sentence.into(), cause: Some(cause.into()) }
    }

    /// The sentences of all causes, the nearest first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        self.causes().iter().try_for_each(|cause| write!(f, "\n  because: {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// A tensor operation failed: always a mistake of the program or a device that gave up, never of the person.
impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Self {
        Self::because("A computation failed inside the program; please report this with the lines below.", cause)
    }
}

/// Lets a sentence be put on any failure: `read(path).because(|| format!("Cannot read {path}."))?`.
pub trait Because<T> {
    /// Replaces the error by one with the given sentence, and keeps it as the cause.
    fn because<S: Into<String>>(self, sentence: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Because<T> for std::result::Result<T, E> {
    fn because<S: Into<String>>(self, sentence: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Error::because(sentence(), cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_kept_in_order() {
        let inner: std::result::Result<(), _> = Err(std::io::Error::other("disk on fire"));
        let error = inner.because(|| "Cannot save.").because(|| "Nothing was exported.").unwrap_err();
        assert_eq!(error.to_string(), "Nothing was exported.");
        assert_eq!(error.causes(), ["Cannot save.", "disk on fire"]);
    }
}
