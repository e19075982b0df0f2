//! The picture given, how it is prepared, and what the model sees of it.

use super::belonging;
use crate::app::command::Command;
use crate::app::state::{Choices, Input};
use crate::app::theme::{GAP, SECTION, tokens};
use crate::app::widgets::{Action, Scene, Shown, caption, empty, outline, segments, title};
use crate::data::{Facing, Fit, Treatment};
use crate::gpu::Mode;
use eframe::egui::{self, Rect, Role, Sense, Vec2, WidgetInfo};

/// Height of the place for the picture as it came.
const ORIGINAL_HEIGHT: f32 = 108.0;
/// The largest that y is drawn, in points.
const SEEN: f32 = 300.0;
/// From this width on, in points, the picture and y stand side by side.
const SIDE_BY_SIDE: f32 = 400.0;
/// The smallest and largest side of a sample, in points.
const SAMPLE_SIDES: (f32, f32) = (36.0, 80.0);
/// The gap between samples, in points.
const SAMPLE_GAP: f32 = 6.0;
/// Samples shown at most.
const SAMPLES: usize = 20;

/// Draws the panel.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    if ui.available_width() >= SIDE_BY_SIDE {
        ui.columns(2, |columns| {
            // Columns are justified, which text must not be.
            let layout = egui::Layout::top_down(egui::Align::Min);
            columns[0].with_layout(layout, |ui| {
                given(ui, scene);
                ui.add_space(SECTION - GAP);
                preparation(ui, scene);
            });
            columns[1].with_layout(layout, |ui| what_the_model_sees(ui, scene));
        });
    } else {
        given(ui, scene);
        ui.add_space(SECTION - GAP);
        what_the_model_sees(ui, scene);
        preparation(ui, scene);
    }
    ui.add_space(SECTION - GAP);
    samples(ui, scene);
}

fn given(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    title(ui, "Picture");
    original(ui, scene);
    ui.horizontal_wrapped(|ui| {
        scene.command(ui, Command::OpenPicture);
        scene.command(ui, Command::Paste);
    });
}

fn what_the_model_sees(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    title(ui, "What the model sees");
    seen(ui, scene);
    belonging::show(ui, scene);
}

/// The picture as it came: a place to drop on, and a button that opens.
fn original(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let tokens = tokens(ui);
    let (rectangle, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), ORIGINAL_HEIGHT), Sense::hover());
    let id = egui::Id::unique("original");
    let response = ui.interact(rectangle, id, Sense::click());
    let name = match (&scene.state.reading, &scene.state.input) {
        (Some(name), _) => format!("Reading {name}"),
        (None, Some(input)) => format!("{}. Drop another picture here, or press to choose one", input.name),
        (None, None) => "Drop a picture here, or press to choose one".into(),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let fill = if response.hovered() || scene.state.hovering { tokens.hover } else { tokens.raised };
    ui.painter().rect_filled(rectangle, crate::app::theme::PICTURE_RADIUS, fill);
    if let Some(input) = scene.state.input.clone() {
        let picture = &input.thumbnail;
        let inside = rectangle.shrink(GAP);
        let natural = Vec2::new(picture.width() as f32, picture.height() as f32);
        let factor = (inside.width() / natural.x).min(inside.height() / natural.y);
        let place = Rect::from_center_size(inside.center(), natural * factor);
        let shown = Shown {
            key: egui::Id::unique("original picture"),
            a: picture.into(),
            b: None,
            mode: Mode::Picture,
            name: &format!("The picture {} as it came", input.name),
            sense: Sense::hover(),
        };
        scene.view(ui, place, &shown);
    } else {
        empty_drop_zone(ui, rectangle, scene.state.hovering);
    }
    if response.has_focus() || scene.state.hovering {
        outline(ui, rectangle.shrink(2.0), tokens.accent, 2.0);
    }
    if scene.state.reading.is_some() {
        egui::Spinner::new().size(22.0).paint_at(ui, Rect::from_center_size(rectangle.center(), Vec2::splat(22.0)));
    }
    if response.clicked() && Command::OpenPicture.enabled(scene.state) {
        scene.actions.push(Action::Run(Command::OpenPicture));
    }
    let text = match &scene.state.input {
        Some(input) => input.name.clone(),
        None => "PNG, JPEG, WebP, BMP or GIF".into(),
    };
    ui.add(egui::Label::new(egui::RichText::new(text).small().color(tokens.muted)).truncate());
}

fn empty_drop_zone(ui: &egui::Ui, rectangle: Rect, hovering: bool) {
    let tokens = tokens(ui);
    let dashes = egui::Shape::dashed_line(
        &dashed_outline(rectangle.shrink(6.0)),
        egui::Stroke::new(1.0, if hovering { tokens.accent } else { tokens.muted.gamma_multiply(0.5) }),
        5.0,
        4.0,
    );
    ui.painter().extend(dashes);
    let text = if hovering { "Drop it" } else { "Drop a picture here" };
    let font = egui::TextStyle::Body.resolve(ui.style());
    ui.painter().text(rectangle.center(), egui::Align2::CENTER_CENTER, text, font, tokens.text);
}

fn dashed_outline(r: Rect) -> [egui::Pos2; 5] {
    [r.left_top(), r.right_top(), r.right_bottom(), r.left_bottom(), r.left_top()]
}

/// y, exactly as the model sees it, as large as the panel allows.
fn seen(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let side = ui.available_width().min(SEEN);
    let (rectangle, _) = ui.allocate_exact_size(Vec2::splat(side), Sense::hover());
    let y = scene.state.input.as_ref().and_then(|input| input.y.clone());
    match y {
        Some(y) => {
            let shown = Shown {
                key: egui::Id::unique("y"),
                a: (&y).into(),
                b: None,
                mode: Mode::Picture,
                name: &format!("What the model sees, {} by {} pixels", y.width(), y.height()),
                sense: Sense::hover(),
            };
            scene.view(ui, rectangle, &shown);
        }
        None => empty(ui, rectangle, "The prepared picture appears here."),
    }
}

/// How the picture becomes y.
fn preparation(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let turns = scene.state.model.as_ref().is_some_and(|model| model.card.preparation.facing != Facing::AsIs);
    let Some(Input { original: Some(_), choices: Some(choices), .. }) = &mut scene.state.input else {
        if scene.state.input.as_ref().is_some_and(|input| input.original.is_none()) {
            caption(ui, "A sample of the model, seen as it is.");
        }
        return;
    };
    let mut chosen = *choices;
    segments(
        ui,
        "Treatment",
        &mut chosen.treatment,
        &[
            (Treatment::Drawing, "Drawing", "The picture is a line drawing; its strokes are brought to one width."),
            (Treatment::EdgesFromPhoto, "Photo", "The picture is a photograph; its line drawing is made."),
            (Treatment::AsIs, "As it is", "Nothing is made of the picture."),
        ],
    );
    segments(
        ui,
        "Fit",
        &mut chosen.fit,
        &[
            (Fit::Contain, "Contain", "All of the picture is seen."),
            (Fit::Cover, "Cover", "The square is filled; what sticks out is cut."),
        ],
    );
    let Choices { crop, invert, turn, .. } = &mut chosen;
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(crop, "Cut to content").on_hover_text("Leave away the empty background around what is shown.");
        ui.checkbox(invert, "Invert").on_hover_text("Exchange light and dark.");
        if turns {
            ui.checkbox(turn, "Turn").on_hover_text("Mirror it when it faces another way than the model's pictures.");
        }
    });
    if chosen != *choices {
        *choices = chosen;
        scene.actions.push(Action::Prepare);
    }
}

/// Samples side by side and the side of each: as few rows as their smallest size allows, as even as they can be.
fn arrange(count: usize, width: f32) -> (usize, f32) {
    let most = (((width + SAMPLE_GAP) / (SAMPLE_SIDES.0 + SAMPLE_GAP)).floor() as usize).max(1);
    let columns = count.div_ceil(count.div_ceil(most).max(1)).max(1);
    let side = (width - SAMPLE_GAP * (columns - 1) as f32) / columns as f32;
    (columns, side.min(SAMPLE_SIDES.1))
}

/// Images of Y that came with the model.
fn samples(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let Some(card) = scene.state.model.as_ref().map(|model| model.card.clone()) else { return };
    if card.samples.is_empty() {
        return;
    }
    title(ui, "Samples");
    let count = card.samples.len().min(SAMPLES);
    let (columns, side) = arrange(count, ui.available_width());
    let size = Vec2::new(ui.available_width(), count.div_ceil(columns) as f32 * (side + SAMPLE_GAP));
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let current = scene.state.input.as_ref().and_then(|input| input.y.clone());
    for (i, sample) in card.samples.iter().take(SAMPLES).enumerate() {
        let place = Vec2::new((i % columns) as f32, (i / columns) as f32) * (side + SAMPLE_GAP);
        let rectangle = Rect::from_min_size(area.min + place, Vec2::splat(side));
        let shown = Shown {
            key: egui::Id::unique(("sample", i)),
            a: sample.into(),
            b: None,
            mode: Mode::Picture,
            name: &format!("Sample {}", i + 1),
            sense: Sense::click(),
        };
        let response = scene.view(ui, rectangle, &shown);
        let tokens = tokens(ui);
        if current.as_ref().is_some_and(|y| std::sync::Arc::ptr_eq(y, sample)) {
            outline(ui, rectangle, tokens.accent, 2.0);
        } else if response.hovered() || response.has_focus() {
            outline(ui, rectangle, tokens.muted, 1.5);
        }
        if response.clicked() {
            scene.actions.push(Action::UseSample(i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_in_even_rows() {
        assert_eq!(arrange(12, 268.0).0, 6);
        assert_eq!(arrange(12, 520.0).0, 12);
        assert_eq!(arrange(5, 268.0).0, 5);
        assert_eq!(arrange(7, 268.0).0, 4);
        for count in 1..=SAMPLES {
            let (columns, side) = arrange(count, 238.0);
            assert!(columns as f32 * (side + SAMPLE_GAP) - SAMPLE_GAP <= 238.1 && side >= SAMPLE_SIDES.0);
        }
    }
}
