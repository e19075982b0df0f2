//! A training on a thread of its own, watched by the window.

mod protocol;

pub use protocol::{PictureRow, TrainingEvent, TrainingFrame, TrainingStage, Warning};

use super::{EngineSettings, Wake};
use crate::Result;
use crate::workshop::Recipe;
use std::path::PathBuf;
use std::sync::Arc;

/// The window's end of a training; dropping it stops the training after its present step, with all it has reached on
/// the disk.
pub struct Training {}

impl Training {
    /// Starts a training whose model goes to `out`, or goes on with one that was stopped there (`resume`; the recipe is
    /// then the one it was started with). Never waits: what is wrong comes as [`TrainingEvent::Failed`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(recipe: Recipe, out: PathBuf, resume: bool, settings: EngineSettings, wake: Wake) -> Result<Self> {
        let _ = (recipe, out, resume, settings, wake);
        todo!()
    }

    /// Holds after the present step.
    pub fn pause(&self) {
        todo!()
    }

    /// Goes on after a pause.
    pub fn go_on(&self) {
        todo!()
    }

    /// Ends after the present step; a checkpoint is written first.
    pub fn stop(&self) {
        todo!()
    }

    /// Writes the model as it is, to be tried; answered by [`TrainingEvent::Tried`]. Possible from the first step of the
    /// mapping on.
    pub fn try_now(&self) {
        todo!()
    }

    /// The newest state, when one came since the last call.
    pub fn frame(&self) -> Option<Arc<TrainingFrame>> {
        todo!()
    }

    /// The facts since the last call.
    pub fn events(&self) -> Vec<TrainingEvent> {
        todo!()
    }
}
