//! A hand-designed simulator of a domain: cars of many models, seen from any side, with the truth about each picture.
//!
//! The two sets of models have none in common, so that pictures of one and of the other are domains X and Y whose
//! correspondence, the angle, is known exactly.

mod car;
mod drawn;
mod raster;

pub use car::{CarModel, Set};
pub use drawn::{NUMBERS, draw as draw_numbers, gradient as numbers_gradient, view as view_of};

use crate::{Picture, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use raster::{Camera, Canvas};

/// The largest angle that cars are turned by, in degrees, to both sides.
pub const LARGEST_ANGLE: f32 = 75.0;
/// Models of a set.
pub const MODELS: usize = 100;

/// Where a car is seen from, and the light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Degrees from the front; positive shows the car's left side.
    pub azimuth: f32,
    /// Where the light comes from, in degrees like the azimuth.
    pub light: f32,
    /// How much of the light falls everywhere, of 1.
    pub ambient: f32,
}

impl View {
    /// A view drawn at random: the azimuth uniform between -75 and 75 degrees, the light from any side of the camera.
    pub fn draw(random: &mut StdRng) -> Self {
        Self {
            azimuth: random.random_range(-LARGEST_ANGLE..LARGEST_ANGLE),
            light: random.random_range(-60.0..60.0),
            ambient: random.random_range(0.45..0.6),
        }
    }
}

/// A picture with what is known about it.
pub struct Shot {
    /// The picture, square, on white.
    pub picture: Picture,
    /// The model, from 0.
    pub model: usize,
    /// Where it was seen from.
    pub view: View,
}

/// Draws a car at `size` x `size` pixels, anti-aliased by `samples` x `samples` samples a pixel.
///
/// # Errors
/// When the size is zero.
pub fn render(car: &CarModel, view: View, size: usize, samples: usize) -> Result<Picture> {
    let camera = Camera::new(view.azimuth);
    let mut canvas = Canvas::new(size, samples.max(1));
    draw_faces(&mut canvas, car, view, &camera);
    canvas.finish()
}

/// Draws all of a car.
fn draw_faces(canvas: &mut Canvas, car: &CarModel, view: View, camera: &Camera) {
    let (sine, cosine) = (view.light - view.azimuth).to_radians().sin_cos();
    // In the car's own directions: forward, up, left.
    let light = [0.75 * cosine, 0.62, -0.75 * sine];
    for face in car.faces() {
        canvas.draw(&face.corners, camera, face.colour(light, view, camera));
    }
}

/// Picture `index` of the endless sequence of a set and a seed.
///
/// # Errors
/// When the size is zero.
pub fn shot(set: Set, seed: u64, index: u64, size: usize) -> Result<Shot> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (2 * index + set as u64));
    let model = random.random_range(0..MODELS);
    let view = View::draw(&mut random);
    Ok(Shot { picture: render(&CarModel::of(set, model), view, size, 4)?, model, view })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark(picture: &Picture) -> Vec<bool> {
        picture.rgba().chunks_exact(4).map(|pixel| pixel[..3].iter().any(|value| *value < 150)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_cars_and_others_draw_others() {
        let one = shot(Set::A, 3, 5, 64).unwrap();
        let same = shot(Set::A, 3, 5, 64).unwrap();
        assert!(one.picture == same.picture && one.view == same.view && one.model == same.model);
        assert!(one.picture != shot(Set::A, 3, 6, 64).unwrap().picture);
        assert!(one.picture != shot(Set::B, 3, 5, 64).unwrap().picture);
    }

    #[test]
    fn no_model_is_in_both_sets() {
        for i in 0..MODELS {
            for j in 0..MODELS {
                assert!(CarModel::of(Set::A, i) != CarModel::of(Set::B, j), "{i} {j}");
            }
        }
    }

    #[test]
    fn cars_stand_inside_the_picture_and_are_wider_from_the_side() {
        let even = |azimuth| View { azimuth, light: 0.0, ambient: 0.5 };
        for i in 0..20 {
            let car = CarModel::of(Set::A, i);
            let width = |azimuth: f32| {
                let picture = render(&car, even(azimuth), 64, 3).unwrap();
                let dark = dark(&picture);
                let border = (0..64).any(|at| dark[at] || dark[63 * 64 + at] || dark[at * 64] || dark[at * 64 + 63]);
                assert!(!border, "model {i} at {azimuth} degrees leaves the picture");
                (0..64).filter(|column| (0..64).any(|row| dark[row * 64 + column])).count()
            };
            let (front, left, right) = (width(0.0), width(75.0), width(-75.0));
            assert!(front > 12 && left > front + 8 && right > front + 8, "{front} {left} {right}");
        }
    }

    #[test]
    fn turning_to_the_other_side_mirrors_the_picture() {
        let car = CarModel::of(Set::B, 4);
        let view = |sign: f32| View { azimuth: sign * 40.0, light: sign * 40.0, ambient: 0.5 };
        let (left, right) = (render(&car, view(1.0), 64, 4).unwrap(), render(&car, view(-1.0), 64, 4).unwrap());
        let mut differing = 0;
        for y in 0..64 {
            for x in 0..64 {
                let (a, b) = (left.pixel(x, y).unwrap(), right.pixel(63 - x, y).unwrap());
                differing += usize::from((0..3).any(|c| a[c].abs_diff(b[c]) > 40));
            }
        }
        assert!(differing < 40, "{differing} pixels differ");
    }
}
