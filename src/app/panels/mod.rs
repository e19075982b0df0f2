//! The window's panels, a file each.

pub mod belonging;
pub mod curves;
pub mod detail;
pub mod directions;
pub mod input;
pub mod overlays;
pub mod refinement;
pub mod status;
pub mod top_bar;
pub mod wall;
