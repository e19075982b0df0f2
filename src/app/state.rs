//! What the window knows: plain values, changed by commands, arrivals and the engine's answers.

use super::new_model::{NewModel, Page};
pub use super::search_view::{Phase, SearchView};
use crate::Picture;
use crate::data::{Crop, Facing, Fit, Preparation, Treatment};
use crate::engine::{Frame, JobId, ModelCard, ModelSource, Problem, SolveDevice, StartFrom};
use std::sync::Arc;
use std::time::Instant;

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
