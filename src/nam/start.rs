//! The course of one start of a search, and what a loss means for it.

use super::solve::Settle;
use candle_core::Tensor;
use std::collections::VecDeque;

/// The course of one start.
#[derive(Clone)]
pub(super) struct Start {
    /// Whether it no longer moves.
    pub settled: bool,
    /// The loss of the latest step; of a settled start, where it stays.
    pub loss: f32,
    /// The lowest loss so far.
    pub best: f32,
    /// The code of the lowest loss. While a graphics processor descends, it is there.
    pub best_code: Vec<f32>,
    /// The best loss after every step, as far back as the window reaches.
    recent: VecDeque<f32>,
    /// G(z) and T(G(z)) of the latest step, `[1, c, s, s]` each. While a graphics processor descends, they are there.
    pub pictures: Option<(Tensor, Tensor)>,
    /// The same of the step with the lowest loss.
    pub best_pictures: Option<(Tensor, Tensor)>,
}

/// What a loss means for a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It is the lowest so far.
    pub improved: bool,
    /// The start stays where its loss was lowest, from now on.
    pub settles: bool,
}

impl Start {
    /// A start at a code.
    pub fn new(code: &[f32]) -> Self {
        Self {
            settled: false,
            loss: f32::NAN,
            best: f32::INFINITY,
            best_code: code.to_vec(),
            recent: VecDeque::new(),
            pictures: None,
            best_pictures: None,
        }
    }

    /// Takes note of the loss of a step, counted from 0; `sound` says whether its gradient is a number everywhere.
    pub fn judge(&mut self, loss: f32, sound: bool, settle: Option<Settle>, step: usize) -> Verdict {
        self.loss = loss;
        let improved = loss < self.best;
        if improved {
            self.best = loss;
        }
        // A code that has left the numbers never comes back: it stays where it was best.
        let lost = !loss.is_finite() || !sound;
        let still = settle.is_some_and(|settle| {
            self.recent.push_back(self.best);
            let before = if self.recent.len() > settle.window { self.recent.pop_front() } else { None };
            step + 1 >= settle.minimum_steps
                && before.is_some_and(|before| before - self.best < settle.tolerance * before)
        });
        if lost || still {
            self.settled = true;
            self.loss = self.best;
        }
        Verdict { improved, settles: self.settled }
    }
}
