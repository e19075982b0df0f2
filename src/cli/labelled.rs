//! Images with their labels, prepared.

use super::train::images::prepare_set;
use crate::Result;
use crate::data::{ImageSet, Images, Labels, Preparation};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::path::Path;

/// Prepared images with a label each.
pub struct Labelled {
    /// What the set is called.
    pub title: String,
    /// The images.
    pub images: Images,
    /// The label of each.
    pub labels: Vec<f32>,
}

impl Labelled {
    /// Reads and prepares a set and its labels. Pictures that cannot be read are named and passed over.
    ///
    /// # Errors
    /// When there are none, or labels are missing.
    pub fn prepare(images: &Path, labels: &Path, how: &Preparation, channels: usize) -> Result<Self> {
        let set = ImageSet::open(images)?;
        let labels = Labels::open(labels)?.of(&set)?;
        let prepared = prepare_set(&set, how, 1)?;
        let labels = prepared.indices.iter().map(|&i| labels[i]).collect();
        let title = set.title().to_owned();
        Ok(Self { title, images: Images::from_pictures(&prepared.pictures, channels)?, labels })
    }

    /// At most so many of them, drawn by the seed.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn drawn(self, count: Option<usize>, seed: u64) -> Result<Self> {
        let Some(count) = count.filter(|&count| count < self.labels.len()) else { return Ok(self) };
        let mut rows: Vec<usize> = (0..self.labels.len()).collect();
        rows.shuffle(&mut StdRng::seed_from_u64(seed));
        rows.truncate(count);
        let images = Images::from_tensor(&self.images.batch(&rows, &candle_core::Device::Cpu)?)?;
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Ok(Self { title: self.title, images, labels })
    }
}
