//! The simulator as a generator: numbers of N(0, 1) say what a car is and where it is seen from, and finite differences
//! give the gradient of a picture in them.

use super::car::CarModel;
use super::raster::{Camera, Canvas};
use super::{LARGEST_ANGLE, View};

/// How many numbers say a car and its view.
pub const NUMBERS: usize = 28;
/// Samples a pixel's side: steps of a difference must move edges by more than one of them.
const SAMPLES: usize = 4;

/// By how much a number is moved to both sides for its difference: so that edges move by about a pixel.
fn step(number: usize) -> f32 {
    match number {
        0 => 0.04,
        1..=9 | 25.. => 0.1,
        _ => 0.5,
    }
}

/// A number of N(0, 1) to one that is uniform in [-1, 1], by the error function of its root 2nd (Abramowitz and Stegun
/// 7.1.26, exact to 2e-7).
fn uniform(z: f32) -> f32 {
    let x = f64::from(z.abs()) * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = terms.iter().fold(0.0, |sum, term| (sum + term) * t);
    ((1.0 - sum * (-x * x).exp()) as f32).copysign(z)
}

/// Where a car of these numbers is seen from.
pub fn view(numbers: &[f32; NUMBERS]) -> View {
    let [azimuth, light, ambient] = [0, 1, 2].map(|i| uniform(numbers[i]));
    View { azimuth: LARGEST_ANGLE * azimuth, light: 60.0 * light, ambient: 0.525 + 0.075 * ambient }
}

/// The picture of these numbers, three planes of `size` x `size` values in [-1, 1].
pub fn draw(numbers: &[f32; NUMBERS], size: usize) -> Vec<f32> {
    let view = view(numbers);
    let mut unit = [0.0; 18];
    unit.iter_mut().zip(&numbers[10..]).for_each(|(unit, z)| *unit = uniform(*z));
    let styles = std::array::from_fn(|i| numbers[3 + i]);
    let car = CarModel::blended(styles, &unit);
    let camera = Camera::new(view.azimuth);
    let mut canvas = Canvas::new(size, SAMPLES);
    super::draw_faces(&mut canvas, &car, view, &camera);
    canvas.planes()
}

/// The gradient of the sum of `towards` times the picture in each number, by central differences.
pub fn gradient(numbers: &[f32; NUMBERS], size: usize, towards: &[f32], number: usize) -> f32 {
    let step = step(number);
    let moved = |by: f32| {
        let mut numbers = *numbers;
        numbers[number] += by;
        draw(&numbers, size)
    };
    let (after, before) = (moved(step), moved(-step));
    let difference = after.iter().zip(&before).zip(towards).map(|((a, b), g)| f64::from((a - b) * g)).sum::<f64>();
    (difference / f64::from(2.0 * step)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_uniform() {
        // The quantiles of the normal distribution, from a table.
        for (z, share) in [(0.0, 0.5), (0.674_49, 0.75), (-1.644_85, 0.05), (2.326_35, 0.99)] {
            assert!((uniform(z) - (2.0 * share - 1.0)).abs() < 1e-5, "{z}: {}", uniform(z));
        }
    }

    #[test]
    fn differences_follow_brightness_and_leave_what_is_hidden() {
        let mut numbers = [0.0; NUMBERS];
        numbers[0] = 0.3;
        let ones = vec![1.0; 3 * 32 * 32];
        // More red makes a brighter picture, by about as much as that number changes it over a longer way.
        let far = |by: f32| {
            let mut numbers = numbers;
            numbers[25] += by;
            draw(&numbers, 32).iter().sum::<f32>()
        };
        let slope = (far(0.3) - far(-0.3)) / 0.6;
        let found = gradient(&numbers, 32, &ones, 25);
        assert!(slope > 5.0 && (found - slope).abs() < 0.1 * slope, "{found} instead of {slope}");
        // Of the picture's background nothing depends on the car.
        let mut corner = vec![0.0; 3 * 32 * 32];
        corner[0] = 1.0;
        assert!((0..NUMBERS).all(|number| gradient(&numbers, 32, &corner, number) == 0.0));
    }
}
