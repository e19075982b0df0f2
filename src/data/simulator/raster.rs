//! A small rasteriser: convex faces, a depth buffer, several samples a pixel.

use crate::{Picture, Result};

/// A point or a direction of the car: forward, up, left, in metres.
pub(super) type Point = [f32; 3];

/// How far the camera stands from the middle of the car, in metres.
const DISTANCE: f32 = 11.0;
/// How far the camera looks down, in degrees.
const ELEVATION: f32 = 12.0;
/// What the picture's side is in metres at the middle of the car.
const FIELD: f32 = 5.7;
/// The height that is in the middle of the picture, in metres.
const MIDDLE: f32 = 0.72;

/// Where a car is seen from.
pub(super) struct Camera {
    turn: (f32, f32),
    tilt: (f32, f32),
}

impl Camera {
    pub fn new(azimuth: f32) -> Self {
        Self { turn: azimuth.to_radians().sin_cos(), tilt: ELEVATION.to_radians().sin_cos() }
    }

    /// To the right, up, and towards the camera.
    pub fn seen(&self, [forward, up, left]: Point) -> Point {
        let ((turn_sine, turn_cosine), (tilt_sine, tilt_cosine)) = (self.turn, self.tilt);
        let near = forward * turn_cosine + left * turn_sine;
        let right = left * turn_cosine - forward * turn_sine;
        let up = up - MIDDLE;
        [right, up * tilt_cosine - near * tilt_sine, near * tilt_cosine + up * tilt_sine]
    }

    /// To shares of the picture's side from its middle, to the right and up, and the distance's inverse.
    fn projected(&self, point: Point) -> Point {
        let [right, up, near] = self.seen(point);
        let scale = DISTANCE / (DISTANCE - near);
        [right * scale / FIELD, up * scale / FIELD, scale]
    }
}

/// A picture that is being drawn.
pub(super) struct Canvas {
    size: usize,
    samples: usize,
    depth: Vec<f32>,
    colours: Vec<[f32; 3]>,
}

impl Canvas {
    pub fn new(size: usize, samples: usize) -> Self {
        let count = (size * samples).pow(2);
        Self { size, samples, depth: vec![0.0; count], colours: vec![[1.0; 3]; count] }
    }

    /// Draws a convex face of one colour.
    pub fn draw(&mut self, corners: &[Point], camera: &Camera, colour: [f32; 3]) {
        let side = (self.size * self.samples) as f32;
        let place = |corner: &Point| {
            let [right, up, depth] = camera.projected(*corner);
            [(right + 0.5) * side, (0.5 - up) * side, depth]
        };
        let places: Vec<Point> = corners.iter().map(place).collect();
        for i in 2..places.len() {
            self.triangle([places[0], places[i - 1], places[i]], colour);
        }
    }

    fn triangle(&mut self, [a, b, c]: [Point; 3], colour: [f32; 3]) {
        let wide = self.size * self.samples;
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        if area.abs() < 1e-6 {
            return;
        }
        let range = |axis: usize| {
            let least = a[axis].min(b[axis]).min(c[axis]).floor().max(0.0) as usize;
            let most = (a[axis].max(b[axis]).max(c[axis]).ceil().max(0.0) as usize).min(wide);
            (least, most)
        };
        let ((left, right), (top, bottom)) = (range(0), range(1));
        // The shares of the corners at a sample change by the same steps along every row; the inverse of the distance
        // is linear on the screen, so it is interpolated as it is.
        let share =
            |p: Point, q: Point, x: f32, y: f32| ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area;
        let step = [-(c[1] - b[1]) / area, -(a[1] - c[1]) / area];
        let slope = step[0] * (a[2] - c[2]) + step[1] * (b[2] - c[2]);
        for row in top..bottom {
            let (x, y) = (left as f32 + 0.5, row as f32 + 0.5);
            let (first, second) = (share(b, c, x, y), share(c, a, x, y));
            let third = 1.0 - first - second;
            // Where along the row all three shares are positive.
            let (mut from, mut to) = (0.0f32, (right - left) as f32);
            for (value, step) in [(first, step[0]), (second, step[1]), (third, -step[0] - step[1])] {
                if step > 0.0 {
                    from = from.max(-value / step);
                } else if step < 0.0 {
                    to = to.min(-value / step + 1.0);
                } else if value < 0.0 {
                    to = 0.0;
                }
            }
            let (from, to) = (from.ceil() as usize, to.floor().max(0.0) as usize);
            if from >= to {
                continue;
            }
            let at = |i: usize| first * a[2] + second * b[2] + third * c[2] + i as f32 * slope;
            let places = row * wide + left + from..row * wide + left + to;
            let samples = self.depth[places.clone()].iter_mut().zip(&mut self.colours[places]);
            for (i, (depth, sample)) in samples.enumerate() {
                let nearer = at(from + i);
                if nearer > *depth {
                    *depth = nearer;
                    *sample = colour;
                }
            }
        }
    }

    /// The picture.
    ///
    /// # Errors
    /// When the size is zero.
    pub fn finish(self) -> Result<Picture> {
        let size = self.size;
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let pixels = self.means();
        let rgba = pixels.iter().flat_map(|[r, g, b]| [byte(*r), byte(*g), byte(*b), 255]).collect();
        Picture::new(size, size, rgba)
    }

    /// The picture as three planes of values in [-1, 1].
    pub fn planes(self) -> Vec<f32> {
        let pixels = self.means();
        (0..3).flat_map(|c| pixels.iter().map(move |pixel| 2.0 * pixel[c] - 1.0)).collect()
    }

    /// The mean colour of every pixel's samples, in [0, 1].
    fn means(self) -> Vec<[f32; 3]> {
        let Self { size, samples, colours, .. } = self;
        let wide = size * samples;
        let mut sums = vec![[0.0f32; 3]; size * size];
        for (row, line) in colours.chunks_exact(wide.max(1)).enumerate() {
            let sums = &mut sums[row / samples * size..][..size];
            for (sum, samples) in sums.iter_mut().zip(line.chunks_exact(samples)) {
                for colour in samples {
                    (0..3).for_each(|c| sum[c] += colour[c]);
                }
            }
        }
        let scale = 1.0 / (samples * samples) as f32;
        sums.iter_mut().flatten().for_each(|value| *value *= scale);
        sums
    }
}
