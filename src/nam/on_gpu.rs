//! A search whose codes are on a graphics processor, and the way back when that fails.

use super::start::Verdict;
use crate::Result;
use crate::gpu::Sheet;
use crate::ops::AdamConfig;
use crate::plan::wgpu::{Decision, Descent, Outcome, Plan, State};
use candle_core::Tensor;
use std::sync::Arc;

/// After how many steps the state is read back, so that no more than these have to be taken again.
const SNAPSHOT: usize = 32;

/// What was decided for a row in a step.
pub(super) type Decided = (usize, Decision);

/// The codes of a search on a graphics processor.
pub(super) struct OnGpu {
    descent: Descent,
    /// What the losses of the latest step have decided, for every row; empty when it has been done.
    pending: Vec<Decision>,
    /// Steps of Adam that each row took, pending ones included.
    steps: Vec<u32>,
    memory: Record,
}

/// What it takes to go on elsewhere: a state, and what was decided since.
pub(super) struct Record {
    /// The state before the losses of the first of `since`.
    pub state: State,
    /// The steps of Adam that each row had taken then.
    pub steps: Vec<u32>,
    /// What every step since then has decided.
    pub since: Vec<Vec<Decided>>,
}

impl OnGpu {
    /// Brings codes `[n, nz]` to a plan, against images of Y.
    pub fn new(plan: Arc<Plan>, y: &Tensor, codes: &[f32], count: usize, adam: AdamConfig) -> Result<Self> {
        let descent = Descent::new(plan, y, codes, adam)?;
        let zeros = vec![0.0; codes.len()];
        let state = State { codes: codes.to_vec(), first: zeros.clone(), second: zeros, best: codes.to_vec() };
        let memory = Record { state, steps: vec![0; count], since: Vec::new() };
        Ok(Self { descent, pending: Vec::new(), steps: vec![0; count], memory })
    }

    /// Computes the losses of these rows, each with the row of its target.
    pub fn step(&mut self, active: &[[usize; 2]]) -> Result<Vec<Outcome>> {
        let snapshot = self.memory.since.len() >= SNAPSHOT;
        let (outcomes, state) = self.descent.step(&self.pending, active, snapshot)?;
        self.pending = vec![Decision::default(); self.steps.len()];
        if let Some(state) = state {
            self.memory = Record { state, steps: self.steps.clone(), since: Vec::new() };
        }
        self.memory.since.push(Vec::new());
        Ok(outcomes)
    }

    /// Takes note of what becomes of a row after its loss.
    pub fn decide(&mut self, row: usize, verdict: Verdict) {
        let adam = (!verdict.settles).then(|| {
            self.steps[row] += 1;
            self.steps[row]
        });
        let decision = Decision { keep: verdict.improved, restore: verdict.settles, adam };
        self.pending[row] = decision;
        self.memory.since.last_mut().into_iter().for_each(|step| step.push((row, decision)));
    }

    /// The codes as they are now, and the best ones.
    pub fn state(&mut self) -> Result<State> {
        let state = self.descent.state(&self.pending)?;
        self.pending.clear();
        Ok(state)
    }

    /// G(z) and T(G(z)) of every row: of its latest step, or of its best where it has settled.
    pub fn pictures(&mut self) -> Result<[Vec<f32>; 2]> {
        let pictures = self.descent.pictures(&self.pending)?;
        self.pending.clear();
        Ok(pictures)
    }

    /// The same, left on the window's device; `None` where the window draws with another one.
    pub fn sheet(&mut self) -> Result<Option<Arc<Sheet>>> {
        let sheet = self.descent.sheet(&self.pending)?;
        if sheet.is_some() {
            self.pending.clear();
        }
        Ok(sheet)
    }

    /// What it takes to go on elsewhere.
    pub fn into_record(self) -> Record {
        self.memory
    }
}
