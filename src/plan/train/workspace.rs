//! What a pass of a network that learns is given, keeps and gives back.

use super::super::cpu::{Convolution, Floats};
use super::super::memory::{Kind, Memory};
use super::norm::{Kept, Moments};

/// The parameters of a layer that learns.
pub struct Parameters<'a> {
    /// The kernels.
    pub weight: &'a [f32],
    /// What is added to every channel.
    pub bias: Option<&'a [f32]>,
    /// Scales and shifts, and what is added to variances.
    pub norm: Option<(&'a [f32], &'a [f32], f64)>,
}

/// The gradients of a layer's parameters.
#[derive(Default)]
pub struct Gradients {
    /// Of its kernels.
    pub weight: Vec<f32>,
    /// Of its bias.
    pub bias: Vec<f32>,
    /// Of its scales.
    pub scales: Vec<f32>,
    /// Of its shifts.
    pub shifts: Vec<f32>,
}

/// The memory of a pass, with the kernels as that pass packed them.
pub struct Workspace {
    pub(super) memory: Memory,
    pub(super) slots: Vec<Floats>,
    pub(super) shared: Floats,
    pub(super) seed: Floats,
    pub(super) layers: Vec<Trained>,
    pub(super) count: usize,
    pub(super) parts: usize,
}

/// What a layer that learns needs in a pass.
#[derive(Default)]
pub(super) struct Trained {
    pub(super) forward: Option<Box<Convolution>>,
    pub(super) backward: Option<Box<Convolution>>,
    /// The values before the normalisation.
    pub(super) raw: Floats,
    pub(super) moments: Moments,
    pub(super) kept: Kept,
}

impl Workspace {
    pub(super) fn slot(&self, kind: Kind, map: usize) -> &Floats {
        &self.slots[self.memory.slot(kind, map)]
    }

    pub(super) fn take(&mut self, kind: Kind, map: usize) -> Floats {
        let slot = self.memory.slot(kind, map);
        std::mem::take(&mut self.slots[slot])
    }

    pub(super) fn put(&mut self, kind: Kind, map: usize, values: Floats) {
        let slot = self.memory.slot(kind, map);
        self.slots[slot] = values;
    }

    /// Takes out the memory that all threads share, with at least so many floats.
    pub(super) fn shared(&mut self, length: usize) -> Floats {
        let shared = std::mem::take(&mut self.shared);
        if shared.len() < length { Floats::zeros(length) } else { shared }
    }
}
