//! Adam over rows of latent codes, each row with a state and a clock of its own.

use super::AdamConfig;
use crate::{Error, Result};

/// Adam (Kingma & Ba, ICLR 2015) whose state of a row advances only when that row takes a step: a code that was not
/// in the batch is as if no time had passed.
#[derive(Clone, Debug, PartialEq)]
pub struct RowAdam {
    config: AdamConfig,
    length: usize,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: Vec<u32>,
}

impl RowAdam {
    /// A fresh state for `rows` rows of `length` values.
    pub fn new(rows: usize, length: usize, config: AdamConfig) -> Self {
        let zeros = vec![0.0; rows * length];
        Self { config, length, first: zeros.clone(), second: zeros, steps: vec![0; rows] }
    }

    /// Changes the step size from the next step on.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    /// The means of gradients and of their squares, `[rows, length]` each, and the steps every row took.
    pub fn state(&self) -> (&[f32], &[f32], &[u32]) {
        (&self.first, &self.second, &self.steps)
    }

    /// Takes up a state that was written down before.
    ///
    /// # Errors
    /// When it does not fit the rows.
    pub fn restore(&mut self, first: Vec<f32>, second: Vec<f32>, steps: Vec<u32>) -> Result<()> {
        if first.len() != self.first.len() || second.len() != self.second.len() || steps.len() != self.steps.len() {
            return Err(Error::new("The optimiser's state in the checkpoint does not fit the latent codes."));
        }
        (self.first, self.second, self.steps) = (first, second, steps);
        Ok(())
    }

    /// Moves row `row` of `codes: [all rows, length]` along `gradient: [length]`.
    pub fn step_row(&mut self, codes: &mut [f32], row: usize, gradient: &[f32]) {
        let AdamConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        self.steps[row] += 1;
        let steps = self.steps[row] as i32;
        let rate = (learning_rate / (1.0 - beta1.powi(steps))) as f32;
        let scale = (1.0 - beta2.powi(steps)).sqrt() as f32;
        let (beta1, beta2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
        let place = row * self.length..(row + 1) * self.length;
        let moments = self.first[place.clone()].iter_mut().zip(&mut self.second[place.clone()]);
        for ((value, &g), (m, v)) in codes[place].iter_mut().zip(gradient).zip(moments) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *value -= rate * *m / (v.sqrt() / scale + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_left_out_is_as_if_no_time_had_passed() {
        let config = AdamConfig { learning_rate: 0.1, ..AdamConfig::default() };
        let (mut both, mut alone) = (RowAdam::new(2, 2, config), RowAdam::new(1, 2, config));
        let (mut codes, mut code) = (vec![1.0, 2.0, 3.0, 4.0], vec![3.0, 4.0]);
        for step in 0..6 {
            both.step_row(&mut codes, 0, &[1.0, -1.0]);
            if step % 3 == 0 {
                let gradient = [0.5 + step as f32, -0.25];
                both.step_row(&mut codes, 1, &gradient);
                alone.step_row(&mut code, 0, &gradient);
            }
        }
        assert_eq!(codes[2..], code[..]);
        assert_ne!(codes[..2], [1.0, 2.0]);
    }

    #[test]
    fn the_first_step_is_the_learning_rate() {
        let mut adam = RowAdam::new(1, 2, AdamConfig { learning_rate: 0.03, ..AdamConfig::default() });
        let mut codes = vec![0.0, 0.0];
        adam.step_row(&mut codes, 0, &[5.0, -1e-3]);
        assert!((codes[0] + 0.03).abs() < 1e-6 && (codes[1] - 0.03).abs() < 1e-5, "{codes:?}");
    }
}
