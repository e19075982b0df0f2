//! Generators that someone else trained: their tensors, and a description of their layers, become a generator of this
//! program.
//!
//! Everything that only training needs is resolved here: equalised learning rates are multiplied into the weights,
//! other epsilons into the variances, the range of the values drawn and a last sigmoid into the last layers.

mod description;
mod known;
mod open;
mod resolve;
mod style;

pub use description::{Codes, Description, Item};
pub use known::{draft, recognise};
pub use open::{Imported, import, open};
pub use resolve::resolve;
use style::style;

#[cfg(test)]
mod tests;
