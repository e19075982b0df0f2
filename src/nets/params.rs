//! The parameters that a network is built from: frozen tensors or variables, by name.

use super::Weights;
use crate::Result;
use crate::ops::{Adam, AdamConfig};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parameters under a prefix. Cheap to clone; all clones share the tensors.
#[derive(Clone)]
pub struct Params {
    shared: Arc<Shared>,
    prefix: String,
    tracked: bool,
}

enum Shared {
    Frozen(Weights),
    Trainable { variables: BTreeMap<String, Var>, order: Vec<String> },
}

/// Whether a name belongs to a running statistic, which is moved by the forward pass and not by an optimiser.
fn is_statistic(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|end| name.ends_with(end)) || name.ends_with(".u")
}

impl Params {
    /// Parameters that never change.
    pub fn frozen(weights: Weights) -> Self {
        Self { shared: Arc::new(Shared::Frozen(weights)), prefix: String::new(), tracked: false }
    }

    /// Variables that start at these values.
    ///
    /// # Errors
    /// When the device has no room for them.
    pub fn trainable(weights: &Weights) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for (name, tensor) in weights.iter() {
            // A copy of its own, so that training never changes what the caller holds.
            variables.insert(name.clone(), Var::from_tensor(&tensor.force_contiguous()?.copy()?)?);
        }
        let order = variables.keys().cloned().collect();
        let shared = Arc::new(Shared::Trainable { variables, order });
        Ok(Self { shared, prefix: String::new(), tracked: true })
    }

    /// The parameters below `name`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The same variables, which the backward pass does not track: a network made from them sees every variable as it
    /// is when it is used, and costs no gradients for them.
    pub fn detached(&self) -> Self {
        Self { tracked: false, ..self.clone() }
    }

    /// Whether these are variables.
    pub fn is_trainable(&self) -> bool {
        matches!(*self.shared, Shared::Trainable { .. })
    }

    /// Whether there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        let name = format!("{}{name}", self.prefix);
        match &*self.shared {
            Shared::Frozen(weights) => weights.find(&name).is_some(),
            Shared::Trainable { variables, .. } => variables.contains_key(&name),
        }
    }

    /// A parameter in the shape that is needed; a trainable one is tracked by the backward pass, unless these are
    /// [`Params::detached`].
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        match &*self.shared {
            Shared::Frozen(weights) => weights.get(&name, shape),
            Shared::Trainable { variables, .. } => {
                let tensor = |v: &Var| if self.tracked { v.as_tensor().clone() } else { v.as_detached_tensor() };
                let found = variables.get(&name).map(|v| (name.clone(), tensor(v)));
                Weights::from_iter(found).get(&name, shape)
            }
        }
    }

    /// The variable of a name, for statistics that the forward pass moves; `None` where parameters are frozen.
    pub fn variable(&self, name: &str) -> Option<Var> {
        match &*self.shared {
            Shared::Frozen(_) => None,
            Shared::Trainable { variables, .. } => variables.get(&format!("{}{name}", self.prefix)).cloned(),
        }
    }

    /// The variables that an optimiser may move, with their full names, in a fixed order.
    pub fn vars(&self) -> Vec<(String, Var)> {
        match &*self.shared {
            Shared::Frozen(_) => Vec::new(),
            Shared::Trainable { variables, order } => order
                .iter()
                .filter(|name| name.starts_with(&self.prefix) && !is_statistic(name))
                .map(|name| (name.clone(), variables[name].clone()))
                .collect(),
        }
    }

    /// Adam for the variables.
    pub fn adam(&self, config: AdamConfig) -> Adam {
        Adam::new(self.vars().into_iter().map(|(_, variable)| variable).collect(), config)
    }

    /// Sets all variables, statistics included, to the values that `weights` has under their full names; frozen parameters
    /// stay as they are.
    ///
    /// # Errors
    /// When one is missing or of another shape.
    pub fn set(&self, weights: &Weights) -> Result<()> {
        let Shared::Trainable { variables, .. } = &*self.shared else { return Ok(()) };
        variables.iter().try_for_each(|(name, variable)| Ok(variable.set(&weights.get(name, variable.dims())?)?))
    }

    /// A copy of all values as they are now, statistics included, under their full names.
    ///
    /// # Errors
    /// When the device has no room for the copy.
    pub fn weights(&self) -> Result<Weights> {
        match &*self.shared {
            Shared::Frozen(weights) => Ok(weights.clone()),
            Shared::Trainable { variables, .. } => {
                variables.iter().map(|(name, v)| Ok((name.clone(), v.as_tensor().copy()?.detach()))).collect()
            }
        }
    }
}
