//! Prepared pictures as the planes that networks are trained on.

use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Small changes that leave a picture in its domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Shift by at most this many pixels along each axis; the border is repeated.
    pub shift: usize,
    /// Mirror every second picture. Only for domains without a side, as mixed sides blend into two-headed things.
    pub flip: bool,
}

/// Pictures of one size as planes in [-1, 1], `[count, channels, size, size]`.
pub struct Images {
    planes: Vec<f32>,
    count: usize,
    channels: usize,
    size: usize,
}

impl Images {
    /// Planes of square pictures of one size.
    ///
    /// # Errors
    /// When there is none, or they differ in size.
    pub fn new(pictures: &[Picture], channels: usize) -> Result<Self> {
        let Some(first) = pictures.first() else {
            return Err(Error::new("There are no pictures to train on."));
        };
        let size = first.width();
        if pictures.iter().any(|p| p.width() != size || p.height() != size) {
            return Err(Error::new("The pictures to train on must be squares of one size; prepare them first."));
        }
        let mut planes = Vec::with_capacity(pictures.len() * channels * size * size);
        pictures.iter().for_each(|picture| planes.extend(picture.to_planes(channels)));
        Ok(Self { planes, count: pictures.len(), channels, size })
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none; never so for one that was made by [`Images::new`].
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Channels of a picture.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows and columns of a picture.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The planes of one picture, `[channels, size, size]`.
    ///
    /// # Panics
    /// When there are not so many pictures.
    pub fn planes(&self, index: usize) -> &[f32] {
        let length = self.channels * self.size * self.size;
        &self.planes[index * length..][..length]
    }

    /// These pictures, `[indices, channels, size, size]`, changed as the augmentation says.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn batch(
        &self,
        indices: &[usize],
        augmentation: Augmentation,
        random: &mut impl Rng,
        device: &Device,
    ) -> Result<Tensor> {
        let mut planes = Vec::with_capacity(indices.len() * self.channels * self.size * self.size);
        for &index in indices {
            let reach = augmentation.shift as isize;
            let mut shift =
                || if reach == 0 { 0 } else { random.random_range(0..=2 * augmentation.shift) as isize - reach };
            let (dy, dx) = (shift(), shift());
            let mirror = augmentation.flip && random.random_bool(0.5);
            self.append_moved(index, (dy, dx), mirror, &mut planes);
        }
        Ok(Tensor::from_vec(planes, (indices.len(), self.channels, self.size, self.size), device)?)
    }

    fn append_moved(&self, index: usize, (dy, dx): (isize, isize), mirror: bool, to: &mut Vec<f32>) {
        let from = self.planes(index);
        if (dy, dx, mirror) == (0, 0, false) {
            return to.extend(from);
        }
        let last = self.size as isize - 1;
        for plane in from.chunks_exact(self.size * self.size) {
            for y in 0..=last {
                let row = &plane[(y + dy).clamp(0, last) as usize * self.size..][..self.size];
                to.extend((0..=last).map(|x| {
                    let x = (x + dx).clamp(0, last);
                    row[(if mirror { last - x } else { x }) as usize]
                }));
            }
        }
    }
}

/// `count` different indices below `from` (all of them shuffled, again and again, where `count` is larger).
pub fn draw_indices(random: &mut impl Rng, from: usize, count: usize) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count && from > 0 {
        let some = (count - drawn.len()).min(from);
        drawn.extend(rand::seq::index::sample(random, from, some));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_shift_repeats_the_border_and_a_flip_mirrors() {
        let mut picture = Picture::filled(4, 4, [255, 255, 255, 255]);
        picture.rgba_mut()[..4].copy_from_slice(&[0, 0, 0, 255]);
        let images = Images::new(&[picture], 1).unwrap();
        let mut moved = Vec::new();
        images.append_moved(0, (-1, 0), true, &mut moved);
        let black: Vec<usize> = (0..16).filter(|&i| moved[i] < -0.99).collect();
        assert_eq!(black, [3, 7]);
    }

    #[test]
    fn batches_have_the_right_shape_and_indices_differ() {
        let images = Images::new(&vec![Picture::filled(8, 8, [9, 9, 9, 255]); 5], 3).unwrap();
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut drawn = draw_indices(&mut random, 5, 5);
        let batch = images.batch(&drawn, Augmentation { shift: 2, flip: true }, &mut random, &Device::Cpu).unwrap();
        assert_eq!(batch.dims(), [5, 3, 8, 8]);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2, 3, 4]);
        assert_eq!(draw_indices(&mut random, 3, 7).len(), 7);
    }
}
