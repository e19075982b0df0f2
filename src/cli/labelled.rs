//! Images with their labels, prepared.

use super::progress::Progress;
use super::{interrupt, output};
use crate::data::{ImageSet, Images, Labels, Preparation};
use crate::{Error, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

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
        let progress = Mutex::new(Progress::new("Preparing images", "images", 0, set.len() as u64));
        let prepared = set.prepare_all(how, |_| {
            if let Ok(mut progress) = progress.lock() {
                progress.step(String::new);
            }
            if interrupt::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        drop(progress);
        if interrupt::happened() {
            return Err(Error::new("Stopped before all images were prepared."));
        }
        prepared.failures.iter().take(5).for_each(|failure| output::note(&format!("passed over: {failure}")));
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
