//! What the window and a training say to each other.

use crate::engine::Problem;
pub use crate::workshop::{Row, Warning};
use std::path::PathBuf;

/// What a training is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingStage {
    /// The pictures are read and prepared.
    Preparing,
    /// The generator learns X.
    Prior,
    /// The mapping is fitted to Y.
    Mapping,
    /// The encoder learns to find codes at once.
    Encoder,
    /// Pictures that training never saw are solved for.
    Measuring,
}

/// The state of a training, for the window.
#[derive(Clone, Debug)]
pub struct TrainingFrame {
    /// What it is busy with.
    pub stage: TrainingStage,
    /// Whether the mapping has no stage of its own: it learns together with the encoder.
    pub together: bool,
    /// Steps of this stage so far, or pictures, and how many there will be.
    pub progress: (usize, usize),
    /// Steps a second over the last seconds.
    pub rate: f32,
    /// Seconds that this stage will still take; `None` until that can be told.
    pub seconds_left: Option<f32>,
    /// Seconds that all stages together will still take, judged by this one; `None` until that can be told.
    pub seconds_left_in_all: Option<f32>,
    /// Losses of this stage, or of the one before while it measures, by their names, at most some hundred values each,
    /// evenly spread over its steps.
    pub losses: Vec<(&'static str, Vec<f32>)>,
    /// Samples of the prior; or rows of y, T(G(z)) and G(z) of pictures that training never saw.
    pub rows: Vec<Row>,
    /// What is wrong.
    pub warnings: Vec<Warning>,
    /// Whether it holds.
    pub paused: bool,
}

impl TrainingFrame {
    /// A stage that has got so far, of which nothing else is known yet.
    pub fn new(stage: TrainingStage, progress: (usize, usize)) -> Self {
        Self {
            stage,
            together: false,
            progress,
            rate: 0.0,
            seconds_left: None,
            seconds_left_in_all: None,
            losses: Vec::new(),
            rows: Vec::new(),
            warnings: Vec::new(),
            paused: false,
        }
    }
}

/// A fact about a training.
#[derive(Clone, Debug)]
pub enum TrainingEvent {
    /// The unfinished model was written, to be tried.
    Tried(PathBuf),
    /// There is nothing to try yet, or it could not be written.
    NotYet(Problem),
    /// All is done; the model is there.
    Finished(PathBuf),
    /// It was stopped, and can be resumed from what is on the disk.
    Stopped,
    /// It failed; what it had reached is on the disk.
    Failed(Problem),
}
