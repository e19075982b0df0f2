//! The window's panels, a file each.

pub mod belonging;
pub mod curves;
pub mod detail;
pub mod directions;
pub mod input;
pub mod new_model;
pub mod overlays;
pub mod recipe;
pub mod refinement;
pub mod status;
pub mod top_bar;
pub mod training;
pub mod wall;
