//! Imperfect images: what a mapping makes before it has learned, for the student to be right about.

use super::random::normals;
use crate::data::{Images, Move};
use rand::RngExt;
use rand::rngs::StdRng;

/// The image of a row as three planes, `3 * size * size` values; one channel is repeated.
pub(super) fn colour(images: &Images, row: usize) -> Vec<f32> {
    let image = images.planes(row);
    if images.channels() == 1 { image.repeat(3) } else { image.to_vec() }
}

/// Moved by up to `shift` pixels, its border repeated.
pub(super) fn moved(image: &[f32], size: usize, shift: usize, source: &mut StdRng) -> Vec<f32> {
    let mut values = Vec::with_capacity(image.len());
    Move::draw(shift, source).append(image, size, &mut values);
    values
}

/// Changed in one or two of the ways in which reconstructions fall short: out of place, blurred, faint, noisy, or half
/// another image.
pub(super) fn distorted(image: &[f32], other: &[f32], size: usize, source: &mut StdRng) -> Vec<f32> {
    let mut image = moved(image, size, 3, source);
    for _ in 0..source.random_range(1..=2) {
        match source.random_range(0..5) {
            0 => (0..source.random_range(1..=6)).for_each(|_| blur(&mut image, size)),
            1 => {
                // Interpolations, more often close to an end than in the middle.
                let share: f32 = source.random::<f32>().powi(2);
                image.iter_mut().zip(other).for_each(|(value, other)| *value += share * (other - *value));
            }
            2 => {
                let strength = source.random_range(0.2..1.0);
                image.iter_mut().for_each(|value| *value = 1.0 + strength * (*value - 1.0));
            }
            3 => {
                let strength = source.random_range(0.02..0.2);
                let noise = normals(source, image.len());
                image.iter_mut().zip(noise).for_each(|(value, noise)| *value += strength * noise);
            }
            _ => image = moved(&image, size, 6, source),
        }
    }
    image.iter_mut().for_each(|value| *value = value.clamp(-1.0, 1.0));
    image
}

/// A binomial blur, a quarter, a half, a quarter, in both directions; the border is repeated.
fn blur(image: &mut [f32], size: usize) {
    let mut line = vec![0.0; size];
    for plane in image.chunks_exact_mut(size * size) {
        for row in 0..size {
            blur_line(plane, row * size, 1, &mut line);
        }
        for column in 0..size {
            blur_line(plane, column, size, &mut line);
        }
    }
}

fn blur_line(plane: &mut [f32], start: usize, step: usize, line: &mut [f32]) {
    let last = line.len() - 1;
    line.iter_mut().enumerate().for_each(|(i, value)| *value = plane[start + i * step]);
    for i in 0..=last {
        let (before, after) = (line[i.saturating_sub(1)], line[(i + 1).min(last)]);
        plane[start + i * step] = 0.25 * before + 0.5 * line[i] + 0.25 * after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nam::random::{Purpose, source};

    #[test]
    fn a_blur_keeps_the_mean_of_a_spot_and_lowers_its_peak() {
        let mut image = vec![0.0; 81];
        image[40] = 1.0;
        blur(&mut image, 9);
        assert_eq!((image[40], image[39], image[30]), (0.25, 0.125, 0.0625));
        assert!((image.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn distortions_stay_in_range_and_follow_the_seed() {
        let (image, other) = (vec![-0.8; 3 * 64], vec![0.9; 3 * 64]);
        let mut all = Vec::new();
        for place in 0..30 {
            let once = distorted(&image, &other, 8, &mut source(1, Purpose::Augmentation, place));
            assert_eq!(once, distorted(&image, &other, 8, &mut source(1, Purpose::Augmentation, place)));
            assert!(once.iter().all(|value| (-1.0..=1.0).contains(value)));
            all.push(once);
        }
        assert!(all.iter().filter(|one| **one != image).count() > 15);
    }
}
