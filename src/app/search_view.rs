//! The search that the window shows: its newest pictures in the order of the wall, and the chosen one.

use crate::Picture;
use crate::engine::{DIRECTIONS, Ending, Frame, JobId, ScrubFrame};
use crate::model_file::HeldOut;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The wall is sorted anew at most this often, so that solutions can be followed by eye.
const SORT_INTERVAL: Duration = Duration::from_millis(600);

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The samples are on their way.
    Sampling,
    /// NAM refines the starts.
    Refining,
    /// Refinement holds.
    Paused,
    /// Refinement is over, and can go on.
    Over(Ending),
    /// It failed; its pictures stay.
    Failed,
}

/// The search that the window shows.
#[derive(Clone, Debug)]
pub struct SearchView {
    /// The engine's name for it.
    pub job: JobId,
    /// Where it stands.
    pub phase: Phase,
    /// The y it is about.
    pub y: Arc<Picture>,
    /// The seed it began with.
    pub seed: u64,
    /// The newest pictures.
    pub frame: Option<Arc<Frame>>,
    /// Standard deviations along the directions.
    pub sigmas: Vec<f32>,
    /// Starts in the order of the wall, the best first.
    pub order: Vec<usize>,
    sorted_at: Option<Instant>,
    /// The start that is shown large; follows the best until the person chooses.
    pub chosen: usize,
    /// Whether the person chose it.
    pub chosen_by_hand: bool,
    /// Where the sliders are, in standard deviations.
    pub offsets: [f32; DIRECTIONS],
    /// The newest answer to them.
    pub scrub: Option<Arc<ScrubFrame>>,
    /// How well y belongs to the images that the model knows, in percent, once it is known: see [`Self::judge`].
    pub belonging: Option<f32>,
}

impl SearchView {
    /// A search that was just asked for.
    pub fn new(job: JobId, y: Arc<Picture>, seed: u64) -> Self {
        Self {
            job,
            phase: Phase::Sampling,
            y,
            seed,
            frame: None,
            sigmas: Vec::new(),
            order: Vec::new(),
            sorted_at: None,
            chosen: 0,
            chosen_by_hand: false,
            offsets: [0.0; DIRECTIONS],
            scrub: None,
            belonging: None,
        }
    }

    /// Takes a newer frame in.
    pub fn show(&mut self, frame: Arc<Frame>, now: Instant) {
        let settled = self.phase != Phase::Refining;
        let due = self.sorted_at.is_none_or(|at| now - at >= SORT_INTERVAL);
        if settled || due || self.order.len() != frame.solutions.len() {
            self.sort(&frame);
            self.sorted_at = Some(now);
        }
        if !self.chosen_by_hand && self.offsets == [0.0; DIRECTIONS] {
            self.chosen = self.order.first().copied().unwrap_or(0);
        }
        self.frame = Some(frame);
    }

    /// Enters a phase; where losses no longer fall, the wall is sorted by what is shown, whenever that came.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if let Some(frame) = self.frame.clone().filter(|_| phase != Phase::Refining) {
            self.sort(&frame);
        }
    }

    fn sort(&mut self, frame: &Frame) {
        self.order = (0..frame.solutions.len()).collect();
        self.order.sort_by(|&a, &b| frame.solutions[a].loss.total_cmp(&frame.solutions[b].loss));
    }

    /// Judges how well y belongs to the images that the model knows, by the share of held-out images that were
    /// explained no better. Meaningful only after as many steps as these took, and only by the losses until then, since
    /// losses go on falling; so it is done once, when they are there, or when every start has settled before.
    pub fn judge(&mut self, held_out: &HeldOut) {
        let Some(frame) = self.frame.as_ref().filter(|frame| frame.job == self.job) else { return };
        let settled = self.phase == Phase::Over(Ending::Settled);
        let steps = if settled { usize::MAX } else { frame.step };
        if self.belonging.is_none() && frame.step > 0 {
            let losses = frame.curves.best_within(held_out.steps.max(1));
            self.belonging = held_out.belonging_after(&losses, steps);
        }
    }

    /// Place of a start on the wall, from 0.
    pub fn rank(&self, start: usize) -> usize {
        self.order.iter().position(|&other| other == start).unwrap_or(start)
    }

    /// Whether the sliders have moved the chosen solution.
    pub fn is_scrubbed(&self) -> bool {
        self.offsets.iter().any(|&offset| offset != 0.0)
    }

    /// Chooses a start and lets the sliders go.
    pub fn choose(&mut self, start: usize) {
        self.chosen = start;
        self.chosen_by_hand = true;
        self.offsets = [0.0; DIRECTIONS];
        self.scrub = None;
    }

    /// Whether refinement can be started again.
    pub fn can_continue(&self) -> bool {
        matches!(self.phase, Phase::Paused | Phase::Over(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Curves, Solution};
    use crate::gpu::Image;

    fn frame(job: JobId, losses: &[f32]) -> Arc<Frame> {
        let picture = Image::from(Picture::filled(1, 1, [0; 4]));
        let solutions = losses
            .iter()
            .map(|&loss| Solution { x: picture.clone(), reconstruction: picture.clone(), loss, settled: false })
            .collect();
        Arc::new(Frame { job, step: 0, steps_per_second: 0.0, solutions, curves: Curves::new(losses.len()) })
    }

    #[test]
    fn the_wall_is_sorted_calmly_and_the_choice_stays() {
        let job = JobId::new();
        let mut search = SearchView::new(job, Arc::new(Picture::filled(1, 1, [0; 4])), 1);
        let begin = Instant::now();
        search.show(frame(job, &[3.0, 1.0, 2.0]), begin);
        assert_eq!((search.order.clone(), search.chosen), (vec![1, 2, 0], 1));
        search.phase = Phase::Refining;
        search.show(frame(job, &[0.1, 1.0, 2.0]), begin + Duration::from_millis(100));
        assert_eq!(search.order, [1, 2, 0], "too soon to move pictures about");
        search.show(frame(job, &[0.1, 1.0, 2.0]), begin + SORT_INTERVAL);
        assert_eq!((search.order.clone(), search.chosen), (vec![0, 1, 2], 0));
        search.choose(2);
        search.show(frame(job, &[0.1, 1.0, 0.05]), begin + 2 * SORT_INTERVAL);
        search.show(frame(job, &[0.01, 1.0, 0.05]), begin + 3 * SORT_INTERVAL);
        assert_eq!((search.chosen, search.rank(2)), (2, 1));
    }

    #[test]
    fn belonging_is_judged_once_by_the_losses_of_as_many_steps_as_were_measured() {
        let held_out = HeldOut::from_losses(&(0..=100).map(|i| i as f32).collect::<Vec<_>>(), 1, 3);
        let job = JobId::new();
        let mut search = SearchView::new(job, Arc::new(Picture::filled(1, 1, [0; 4])), 1);
        search.phase = Phase::Refining;
        let after = |job, losses: &[f32]| {
            let mut frame = (*frame(job, &[0.0])).clone();
            losses.iter().enumerate().for_each(|(step, &loss)| frame.curves.push(step, &[loss]));
            frame.step = losses.len();
            Arc::new(frame)
        };
        // Pictures of the search before stay on the wall for a while; they say nothing of this one.
        search.frame = Some(after(JobId::new(), &[1.0; 9]));
        search.judge(&held_out);
        assert_eq!(search.belonging, None);
        search.show(after(job, &[90.0, 80.0]), Instant::now());
        search.judge(&held_out);
        assert_eq!(search.belonging, None, "too early");
        search.show(after(job, &[90.0, 80.0, 75.0, 10.0, 0.0]), Instant::now());
        search.judge(&held_out);
        assert!((search.belonging.unwrap() - 25.0).abs() < 1e-3, "{:?}", search.belonging);
        search.show(after(job, &[0.0; 9]), Instant::now());
        search.judge(&held_out);
        assert!((search.belonging.unwrap() - 25.0).abs() < 1e-3, "further steps change nothing");
        search.judge(&HeldOut::default());
    }
}
