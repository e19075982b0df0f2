//! The one way from any picture to what a model sees, for the window, the command line and training alike.

use serde::{Deserialize, Serialize};

use super::content::{Content, Facing};
use super::drawing::redraw;
use super::lines::{LineSettings, OVERSAMPLING, draw_edges};
use super::raster::{Plane, Raster, Region, resample};
use crate::{Error, Picture, Result};

/// How a picture that is not square comes into a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// All of it is seen, the rest is white.
    #[default]
    Contain,
    /// The square is filled, what sticks out is cut.
    Cover,
}

/// Which part of a picture is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// All of it.
    #[default]
    Whole,
    /// The square around what is shown on a plain background, as [`crop_to_content`](super::crop_to_content) cuts it.
    Content {
        /// The share of the square's side that stays free on each side.
        margin: f32,
    },
    /// A box, in shares of the picture's width and height.
    Box {
        /// Left edge.
        x: f32,
        /// Upper edge.
        y: f32,
        /// Width.
        width: f32,
        /// Height.
        height: f32,
    },
}

/// What is made of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// The picture in its colours.
    #[default]
    AsIs,
    /// Its luma.
    Grey,
    /// Its luma at one contrast, light on dark, both sides of the middle faded.
    Levelled,
    /// The line drawing of a photograph.
    EdgesFromPhoto,
    /// A drawing, its strokes brought to one width, black on white.
    Drawing,
}

/// What a model's domain Y consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum YKind {
    /// Line drawings, black on white.
    #[default]
    Edges,
    /// Pictures in their colours.
    AsIs,
    /// Grey pictures.
    Grey,
    /// Grey pictures of one contrast, light on dark, both sides of the middle faded.
    Levelled,
}

impl YKind {
    /// The treatment that brings a picture into the domain.
    pub fn treatment(self, from_photo: bool) -> Treatment {
        match self {
            Self::Edges if from_photo => Treatment::EdgesFromPhoto,
            Self::Edges => Treatment::Drawing,
            Self::AsIs => Treatment::AsIs,
            Self::Grey => Treatment::Grey,
            Self::Levelled => Treatment::Levelled,
        }
    }
}

/// Everything that is done to a picture before a model sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preparation {
    /// Side of the result in pixels.
    pub size: usize,
    /// How the part that is used comes into the square.
    pub fit: Fit,
    /// The part that is used.
    pub crop: Crop,
    /// The way the thing is turned.
    pub facing: Facing,
    /// What is made of it.
    pub treatment: Treatment,
    /// Whether light and dark are exchanged first. A drawing that is light on dark is recognised without this.
    pub invert: bool,
    /// How line drawings look.
    pub lines: LineSettings,
}

impl Default for Preparation {
    fn default() -> Self {
        Self {
            size: 64,
            fit: Fit::default(),
            crop: Crop::default(),
            facing: Facing::default(),
            treatment: Treatment::default(),
            invert: false,
            lines: LineSettings::default(),
        }
    }
}

impl Preparation {
    /// Refuses what no picture can be prepared with.
    ///
    /// # Errors
    /// With the first setting that is wrong.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str, value: f32, range: &str| {
            Err(Error::new(format!("The {what} of a picture's part is {value}; it must be a share {range}.")))
        };
        match self.crop {
            Crop::Whole => {}
            Crop::Content { margin } if (0.0..=0.45).contains(&margin) => {}
            Crop::Content { margin } => return wrong("margin", margin, "from 0 to 0.45"),
            Crop::Box { x, y, width, height } => {
                for (what, value) in [("left edge", x), ("upper edge", y)] {
                    if !(0.0..1.0).contains(&value) {
                        return wrong(what, value, "from 0 to below 1");
                    }
                }
                for (what, value, most) in [("width", width, 1.0 - x), ("height", height, 1.0 - y)] {
                    if !(value > 0.0 && value <= most + 1e-4) {
                        return wrong(what, value, "above 0 that ends within the picture");
                    }
                }
            }
        }
        self.lines.check()
    }
}

/// Makes the square picture that a model sees of any picture; the same picture and settings give the same result.
pub fn prepare(picture: &Picture, preparation: &Preparation) -> Picture {
    let size = preparation.size.max(1);
    let inverted;
    let drawn_light = preparation.treatment == Treatment::Drawing && is_light_on_dark(picture);
    let picture = if preparation.invert != drawn_light {
        inverted = invert(picture);
        &inverted
    } else {
        picture
    };
    let cropped = matches!(preparation.crop, Crop::Content { .. });
    let looked_at = cropped || preparation.facing != Facing::AsIs || preparation.treatment == Treatment::EdgesFromPhoto;
    let content = looked_at.then(|| Content::of(picture));
    let region = match (preparation.crop, &content) {
        (Crop::Content { margin }, Some(content)) if content.background.is_some() => content.square(margin),
        (Crop::Box { x, y, width, height }, _) => {
            let whole = Region::whole(picture);
            Region {
                x: x * whole.width,
                y: y * whole.height,
                width: (width * whole.width).max(1.0),
                height: (height * whole.height).max(1.0),
            }
        }
        _ => Region::whole(picture),
    };
    let region = fitted(region, preparation.fit);
    let mirrored = content.as_ref().is_some_and(|content| content.must_mirror(preparation.facing));
    let cut_out = preparation.treatment != Treatment::Drawing;
    let draw = |side: usize| -> (Raster, Option<Plane>) {
        let mut raster = resample(picture, region, side, side);
        let mut silhouette = None;
        if let Some(content) = &content {
            if cropped || preparation.treatment == Treatment::EdgesFromPhoto {
                content.lift(&mut raster, region, picture, cut_out);
            }
            if preparation.treatment == Treatment::EdgesFromPhoto {
                silhouette = content.silhouette(region, picture, side, side);
            }
        }
        if mirrored {
            raster.mirror();
            silhouette.iter_mut().for_each(Plane::mirror);
        }
        (raster, silhouette)
    };
    match preparation.treatment {
        Treatment::AsIs => draw(size).0.to_picture(),
        Treatment::Grey => draw(size).0.luma().to_picture(),
        Treatment::Levelled => level(&draw(size).0.luma().to_picture()),
        Treatment::EdgesFromPhoto => {
            let (raster, silhouette) = draw(size * OVERSAMPLING);
            draw_edges(&raster, silhouette.as_ref(), &preparation.lines).to_picture()
        }
        Treatment::Drawing => redraw(&draw(size * OVERSAMPLING).0, &preparation.lines).to_picture(),
    }
}

/// How far from the middle, as a share of half the width, a levelled picture is kept as it is, and where nothing is left.
const KEPT: f32 = 0.5;
const FADED: f32 = 0.8;

/// A grey picture at one contrast: what most pixels of the border have becomes black, and what is furthest from it in the
/// middle white, so that digits on house walls are all light on dark, as handwritten ones are. What stands to the left and right of
/// the middle, which are other digits, fades away.
fn level(picture: &Picture) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let grey: Vec<f32> = picture.rgba().chunks_exact(4).map(|pixel| f32::from(pixel[0])).collect();
    let near_border = |i: usize| {
        let (x, y) = (i % width, i / width);
        x.min(width - 1 - x) < width / 8 || y.min(height - 1 - y) < height / 8
    };
    let part = |border: bool| {
        let mut values: Vec<f32> =
            grey.iter().enumerate().filter(|(i, _)| near_border(*i) == border).map(|(_, value)| *value).collect();
        values.sort_by(f32::total_cmp);
        values
    };
    let (border, middle) = (part(true), part(false));
    let at = |values: &[f32], share: f32| {
        let last = values.len().saturating_sub(1) as f32;
        values.get((last * share).round() as usize).copied().unwrap_or(0.0)
    };
    let ground = at(&border, 0.5);
    let (dark, light) = (at(&middle, 0.05), at(&middle, 0.95));
    // The mean of the middle lies on the side of the strokes, even where both ends are as far from the ground.
    let mean = middle.iter().sum::<f32>() / middle.len().max(1) as f32;
    let lean = (light - ground) - (ground - dark) + 2.0 * (mean - ground);
    let reach = if lean >= 0.0 { light - ground } else { dark - ground };
    let scale = 255.0 / if reach.abs() < 8.0 { 8f32.copysign(reach) } else { reach };
    let mut levelled = picture.clone();
    for (i, (pixel, value)) in levelled.rgba_mut().chunks_exact_mut(4).zip(&grey).enumerate() {
        let aside = ((2 * (i % width) + 1) as f32 / width as f32 - 1.0).abs();
        let kept = ((FADED - aside) / (FADED - KEPT)).clamp(0.0, 1.0);
        let byte = (((value - ground) * scale).clamp(0.0, 255.0) * kept).round() as u8;
        pixel[..3].fill(byte);
    }
    levelled
}

/// The square that contains a region or is covered by it.
fn fitted(region: Region, fit: Fit) -> Region {
    region.square(match fit {
        Fit::Contain => region.width.max(region.height),
        Fit::Cover => region.width.min(region.height),
    })
}

/// Whether a drawing is light on dark, or light on nothing, so that over white it would be lost.
fn is_light_on_dark(picture: &Picture) -> bool {
    let opaque = || picture.rgba().chunks_exact(4).filter(|pixel| pixel[3] > 127);
    let count = opaque().count();
    if count * 10 < picture.width() * picture.height() * 7 {
        let light = opaque().filter(|pixel| pixel[..3].iter().all(|c| *c > 180)).count();
        return light * 2 > count;
    }
    Content::of(picture).background.is_some_and(|background| !background.is_light())
}

/// Exchanges light and dark; alpha stays.
fn invert(picture: &Picture) -> Picture {
    let mut picture = picture.clone();
    for pixel in picture.rgba_mut().chunks_exact_mut(4) {
        pixel[..3].iter_mut().for_each(|c| *c = 255 - *c);
    }
    picture
}

/// Brings a picture into a square of `size` pixels: alpha over white, antialiased.
pub fn fit(picture: &Picture, size: usize, fit: Fit) -> Picture {
    let size = size.max(1);
    resample(picture, fitted(Region::whole(picture), fit), size, size).to_picture()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levelled_strokes_are_light_on_dark_whatever_they_were() {
        let digit = |ground: u8, stroke: u8| {
            let mut picture = Picture::filled(32, 32, [ground, ground, ground, 255]);
            for y in 6..26 {
                for x in 14..18 {
                    picture.rgba_mut()[4 * (y * 32 + x)..][..3].fill(stroke);
                }
            }
            picture
        };
        let how = Preparation { size: 32, treatment: Treatment::Levelled, ..Preparation::default() };
        for (ground, stroke) in [(20, 90), (200, 130), (0, 255), (255, 0)] {
            let levelled = prepare(&digit(ground, stroke), &how);
            let (at_stroke, at_ground) = (levelled.pixel(15, 15).unwrap()[0], levelled.pixel(3, 15).unwrap()[0]);
            assert!(at_stroke > 240 && at_ground < 15, "{ground} {stroke}: {at_stroke} on {at_ground}");
        }
        // Where nothing is seen, noise is not blown up.
        let levelled = prepare(&digit(100, 101), &how);
        assert!(levelled.rgba().chunks_exact(4).all(|pixel| pixel[0] < 64));
    }
}
