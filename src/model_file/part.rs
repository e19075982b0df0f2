//! A file with one network alone: a generator on its way to a model, or a perceptual student.

use super::container::{Container, Storage, write_tensors};
use super::manifest::{entries, typed_entries};
use super::model::list;
use super::{FORMAT_VERSION, Manifest, Network, TrainingRecord};
use crate::data::Preparation;
use crate::nets::Weights;
use crate::{Because, Error, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// One network with how it came to be.
#[derive(Clone, Debug)]
pub struct Part<N> {
    /// The network's shape.
    pub config: N,
    /// Its weights under their own names, without the prefix that they have in the file.
    pub weights: Weights,
    /// What is known of it besides.
    pub about: About,
}

/// What is known of a network besides its shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// How it came to be.
    pub training: Vec<TrainingRecord>,
    /// How the photographs that it was trained on were prepared.
    pub preparation: Preparation,
    /// Its licence, and where its data came from.
    pub licence: String,
}

#[derive(Serialize, Deserialize)]
struct Header<N> {
    format_version: u32,
    part: String,
    config: N,
    #[serde(flatten)]
    about: About,
}

impl<N: Network> Part<N> {
    /// Opens a network: a file that [`Part::save`] wrote, a whole model, or weights alone (`.safetensors`, `.pth`),
    /// whose configuration is read off their shapes.
    ///
    /// # Errors
    /// With a sentence that says what is wrong with the file.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let shown = path.display();
        let pickled = path.extension().is_some_and(|end| end != "safetensors");
        let unknown = || format!("{shown} does not hold a {}.", N::NAME);
        if pickled {
            let weights = Weights::open(path, device)?;
            let config = N::of_weights(&weights).because(unknown)?;
            return Ok(Self { config, weights, about: About::default() });
        }
        Self::read(Container::open(path)?, device)
    }

    /// Opens a network in memory, as [`Part::open`] does a `.safetensors` file; `name` is what it is called in sentences.
    ///
    /// # Errors
    /// As [`Part::open`].
    pub fn from_bytes(name: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        Self::read(Container::from_bytes(name, bytes)?, device)
    }

    fn read(mut container: Container, device: &Device) -> Result<Self> {
        let shown = container.name().to_owned();
        let unknown = || format!("{shown} does not hold a {}.", N::NAME);
        if !container.metadata().contains_key("counterpart.format_version") {
            let names: Vec<String> = container.tensors().keys().cloned().collect();
            let prefixed = names.iter().any(|name| name.starts_with(N::PREFIX));
            let prefix = if prefixed { N::PREFIX } else { "" };
            let mut weights = Weights::default();
            for (name, short) in names.iter().filter_map(|name| Some((name, name.strip_prefix(prefix)?))) {
                weights.insert(short, container.read(name, device)?);
            }
            let config = N::of_weights(&weights).because(unknown)?;
            return Ok(Self { config, weights, about: About::default() });
        }
        let (config, about) = if container.metadata().contains_key("counterpart.part") {
            let map = typed_entries(&container)?;
            let part = map.get("part").and_then(Value::as_str).unwrap_or_default().to_owned();
            if part != N::PREFIX.trim_end_matches('.') {
                return Err(Error::because(unknown(), format!("It holds a {part}.")));
            }
            let header: Header<N> = serde_json::from_value(Value::Object(map))
                .because(|| format!("{shown} is damaged: its entries cannot be understood."))?;
            (header.config, header.about)
        } else {
            let Manifest { mut training, preparation, licence, .. } = Manifest::of(&container)?;
            // The other networks of the model are left behind, and what is known of them with them.
            training.retain(|record| record.stage == N::STAGE);
            let key = format!("counterpart.{}", N::PREFIX.trim_end_matches('.'));
            let text = container.metadata().get(&key).map_or("null", String::as_str);
            let config = serde_json::from_str(text).because(unknown)?;
            (config, About { training, preparation, licence })
        };
        let mut names = Vec::new();
        list(&container, &config, &mut names)?;
        let mut weights = Weights::default();
        for name in names {
            let tensor = container.read(&name, device)?;
            weights.insert(name.trim_start_matches(N::PREFIX), tensor);
        }
        Ok(Self { config, weights, about })
    }

    /// Writes the network as a file of its own, beside its final name and renamed when complete.
    ///
    /// # Errors
    /// When a weight is not finite or the disk refuses; then nothing is left behind.
    pub fn save(&self, path: &Path, storage: Storage) -> Result<()> {
        let part = N::PREFIX.trim_end_matches('.').to_owned();
        let header =
            Header { format_version: FORMAT_VERSION, part, config: self.config.clone(), about: self.about.clone() };
        let named = |(name, tensor): (&String, &candle_core::Tensor)| (format!("{}{name}", N::PREFIX), tensor.clone());
        write_tensors(path, &self.weights.iter().map(named).collect(), &entries(&header)?, storage)
    }
}

/// Whether a file says of itself that it is a whole model; that it is a sound one is for [`super::Model::open`] to
/// find out.
pub fn is_model(path: &Path) -> bool {
    Container::open(path).is_ok_and(|container| {
        let has = |key: &str| container.metadata().contains_key(key);
        has("counterpart.format_version") && !has("counterpart.part")
    })
}

/// Whether a file says of itself that this program wrote it.
pub fn is_own(path: &Path) -> bool {
    Container::open(path).is_ok_and(|container| container.metadata().contains_key("counterpart.format_version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{GeneratorConfig, PerceptualConfig};

    #[test]
    fn a_part_comes_back_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.safetensors");
        let config = GeneratorConfig { latent: 5, width: 2, channels: 3, size: 32, layers: Vec::new() };
        let weights = config.initial_weights(3, &Device::Cpu).unwrap();
        let record = TrainingRecord { stage: "prior".into(), method: "sngan".into(), steps: 12, ..Default::default() };
        let about = About { training: vec![record], licence: "MIT".into(), ..About::default() };
        Part { config: config.clone(), weights: weights.clone(), about: about.clone() }
            .save(&path, Storage::F32)
            .unwrap();
        let back: Part<GeneratorConfig> = Part::open(&path, &Device::Cpu).unwrap();
        assert_eq!((&back.config, &back.about), (&config, &about));
        for (name, tensor) in weights.iter() {
            let other = back.weights.get(name, tensor.dims()).unwrap();
            assert_eq!(values(&other), values(tensor), "{name}");
        }
        let error: Error = Part::<PerceptualConfig>::open(&path, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("does not hold a perceptual network"), "{error}");
    }

    #[test]
    fn a_network_out_of_a_model_brings_its_own_records_alone() {
        let first = &crate::model_file::embedded::all()[0];
        let stages = |training: &[TrainingRecord]| training.iter().map(|r| r.stage.clone()).collect::<Vec<_>>();
        let generator: Part<GeneratorConfig> = Part::from_bytes(first.id, first.bytes, &Device::Cpu).unwrap();
        assert_eq!(stages(&generator.about.training), ["prior"; 3]);
        let perceptual: Part<PerceptualConfig> = Part::from_bytes(first.id, first.bytes, &Device::Cpu).unwrap();
        assert_eq!(stages(&perceptual.about.training), ["student"]);
    }

    #[test]
    fn bare_weights_tell_their_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bare.safetensors");
        let config = GeneratorConfig { latent: 5, width: 2, channels: 1, size: 64, layers: Vec::new() };
        let weights = config.initial_weights(3, &Device::Cpu).unwrap();
        let tensors = weights.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        write_tensors(&path, &tensors, &Default::default(), Storage::F16).unwrap();
        assert_eq!(Part::<GeneratorConfig>::open(&path, &Device::Cpu).unwrap().config, config);
    }

    fn values(tensor: &candle_core::Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }
}
