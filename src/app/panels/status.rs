//! The line at the bottom: what goes on, and what draws the window.

use crate::app::command::Command;
use crate::app::new_model::Page;
use crate::app::state::{Phase, State};
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{Action, Scene, caption, hint};
use crate::engine::Ending;
use eframe::egui::{self, RichText, Vec2};

/// From this width on, in points, the line has room for what draws the window.
const WITH_RENDERER: f32 = 620.0;

/// Draws the line.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    ui.horizontal_centered(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.available_width() >= WITH_RENDERER {
                caption(ui, &scene.state.renderer);
            }
            training(ui, scene);
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let text = RichText::new(sentence(scene.state)).small().color(tokens(ui).muted);
                ui.add(egui::Label::new(text).truncate());
            });
        });
    });
}

/// A training that goes on while its page is not shown; brings the page back.
fn training(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let new_model = &scene.state.new_model;
    let Some(summary) = new_model.summary().filter(|_| scene.state.page != Page::NewModel) else { return };
    let runs = new_model.is_active() && !new_model.is_paused();
    let tokens = tokens(ui);
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = Vec2::new(GAP, 1.0);
        ui.spacing_mut().interact_size.y = 20.0;
        let text = RichText::new(&summary).small().color(if runs { tokens.accent } else { tokens.text });
        let response = ui.button(text).on_hover_text(hint(ui.ctx(), Command::NewModel));
        if response.clicked() {
            scene.actions.push(Action::Run(Command::NewModel));
        }
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
    if state.page == Page::NewModel {
        return match state.new_model.summary() {
            Some(summary) => format!("{summary}."),
            None => state.new_model.missing().unwrap_or_else(|| "All is there: start the training.".into()),
        };
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
