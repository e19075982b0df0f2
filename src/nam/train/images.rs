//! The images that a trainer draws its batches from.

use super::super::random::{Purpose, source};
use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use std::sync::Arc;

/// Square images in [-1, 1], held in memory of the host: `[count, channels, size, size]`. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    values: Arc<Vec<f32>>,
    count: usize,
    channels: usize,
    size: usize,
}

impl Images {
    /// Takes `[count, channels, size, size]`.
    ///
    /// # Errors
    /// When the tensor has another form or no image.
    pub fn from_tensor(images: &Tensor) -> Result<Self> {
        let (count, channels, size, width) = images.dims4()?;
        Self::from_values(images.flatten_all()?.to_vec1()?, count, channels, size).and_then(|images| {
            if size == width { Ok(images) } else { Err(Error::new("Training images must be square.")) }
        })
    }

    /// Takes pictures that are all squares of the same size.
    ///
    /// # Errors
    /// When they are not, or there is none.
    pub fn from_pictures<'a>(pictures: impl IntoIterator<Item = &'a Picture>, channels: usize) -> Result<Self> {
        let (mut values, mut count, mut size) = (Vec::new(), 0, 0);
        for picture in pictures {
            if picture.width() != picture.height() || (count > 0 && picture.width() != size) {
                return Err(Error::new("Training images must all be squares of the same size."));
            }
            size = picture.width();
            count += 1;
            values.extend(picture.to_planes(channels));
        }
        Self::from_values(values, count, channels, size)
    }

    fn from_values(values: Vec<f32>, count: usize, channels: usize, size: usize) -> Result<Self> {
        if count == 0 || values.len() != count * channels * size * size {
            return Err(Error::new("There are no images to train on."));
        }
        Ok(Self { values: Arc::new(values), count, channels, size })
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

    /// The values of one image, `[channels, size, size]`.
    pub(crate) fn image(&self, row: usize) -> &[f32] {
        let length = self.channels * self.size * self.size;
        &self.values[row * length..(row + 1) * length]
    }

    /// The images of these rows, `[rows, channels, size, size]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn batch(&self, rows: &[usize], device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = rows.iter().flat_map(|&row| self.image(row)).copied().collect();
        Ok(Tensor::from_vec(values, (rows.len(), self.channels, self.size, self.size), device)?)
    }

    /// As [`Images::batch`], each moved by up to `shift` pixels in both directions; the border's pixels are repeated.
    pub(crate) fn shifted_batch(
        &self,
        rows: &[usize],
        shift: usize,
        source: &mut rand::rngs::StdRng,
        device: &Device,
    ) -> Result<Tensor> {
        if shift == 0 {
            return self.batch(rows, device);
        }
        let mut values = Vec::with_capacity(rows.len() * self.channels * self.size * self.size);
        for &row in rows {
            let mut offset = || source.random_range(-(shift as i32)..=shift as i32);
            let (down, right) = (offset(), offset());
            push_shifted(&mut values, self.image(row), self.size, down, right);
        }
        Ok(Tensor::from_vec(values, (rows.len(), self.channels, self.size, self.size), device)?)
    }

    /// These images without `count` of them, and those: chosen by the seed, so that the two never meet.
    ///
    /// # Errors
    /// When nothing would be left.
    pub fn split(&self, count: usize, seed: u64) -> Result<(Self, Self)> {
        if count == 0 || count >= self.count {
            let all = self.count;
            return Err(Error::new(format!(
                "{count} of {all} images cannot be held out: some must be left on each side."
            )));
        }
        let mut rows: Vec<usize> = (0..self.count).collect();
        rows.shuffle(&mut source(seed, Purpose::Pairs, 3));
        let (held, kept) = rows.split_at_mut(count);
        held.sort_unstable();
        kept.sort_unstable();
        let pick = |rows: &[usize]| {
            let values = rows.iter().flat_map(|&row| self.image(row)).copied().collect();
            Self::from_values(values, rows.len(), self.channels, self.size)
        };
        Ok((pick(kept)?, pick(held)?))
    }

    /// A number that tells these images from others, for checkpoints.
    pub(super) fn fingerprint(&self) -> String {
        let mix = |sum: u64, value: &f32| (sum ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        let sum = self.values.iter().step_by(61).fold(0xcbf2_9ce4_8422_2325, mix);
        format!("{}x{}x{}x{}-{sum:016x}", self.count, self.channels, self.size, self.size)
    }
}

/// Appends the planes of an image moved `down` and `right`, its border repeated.
pub(crate) fn push_shifted(values: &mut Vec<f32>, image: &[f32], size: usize, down: i32, right: i32) {
    let last = size as i32 - 1;
    let from = |place: usize, by: i32| (place as i32 - by).clamp(0, last) as usize;
    for plane in image.chunks_exact(size * size) {
        for row in 0..size {
            let line = &plane[from(row, down) * size..][..size];
            values.extend((0..size).map(|column| line[from(column, right)]));
        }
    }
}

/// The batches of an epoch: every image at most once, in an order that follows from the seed and the epoch.
pub(super) struct Order {
    seed: u64,
    count: usize,
    batch: usize,
    epoch: Option<usize>,
    rows: Vec<usize>,
}

impl Order {
    pub(super) fn new(seed: u64, count: usize, batch: usize) -> Self {
        Self { seed, count, batch: batch.clamp(1, count), epoch: None, rows: Vec::new() }
    }

    /// Full batches in an epoch; what is left over comes in another epoch's order.
    pub(super) fn batches(&self) -> usize {
        self.count / self.batch
    }

    /// The epoch of a step.
    pub(super) fn epoch(&self, step: usize) -> usize {
        step / self.batches()
    }

    /// The rows of a step.
    pub(super) fn rows(&mut self, step: usize) -> &[usize] {
        let epoch = self.epoch(step);
        if self.epoch != Some(epoch) {
            self.rows = (0..self.count).collect();
            self.rows.shuffle(&mut source(self.seed, Purpose::Order, epoch as u64));
            self.epoch = Some(epoch);
        }
        let start = step % self.batches() * self.batch;
        &self.rows[start..start + self.batch]
    }
}
