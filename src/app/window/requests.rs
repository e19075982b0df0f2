//! What the window asks of others: models and searches of the engine, files and exports of the background.

use super::Window;
use crate::app::background::Arrived;
use crate::app::state::{Choices, Input, SearchView};
use crate::app::wall_export::Wall;
use crate::engine::{FindSettings, JobId, ModelSource, Request};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Window {
    pub(super) fn load(&mut self, source: ModelSource) {
        let job = JobId::new();
        self.state.loading = Some((job, source.clone()));
        self.engine.send(Request::LoadModel { job, source });
    }

    /// Takes a file that was dropped, opened or pasted by its path: a model or a picture.
    pub(super) fn read(&mut self, path: &Path) {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
            return self.load(ModelSource::File(path.to_owned()));
        }
        if let Some(reporter) = &mut self.reporter {
            reporter.dropped();
        }
        self.state.reading = Some(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        self.background.read(path.to_owned());
    }

    pub(super) fn use_picture(&mut self, arrived: Arrived) {
        self.state.reading = None;
        self.refine_next = true;
        self.state.input = Some(Input {
            name: arrived.name,
            original: Some(arrived.picture),
            thumbnail: arrived.thumbnail,
            is_photo: arrived.is_photo,
            is_faint: arrived.is_faint,
            choices: None,
            y: None,
            preparing: 0,
        });
        self.prepare();
    }

    pub(super) fn use_sample(&mut self, i: usize) {
        let Some(sample) = self.state.model.as_ref().and_then(|model| model.card.samples.get(i)).cloned() else {
            return;
        };
        self.state.input = Some(Input {
            name: format!("Sample {}", i + 1),
            original: None,
            thumbnail: sample.clone(),
            is_photo: false,
            is_faint: false,
            choices: None,
            y: Some(sample),
            preparing: 0,
        });
        self.find();
    }

    /// Starts the preparation of the input for the model; the search follows when it is done.
    pub(super) fn prepare(&mut self) {
        let (Some(model), Some(input)) = (&self.state.model, &mut self.state.input) else { return };
        let Some(original) = &input.original else { return };
        let card = &model.card;
        let choices = *input.choices.get_or_insert_with(|| Choices::suited(card, input.is_photo));
        input.preparing += 1;
        self.background.prepare(input.preparing, original.clone(), choices.preparation(card));
    }

    /// Starts a search for the input as it is prepared.
    pub(super) fn find(&mut self) {
        let Some(y) = self.state.input.as_ref().and_then(|input| input.y.clone()) else { return };
        let settings = &self.state.settings;
        let job = JobId::new();
        let find = FindSettings {
            starts: settings.starts,
            from: settings.from,
            seed: settings.seed,
            refine: settings.refine && std::mem::replace(&mut self.refine_next, true),
            step_limit: settings.step_limit,
            device: settings.device,
        };
        let mut search = SearchView::new(job, y.clone(), settings.seed);
        // The old pictures stay on the wall until the new ones come: no flicker.
        if let Some(old) = self.state.search.take().filter(|old| Arc::ptr_eq(&old.y, &y)) {
            (search.frame, search.order) = (old.frame, old.order);
        }
        self.state.search = Some(search);
        self.engine.send(Request::Find { job, y, settings: find });
    }

    pub(super) fn export(&mut self, path: PathBuf) {
        let Some(search) = &self.state.search else { return };
        let Some(frame) = search.frame.clone() else { return };
        self.state.exporting = true;
        let wall = Wall {
            title: self.state.model.as_ref().map_or_else(String::new, |model| model.card.title.clone()),
            input: self.state.input.as_ref().map_or_else(String::new, |input| input.name.clone()),
            y: search.y.clone(),
            seed: search.seed,
            order: search.order.clone(),
            frame,
        };
        self.background.export(path, move || wall.draw());
    }

    pub(super) fn scrub(&self) {
        if let Some(search) = self.state.search.as_ref().filter(|search| search.is_scrubbed()) {
            let (job, start, offsets) = (search.job, search.chosen, search.offsets);
            self.engine.send(Request::Scrub { job, start, offsets });
        }
    }
}
