//! What comes to the window: facts and pictures from the engine, and what was done in the background.

use super::Window;
use crate::app::background::Arrival;
use crate::app::new_model::Page;
use crate::app::state::{LoadedModel, ModelChoice, Phase};
use crate::engine::{Event, JobId, Problem};
use std::path::PathBuf;
use std::time::Instant;

impl Window {
    /// Takes in what came since the last frame.
    pub(super) fn drain(&mut self) {
        for event in self.engine.events() {
            self.on_event(event);
        }
        if let Some(frame) = self.engine.frame()
            && let Some(search) = self.state.search.as_mut().filter(|search| search.job == frame.job)
        {
            if frame.step == 0
                && let Some(reporter) = &mut self.reporter
            {
                reporter.shows_samples();
            }
            let lose = self.lose_device_after.take_if(|after| frame.step >= *after).is_some();
            search.show(frame, Instant::now());
            if let Some(device) = self.screen.device().filter(|_| lose) {
                device.destroy();
            }
            // The solution under the sliders has moved on.
            self.scrub();
        }
        if let (Some(search), Some(model)) = (&mut self.state.search, &self.state.model) {
            search.judge(&model.card.held_out);
        }
        if let Some(scrub) = self.engine.scrub()
            && let Some(search) = self.state.search.as_mut().filter(|search| search.job == scrub.job)
        {
            search.scrub = Some(scrub);
        }
        self.drain_training();
        for arrival in self.background.arrivals() {
            self.on_arrival(arrival);
        }
    }

    fn on_event(&mut self, event: Event) {
        let state = &mut self.state;
        match event {
            Event::ModelLoaded { job, card } => {
                let Some((_, source)) = state.loading.take_if(|(loading, _)| *loading == job) else { return };
                if !state.models.iter().any(|model| model.source == source) {
                    state.models.push(ModelChoice { source: source.clone(), label: card.title.clone() });
                }
                state.search = None;
                let has_samples = !card.samples.is_empty();
                state.model = Some(LoadedModel { job, source, card });
                if let Some(input) = state.input.as_mut().filter(|input| input.original.is_some()) {
                    // Another model wants its pictures prepared another way.
                    (input.choices, input.y) = (None, None);
                    self.prepare();
                } else if has_samples && state.reading.is_none() {
                    self.refine_next = false;
                    self.use_sample(0);
                } else {
                    state.input = None;
                }
            }
            Event::Started { job, sigmas } => {
                if let Some(search) = state.search.as_mut().filter(|search| search.job == job) {
                    search.sigmas = sigmas;
                    search.phase = Phase::Refining;
                }
            }
            Event::Notice { job, sentence } => {
                if state.search.as_ref().is_some_and(|search| search.job == job) {
                    state.tell(sentence);
                }
            }
            Event::Paused(job) => self.set_phase(job, Phase::Paused),
            Event::Continued(job) => self.set_phase(job, Phase::Refining),
            Event::Finished { job, ending } => self.set_phase(job, Phase::Over(ending)),
            Event::Failed { job, problem } => {
                state.loading.take_if(|(loading, _)| job.is_none() || job == Some(*loading));
                if let Some(search) = state.search.as_mut().filter(|search| job.is_none_or(|job| job == search.job)) {
                    search.phase = Phase::Failed;
                }
                state.fail(problem);
            }
        }
    }

    fn set_phase(&mut self, job: JobId, phase: Phase) {
        if let Some(search) = self.state.search.as_mut().filter(|search| search.job == job) {
            search.enter(phase);
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Picture(arrived) => self.use_picture(arrived),
            Arrival::NoPicture(problem) => {
                self.state.reading = None;
                self.state.fail(problem);
            }
            Arrival::Text(text) => self.on_text(text),
            Arrival::Prepared(number, y) => {
                if let Some(input) = self.state.input.as_mut().filter(|input| input.preparing == number) {
                    input.y = Some(y);
                    self.find();
                }
            }
            Arrival::PicturePicked(path) | Arrival::ModelPicked(path) => {
                self.state.in_dialog = false;
                self.state.page = Page::Counterparts;
                self.read(&path);
            }
            Arrival::ExportPicked(path) => {
                self.state.in_dialog = false;
                self.export(path);
            }
            other @ (Arrival::FoldersPicked(..)
            | Arrival::GeneratorPicked(_)
            | Arrival::PlacePicked(_)
            | Arrival::Looked(..)
            | Arrival::Unfinished(..)) => self.on_training_arrival(other),
            Arrival::Nothing => {}
            Arrival::Cancelled => self.state.in_dialog = false,
            Arrival::DialogFailed(problem) => {
                self.state.in_dialog = false;
                self.state.reading = None;
                self.state.fail(problem);
            }
            Arrival::Exported(written) => {
                self.state.exporting = false;
                match written {
                    Ok(path) => self.state.tell(format!("The wall is in {}.", path.display())),
                    Err(problem) => self.state.fail(problem),
                }
            }
        }
    }

    /// Text from the clipboard: for the field that is being edited, else the path of a picture.
    fn on_text(&mut self, text: String) {
        if self.editing {
            self.pasted_text = Some(text);
            return;
        }
        let line = text.lines().next().unwrap_or_default().trim();
        let path = PathBuf::from(line.strip_prefix("file://").unwrap_or(line));
        if path.is_absolute() {
            self.state.page = Page::Counterparts;
            self.read(&path);
        } else {
            self.state.fail(Problem::new(
                "There is text on the clipboard, not a picture; copy a picture, or drop its file on the window.",
            ));
        }
    }
}
