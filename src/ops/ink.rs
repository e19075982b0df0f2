//! How much ink of which colours an image has.

use super::gram;
use candle_core::{D, Device, Result, Tensor};

/// How much longer the axes of hues are than that of lightness.
const CHROMA: f32 = 3.0;
/// How fast cover rises with ink: a tenth of the ink of black covers two thirds.
pub const COVER_RISE: f64 = 8.0;
/// How long the axis of cover is, where that of lightness is 1.
pub const COVER: f64 = 0.5;
/// What covers little is scaled by no more.
const MOST: f64 = 4.0;

/// The axes on which ink is compared, `[channels, channels]`: for colours lightness, red against green, and yellow against
/// blue; else the channels themselves.
///
/// Red, green and blue rise and fall together. An L1 loss of each of them has the sign of the difference in lightness in its
/// gradient, whatever the hue; on axes of their own, hues have signs of their own.
///
/// # Errors
/// When the device fails.
pub fn ink_axes(channels: usize, device: &Device) -> Result<Tensor> {
    if channels != 3 {
        return Tensor::eye(channels, candle_core::DType::F32, device);
    }
    let axes = [[1.0 / 3.0; 3], [CHROMA, -CHROMA, 0.0], [0.5 * CHROMA, 0.5 * CHROMA, -CHROMA]];
    Tensor::new(&axes, device)
}

/// The ink of images in [-1, 1], `[n, c, h, w]`, as `[n, c + 1, h, w]`: (1 - x) / 2 in every channel, 0 for white and 1 for
/// black, on the axes of [`ink_axes`]; and how well it covers, tanh of the channels' mean times [`COVER_RISE`], times [`COVER`].
///
/// In a Gram matrix, cover keeps how large a thing is, and what its colours are on average, apart from how strong they are:
/// without it, a small dark thing has what a large pale one has.
///
/// # Errors
/// When the images have another rank, or the device fails.
pub fn ink(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    let rows = images.affine(-0.5, 0.5)?.reshape((n, c, h * w))?;
    let axes = ink_axes(c, images.device())?.broadcast_as((n, c, c))?.contiguous()?;
    let cover = ((rows.mean_keepdim(1)? * COVER_RISE)?.tanh()? * COVER)?;
    Tensor::cat(&[axes.matmul(&rows)?, cover], 1)?.reshape((n, c + 1, h, w))
}

/// The Gram matrices of the ink of images `[n, c, h, w]`, `[n, c + 1, c + 1]`. Where `cover` is above 0, each is scaled to what
/// it would be if its image's ink covered that share of it, by a factor of four at most.
///
/// # Errors
/// When the images have another rank, or the device fails.
pub fn ink_gram(images: &Tensor, cover: f32) -> Result<Tensor> {
    let ink = ink(images)?;
    let grams = gram(&ink)?;
    if cover <= 0.0 {
        return Ok(grams);
    }
    let found = (ink.narrow(1, ink.dim(1)? - 1, 1)?.flatten_from(2)?.mean_keepdim(D::Minus1)? / COVER)?;
    let factors = (found.clamp(1e-6, 1.0)?.recip()? * f64::from(cover))?.minimum(MOST)?;
    grams.broadcast_mul(&factors)
}
