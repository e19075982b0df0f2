//! From a description and the tensors that it names to layers with their parameters.

use super::{Codes, Description, Item};
use crate::nets::sequence::EPSILON;
use crate::nets::{GeneratorConfig, Layer, Weights};
use crate::{Error, Result};
use candle_core::Tensor;

/// The generator that a description makes of the tensors of a checkpoint, and its parameters.
///
/// # Errors
/// When a tensor is missing, is not finite or has an impossible shape, or a layer does not fit what comes before it.
pub fn resolve(description: &Description, tensors: &Weights) -> Result<(GeneratorConfig, Weights)> {
    let mut made = Made::default();
    match description.codes {
        Codes::Normal => {}
        Codes::Uniform => made.push(Layer::Uniform, []),
        Codes::Sphere => made.push(Layer::PixelNorm, []),
    }
    for (i, item) in description.layers.iter().enumerate() {
        let last = i + 1 == description.layers.len();
        made.add(item, tensors, last).map_err(|error| {
            Error::because(format!("Layer {i} of the description does not fit the file: {error}"), error)
        })?;
    }
    let [low, high] = description.range;
    made.scale(2.0 / (high - low), -(high + low) / (high - low))?;
    let config = GeneratorConfig::of_layers(description.latent, made.layers)?;
    if ![1, 3].contains(&config.channels) {
        let channels = config.channels;
        return Err(Error::new(format!("The generator draws {channels} channels; pictures have 1 (grey) or 3 (RGB).")));
    }
    for (name, tensor) in made.weights.iter() {
        if !tensor.abs()?.max_all()?.to_scalar::<f32>()?.is_finite() {
            return Err(Error::new(format!("The file is damaged: {name} holds values that are not numbers.")));
        }
    }
    Ok((config, made.weights))
}

/// The layers so far.
#[derive(Default)]
struct Made {
    layers: Vec<Layer>,
    weights: Weights,
}

/// A tensor of this rank.
fn find(tensors: &Weights, name: &str, rank: usize) -> Result<Tensor> {
    let tensor = tensors.find(name).ok_or_else(|| {
        let some: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).take(6).collect();
        Error::new(format!("there is no tensor {name}; there are {}, ...", some.join(", ")))
    })?;
    if tensor.rank() != rank || tensor.elem_count() == 0 {
        let found = tensor.dims();
        return Err(Error::new(format!("{name} has the shape {found:?}, where {rank} dimensions are needed.")));
    }
    Ok(tensor.clone())
}

impl Made {
    fn push<const N: usize>(&mut self, layer: Layer, parameters: [(&str, Tensor); N]) {
        let i = self.layers.len();
        self.layers.push(layer);
        for (name, tensor) in parameters {
            self.weights.insert(format!("layers.{i}.{name}"), tensor);
        }
    }

    fn add(&mut self, item: &Item, tensors: &Weights, last: bool) -> Result<()> {
        match item {
            Item::Linear { name, equalised } => {
                let weight = find(tensors, &format!("{name}.weight"), 2)?;
                let (outputs, inputs) = weight.dims2()?;
                let layer = (inputs, outputs, 1, 1, 0, false);
                self.convolution(layer, weight.reshape((outputs, inputs, 1, 1))?, inputs, *equalised, tensors, name)?;
            }
            Item::Convolution { name, transposed, stride, padding, output_padding, equalised } => {
                let weight = find(tensors, &format!("{name}.weight"), 4)?;
                let (first, second, rows, columns) = weight.dims4()?;
                if rows != columns {
                    return Err(Error::new(format!("its kernel has {rows} x {columns} values, and must be square.")));
                }
                if *output_padding >= *stride && *output_padding > 0 {
                    return Err(Error::new("its output padding must be less than its stride."));
                }
                let (inputs, outputs) = if *transposed { (first, second) } else { (second, first) };
                // Zeros at the kernel's end do what an output padding does.
                let weight = weight.pad_with_zeros(2, 0, *output_padding)?.pad_with_zeros(3, 0, *output_padding)?;
                let layer = (inputs, outputs, rows + output_padding, *stride, *padding, *transposed);
                self.convolution(layer, weight, inputs * rows * columns, *equalised, tensors, name)?;
            }
            Item::BatchNorm { name, epsilon } => {
                let get = |part: &str| find(tensors, &format!("{name}.{part}"), 1);
                let mean = get("running_mean").map_err(|error| {
                    let cause = format!("{error} Only running statistics make a picture independent of the others.");
                    Error::because(cause, error)
                })?;
                let channels = mean.dim(0)?;
                let variance = (get("running_var")? + (epsilon - EPSILON))?;
                let has = |part: &str| tensors.find(&format!("{name}.{part}")).is_some();
                let weight = if has("weight") { get("weight")? } else { mean.ones_like()? };
                let bias = if has("bias") { get("bias")? } else { mean.zeros_like()? };
                if [&weight, &bias, &variance].iter().any(|tensor| tensor.dims() != [channels]) {
                    return Err(Error::new(format!("the tensors of {name} have different lengths.")));
                }
                let all = [("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", variance)];
                self.push(Layer::BatchNorm { channels }, all);
            }
            Item::Relu => self.push(Layer::Relu, []),
            Item::LeakyRelu(slope) => self.push(Layer::LeakyRelu { slope: *slope }, []),
            Item::Tanh => self.push(Layer::Tanh, []),
            Item::Sigmoid if !last => return Err(Error::new("a sigmoid is only known as the last layer.")),
            Item::Sigmoid => {
                // sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
                self.scale(0.5, 0.0)?;
                self.push(Layer::Tanh, []);
                self.scale(0.5, 0.5)?;
            }
            Item::Upsample { bilinear } => self.push(Layer::Upsample { bilinear: *bilinear }, []),
            Item::Reshape([channels, side]) => self.push(Layer::Reshape { channels: *channels, side: *side }, []),
            Item::PixelShuffle(factor) => self.push(Layer::PixelShuffle { factor: *factor }, []),
            Item::PixelNorm => self.push(Layer::PixelNorm, []),
        }
        Ok(())
    }

    fn convolution(
        &mut self,
        (inputs, outputs, kernel, stride, padding, transposed): (usize, usize, usize, usize, usize, bool),
        weight: Tensor,
        fan_in: usize,
        equalised: Option<f32>,
        tensors: &Weights,
        name: &str,
    ) -> Result<()> {
        let weight = match equalised {
            Some(gain) => (weight * (f64::from(gain) / (fan_in as f64).sqrt()))?,
            None => weight,
        };
        let bias_name = format!("{name}.bias");
        let bias = tensors.find(&bias_name).is_some();
        let layer = Layer::Convolution { inputs, outputs, kernel, stride, padding, transposed, bias };
        self.push(layer, [("weight", weight.contiguous()?)]);
        if bias {
            let tensor = find(tensors, &bias_name, 1)?;
            if tensor.dims() != [outputs] {
                let found = tensor.dims();
                return Err(Error::new(format!("{bias_name} has the shape {found:?} where [{outputs}] is needed.")));
            }
            self.weights.insert(format!("layers.{}.bias", self.layers.len() - 1), tensor);
        }
        Ok(())
    }

    /// Multiplies what comes out so far and shifts it: within the last layer where that is possible.
    fn scale(&mut self, factor: f32, shift: f32) -> Result<()> {
        let (factor, shift) = match self.layers.last() {
            Some(&Layer::Scale { factor: before, shift: first }) => {
                self.layers.pop();
                (factor * before, factor * first + shift)
            }
            _ => (factor, shift),
        };
        if (factor - 1.0).abs() < 1e-7 && shift.abs() < 1e-7 {
            return Ok(());
        }
        let i = self.layers.len().wrapping_sub(1);
        let (factor, shift) = (f64::from(factor), f64::from(shift));
        match self.layers.last_mut() {
            Some(Layer::Convolution { outputs, bias, .. }) => {
                let [weight, own] = ["weight", "bias"].map(|name| format!("layers.{i}.{name}"));
                let old = self.weights.find(&own).cloned();
                if let Some(tensor) = self.weights.find(&weight).cloned() {
                    if *bias || shift != 0.0 {
                        let zeros = Tensor::zeros(*outputs, tensor.dtype(), tensor.device());
                        self.weights.insert(own, old.map_or(zeros, Ok)?.affine(factor, shift)?);
                        *bias = true;
                    }
                    self.weights.insert(weight, tensor.affine(factor, 0.0)?);
                }
            }
            Some(Layer::BatchNorm { .. }) => {
                for (name, shift) in [("weight", 0.0), ("bias", shift)] {
                    let name = format!("layers.{i}.{name}");
                    if let Some(tensor) = self.weights.find(&name).cloned() {
                        self.weights.insert(name, tensor.affine(factor, shift)?);
                    }
                }
            }
            _ => self.push(Layer::Scale { factor: factor as f32, shift: shift as f32 }, []),
        }
        Ok(())
    }
}
