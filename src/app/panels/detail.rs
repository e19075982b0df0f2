//! The chosen solution, large, beside y, T(G(z)) and how the two differ.

use crate::app::state::Comparison;
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{HEADING, Scene, Shown, caption, empty, heading, loss_text, outline, segments};
use crate::engine::Solution;
use crate::gpu::{Image, Mode};
use eframe::egui::{self, Key, Rect, Sense, Vec2};

/// Height of a caption below a picture.
const CAPTION: f32 = 20.0;
/// From this side of the smaller pictures on, in points, captions have room for words.
const WITH_WORDS: f32 = 124.0;
/// What differences are multiplied with before they are coloured.
const GAIN: f32 = 1.0;

/// Height that the panel wants for a width, titles included.
pub fn height(width: f32) -> f32 {
    large_side(small_side(width)) + CAPTION + TITLE
}

/// Height of the title and the gap below it.
const TITLE: f32 = HEADING + GAP;

/// The large picture and two columns of two smaller ones fill the width.
fn small_side(width: f32) -> f32 {
    (width - 2.5 * GAP - CAPTION - GAP) / 4.0
}

/// The smaller pictures and their captions are as high together as the large one.
fn large_side(small: f32) -> f32 {
    2.0 * small + CAPTION + GAP
}

/// Draws the panel in at most this size.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>, area: Vec2) {
    let chosen = Chosen::of(scene);
    headline(ui, chosen.as_ref());
    let room = (area.y - TITLE - 2.0 * CAPTION - GAP) / 2.0;
    let small = small_side(area.x).min(room).max(60.0);
    let side = large_side(small);
    let (place, _) = ui.allocate_exact_size(Vec2::new(area.x, side + CAPTION), Sense::hover());
    let at = |column: f32, row: f32| {
        let left = place.left() + side + GAP * (1.0 + column) + column * small + GAP * 0.5;
        Rect::from_min_size(egui::pos2(left, place.top() + row * (small + CAPTION + GAP)), Vec2::splat(small))
    };
    let large = Rect::from_min_size(place.min, Vec2::splat(side));
    let y = scene.state.search.as_ref().map(|s| s.y.clone()).or(scene.state.input.as_ref().and_then(|i| i.y.clone()));
    let y = y.as_ref().map(Image::from);
    let x = chosen.as_ref().map(|c| &c.solution.x);
    let reconstruction = chosen.as_ref().map(|c| &c.solution.reconstruction);
    let name = chosen.as_ref().map_or_else(String::new, Chosen::name);
    tile(ui, scene, large, "large", x, &name, "G(z): the counterpart");
    tile(ui, scene, at(0.0, 0.0), "y beside", y.as_ref(), "The input y", "y: the input");
    tile(
        ui,
        scene,
        at(1.0, 0.0),
        "reconstruction",
        reconstruction,
        "The reconstruction T(G(z))",
        if small < WITH_WORDS { "T(G(z))" } else { "T(G(z)): reconstruction" },
    );
    comparison(ui, scene, at(0.0, 1.0), y.as_ref(), reconstruction);
    let controls = Rect::from_min_size(at(1.0, 1.0).min, Vec2::new(small, small + CAPTION));
    // Not a scope: what follows the panel comes below all of it.
    comparison_controls(&mut ui.new_child(egui::UiBuilder::new().max_rect(controls)), scene);
}

/// The solution shown large: the chosen one, moved by the sliders if they are.
struct Chosen {
    rank: usize,
    solution: Solution,
    moved: bool,
}

impl Chosen {
    fn of(scene: &Scene<'_>) -> Option<Self> {
        let search = scene.state.search.as_ref()?;
        let frame = search.frame.as_ref()?;
        let moved = search.scrub.as_ref().filter(|scrub| search.is_scrubbed() && scrub.start == search.chosen);
        let solution = match moved {
            Some(scrub) => scrub.solution.clone(),
            None => frame.solutions.get(search.chosen)?.clone(),
        };
        Some(Self { rank: search.rank(search.chosen), solution, moved: moved.is_some() })
    }

    fn name(&self) -> String {
        let moved = if self.moved { ", moved by the sliders" } else { "" };
        format!("Chosen solution {}, loss {}{moved}", self.rank + 1, loss_text(self.solution.loss))
    }
}

fn headline(ui: &mut egui::Ui, chosen: Option<&Chosen>) {
    let text = chosen.map_or_else(|| "Solution".into(), |chosen| format!("Solution {}", chosen.rank + 1));
    heading(ui, &text, |ui| {
        if let Some(chosen) = chosen {
            let moved = if chosen.moved { ", moved by the sliders" } else { "" };
            caption(ui, format!("loss {}{moved}", loss_text(chosen.solution.loss)));
        }
    });
}

fn tile(
    ui: &mut egui::Ui,
    scene: &mut Scene<'_>,
    rectangle: Rect,
    key: &str,
    picture: Option<&Image>,
    name: &str,
    label: &str,
) {
    match picture {
        Some(a) => {
            let (key, a) = (egui::Id::unique(key), a.clone());
            let shown = Shown { key, a, b: None, mode: Mode::Picture, name, sense: Sense::hover() };
            scene.view(ui, rectangle, &shown);
        }
        None => empty(ui, rectangle, ""),
    }
    below(ui, rectangle, label);
}

fn below(ui: &egui::Ui, rectangle: Rect, label: &str) {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let at = rectangle.left_bottom() + Vec2::new(1.0, CAPTION / 2.0);
    ui.painter_at(rectangle.expand2(Vec2::new(0.0, CAPTION))).text(
        at,
        egui::Align2::LEFT_CENTER,
        label,
        font,
        tokens(ui).muted,
    );
}

/// y against T(G(z)), in the way that was chosen. The divider of the split follows the pointer and the arrow keys.
fn comparison(
    ui: &mut egui::Ui,
    scene: &mut Scene<'_>,
    rectangle: Rect,
    y: Option<&Image>,
    reconstruction: Option<&Image>,
) {
    let (Some(y), Some(reconstruction)) = (y, reconstruction) else {
        empty(ui, rectangle, "");
        below(ui, rectangle, "Comparison");
        return;
    };
    let settings = &scene.state.settings;
    let split = settings.comparison == Comparison::Split;
    let (mode, name, label) = match settings.comparison {
        Comparison::Difference => (
            Mode::Difference { gain: GAIN },
            "Difference between the input and its reconstruction".to_owned(),
            "T(G(z)) minus y",
        ),
        Comparison::Heat => (
            Mode::Heat { gain: GAIN },
            "Heat map of the difference between the input and its reconstruction".to_owned(),
            "Difference as heat",
        ),
        Comparison::Split => (
            Mode::Split { at: settings.split },
            format!("Input left, reconstruction right of a divider at {:.0} percent", 100.0 * settings.split),
            "y | T(G(z))",
        ),
    };
    let sense = if split { Sense::click_and_drag() } else { Sense::hover() };
    let (key, a, b) = (egui::Id::unique("comparison"), y.clone(), Some(reconstruction.clone()));
    let shown = Shown { key, a, b, mode, name: &name, sense };
    let response = scene.view(ui, rectangle, &shown);
    below(ui, rectangle, label);
    if !split {
        return;
    }
    let mut at = scene.state.settings.split;
    if let Some(pointer) = response.interact_pointer_pos() {
        at = (pointer.x - rectangle.left()) / rectangle.width();
        response.request_focus();
    }
    if response.has_focus() {
        let filter = egui::EventFilter { horizontal_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let pressed = |key| ui.input(|input| input.num_presses(key) as f32);
        at += 0.02 * (pressed(Key::ArrowRight) - pressed(Key::ArrowLeft));
        outline(ui, rectangle, tokens(ui).accent, 2.0);
    }
    scene.state.settings.split = at.clamp(0.0, 1.0);
    response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal);
}

fn comparison_controls(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    caption(ui, "Compare y and T(G(z))");
    segments(
        ui,
        "Comparison",
        &mut scene.state.settings.comparison,
        &[
            (Comparison::Difference, "Signed", "Blue where the reconstruction is darker, orange where it is brighter."),
            (Comparison::Heat, "Heat", "How much they differ."),
            (Comparison::Split, "Split", "Input left and reconstruction right of a divider."),
        ],
    );
    let mut smooth = scene.state.settings.smooth;
    segments(
        ui,
        "Pixels",
        &mut smooth,
        &[(true, "Smooth", "Blend the pixels of large pictures."), (false, "Pixels", "Show every pixel.")],
    );
    scene.state.settings.smooth = smooth;
}
