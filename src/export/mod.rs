//! What leaves the program as a picture: labelled grids, and PNG files that are whole or not there.

mod grid;
mod png_file;
mod text;

pub use grid::{Cell, Grid, grid, scaled};
pub use png_file::{encode_png, png_texts, write_png, write_png_with};
