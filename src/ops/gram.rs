//! Gram matrices (Gatys et al., CVPR 2016).

use candle_core::{Result, Tensor};

/// The Gram matrices `[n, c, c]` of features `[n, c, h, w]`, divided by c h w.
///
/// # Errors
/// When the features have another rank.
pub fn gram(features: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = features.dims4()?;
    let rows = features.reshape((n, c, h * w))?;
    rows.matmul(&rows.t()?)? / (c * h * w) as f64
}
