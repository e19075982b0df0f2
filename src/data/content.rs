//! Where in a picture the thing is: the background, the content's bounds, and the way it faces.

use serde::{Deserialize, Serialize};

use super::background::Background;
use super::raster::{Plane, Raster, Region, resample};
use crate::Picture;

/// The longest side at which a picture is looked at, in pixels.
const LOOK: usize = 256;
/// How far from the background a pixel's colour must at least be to belong to the content, of 1: below the edge of a
/// white thing on white.
const DISTANCE: f32 = 0.04;
/// The same on a ground that is not even, which is never known exactly.
const DISTANCE_UNEVEN: f32 = 0.09;
/// How far it must be as a share of the largest distance nearby: JPEG leaves more noise around darker things.
const CONTRAST_SHARE: f32 = 0.13;
/// How far nearby reaches, in pixels of the file: half a JPEG block.
const NEARBY: usize = 5;
/// The smallest piece that belongs to the content, as a share of the largest.
const SMALLEST_PIECE: f32 = 0.02;

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
    /// `None` when there is no plain ground or nothing on it, so that everything is content.
    pub background: Option<Background>,
    /// Where the content is, in the picture's pixels.
    pub bounds: Region,
    /// The bounds in the mask: left, top, right and bottom, the latter two past the end.
    inside: [usize; 4],
    /// The content is where this is 1 and more, `[height, width]`, the whole picture at reduced size.
    level: Plane,
}

impl Content {
    /// Looks at a picture: the content is what differs from the background.
    pub fn of(picture: &Picture) -> Self {
        let whole = Region::whole(picture);
        let scale = (LOOK as f32 / whole.width.max(whole.height)).min(1.0);
        let (width, height) = ((whole.width * scale).round() as usize, (whole.height * scale).round() as usize);
        let raster = resample(picture, whole, width.max(1), height.max(1));
        let (width, height) = (raster.width(), raster.height());
        let colours: Vec<[f32; 3]> = raster.colours().collect();
        let everything = || Self {
            background: None,
            bounds: whole,
            inside: [0, 0, width, height],
            level: Plane::filled(width, height, 2.0),
        };
        let Some(background) = Background::fit(&colours, width, height) else { return everything() };
        let distance = |(i, colour): (usize, &[f32; 3])| {
            let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            background.distance(x / width as f32, y / height as f32, colour)
        };
        let distances = Plane { width, height, values: colours.iter().enumerate().map(distance).collect() };
        let mut level = distances.clone();
        let nearby = distances.dilate((NEARBY as f32 * scale).round() as usize);
        let least = if background.is_even() { DISTANCE } else { DISTANCE_UNEVEN };
        for (value, nearby) in level.values.iter_mut().zip(&nearby.values) {
            *value = (*value / least.max(CONTRAST_SHARE * nearby)).min(2.0);
        }
        drop_small_pieces(&mut level);
        if background.is_light() {
            drop_reflection(&mut level, &distances);
            drop_small_pieces(&mut level);
        }
        let Some(inside @ [left, top, right, bottom]) = extent(&level) else { return everything() };
        let (across, down) = (whole.width / width as f32, whole.height / height as f32);
        let bounds = Region {
            x: left as f32 * across,
            y: top as f32 * down,
            width: (right - left) as f32 * across,
            height: (bottom - top) as f32 * down,
        };
        Self { background: Some(background), bounds, inside, level }
    }

    /// The square around the content, its larger side being `1 - 2 * margin` of the square's.
    pub fn square(&self, margin: f32) -> Region {
        let side = self.bounds.width.max(self.bounds.height) / (1.0 - 2.0 * margin.clamp(0.0, 0.45));
        self.bounds.square(side)
    }

    /// Makes a light background white in a raster drawn from `region` of the picture: with `cut_out` by wiping out all
    /// that does not belong to the content (reflections, marks, the noise around it), otherwise by evening out the light
    /// as on paper.
    pub fn lift(&self, raster: &mut Raster, region: Region, picture: &Picture, cut_out: bool) {
        let Some(background) = self.background.as_ref().filter(|background| background.is_light()) else { return };
        let (width, height) = (raster.width(), raster.height());
        let (across, down) = (picture.width() as f32, picture.height() as f32);
        for y in 0..height {
            let v = (region.y + (y as f32 + 0.5) * region.height / height as f32) / down;
            for x in 0..width {
                let u = (region.x + (x as f32 + 0.5) * region.width / width as f32) / across;
                let i = y * width + x;
                let kept = match cut_out {
                    true if self.is_near(u, v) => ((self.level.sample(u, v) - 0.3) / 0.4).clamp(0.0, 1.0),
                    true => 0.0,
                    false => f32::from((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v)),
                };
                if kept <= 0.0 {
                    raster.planes.iter_mut().for_each(|plane| plane.values[i] = 1.0);
                    continue;
                }
                // What belongs to the content keeps its colours: a white thing on grey is lighter than the ground.
                let ground = if cut_out { [1.0; 3] } else { background.at(u, v) };
                for (plane, ground) in raster.planes.iter_mut().zip(ground) {
                    let lifted = (plane.values[i] / ground.max(0.2)).min(1.0);
                    plane.values[i] = lifted * kept + 1.0 - kept;
                }
            }
        }
    }

    /// Where the content is in a region of the picture: 1 inside its outer outline, 0 outside, `[height, width]`; `None`
    /// without a background.
    pub fn silhouette(&self, region: Region, picture: &Picture, width: usize, height: usize) -> Option<Plane> {
        self.background.as_ref()?;
        let (across, down) = (picture.width() as f32, picture.height() as f32);
        let mut hollow = vec![false; width * height];
        for (y, row) in hollow.chunks_exact_mut(width).enumerate() {
            let v = (region.y + (y as f32 + 0.5) * region.height / height as f32) / down;
            for (x, hollow) in row.iter_mut().enumerate() {
                let u = (region.x + (x as f32 + 0.5) * region.width / width as f32) / across;
                *hollow = !self.is_near(u, v) || self.level.sample(u, v) < 1.0;
            }
        }
        let outside = reached_from_border(&hollow, width);
        let values = outside.iter().map(|outside| f32::from(!outside)).collect();
        Some(Plane { width, height, values })
    }

    /// Whether a place, in shares of the picture's sides, is in the picture and so close to the content's bounds that its
    /// level may be above zero.
    fn is_near(&self, u: f32, v: f32) -> bool {
        let [left, top, right, bottom] = self.inside.map(|n| n as f32);
        let (x, y) = (u * self.level.width as f32, v * self.level.height as f32);
        (0.0..1.0).contains(&u)
            && (0.0..1.0).contains(&v)
            && (left - 2.0..right + 2.0).contains(&x)
            && (top - 2.0..bottom + 2.0).contains(&y)
    }

    /// How much the content looks as if its low end were on the left: positive for a shoe whose toe points left. It is
    /// the mean height of the upper outline over the right half less that over the left, of the content's height.
    pub fn leftness(&self) -> f32 {
        let [left, top, right, bottom] = self.inside;
        let columns = right - left;
        let height = |x: usize| {
            let first = (top..bottom).find(|y| self.level.values[y * self.level.width + x] >= 1.0).unwrap_or(bottom);
            (bottom - first) as f32 / (bottom - top) as f32
        };
        let half = columns / 2;
        let mean = |from: usize| (from..from + half).map(|x| height(left + x)).sum::<f32>() / half.max(1) as f32;
        mean(columns - half) - mean(0)
    }

    /// How much of the content is left, of 1, when a rim of `share` of its larger side is taken off: nothing of strokes,
    /// most of a solid thing.
    pub fn solidity(&self, share: f32) -> f32 {
        let [left, top, right, bottom] = self.inside;
        let rim = (share * (right - left).max(bottom - top) as f32).round().max(1.0) as usize;
        let mut hollow = self.level.clone();
        hollow.values.iter_mut().for_each(|v| *v = f32::from(*v < 1.0));
        let count = |plane: &Plane| plane.values.iter().filter(|v| **v < 0.5).count() as f32;
        count(&hollow.dilate(rim)) / count(&hollow).max(1.0)
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

/// The hollow places that are connected with the border through hollow places, diagonally too.
fn reached_from_border(hollow: &[bool], width: usize) -> Vec<bool> {
    let height = hollow.len() / width;
    let mut reached: Vec<bool> = (0..hollow.len())
        .map(|i| {
            let (x, y) = (i % width, i / width);
            hollow[i] && (x == 0 || y == 0 || x + 1 == width || y + 1 == height)
        })
        .collect();
    if width < 3 {
        return reached;
    }
    // Sweeps down and up until nothing changes, which is after two or three for most shapes.
    loop {
        let mut changed = false;
        let mut visit = |i: usize, beside: usize, row: usize| {
            if hollow[i] && !reached[i] && (reached[beside] || reached[row - 1..=row + 1].contains(&true)) {
                reached[i] = true;
                changed = true;
            }
        };
        for y in 1..height.saturating_sub(1) {
            (1..width - 1).for_each(|x| visit(y * width + x, y * width + x - 1, (y - 1) * width + x));
        }
        for y in (1..height.saturating_sub(1)).rev() {
            (1..width - 1).rev().for_each(|x| visit(y * width + x, y * width + x + 1, (y + 1) * width + x));
        }
        if !changed {
            return reached;
        }
    }
}

/// Removes all but the pieces of content that are not small against the largest and their soft edges: JPEG noise, dust,
/// marks beside the thing.
fn drop_small_pieces(level: &mut Plane) {
    let pieces = level.pieces(1.0);
    let largest = pieces.iter().map(Vec::len).max().unwrap_or(0);
    let mut kept = Plane::filled(level.width, level.height, 0.0);
    for piece in pieces.iter().filter(|piece| piece.len() as f32 >= SMALLEST_PIECE * largest as f32) {
        piece.iter().for_each(|i| kept.values[*i] = 1.0);
    }
    // The pixels around a piece are its soft edge.
    level.values.iter_mut().zip(&kept.dilate(1).values).zip(&kept.values).for_each(|((level, near), kept)| {
        *level = if *kept > 0.5 { *level } else { level.min(0.99) * near };
    });
}

/// Removes the mirror image in a glossy ground: a faint part below a dark thing, deeper than a pale sole would be.
fn drop_reflection(level: &mut Plane, distances: &Plane) {
    const FAINT: f32 = 0.25;
    const DEEPEST_SOLE: f32 = 0.2;
    let Some([left, top, right, bottom]) = extent(level) else { return };
    let width = level.width;
    let strong = |i: usize| distances.values[i] >= FAINT;
    // For each column, the rows of the faint part below the last strong pixel.
    let tails: Vec<Option<(usize, usize)>> = (left..right)
        .map(|x| {
            let last = (top..bottom).rev().find(|y| level.values[y * width + x] >= 1.0)?;
            let edge = (top..=last).rev().find(|y| strong(y * width + x))?;
            Some((edge + 1, last + 1))
        })
        .collect();
    let below = |x: usize, y: usize| tails[x - left].is_some_and(|(from, to)| (from..to).contains(&y));
    let (mut bold, mut all) = (0, 0);
    for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
        if level.values[y * width + x] >= 1.0 && !below(x, y) {
            all += 1;
            bold += usize::from(strong(y * width + x));
        }
    }
    let depth = tails.iter().flatten().map(|(from, to)| to - from).sum::<usize>() as f32 / (right - left) as f32;
    let lowest = tails.iter().flatten().map(|(from, _)| *from).max().unwrap_or(bottom);
    let height = (lowest.saturating_sub(top)).max(1) as f32;
    if (bold as f32) < 0.7 * all as f32 || depth < DEEPEST_SOLE * height {
        return;
    }
    for (x, (from, to)) in (left..right).zip(&tails).filter_map(|(x, tail)| Some((x, (*tail)?))) {
        // Half a pixel of the dark edge is faint too: leave it one row.
        (from + 1..to).for_each(|y| level.values[y * width + x] = 0.0);
    }
}

/// The first and one past the last column and row with content: left, top, right, bottom.
fn extent(level: &Plane) -> Option<[usize; 4]> {
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for (i, _) in level.values.iter().enumerate().filter(|(_, v)| **v >= 1.0) {
        let (x, y) = (i % level.width, i / level.width);
        (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
    }
    (right > 0).then_some([left, top, right, bottom])
}

/// Whether a picture shows something on a white background, as product photographs do.
pub fn is_on_white(picture: &Picture) -> bool {
    Content::of(picture).background.is_some_and(|background| background.lightness() > 0.94)
}

/// Cuts out the square around what is shown on a plain background and centres it; a light background becomes white,
/// reflections and marks are wiped out. `margin` is the share of the square's side that stays free on each side of the
/// larger extent. A picture without a plain background is returned as it is.
pub fn crop_to_content(picture: &Picture, margin: f32) -> Picture {
    let content = Content::of(picture);
    if content.background.is_none() {
        return picture.clone();
    }
    let square = content.square(margin);
    let side = (square.width.round() as usize).max(1);
    let square = Region { x: square.x.round(), y: square.y.round(), width: side as f32, height: side as f32 };
    let mut raster = resample(picture, square, side, side);
    content.lift(&mut raster, square, picture, true);
    raster.to_picture()
}
