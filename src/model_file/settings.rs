//! What the manifest says beyond shapes: the loss, and how well held-out images were explained.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The reconstruction loss between T(G(z)) and y, a weighted sum of means over elements ([NAM] eq. 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossConfig {
    /// Weight of the mean absolute difference of pixels.
    pub pixel_l1: f32,
    /// Weight of the mean squared difference of pixels.
    pub pixel_l2: f32,
    /// Weight of the mean absolute difference of features at each perceptual level, the finest first. Empty: no
    /// perceptual network takes part.
    pub perceptual: Vec<f32>,
    /// Weight of the mean absolute difference of Gram matrices (style), over as many levels as `perceptual` lists.
    pub gram: f32,
    /// Weight of the mean absolute difference of the Gram matrices of [`crate::ops::ink`]: how much of which colours is
    /// there, and how much of the picture they cover, wherever it is. White is no ink, so that what counts is what stands
    /// on it.
    pub colour: f32,
    /// The share of the picture that things of X cover: the ink of y is compared as though y covered as much
    /// ([`crate::ops::ink_gram`]), where how large things are says nothing of one another. 0: as it is.
    pub cover: f32,
    /// Weight of the mean absolute difference of Laplacian pyramids ([GLO]).
    pub laplacian: f32,
    /// Levels of the Laplacian pyramids, the low pass included.
    pub laplacian_levels: usize,
}

impl Default for LossConfig {
    /// Pixel L1 alone.
    fn default() -> Self {
        let (pixel_l2, gram, colour, cover, laplacian) = (0.0, 0.0, 0.0, 0.0, 0.0);
        Self { pixel_l1: 1.0, pixel_l2, perceptual: Vec::new(), gram, colour, cover, laplacian, laplacian_levels: 4 }
    }
}

impl LossConfig {
    /// Pixel L1 and the first `levels` perceptual levels, all of weight 1, as the paper has it.
    pub fn perceptual(levels: usize) -> Self {
        Self { perceptual: vec![1.0; levels], ..Self::default() }
    }

    /// Whether the loss needs a perceptual network.
    pub fn needs_perceptual(&self) -> bool {
        !self.perceptual.is_empty() && (self.gram != 0.0 || self.perceptual.iter().any(|&weight| weight != 0.0))
    }

    /// Refuses weights that are negative or not numbers, and a loss that is nothing.
    ///
    /// # Errors
    /// With a sentence that names the part that is wrong.
    pub fn check(&self) -> Result<()> {
        let single = [
            ("pixel L1", self.pixel_l1),
            ("pixel L2", self.pixel_l2),
            ("Gram", self.gram),
            ("colour", self.colour),
            ("Laplacian", self.laplacian),
        ];
        let all = single.into_iter().chain(self.perceptual.iter().map(|&weight| ("perceptual", weight)));
        let mut sum = 0.0;
        for (name, weight) in all {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::new(format!("The weight {weight} of the {name} loss is not a number from 0 up.")));
            }
            sum += weight;
        }
        if !(0.0..=1.0).contains(&self.cover) {
            return Err(Error::new(format!("The cover {} is no share of a picture, from 0 to 1.", self.cover)));
        }
        if self.perceptual.len() > 8 {
            return Err(Error::new("The loss lists more than eight perceptual levels."));
        }
        if self.gram > 0.0 && self.perceptual.is_empty() {
            return Err(Error::new("The Gram loss needs perceptual levels; give them the weight 0 to use it alone."));
        }
        if self.laplacian > 0.0 && !(1..=8).contains(&self.laplacian_levels) {
            return Err(Error::new("A Laplacian pyramid has one to eight levels."));
        }
        if sum == 0.0 { Err(Error::new("The loss has no part whose weight is above 0.")) } else { Ok(()) }
    }
}

/// How well images of Y that training never saw were explained: the measure of how well a new image belongs to Y.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldOut {
    /// How many held-out images were solved for.
    pub images: usize,
    /// Random starts an image; its loss is that of the best.
    pub starts: usize,
    /// Steps a start.
    pub steps: usize,
    /// The losses at the percentiles 0, 1, ..., 100; empty when nothing was measured.
    pub percentiles: Vec<f32>,
}

impl HeldOut {
    /// The percentiles 0, 1, ..., 100 of `losses`, linearly interpolated; losses that are not finite are left out.
    pub fn from_losses(losses: &[f32], starts: usize, steps: usize) -> Self {
        let mut sorted: Vec<f32> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let at = |percent: usize| {
            let place = percent as f32 / 100.0 * (sorted.len() - 1) as f32;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        let percentiles = if sorted.is_empty() { Vec::new() } else { (0..=100).map(at).collect() };
        Self { images: sorted.len(), starts, steps, percentiles }
    }

    /// The percentage of held-out images whose loss was at least this high, 0 to 100: how well an image with this
    /// loss belongs to Y. `None` when nothing was measured.
    pub fn belonging(&self, loss: f32) -> Option<f32> {
        let last = self.percentiles.len().checked_sub(1).filter(|&last| last > 0)?;
        let above = self.percentiles.partition_point(|&value| value < loss);
        let place = match above {
            0 => 0.0,
            above if above > last => last as f32,
            above => {
                let (low, high) = (self.percentiles[above - 1], self.percentiles[above]);
                (above - 1) as f32 + if high > low { (loss - low) / (high - low) } else { 1.0 }
            }
        };
        Some(100.0 * (1.0 - place / last as f32))
    }

    /// How well an image belongs to Y whose starts reached `losses` after `steps` steps: [`Self::belonging`] of the
    /// loss that as many starts as were measured with would reach at best, on average over all choices of them. More
    /// starts thus make no image belong better. `None` when nothing was measured, or after fewer steps than the
    /// measurement took: losses still fall then, and say nothing yet. After more steps the figure is too high; judge by
    /// the losses at [`Self::steps`] where they are at hand.
    pub fn belonging_after(&self, losses: &[f32], steps: usize) -> Option<f32> {
        if steps < self.steps { None } else { self.belonging(expected_best(losses, self.starts)?) }
    }

    pub(super) fn check(&self) -> Result<()> {
        let ordered = self.percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
        let finite = self.percentiles.iter().all(|value| value.is_finite());
        if (self.percentiles.is_empty() || self.percentiles.len() == 101) && ordered && finite {
            return Ok(());
        }
        Err(Error::new("The percentiles of the held-out losses are not 101 numbers in ascending order."))
    }
}

/// The mean, over all choices of `chosen` of the losses, of the lowest one chosen; losses that are not finite are left
/// out.
fn expected_best(losses: &[f32], chosen: usize) -> Option<f32> {
    let mut sorted: Vec<f32> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let count = sorted.len();
    let chosen = chosen.clamp(1, count.max(1));
    // The probability that the i-th lowest is chosen and none below it: C(count - 1 - i, chosen - 1) / C(count, chosen).
    let mut probability = chosen as f32 / count as f32;
    let mut sum = 0.0;
    for (i, loss) in sorted.iter().enumerate().take(count + 1 - chosen) {
        sum += probability * loss;
        probability *= (count - i - chosen) as f32 / (count - 1 - i).max(1) as f32;
    }
    (count > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_starts_do_not_make_an_image_belong_better() {
        assert_eq!(expected_best(&[3.0, 1.0, 2.0], 1), Some(2.0));
        assert_eq!(expected_best(&[3.0, 1.0, f32::NAN, 2.0], 9), Some(1.0));
        // Of the pairs of 1, 2 and 3, two have the lowest 1 and one has 2.
        assert!((expected_best(&[3.0, 1.0, 2.0], 2).unwrap() - 4.0 / 3.0).abs() < 1e-6);
        assert_eq!(expected_best(&[], 2), None);
        let held_out = HeldOut::from_losses(&(0..=100).map(|i| i as f32).collect::<Vec<_>>(), 2, 50);
        let starts: Vec<f32> = (0..16).map(|i| 40.0 + i as f32).collect();
        let twice: Vec<f32> = starts.iter().chain(&starts).copied().collect();
        let (few, many) =
            (held_out.belonging_after(&starts, 50).unwrap(), held_out.belonging_after(&twice, 50).unwrap());
        assert!((few - many).abs() < 0.5, "{few} and {many}");
        assert!(few < held_out.belonging(40.0).unwrap() - 3.0);
        assert_eq!(held_out.belonging_after(&starts, 49), None);
    }

    #[test]
    fn percentiles_and_belonging() {
        let losses: Vec<f32> = (0..=200).rev().map(|i| i as f32 / 100.0).collect();
        let held_out = HeldOut::from_losses(&losses, 4, 50);
        assert_eq!((held_out.percentiles.len(), held_out.images), (101, 201));
        for (percent, value) in held_out.percentiles.iter().enumerate() {
            assert!((value - percent as f32 / 50.0).abs() < 1e-5);
        }
        for (loss, expected) in [(-1.0, 100.0), (0.5, 75.0), (1.0, 50.0), (2.0, 0.0), (9.0, 0.0)] {
            assert!((held_out.belonging(loss).unwrap() - expected).abs() < 1e-3, "{loss}");
        }
        assert_eq!(HeldOut::default().belonging(0.1), None);
        assert!(held_out.check().is_ok());
        assert!(HeldOut { percentiles: vec![1.0, 0.0], ..HeldOut::default() }.check().is_err());
    }

    #[test]
    fn equal_losses_do_not_divide_by_zero() {
        let held_out = HeldOut::from_losses(&[0.25; 7], 1, 1);
        assert_eq!(held_out.belonging(0.2), Some(100.0));
        assert_eq!(held_out.belonging(0.3), Some(0.0));
        assert!(held_out.belonging(0.25).unwrap().is_finite());
        assert!(HeldOut::from_losses(&[f32::NAN], 1, 1).percentiles.is_empty());
    }

    #[test]
    fn senseless_losses_are_refused() {
        let good = LossConfig::perceptual(3);
        assert!(good.check().is_ok() && good.needs_perceptual());
        assert!(LossConfig { pixel_l1: f32::NAN, ..good.clone() }.check().is_err());
        assert!(LossConfig { pixel_l1: -1.0, ..good.clone() }.check().is_err());
        assert!(LossConfig { gram: 1.0, ..LossConfig::default() }.check().is_err());
        assert!(LossConfig { pixel_l1: 0.0, ..LossConfig::default() }.check().is_err());
        assert!(!LossConfig::default().needs_perceptual());
    }
}
