//! Sliders along the directions in which the posterior of y is widest.

use crate::app::command::Command;
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{Action, Scene, caption, heading};
use crate::engine::DIRECTIONS;
use eframe::egui::{self, RichText, Vec2};

/// How far the sliders go, in standard deviations.
const REACH: f32 = 3.0;

/// Height of a slider, in points.
const ROW: f32 = 18.0;

/// Draws the panel.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    heading(ui, "Directions", |ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().button_padding = Vec2::new(GAP, 2.0);
            let reset = egui::Button::new(RichText::new("Reset").small());
            let enabled = Command::ResetDirections.enabled(scene.state);
            let response = ui.add_enabled(enabled, reset).on_hover_text(Command::ResetDirections.tooltip());
            if response.clicked() {
                scene.actions.push(Action::Run(Command::ResetDirections));
            }
        });
    });
    let has_posterior = scene.state.model.as_ref().is_none_or(|model| model.card.has_posterior);
    if !has_posterior {
        caption(ui, "This model has no encoder, and so no directions.");
        return;
    }
    caption(ui, "Move the chosen solution where the posterior is widest.");
    let search = scene.state.search.as_ref().filter(|search| search.frame.is_some());
    let sigmas = search.map_or_else(Vec::new, |search| search.sigmas.clone());
    let mut offsets = search.map_or([0.0; DIRECTIONS], |search| search.offsets);
    let mut moved = false;
    for (i, offset) in offsets.iter_mut().enumerate() {
        let sigma = sigmas.get(i).copied();
        ui.add_enabled_ui(sigma.is_some(), |ui| moved |= direction(ui, i, sigma, offset));
    }
    if let Some(search) = scene.state.search.as_mut().filter(|_| moved) {
        search.offsets = offsets;
        scene.actions.push(Action::Scrub);
    }
}

/// One slider; a double click brings it back to the middle.
fn direction(ui: &mut egui::Ui, i: usize, sigma: Option<f32>, offset: &mut f32) -> bool {
    let tokens = tokens(ui);
    let row = Vec2::new(ui.available_width(), ROW);
    ui.allocate_ui_with_layout(row, egui::Layout::left_to_right(egui::Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        ui.spacing_mut().interact_size.y = ROW;
        let (place, _) = ui.allocate_exact_size(Vec2::new(12.0, ROW), egui::Sense::hover());
        let font = egui::TextStyle::Small.resolve(ui.style());
        ui.painter().text(place.left_center(), egui::Align2::LEFT_CENTER, i + 1, font, tokens.muted);
        ui.spacing_mut().slider_width = (ui.available_width() - 48.0).max(60.0);
        let slider = egui::Slider::new(offset, -REACH..=REACH).show_value(false).trailing_fill(false);
        let response = ui.add_sized(Vec2::new(ui.available_width() - 44.0, ROW), slider);
        let value = *offset;
        let name = match sigma {
            Some(sigma) => format!("Direction {}, standard deviation {sigma:.2}", i + 1),
            None => format!("Direction {}", i + 1),
        };
        response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), f64::from(value), &name));
        let mut changed = response.changed();
        if response.double_clicked() {
            *offset = 0.0;
            changed = true;
        }
        let text = if *offset == 0.0 { "0".into() } else { format!("{:+.1} σ", *offset) };
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| caption(ui, text));
        let hint = sigma.map_or_else(String::new, |sigma| {
            format!("Standard deviation {sigma:.2}. A double click brings the slider back to the middle.")
        });
        response.on_hover_text(hint);
        changed
    })
    .inner
}
