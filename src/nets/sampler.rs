//! The affine sampler before T: pictures of any size are brought to T's size inside the graph, as NAM's authors do for
//! large generators with a spatial transformer (Jaderberg et al., NIPS 2015).
//!
//! Output pixel v in [-1, 1] looks at u = scale * v + shift of the input, along rows and columns each, through a triangle
//! as wide as the step between output pixels, so that nothing is skipped. The four numbers are fitted together with T.

use super::Params;
use super::weights::Initialiser;
use crate::Result;
use candle_core::{Device, Tensor};

/// The axes in the order of a picture's dimensions, by the names of their parameters.
const AXES: [&str; 2] = ["rows", "columns"];

/// Brings pictures of one size to another.
pub struct Sampler {
    source: usize,
    size: usize,
    /// `[2]` each: scale and shift of rows and of columns.
    axes: [Tensor; 2],
    /// The weights of both axes, where they never change.
    fixed: Option<[Tensor; 2]>,
}

impl Sampler {
    /// Takes the parameters `rows` and `columns`, scale and shift each.
    ///
    /// # Errors
    /// When one is missing or has a wrong shape.
    pub fn new(source: usize, size: usize, params: &Params) -> Result<Self> {
        let axes = [params.get(AXES[0], &[2])?, params.get(AXES[1], &[2])?];
        let mut sampler = Self { source, size, axes, fixed: None };
        if !params.is_trainable() {
            sampler.fixed = Some([sampler.weights(0)?, sampler.weights(1)?]);
        }
        Ok(sampler)
    }

    /// Pixels a side of what comes in and of what goes out.
    pub fn sizes(&self) -> (usize, usize) {
        (self.source, self.size)
    }

    /// How much every input row counts for every output one, and so for columns, `[source, size]` each; `None` where that
    /// is learned.
    pub fn fixed(&self) -> Option<&[Tensor; 2]> {
        self.fixed.as_ref()
    }

    /// The names and shapes of the parameters.
    pub fn parameters() -> [(&'static str, Vec<usize>); 2] {
        AXES.map(|name| (name, vec![2]))
    }

    /// Adds the parameters that show all of the picture.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn start(prefix: &str, start: &mut Initialiser, device: &Device) -> Result<()> {
        AXES.iter().try_for_each(|name| {
            start.insert(&format!("{prefix}.{name}"), Tensor::new(&[1f32, 0.0], device)?);
            Ok(())
        })
    }

    /// How much every input row (or column) counts for every output one, `[source, size]`.
    fn weights(&self, axis: usize) -> candle_core::Result<Tensor> {
        let Self { source, size, axes, .. } = self;
        let device = axes[axis].device();
        let (scale, shift) = (axes[axis].narrow(0, 0, 1)?, axes[axis].narrow(0, 1, 1)?);
        let places: Vec<f32> = (0..*size).map(|i| (2 * i + 1) as f32 / *size as f32 - 1.0).collect();
        let places = Tensor::from_vec(places, (1, *size), device)?;
        let seen = places.broadcast_mul(&scale)?.broadcast_add(&shift)?;
        // In pixels of the input, whose border is repeated.
        let half = *source as f64 / 2.0;
        let seen = seen.affine(half, half - 0.5)?.clamp(0.0, *source as f64 - 1.0)?;
        let inputs = Tensor::arange(0f32, *source as f32, device)?.reshape((*source, 1))?;
        let width = (f64::from(scale.squeeze(0)?.to_scalar::<f32>()?).abs() * *source as f64 / *size as f64).max(1.0);
        let distance = inputs.broadcast_sub(&seen)?.abs()?;
        let weights = distance.affine(-1.0 / width, 1.0)?.relu()?;
        weights.broadcast_div(&(weights.sum_keepdim(0)? + 1e-6)?)
    }

    /// `[n, c, source, source]` to `[n, c, size, size]`.
    ///
    /// # Errors
    /// When the pictures have another size.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let computed;
        let [rows, columns] = match &self.fixed {
            Some(fixed) => fixed,
            None => {
                computed = [self.weights(0)?, self.weights(1)?];
                &computed
            }
        };
        let size = self.size;
        let across = x.contiguous()?.reshape((n * c * h, w))?.matmul(columns)?; // [n c h, size]
        let turned = across.reshape((n * c, h, size))?.transpose(1, 2)?.contiguous()?.reshape((n * c * size, h))?;
        let down = turned.matmul(rows)?.reshape((n * c, size, size))?.transpose(1, 2)?.contiguous()?;
        Ok(down.reshape((n, c, size, size))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Weights;
    use crate::ops;

    fn params(rows: [f32; 2], columns: [f32; 2]) -> Weights {
        let tensor = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
        [("rows".to_owned(), tensor(rows)), ("columns".to_owned(), tensor(columns))].into_iter().collect()
    }

    fn sampled(source: usize, size: usize, rows: [f32; 2], columns: [f32; 2], x: &Tensor) -> Vec<Vec<f32>> {
        let sampler = Sampler::new(source, size, &Params::frozen(params(rows, columns))).unwrap();
        sampler.forward(x).unwrap().squeeze(0).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    /// A slope that rises by 1 a column and by 10 a row.
    fn slope(side: usize) -> Tensor {
        let values = (0..side * side).map(|i| (i % side) as f32 + 10.0 * (i / side) as f32).collect::<Vec<_>>();
        Tensor::from_vec(values, (1, 1, side, side), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_whole_a_part_and_a_shift() {
        let same = sampled(8, 8, [1.0, 0.0], [1.0, 0.0], &slope(8));
        assert!((same[3][5] - 35.0).abs() < 1e-3, "{same:?}");
        // Half the side: the middle of every four pixels.
        let half = sampled(8, 4, [1.0, 0.0], [1.0, 0.0], &slope(8));
        assert!((half[1][2] - (25.0 + 4.5)).abs() < 0.01, "{half:?}");
        // The middle half of the columns at the full number of pixels.
        let middle = sampled(8, 8, [1.0, 0.0], [0.5, 0.0], &slope(8));
        assert!((middle[0][0] - 1.75).abs() < 1e-3 && (middle[0][7] - 5.25).abs() < 1e-3, "{middle:?}");
        // One pixel further down.
        let shifted = sampled(8, 8, [1.0, 0.25], [1.0, 0.0], &slope(8));
        assert!((shifted[2][4] - 34.0).abs() < 1e-3 && (shifted[7][4] - 74.0).abs() < 1e-3, "{shifted:?}");
    }

    #[test]
    fn small_pictures_are_enlarged_as_others_do() {
        let x = slope(4);
        let ours = sampled(4, 8, [1.0, 0.0], [1.0, 0.0], &x);
        let others = ops::upsample_bilinear2(&x).unwrap().squeeze(0).unwrap().squeeze(0).unwrap();
        for (ours, others) in ours.iter().flatten().zip(others.to_vec2::<f32>().unwrap().iter().flatten()) {
            assert!((ours - others).abs() < 1e-3, "{ours} {others}");
        }
    }

    #[test]
    fn a_frame_is_found_by_descent() {
        // What is wanted is seen through scale 0.7 and shift 0.2 of the columns.
        let blob = |i: usize| (-((i % 16) as f32 - 9.0).powi(2) / 8.0 - ((i / 16) as f32 - 6.0).powi(2) / 12.0).exp();
        let x = Tensor::from_vec((0..256).map(blob).collect::<Vec<_>>(), (1, 1, 16, 16), &Device::Cpu).unwrap();
        let wanted = Sampler::new(16, 12, &Params::frozen(params([1.0, 0.0], [0.7, 0.2]))).unwrap();
        let wanted = wanted.forward(&x).unwrap();
        let learning = Params::trainable(&params([1.0, 0.0], [1.0, 0.0])).unwrap();
        let sampler = Sampler::new(16, 12, &learning).unwrap();
        let rates = ops::AdamConfig { learning_rate: 0.01, ..ops::AdamConfig::default() };
        let mut adam = learning.adam(rates);
        for _ in 0..300 {
            let loss = ops::l2_mean(&sampler.forward(&x).unwrap(), &wanted).unwrap().mean_all().unwrap();
            adam.step(&loss.backward().unwrap()).unwrap();
        }
        let found: Vec<f32> = learning.get("columns", &[2]).unwrap().to_vec1().unwrap();
        assert!((found[0] - 0.7).abs() < 0.03 && (found[1] - 0.2).abs() < 0.03, "{found:?}");
    }
}
