//! Unfinished training on disk: tensors and texts, written beside and renamed.

use super::Weights;
use crate::ops::{Adam, Moments};
use crate::{Because, Error, Result};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a killed run needs to go on as if nothing had happened.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Named texts: settings, step.
    pub texts: BTreeMap<String, String>,
    /// Named tensors: parameters, optimiser state.
    pub tensors: Weights,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file is missing, damaged or something else.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).because(|| format!("The checkpoint {shown} cannot be read."))?;
        let damaged = || format!("{shown} is no checkpoint, or it is damaged; start the training anew without it.");
        let (_, header) = SafeTensors::read_metadata(&bytes).because(damaged)?;
        let texts = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let tensors = candle_core::safetensors::load_buffer(&bytes, device).because(damaged)?;
        Ok(Self { texts, tensors: tensors.into_iter().collect() })
    }

    /// Writes the checkpoint beside `path` and renames it, so that a kill leaves the old or the new one, whole.
    ///
    /// # Errors
    /// When the folder cannot be written to or the disk is full.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        let refused = || format!("The checkpoint {shown} cannot be written; is the folder writable, the disk full?");
        let texts: HashMap<String, String> = self.texts.clone().into_iter().collect();
        let bytes = safetensors::serialize(self.tensors.iter(), Some(texts)).because(refused)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).because(refused)?;
        std::io::Write::write_all(&mut file, &bytes).because(refused)?;
        file.persist(path).because(refused)?;
        Ok(())
    }

    /// A text.
    ///
    /// # Errors
    /// When it is missing.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.texts
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Error::new(format!("The checkpoint lacks {name}; it belongs to another kind of training.")))
    }

    /// Adds the state of an optimiser under a prefix.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn put_adam(&mut self, prefix: &str, adam: &Adam) -> Result<()> {
        self.texts.insert(format!("{prefix}steps"), adam.steps().to_string());
        for (i, moments) in adam.moments().into_iter().enumerate() {
            let tensor = |values: Vec<f32>| Tensor::from_vec(values.clone(), values.len(), &Device::Cpu);
            self.tensors.insert(format!("{prefix}{i}.first"), tensor(moments.first)?);
            self.tensors.insert(format!("{prefix}{i}.second"), tensor(moments.second)?);
        }
        Ok(())
    }

    /// Gives an optimiser the state that [`Checkpoint::put_adam`] kept.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    pub fn restore_adam(&self, prefix: &str, adam: &mut Adam) -> Result<()> {
        let steps = self.text(&format!("{prefix}steps"))?.parse().because(|| "The checkpoint is damaged.")?;
        let mut moments = Vec::new();
        let values = |name: String| self.tensors.find(&name).map(|t| t.flatten_all()?.to_vec1::<f32>()).transpose();
        while let Some(first) = values(format!("{prefix}{}.first", moments.len()))? {
            let second = values(format!("{prefix}{}.second", moments.len()))?.unwrap_or_default();
            moments.push(Moments { first, second });
        }
        Ok(adam.restore(steps, moments)?)
    }
}
