//! Adam (Kingma & Ba, ICLR 2015), in place and in one pass over each parameter.

use super::threads;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;

/// The rates of Adam. The default is the one of the papers: (0.5, 0.999).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// The step size.
    pub learning_rate: f64,
    /// The decay of the mean of gradients.
    pub beta1: f64,
    /// The decay of the mean of squared gradients.
    pub beta2: f64,
    /// Keeps the division finite.
    pub epsilon: f64,
    /// L2 penalty added to the gradient (as PyTorch's `Adam`, not AdamW).
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { learning_rate: 2e-4, beta1: 0.5, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Adam over a list of variables, with its two running means for each.
pub struct Adam {
    config: AdamConfig,
    slots: Vec<Slot>,
    step: usize,
}

struct Slot {
    variable: Var,
    moments: Mutex<Moments>,
}

/// The state of one variable: means of gradients and of their squares, as long as the variable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// The mean of gradients.
    pub first: Vec<f32>,
    /// The mean of squared gradients.
    pub second: Vec<f32>,
}

impl Adam {
    /// Adam for these variables, all f32.
    pub fn new(variables: Vec<Var>, config: AdamConfig) -> Self {
        let slots = variables.into_iter().map(|variable| {
            let zeros = vec![0.0; variable.elem_count()];
            Slot { variable, moments: Mutex::new(Moments { first: zeros.clone(), second: zeros }) }
        });
        Self { config, slots: slots.collect(), step: 0 }
    }

    /// The rates.
    pub fn config(&self) -> AdamConfig {
        self.config
    }

    /// Changes the step size from the next step on.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    /// How many steps were taken.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// The state of every variable, in their order, for a checkpoint.
    pub fn moments(&self) -> Vec<Moments> {
        self.slots.iter().map(|slot| lock(&slot.moments).clone()).collect()
    }

    /// Takes up the state of a checkpoint.
    ///
    /// # Errors
    /// When the state does not fit the variables.
    pub fn restore(&mut self, step: usize, moments: Vec<Moments>) -> Result<()> {
        let fits = moments.len() == self.slots.len()
            && moments.iter().zip(&self.slots).all(|(m, slot)| {
                let length = slot.variable.elem_count();
                m.first.len() == length && m.second.len() == length
            });
        if !fits {
            candle_core::bail!("the optimiser state of the checkpoint does not fit the variables");
        }
        for (slot, moments) in self.slots.iter_mut().zip(moments) {
            slot.moments = Mutex::new(moments);
        }
        self.step = step;
        Ok(())
    }

    /// One step along the gradients; variables without one stay as they are.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.step += 1;
        for slot in &self.slots {
            if let Some(gradient) = gradients.get(slot.variable.as_tensor()) {
                slot.update(gradient, &self.config, self.step)?;
            }
        }
        Ok(())
    }
}

fn lock(moments: &Mutex<Moments>) -> std::sync::MutexGuard<'_, Moments> {
    moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Slot {
    fn update(&self, gradient: &Tensor, config: &AdamConfig, step: usize) -> Result<()> {
        let gradient = gradient.contiguous()?;
        if gradient.device().is_cpu() {
            let update = Update { moments: &self.moments, config, step };
            return self.variable.inplace_op2(&gradient, &update);
        }
        // Elsewhere the moments live in tensors only for the time of the step: correct, and kept simple.
        let mut values = self.variable.flatten_all()?.to_vec1::<f32>()?;
        update_slice(&mut values, &gradient.flatten_all()?.to_vec1()?, &mut lock(&self.moments), config, step);
        self.variable.set(&Tensor::from_vec(values, self.variable.shape(), self.variable.device())?)
    }
}

struct Update<'a> {
    moments: &'a Mutex<Moments>,
    config: &'a AdamConfig,
    step: usize,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), CpuStorage::F32(gradient)) = (s1, s2) else {
            candle_core::bail!("adam works on f32 alone")
        };
        let (Some((a, b)), Some((c, d))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            candle_core::bail!("adam needs contiguous tensors")
        };
        update_slice(&mut values[a..b], &gradient[c..d], &mut lock(self.moments), self.config, self.step);
        Ok(())
    }
}

/// The update of the paper (algorithm 1), in PyTorch's order of operations.
fn update_slice(values: &mut [f32], gradient: &[f32], moments: &mut Moments, config: &AdamConfig, step: usize) {
    const CHUNK: usize = 1 << 15;
    let (beta1, beta2) = (config.beta1 as f32, config.beta2 as f32);
    let rate = (config.learning_rate / (1.0 - config.beta1.powi(step as i32))) as f32;
    let scale = (1.0 / (1.0 - config.beta2.powi(step as i32)).sqrt()) as f32;
    let (epsilon, decay) = (config.epsilon as f32, config.weight_decay as f32);
    let mut rows: Vec<_> = values
        .chunks_mut(CHUNK)
        .zip(gradient.chunks(CHUNK))
        .zip(moments.first.chunks_mut(CHUNK).zip(moments.second.chunks_mut(CHUNK)))
        .collect();
    threads::for_each_chunk(&mut rows, 1, |_, rows| {
        for ((values, gradient), (first, second)) in rows {
            for (((value, &g), m), v) in values.iter_mut().zip(*gradient).zip(first.iter_mut()).zip(second.iter_mut()) {
                let g = g + decay * *value;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *value -= rate * *m / (v.sqrt() * scale + epsilon);
            }
        }
    });
}
