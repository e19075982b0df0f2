//! `counterpart run`: one network on tensors from a file, to compare a ported network by its numbers.

use super::options::Compute;
use super::output;
use crate::model_file::{Network, Part, Storage, write_tensors};
use crate::nets::{
    Encoder, EncoderConfig, Generator, GeneratorConfig, Mapping, MappingConfig, Params, Perceptual, PerceptualConfig,
    Statistics, Weights,
};
use crate::{Because, Error, Result};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Runs one network on a tensor and writes what comes out.
#[derive(Args, Debug)]
#[command(after_help = "Inputs: z [n, nz] for a generator, x [n, c, s, s] for a mapping, y for an encoder, a for a \
                        perceptual network; `in.` before the name is allowed, and a file with one tensor needs no \
                        name. Outputs: x; y; mu and log_var; level0, level1, ...")]
pub struct Run {
    /// The kind of network; its shape is read off the weights
    #[arg(value_enum)]
    network: Kind,
    /// The weights: .safetensors, or a PyTorch file (.pth, .pt, .bin)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// What the names of the weights begin with in the file, `generator.` for example
    #[arg(long, value_name = "P", default_value = "")]
    prefix: String,
    /// The tensors that go in
    #[arg(long, value_name = "IN.safetensors")]
    input: PathBuf,
    /// Which tensor of the input file goes in
    #[arg(long, value_name = "NAME")]
    tensor: Option<String>,
    /// Where the tensors go that come out
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// The statistics of batch normalisation; `batch` also writes the moved running ones as after.NAME
    #[arg(long, value_enum, default_value = "running")]
    statistics: Which,
    /// The mapping adds its input to its output
    #[arg(long)]
    skip: bool,
    #[command(flatten)]
    compute: Compute,
}

/// The kinds of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// G: z to x
    Generator,
    /// T: x to y
    Mapping,
    /// E: y to mu and log_var
    Encoder,
    /// Images to the features at every level
    Perceptual,
}

/// `--statistics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Those gathered in training
    Running,
    /// Those of this batch
    Batch,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let inputs = [self.weights.clone(), self.input.clone()];
        crate::files::check_place(&self.out, &inputs)?;
        let device = self.compute.start()?;
        let weights = Weights::open(&self.weights, &device)?.below(&self.prefix);
        if weights.is_empty() {
            let (file, prefix) = (self.weights.display(), &self.prefix);
            return Err(Error::new(format!("{file} has no tensor whose name begins with {prefix:?}.")));
        }
        let inputs = Weights::open(&self.input, &device)?;
        let input = self.input_tensor(&inputs)?;
        let (params, statistics) = match self.statistics {
            Which::Running => (Params::frozen(weights.clone()), Statistics::Running),
            Which::Batch => (Params::trainable(&floating(&weights))?, Statistics::Batch),
        };
        let fits = |wanted: &[usize]| self.fits(&input, wanted);
        let unfit = || format!("{} does not fit into this network.", self.input.display());
        let mut outputs = BTreeMap::new();
        match self.network {
            Kind::Generator => {
                let network = self.generator(&weights, &params, &device)?;
                fits(&[network.config().latent])?;
                outputs.insert("x".to_owned(), network.forward(&input, statistics).because(unfit)?);
            }
            Kind::Mapping => {
                let network = Mapping::new(&MappingConfig::of_weights(&weights, self.skip)?, &params)?;
                let (config, size) = (network.config(), network.config().source_size());
                fits(&[config.inputs, size, size])?;
                outputs.insert("y".to_owned(), network.forward(&input, statistics).because(unfit)?);
            }
            Kind::Encoder => {
                let network = Encoder::new(&EncoderConfig::of_weights(&weights)?, &params)?;
                let EncoderConfig { channels, size, .. } = *network.config();
                fits(&[channels, size, size])?;
                let posterior = network.forward(&input, statistics).because(unfit)?;
                outputs.insert("mu".to_owned(), posterior.mu.contiguous()?);
                outputs.insert("log_var".to_owned(), posterior.log_var.contiguous()?);
            }
            Kind::Perceptual => {
                let network = Perceptual::new(&PerceptualConfig::of_weights(&weights)?, &params)?;
                // Of any size.
                fits(&[3, input.dims().get(2).copied().unwrap_or(1), input.dims().get(3).copied().unwrap_or(1)])?;
                let levels = network.levels(&input, network.level_count()).because(unfit)?;
                outputs.extend(levels.into_iter().enumerate().map(|(i, level)| (format!("level{i}"), level)));
            }
        }
        if self.statistics == Which::Batch {
            let after = params.weights()?;
            let moved = after.iter().filter(|(name, _)| name.contains("running_"));
            outputs.extend(moved.map(|(name, tensor)| (format!("after.{name}"), tensor.clone())));
        }
        write_tensors(&self.out, &outputs, &HashMap::new(), Storage::F32)?;
        for (name, tensor) in outputs.iter().filter(|(name, _)| !name.starts_with("after.")) {
            output::line(&format!("{name} {:?}", tensor.dims()))?;
        }
        Ok(())
    }

    /// Refuses an input whose rows have another shape than this.
    fn fits(&self, input: &Tensor, wanted: &[usize]) -> Result<()> {
        if input.rank() == wanted.len() + 1 && input.elem_count() > 0 && input.dims()[1..] == *wanted {
            return Ok(());
        }
        let wanted = wanted.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::new(format!(
            "The input in {} has the shape {:?}; this network takes [n, {wanted}], n from 1 up.",
            self.input.display(),
            input.dims()
        )))
    }

    /// The generator; a file that says itself what its layers are is believed.
    fn generator(&self, weights: &Weights, params: &Params, device: &Device) -> Result<Generator> {
        if self.prefix.is_empty() && self.statistics == Which::Running {
            let part: Part<GeneratorConfig> = Part::open(&self.weights, device)?;
            return Generator::new(&part.config, &Params::frozen(part.weights));
        }
        Generator::new(&GeneratorConfig::of_weights(weights)?, params)
    }

    fn input_tensor(&self, inputs: &Weights) -> Result<Tensor> {
        let usual = match self.network {
            Kind::Generator => "z",
            Kind::Mapping => "x",
            Kind::Encoder => "y",
            Kind::Perceptual => "a",
        };
        let found = match &self.tensor {
            Some(name) => inputs.find(name),
            None if inputs.len() == 1 => inputs.iter().next().map(|(_, tensor)| tensor),
            None => inputs.find(usual).or_else(|| inputs.find(&format!("in.{usual}"))),
        };
        let wanted = self.tensor.as_deref().unwrap_or(usual);
        let file = self.input.display();
        found.cloned().ok_or_else(|| Error::new(format!("{file} has no tensor {wanted}; name one with --tensor.")))
    }
}

/// The weights without counters, which no optimiser could move.
fn floating(weights: &Weights) -> Weights {
    let kept = weights.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    kept.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}
