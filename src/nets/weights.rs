//! Named tensors: what a checkpoint holds.

use super::{legacy_checkpoint, torch_zip};
use crate::{Because, Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of a network by their names, f32.
#[derive(Clone, Debug, Default)]
pub struct Weights(BTreeMap<String, Tensor>);

impl Weights {
    /// Reads a `.safetensors` file, a NumPy `.npz` file or a PyTorch `.pth` (`.pt`, `.bin`) file; nothing in the latter
    /// is executed.
    ///
    /// # Errors
    /// When the file cannot be read or is neither.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        crate::files::check_file(path)?;
        let shown = path.display();
        let pickled = path.extension().is_some_and(|e| ["pth", "pt", "bin"].iter().any(|known| e == *known));
        let start = if pickled { file_start(path).because(|| format!("{shown} cannot be read."))? } else { Vec::new() };
        let tensors: Vec<(String, Tensor)> = if legacy_checkpoint::is_legacy(&start) {
            let bytes = std::fs::read(path).because(|| format!("{shown} cannot be read."))?;
            legacy_checkpoint::read(&bytes).because(|| format!("{shown} is not a checkpoint of weights."))?
        } else if pickled {
            torch_zip::read(path).because(|| format!("{shown} is not a PyTorch checkpoint of weights."))?
        } else if path.extension().is_some_and(|e| e == "npz") {
            Tensor::read_npz(path).because(|| format!("{shown} is not a NumPy archive of arrays."))?
        } else {
            let bytes = std::fs::read(path).because(|| format!("{shown} cannot be read."))?;
            candle_core::safetensors::load_buffer(&bytes, device)
                .because(|| format!("{shown} is not a .safetensors file, or it is damaged."))?
                .into_iter()
                .collect()
        };
        let mut weights = Self::default();
        for (name, tensor) in tensors {
            weights.insert(name, tensor.to_device(device)?.to_dtype(DType::F32)?.contiguous()?);
        }
        Ok(weights)
    }

    /// The tensors whose names start with `prefix`, the prefix cut off.
    pub fn below(&self, prefix: &str) -> Self {
        let cut = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
        Self(self.0.iter().filter_map(cut).collect())
    }

    /// Puts all tensors of `other` under `prefix` beside these.
    pub fn extend_below(&mut self, prefix: &str, other: &Self) {
        self.0.extend(other.0.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())));
    }

    /// The tensor of a name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// The tensor of a name, in the shape that is needed.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.find(name).ok_or_else(|| Error::new(format!("The weights lack the tensor {name}.")))?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::new(format!("The tensor {name} has the shape {found:?} where {shape:?} is needed.")));
        }
        Ok(tensor.clone())
    }

    /// Adds or replaces a tensor.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.0.iter()
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of values in all tensors together.
    pub fn elements(&self) -> usize {
        self.0.values().map(Tensor::elem_count).sum()
    }
}

/// The first bytes of a file, by which its format is known.
fn file_start(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(64).read_to_end(&mut start)?;
    Ok(start)
}

impl FromIterator<(String, Tensor)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self(tensors.into_iter().collect())
    }
}

/// Draws the starting values of a network, the same ones for the same seed on every device.
pub struct Initialiser {
    random: rand::rngs::StdRng,
    device: Device,
    weights: Weights,
}

impl Initialiser {
    /// Starts with nothing drawn.
    pub fn new(seed: u64, device: &Device) -> Self {
        use rand::SeedableRng;
        Self { random: rand::rngs::StdRng::seed_from_u64(seed), device: device.clone(), weights: Weights::default() }
    }

    /// Adds a tensor of normal values.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn normal(&mut self, name: &str, shape: &[usize], mean: f32, deviation: f32) -> Result<()> {
        let values = normal_values(&mut self.random, shape.iter().product(), mean, deviation);
        self.weights.insert(name, Tensor::from_vec(values, shape, &self.device)?);
        Ok(())
    }

    /// Adds a tensor of one value.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn constant(&mut self, name: &str, shape: &[usize], value: f32) -> Result<()> {
        self.weights.insert(name, Tensor::full(value, shape, &self.device)?);
        Ok(())
    }

    /// Adds a tensor as it is.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.weights.insert(name, tensor);
    }

    /// Adds a batch normalisation: scales N(1, deviation), shifts 0, statistics of N(0, 1).
    ///
    /// # Errors
    /// When the device has no room.
    pub fn batch_norm(&mut self, prefix: &str, channels: usize, deviation: f32) -> Result<()> {
        self.normal(&format!("{prefix}.weight"), &[channels], 1.0, deviation)?;
        self.constant(&format!("{prefix}.bias"), &[channels], 0.0)?;
        self.constant(&format!("{prefix}.running_mean"), &[channels], 0.0)?;
        self.constant(&format!("{prefix}.running_var"), &[channels], 1.0)
    }

    /// What was drawn.
    pub fn finish(self) -> Weights {
        self.weights
    }
}

/// Normal values from a seeded source.
pub fn normal_values(random: &mut impl rand::Rng, count: usize, mean: f32, deviation: f32) -> Vec<f32> {
    use rand_distr::Distribution;
    let normal = rand_distr::StandardNormal;
    let draw = |_| mean + deviation * <rand_distr::StandardNormal as Distribution<f32>>::sample(&normal, random);
    (0..count).map(draw).collect()
}
