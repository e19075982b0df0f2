//! The plans of the models in use on one device: each is made when it is first needed.

use super::device::{Gpu, locked};
use super::plan::Plan;
use crate::model_file::LossConfig;
use crate::nets::{Generator, Mapping, Perceptual};
use crate::ops::Identity;
use crate::plan::{build, service};
use crate::{Error, Result};
use std::sync::{Arc, Mutex};

/// Plans that are kept on a device, at most.
const KEPT: usize = 2;

/// A device and the plans on it.
pub struct Solvers {
    gpu: Arc<Gpu>,
    plans: Mutex<Vec<Entry>>,
}

/// What tells plans apart: the convolutions of their networks, the loss, and how many pictures fit.
struct Entry {
    convs: Vec<Identity>,
    loss: LossConfig,
    plan: Arc<Plan>,
}

impl Solvers {
    /// A device without plans.
    pub fn new(gpu: Arc<Gpu>) -> Self {
        Self { gpu, plans: Mutex::default() }
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The plan that solves with these networks, for so many pictures at once.
    ///
    /// # Errors
    /// When a graph cannot say what they do, or the device cannot have it.
    pub fn plan(
        &self,
        generator: &Generator,
        mapping: &Mapping,
        perceptual: Option<&Perceptual>,
        loss: &LossConfig,
        count: usize,
    ) -> Result<Arc<Plan>> {
        let unsaid = || {
            Error::new("This model's loss or networks have parts that only the CPU computes; use --device cpu for it.")
        };
        let convs = service::of_solving(generator, mapping, perceptual, loss).ok_or_else(unsaid)?;
        let mut plans = locked(&self.plans);
        plans.retain(|entry| entry.convs.iter().all(|conv| !conv.is_gone()));
        let same = |entry: &Entry| {
            entry.loss == *loss
                && entry.plan.capacity() == count
                && entry.convs.len() == convs.len()
                && entry.convs.iter().zip(&convs).all(|(identity, conv)| identity.is(conv))
        };
        if let Some(entry) = plans.iter().find(|entry| same(entry)) {
            return Ok(entry.plan.clone());
        }
        // What is not used makes room first.
        if plans.len() >= KEPT {
            plans.remove(0);
        }
        let graph = build::solving(generator, mapping, perceptual, loss).ok_or_else(unsaid)?;
        let plan = Arc::new(Plan::new(self.gpu.clone(), graph, count)?);
        let convs = convs.iter().map(|conv| conv.identity()).collect();
        plans.push(Entry { convs, loss: loss.clone(), plan: plan.clone() });
        Ok(plan)
    }
}
