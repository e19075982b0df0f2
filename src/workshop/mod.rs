//! From two folders of pictures to a model file: the settings of all stages, a training that goes through them a step
//! at a time and is kept in a folder beside the model, and what it warns of.

mod recipe;

pub use recipe::{Domain, Prior, Recipe, Thoroughness};
