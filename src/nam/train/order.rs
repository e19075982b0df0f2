//! Which images a step of training takes, and which are held out.

use super::super::random::{Purpose, source};
use crate::Result;
use crate::data::Images;
use rand::seq::SliceRandom;

/// The images without `count` of them, and those: chosen by the seed, so that the two never meet.
///
/// # Errors
/// When nothing would be left.
pub fn hold_out(images: &Images, count: usize, seed: u64) -> Result<(Images, Images)> {
    images.split(count, &mut source(seed, Purpose::Pairs, 3))
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
