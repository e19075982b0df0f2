//! Line drawings: from photographs by an edge detector, and from drawings of any stroke width.
//!
//! Both end in the same strokes, so a model trained on drawings of photographs understands what a person draws.

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::raster::{Plane, Raster, Region, resample};
use crate::{Error, Picture, Result};

/// Drawings are made at this many times the size that is asked for, then reduced, so that lines are smooth.
pub(crate) const OVERSAMPLING: usize = 4;

/// How line drawings look. Lengths are shares of the picture's side, so that every size gives the same drawing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineSettings {
    /// Standard deviation of the Gaussian before the gradient.
    pub smoothing: f32,
    /// The weakest contrast of an edge that is followed, of 1.
    pub low: f32,
    /// The contrast that an edge must reach somewhere to be drawn, of 1.
    pub high: f32,
    /// The shortest line that is drawn.
    pub shortest: f32,
    /// The most line that is drawn, the most telling first: a person draws the outline and the main inner lines.
    pub most: f32,
    /// Width of the strokes.
    pub stroke: f32,
}

impl Default for LineSettings {
    fn default() -> Self {
        Self { smoothing: 0.011, low: 0.06, high: 0.14, shortest: 0.1, most: 9.0, stroke: 0.021 }
    }
}

impl LineSettings {
    /// Refuses settings that are no shares of a side or of a contrast.
    ///
    /// # Errors
    /// With the first that is wrong.
    pub fn check(&self) -> Result<()> {
        let all = [
            ("smoothing", self.smoothing, 0.0..=0.25),
            ("low", self.low, 0.0..=1.0),
            ("high", self.high, self.low.max(f32::MIN_POSITIVE)..=1.0),
            ("shortest", self.shortest, 0.0..=1e6),
            ("most", self.most, 0.0..=1e6),
            ("stroke", self.stroke, 0.0..=0.25),
        ];
        match all.into_iter().find(|(_, value, range)| !range.contains(value)) {
            None => Ok(()),
            Some((name, value, range)) => Err(Error::new(format!(
                "The setting {name} of line drawings is {value}; it must lie between {} and {}.",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// Draws a photograph: black lines on white, of the picture scaled to `size` x `size`.
///
/// The edge detector is Canny's (Canny 1986) on the colour gradient of Di Zenzo (1986): Gaussian, largest eigenvalue of
/// the structure tensor over red, green and blue, thinning along the gradient, hysteresis. Shadows are lightened first,
/// so that black leather has lines too, and the object's outline against a plain background is an edge of its own.
/// Lines are then ranked by contrast times length and drawn with one stroke width, so that they survive 64 pixels.
pub fn line_drawing(picture: &Picture, size: usize, settings: &LineSettings) -> Picture {
    let side = size.max(1) * OVERSAMPLING;
    let whole = Region::whole(picture);
    let content = Content::of(picture);
    let mut raster = resample(picture, whole, side, side);
    content.lift(&mut raster, whole, picture, true);
    draw_edges(&raster, content.silhouette(whole, picture, side, side).as_ref(), settings).to_picture()
}

/// The line drawing of a square raster at [`OVERSAMPLING`] times the size of the result, and of the thing's silhouette
/// in it where that is known: 0 black, 1 white.
pub(crate) fn draw_edges(raster: &Raster, silhouette: Option<&Plane>, settings: &LineSettings) -> Plane {
    let side = raster.width();
    let strength = thin_edges(raster, silhouette, settings.smoothing * side as f32, settings.low);
    let lines = trace(&strength, settings);
    stroke(&lines, settings.stroke * side as f32)
}

/// Lightens shadows: equal steps look equally strong in dark leather and in white canvas.
fn tone(value: f32) -> f32 {
    const DARK: f32 = 0.12;
    ((value + DARK).sqrt() - DARK.sqrt()) / ((1.0 + DARK).sqrt() - DARK.sqrt())
}

/// Edge contrast (1: a step from black to white) where it is largest across the edge, 0 elsewhere.
fn thin_edges(raster: &Raster, silhouette: Option<&Plane>, sigma: f32, least: f32) -> Plane {
    let (width, height) = (raster.width(), raster.height());
    let mut tensor = [0; 3].map(|_| vec![0.0_f32; width * height]);
    let channels = raster.planes.iter().map(|plane| Plane {
        width,
        height,
        values: plane.values.iter().map(|v| tone(*v)).collect(),
    });
    let outline = silhouette.map(|plane| Plane {
        width,
        height,
        values: plane.values.iter().map(|v| v * OUTLINE_WEIGHT).collect(),
    });
    for channel in channels.chain(outline) {
        let smooth = channel.blur(sigma).values;
        for y in 1..height - 1 {
            let row = y * width;
            for x in 1..width - 1 {
                let i = row + x;
                let dx = 0.5 * (smooth[i + 1] - smooth[i - 1]);
                let dy = 0.5 * (smooth[i + width] - smooth[i - width]);
                tensor[0][i] += dx * dx;
                tensor[1][i] += dx * dy;
                tensor[2][i] += dy * dy;
            }
        }
    }
    // A step of contrast c blurred by sigma has the gradient c / (sigma * sqrt(2 pi)).
    let scale = sigma * (2.0 * std::f32::consts::PI).sqrt();
    let mut contrast = Plane::filled(width, height, 0.0);
    for (i, out) in contrast.values.iter_mut().enumerate() {
        let (xx, xy, yy) = (tensor[0][i], tensor[1][i], tensor[2][i]);
        *out = (0.5 * (xx + yy + ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt())).sqrt() * scale;
    }
    let mut thin = Plane::filled(width, height, 0.0);
    for y in 2..height - 2 {
        for x in 2..width - 2 {
            let i = y * width + x;
            let here = contrast.values[i];
            if here < least {
                continue;
            }
            // The eigenvector of the tensor's largest eigenvalue points across the edge.
            let angle = 0.5 * (2.0 * tensor[1][i]).atan2(tensor[0][i] - tensor[2][i]);
            let (dy, dx) = angle.sin_cos();
            let beside = |sign: f32| bilinear(&contrast, x as f32 + sign * dx, y as f32 + sign * dy);
            if here > beside(1.0) && here >= beside(-1.0) {
                thin.values[i] = here;
            }
        }
    }
    thin
}

fn bilinear(plane: &Plane, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let i = top as usize * plane.width + left as usize;
    let at = &plane.values;
    (at[i] * (1.0 - u) + at[i + 1] * u) * (1.0 - v)
        + (at[i + plane.width] * (1.0 - u) + at[i + plane.width + 1] * u) * v
}

/// The contrast that the outline counts for, of 1.
const OUTLINE_WEIGHT: f32 = 0.35;

/// Connected edge pixels that are worth drawing, 1 each (Canny's hysteresis, then a ranking).
fn trace(strength: &Plane, settings: &LineSettings) -> Plane {
    let (width, height) = (strength.width, strength.height);
    let side = width as f32;
    let mut seen = vec![false; width * height];
    let mut chains: Vec<(f32, Vec<usize>)> = Vec::new();
    for start in 0..width * height {
        if seen[start] || strength.values[start] < settings.high {
            continue;
        }
        seen[start] = true;
        let (mut chain, mut next) = (vec![start], 0);
        while next < chain.len() {
            let i = chain[next];
            next += 1;
            // The two outermost rows and columns hold no edges, so the neighbours exist.
            for j in [i - width - 1, i - width, i - width + 1, i - 1, i + 1, i + width - 1, i + width, i + width + 1] {
                if !seen[j] && strength.values[j] >= settings.low {
                    seen[j] = true;
                    chain.push(j);
                }
            }
        }
        if chain.len() as f32 >= settings.shortest * side {
            let weight = chain.iter().map(|&i| strength.values[i].min(0.5)).sum();
            chains.push((weight, chain));
        }
    }
    chains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut lines = Plane::filled(width, height, 0.0);
    let mut drawn = 0.0;
    for (_, chain) in chains {
        if drawn > settings.most * side {
            break;
        }
        drawn += chain.len() as f32;
        chain.into_iter().for_each(|i| lines.values[i] = 1.0);
    }
    lines
}

/// Draws every line pixel as a round dot of the stroke's width and reduces by [`OVERSAMPLING`]: 0 black, 1 white.
pub(crate) fn stroke(lines: &Plane, width: f32) -> Plane {
    let radius = (width / 2.0).max(0.5);
    let reach = radius.floor() as i64;
    let dot: Vec<(i64, i64)> = (-reach..=reach)
        .flat_map(|y| (-reach..=reach).map(move |x| (x, y)))
        .filter(|(x, y)| ((x * x + y * y) as f32) <= radius * radius)
        .collect();
    let mut paper = Plane::filled(lines.width, lines.height, 1.0);
    for i in (0..lines.values.len()).filter(|&i| lines.values[i] > 0.5) {
        let (x, y) = ((i % lines.width) as i64, (i / lines.width) as i64);
        for (dx, dy) in &dot {
            let (u, v) = (x + dx, y + dy);
            if (0..lines.width as i64).contains(&u) && (0..lines.height as i64).contains(&v) {
                paper.values[v as usize * lines.width + u as usize] = 0.0;
            }
        }
    }
    paper.shrink(OVERSAMPLING)
}
