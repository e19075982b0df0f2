//! Sheets of small pictures, to be looked at while something is trained.

use crate::export::scaled;
use crate::{Picture, Result};
use std::path::Path;

/// White between the cells, in pixels.
const GAP: usize = 2;
/// Pixels a side at most of cells on a sheet of pictures of several sizes.
const LARGEST: usize = 256;

/// Writes pictures as a PNG of `columns` columns. Pictures of one size are written as they are; of several sizes, all are
/// brought to the largest.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, pictures: &[Picture], columns: usize) -> Result<()> {
    let side = |picture: &Picture| picture.width().max(picture.height());
    let Some(largest) = pictures.iter().max_by_key(|picture| side(picture)) else { return Ok(()) };
    let (width, height) = (largest.width(), largest.height());
    if pictures.iter().any(|picture| (picture.width(), picture.height()) != (width, height)) {
        let side = side(largest).min(LARGEST);
        return write(path, &pictures.iter().map(|picture| scaled(picture, side)).collect::<Vec<_>>(), columns);
    }
    let (step_across, step_down) = (width + GAP, height + GAP);
    let rows = pictures.len().div_ceil(columns);
    let mut sheet = Picture::filled(columns * step_across + GAP, rows * step_down + GAP, [255; 4]);
    let stride = 4 * sheet.width();
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = (GAP + i % columns * step_across, GAP + i / columns * step_down);
        for (y, line) in picture.rgba().chunks_exact(4 * width).enumerate() {
            let start = (top + y) * stride + 4 * left;
            sheet.rgba_mut()[start..start + line.len()].copy_from_slice(line);
        }
    }
    crate::export::write_png(path, &sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_several_sizes_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        let (small, large) = (Picture::filled(4, 4, [9, 90, 200, 255]), Picture::filled(12, 12, [200, 90, 9, 255]));
        write(&path, &[small.clone(), small, large.clone(), large], 2).unwrap();
        let sheet = image::open(&path).unwrap().to_rgba8();
        assert_eq!(sheet.dimensions(), (2 * 14 + 2, 2 * 14 + 2));
        let count = |colour: [u8; 4]| sheet.pixels().filter(|pixel| pixel.0 == colour).count();
        assert_eq!((count([9, 90, 200, 255]), count([200, 90, 9, 255])), (2 * 144, 2 * 144));
    }
}
