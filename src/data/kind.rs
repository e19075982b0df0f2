//! Telling a line drawing from a photograph, so that a dropped picture is treated as what it is.

use super::raster::Plane;
use crate::Picture;

/// Longer sides are shrunk to about this before looking.
const LOOK: usize = 160;
/// A pixel whose luma or colours differ from the background's by more belongs to what is shown.
const VISIBLE: f32 = 0.12;
/// Strokes are thinner than twice this share of the shorter side.
const STROKE: f32 = 0.025;
/// A visible pixel whose channels differ by more has a colour; drawings have few such pixels.
const COLOUR: f32 = 0.2;
/// The largest share of coloured pixels in a drawing.
const COLOURED: f32 = 0.25;
/// The share of visible pixels that must lie in strokes.
const DRAWN: f32 = 0.88;

/// Whether a picture is made of strokes on a plain background: nearly everything visible lies close to the background,
/// while the inside of a photographed thing does not. An empty picture counts as a drawing without strokes.
pub fn is_drawing(picture: &Picture) -> bool {
    let (width, height) = (picture.width(), picture.height());
    let factor = (width.max(height) / LOOK).max(1);
    let planes = picture.to_planes(3);
    let area = width * height;
    let shrunk = |c: usize| {
        let values = planes[c * area..(c + 1) * area].iter().map(|v| (v + 1.0) / 2.0).collect();
        Plane { width, height, values }.shrink(factor)
    };
    let [red, green, blue] = [shrunk(0), shrunk(1), shrunk(2)];
    let (width, height) = (red.width, red.height);
    let pixel = |i: usize| [red.values[i], green.values[i], blue.values[i]];
    let background = border_median(width, height, pixel);
    let visible: Vec<bool> =
        (0..width * height).map(|i| pixel(i).iter().zip(&background).any(|(v, b)| (v - b).abs() > VISIBLE)).collect();
    let count = visible.iter().filter(|v| **v).count();
    if count == 0 {
        return true;
    }
    let reach = (STROKE * width.min(height) as f32).round().max(1.0) as usize;
    let distances = distances(width, height, &visible);
    let thin = distances.iter().zip(&visible).filter(|(d, v)| **v && **d <= reach).count();
    let coloured = (0..width * height).filter(|&i| {
        let [r, g, b] = pixel(i);
        visible[i] && r.max(g).max(b) - r.min(g).min(b) > COLOUR
    });
    thin as f32 > DRAWN * count as f32 && (coloured.count() as f32) < COLOURED * count as f32
}

/// The median colour of the outermost pixels.
fn border_median(width: usize, height: usize, pixel: impl Fn(usize) -> [f32; 3]) -> [f32; 3] {
    let border: Vec<[f32; 3]> = (0..width * height)
        .filter(|i| {
            let (x, y) = (i % width, i / width);
            x == 0 || y == 0 || x + 1 == width || y + 1 == height
        })
        .map(pixel)
        .collect();
    std::array::from_fn(|c| {
        let mut values: Vec<f32> = border.iter().map(|pixel| pixel[c]).collect();
        values.sort_by(f32::total_cmp);
        values[values.len() / 2]
    })
}

/// Steps (also diagonal) from every pixel to the nearest background pixel, in two passes.
fn distances(width: usize, height: usize, visible: &[bool]) -> Vec<usize> {
    let far = width + height;
    let mut found: Vec<usize> = visible.iter().map(|v| if *v { far } else { 0 }).collect();
    let mut pass = |order: &mut dyn Iterator<Item = usize>, side: isize| {
        for i in order {
            let (x, y) = ((i % width) as isize, (i / width) as isize);
            for (dx, dy) in [(side, 0), (-1, side), (0, side), (1, side)] {
                let (nx, ny) = (x + dx, y + dy);
                if (0..width as isize).contains(&nx) && (0..height as isize).contains(&ny) {
                    found[i] = found[i].min(found[ny as usize * width + nx as usize] + 1);
                }
            }
        }
    };
    pass(&mut (0..width * height), -1);
    pass(&mut (0..width * height).rev(), 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LineSettings, line_drawing};

    fn disc(size: usize, colour: [u8; 4]) -> Picture {
        let mut picture = Picture::filled(size, size, [255; 4]);
        let radius = size as f32 / 3.0;
        for (i, pixel) in picture.rgba_mut().chunks_exact_mut(4).enumerate() {
            let (x, y) = ((i % size) as f32 - size as f32 / 2.0, (i / size) as f32 - size as f32 / 2.0);
            if x.hypot(y) < radius {
                pixel.copy_from_slice(&colour);
            }
        }
        picture
    }

    #[test]
    fn a_filled_thing_is_no_drawing_and_its_outline_is_one() {
        for colour in [[0, 0, 0, 255], [200, 40, 40, 255], [215, 215, 215, 255]] {
            for size in [64, 200, 640] {
                let thing = disc(size, colour);
                assert!(!is_drawing(&thing), "{colour:?} at {size}");
                assert!(is_drawing(&line_drawing(&thing, 64, &LineSettings::default())));
            }
        }
    }

    #[test]
    fn white_on_black_and_nothing_are_drawings() {
        let mut picture = Picture::filled(100, 80, [0, 0, 0, 255]);
        picture.rgba_mut()[4 * 100 * 40..4 * 100 * 42].fill(255);
        assert!(is_drawing(&picture));
        assert!(is_drawing(&Picture::filled(3, 3, [255; 4])));
    }

    #[test]
    fn shared_photographs_are_told_from_their_drawings() {
        let shared = std::env::var("COUNTERPART_SHARED").unwrap_or_else(|_| "../shared".into());
        let Ok(set) = crate::data::ImageSet::open(std::path::Path::new(&shared).join("data/products/shoes")) else {
            return eprintln!("skipped: the shared photographs of shoes are not there");
        };
        let (mut wrong_photographs, mut wrong_drawings) = (0, 0);
        for i in (0..set.len()).step_by(set.len() / 200) {
            let photograph = set.picture(i).unwrap();
            let drawing = line_drawing(&photograph, 128, &LineSettings::default());
            wrong_photographs += usize::from(is_drawing(&photograph));
            wrong_drawings += usize::from(!is_drawing(&drawing));
        }
        assert!(wrong_photographs <= 10 && wrong_drawings <= 4, "{wrong_photographs} and {wrong_drawings} of 200");
    }
}
