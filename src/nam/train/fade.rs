//! An augmentation of what T sees: a mapping to outlines should not depend on how dark a thing is.

use crate::Result;
use candle_core::Tensor;
use rand::RngExt;
use rand::rngs::StdRng;

/// Fades each of the pictures `[n, c, h, w]` towards white by a share of its own, drawn from [0, `most`]:
/// x' = 1 - (1 - share) (1 - x). The gradient in x is that of the same line.
///
/// Without it the darkest things of X, whose outlines T draws most easily, become the counterparts of everything.
pub(super) fn faded(x: &Tensor, most: f32, source: &mut StdRng) -> Result<Tensor> {
    if most <= 0.0 {
        return Ok(x.clone());
    }
    let count = x.dim(0)?;
    let kept: Vec<f32> = (0..count).map(|_| 1.0 - most * source.random::<f32>()).collect();
    let white: Vec<f32> = kept.iter().map(|kept| 1.0 - kept).collect();
    let each = |values| Tensor::from_vec(values, (count, 1, 1, 1), x.device());
    Ok(x.broadcast_mul(&each(kept)?)?.broadcast_add(&each(white)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use rand::SeedableRng;

    #[test]
    fn white_stays_white_and_black_becomes_grey() {
        let x = Tensor::from_vec(vec![1f32, -1.0, 1.0, -1.0, 1.0, -1.0], (3, 1, 1, 2), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let y = faded(&x, 0.5, &mut StdRng::seed_from_u64(3)).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().flatten_all().unwrap();
        let (y, gradient): (Vec<f32>, Vec<f32>) =
            (y.flatten_all().unwrap().to_vec1().unwrap(), gradient.to_vec1().unwrap());
        for (pair, slope) in y.chunks(2).zip(gradient.chunks(2)) {
            assert_eq!(pair[0], 1.0);
            assert!((-1.0..=0.0).contains(&pair[1]));
            assert!((pair[1] - (1.0 - 2.0 * slope[0])).abs() < 1e-6 && slope[0] == slope[1]);
        }
        assert!(y[1] != y[3], "each has a share of its own");
    }
}
