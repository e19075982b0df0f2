//! An augmentation of what T sees: a mapping to outlines should not depend on how dark a thing is.

use crate::Result;
use candle_core::Tensor;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Mean darkness of a picture that is nearly white; it is not made darker than this allows.
const FAINT: f32 = 0.02;

/// The range of mean darkness, from 0 (white) to 1 (black), that pictures of X are brought to before T sees them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The lowest.
    pub least: f32,
    /// The highest.
    pub most: f32,
}

impl Contrast {
    /// Whether it is a range that pictures can have.
    pub fn is_possible(self) -> bool {
        0.0 < self.least && self.least <= self.most && self.most < 1.0
    }

    /// Brings each of the pictures `[n, c, h, w]` to a mean darkness d' of its own, drawn from the range, whatever its
    /// own darkness d is: x' = 1 - (d' / d) (1 - x). The gradient in x takes d' / d as given.
    ///
    /// Without it the darkest things of X, whose outlines T draws most easily, become the counterparts of everything.
    pub(super) fn apply(self, x: &Tensor, source: &mut StdRng) -> Result<Tensor> {
        let count = x.dim(0)?;
        let mean: Vec<f32> = x.detach().flatten_from(1)?.mean(1)?.to_vec1()?;
        let factors: Vec<f32> = mean
            .iter()
            .map(|mean| {
                let wanted = self.least + (self.most - self.least) * source.random::<f32>();
                wanted / (0.5 * (1.0 - mean)).max(FAINT)
            })
            .collect();
        let white: Vec<f32> = factors.iter().map(|factor| 1.0 - factor).collect();
        let each = |values| Tensor::from_vec(values, (count, 1, 1, 1), x.device());
        Ok(x.broadcast_mul(&each(factors)?)?.broadcast_add(&each(white)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use rand::SeedableRng;

    #[test]
    fn dark_and_light_pictures_become_alike_and_white_stays_white() {
        // A black spot and a light grey one on white.
        let x = Tensor::from_vec(vec![1f32, -1.0, 1.0, 1.0, 1.0, 0.6, 1.0, 1.0], (2, 1, 2, 2), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let range = Contrast { least: 0.05, most: 0.2 };
        let y = range.apply(&x, &mut StdRng::seed_from_u64(3)).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().flatten_all().unwrap();
        let (y, gradient): (Vec<f32>, Vec<f32>) =
            (y.flatten_all().unwrap().to_vec1().unwrap(), gradient.to_vec1().unwrap());
        for (picture, (gradient, before)) in y.chunks(4).zip(gradient.chunks(4).zip([-1.0, 0.6])) {
            let darkness = picture.iter().map(|value| 0.5 * (1.0 - value)).sum::<f32>() / 4.0;
            assert!((0.05..=0.2).contains(&darkness), "{darkness}");
            assert!((picture[0] - 1.0).abs() < 1e-6);
            assert!((1.0 - picture[1] - gradient[1] * (1.0 - before)).abs() < 1e-5);
        }
        let same = Contrast { least: 0.1, most: 0.1 }.apply(&x, &mut StdRng::seed_from_u64(4)).unwrap();
        let same: Vec<f32> = same.flatten_all().unwrap().to_vec1().unwrap();
        assert!((same[1] - same[5]).abs() < 1e-6, "one darkness for both");
    }

    #[test]
    fn impossible_ranges_are_known() {
        let range = |least, most| Contrast { least, most }.is_possible();
        assert!(range(0.05, 0.2) && range(0.1, 0.1));
        assert!(!range(0.0, 0.2) && !range(0.3, 0.2) && !range(0.1, 1.0) && !range(f32::NAN, 0.2));
    }
}
