//! A plain RGBA image, the only picture type that crosses modules.

use crate::{Error, Result};

/// An 8-bit RGBA picture in gamma space, rows from the top, alpha not premultiplied.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Picture {
    /// A picture of `width` x `height` pixels from `4 * width * height` bytes.
    ///
    /// # Errors
    /// When a side is zero or the bytes do not fill the picture exactly.
    pub fn new(width: usize, height: usize, rgba: Vec<u8>) -> Result<Self> {
        if width == 0 || height == 0 || Some(rgba.len()) != width.checked_mul(height).and_then(|n| n.checked_mul(4)) {
            return Err(Error::new(format!(
                "{} bytes do not make a picture of {width} x {height} pixels.",
                rgba.len()
            )));
        }
        Ok(Self { width, height, rgba })
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 4]) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self { width, height, rgba: colour.repeat(width * height) }
    }

    /// A picture from the planes `[channels, height, width]` of values in [-1, 1] that the networks use; one channel
    /// is grey, more than three are cut to the first three. Values outside are clamped, NaN is black.
    ///
    /// # Errors
    /// When the values do not fill the planes exactly.
    pub fn from_planes(planes: &[f32], channels: usize, width: usize, height: usize) -> Result<Self> {
        let area = width * height;
        if channels == 0 || area == 0 || planes.len() != channels * area {
            return Err(Error::new(format!(
                "{} values do not make {channels} planes of {width} x {height} pixels.",
                planes.len()
            )));
        }
        let byte = |v: f32| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        let mut rgba = vec![255; 4 * area];
        for (i, pixel) in rgba.chunks_exact_mut(4).enumerate() {
            for (c, value) in pixel[..3].iter_mut().enumerate() {
                let plane = if channels < 3 { 0 } else { c };
                *value = byte(planes[plane * area + i]);
            }
        }
        Self::new(width, height, rgba)
    }

    /// The planes `[channels, height, width]` in [-1, 1] that the networks see: alpha over white; one channel is
    /// luma (Rec. 601), three are RGB.
    pub fn to_planes(&self, channels: usize) -> Vec<f32> {
        let area = self.width * self.height;
        let mut planes = vec![0.0; channels * area];
        for (i, pixel) in self.rgba.chunks_exact(4).enumerate() {
            let alpha = f32::from(pixel[3]) / 255.0;
            let [r, g, b] = [0, 1, 2].map(|c| f32::from(pixel[c]) * alpha + 255.0 * (1.0 - alpha));
            if channels == 1 {
                planes[i] = (0.299 * r + 0.587 * g + 0.114 * b) / 127.5 - 1.0;
            } else {
                for (c, value) in [r, g, b].into_iter().take(channels).enumerate() {
                    planes[c * area + i] = value / 127.5 - 1.0;
                }
            }
        }
        planes
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, four a pixel: `[height, width, 4]`.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// The bytes, to be drawn into.
    pub fn rgba_mut(&mut self) -> &mut [u8] {
        &mut self.rgba
    }

    /// The bytes, taken out.
    pub fn into_rgba(self) -> Vec<u8> {
        self.rgba
    }

    /// The colour at a pixel, or `None` outside.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 4]> {
        let start = 4 * (y * self.width + x);
        (x < self.width && y < self.height).then(|| self.rgba[start..start + 4].try_into().expect("four bytes"))
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_back_change_nothing() {
        let rgba: Vec<u8> = (0..4 * 5 * 3).map(|i| if i % 4 == 3 { 255 } else { (i * 4) as u8 }).collect();
        let picture = Picture::new(5, 3, rgba).unwrap();
        assert_eq!(Picture::from_planes(&picture.to_planes(3), 3, 5, 3).unwrap(), picture);
    }

    #[test]
    fn transparent_is_white() {
        let picture = Picture::filled(1, 1, [0, 0, 0, 0]);
        assert_eq!(picture.to_planes(3), [1.0, 1.0, 1.0]);
        assert!((picture.to_planes(1)[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(Picture::new(2, 2, vec![0; 15]).is_err());
        assert!(Picture::new(0, 2, vec![]).is_err());
        assert!(Picture::new(usize::MAX, 2, vec![]).is_err());
        assert!(Picture::from_planes(&[0.0; 3], 1, 2, 2).is_err());
    }
}
