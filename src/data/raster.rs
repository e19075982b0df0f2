//! Planes of floating-point values, and the one resampler through which every picture passes.

use crate::Picture;

/// A part of a picture in its pixels; it may reach beyond the picture, where everything is white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Region {
    /// The whole picture.
    pub fn whole(picture: &Picture) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width() as f32, height: picture.height() as f32 }
    }

    /// A square of the given side with the same centre.
    pub fn square(&self, side: f32) -> Self {
        Self {
            x: self.x + (self.width - side) / 2.0,
            y: self.y + (self.height - side) / 2.0,
            width: side,
            height: side,
        }
    }
}

/// One plane of values, `[height, width]`.
#[derive(Clone)]
pub(crate) struct Plane {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

impl Plane {
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    /// Blurs by a Gaussian of the given standard deviation in pixels; beyond the border the edge values repeat.
    pub fn blur(&self, sigma: f32) -> Self {
        if sigma <= 0.0 {
            return self.clone();
        }
        let radius = (3.0 * sigma).ceil() as usize;
        let mut kernel: Vec<f32> =
            (0..=2 * radius).map(|i| (-0.5 * ((i as f32 - radius as f32) / sigma).powi(2)).exp()).collect();
        let sum: f32 = kernel.iter().sum();
        kernel.iter_mut().for_each(|k| *k /= sum);
        let (width, height) = (self.width, self.height);
        let mut across = vec![0.0; width * height];
        let mut padded = vec![0.0; width + 2 * radius];
        for (row, out) in self.values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
            padded[..radius].fill(row[0]);
            padded[radius..radius + width].copy_from_slice(row);
            padded[radius + width..].fill(row[width - 1]);
            for (i, k) in kernel.iter().enumerate() {
                out.iter_mut().zip(&padded[i..]).for_each(|(o, p)| *o += k * p);
            }
        }
        let mut values = vec![0.0; width * height];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            for (i, k) in kernel.iter().enumerate() {
                let row = (y + i).saturating_sub(radius).min(height - 1);
                out.iter_mut().zip(&across[row * width..]).for_each(|(o, p)| *o += k * p);
            }
        }
        Self { width, height, values }
    }

    /// The mean over blocks of `factor` x `factor`; what does not fill a block is dropped.
    pub fn shrink(&self, factor: usize) -> Self {
        let (width, height) = (self.width / factor, self.height / factor);
        let mut values = vec![0.0; width * height];
        for y in 0..height * factor {
            let row = &self.values[y * self.width..];
            for (x, out) in values[y / factor * width..][..width].iter_mut().enumerate() {
                *out += row[x * factor..(x + 1) * factor].iter().sum::<f32>();
            }
        }
        let area = (factor * factor) as f32;
        values.iter_mut().for_each(|v| *v /= area);
        Self { width, height, values }
    }

    /// The largest value within `radius` pixels across and down.
    pub fn dilate(&self, radius: usize) -> Self {
        let (width, height) = (self.width, self.height);
        let largest = |values: &[f32], from: usize, step: usize, at: usize, length: usize| {
            let range = at.saturating_sub(radius)..=(at + radius).min(length - 1);
            range.map(|i| values[from + i * step]).fold(f32::MIN, f32::max)
        };
        let across: Vec<f32> =
            (0..width * height).map(|i| largest(&self.values, i / width * width, 1, i % width, width)).collect();
        let values = (0..width * height).map(|i| largest(&across, i % width, width, i / width, height)).collect();
        Self { width, height, values }
    }

    /// The value at a place in shares of the width and height, between the pixels' centres linearly.
    pub fn sample(&self, u: f32, v: f32) -> f32 {
        let x = (u * self.width as f32 - 0.5).clamp(0.0, (self.width - 1) as f32);
        let y = (v * self.height as f32 - 0.5).clamp(0.0, (self.height - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (right, below) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (across, down) = (x - left as f32, y - top as f32);
        let at = |x: usize, y: usize| self.values[y * self.width + x];
        let row = |y: usize| at(left, y) * (1.0 - across) + at(right, y) * across;
        row(top) * (1.0 - down) + row(below) * down
    }

    /// The pieces of pixels of at least `least` that touch each other, diagonally too: the places in each.
    pub fn pieces(&self, least: f32) -> Vec<Vec<usize>> {
        let mut seen: Vec<bool> = self.values.iter().map(|v| *v < least).collect();
        let mut pieces = Vec::new();
        for start in 0..seen.len() {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let (mut piece, mut next) = (vec![start], 0);
            while next < piece.len() {
                let (x, y) = (piece[next] % self.width, piece[next] / self.width);
                next += 1;
                for v in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                    for u in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                        let i = v * self.width + u;
                        if !std::mem::replace(&mut seen[i], true) {
                            piece.push(i);
                        }
                    }
                }
            }
            pieces.push(piece);
        }
        pieces
    }

    /// Mirrors left and right.
    pub fn mirror(&mut self) {
        self.values.chunks_exact_mut(self.width).for_each(<[f32]>::reverse);
    }

    /// A grey picture, 0 black and 1 white.
    pub fn to_picture(&self) -> Picture {
        let rgba = self.values.iter().flat_map(|&v| [byte(v), byte(v), byte(v), 255]).collect();
        Picture::new(self.width, self.height, rgba).expect("a plane has a value for every pixel")
    }
}

fn byte(value: f32) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

/// Three planes, red, green and blue in gamma space, 0 to 1, alpha already laid over white.
#[derive(Clone)]
pub(crate) struct Raster {
    pub planes: [Plane; 3],
}

impl Raster {
    pub fn width(&self) -> usize {
        self.planes[0].width
    }

    pub fn height(&self) -> usize {
        self.planes[0].height
    }

    /// Luma (Rec. 601).
    pub fn luma(&self) -> Plane {
        let [r, g, b] = &self.planes;
        let values = r.values.iter().zip(&g.values).zip(&b.values);
        let values = values.map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect();
        Plane { width: self.width(), height: self.height(), values }
    }

    /// The pixels' colours, row by row.
    pub fn colours(&self) -> impl Iterator<Item = [f32; 3]> {
        let [r, g, b] = &self.planes;
        r.values.iter().zip(&g.values).zip(&b.values).map(|((&r, &g), &b)| [r, g, b])
    }

    /// Mirrors left and right.
    pub fn mirror(&mut self) {
        self.planes.iter_mut().for_each(Plane::mirror);
    }

    pub fn to_picture(&self) -> Picture {
        let rgba = self.colours().flat_map(|[r, g, b]| [byte(r), byte(g), byte(b), 255]).collect();
        Picture::new(self.width(), self.height(), rgba).expect("planes have a value for every pixel")
    }
}

/// The weights of one output sample along an axis: source samples from `first` on, and what falls outside.
struct Taps {
    first: usize,
    weights: Vec<f32>,
    outside: f32,
}

/// Catmull-Rom taps along one axis, stretched when the region is reduced so that nothing aliases.
fn taps(start: f32, length: f32, source: usize, target: usize) -> Vec<Taps> {
    let scale = length / target as f32;
    let stretch = scale.max(1.0);
    (0..target)
        .map(|i| {
            let centre = start + (i as f32 + 0.5) * scale - 0.5;
            let (from, to) = ((centre - 2.0 * stretch).ceil() as i64, (centre + 2.0 * stretch).floor() as i64);
            let mut taps = Taps { first: from.clamp(0, source as i64) as usize, weights: Vec::new(), outside: 0.0 };
            let mut sum = 0.0;
            for j in from..=to {
                let weight = catmull_rom((j as f32 - centre) / stretch);
                sum += weight;
                if (0..source as i64).contains(&j) {
                    taps.weights.push(weight);
                } else {
                    taps.outside += weight;
                }
            }
            taps.weights.iter_mut().for_each(|w| *w /= sum);
            taps.outside /= sum;
            taps
        })
        .collect()
}

fn catmull_rom(x: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// Draws a region of a picture into `width` x `height` pixels: alpha over white first, then an antialiased
/// Catmull-Rom filter. Only the rows that are needed are read, so a large photograph costs no large copy.
pub(crate) fn resample(picture: &Picture, region: Region, width: usize, height: usize) -> Raster {
    let columns = taps(region.x, region.width, picture.width(), width);
    let rows = taps(region.y, region.height, picture.height(), height);
    let from = rows.iter().map(|t| t.first).min().unwrap_or(0).min(picture.height());
    let to = rows.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0).clamp(from, picture.height());
    let mut across = [0; 3].map(|_| vec![0.0; width * (to - from)]);
    let mut line = [0; 3].map(|_| vec![0.0; picture.width()]);
    for y in from..to {
        let row = &picture.rgba()[4 * y * picture.width()..][..4 * picture.width()];
        for (c, line) in line.iter_mut().enumerate() {
            for (out, pixel) in line.iter_mut().zip(row.chunks_exact(4)) {
                let alpha = f32::from(pixel[3]) / 255.0;
                *out = f32::from(pixel[c]) / 255.0 * alpha + 1.0 - alpha;
            }
            for (out, taps) in across[c][(y - from) * width..].iter_mut().zip(&columns) {
                let inside: f32 = taps.weights.iter().zip(&line[taps.first..]).map(|(w, v)| w * v).sum();
                *out = inside + taps.outside;
            }
        }
    }
    let planes = across.map(|across| {
        let mut plane = Plane::filled(width, height, 0.0);
        for (out, taps) in plane.values.chunks_exact_mut(width).zip(&rows) {
            out.fill(taps.outside);
            for (i, weight) in taps.weights.iter().enumerate() {
                let row = &across[(taps.first + i - from) * width..];
                out.iter_mut().zip(row).for_each(|(o, v)| *o += weight * v);
            }
            out.iter_mut().for_each(|o| *o = o.clamp(0.0, 1.0));
        }
        plane
    });
    Raster { planes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_of_its_own_size_is_copied() {
        let rgba: Vec<u8> = (0..4 * 7 * 5).map(|i| if i % 4 == 3 { 255 } else { (i * 37 % 251) as u8 }).collect();
        let picture = Picture::new(7, 5, rgba).unwrap();
        assert_eq!(resample(&picture, Region::whole(&picture), 7, 5).to_picture(), picture);
        let part = resample(&picture, Region { x: 5.0, y: 3.0, width: 4.0, height: 4.0 }, 4, 4).to_picture();
        assert_eq!(part.pixel(0, 0), picture.pixel(5, 3));
        assert_eq!(part.pixel(1, 1), picture.pixel(6, 4));
        assert_eq!(part.pixel(3, 3), Some([255; 4]), "beyond the picture everything is white");
    }

    #[test]
    fn reduction_averages_and_respects_alpha() {
        // A fine chequerboard must become an even grey, not a moire pattern.
        let rgba = (0..64 * 64).flat_map(|i| [if (i + i / 64) % 2 == 0 { 0 } else { 255 }; 3].into_iter().chain([255]));
        let picture = Picture::new(64, 64, rgba.collect()).unwrap();
        let small = resample(&picture, Region::whole(&picture).square(48.0), 9, 9).to_picture();
        assert!(small.rgba().chunks_exact(4).all(|p| p[0].abs_diff(127) <= 2), "{:?}", small.rgba());
        let clear = Picture::filled(9, 9, [0, 0, 0, 0]);
        assert_eq!(resample(&clear, Region::whole(&clear), 3, 3).to_picture(), Picture::filled(3, 3, [255; 4]));
    }

    #[test]
    fn blur_keeps_the_mean_and_shrink_averages() {
        let mut plane = Plane::filled(31, 29, 0.0);
        plane.values[14 * 31 + 15] = 1.0;
        let blurred = plane.blur(2.0);
        assert!((blurred.values.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let small = Plane { width: 4, height: 2, values: vec![0.0, 1.0, 4.0, 4.0, 2.0, 1.0, 4.0, 4.0] }.shrink(2);
        assert_eq!(small.values, [1.0, 4.0]);
    }
}
