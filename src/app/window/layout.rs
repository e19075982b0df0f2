//! Where the panels are, for windows of every size.

use crate::app::new_model::Page;
use crate::app::panels;
use crate::app::theme::{self, GAP, MARGIN, SECTION, tokens};
use crate::app::widgets::{HEADING, Scene};
use eframe::egui::{self, Frame, Margin, Vec2};

/// Width of the side panels, in points.
const SIDE: f32 = 300.0;
/// Width of the only side panel of a window that is not wide, in points.
const NARROW_SIDE: f32 = 270.0;
/// What of the right margin lies beyond the scroll bar, in points.
const EDGE: i8 = 4;
/// Height of a panel's heading and the gap below it, in points.
const TITLE: f32 = HEADING + GAP;
/// The lowest that the chosen solution is drawn, its heading included, in points.
const LOWEST_DETAIL: f32 = 260.0;
/// Pictures side by side on the wall of a narrow window.
const COLUMNS: usize = 4;
/// The lowest that the wall is drawn without its heading, in points.
const LOWEST_WALL: f32 = 150.0;
/// The narrowest that the solutions become for the sake of their height, in points.
const NARROWEST: f32 = 320.0;
/// The same as a share of the width that there is.
const SHARE_OF_WIDTH: f32 = 0.7;

/// Panels around the solutions; in a narrow window below each other.
pub(super) fn lay_out(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let tokens = tokens(ui);
    // The window is cleared to the panels' colour, and the canvas is filled by the cheapest shader there is: egui's own
    // rectangles of that size take a software driver longer than all the rest.
    let bar = |horizontal| Frame::new().inner_margin(Margin::symmetric(horizontal, 0));
    egui::Panel::top("bar").exact_size(46.0).frame(bar(MARGIN)).show(ui, |ui| panels::top_bar::show(ui, scene));
    egui::Panel::bottom("status").exact_size(28.0).frame(bar(MARGIN)).show(ui, |ui| panels::status::show(ui, scene));
    // What is scrolled goes to the very edge above and below; its own margin is scrolled with it. Scroll bars are in the
    // right margin.
    let scrolling = Frame::new().inner_margin(Margin { left: MARGIN, right: EDGE, top: 0, bottom: 0 });
    let fill = |ui: &egui::Ui, scene: &Scene<'_>| {
        let mut area = ui.max_rect();
        area.min.x -= f32::from(MARGIN);
        area.max.x += f32::from(EDGE);
        scene.painter.fill(ui, area, tokens.canvas);
    };
    let width = ui.available_width();
    if scene.state.page == Page::NewModel {
        egui::CentralPanel::default().frame(scrolling).show(ui, |ui| {
            fill(ui, scene);
            // Settings and training are each scrolled by themselves.
            let trains = scene.state.new_model.run.is_some();
            ui.push_id(trains, |ui| scrolled(ui, |ui| panels::new_model::show(ui, scene)));
        });
        return;
    }
    if width < theme::NARROW {
        egui::CentralPanel::default().frame(scrolling).show(ui, |ui| {
            fill(ui, scene);
            scrolled(ui, |ui| one_column(ui, scene));
        });
        return;
    }
    let wide = width >= theme::WIDE;
    let side_width = if wide { SIDE } else { NARROW_SIDE };
    egui::Panel::left("picture").exact_size(side_width).resizable(false).frame(scrolling).show(ui, |ui| {
        scrolled(ui, |ui| {
            panels::input::show(ui, scene);
            if !wide {
                ui.add_space(SECTION);
                search(ui, scene);
            }
        });
    });
    if wide {
        egui::Panel::right("search").exact_size(SIDE).resizable(false).frame(scrolling).show(ui, |ui| {
            scrolled(ui, |ui| search(ui, scene));
        });
    }
    egui::CentralPanel::default().frame(scrolling).show(ui, |ui| {
        fill(ui, scene);
        let area = ui.available_size() - Vec2::new(f32::from(MARGIN - EDGE), 2.0 * f32::from(MARGIN));
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.add_space(f32::from(MARGIN));
            solutions(ui, scene, area);
        });
    });
}

fn search(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    panels::refinement::show(ui, scene);
    ui.add_space(SECTION - GAP);
    panels::directions::show(ui, scene);
}

fn scrolled(ui: &mut egui::Ui, contents: impl FnOnce(&mut egui::Ui)) {
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.set_max_width(ui.available_width() - f32::from(MARGIN - EDGE));
        ui.add_space(f32::from(MARGIN));
        contents(ui);
        ui.add_space(f32::from(MARGIN));
    });
}

/// Wall above, the chosen solution below it; both as wide as the area allows while all of them can be seen.
fn solutions(ui: &mut egui::Ui, scene: &mut Scene<'_>, area: Vec2) {
    let count = panels::wall::count(scene.state);
    let fitted = Fitted::new(count, area);
    let indent = ((area.x - fitted.width) / 2.0).max(0.0);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(indent);
        ui.vertical(|ui| {
            ui.set_max_width(fitted.width);
            ui.spacing_mut().item_spacing.x = GAP;
            panels::wall::show(ui, scene, Vec2::new(fitted.width, fitted.wall));
            ui.add_space(SECTION - GAP);
            panels::detail::show(ui, scene, Vec2::new(fitted.width, fitted.detail));
        });
    });
}

/// How the solutions share their area.
#[derive(Debug)]
struct Fitted {
    width: f32,
    /// Height of the wall without its heading.
    wall: f32,
    /// Height of the chosen solution with its heading.
    detail: f32,
}

impl Fitted {
    /// As wide as the area, or narrower, so that all can be seen and ends at the same line on the right. In a window
    /// too low for that, as wide as the area, to be scrolled.
    fn new(count: usize, area: Vec2) -> Self {
        let left = area.y - TITLE - SECTION;
        let mut width = area.x;
        while width >= (SHARE_OF_WIDTH * area.x).max(NARROWEST) {
            let detail = panels::detail::height(width);
            let wall = panels::wall::height(count, Vec2::new(width, left - detail));
            if wall + detail <= left {
                // What is left over makes the pictures on the wall larger where that fills their rows.
                return Self { width, wall: left - detail, detail };
            }
            width -= 4.0;
        }
        let detail = panels::detail::height(area.x).min(0.62 * area.y).max(LOWEST_DETAIL);
        Self { width: area.x, wall: (left - detail).max(LOWEST_WALL), detail }
    }
}

/// Everything in one column, the solutions right below the picture.
fn one_column(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let width = ui.available_width();
    panels::input::show(ui, scene);
    ui.add_space(SECTION);
    let wall = panels::wall::height_of_columns(panels::wall::count(scene.state), COLUMNS, width);
    panels::wall::show(ui, scene, Vec2::new(width, wall));
    ui.add_space(SECTION);
    panels::detail::show(ui, scene, Vec2::new(width, panels::detail::height(width)));
    ui.add_space(SECTION);
    search(ui, scene);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_and_the_chosen_solution_fit_into_usual_windows() {
        for (width, height) in [(728.0, 754.0), (768.0, 814.0), (600.0, 594.0)] {
            for count in [8, 16] {
                let fitted = Fitted::new(count, Vec2::new(width, height));
                let wall = panels::wall::height(count, Vec2::new(fitted.width, fitted.wall));
                let taken = wall + fitted.detail + TITLE + SECTION;
                assert!(taken <= height, "{count} starts in {width} x {height}: {fitted:?}");
                assert!(fitted.width <= width && fitted.detail >= LOWEST_DETAIL, "{count} starts: {fitted:?}");
            }
        }
    }

    #[test]
    fn a_low_window_is_scrolled_rather_than_filled_with_specks() {
        let fitted = Fitted::new(32, Vec2::new(500.0, 200.0));
        assert_eq!((fitted.width, fitted.wall, fitted.detail), (500.0, LOWEST_WALL, LOWEST_DETAIL));
    }
}
