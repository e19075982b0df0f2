//! The window: state, commands, panels, theme. It shows what the engine computes and never waits for it.

mod available;
mod background;
pub mod command;
pub mod desktop;
pub mod new_model;
mod panels;
mod report;
pub mod search_view;
mod start;
pub mod state;
pub mod theme;
mod trial;
mod wall_export;
mod widgets;
mod window;

pub use report::Report;
pub use start::{WindowOptions, measure, run};
pub use trial::{Figures, Refining, Rest, Trial};
pub use window::{Parts, Window};
