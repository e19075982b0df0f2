//! From two folders of pictures to a model file: what a model is made from ([`Recipe`]), a training that goes through
//! its stages a step at a time and is kept in a folder beside the model ([`Work`]), and what it warns of.

mod folder;
mod judge;
mod networks;
mod recipe;
mod work;

#[cfg(test)]
mod tests;

pub use judge::Warning;
pub use recipe::{Domain, FEWEST, GENERATORS, Prior, Recipe, Thoroughness};
pub use work::{Row, Stage, Stepped, Work};
