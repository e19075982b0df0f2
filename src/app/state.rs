//! What the window knows: plain values, changed by commands, arrivals and the engine's answers.

use super::new_model::{NewModel, Page};
use crate::Picture;
use crate::data::{Crop, Facing, Fit, Preparation, Treatment};
use crate::engine::{
    DIRECTIONS, Ending, Frame, JobId, ModelCard, ModelSource, Problem, ScrubFrame, SolveDevice, StartFrom,
};
use crate::model_file::HeldOut;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The wall is sorted anew at most this often, so that solutions can be followed by eye.
const SORT_INTERVAL: Duration = Duration::from_millis(600);

/// The numbers of starts to choose from.
pub const STARTS: [usize; 3] = [8, 16, 32];

/// How the input's picture and its reconstruction are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Signed difference of brightness.
    #[default]
    Difference,
    /// Absolute difference as heat.
    Heat,
    /// Both across a movable divider.
    Split,
}

/// What the person set; not what was computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Dark or light; `None` follows the system.
    pub dark: Option<bool>,
    /// Size of everything, 1 to 2.
    pub scale: f32,
    /// Whether refinement starts by itself after the samples.
    pub refine: bool,
    /// Steps after which refinement ends by itself.
    pub step_limit: usize,
    /// How many starts the next search has, one of [`STARTS`].
    pub starts: usize,
    /// Where they begin.
    pub from: StartFrom,
    /// The seed of the next search.
    pub seed: u64,
    /// What refines it.
    pub device: SolveDevice,
    /// Whether large pictures blend their pixels.
    pub smooth: bool,
    /// How y and its reconstruction are compared.
    pub comparison: Comparison,
    /// Where the divider of the split view is.
    pub split: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dark: None,
            scale: 1.0,
            refine: true,
            step_limit: 500,
            starts: 16,
            from: StartFrom::Posterior,
            seed: 1,
            device: SolveDevice::default(),
            smooth: true,
            comparison: Comparison::default(),
            split: 0.5,
        }
    }
}

/// A model that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    /// Where it is.
    pub source: ModelSource,
    /// What the list calls it.
    pub label: String,
}

/// The model in use.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    /// The job that loaded it.
    pub job: JobId,
    /// Where it came from.
    pub source: ModelSource,
    /// What there is to show of it.
    pub card: Arc<ModelCard>,
}

/// How the person wants the input prepared, where that differs from how the model's own pictures were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices {
    /// Drawing, photograph, or as it is.
    pub treatment: Treatment,
    /// Contain or cover.
    pub fit: Fit,
    /// Whether the input is cut to what is shown on its background first.
    pub crop: bool,
    /// Whether light and dark are exchanged.
    pub invert: bool,
    /// Whether the input is mirrored when it faces another way than the model's pictures.
    pub turn: bool,
}

impl Choices {
    /// What suits a picture and a model at first.
    pub fn suited(card: &ModelCard, is_photo: bool) -> Self {
        Self {
            treatment: card.y_kind.treatment(is_photo),
            fit: card.preparation.fit,
            crop: true,
            invert: false,
            turn: true,
        }
    }

    /// The preparation for a model.
    pub fn preparation(&self, card: &ModelCard) -> Preparation {
        let own = &card.preparation;
        let crop = match own.crop {
            _ if !self.crop => Crop::Whole,
            Crop::Content { margin } => Crop::Content { margin },
            _ => Crop::Content { margin: CONTENT_MARGIN },
        };
        Preparation {
            size: card.size,
            fit: self.fit,
            crop,
            facing: if self.turn { own.facing } else { Facing::AsIs },
            treatment: self.treatment,
            invert: self.invert,
            ..own.clone()
        }
    }
}

/// The share of the side left free around the content, for models that say nothing about it.
const CONTENT_MARGIN: f32 = 0.04;

/// The picture that counterparts are looked for.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name for the person.
    pub name: String,
    /// The picture as it came, to be prepared anew when choices change; `None` for a model's sample, which is a y
    /// already.
    pub original: Option<Arc<Picture>>,
    /// A small copy of the original for the window.
    pub thumbnail: Arc<Picture>,
    /// Whether it looks like a photograph.
    pub is_photo: bool,
    /// Whether it is so pale that a photograph can be taken for a drawing.
    pub is_faint: bool,
    /// How it is prepared; decided when there is a model to prepare it for.
    pub choices: Option<Choices>,
    /// What the model sees, when prepared.
    pub y: Option<Arc<Picture>>,
    /// Number of the preparation under way; answers to older ones are dropped.
    pub preparing: u64,
}

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

/// A message that stays until read or a while has passed.
#[derive(Clone, Debug)]
pub struct Toast {
    /// Tells it from others.
    pub number: u64,
    /// What it says.
    pub problem: Problem,
    /// Whether it reports a failure.
    pub is_error: bool,
    /// When it came.
    pub since: Instant,
}

/// Everything the window knows.
#[derive(Default)]
pub struct State {
    /// What fills the window.
    pub page: Page,
    /// The page for a new model.
    pub new_model: NewModel,
    /// Models to choose from.
    pub models: Vec<ModelChoice>,
    /// The model in use.
    pub model: Option<LoadedModel>,
    /// The model on its way.
    pub loading: Option<(JobId, ModelSource)>,
    /// The picture given.
    pub input: Option<Input>,
    /// The name of a picture that is being read.
    pub reading: Option<String>,
    /// The search shown.
    pub search: Option<SearchView>,
    /// What the person set.
    pub settings: Settings,
    /// Messages.
    pub toasts: Vec<Toast>,
    /// Whether files hover over the window.
    pub hovering: bool,
    /// Whether an export is being written.
    pub exporting: bool,
    /// Whether a file dialog is open.
    pub in_dialog: bool,
    /// The open palette's search text.
    pub palette: Option<String>,
    /// Whether the page of shortcuts is open.
    pub shortcuts: bool,
    /// What draws the window, for the status line.
    pub renderer: String,
    next_toast: u64,
}

impl State {
    /// Shows a failure.
    pub fn fail(&mut self, problem: Problem) {
        self.toast(problem, true);
    }

    /// Shows a message that is no failure.
    pub fn tell(&mut self, sentence: impl Into<String>) {
        self.toast(Problem::new(sentence), false);
    }

    fn toast(&mut self, problem: Problem, is_error: bool) {
        // The same sentence again is the same message again, not another one below it.
        self.toasts.retain(|toast| toast.problem != problem);
        self.next_toast += 1;
        self.toasts.push(Toast { number: self.next_toast, problem, is_error, since: Instant::now() });
        let surplus = self.toasts.len().saturating_sub(4);
        self.toasts.drain(..surplus);
    }

    /// How the input is prepared, when there is a choice.
    pub fn choices(&self) -> Option<Choices> {
        self.input.as_ref().filter(|input| input.original.is_some())?.choices
    }

    /// Whether a search is being refined.
    pub fn is_refining(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.phase == Phase::Refining)
    }

    /// The newest pictures of the search.
    pub fn frame(&self) -> Option<&Arc<Frame>> {
        self.search.as_ref()?.frame.as_ref()
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

    #[test]
    fn messages_do_not_pile_up() {
        let mut state = State::default();
        (0..9).for_each(|i| state.fail(Problem::new(format!("Failure {}.", i % 6))));
        assert_eq!(state.toasts.len(), 4);
        state.fail(Problem::new("Failure 2."));
        state.fail(Problem::new("Failure 2."));
        assert_eq!(state.toasts.len(), 4);
    }
}
