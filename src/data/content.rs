//! Where in a picture the thing is: the background, the content's bounds, and the way it faces.

use serde::{Deserialize, Serialize};

use super::raster::{Plane, Region, resample};
use crate::Picture;

/// The longest side at which a picture is looked at, in pixels.
const LOOK: usize = 160;
/// How far from the background a pixel's colour must be to belong to the content, of 1: above the noise that JPEG
/// leaves around an object on white, below the edge of a white object.
const DISTANCE: f32 = 0.055;
/// The share of the border that must have the background's colour for there to be a background.
const BORDER_SHARE: f32 = 0.75;

/// Which way a thing is turned before the networks see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Facing {
    /// As it is.
    #[default]
    AsIs,
    /// The low end (a shoe's toe) to the left, the high end (its heel and collar) to the right.
    Left,
    /// The low end to the right.
    Right,
}

/// What was found by looking at a picture.
pub(crate) struct Content {
    /// The colour of the border, 0 to 1; `None` when the border has no one colour, so that everything is content.
    pub background: Option<[f32; 3]>,
    /// Where the content is, in the picture's pixels.
    pub bounds: Region,
    /// 1 where the content is, `[height, width]`, at reduced size, inside the bounds only.
    mask: Plane,
}

impl Content {
    /// Looks at a picture: the background is the median colour of its border, the content what differs from it.
    pub fn of(picture: &Picture) -> Self {
        let whole = Region::whole(picture);
        let scale = (LOOK as f32 / whole.width.max(whole.height)).min(1.0);
        let (width, height) = ((whole.width * scale).round() as usize, (whole.height * scale).round() as usize);
        let raster = resample(picture, whole, width.max(1), height.max(1));
        let (width, height) = (raster.width(), raster.height());
        let colours: Vec<[f32; 3]> = raster.colours().collect();
        let is_border = |i: usize| {
            let (x, y) = (i % width, i / width);
            x == 0 || y == 0 || x + 1 == width || y + 1 == height
        };
        let border: Vec<[f32; 3]> = (0..colours.len()).filter(|&i| is_border(i)).map(|i| colours[i]).collect();
        let background = [0, 1, 2].map(|c| {
            let mut values: Vec<f32> = border.iter().map(|colour| colour[c]).collect();
            values.sort_by(f32::total_cmp);
            values[values.len() / 2]
        });
        let distance = |colour: &[f32; 3]| (0..3).map(|c| (colour[c] - background[c]).abs()).fold(0.0, f32::max);
        let same = border.iter().filter(|colour| distance(colour) < 2.0 * DISTANCE).count();
        let mut mask = Plane::filled(width, height, 1.0);
        if (same as f32) < BORDER_SHARE * border.len() as f32 {
            return Self { background: None, bounds: whole, mask };
        }
        mask.values = colours.iter().map(|colour| if distance(colour) > DISTANCE { 1.0 } else { 0.0 }).collect();
        drop_specks(&mut mask);
        let Some([left, top, right, bottom]) = extent(&mask) else {
            return Self { background: Some(background), bounds: whole, mask: Plane::filled(1, 1, 0.0) };
        };
        let (across, down) = (whole.width / width as f32, whole.height / height as f32);
        let bounds = Region {
            x: left as f32 * across,
            y: top as f32 * down,
            width: (right - left) as f32 * across,
            height: (bottom - top) as f32 * down,
        };
        let rows = mask.values.chunks_exact(width).skip(top).take(bottom - top);
        let values = rows.flat_map(|row| row[left..right].iter().copied()).collect();
        Self { background: Some(background), bounds, mask: Plane { width: right - left, height: bottom - top, values } }
    }

    /// The square around the content, its larger side being `1 - 2 * margin` of the square's.
    pub fn square(&self, margin: f32) -> Region {
        let side = self.bounds.width.max(self.bounds.height) / (1.0 - 2.0 * margin.clamp(0.0, 0.45));
        self.bounds.square(side)
    }

    /// How much the content looks as if its low end were on the left: positive for a shoe whose toe points left.
    pub fn leftness(&self) -> f32 {
        let profile = self.tops(16);
        let half = profile.len() / 2;
        let end = |from: usize, to: usize| profile[from..to].iter().sum::<f32>() / (to - from) as f32;
        end(half, profile.len()) - end(0, half)
    }

    /// The height of the content's upper outline above the lower bound in `parts` equal columns, of its own height.
    pub fn tops(&self, parts: usize) -> Vec<f32> {
        let Plane { width, height, values } = &self.mask;
        (0..parts)
            .map(|part| {
                let (from, to) = (part * width / parts, ((part + 1) * width).div_ceil(parts).min(*width));
                let tops = (from..to).map(|x| (0..*height).find(|y| values[y * width + x] > 0.5).unwrap_or(*height));
                let count = (to - from).max(1);
                1.0 - tops.sum::<usize>() as f32 / (count * height) as f32
            })
            .collect()
    }

    /// Whether the picture must be mirrored to face as wanted.
    pub fn must_mirror(&self, facing: Facing) -> bool {
        self.background.is_some()
            && match facing {
                Facing::AsIs => false,
                Facing::Left => self.leftness() < 0.0,
                Facing::Right => self.leftness() > 0.0,
            }
    }
}

/// Removes content pixels with fewer than two neighbours: JPEG noise, dust.
fn drop_specks(mask: &mut Plane) {
    let (width, height) = (mask.width, mask.height);
    let old = mask.values.clone();
    for y in 0..height {
        for x in 0..width {
            let mut neighbours = -old[y * width + x];
            for v in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                neighbours +=
                    old[v * width + x.saturating_sub(1)..=v * width + (x + 1).min(width - 1)].iter().sum::<f32>();
            }
            if neighbours < 2.0 {
                mask.values[y * width + x] = 0.0;
            }
        }
    }
}

/// The first and one past the last column and row with content: left, top, right, bottom.
fn extent(mask: &Plane) -> Option<[usize; 4]> {
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for (i, _) in mask.values.iter().enumerate().filter(|(_, v)| **v > 0.5) {
        let (x, y) = (i % mask.width, i / mask.width);
        (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
    }
    (right > 0).then_some([left, top, right, bottom])
}

/// Whether a picture shows something on a white background, as product photographs do.
pub fn is_on_white(picture: &Picture) -> bool {
    Content::of(picture).background.is_some_and(|colour| colour.iter().all(|c| *c > 0.94))
}

/// Cuts out the square around what is shown on a plain background and centres it; beyond the picture's border it is
/// white. `margin` is the share of the square's side that stays free on each side of the larger extent. A picture
/// without a plain background, or without anything on it, is returned as it is.
pub fn crop_to_content(picture: &Picture, margin: f32) -> Picture {
    let content = Content::of(picture);
    if content.background.is_none() {
        return picture.clone();
    }
    let square = content.square(margin);
    let side = (square.width.round() as usize).max(1);
    let square = Region { x: square.x.round(), y: square.y.round(), width: side as f32, height: side as f32 };
    resample(picture, square, side, side).to_picture()
}
