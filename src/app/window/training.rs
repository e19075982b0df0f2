//! The training of a model: its settings, its commands, and what it reports.

use super::Window;
use crate::app::background::Arrival;
use crate::app::command::Command;
use crate::app::new_model::{NewModel, Page, Run, RunState, model_of};
use crate::app::state::State;
use crate::engine::training::{Training, TrainingEvent};
use crate::engine::{ModelSource, Problem};
use crate::workshop::{Domain, Prior, Recipe};
use std::path::{Path, PathBuf};

impl Window {
    /// Runs a command of the page for a new model.
    pub(super) fn run_training(&mut self, command: Command) {
        match command {
            Command::NewModel => {
                self.state.page = Page::NewModel;
                let new_model = &self.state.new_model;
                if new_model.run.is_none() && new_model.unfinished.is_none() {
                    self.background.find_unfinished(None);
                }
            }
            Command::BackToCounterparts => self.state.page = Page::Counterparts,
            Command::ChooseX => self.dialog(|background| background.pick_folders(Domain::X)),
            Command::ChooseY => self.dialog(|background| background.pick_folders(Domain::Y)),
            Command::ChooseGenerator => self.dialog(|background| background.pick_generator()),
            Command::ChoosePlace => {
                let name = file_name(&self.state.new_model.recipe.title);
                self.dialog(|background| background.pick_place(name));
            }
            Command::StartTraining => {
                if let Some(out) = self.state.new_model.out.clone() {
                    self.train(self.state.new_model.recipe.clone(), out, false);
                }
            }
            Command::ResumeTraining => {
                if let Some((out, recipe)) = self.state.new_model.unfinished.clone() {
                    self.train(recipe, out, true);
                }
            }
            Command::PauseTraining => self.training.iter().for_each(Training::pause),
            Command::ContinueTraining => self.training.iter().for_each(Training::go_on),
            Command::StopTraining => {
                self.training.iter().for_each(Training::stop);
                if let Some(run) = &mut self.state.new_model.run {
                    run.state = RunState::Stopping;
                }
            }
            Command::TryTraining => self.try_model(),
            Command::AnotherTraining => self.state.new_model.run = None,
            _ => {}
        }
    }

    fn train(&mut self, recipe: Recipe, out: PathBuf, resume: bool) {
        let started = Training::start(recipe.clone(), out.clone(), resume, self.training_settings, self.wake.clone());
        match started {
            Ok(training) => {
                self.training = Some(training);
                self.background.remember_training(Some(out.clone()));
                let new_model = &mut self.state.new_model;
                new_model.unfinished = None;
                new_model.run = Some(Run {
                    recipe,
                    out,
                    state: RunState::Running,
                    frame: None,
                    rows: Vec::new(),
                    trying: false,
                    tried: None,
                });
            }
            Err(error) => self.state.fail(error.into()),
        }
    }

    /// Uses the finished model, or has the unfinished one written to be used.
    fn try_model(&mut self) {
        let Some(run) = &mut self.state.new_model.run else { return };
        if let RunState::Finished(path) = &run.state {
            let path = path.clone();
            self.use_model(path);
        } else if let Some(training) = &self.training {
            run.trying = true;
            training.try_now();
        }
    }

    fn use_model(&mut self, path: PathBuf) {
        self.state.page = Page::Counterparts;
        self.load(ModelSource::File(path));
    }

    /// Takes in what the training reported since the last frame.
    pub(super) fn drain_training(&mut self) {
        let Some(training) = &self.training else { return };
        let (frame, events) = (training.frame(), training.events());
        if let (Some(frame), Some(run)) = (frame, &mut self.state.new_model.run) {
            if !frame.rows.is_empty() {
                run.rows.clone_from(&frame.rows);
            }
            run.frame = Some(frame);
        }
        for event in events {
            self.on_training(event);
        }
    }

    fn on_training(&mut self, event: TrainingEvent) {
        let Some(run) = &mut self.state.new_model.run else { return };
        match event {
            TrainingEvent::Tried(path) => {
                run.trying = false;
                run.tried = Some(path.clone());
                return self.use_model(path);
            }
            TrainingEvent::NotYet(problem) => {
                run.trying = false;
                return self.state.fail(problem);
            }
            TrainingEvent::Finished(path) => {
                run.state = RunState::Finished(path.clone());
                // What was tried is gone with the training's folder.
                let gone = run.tried.take().map(ModelSource::File);
                self.state.models.retain(|model| Some(&model.source) != gone.as_ref());
                self.background.remember_training(None);
                self.state.tell(format!("The model is in {}.", path.display()));
            }
            TrainingEvent::Stopped => {
                run.state = RunState::Stopped;
                // Before its pictures are prepared there is nothing to resume.
                self.background.find_unfinished(Some(run.out.clone()));
            }
            TrainingEvent::Failed(problem) => {
                run.state = RunState::Failed(problem.clone());
                self.background.find_unfinished(Some(run.out.clone()));
                if self.state.page != Page::NewModel {
                    self.state.fail(problem);
                }
            }
        }
        if let Some(run) = &mut self.state.new_model.run {
            run.trying = false;
        }
        self.training = None;
    }

    /// What the background found for the page.
    pub(super) fn on_training_arrival(&mut self, arrival: Arrival) {
        let State { in_dialog, new_model, .. } = &mut self.state;
        match arrival {
            Arrival::FoldersPicked(domain, folders) => {
                *in_dialog = false;
                new_model.use_pictures(domain, folders);
            }
            Arrival::GeneratorPicked(path) => {
                *in_dialog = false;
                new_model.train_prior(false);
                new_model.recipe.prior = Prior::File(path);
            }
            Arrival::PlacePicked(path) => {
                *in_dialog = false;
                new_model.out = Some(path.clone());
                self.background.find_unfinished(Some(path));
            }
            Arrival::Looked(domain, recipe, found) => {
                let look = &mut new_model.looks[domain as usize];
                look.reading.take_if(|reading| *reading == *recipe);
                look.shown = Some((*recipe, found));
            }
            Arrival::Unfinished(out, recipe) => match recipe {
                // A training that runs is not one to be resumed.
                Some(recipe) if !new_model.is_running() => new_model.unfinished = Some((out, *recipe)),
                Some(_) => {}
                None => _ = new_model.unfinished.take_if(|(other, _)| *other == out),
            },
            _ => {}
        }
    }

    /// Folders and files that were let go over the page.
    pub(super) fn take_folders(&mut self, paths: &[&Path]) {
        for path in paths {
            let taken = match model_of(path) {
                Some(out) => {
                    self.background.find_unfinished(Some(out));
                    Ok(())
                }
                None => self.state.new_model.take_drop(path),
            };
            if let Err(sentence) = taken {
                self.state.fail(Problem::new(sentence));
            }
        }
    }

    /// Has the pictures of the domains read anew where the settings have changed what they look like.
    pub(super) fn look_again(&mut self) {
        if self.state.page != Page::NewModel || self.state.new_model.run.is_some() {
            return;
        }
        for domain in [Domain::X, Domain::Y] {
            let wanted = self.state.new_model.glance(domain);
            let NewModel { looks, .. } = &mut self.state.new_model;
            let look = &mut looks[domain as usize];
            let shown = look.shown.as_ref().map(|(recipe, _)| recipe);
            match wanted {
                None => look.shown = None,
                // One at a time: what came meanwhile is looked at when this is done.
                Some(wanted) if shown != Some(&wanted) && look.reading.is_none() => {
                    look.reading = Some(wanted.clone());
                    self.background.look(domain, wanted);
                }
                Some(_) => {}
            }
        }
    }
}

/// A name for a model file that every file system takes.
fn file_name(title: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || " -_.,()".contains(c) { c } else { '-' };
    let stem: String = title.trim().chars().map(kept).collect();
    format!("{}.safetensors", if stem.is_empty() { "model" } else { &stem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposed_file_names_have_no_separators() {
        assert_eq!(file_name("Edges to shoes"), "Edges to shoes.safetensors");
        assert_eq!(file_name("a/b\\c: d?"), "a-b-c- d-.safetensors");
        assert_eq!(file_name("  "), "model.safetensors");
    }
}
