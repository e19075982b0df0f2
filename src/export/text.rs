//! Text in pictures, drawn with the font that the window uses.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use crate::Picture;

/// A font at one size.
pub(crate) struct Text {
    font: FontRef<'static>,
    fallback: FontRef<'static>,
    scale: PxScale,
}

impl Text {
    /// The font at a height of `pixels` from its highest to its lowest point.
    pub fn new(pixels: f32) -> Self {
        let font = |bytes| FontRef::try_from_slice(bytes).expect("the fonts inside the program are whole");
        Self {
            font: font(epaint_default_fonts::UBUNTU_LIGHT),
            fallback: font(epaint_default_fonts::HACK_REGULAR),
            scale: PxScale::from(pixels),
        }
    }

    /// Height of a line in pixels.
    pub fn line(&self) -> usize {
        self.scale.y.ceil() as usize + 2
    }

    fn font_of(&self, character: char) -> &FontRef<'static> {
        let missing = self.font.glyph_id(character).0 == 0;
        if missing && self.fallback.glyph_id(character).0 != 0 { &self.fallback } else { &self.font }
    }

    /// Width of a text in pixels.
    pub fn width(&self, text: &str) -> f32 {
        text.chars()
            .map(|character| {
                let font = self.font_of(character).as_scaled(self.scale);
                font.h_advance(font.glyph_id(character))
            })
            .sum()
    }

    /// The text, cut with an ellipsis to fit into `width` pixels.
    pub fn cut(&self, text: &str, width: f32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut room = width - self.width("…");
        if room < 0.0 {
            return String::new();
        }
        let fits = |character: &char| {
            room -= self.width(character.encode_utf8(&mut [0; 4]));
            room >= 0.0
        };
        let kept: String = text.chars().take_while(fits).collect();
        kept.trim_end().to_owned() + "…"
    }

    /// Draws one line of text with its upper left corner at a place; what leaves the picture is cut off.
    pub fn draw(&self, picture: &mut Picture, x: f32, y: f32, text: &str, colour: [u8; 3]) {
        let mut at = x;
        for character in text.chars().filter(|c| !c.is_control()) {
            let font = self.font_of(character).as_scaled(self.scale);
            let glyph = font.glyph_id(character);
            let baseline = point(at, y + font.ascent());
            at += font.h_advance(glyph);
            let Some(outline) = font.outline_glyph(glyph.with_scale_and_position(self.scale, baseline)) else {
                continue;
            };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, cover| {
                let (x, y) = (bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy));
                blend(picture, x, y, colour, cover);
            });
        }
    }
}

/// Lays a colour over a pixel; the picture is opaque.
fn blend(picture: &mut Picture, x: i64, y: i64, colour: [u8; 3], cover: f32) {
    let (width, height) = (picture.width() as i64, picture.height() as i64);
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return;
    }
    let cover = cover.clamp(0.0, 1.0);
    let start = 4 * (y * width + x) as usize;
    for (old, new) in picture.rgba_mut()[start..start + 3].iter_mut().zip(colour) {
        *old = (f32::from(*old) * (1.0 - cover) + f32::from(new) * cover).round() as u8;
    }
}
