//! Sheets of small pictures, to be looked at while something is trained.

use crate::{Picture, Result};
use std::path::Path;

/// White between the cells, in pixels.
const GAP: usize = 2;

/// Writes pictures of one size as a PNG of `columns` columns.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, pictures: &[Picture], columns: usize) -> Result<()> {
    let Some(first) = pictures.first() else { return Ok(()) };
    let (width, height) = (first.width() + GAP, first.height() + GAP);
    let rows = pictures.len().div_ceil(columns);
    let mut sheet = Picture::filled(columns * width + GAP, rows * height + GAP, [255; 4]);
    let stride = 4 * sheet.width();
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = (GAP + i % columns * width, GAP + i / columns * height);
        for (y, line) in picture.rgba().chunks_exact(4 * picture.width()).enumerate() {
            let start = (top + y) * stride + 4 * left;
            sheet.rgba_mut()[start..start + line.len()].copy_from_slice(line);
        }
    }
    crate::export::write_png(path, &sheet)
}
