//! A model in memory, and its way from and to a file.

use super::container::{Container, Storage, write_tensors};
use super::{Manifest, Network};
use crate::nets::{Encoder, Generator, Mapping, Params, Perceptual, Weights};
use crate::{Because, Error, Picture, Result};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// What the names of the sample images begin with.
const SAMPLES: &str = "samples.";
/// More sample images than this are not read.
const MOST_SAMPLES: usize = 64;

/// A model that is ready to be used: frozen networks, sample images of Y, and the manifest.
pub struct Model {
    /// Everything that is not a weight.
    pub manifest: Manifest,
    /// G.
    pub generator: Generator,
    /// T.
    pub mapping: Mapping,
    /// E, if there is one.
    pub encoder: Option<Encoder>,
    /// The perceptual network, if there is one.
    pub perceptual: Option<Perceptual>,
    /// Images of Y to try the model with, `size` x `size` pixels each.
    pub samples: Vec<Picture>,
    weights: Weights,
    device: Device,
}

impl Model {
    /// Opens a model file.
    ///
    /// # Errors
    /// With a sentence that says whether the file is no model, damaged, cut off, or made by a newer version.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::read(Container::open(path)?, device)
    }

    /// Opens a model in memory; `name` is what it is called in sentences. The bytes are not copied as a whole.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(name: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        Self::read(Container::from_bytes(name, bytes)?, device)
    }

    fn read(mut container: Container, device: &Device) -> Result<Self> {
        let manifest = Manifest::of(&container)?;
        let mut names = Vec::new();
        list(&container, &manifest.generator, &mut names)?;
        list(&container, &manifest.mapping, &mut names)?;
        if let Some(encoder) = &manifest.encoder {
            list(&container, encoder, &mut names)?;
        }
        if let Some(perceptual) = &manifest.perceptual {
            list(&container, perceptual, &mut names)?;
        }
        let shape = [manifest.channels_y, manifest.size, manifest.size];
        let mut samples = Vec::new();
        for name in (0..MOST_SAMPLES).map(|i| format!("{SAMPLES}{i}")) {
            if !container.tensors().contains_key(&name) {
                break;
            }
            check_shape(&container, &name, &shape)?;
            samples.push(picture(&container.read(&name, &Device::Cpu)?)?);
        }
        let mut weights = Weights::default();
        for name in names {
            let tensor = container.read(&name, device)?;
            weights.insert(name, tensor);
        }
        let name = container.name().to_owned();
        let model = Self::new(manifest, weights, samples, device)
            .because(|| format!("{name} is damaged: its networks cannot be built."))?;
        // The networks have what they need of the weights; the rest would only take memory.
        Ok(Self { weights: Weights::default(), ..model })
    }

    /// Builds a model from its manifest and its weights, whose names begin with `generator.`, `mapping.`, `encoder.`
    /// and `perceptual.`.
    ///
    /// # Errors
    /// When the manifest contradicts itself, or weights or samples do not fit it.
    pub fn new(manifest: Manifest, weights: Weights, samples: Vec<Picture>, device: &Device) -> Result<Self> {
        manifest.check()?;
        let size = manifest.size;
        if let Some(sample) = samples.iter().find(|sample| (sample.width(), sample.height()) != (size, size)) {
            return Err(Error::new(format!("A sample image is {sample:?} where {size} x {size} pixels are needed.")));
        }
        let params = Params::frozen(weights.clone());
        let generator = Generator::new(&manifest.generator, &params.pp("generator"))?;
        let mapping = Mapping::new(&manifest.mapping, &params.pp("mapping"))?;
        let encoder =
            manifest.encoder.as_ref().map(|config| Encoder::new(config, &params.pp("encoder"))).transpose()?;
        let perceptual =
            manifest.perceptual.as_ref().map(|config| Perceptual::new(config, &params.pp("perceptual"))).transpose()?;
        Ok(Self { manifest, generator, mapping, encoder, perceptual, samples, weights, device: device.clone() })
    }

    /// Writes the model as one file, beside its final name and renamed when complete.
    ///
    /// # Errors
    /// When the model was opened from a file, when a weight is not finite, or when the disk refuses; then nothing is left
    /// behind, and a file that was there before is as it was.
    pub fn save(&self, path: &Path, storage: Storage) -> Result<()> {
        if self.weights.is_empty() {
            return Err(Error::new("This model was opened from a file; copy that file to have it elsewhere."));
        }
        let mut tensors: BTreeMap<String, Tensor> = self.weights.iter().map(|(n, t)| (n.clone(), t.clone())).collect();
        let Manifest { channels_y, size, .. } = self.manifest;
        for (i, sample) in self.samples.iter().take(MOST_SAMPLES).enumerate() {
            let planes = Tensor::from_vec(sample.to_planes(channels_y), (channels_y, size, size), &Device::Cpu)?;
            tensors.insert(format!("{SAMPLES}{i}"), planes);
        }
        write_tensors(path, &tensors, &self.manifest.to_metadata()?, storage)
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All weights of a model that was built here, under the names they have in a file; an opened model does not keep
    /// them beside its networks.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({:?}, {} tensors)", self.manifest.title, self.weights.len())
    }
}

/// Checks that the container has all tensors of a network in their shapes, and adds their names.
pub(super) fn list<N: Network>(container: &Container, config: &N, names: &mut Vec<String>) -> Result<()> {
    for (name, shape) in config.shapes()? {
        let name = format!("{}{name}", N::PREFIX);
        check_shape(container, &name, &shape)?;
        names.push(name);
    }
    Ok(())
}

fn check_shape(container: &Container, tensor: &str, shape: &[usize]) -> Result<()> {
    let name = container.name();
    let cause = match container.tensors().get(tensor) {
        Some(entry) if entry.shape == shape => return Ok(()),
        Some(entry) => format!("{tensor} has the shape {:?}; its manifest says {shape:?}.", entry.shape),
        None => format!("The tensor {tensor} is missing."),
    };
    Err(Error::because(format!("{name} is damaged: its weights are not those that its manifest describes."), cause))
}

/// A picture from `[channels, size, size]` in [-1, 1].
fn picture(planes: &Tensor) -> Result<Picture> {
    let (channels, height, width) = planes.dims3()?;
    Picture::from_planes(&planes.flatten_all()?.to_vec1::<f32>()?, channels, width, height)
}
