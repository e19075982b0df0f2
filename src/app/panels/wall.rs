//! The wall of solutions, the best first.

use crate::app::state::{Phase, State};
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{Action, Scene, Shown, caption, heading, loss_text, outline};
use crate::gpu::Mode;
use eframe::egui::{self, Align2, Key, Rect, RichText, Sense, Vec2};

/// Height of the line below each picture.
const LABEL: f32 = 18.0;
/// The smallest and largest picture on the wall, in points.
const SIDES: (f32, f32) = (56.0, 168.0);

/// Pictures side by side and the side of each, for as many as possible of the largest in an area.
pub fn arrange(count: usize, area: Vec2) -> (usize, f32) {
    let count = count.max(1);
    let side_of = |columns: usize| {
        let rows = count.div_ceil(columns) as f32;
        let width = (area.x - GAP * (columns - 1) as f32) / columns as f32;
        let height = (area.y - (GAP + LABEL) * rows) / rows;
        width.min(height)
    };
    // Full rows look calmest: only the divisors of the count are tried.
    let columns = (1..=count)
        .filter(|columns| count.is_multiple_of(*columns))
        .max_by(|&a, &b| side_of(a).total_cmp(&side_of(b)))
        .unwrap_or(count);
    let side = side_of(columns);
    if side >= SIDES.0 {
        return (columns, side.min(SIDES.1));
    }
    // Too low an area: as many columns as fit at the smallest size, and the wall is scrolled.
    let columns = (((area.x + GAP) / (SIDES.0 + GAP)).floor() as usize).clamp(1, count);
    (columns, ((area.x - GAP * (columns - 1) as f32) / columns as f32).min(SIDES.1))
}

/// Pictures on the wall, or places for them.
pub fn count(state: &State) -> usize {
    state.frame().map_or(state.settings.starts, |frame| frame.solutions.len())
}

/// Height that the wall wants of an area of this width.
pub fn height(count: usize, area: Vec2) -> f32 {
    let (columns, side) = arrange(count, area);
    count.max(1).div_ceil(columns) as f32 * (side + LABEL + GAP)
}

/// Height of a wall of so many columns that fill a width.
pub fn height_of_columns(count: usize, columns: usize, width: f32) -> f32 {
    let side = (width - GAP * (columns - 1) as f32) / columns as f32;
    count.div_ceil(columns) as f32 * (side + LABEL + GAP)
}

/// Draws the wall; `area` is what it may take below its title.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>, area: Vec2) {
    headline(ui, scene);
    let count = count(scene.state);
    let (columns, side) = arrange(count, area);
    let rows = count.div_ceil(columns);
    let size = Vec2::new(columns as f32 * (side + GAP) - GAP, rows as f32 * (side + LABEL + GAP));
    let (place, _) = ui.allocate_exact_size(size, Sense::hover());
    let cell = |i: usize| {
        let at = Vec2::new((i % columns) as f32 * (side + GAP), (i / columns) as f32 * (side + LABEL + GAP));
        Rect::from_min_size(place.min + at, Vec2::splat(side))
    };
    let Some((frame, order, chosen)) =
        scene.state.search.as_ref().and_then(|s| Some((s.frame.clone()?, s.order.clone(), s.chosen)))
    else {
        let tokens = tokens(ui);
        (0..count)
            .for_each(|i| _ = ui.painter().rect_filled(cell(i), crate::app::theme::PICTURE_RADIUS, tokens.raised));
        return;
    };
    let mut focus_on = None;
    for (rank, &start) in order.iter().enumerate() {
        let solution = &frame.solutions[start];
        let rectangle = cell(rank);
        let loss = loss_text(solution.loss);
        let settled = if solution.settled { ", settled" } else { "" };
        let shown = Shown {
            key: cell_id(rank),
            a: solution.x.clone(),
            b: None,
            mode: Mode::Picture,
            name: &format!("Solution {}, loss {loss}{settled}", rank + 1),
            sense: Sense::click(),
        };
        let response = scene.view(ui, rectangle, &shown);
        let tokens = tokens(ui);
        if start == chosen {
            outline(ui, rectangle, tokens.accent, 2.5);
        } else if response.has_focus() || response.hovered() {
            outline(ui, rectangle, tokens.muted, 1.5);
        }
        let label = rectangle.left_bottom() + Vec2::new(1.0, LABEL / 2.0 + 2.0);
        let font = egui::TextStyle::Small.resolve(ui.style());
        let colour = if start == chosen { tokens.text } else { tokens.muted };
        ui.painter().text(label, Align2::LEFT_CENTER, loss, font, colour);
        if solution.settled {
            let dot = rectangle.right_bottom() + Vec2::new(-5.0, LABEL / 2.0 + 2.0);
            ui.painter().circle_filled(dot, 2.5, tokens.accent);
        }
        if response.has_focus() {
            lock_arrows(ui, response.id);
            focus_on = focus_on.or(neighbour(ui, rank, columns, order.len()));
        }
        if response.clicked() {
            scene.actions.push(Action::Choose(start));
            response.request_focus();
        }
    }
    if let Some(rank) = focus_on {
        ui.memory_mut(|memory| memory.request_focus(cell_id(rank)));
        scene.actions.push(Action::Choose(order[rank]));
    }
}

fn cell_id(rank: usize) -> egui::Id {
    egui::Id::unique(("solution", rank))
}

fn headline(ui: &mut egui::Ui, scene: &Scene<'_>) {
    heading(ui, "Counterparts", |ui| {
        let text = match &scene.state.search {
            None => String::new(),
            Some(search) => match search.phase {
                Phase::Sampling => "being drawn".into(),
                Phase::Failed => "the search failed".into(),
                _ => format!("lowest loss first, seed {}", search.seed),
            },
        };
        caption(ui, text);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let by_hand = scene.state.search.as_ref().is_some_and(|search| search.chosen_by_hand);
            if by_hand {
                let tokens = tokens(ui);
                ui.label(RichText::new("arrow keys choose").small().color(tokens.muted));
            }
        });
    });
}

/// Keeps the arrow keys for the wall while one of its pictures has the focus.
fn lock_arrows(ui: &egui::Ui, id: egui::Id) {
    let filter = egui::EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
}

/// Where the arrow keys lead from a place on the wall.
fn neighbour(ui: &egui::Ui, rank: usize, columns: usize, count: usize) -> Option<usize> {
    let pressed = |key| ui.input(|input| input.key_pressed(key) && input.modifiers.is_none());
    step(rank, columns, count, pressed)
}

fn step(rank: usize, columns: usize, count: usize, pressed: impl Fn(Key) -> bool) -> Option<usize> {
    let target = if pressed(Key::ArrowRight) {
        rank + 1
    } else if pressed(Key::ArrowLeft) {
        rank.checked_sub(1)?
    } else if pressed(Key::ArrowDown) {
        rank + columns
    } else if pressed(Key::ArrowUp) {
        rank.checked_sub(columns)?
    } else if pressed(Key::Home) {
        0
    } else if pressed(Key::End) {
        count - 1
    } else {
        return None;
    };
    (target < count).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_full_and_pictures_as_large_as_fits() {
        assert_eq!(arrange(16, Vec2::new(800.0, 260.0)).0, 8);
        assert_eq!(arrange(16, Vec2::new(500.0, 600.0)).0, 4);
        let (columns, side) = arrange(16, Vec2::new(300.0, 60.0));
        assert!(columns >= 4 && side >= SIDES.0, "{columns} columns of {side}");
        for width in (60..2000).step_by(37) {
            let (columns, side) = arrange(16, Vec2::new(width as f32, 400.0));
            assert!(columns as f32 * (side + GAP) - GAP <= width as f32 + 0.1);
        }
    }

    #[test]
    fn a_wall_of_so_many_columns_fills_its_width() {
        for count in [8, 16, 32] {
            let (columns, side) = arrange(count, Vec2::new(520.0, height_of_columns(count, 4, 520.0)));
            assert_eq!((columns, side), (4, 124.0), "{count} pictures");
        }
    }

    #[test]
    fn arrows_stay_on_the_wall() {
        let go = |rank, key| step(rank, 8, 16, |pressed| pressed == key);
        assert_eq!(go(3, Key::ArrowDown), Some(11));
        assert_eq!(go(11, Key::ArrowDown), None);
        assert_eq!(go(0, Key::ArrowLeft), None);
        assert_eq!(go(15, Key::ArrowRight), None);
        assert_eq!(go(4, Key::End), Some(15));
    }
}
