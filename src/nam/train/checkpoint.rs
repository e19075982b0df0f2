//! A run of training on disk: tensors and a state, in one `.safetensors` file.

use crate::files::write_beside;
use crate::nets::Weights;
use crate::ops::{Adam, Moments};
use crate::{Because, Error, Result};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const KIND: &str = "counterpart.checkpoint";
const STATE: &str = "counterpart.checkpoint.state";

/// Everything that a run needs to go on: named f32 values with their shapes, and a state that serde understands.
#[derive(Debug, Default)]
pub struct Checkpoint {
    kind: String,
    state: String,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Checkpoint {
    /// An empty checkpoint of a kind of run, with its state.
    ///
    /// # Errors
    /// When the state cannot be written down.
    pub fn new(kind: &str, state: &impl Serialize) -> Result<Self> {
        let state = serde_json::to_string(state).because(|| "The state of the run cannot be written down.")?;
        Ok(Self { kind: kind.to_owned(), state, tensors: BTreeMap::new() })
    }

    /// The state.
    ///
    /// # Errors
    /// When it was written by another version.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S> {
        serde_json::from_str(&self.state).because(|| "The checkpoint was written by another version of this program.")
    }

    /// Adds values under a name.
    pub fn put(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) {
        self.tensors.insert(name.into(), (shape.to_vec(), values));
    }

    /// Takes values out.
    ///
    /// # Errors
    /// When there are none of this name.
    pub fn take(&mut self, name: &str) -> Result<Vec<f32>> {
        let found = self.tensors.remove(name).map(|(_, values)| values);
        found.ok_or_else(|| Error::new(format!("The checkpoint lacks {name}: it is damaged.")))
    }

    /// Adds weights under a prefix.
    ///
    /// # Errors
    /// When the device fails.
    pub fn put_weights(&mut self, prefix: &str, weights: &Weights) -> Result<()> {
        for (name, tensor) in weights.iter() {
            self.put(format!("{prefix}{name}"), tensor.dims(), tensor.flatten_all()?.to_vec1()?);
        }
        Ok(())
    }

    /// The weights under a prefix.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weights(&self, prefix: &str, device: &Device) -> Result<Weights> {
        let below = self.tensors.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        below
            .map(|(name, (shape, values))| Ok((name.to_owned(), Tensor::from_slice(values, shape.as_slice(), device)?)))
            .collect()
    }

    /// Adds the state of an optimiser under a prefix.
    pub fn put_adam(&mut self, prefix: &str, adam: &Adam) {
        self.put(format!("{prefix}step"), &[1], vec![adam.steps() as f32]);
        for (i, Moments { first, second }) in adam.moments().into_iter().enumerate() {
            self.put(format!("{prefix}{i}.first"), &[first.len()], first);
            self.put(format!("{prefix}{i}.second"), &[second.len()], second);
        }
    }

    /// Puts the state of an optimiser back.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    pub fn restore_adam(&mut self, prefix: &str, adam: &mut Adam) -> Result<()> {
        let step = self.take(&format!("{prefix}step"))?.first().copied().unwrap_or(0.0) as usize;
        let moments = (0..adam.moments().len()).map(|i| {
            let first = self.take(&format!("{prefix}{i}.first"))?;
            Ok(Moments { first, second: self.take(&format!("{prefix}{i}.second"))? })
        });
        Ok(adam.restore(step, moments.collect::<Result<_>>()?)?)
    }

    /// Writes the file beside its place, and then puts it there: a kill leaves the old one.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        let failed = || format!("The checkpoint {shown} cannot be written.");
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes
            .iter()
            .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
            .because(failed)?;
        let metadata = HashMap::from([(KIND.to_owned(), self.kind.clone()), (STATE.to_owned(), self.state.clone())]);
        let file = safetensors::serialize(views, Some(metadata)).because(failed)?;
        write_beside(path, &file)
    }

    /// Reads a checkpoint of a kind of run.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another kind of run.
    pub fn open(path: &Path, kind: &str) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).because(|| format!("The checkpoint {shown} cannot be read."))?;
        let damaged = || format!("{shown} is not a checkpoint, or it is damaged.");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).because(damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let found = metadata.get(KIND).cloned().unwrap_or_default();
        if found != kind {
            let found = if found.is_empty() { "nothing of ours" } else { &found };
            return Err(Error::new(format!("{shown} is not a checkpoint of {kind}, but of {found}.")));
        }
        let file = safetensors::SafeTensors::deserialize(&bytes).because(damaged)?;
        let mut checkpoint =
            Self { kind: found, state: metadata.get(STATE).cloned().unwrap_or_default(), tensors: BTreeMap::new() };
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(Error::new(damaged()));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            checkpoint.tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(checkpoint)
    }
}
