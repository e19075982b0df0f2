//! How much ink of which colours an image has.

use candle_core::{Device, Result, Tensor};

/// How much longer the axes of hues are than that of lightness.
const CHROMA: f32 = 3.0;

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

/// The ink of images in [-1, 1], `[n, c, h, w]`: (1 - x) / 2 in every channel, 0 for white and 1 for black, on the axes of
/// [`ink_axes`].
///
/// # Errors
/// When the images have another rank, or the device fails.
pub fn ink(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    let rows = images.affine(-0.5, 0.5)?.reshape((n, c, h * w))?;
    let axes = ink_axes(c, images.device())?.broadcast_as((n, c, c))?.contiguous()?;
    axes.matmul(&rows)?.reshape((n, c, h, w))
}
