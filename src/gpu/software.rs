//! The arithmetic of `shaders/image_view.wgsl` on the CPU, for a window without programmable views.

use super::{Look, Mode};
use crate::Picture;

type Colour = [f32; 3];

/// Samples along an axis of a screen pixel, at most.
const MOST_SAMPLES: f32 = 16.0;

/// What the shader draws for `a` (and `b`) in a view of `width` x `height` screen pixels, corners transparent.
pub fn render(look: &Look, a: &Picture, b: &Picture, width: usize, height: usize, pixels_per_point: f32) -> Picture {
    let mut picture = Picture::filled(width, height, [0; 4]);
    let size = [width as f32, height as f32];
    let radius = look.radius * pixels_per_point;
    for (i, pixel) in picture.rgba_mut().chunks_exact_mut(4).enumerate() {
        let at = [(i % width) as f32 + 0.5, (i / width) as f32 + 0.5];
        let colour = shade(look, a, b, at, size, pixels_per_point);
        for (byte, value) in pixel.iter_mut().zip(colour.into_iter().chain([coverage(at, size, radius)])) {
            *byte = (value * 255.0).round().clamp(0.0, 255.0) as u8;
        }
    }
    picture
}

fn shade(look: &Look, a: &Picture, b: &Picture, at: [f32; 2], size: [f32; 2], pixels_per_point: f32) -> Colour {
    let one = |picture| sample(picture, at, size, look.smooth);
    match look.mode {
        Mode::Picture => one(a),
        Mode::Difference { gain } => {
            let difference = ((luma(one(b)) - luma(one(a))) * gain).clamp(-1.0, 1.0);
            let towards = if difference > 0.0 { look.colours.positive } else { look.colours.negative };
            mix(unit(look.colours.neutral), unit(towards), difference.abs())
        }
        Mode::Heat { gain } => {
            let (a, b) = (one(a), one(b));
            let sum: f32 = a.iter().zip(b).map(|(a, b)| (b - a).abs()).sum();
            heat(sum / 3.0 * gain)
        }
        Mode::Split { at: split } => {
            let divider_at = split * size[0];
            let beside = if at[0] < divider_at { one(a) } else { one(b) };
            let half = look.divider_half * pixels_per_point;
            let on_divider = (half + 0.5 - (at[0] - divider_at).abs()).clamp(0.0, 1.0);
            mix(beside, unit(look.colours.divider), on_divider * f32::from(look.colours.divider[3]) / 255.0)
        }
    }
}

fn unit(colour: [u8; 4]) -> Colour {
    [0, 1, 2].map(|c| f32::from(colour[c]) / 255.0)
}

fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [0, 1, 2].map(|c| a[c] * (1.0 - t) + b[c] * t)
}

fn luma(colour: Colour) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

fn texel(picture: &Picture, x: i32, y: i32) -> Colour {
    let x = x.clamp(0, picture.width() as i32 - 1) as usize;
    let y = y.clamp(0, picture.height() as i32 - 1) as usize;
    let value = picture.pixel(x, y).unwrap_or([255; 4]);
    mix([1.0; 3], unit(value), f32::from(value[3]) / 255.0)
}

/// Where the picture has several texels for a screen pixel, the mean of samples all over that.
fn sample(picture: &Picture, at: [f32; 2], size: [f32; 2], smooth: bool) -> Colour {
    let texels = [picture.width() as f32, picture.height() as f32];
    let counts = [0, 1].map(|axis| (texels[axis] / (2.0 * size[axis]) - 0.05).ceil().clamp(1.0, MOST_SAMPLES) as usize);
    let mut sum = [0.0; 3];
    for (y, x) in (0..counts[1]).flat_map(|y| (0..counts[0]).map(move |x| (y, x))) {
        let within = |i: usize, axis: usize| at[axis] + (i as f32 + 0.5) / counts[axis] as f32 - 0.5;
        let one = sample_at(picture, [within(x, 0), within(y, 1)], size, smooth);
        sum = [0, 1, 2].map(|c| sum[c] + one[c]);
    }
    sum.map(|value| value / (counts[0] * counts[1]) as f32)
}

fn sample_at(picture: &Picture, at: [f32; 2], size: [f32; 2], smooth: bool) -> Colour {
    let texels = [picture.width() as f32, picture.height() as f32];
    let mut base = [0; 2];
    let mut between = [0.0; 2];
    for axis in 0..2 {
        let place = at[axis] / size[axis] * texels[axis] - 0.5;
        base[axis] = place.floor() as i32;
        between[axis] = place - place.floor();
        if !smooth {
            let pixels_per_texel = (size[axis] / texels[axis]).max(1.0);
            between[axis] = ((between[axis] - 0.5) * pixels_per_texel + 0.5).clamp(0.0, 1.0);
        }
    }
    let [x, y] = base;
    let top = mix(texel(picture, x, y), texel(picture, x + 1, y), between[0]);
    let bottom = mix(texel(picture, x, y + 1), texel(picture, x + 1, y + 1), between[0]);
    mix(top, bottom, between[1])
}

fn heat(value: f32) -> Colour {
    const STOPS: [Colour; 5] =
        [[0.0, 0.0, 0.016], [0.341, 0.063, 0.431], [0.737, 0.216, 0.329], [0.976, 0.557, 0.035], [0.988, 1.0, 0.643]];
    let v = value.clamp(0.0, 1.0) * 4.0;
    let mut colour = STOPS[0];
    for (i, stop) in STOPS.into_iter().enumerate().skip(1) {
        colour = mix(colour, stop, (v - (i - 1) as f32).clamp(0.0, 1.0));
    }
    colour
}

fn coverage(at: [f32; 2], size: [f32; 2], radius: f32) -> f32 {
    let [x, y] = [0, 1].map(|axis| (at[axis] - size[axis] / 2.0).abs() - size[axis] / 2.0 + radius);
    let distance = x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - radius;
    (0.5 - distance).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_have_no_difference() {
        let picture = Picture::filled(3, 3, [80, 90, 100, 255]);
        let look = Look { mode: Mode::Difference { gain: 4.0 }, ..Look::default() };
        let drawn = render(&look, &picture, &picture, 6, 6, 1.0);
        assert_eq!(
            drawn.pixel(3, 3),
            Some([look.colours.neutral[0], look.colours.neutral[1], look.colours.neutral[2], 255])
        );
    }

    #[test]
    fn the_divider_separates_the_pictures() {
        let (black, white) = (Picture::filled(4, 4, [0, 0, 0, 255]), Picture::filled(4, 4, [255; 4]));
        let look = Look { mode: Mode::Split { at: 0.25 }, divider_half: 0.0, ..Look::default() };
        let drawn = render(&look, &black, &white, 40, 40, 1.0);
        assert_eq!(drawn.pixel(5, 20), Some([0, 0, 0, 255]));
        assert_eq!(drawn.pixel(15, 20), Some([255; 4]));
    }

    #[test]
    fn nothing_of_a_large_picture_is_skipped() {
        // Lines of one pixel, eight pixels apart, in an eighth of the size: each pixel has its share of a line.
        let rgba = (0..64 * 64).flat_map(|i| if i % 8 == 3 { [0, 0, 0, 255] } else { [255; 4] }).collect();
        let lines = Picture::new(64, 64, rgba).unwrap();
        let drawn = render(&Look::default(), &lines, &lines, 8, 8, 1.0);
        for x in 0..8 {
            let [value, ..] = drawn.pixel(x, 4).unwrap();
            assert!(value.abs_diff(223) < 3, "{value} at {x}");
        }
    }

    #[test]
    fn visible_pixels_keep_their_colours() {
        let picture = Picture::new(2, 1, vec![0, 0, 0, 255, 255, 255, 255, 255]).unwrap();
        let look = Look { smooth: false, ..Look::default() };
        let drawn = render(&look, &picture, &picture, 20, 10, 1.0);
        assert_eq!(drawn.pixel(8, 5), Some([0, 0, 0, 255]));
        assert_eq!(drawn.pixel(11, 5), Some([255; 4]));
    }
}
