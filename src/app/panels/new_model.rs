//! The page for a new model: its settings first, then its training.

use crate::app::command::Command;
use crate::app::theme::{CONTROL, GAP, MARGIN, tokens};
use crate::app::widgets::{Scene, Shown, heading};
use crate::gpu::Mode;
use crate::{Picture, app::widgets::empty};
use eframe::egui::{self, Frame, Margin, Rect, Sense, Vec2};
use std::sync::Arc;

/// The widest that the page becomes, in points.
const WIDEST: f32 = 1240.0;
/// From this width on, in points, two cards stand side by side.
const SIDE_BY_SIDE: f32 = 760.0;

/// Draws the page.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let width = ui.available_width().min(WIDEST);
    let indent = (ui.available_width() - width) / 2.0;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(indent);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.x = GAP;
            ui.set_width(width);
            headline(ui, scene);
            if scene.state.new_model.run.is_some() {
                super::training::show(ui, scene);
            } else {
                super::recipe::show(ui, scene);
            }
        });
    });
}

fn headline(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let title = match &scene.state.new_model.run {
        Some(run) => format!("New model: {}", run.recipe.title),
        None => "New model".into(),
    };
    // The button first: it keeps its room, and a long title ends before it.
    let size = Vec2::new(ui.available_width(), CONTROL);
    ui.allocate_ui_with_layout(size, egui::Layout::right_to_left(egui::Align::Center), |ui| {
        scene.command(ui, Command::BackToCounterparts);
        ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
            let text = egui::RichText::new(title).size(19.0).color(tokens(ui).text);
            ui.add(egui::Label::new(text).truncate());
        });
    });
}

/// Two cards beside each other where there is room, else below each other.
pub(super) fn pair(
    ui: &mut egui::Ui,
    scene: &mut Scene<'_>,
    left: impl FnOnce(&mut egui::Ui, &mut Scene<'_>),
    right: impl FnOnce(&mut egui::Ui, &mut Scene<'_>),
) {
    // Columns are justified, which text must not be.
    let layout = egui::Layout::top_down(egui::Align::Min);
    if ui.available_width() >= SIDE_BY_SIDE {
        ui.spacing_mut().item_spacing.x = 2.0 * GAP;
        ui.columns(2, |columns| {
            columns.iter_mut().for_each(|ui| ui.spacing_mut().item_spacing.x = GAP);
            columns[0].with_layout(layout, |ui| left(ui, scene));
            columns[1].with_layout(layout, |ui| right(ui, scene));
        });
        ui.spacing_mut().item_spacing.x = GAP;
    } else {
        left(ui, scene);
        ui.add_space(GAP);
        right(ui, scene);
    }
}

/// A card with a title.
pub(super) fn card(ui: &mut egui::Ui, title: &str, contents: impl FnOnce(&mut egui::Ui)) {
    let tokens = tokens(ui);
    let frame = Frame::new().fill(tokens.panel).corner_radius(10).inner_margin(Margin::same(MARGIN));
    frame.stroke(egui::Stroke::new(1.0, tokens.line)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        heading(ui, title, |_| {});
        contents(ui);
    });
}

/// Pictures in rows of `columns`, each at most `largest` points wide; places without a picture are empty. `name` names
/// them by their number from 0.
pub(super) fn grid(
    ui: &mut egui::Ui,
    scene: &mut Scene<'_>,
    key: &str,
    pictures: &[Arc<Picture>],
    (places, columns, largest): (usize, usize, f32),
    name: impl Fn(usize) -> String,
) {
    let columns = columns.clamp(1, places.max(1));
    let width = ui.available_width();
    let side = ((width - GAP * (columns - 1) as f32) / columns as f32).min(largest);
    let rows = places.div_ceil(columns);
    let (area, _) = ui.allocate_exact_size(Vec2::new(width, rows as f32 * (side + GAP) - GAP), Sense::hover());
    for i in 0..places {
        let at = Vec2::new((i % columns) as f32, (i / columns) as f32) * (side + GAP);
        let place = Rect::from_min_size(area.min + at, Vec2::splat(side));
        match pictures.get(i) {
            Some(picture) => {
                let key = egui::Id::unique((key, i));
                let (a, name) = (picture.into(), &name(i));
                let shown = Shown { key, a, b: None, mode: Mode::Picture, name, sense: Sense::hover() };
                scene.view(ui, place, &shown);
            }
            None => empty(ui, place, ""),
        }
    }
}

/// A sentence that something is wrong, behind which a screen reader stops.
pub(super) fn alert(ui: &mut egui::Ui, sentence: &str) {
    let tokens = tokens(ui);
    let frame = Frame::new().fill(tokens.error_faint).corner_radius(8).inner_margin(Margin::symmetric(12, 8));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let label = ui.add(egui::Label::new(egui::RichText::new(sentence).color(tokens.error)).wrap());
        label.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Alert, true, sentence));
    });
}
