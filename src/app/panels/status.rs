//! The line at the bottom: what goes on, and what draws the window.

use crate::app::state::{Phase, State};
use crate::app::theme::tokens;
use crate::app::widgets::caption;
use crate::engine::Ending;
use eframe::egui::{self, RichText};

/// From this width on, in points, the line has room for what draws the window.
const WITH_RENDERER: f32 = 620.0;

/// Draws the line.
pub fn show(ui: &mut egui::Ui, state: &State) {
    ui.horizontal_centered(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.available_width() >= WITH_RENDERER {
                caption(ui, &state.renderer);
            }
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let text = RichText::new(sentence(state)).small().color(tokens(ui).muted);
                ui.add(egui::Label::new(text).truncate());
            });
        });
    });
}

/// What goes on, in a sentence.
pub fn sentence(state: &State) -> String {
    if state.loading.is_some() {
        return "Loading the model.".into();
    }
    if let Some(name) = &state.reading {
        return format!("Reading {name}.");
    }
    if state.exporting {
        return "Writing the wall.".into();
    }
    if state.in_dialog {
        return "Waiting for the file dialog.".into();
    }
    if state.model.is_none() {
        return "No model yet: open a model file.".into();
    }
    match &state.search {
        None if state.input.is_some() => "Preparing the picture.".into(),
        None => "Drop a picture on the window, open or paste one, or try a sample.".into(),
        Some(search) => match (search.phase, search.frame.as_ref()) {
            (Phase::Sampling, _) => format!("Drawing {} counterparts.", state.settings.starts),
            (Phase::Refining, Some(frame)) if frame.steps_per_second > 0.0 => {
                format!("Refining: step {}, {:.1} steps a second.", frame.step, frame.steps_per_second)
            }
            (Phase::Refining, _) => "Refining.".into(),
            (Phase::Paused, _) => "Paused; continue when you like.".into(),
            (Phase::Over(Ending::Sampled), _) => {
                "These are samples; continue to refine them, or give a picture of your own.".into()
            }
            (Phase::Over(_), Some(frame)) => format!("Done after {} steps.", frame.step),
            (Phase::Over(_), None) => "Done.".into(),
            (Phase::Failed, _) => "The search failed.".into(),
        },
    }
}
