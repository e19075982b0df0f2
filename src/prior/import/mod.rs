//! Generators that someone else trained: their tensors, and a description of their layers, become a generator of this
//! program.
//!
//! Everything that only training needs is resolved here: equalised learning rates are multiplied into the weights,
//! other epsilons into the variances, the range of the values drawn and a last sigmoid into the last layers.

mod description;
mod known;
mod resolve;

pub use description::{Codes, Description, Item};
pub use known::{draft, recognise};
pub use resolve::resolve;

#[cfg(test)]
mod tests;
