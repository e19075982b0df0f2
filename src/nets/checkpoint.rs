//! Unfinished training on disk: tensors and a state, in one `.safetensors` file.

use super::Weights;
use crate::files::write_beside;
use crate::ops::{Adam, Moments, RowAdam};
use crate::{Because, Error, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;

const KIND: &str = "counterpart.checkpoint";
const STATE: &str = "counterpart.checkpoint.state";

/// What a killed run needs to go on as if nothing had happened: named f32 tensors, clocks of optimisers as integers,
/// and a state that serde understands.
#[derive(Debug)]
pub struct Checkpoint {
    kind: String,
    state: String,
    tensors: Weights,
}

impl Checkpoint {
    /// An empty checkpoint of a kind of run, with its state.
    ///
    /// # Errors
    /// When the state cannot be written down.
    pub fn new(kind: &str, state: &impl Serialize) -> Result<Self> {
        let state = serde_json::to_string(state).because(|| "The state of the run cannot be written down.")?;
        Ok(Self { kind: kind.to_owned(), state, tensors: Weights::default() })
    }

    /// The state.
    ///
    /// # Errors
    /// When it was written by another version.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S> {
        serde_json::from_str(&self.state)
            .because(|| "The checkpoint was written by another version of this program; start the training anew.")
    }

    /// Adds values under a name.
    ///
    /// # Errors
    /// When they do not fill the shape.
    pub fn put(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<()> {
        self.tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        Ok(())
    }

    /// The values of a name.
    ///
    /// # Errors
    /// When there are none.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.find(name)?.flatten_all()?.to_vec1()?)
    }

    /// Adds weights under a prefix.
    ///
    /// # Errors
    /// When the device fails.
    pub fn put_weights(&mut self, prefix: &str, weights: &Weights) -> Result<()> {
        for (name, tensor) in weights.iter() {
            self.tensors.insert(format!("{prefix}{name}"), tensor.to_device(&Device::Cpu)?);
        }
        Ok(())
    }

    /// The weights under a prefix.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weights(&self, prefix: &str, device: &Device) -> Result<Weights> {
        let below = self.tensors.below(prefix);
        below.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_device(device)?))).collect()
    }

    /// Adds the state of an optimiser under a prefix.
    ///
    /// # Errors
    /// When there is no room.
    pub fn put_adam(&mut self, prefix: &str, adam: &Adam) -> Result<()> {
        self.tensors.insert(format!("{prefix}step"), Tensor::new(&[adam.steps() as i64], &Device::Cpu)?);
        for (i, Moments { first, second }) in adam.moments().into_iter().enumerate() {
            self.put(&format!("{prefix}{i}.first"), &[first.len()], first)?;
            self.put(&format!("{prefix}{i}.second"), &[second.len()], second)?;
        }
        Ok(())
    }

    /// Gives an optimiser the state that [`Checkpoint::put_adam`] kept.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    pub fn restore_adam(&self, prefix: &str, adam: &mut Adam) -> Result<()> {
        let name = format!("{prefix}step");
        let steps = self.find(&name)?.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
        let steps = steps.first().and_then(|&steps| usize::try_from(steps).ok()).ok_or_else(|| lacks(&name))?;
        let mut moments = Vec::new();
        while self.tensors.find(&format!("{prefix}{}.first", moments.len())).is_some() {
            let part = |part: &str| self.values(&format!("{prefix}{}.{part}", moments.len()));
            moments.push(Moments { first: part("first")?, second: part("second")? });
        }
        adam.restore(steps, moments)
            .because(|| "The checkpoint's optimiser does not fit the networks; start the training anew without it.")
    }

    /// Adds the state of an optimiser of latent codes under a prefix.
    ///
    /// # Errors
    /// When there is no room.
    pub fn put_row_adam(&mut self, prefix: &str, adam: &RowAdam) -> Result<()> {
        let (first, second, steps) = adam.state();
        self.put(&format!("{prefix}first"), &[first.len()], first.to_vec())?;
        self.put(&format!("{prefix}second"), &[second.len()], second.to_vec())?;
        self.tensors.insert(format!("{prefix}steps"), Tensor::from_slice(steps, steps.len(), &Device::Cpu)?);
        Ok(())
    }

    /// Gives an optimiser of latent codes the state that [`Checkpoint::put_row_adam`] kept.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    pub fn restore_row_adam(&self, prefix: &str, adam: &mut RowAdam) -> Result<()> {
        let values = |name: &str| self.values(&format!("{prefix}{name}"));
        let steps = self.find(&format!("{prefix}steps"))?.to_dtype(DType::U32)?.flatten_all()?.to_vec1()?;
        adam.restore(values("first")?, values("second")?, steps)
    }

    fn find(&self, name: &str) -> Result<&Tensor> {
        self.tensors.find(name).ok_or_else(|| lacks(name))
    }

    /// Writes the file beside its place, and then puts it there: a kill leaves the old one or the new one, whole.
    ///
    /// # Errors
    /// When the folder cannot be written to or the disk is full.
    pub fn save(&self, path: &Path) -> Result<()> {
        let metadata = HashMap::from([(KIND.to_owned(), self.kind.clone()), (STATE.to_owned(), self.state.clone())]);
        let file = safetensors::serialize(self.tensors.iter(), Some(metadata))
            .because(|| format!("The checkpoint {} cannot be written.", path.display()))?;
        write_beside(path, &file)
    }

    /// Reads a checkpoint of a kind of run.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another kind of run.
    pub fn open(path: &Path, kind: &str) -> Result<Self> {
        let shown = path.display();
        crate::files::check_file(path)?;
        let bytes = std::fs::read(path).because(|| format!("The checkpoint {shown} cannot be read."))?;
        let damaged = || format!("{shown} is no checkpoint, or it is damaged; start the training anew without it.");
        let (_, header) = SafeTensors::read_metadata(&bytes).because(damaged)?;
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let found = metadata.remove(KIND).unwrap_or_default();
        if found != kind {
            let found = if found.is_empty() { "nothing that this version of the program trains" } else { &found };
            return Err(Error::new(format!(
                "{shown} is not a checkpoint of {kind}, but of {found}; resume it with what wrote it, or start anew."
            )));
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).because(damaged)?;
        if tensors.values().any(|tensor| ![DType::F32, DType::I64, DType::U32].contains(&tensor.dtype())) {
            return Err(Error::new(damaged()));
        }
        let state = metadata.remove(STATE).unwrap_or_default();
        Ok(Self { kind: found, state, tensors: tensors.into_iter().collect() })
    }
}

fn lacks(name: &str) -> Error {
    Error::new(format!("The checkpoint lacks {name}, so it is damaged; start the training anew without it."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::AdamConfig;
    use candle_core::Var;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        seed: u64,
        rate: f64,
    }

    #[test]
    fn everything_comes_back_exactly() {
        let cpu = &Device::Cpu;
        let variable = Var::new(&[[1f32, 2.0], [3.0, 4.0]], cpu).unwrap();
        let new = || Adam::new(vec![variable.clone()], AdamConfig::default());
        let mut adam = new();
        // A number of steps that f32 does not have.
        let moments = Moments { first: vec![0.1, f32::MIN_POSITIVE, -3.0, 1e30], second: vec![0.5; 4] };
        adam.restore((1 << 24) + 1, vec![moments]).unwrap();
        let mut rows = RowAdam::new(3, 2, AdamConfig::default());
        rows.restore(vec![0.25; 6], vec![0.75; 6], vec![0, 7, (1 << 24) + 1]).unwrap();
        let state = State { seed: u64::MAX, rate: 0.1 };
        let mut checkpoint = Checkpoint::new("test", &state).unwrap();
        let weights = Weights::from_iter([("a.b".to_owned(), variable.as_tensor().clone())]);
        checkpoint.put_weights("net.", &weights).unwrap();
        checkpoint.put_adam("adam.", &adam).unwrap();
        checkpoint.put_row_adam("codes.", &rows).unwrap();
        checkpoint.put("codes", &[1, 2], vec![-0.5, 1.5]).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.checkpoint");
        checkpoint.save(&path).unwrap();
        let found = Checkpoint::open(&path, "test").unwrap();
        assert_eq!(found.state::<State>().unwrap(), state);
        assert!(found.state::<String>().is_err());
        assert_eq!(found.values("codes").unwrap(), [-0.5, 1.5]);
        let tensor = found.weights("net.", cpu).unwrap().get("a.b", &[2, 2]).unwrap();
        assert_eq!(tensor.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
        let (mut other, mut others) = (new(), RowAdam::new(3, 2, AdamConfig::default()));
        found.restore_adam("adam.", &mut other).unwrap();
        found.restore_row_adam("codes.", &mut others).unwrap();
        assert_eq!((other.steps(), other.moments()), (adam.steps(), adam.moments()));
        assert_eq!(others, rows);
        assert!(found.restore_adam("other.", &mut other).is_err());
    }

    #[test]
    fn what_is_no_such_checkpoint_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.checkpoint");
        let refusal = |kind: &str| Checkpoint::open(&path, kind).unwrap_err().to_string();
        assert!(refusal("this").contains("There is no file"));
        Checkpoint::new("this", &0).unwrap().save(&path).unwrap();
        assert!(refusal("that").contains("not a checkpoint of that, but of this"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(refusal("this").contains("damaged"));
        std::fs::write(&path, safetensors::serialize(Weights::default().iter(), None).unwrap()).unwrap();
        assert!(refusal("this").contains("but of nothing"));
    }
}
