//! A grid of pictures with a title, labels for its rows and columns, and a caption under each cell.

use super::text::Text;
use crate::Picture;
use crate::data::{Fit, fit};

/// A place in a [`Grid`].
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What is shown; nothing when there is none.
    pub picture: Option<Picture>,
    /// The line below it, such as the loss.
    pub caption: String,
}

impl Cell {
    /// A picture with a caption.
    pub fn new(picture: Picture, caption: impl Into<String>) -> Self {
        Self { picture: Some(picture), caption: caption.into() }
    }
}

/// Pictures in rows, with what is written around them. Labels and captions may be empty or missing.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The line at the top.
    pub title: String,
    /// The labels above the columns.
    pub columns: Vec<String>,
    /// The labels to the left of the rows.
    pub rows: Vec<String>,
    /// The cells, row by row; a row may be shorter than others.
    pub cells: Vec<Vec<Cell>>,
    /// The side at which each picture is drawn, in pixels.
    pub side: usize,
}

impl Default for Grid {
    fn default() -> Self {
        Self { title: String::new(), columns: Vec::new(), rows: Vec::new(), cells: Vec::new(), side: 128 }
    }
}

const PAPER: [u8; 4] = [255, 255, 255, 255];
const FRAME: [u8; 4] = [206, 208, 212, 255];
const TEXT: [u8; 3] = [24, 26, 30];
const QUIET_TEXT: [u8; 3] = [82, 86, 94];
const MARGIN: usize = 16;
const GAP: usize = 8;
/// The widest that a row's label may be, in pixels.
const WIDEST_LABEL: f32 = 220.0;

/// Draws a grid: black on white, so that it prints.
pub fn grid(grid: &Grid) -> Picture {
    let (title, label, caption) = (Text::new(24.0), Text::new(17.0), Text::new(15.0));
    let side = grid.side.max(8);
    let columns = grid.cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let widest = grid.rows.iter().map(|row| label.width(row)).fold(0.0, f32::max).min(WIDEST_LABEL);
    let left = MARGIN + if widest > 0.0 { widest.ceil() as usize + GAP } else { 0 };
    let title_height = if grid.title.is_empty() { 0 } else { title.line() + GAP };
    let has_columns = grid.columns.iter().any(|column| !column.is_empty());
    let top = MARGIN + title_height + if has_columns { label.line() } else { 0 };
    let has_captions = grid.cells.iter().flatten().any(|cell| !cell.caption.is_empty());
    let step_down = side + 2 + GAP + if has_captions { caption.line() } else { 0 };
    let step_across = side + 2 + GAP;
    let mut width = left + columns * step_across - GAP + MARGIN;
    if !grid.title.is_empty() {
        // A narrow grid grows for its title, within reason.
        width = width.max((title.width(&grid.title).ceil() as usize + 2 * MARGIN).min(640));
    }
    let height = top + grid.cells.len().max(1) * step_down - GAP + MARGIN;
    let mut sheet = Picture::filled(width, height, PAPER);
    let heading = title.cut(&grid.title, (width - 2 * MARGIN) as f32);
    title.draw(&mut sheet, MARGIN as f32, MARGIN as f32 - 4.0, &heading, TEXT);
    for (column, text) in grid.columns.iter().take(columns).enumerate() {
        let x = left + column * step_across;
        centred(&mut sheet, &label, x, MARGIN + title_height - 2, side + 2, text, TEXT);
    }
    for (row, text) in grid.rows.iter().take(grid.cells.len()).enumerate() {
        let y = top + row * step_down + (side + 2 - label.line()) / 2;
        label.draw(&mut sheet, MARGIN as f32, y as f32, &label.cut(text, WIDEST_LABEL), TEXT);
    }
    for (row, cells) in grid.cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (x, y) = (left + column * step_across, top + row * step_down);
            if let Some(picture) = &cell.picture {
                paste(&mut sheet, &Picture::filled(side + 2, side + 2, FRAME), x, y);
                paste(&mut sheet, &scaled(picture, side), x + 1, y + 1);
            }
            centred(&mut sheet, &caption, x, y + side + 3, side + 2, &cell.caption, QUIET_TEXT);
        }
    }
    sheet
}

/// A picture at `side` pixels, contained in the square; its own pixels are copied where they fit a whole number of times,
/// so that small pictures stay exact.
pub fn scaled(picture: &Picture, side: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    if width != height || !side.is_multiple_of(width) {
        return fit(picture, side, Fit::Contain);
    }
    let own = fit(picture, width, Fit::Contain);
    let factor = side / width;
    let mut rgba = Vec::with_capacity(4 * side * side);
    for y in 0..side {
        for x in 0..side {
            let start = 4 * (y / factor * width + x / factor);
            rgba.extend_from_slice(&own.rgba()[start..start + 4]);
        }
    }
    Picture::new(side, side, rgba).expect("every pixel was written")
}

/// Copies a picture into a larger one.
fn paste(sheet: &mut Picture, picture: &Picture, x: usize, y: usize) {
    let width = sheet.width();
    for (row, pixels) in picture.rgba().chunks_exact(4 * picture.width()).enumerate() {
        let start = 4 * ((y + row) * width + x);
        sheet.rgba_mut()[start..start + pixels.len()].copy_from_slice(pixels);
    }
}

fn centred(sheet: &mut Picture, font: &Text, x: usize, y: usize, width: usize, text: &str, colour: [u8; 3]) {
    let text = font.cut(text, width as f32);
    let indent = (width as f32 - font.width(&text)) / 2.0;
    font.draw(sheet, x as f32 + indent, y as f32, &text, colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(picture: &Picture, x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> usize {
        let dark = |x, y| picture.pixel(x, y).is_some_and(|[r, g, b, _]| r < 128 && g < 128 && b < 128);
        y.flat_map(|y| x.clone().map(move |x| (x, y))).filter(|(x, y)| dark(*x, *y)).count()
    }

    #[test]
    fn cells_stay_exact_and_words_are_written_where_they_belong() {
        let mut small = Picture::filled(4, 4, [250, 10, 20, 255]);
        small.rgba_mut()[..4].copy_from_slice(&[10, 20, 250, 255]);
        let cells = vec![vec![Cell::new(small.clone(), "0.123"), Cell::default()], vec![Cell::new(small, "")]];
        let picture = grid(&Grid {
            title: "Counterparts of a drawing".into(),
            columns: vec!["y".into(), "a label far too long to fit above one column".into()],
            rows: vec!["first".into()],
            cells,
            side: 64,
        });
        let find = |colour: [u8; 3]| {
            let area = picture.width() * picture.height();
            (0..area).filter(|i| picture.rgba()[4 * i..4 * i + 3] == colour).collect::<Vec<_>>()
        };
        assert_eq!(find([250, 10, 20]).len(), 2 * 15 * 16 * 16);
        let corner = find([10, 20, 250])[0];
        let (x, y) = (corner % picture.width(), corner / picture.width());
        assert!(ink(&picture, 0..picture.width(), 0..38) > 100, "the title");
        assert!(ink(&picture, 0..x, y..y + 64) > 20, "the row's label");
        assert!(ink(&picture, x..x + 64, y + 65..y + 82) > 10, "the caption");
        assert!(ink(&picture, x..x + 64, y - 20..y - 1) > 3, "the column's label");
        assert_eq!(ink(&picture, picture.width() - 10..picture.width(), 0..picture.height()), 0, "the margin is free");
    }

    #[test]
    fn nothing_to_show_is_no_panic() {
        assert!(grid(&Grid::default()).width() > 0);
        let odd =
            Grid {
                title: "𝕏 \u{7} 鞋 …".repeat(40), cells: vec![vec![], vec![Cell::default()]], ..Grid::default()
            };
        assert!(grid(&odd).width() <= 640);
    }

    #[test]
    fn a_text_is_cut_to_its_width() {
        let font = Text::new(15.0);
        assert_eq!(font.cut("loss", 100.0), "loss");
        let cut = font.cut("a much longer caption", 60.0);
        assert!(cut.ends_with('…') && font.width(&cut) <= 60.0, "{cut}");
        assert_eq!(font.cut("anything", 1.0), "");
    }
}
