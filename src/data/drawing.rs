//! Drawings as people make them, brought to the strokes of the drawings that models are trained on.

use super::content::Content;
use super::lines::{LineSettings, stroke};
use super::raster::{Plane, Raster};
use crate::Picture;

/// The half width beyond which ink is a filled area, whose outline is drawn, instead of a stroke, as a share of the
/// side.
const FILLED: f32 = 0.035;
/// The shortest line that is kept, and the longest side branch that thinning leaves and is cut off.
const SHORTEST: f32 = 0.03;
/// Of the darkest ink, what still counts as ink.
const INK_SHARE: f32 = 0.35;

/// Redraws dark lines on a light ground with the stroke of the settings: strokes of any width are thinned (Zhang and
/// Suen 1984) and drawn anew, filled areas become their outlines. The raster is square, at
/// [`OVERSAMPLING`](super::lines::OVERSAMPLING) times the size of the result; 0 is black, 1 white.
pub(crate) fn redraw(raster: &Raster, settings: &LineSettings) -> Plane {
    let (width, height) = (raster.width(), raster.height());
    let side = width as f32;
    let values = raster.colours().map(|colour| 1.0 - colour.into_iter().fold(1.0, f32::min)).collect();
    let mut ink = Plane { width, height, values };
    let mut darkest: Vec<f32> = ink.values.iter().copied().filter(|v| *v > 0.1).collect();
    darkest.sort_by(f32::total_cmp);
    let Some(darkest) = darkest.get(darkest.len() * 9 / 10) else {
        return stroke(&Plane::filled(width, height, 0.0), settings.stroke * side);
    };
    let least = (INK_SHARE * darkest).max(0.1);
    ink.values.iter_mut().for_each(|v| *v = f32::from(*v >= least));
    hollow(&mut ink, (FILLED * side).round() as usize);
    thin(&mut ink);
    let shortest = (SHORTEST * side).round() as usize;
    cut_spurs(&mut ink, shortest);
    for piece in ink.pieces(1.0).iter().filter(|piece| piece.len() < shortest) {
        piece.iter().for_each(|i| ink.values[*i] = 0.0);
    }
    stroke(&ink, settings.stroke * side)
}

/// Empties areas wider than twice `half`, leaving a rim.
fn hollow(ink: &mut Plane, half: usize) {
    const RIM: usize = 3;
    let mut paper = ink.clone();
    paper.values.iter_mut().for_each(|v| *v = 1.0 - *v);
    let mut core = paper.dilate(half);
    core.values.iter_mut().for_each(|v| *v = 1.0 - *v);
    let core = core.dilate(half.saturating_sub(RIM));
    ink.values.iter_mut().zip(&core.values).for_each(|(ink, core)| *ink *= 1.0 - core);
}

/// The eight neighbours of a pixel inside the border, clockwise from above.
fn around(i: usize, width: usize) -> [usize; 8] {
    [i - width, i - width + 1, i + 1, i + width + 1, i + width, i + width - 1, i - 1, i - width - 1]
}

/// Thins ink to lines of one pixel; the border's pixels are cleared.
fn thin(ink: &mut Plane) {
    let (width, height) = (ink.width, ink.height);
    for i in 0..width * height {
        let (x, y) = (i % width, i / width);
        if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
            ink.values[i] = 0.0;
        }
    }
    let mut left: Vec<usize> = (0..width * height).filter(|i| ink.values[*i] > 0.5).collect();
    loop {
        let before = left.len();
        for second in [false, true] {
            let removed: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&i| {
                    let on = around(i, width).map(|j| ink.values[j] > 0.5);
                    let count = on.iter().filter(|on| **on).count();
                    let starts = (0..8).filter(|&k| !on[k] && on[(k + 1) % 8]).count();
                    let [above, _, right, _, below, _, left, _] = on;
                    let free = if second {
                        !(above && left && (right || below))
                    } else {
                        !(right && below && (above || left))
                    };
                    (2..=6).contains(&count) && starts == 1 && free
                })
                .collect();
            removed.iter().for_each(|i| ink.values[*i] = 0.0);
            left.retain(|i| ink.values[*i] > 0.5);
        }
        if left.len() == before {
            return;
        }
    }
}

/// Cuts off branches of at most `longest` pixels that end free and start at a crossing; thinning leaves them at the
/// corners of thick strokes.
fn cut_spurs(ink: &mut Plane, longest: usize) {
    let width = ink.width;
    let ends: Vec<usize> = (0..ink.values.len()).filter(|i| ink.values[*i] > 0.5).collect();
    for end in ends {
        let neighbours = |i: usize, ink: &Plane| -> Vec<usize> {
            around(i, width).into_iter().filter(|j| ink.values[*j] > 0.5).collect()
        };
        if neighbours(end, ink).len() != 1 {
            continue;
        }
        let mut branch = vec![end];
        while branch.len() <= longest {
            let next: Vec<usize> =
                neighbours(branch[branch.len() - 1], ink).into_iter().filter(|j| !branch.contains(j)).collect();
            match next.as_slice() {
                [only] => branch.push(*only),
                [] => break,
                _ => {
                    // The last pixel belongs to the crossing.
                    branch.pop();
                    branch.iter().for_each(|i| ink.values[*i] = 0.0);
                    break;
                }
            }
        }
    }
}

/// Whether a picture is a drawing, lines on a plain ground, rather than a photograph of something solid.
pub fn looks_like_drawing(picture: &Picture) -> bool {
    /// Half the width of the thickest strokes, as a share of the drawing's larger side.
    const THICKEST: f32 = 0.03;
    let content = Content::of(picture);
    content.background.is_some() && content.solidity(THICKEST) < 0.1
}
