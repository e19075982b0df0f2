//! Large generators, some pictures at a time: maps of 1024 pixels a side take gigabytes when many are kept at once.

use crate::ops::cpu;
use candle_core::{CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor, Var};

/// A frozen generator as one operation that keeps no maps: its backward pass computes them anew, part by part.
pub(crate) struct InParts<D> {
    draw: D,
    at_once: usize,
    picture: [usize; 3],
}

impl<D: Fn(&Tensor) -> crate::Result<Tensor>> InParts<D> {
    /// `draw` makes pictures of this shape of codes; at most `at_once` of them are computed together.
    pub fn new(draw: D, at_once: usize, picture: [usize; 3]) -> Self {
        Self { draw, at_once, picture }
    }

    fn draw(&self, z: &Tensor) -> Result<Tensor> {
        (self.draw)(z).map_err(Error::wrap)
    }
}

impl<D: Fn(&Tensor) -> crate::Result<Tensor> + Send + Sync> CustomOp1 for InParts<D> {
    fn name(&self) -> &'static str {
        "generator in parts"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = layout.dims().first().copied().unwrap_or(0).max(1);
        let nz = layout.shape().elem_count() / n;
        let [c, h, w] = self.picture;
        let mut pictures = Vec::with_capacity(n * c * h * w);
        for codes in cpu::values(storage, layout)?.chunks((self.at_once * nz).max(1)) {
            let mut shape = layout.dims().to_vec();
            shape[0] = codes.len() / nz.max(1);
            let z = Tensor::from_slice(codes, &shape[..], &Device::Cpu)?;
            pictures.extend(self.draw(&z)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((CpuStorage::F32(pictures), Shape::from((n, c, h, w))))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let n = z.dim(0)?;
        let mut parts = Vec::new();
        for start in (0..n).step_by(self.at_once) {
            let count = self.at_once.min(n - start);
            let part = Var::from_tensor(&z.narrow(0, start, count)?.detach().contiguous()?.copy()?)?;
            let towards = grad.narrow(0, start, count)?.detach();
            let gradients = (self.draw(&part)? * towards)?.sum_all()?.backward()?;
            parts.push(match gradients.get(&part) {
                Some(gradient) => gradient.clone(),
                None => part.zeros_like()?,
            });
        }
        Tensor::cat(&parts, 0).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::layers::Statistics;
    use crate::nets::sequence::{Layer, Sequence, parameters};
    use crate::nets::weights::Initialiser;
    use crate::nets::{Params, Weights};
    use std::sync::Arc;

    #[test]
    fn parts_are_the_same_as_all_at_once() {
        let (kernel, stride, padding, transposed, bias) = (4, 2, 1, true, true);
        let layers = [
            Layer::PixelNorm,
            Layer::Convolution { inputs: 5, outputs: 6, kernel: 3, stride: 1, padding: 0, transposed, bias },
            Layer::LeakyRelu { slope: 0.2 },
            Layer::PixelNorm,
            Layer::Convolution { inputs: 6, outputs: 3, kernel, stride, padding, transposed, bias },
        ];
        let mut start = Initialiser::new(3, &Device::Cpu);
        parameters(&layers).iter().for_each(|(name, shape)| start.normal(name, shape, 0.0, 0.5).unwrap());
        start.normal("z", &[5, 5, 1, 1], 0.0, 1.0).unwrap();
        start.normal("towards", &[5, 3, 6, 6], 0.0, 1.0).unwrap();
        let drawn: Weights = start.finish();
        let find = |name: &str| drawn.find(name).unwrap().clone();
        let sequence = Arc::new(Sequence::new(&layers, &Params::frozen(drawn.clone())).unwrap());
        let run = |at_once: Option<usize>| {
            let z = Var::from_tensor(&find("z")).unwrap();
            let x = match at_once {
                Some(at_once) => {
                    let sequence = sequence.clone();
                    let draw = move |z: &Tensor| sequence.forward(z, Statistics::Running);
                    z.apply_op1(InParts::new(draw, at_once, [3, 6, 6])).unwrap()
                }
                None => sequence.forward(&z, Statistics::Running).unwrap(),
            };
            let gradients = (&x * find("towards")).unwrap().sum_all().unwrap().backward().unwrap();
            [&x, gradients.get(&z).unwrap()].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        let wanted = run(None);
        for at_once in [1, 2, 5] {
            for (found, wanted) in run(Some(at_once)).iter().flatten().zip(wanted.iter().flatten()) {
                assert!((found - wanted).abs() < 1e-5, "{at_once} at once: {found} instead of {wanted}");
            }
        }
    }
}
