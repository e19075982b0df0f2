//! StyleGAN2 generators: the mapping network from z to w and the synthesis network, under the names of the two sources
//! that most checkpoints come from, NVIDIA's `stylegan2-ada-pytorch` (`synthesis.b4.const`, ...) and rosinality's
//! `stylegan2-pytorch` (`input.input`, ...).
//!
//! The code that is descended is w, one for all layers, whitened: w = mean + L code, where mean and L L^T are mean and
//! covariance of the w that the mapping network makes, measured here. Codes of random pictures are the whitened w of
//! random z.

use crate::nets::sequence::{Sequence, drawn};
use crate::nets::{GeneratorConfig, Layer, Params, Statistics, StyleConfig, Weights};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// Styles by which W is measured.
const MEASURED: usize = 8192;
/// What is added to the variances of W, as a share of their mean: some directions hardly vary.
const RIDGE: f64 = 1e-5;
/// The factor between stored weights of the mapping network and their use.
const MAPPING_RATE: f64 = 0.01;

/// A convolution, everything that only training needs multiplied in.
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    noise: Option<Tensor>,
    style: [Tensor; 2],
}

/// What a file holds, whatever its names.
struct Found {
    mapping: Vec<[Tensor; 2]>,
    average: Option<Tensor>,
    constant: Tensor,
    convolutions: Vec<Convolution>,
    colours: Vec<Convolution>,
}

/// The tensors of one of the two sources.
struct Source<'a> {
    tensors: &'a Weights,
    prefix: String,
}

/// The generator in a file of StyleGAN2's tensors, its parameters, and the source it is known by; `None` for any other
/// file. `truncation` draws codes nearer to the mean of W, 1 as they are; `random` draws values of N(0, 1).
///
/// # Errors
/// When a tensor is missing, is not finite or has an impossible shape, or the architecture is another than "skip".
#[allow(clippy::type_complexity, reason = "three results, each said above")]
pub fn style(
    tensors: &Weights,
    truncation: f64,
    random: impl FnOnce(usize) -> Vec<f32>,
) -> Result<Option<(GeneratorConfig, Weights, &'static str)>> {
    let prefix = |end: &str| tensors.iter().find_map(|(name, _)| name.strip_suffix(end).map(str::to_owned));
    let foreign = |what: &str| Err(Error::new(format!("This is {what}; of its kind only StyleGAN2 can be imported.")));
    let (found, called) = if let Some(prefix) = prefix("synthesis.b4.const") {
        (Source { tensors, prefix }.nvidia()?, "StyleGAN2 under the names of stylegan2-ada-pytorch")
    } else if let Some(prefix) = prefix("input.input").filter(|p| tensors.find(&format!("{p}to_rgb1.bias")).is_some()) {
        (Source { tensors, prefix }.rosinality()?, "StyleGAN2 under the names of stylegan2-pytorch")
    } else if prefix("synthesis.input.affine.weight").is_some() {
        return foreign("a generator of StyleGAN3");
    } else {
        return Ok(None);
    };
    let (config, weights) = found.generator(truncation, random)?;
    for (name, tensor) in weights.iter() {
        if !tensor.abs()?.max_all()?.to_scalar::<f32>()?.is_finite() {
            return Err(Error::new(format!("The file is damaged: {name} holds values that are not numbers.")));
        }
    }
    Ok(Some((config, weights, called)))
}

impl Source<'_> {
    fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.find(&format!("{}{name}", self.prefix))
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.tensors.get(&format!("{}{name}", self.prefix), shape)
    }

    /// A tensor of this rank, none of whose sides is 0.
    fn ranked(&self, name: &str, rank: usize) -> Result<Tensor> {
        let full = format!("{}{name}", self.prefix);
        let tensor = self.find(name).ok_or_else(|| Error::new(format!("The weights lack the tensor {full}.")))?;
        if tensor.rank() != rank || tensor.elem_count() == 0 {
            let found = tensor.dims();
            return Err(Error::new(format!(
                "The tensor {full} has the shape {found:?}, where {rank} dimensions are needed."
            )));
        }
        Ok(tensor.clone())
    }

    /// A linear layer whose weight is multiplied by `rate` / sqrt(inputs) when it is used and its bias by `rate`.
    fn linear(&self, name: &str, outputs: Option<usize>, inputs: Option<usize>, rate: f64) -> Result<[Tensor; 2]> {
        let weight = self.ranked(&format!("{name}.weight"), 2)?;
        let (rows, columns) = weight.dims2()?;
        let shape = [outputs.unwrap_or(rows), inputs.unwrap_or(columns)];
        let weight = self.get(&format!("{name}.weight"), &shape)?;
        let bias = self.get(&format!("{name}.bias"), &[shape[0]])?;
        Ok([(weight * (rate / (shape[1] as f64).sqrt()))?, (bias * rate)?])
    }

    /// The low-pass filter must be the usual one.
    fn check_filter(&self, name: &str, gain: f64) -> Result<()> {
        let Some(filter) = self.find(name) else { return Ok(()) };
        let usual = [0.125f32, 0.375, 0.375, 0.125];
        let usual: Vec<f32> = usual.iter().flat_map(|a| usual.map(|b| a * b)).collect();
        let values: Vec<f32> = (filter.flatten_all()? / gain)?.to_vec1()?;
        let differs = values.iter().zip(&usual).any(|(a, b)| !a.is_finite() || (a - b).abs() > 1e-4);
        if values.len() != usual.len() || differs {
            let full = format!("{}{name}", self.prefix);
            return Err(Error::new(format!("{full} is another filter than [1, 3, 3, 1], which alone is known.")));
        }
        Ok(())
    }

    fn nvidia(&self) -> Result<Found> {
        if self.tensors.iter().any(|(name, _)| name.contains("synthesis.b") && name.contains(".skip.")) {
            return Err(Error::new("The generator is of StyleGAN2's residual architecture; only \"skip\" is known."));
        }
        if self.has("mapping.embed.weight") {
            return Err(Error::new("The generator is conditioned on classes, which cannot be imported."));
        }
        let style = self.ranked("synthesis.b4.conv1.affine.weight", 2)?.dim(1)?;
        let constant = self.ranked("synthesis.b4.const", 3)?;
        let mut inputs = constant.dim(0)?;
        let (mut convolutions, mut colours) = (Vec::new(), Vec::new());
        for level in (0..9).take_while(|level| self.has(&format!("synthesis.b{}.conv1.weight", 4 << level))) {
            let block = format!("synthesis.b{}", 4 << level);
            for name in ["conv0", "conv1"].into_iter().skip(usize::from(level == 0)) {
                let name = format!("{block}.{name}");
                self.check_filter(&format!("{name}.resample_filter"), 1.0)?;
                let outputs = self.ranked(&format!("{name}.weight"), 4)?.dim(0)?;
                let side = 4 << level;
                let noise = match self.find(&format!("{name}.noise_strength")).filter(|tensor| tensor.elem_count() == 1)
                {
                    Some(strength) => {
                        let constant = self.get(&format!("{name}.noise_const"), &[side, side])?;
                        Some(constant.broadcast_mul(&strength.reshape((1, 1))?)?)
                    }
                    None => None,
                };
                convolutions.push(Convolution {
                    weight: self.get(&format!("{name}.weight"), &[outputs, inputs, 3, 3])?,
                    bias: self.get(&format!("{name}.bias"), &[outputs])?,
                    noise,
                    style: self.linear(&format!("{name}.affine"), Some(inputs), Some(style), 1.0)?,
                });
                inputs = outputs;
            }
            let name = format!("{block}.torgb");
            let channels = self.ranked(&format!("{name}.weight"), 4)?.dim(0)?;
            let [weight, bias] = self.linear(&format!("{name}.affine"), Some(inputs), Some(style), 1.0)?;
            let gain = 1.0 / (inputs as f64).sqrt();
            colours.push(Convolution {
                weight: self.get(&format!("{name}.weight"), &[channels, inputs, 1, 1])?,
                bias: self.get(&format!("{name}.bias"), &[channels])?,
                noise: None,
                style: [(weight * gain)?, (bias * gain)?],
            });
        }
        let layers = (0..).map(|i| format!("mapping.fc{i}"));
        let mapping = self.mapping(layers, style)?;
        let average = self.has("mapping.w_avg").then(|| self.get("mapping.w_avg", &[style])).transpose()?;
        Ok(Found { mapping, average, constant, convolutions, colours })
    }

    fn rosinality(&self) -> Result<Found> {
        let style = self.ranked("conv1.conv.modulation.weight", 2)?.dim(1)?;
        let constant = self.ranked("input.input", 4)?;
        let mut inputs = constant.dim(1)?;
        let constant = self.get("input.input", &[1, inputs, 4, 4])?.squeeze(0)?;
        let (mut convolutions, mut colours) = (Vec::new(), Vec::new());
        let level_of = |i: usize| i.div_ceil(2);
        let name_of = |i: usize| if i == 0 { "conv1".to_owned() } else { format!("convs.{}", i - 1) };
        for i in (0..17).take_while(|&i| self.has(&format!("{}.conv.weight", name_of(i)))) {
            let (name, side) = (name_of(i), 4 << level_of(i));
            self.check_filter(&format!("{name}.conv.blur.kernel"), 4.0)?;
            let outputs = self.ranked(&format!("{name}.conv.weight"), 5)?.dim(1)?;
            let weight = self.get(&format!("{name}.conv.weight"), &[1, outputs, inputs, 3, 3])?.squeeze(0)?;
            let strength = self.find(&format!("{name}.noise.weight")).filter(|tensor| tensor.elem_count() == 1);
            let noise = match strength {
                Some(strength) if self.has(&format!("noises.noise_{i}")) => {
                    let constant = self.get(&format!("noises.noise_{i}"), &[1, 1, side, side])?;
                    Some(constant.reshape((side, side))?.broadcast_mul(&strength.reshape((1, 1))?)?)
                }
                _ => None,
            };
            convolutions.push(Convolution {
                weight: (weight / ((9 * inputs) as f64).sqrt())?,
                bias: self.get(&format!("{name}.activate.bias"), &[outputs])?,
                noise,
                style: self.linear(&format!("{name}.conv.modulation"), Some(inputs), Some(style), 1.0)?,
            });
            inputs = outputs;
            if i % 2 == 1 {
                continue;
            }
            let name = if i == 0 { "to_rgb1".to_owned() } else { format!("to_rgbs.{}", i / 2 - 1) };
            self.check_filter(&format!("{name}.upsample.kernel"), 4.0)?;
            let channels = self.ranked(&format!("{name}.conv.weight"), 5)?.dim(1)?;
            let weight = self.get(&format!("{name}.conv.weight"), &[1, channels, inputs, 1, 1])?.squeeze(0)?;
            colours.push(Convolution {
                weight: (weight / (inputs as f64).sqrt())?,
                bias: self.get(&format!("{name}.bias"), &[1, channels, 1, 1])?.flatten_all()?,
                noise: None,
                style: self.linear(&format!("{name}.conv.modulation"), Some(inputs), Some(style), 1.0)?,
            });
        }
        let mapping = self.mapping((1..).map(|i| format!("style.{i}")), style)?;
        Ok(Found { mapping, average: None, constant, convolutions, colours })
    }

    /// The mapping network's layers, the gain of their activation multiplied in.
    fn mapping(&self, names: impl Iterator<Item = String>, style: usize) -> Result<Vec<[Tensor; 2]>> {
        let mut layers: Vec<[Tensor; 2]> = Vec::new();
        for name in names.take(64).take_while(|name| self.has(&format!("{name}.weight"))) {
            let inputs = match layers.last() {
                Some([_, bias]) => bias.dim(0)?,
                None => style,
            };
            let [weight, bias] = self.linear(&name, None, Some(inputs), MAPPING_RATE)?;
            let gain = std::f64::consts::SQRT_2;
            layers.push([(weight * gain)?, (bias * gain)?]);
        }
        match layers.last() {
            Some([_, bias]) if bias.dim(0)? == style => Ok(layers),
            Some(_) => Err(Error::new(format!("The mapping network does not make the {style} values of a style."))),
            None => Err(Error::new("The file holds no mapping network (mapping.fc0.weight or style.1.weight, ...).")),
        }
    }
}

/// Layers with their parameters.
#[derive(Default)]
struct Made {
    layers: Vec<Layer>,
    weights: Weights,
}

impl Made {
    fn linear(&mut self, weight: &Tensor, bias: &Tensor) -> Result<()> {
        let (outputs, inputs) = weight.dims2()?;
        let name = format!("layers.{}", self.layers.len());
        self.weights.insert(format!("{name}.weight"), weight.reshape((outputs, inputs, 1, 1))?.contiguous()?);
        self.weights.insert(format!("{name}.bias"), bias.contiguous()?);
        let (kernel, stride, padding, transposed, bias) = (1, 1, 0, false, true);
        self.layers.push(Layer::Convolution { inputs, outputs, kernel, stride, padding, transposed, bias });
        Ok(())
    }
}

impl Found {
    fn generator(self, truncation: f64, random: impl FnOnce(usize) -> Vec<f32>) -> Result<(GeneratorConfig, Weights)> {
        let Self { mapping, average, constant, convolutions, colours } = self;
        let mut prior = Made::default();
        prior.layers.push(Layer::PixelNorm);
        for [weight, bias] in &mapping {
            prior.linear(weight, bias)?;
            prior.layers.push(Layer::LeakyRelu { slope: 0.2 });
        }
        let style = mapping[0][0].dim(1)?;
        drawn(&prior.layers, style)?;
        // The distribution of w, around its mean or the average that training kept.
        let network = Sequence::new(&prior.layers, &Params::frozen(prior.weights.clone()))?;
        let z = Tensor::from_vec(random(MEASURED * style), (MEASURED, style, 1, 1), &Device::Cpu)?;
        let w = network.forward(&z, Statistics::Running)?.flatten_from(1)?.to_dtype(DType::F64)?;
        let mean = w.mean(0)?;
        let spread = (w.broadcast_sub(&mean)? * truncation)?;
        let average = average.map_or(Ok(mean.clone()), |average| average.to_dtype(DType::F64))?;
        let mean = (&average + ((mean - &average)? * truncation)?)?;
        let covariance = (spread.t()?.matmul(&spread)? / MEASURED as f64)?;
        let (lower, inverse) = factors(&covariance.to_vec2()?)?;
        let matrix = |values: Vec<f64>| Tensor::from_vec(values, (style, style), &Device::Cpu);
        let (lower, inverse) = (matrix(lower)?, matrix(inverse)?);
        // code = inverse (average + truncation (w - average) - mean)
        let shift = inverse.matmul(&((&average * (1.0 - truncation))? - &mean)?.unsqueeze(1)?)?.squeeze(1)?;
        let f32 = |tensor: Tensor| tensor.to_dtype(DType::F32);
        prior.linear(&f32((inverse * truncation)?)?, &f32(shift)?)?;

        let mut made = Made::default();
        made.layers.push(Layer::Prior { layers: prior.layers });
        made.weights.extend_below("layers.0.", &prior.weights);
        made.linear(&f32(lower)?, &f32(mean)?)?;
        let widths = colours.iter().map(|colours| colours.weight.dim(1)).collect::<candle_core::Result<_>>()?;
        let first = colours.first().ok_or_else(|| Error::new("The file holds no layers that make colours."))?;
        let channels = first.weight.dim(0)?;
        if ![1, 3].contains(&channels) {
            return Err(Error::new(format!("The generator draws {channels} channels; pictures have 1 (grey) or 3.")));
        }
        let noise = convolutions.iter().any(|convolution| convolution.noise.is_some());
        let name = |part: &str| format!("layers.{}.{part}", made.layers.len());
        made.weights.insert(name("constant"), constant);
        for (kind, all) in [("convolutions", convolutions), ("colours", colours)] {
            for (i, Convolution { weight, bias, noise: own, style: [scale, shift] }) in all.into_iter().enumerate() {
                let name = |part: &str| format!("layers.{}.{kind}.{i}.{part}", made.layers.len());
                if noise && kind == "convolutions" {
                    let side = 4usize << i.div_ceil(2);
                    let own = own.map_or_else(|| Tensor::zeros((side, side), DType::F32, &Device::Cpu), Ok)?;
                    made.weights.insert(name("noise"), own.contiguous()?);
                }
                let parts = [("weight", weight), ("bias", bias), ("style.weight", scale), ("style.bias", shift)];
                for (part, tensor) in parts {
                    made.weights.insert(name(part), tensor.contiguous()?);
                }
            }
        }
        made.layers.push(Layer::Style(StyleConfig { style, widths, colours: channels, noise }));
        Ok((GeneratorConfig::of_layers(style, made.layers)?, made.weights))
    }
}

/// L with L L^T = the matrix and a little more on its diagonal, and its inverse, both row by row (Cholesky).
fn factors(matrix: &[Vec<f64>]) -> Result<(Vec<f64>, Vec<f64>)> {
    let n = matrix.len();
    let ridge = RIDGE * (0..n).map(|i| matrix[i][i]).sum::<f64>() / n.max(1) as f64;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut lower = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let rest = matrix[i][j] - dot(&lower[i * n..][..j], &lower[j * n..][..j]);
            lower[i * n + j] = if i == j { (rest + ridge).sqrt() } else { rest / lower[j * n + j] };
        }
        let side = lower[i * n + i];
        if !side.is_finite() || side <= 0.0 {
            return Err(Error::new("The mapping network makes the same style of every z, or no numbers."));
        }
    }
    // Row by row of the transpose, so that both factors of a sum are contiguous.
    let mut across = vec![0.0; n * n];
    for j in 0..n {
        for i in j..n {
            let sum = dot(&lower[i * n + j..][..i - j], &across[j * n + j..][..i - j]);
            across[j * n + i] = (f64::from(u8::from(i == j)) - sum) / lower[i * n + i];
        }
    }
    let inverse = (0..n * n).map(|at| across[(at % n) * n + at / n]).collect();
    Ok((lower, inverse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_give_the_matrix_back_and_its_inverse() {
        let matrix = [vec![4.0, 2.0, 0.5], vec![2.0, 3.0, 0.1], vec![0.5, 0.1, 1.0]];
        let (lower, inverse) = factors(&matrix).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let product = |a: &[f64], b: &dyn Fn(usize) -> f64| (0..3).map(|k| a[i * 3 + k] * b(k)).sum::<f64>();
                let back = product(&lower, &|k| lower[j * 3 + k]);
                let wanted = matrix[i][j] + if i == j { 1e-5 * 8.0 / 3.0 } else { 0.0 };
                assert!((back - wanted).abs() < 1e-9, "{i} {j}: {back}");
                let one = product(&inverse, &|k| lower[k * 3 + j]);
                assert!((one - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j}: {one}");
            }
        }
        assert!(factors(&[vec![0.0]]).is_err());
        assert!(factors(&[vec![f64::NAN]]).is_err());
    }
}
