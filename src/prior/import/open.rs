//! A generator from any file that can hold one.

use super::{Description, recognise, resolve, style};
use crate::model_file::{About, Network, Part, TrainingRecord, is_own};
use crate::nets::weights::normal_values;
use crate::nets::{GeneratorConfig, Weights};
use crate::{Because, Error, Result};
use candle_core::Device;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::Path;

/// The seed by which StyleGAN2's styles are measured.
const SEED: u64 = 0;

/// A generator that was someone else's, and how its layers are known.
pub struct Imported {
    /// Its layers.
    pub config: GeneratorConfig,
    /// Its parameters.
    pub weights: Weights,
    /// In words, as in "recognised as ...".
    pub told: String,
}

/// The generator that tensors are, by their names and shapes or by a description in JSON. `truncation` is StyleGAN2's.
///
/// # Errors
/// When the names do not tell and there is no description, or the tensors do not fit.
pub fn import(tensors: &Weights, description: Option<&Path>, truncation: Option<f64>) -> Result<Imported> {
    if let Some(psi) = truncation.filter(|psi| !(*psi > 0.0 && *psi <= 2.0)) {
        return Err(Error::new(format!("The truncation is a number above 0, and at most 2; {psi} is not.")));
    }
    if let Some(path) = description {
        let text = std::fs::read_to_string(path).because(|| format!("Cannot read {}.", path.display()))?;
        let description = Description::parse(&text).map_err(|error| {
            let sentence = format!("{} cannot be used. {error}", path.display());
            Error::because(sentence, error)
        })?;
        refuse(truncation)?;
        let (config, weights) = resolve(&description, tensors)?;
        return Ok(Imported { config, weights, told: "its layers as described".to_owned() });
    }
    let normals = |count| normal_values(&mut StdRng::seed_from_u64(SEED), count, 0.0, 1.0);
    if let Some((config, weights, called)) = style(tensors, truncation.unwrap_or(1.0), normals)? {
        return Ok(Imported {
            config,
            weights,
            told: format!("recognised as {called}; its codes are whitened styles w"),
        });
    }
    refuse(truncation)?;
    let (description, called) = recognise(tensors).ok_or_else(|| {
        Error::new(
            "Its names and shapes do not tell what its layers are; write a description with --draft DESCRIPTION.json, \
             complete it, and import with --describe DESCRIPTION.json.",
        )
    })?;
    let (config, weights) = resolve(&description, tensors)?;
    Ok(Imported { config, weights, told: format!("recognised as {called}") })
}

fn refuse(truncation: Option<f64>) -> Result<()> {
    match truncation {
        Some(_) => Err(Error::new("Truncation is for StyleGAN2 generators alone; import this file without it.")),
        None => Ok(()),
    }
}

impl Imported {
    /// The generator as a part of a model, with a record that says whence it comes.
    pub fn part(self, file: &Path, data: &str, licence: &str) -> Part<GeneratorConfig> {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let record = TrainingRecord {
            stage: "prior".into(),
            method: "import".into(),
            data: data.into(),
            program: env!("CARGO_PKG_VERSION").into(),
            settings: BTreeMap::from([("file".to_owned(), name), ("layers".to_owned(), self.told)]),
            ..TrainingRecord::default()
        };
        let about = About { training: vec![record], licence: licence.into(), ..About::default() };
        Part { config: self.config, weights: self.weights, about }
    }
}

/// Opens a generator: what this program wrote, a model, or what someone else trained. A description of the layers may
/// stand beside the file under its name, `G.json` beside `G.pth`.
///
/// # Errors
/// When it is none of these, or damaged.
pub fn open(path: &Path, device: &Device) -> Result<Part<GeneratorConfig>> {
    let beside = path.with_extension("json");
    let described = beside.is_file() && beside != path && !is_own(path);
    let mut refusal = None;
    if !described {
        match Part::open(path, device) {
            Ok(part) => return Ok(part),
            Err(error) if is_own(path) => return Err(error),
            Err(error) => refusal = Some(error),
        }
    }
    let tensors = Weights::open(path, &Device::Cpu).map_err(|error| refusal.unwrap_or(error))?;
    let imported = import(&tensors, described.then_some(&*beside), None).map_err(|error| {
        let sentence = format!("{} cannot be imported. {error}", path.display());
        Error::because(sentence, error)
    })?;
    let mut part = imported.part(path, "", "");
    let moved = part.weights.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_device(device)?)));
    part.weights = moved.collect::<Result<_>>()?;
    part.config.shapes()?;
    Ok(part)
}
