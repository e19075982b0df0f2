//! Prepared pictures as the planes that networks are trained on.

use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Small changes that leave a picture in its domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Shift by at most this many pixels along each axis; the border is repeated.
    pub shift: usize,
    /// Mirror every second picture. Only for domains without a side, as mixed sides blend into two-headed things.
    pub flip: bool,
}

impl Augmentation {
    /// Draws what is done to one picture.
    pub fn draw(self, random: &mut impl Rng) -> Move {
        let Move { down, right, .. } = Move::draw(self.shift, random);
        // What is drawn counts up and to the left here, so that a seed stands for the pictures that it always did.
        Move { mirror: self.flip && random.random_bool(0.5), down: -down, right: -right }
    }
}

/// How a square picture is moved: mirrored first, then shifted, its border repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// Whether left and right change places.
    pub mirror: bool,
    /// Pixels downwards.
    pub down: i32,
    /// Pixels to the right.
    pub right: i32,
}

impl Move {
    /// A shift by up to `reach` pixels in both directions; nothing is drawn where `reach` is 0.
    pub fn draw(reach: usize, random: &mut impl Rng) -> Self {
        let reach = reach as i32;
        let mut offset = || if reach == 0 { 0 } else { random.random_range(-reach..=reach) };
        Self { mirror: false, down: offset(), right: offset() }
    }

    /// Appends the moved planes of a picture, `[any, size, size]`.
    pub fn append(self, planes: &[f32], size: usize, to: &mut Vec<f32>) {
        if self == Self::default() {
            return to.extend_from_slice(planes);
        }
        let last = size.saturating_sub(1);
        let from = |place: usize, by: i32| (place as i32 - by).clamp(0, last as i32) as usize;
        for plane in planes.chunks_exact(size * size) {
            for row in 0..size {
                let line = &plane[from(row, self.down) * size..][..size];
                to.extend((0..size).map(|column| {
                    let column = from(column, self.right);
                    line[if self.mirror { last - column } else { column }]
                }));
            }
        }
    }
}

/// Square pictures of one size as planes in [-1, 1], `[count, channels, size, size]`, in memory of the host. Cheap to
/// clone.
#[derive(Clone)]
pub struct Images {
    planes: Arc<Vec<f32>>,
    count: usize,
    channels: usize,
    size: usize,
}

impl Images {
    /// Takes pictures that are all squares of one size.
    ///
    /// # Errors
    /// When they are not, or there is none.
    pub fn from_pictures<'a>(pictures: impl IntoIterator<Item = &'a Picture>, channels: usize) -> Result<Self> {
        let (mut planes, mut count, mut size) = (Vec::new(), 0, 0);
        for picture in pictures {
            if picture.width() != picture.height() || (count > 0 && picture.width() != size) {
                return Err(Error::new("The images to train on must be squares of one size; prepare them first."));
            }
            size = picture.width();
            count += 1;
            planes.extend(picture.to_planes(channels));
        }
        Self::from_planes(planes, count, channels, size)
    }

    /// Takes `[count, channels, size, size]`.
    ///
    /// # Errors
    /// When the tensor has another form or no image.
    pub fn from_tensor(images: &Tensor) -> Result<Self> {
        let (count, channels, size, width) = images.dims4()?;
        if size != width {
            return Err(Error::new("The images to train on must be squares."));
        }
        Self::from_planes(images.flatten_all()?.to_vec1()?, count, channels, size)
    }

    fn from_planes(planes: Vec<f32>, count: usize, channels: usize, size: usize) -> Result<Self> {
        if count == 0 || planes.len() != count * channels * size * size {
            return Err(Error::new("There are no images to train on."));
        }
        Ok(Self { planes: Arc::new(planes), count, channels, size })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none; never so.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Channels of each.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Pixels a side.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The planes of one image, `[channels, size, size]`.
    ///
    /// # Panics
    /// When there are not so many images.
    pub fn planes(&self, row: usize) -> &[f32] {
        let length = self.channels * self.size * self.size;
        &self.planes[row * length..][..length]
    }

    /// The images of these rows, `[rows, channels, size, size]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn batch(&self, rows: &[usize], device: &Device) -> Result<Tensor> {
        self.moved_batch(rows, Move::default, device)
    }

    /// As [`Images::batch`], each moved as `next` says, which is asked once for every row.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn moved_batch(&self, rows: &[usize], mut next: impl FnMut() -> Move, device: &Device) -> Result<Tensor> {
        let mut planes = Vec::with_capacity(rows.len() * self.channels * self.size * self.size);
        rows.iter().for_each(|&row| next().append(self.planes(row), self.size, &mut planes));
        Ok(Tensor::from_vec(planes, (rows.len(), self.channels, self.size, self.size), device)?)
    }

    /// These images without `count` of them, and those: drawn, each in the order that it had.
    ///
    /// # Errors
    /// When nothing would be left.
    pub fn split(&self, count: usize, random: &mut impl Rng) -> Result<(Self, Self)> {
        if count == 0 || count >= self.count {
            let all = self.count;
            return Err(Error::new(format!(
                "{count} of {all} images cannot be held out: some must be left on each side."
            )));
        }
        let mut rows: Vec<usize> = (0..self.count).collect();
        rows.shuffle(random);
        let (held, kept) = rows.split_at_mut(count);
        held.sort_unstable();
        kept.sort_unstable();
        let pick = |rows: &[usize]| {
            let planes = rows.iter().flat_map(|&row| self.planes(row)).copied().collect();
            Self::from_planes(planes, rows.len(), self.channels, self.size)
        };
        Ok((pick(kept)?, pick(held)?))
    }

    /// A text that tells these images from others, for checkpoints.
    pub fn fingerprint(&self) -> String {
        let mix = |sum: u64, value: &f32| (sum ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        let sum = self.planes.iter().step_by(61).fold(0xcbf2_9ce4_8422_2325, mix);
        format!("{}x{}x{}x{}-{sum:016x}", self.count, self.channels, self.size, self.size)
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

/// The images of a tensor `[n, channels, h, w]` as pictures.
///
/// # Errors
/// When the device fails.
pub fn pictures_of(images: &Tensor) -> Result<Vec<Picture>> {
    let (_, channels, height, width) = images.dims4()?;
    let rows = images.flatten_from(1)?.to_vec2::<f32>()?;
    rows.iter().map(|row| Picture::from_planes(row, channels, width, height)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn moved(image: &[f32], size: usize, how: Move) -> Vec<f32> {
        let mut planes = Vec::new();
        how.append(image, size, &mut planes);
        planes
    }

    #[test]
    fn a_shift_repeats_the_border_and_a_flip_mirrors() {
        let image: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let how = Move { mirror: false, down: 1, right: -1 };
        assert_eq!(moved(&image, 3, how), [1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 4.0, 5.0, 5.0]);
        let how = Move { mirror: true, down: 0, right: 1 };
        assert_eq!(moved(&image, 3, how), [2.0, 2.0, 1.0, 5.0, 5.0, 4.0, 8.0, 8.0, 7.0]);
        let how = Move { mirror: true, ..Move::default() };
        assert_eq!(moved(&moved(&image, 3, how), 3, how), image);
        assert_eq!(moved(&image, 3, Move::default()), image);
    }

    #[test]
    fn a_seed_stands_for_the_same_moves_for_ever() {
        // Models are documented by their seeds: these numbers must not change.
        let mut random = StdRng::seed_from_u64(1);
        let shifts: Vec<_> = (0..4).map(|_| Move::draw(2, &mut random)).map(|m| (m.down, m.right)).collect();
        assert_eq!(shifts, [(2, 2), (1, 1), (-2, 0), (-1, -2)]);
        let mut random = StdRng::seed_from_u64(1);
        let both = Augmentation { shift: 2, flip: true };
        let moves: Vec<_> = (0..4).map(|_| both.draw(&mut random)).map(|m| (m.down, m.right, m.mirror)).collect();
        assert_eq!(moves, [(-2, -2, false), (2, 0, true), (-1, 1, false), (-1, 1, false)]);
        let (mut drawn, mut untouched) = (StdRng::seed_from_u64(2), StdRng::seed_from_u64(2));
        assert_eq!(Augmentation::default().draw(&mut drawn), Move::default());
        assert_eq!(drawn.random::<u64>(), untouched.random::<u64>(), "what changes nothing must draw nothing");
    }

    #[test]
    fn batches_have_the_right_shape_and_indices_differ() {
        let images = Images::from_pictures(&vec![Picture::filled(8, 8, [9, 9, 9, 255]); 5], 3).unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let mut drawn = draw_indices(&mut random, 5, 5);
        let both = Augmentation { shift: 2, flip: true };
        let batch = images.moved_batch(&drawn, || both.draw(&mut random), &Device::Cpu).unwrap();
        assert_eq!(batch.dims(), [5, 3, 8, 8]);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2, 3, 4]);
        assert_eq!(draw_indices(&mut random, 3, 7).len(), 7);
    }

    #[test]
    fn what_is_not_square_or_not_there_is_refused() {
        let pictures = [Picture::filled(8, 8, [0; 4]), Picture::filled(9, 9, [0; 4])];
        assert!(Images::from_pictures(&pictures, 3).is_err());
        assert!(Images::from_pictures(&[Picture::filled(8, 9, [0; 4])], 3).is_err());
        assert!(Images::from_pictures(&[], 3).is_err());
        assert!(
            Images::from_tensor(&Tensor::zeros((2, 1, 4, 5), candle_core::DType::F32, &Device::Cpu).unwrap()).is_err()
        );
    }

    #[test]
    fn a_split_keeps_every_image_on_one_side() {
        let values: Vec<f32> = (0..40).map(|v| v as f32).collect();
        let all = Images::from_tensor(&Tensor::from_vec(values, (10, 1, 2, 2), &Device::Cpu).unwrap()).unwrap();
        let (kept, held) = all.split(3, &mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!((kept.len(), held.len()), (7, 3));
        let mut firsts: Vec<f32> = (0..7).map(|i| kept.planes(i)[0]).chain((0..3).map(|i| held.planes(i)[0])).collect();
        assert!(firsts[..7].is_sorted() && firsts[7..].is_sorted());
        firsts.sort_by(f32::total_cmp);
        assert!(firsts.iter().enumerate().all(|(i, &first)| first == 4.0 * i as f32), "{firsts:?}");
        assert_ne!(kept.fingerprint(), all.fingerprint());
        for count in [0, 10] {
            assert!(all.split(count, &mut StdRng::seed_from_u64(1)).is_err());
        }
    }
}
