//! The simulator of cars as a generator: it draws, and its gradient is that of finite differences.

use crate::data::simulator::{NUMBERS, draw_numbers, numbers_gradient};
use crate::ops::{cpu, threads};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

/// Codes `[n, 28, 1, 1]` of N(0, I) to pictures `[n, 3, size, size]`.
pub(crate) struct Cars {
    /// Pixels a side.
    pub size: usize,
}

fn numbers(code: &[f32]) -> Result<[f32; NUMBERS]> {
    code.try_into().map_err(|_| candle_core::Error::Msg(format!("a car is said by {NUMBERS} numbers")))
}

impl Cars {
    /// The pictures, on the device of the codes.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let device = z.device().clone();
        z.to_device(&Device::Cpu)?.contiguous()?.apply_op1(Self { size: self.size })?.to_device(&device)
    }
}

impl CustomOp1 for Cars {
    fn name(&self) -> &'static str {
        "simulator of cars"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let codes = cpu::values(storage, layout)?.chunks_exact(NUMBERS).map(numbers).collect::<Result<Vec<_>>>()?;
        let area = 3 * self.size * self.size;
        let mut pictures = vec![0.0; codes.len() * area];
        threads::for_each_chunk(&mut pictures, area.max(1), |i, picture| {
            picture.copy_from_slice(&draw_numbers(&codes[i], self.size));
        });
        Ok((CpuStorage::F32(pictures), Shape::from((codes.len(), 3, self.size, self.size))))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let codes: Vec<f32> = z.flatten_all()?.to_vec1()?;
        let codes = codes.chunks_exact(NUMBERS).map(numbers).collect::<Result<Vec<_>>>()?;
        let area = 3 * self.size * self.size;
        let mut gradient = vec![0.0; codes.len() * NUMBERS];
        cpu::with_values(&grad.contiguous()?, |grad| {
            threads::for_each_chunk(&mut gradient, 1, |i, value| {
                let (row, number) = (i / NUMBERS, i % NUMBERS);
                value[0] = numbers_gradient(&codes[row], self.size, &grad[row * area..][..area], number);
            });
            Ok(())
        })?;
        Tensor::from_vec(gradient, z.shape(), z.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::simulator::view_of;
    use crate::nets::{Generator, GeneratorConfig, Layer, Params, Statistics, Weights};
    use crate::ops::{self, AdamConfig, RowAdam};
    use candle_core::Var;

    #[test]
    fn a_view_is_found_by_descent() {
        let config = GeneratorConfig::of_layers(NUMBERS, vec![Layer::Cars { size: 32 }]).unwrap();
        assert_eq!((config.channels, config.size), (3, 32));
        let generator = Generator::new(&config, &Params::frozen(Weights::default())).unwrap();
        let mut codes = crate::ops::tests::values(&crate::ops::tests::random(&[1, NUMBERS], 4));
        codes[0] = 0.7;
        let z = Tensor::from_slice(&codes, (1, NUMBERS), &Device::Cpu).unwrap();
        let wanted = generator.forward(&z, Statistics::Running).unwrap();
        let truth = view_of(&numbers(&codes).unwrap()).azimuth;
        // From another side, everything else as it is.
        codes[0] = 0.2;
        let start = view_of(&numbers(&codes).unwrap()).azimuth;
        assert!((truth - start).abs() > 20.0, "{truth} {start}");
        let mut adam = RowAdam::new(1, NUMBERS, AdamConfig { learning_rate: 0.03, ..AdamConfig::default() });
        let mut losses = Vec::new();
        for _ in 0..50 {
            let z = Var::from_slice(&codes, (1, NUMBERS), &Device::Cpu).unwrap();
            let x = generator.forward(&z, Statistics::Running).unwrap();
            let loss = ops::l2_mean(&x, &wanted).unwrap().sum_all().unwrap();
            losses.push(loss.to_scalar::<f32>().unwrap());
            let gradients = loss.backward().unwrap();
            let gradient: Vec<f32> = gradients.get(&z).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            adam.step_row(&mut codes, 0, &gradient);
        }
        let found = view_of(&numbers(&codes).unwrap()).azimuth;
        assert!((found - truth).abs() < 5.0, "{found} degrees instead of {truth}, from {start}");
        assert!(losses[49] < 0.2 * losses[0], "{losses:?}");
    }
}
