//! What the page for a new model knows: the recipe, a look at its pictures, and the training that came of it.

use crate::Picture;
use crate::data::YKind;
use crate::engine::Problem;
use crate::engine::training::{TrainingFrame, TrainingStage};
use crate::workshop::{Domain, GENERATORS, Prior, Recipe, Row};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures of each domain that are shown before a training.
pub const LOOK: usize = 12;
/// What a folder is called in which a training keeps what it has reached.
const TRAINING: &str = "training";

/// What fills the window between its bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// A picture and its counterparts.
    #[default]
    Counterparts,
    /// A model in the making.
    NewModel,
}

/// The pictures of a domain as the networks will see them, or why there are none.
pub type Seen = Result<Vec<Arc<Picture>>, Problem>;

/// A look at a domain's pictures.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What is being read: a recipe without what makes no difference to the pictures.
    pub reading: Option<Recipe>,
    /// What was read last, and what came of it.
    pub shown: Option<(Recipe, Seen)>,
}

impl Look {
    /// The pictures.
    pub fn pictures(&self) -> &[Arc<Picture>] {
        self.shown.as_ref().and_then(|(_, found)| found.as_ref().ok()).map_or(&[], Vec::as_slice)
    }

    /// Why there are none.
    pub fn problem(&self) -> Option<&Problem> {
        self.shown.as_ref().and_then(|(_, found)| found.as_ref().err())
    }
}

/// Where a training stands.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It computes, or holds.
    Running,
    /// It was told to stop, and is writing what it has reached.
    Stopping,
    /// It was stopped and can be resumed.
    Stopped,
    /// It failed.
    Failed(Problem),
    /// The model is there.
    Finished(PathBuf),
}

/// A training and what was last heard of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the model is made from.
    pub recipe: Recipe,
    /// Where the model goes.
    pub out: PathBuf,
    /// Where it stands.
    pub state: RunState,
    /// The newest of it.
    pub frame: Option<Arc<TrainingFrame>>,
    /// The newest pictures: not every stage has its own.
    pub rows: Vec<Row>,
    /// Whether the unfinished model is being written, to be tried.
    pub trying: bool,
    /// Where the unfinished model is that was tried.
    pub tried: Option<PathBuf>,
}

/// What the page knows.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// What the next model is made from.
    pub recipe: Recipe,
    /// The other choice for the generator: kept, in case the person comes back to it.
    pub other_prior: Prior,
    /// Where the model goes.
    pub out: Option<PathBuf>,
    /// A look at X and at Y.
    pub looks: [Look; 2],
    /// A training that can be resumed: where its model goes, and what it is made from.
    pub unfinished: Option<(PathBuf, Recipe)>,
    /// The training under way, or the one that ended last until another is set up.
    pub run: Option<Run>,
}

impl Default for NewModel {
    fn default() -> Self {
        let recipe = Recipe { y_kind: YKind::Edges, ..Recipe::default() };
        Self {
            recipe: Recipe { title: title_of(&recipe), ..recipe },
            other_prior: Prior::File(PathBuf::new()),
            out: None,
            looks: Default::default(),
            unfinished: None,
            run: None,
        }
    }
}

impl NewModel {
    /// Whether the generator is trained, too.
    pub fn trains_prior(&self) -> bool {
        matches!(self.recipe.prior, Prior::Train(_))
    }

    /// Changes between a generator that is trained and one that is there.
    pub fn train_prior(&mut self, train: bool) {
        if self.trains_prior() != train {
            std::mem::swap(&mut self.recipe.prior, &mut self.other_prior);
        }
    }

    /// Takes folders or files for the pictures of a domain, and their name for the domain's where it has none.
    pub fn use_pictures(&mut self, domain: Domain, paths: Vec<PathBuf>) {
        let name = paths.first().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
        match domain {
            Domain::X => {
                self.train_prior(true);
                self.recipe.prior = Prior::Train(paths);
            }
            Domain::Y => self.recipe.y = paths,
        }
        self.name(|recipe| {
            let (of_domain, unnamed) = match domain {
                Domain::X => (&mut recipe.domain_x, "X"),
                Domain::Y => (&mut recipe.domain_y, "Y"),
            };
            if let Some(name) = name.filter(|_| of_domain == unnamed) {
                *of_domain = name;
            }
        });
    }

    /// Changes names; the title follows them until it is another one.
    pub fn name(&mut self, change: impl FnOnce(&mut Recipe)) {
        let follows = self.recipe.title == title_of(&self.recipe);
        change(&mut self.recipe);
        if follows {
            self.recipe.title = title_of(&self.recipe);
        }
    }

    /// Takes folders that were let go over the window: for X while it has none, then for Y.
    ///
    /// # Errors
    /// With what to do instead, as a sentence.
    pub fn take_drop(&mut self, path: &Path) -> Result<(), String> {
        let is = |endings: &[&str]| {
            path.extension().is_some_and(|ending| endings.iter().any(|&other| ending.eq_ignore_ascii_case(other)))
        };
        if self.run.is_some() {
            Err("Pictures are chosen before a training; set up another model first.".into())
        } else if is(&GENERATORS) {
            self.train_prior(false);
            self.recipe.prior = Prior::File(path.to_owned());
            Ok(())
        } else if is(&crate::data::EXTENSIONS) {
            Err("One picture is not enough to learn from: drop the folder that it is in.".into())
        } else if matches!(&self.recipe.prior, Prior::Train(folders) if folders.is_empty()) {
            self.use_pictures(Domain::X, vec![path.to_owned()]);
            Ok(())
        } else if self.recipe.y.is_empty() {
            self.use_pictures(Domain::Y, vec![path.to_owned()]);
            Ok(())
        } else {
            Err("Both domains have their pictures; choose others with the buttons.".into())
        }
    }

    /// What a look at a domain depends on: the recipe without all the rest. `None` when there is nothing to look at.
    pub fn glance(&self, domain: Domain) -> Option<Recipe> {
        let Recipe { prior, y, y_kind, drawings, size, crop, facing, .. } = self.recipe.clone();
        match (domain, prior) {
            (Domain::X, Prior::File(_)) => None,
            (Domain::X, Prior::Train(folders)) => {
                let prior = Prior::Train(folders.clone());
                (!folders.is_empty()).then(|| Recipe { prior, size, crop, facing, ..Recipe::default() })
            }
            (Domain::Y, _) if y.is_empty() => None,
            (Domain::Y, prior) => {
                // The size is that of a generator which is there.
                let prior = match prior {
                    Prior::File(path) if !path.as_os_str().is_empty() => Prior::File(path),
                    _ => Prior::Train(Vec::new()),
                };
                Some(Recipe { prior, y, y_kind, drawings, size, crop, facing, ..Recipe::default() })
            }
        }
    }

    /// Why the training cannot be started yet, in a sentence.
    pub fn missing(&self) -> Option<String> {
        if let Err(error) = self.recipe.check() {
            return Some(error.to_string());
        }
        if let Some(problem) = self.looks.iter().find_map(Look::problem) {
            return Some(problem.sentence.clone());
        }
        let Some(out) = &self.out else {
            return Some("A place for the model is missing; choose where its file goes.".into());
        };
        let taken = self.unfinished.as_ref().is_some_and(|(other, _)| other == out);
        taken.then(|| "A training for this file is not finished; resume it, or choose another name.".into())
    }

    /// Whether a training computes, or holds.
    pub fn is_active(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.state == RunState::Running)
    }

    /// Whether a training has not ended yet.
    pub fn is_running(&self) -> bool {
        self.run.as_ref().is_some_and(|run| matches!(run.state, RunState::Running | RunState::Stopping))
    }

    /// The newest of the training.
    pub fn frame(&self) -> Option<&TrainingFrame> {
        self.run.as_ref()?.frame.as_deref()
    }

    /// Whether the training holds.
    pub fn is_paused(&self) -> bool {
        self.frame().is_some_and(|frame| frame.paused)
    }

    /// Whether there is a model to be tried: from the first step of the mapping on.
    pub fn can_be_tried(&self) -> bool {
        let Some(run) = &self.run else { return false };
        let has_mapping = run.frame.as_ref().is_some_and(|frame| match frame.stage {
            TrainingStage::Preparing | TrainingStage::Prior => false,
            TrainingStage::Mapping => frame.progress.0 > 0,
            TrainingStage::Encoder | TrainingStage::Measuring => true,
        });
        match run.state {
            RunState::Running => has_mapping && !run.trying,
            RunState::Finished(_) => true,
            _ => false,
        }
    }

    /// What the training is busy with, for a line of the window.
    pub fn summary(&self) -> Option<String> {
        let run = self.run.as_ref()?;
        Some(match &run.state {
            RunState::Running => {
                let holds = if self.is_paused() { ", paused" } else { "" };
                match run.frame.as_ref() {
                    Some(frame) => {
                        let (done, all) = frame.progress;
                        let percent = 100 * done.min(all) / all.max(1);
                        format!("Training: {} {percent} %{holds}", short_name(frame.stage))
                    }
                    None => "Training: starting".into(),
                }
            }
            RunState::Stopping => "Training: stopping".into(),
            RunState::Stopped => "Training: stopped".into(),
            RunState::Failed(_) => "Training: failed".into(),
            RunState::Finished(_) => "Training: finished".into(),
        })
    }
}

/// A stage in a word.
pub fn short_name(stage: TrainingStage) -> &'static str {
    match stage {
        TrainingStage::Preparing => "pictures",
        TrainingStage::Prior => "generator",
        TrainingStage::Mapping => "mapping",
        TrainingStage::Encoder => "encoder",
        TrainingStage::Measuring => "measuring",
    }
}

/// The model file of a training by the folder in which it keeps what it has reached.
pub fn model_of(folder: &Path) -> Option<PathBuf> {
    let is_it = folder.extension().is_some_and(|ending| ending == TRAINING);
    is_it.then(|| folder.with_extension("safetensors"))
}

/// What a model is called as long as nobody called it otherwise.
fn title_of(recipe: &Recipe) -> String {
    format!("{} to {}", recipe.domain_y, recipe.domain_x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Facing;

    #[test]
    fn drops_fill_x_then_y_and_name_them() {
        let mut page = NewModel::default();
        assert!(page.take_drop(Path::new("/one/shoe.JPG")).is_err());
        page.take_drop(Path::new("/data/shoes")).unwrap();
        page.take_drop(Path::new("/data/drawings.npz")).unwrap();
        assert!(page.take_drop(Path::new("/data/bags")).unwrap_err().contains("Both"));
        let recipe = &page.recipe;
        assert_eq!(recipe.prior, Prior::Train(vec!["/data/shoes".into()]));
        assert_eq!(recipe.y, [PathBuf::from("/data/drawings.npz")]);
        assert_eq!(recipe.title, "drawings to shoes");
        page.recipe.title = "Mine".into();
        page.use_pictures(Domain::Y, vec!["/data/others".into()]);
        assert_eq!((page.recipe.title.as_str(), page.recipe.domain_y.as_str()), ("Mine", "drawings"));
    }

    #[test]
    fn a_generator_takes_the_place_of_x_and_the_folders_come_back() {
        let mut page = NewModel::default();
        page.use_pictures(Domain::X, vec!["/data/shoes".into()]);
        assert!(page.glance(Domain::X).is_some() && page.glance(Domain::Y).is_none());
        page.take_drop(Path::new("/models/stylegan2.PTH")).unwrap();
        assert_eq!(page.recipe.prior, Prior::File("/models/stylegan2.PTH".into()));
        page.take_drop(Path::new("/models/G.safetensors")).unwrap();
        assert_eq!(page.recipe.prior, Prior::File("/models/G.safetensors".into()));
        assert!(page.glance(Domain::X).is_none());
        page.train_prior(true);
        assert_eq!(page.recipe.prior, Prior::Train(vec!["/data/shoes".into()]));
    }

    #[test]
    fn names_make_no_other_pictures_and_sizes_do() {
        let mut page = NewModel::default();
        page.use_pictures(Domain::Y, vec!["/data/drawings".into()]);
        let before = page.glance(Domain::Y);
        page.recipe.title.push('!');
        page.use_pictures(Domain::X, vec!["/data/shoes".into()]);
        assert_eq!(page.glance(Domain::Y), before);
        page.recipe.facing = Facing::Left;
        assert_ne!(page.glance(Domain::Y), before);
        page.recipe.facing = Facing::AsIs;
        page.recipe.size = 32;
        assert_ne!(page.glance(Domain::Y), before);
    }

    #[test]
    fn an_unfinished_training_is_not_begun_anew() {
        let mut page = NewModel::default();
        page.use_pictures(Domain::X, vec!["/data/shoes".into()]);
        assert!(page.missing().unwrap().contains("for Y"));
        page.use_pictures(Domain::Y, vec!["/data/drawings".into()]);
        assert!(page.missing().unwrap().contains("A place"));
        page.out = Some("/models/a.safetensors".into());
        assert_eq!(page.missing(), None);
        page.unfinished = model_of(Path::new("/models/a.training")).map(|out| (out, Recipe::default()));
        assert!(page.missing().unwrap().contains("resume"));
        assert_eq!(model_of(Path::new("/models/a")), None);
    }
}
