//! The window's own building blocks: image views with names, captions, segmented choices.

use super::command::Command;
use super::state::State;
use super::theme::{self, GAP, PICTURE_RADIUS, tokens};
use crate::gpu::{Image, Look, Mode, Painter};
use eframe::egui::{
    self, Align2, Color32, CornerRadius, Rect, Response, RichText, Role, Sense, Stroke, Vec2, WidgetInfo,
};

/// What panels draw with, and what they ask for.
pub struct Scene<'a> {
    /// What the window knows.
    pub state: &'a mut State,
    /// Draws image views.
    pub painter: &'a mut Painter,
    /// What the person asked for in this frame.
    pub actions: &'a mut Vec<Action>,
}

/// Something that a panel asks the window to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run a command.
    Run(Command),
    /// Use a model of the list, by its place.
    UseModel(usize),
    /// Use a sample of the model as the input.
    UseSample(usize),
    /// The choices of preparation changed.
    Prepare,
    /// Choose a start.
    Choose(usize),
    /// The sliders moved.
    Scrub,
    /// The step limit was changed.
    LimitSteps,
    /// Close a message.
    Dismiss(u64),
}

/// One view of a picture or of two.
pub struct Shown<'a> {
    /// Tells views apart from frame to frame.
    pub key: egui::Id,
    /// The picture.
    pub a: Image,
    /// The one it is compared with.
    pub b: Option<Image>,
    /// How.
    pub mode: Mode,
    /// What a screen reader says.
    pub name: &'a str,
    /// Whether it can be clicked or dragged.
    pub sense: Sense,
}

impl Scene<'_> {
    /// Draws a view into a rectangle of the ui.
    pub fn view(&mut self, ui: &mut egui::Ui, rectangle: Rect, shown: &Shown<'_>) -> Response {
        let response = ui.interact(rectangle, shown.key, shown.sense);
        let role = if shown.sense.senses_click() { Role::Button } else { Role::Image };
        response.widget_info(|| WidgetInfo::labeled(role, ui.is_enabled(), shown.name));
        let look = Look {
            mode: shown.mode,
            smooth: self.state.settings.smooth,
            radius: PICTURE_RADIUS,
            divider_half: 1.0,
            colours: tokens(ui).views,
        };
        self.painter.paint(ui, rectangle, shown.key, (&shown.a, shown.b.as_ref()), &look);
        // White pictures end somewhere on a white panel, too.
        let hairline = Stroke::new(1.0, tokens(ui).line);
        ui.painter().rect_stroke(rectangle, PICTURE_RADIUS, hairline, egui::StrokeKind::Inside);
        response
    }

    /// A button for a command, greyed when it cannot be done now.
    pub fn command(&mut self, ui: &mut egui::Ui, command: Command) -> Response {
        self.styled_command(
            ui,
            command,
            egui::Button::new(command.label().trim_end_matches('…').to_owned() + dots(command)),
        )
    }

    /// The main action of a panel.
    pub fn main_command(&mut self, ui: &mut egui::Ui, command: Command, width: f32) -> Response {
        let tokens = tokens(ui);
        let enabled = command.enabled(self.state);
        let (fill, text) = if enabled { (tokens.accent, tokens.on_accent) } else { (tokens.raised, tokens.muted) };
        let button = egui::Button::new(RichText::new(command.label()).color(text)).fill(fill);
        let size = Vec2::new(width, theme::CONTROL + 4.0);
        let layout = egui::Layout::centered_and_justified(egui::Direction::LeftToRight);
        ui.allocate_ui_with_layout(size, layout, |ui| self.styled_command(ui, command, button)).inner
    }

    fn styled_command(&mut self, ui: &mut egui::Ui, command: Command, button: egui::Button<'_>) -> Response {
        let response = ui.add_enabled(command.enabled(self.state), button);
        let hint = hint(ui.ctx(), command);
        if response.clicked() {
            self.actions.push(Action::Run(command));
        }
        response.on_hover_text(hint.clone()).on_disabled_hover_text(hint)
    }
}

fn dots(command: Command) -> &'static str {
    if command.label().ends_with('…') { "…" } else { "" }
}

/// A command's tooltip with its keys.
pub fn hint(ctx: &egui::Context, command: Command) -> String {
    match command.shortcut() {
        Some(keys) => format!("{}  {}", command.tooltip(), ctx.format_shortcut(&keys)),
        None => command.tooltip().to_owned(),
    }
}

/// Height of the line with a group's title, in points.
pub const HEADING: f32 = 22.0;

/// The title of a group of controls, with more in the same line.
pub fn heading(ui: &mut egui::Ui, text: &str, more: impl FnOnce(&mut egui::Ui)) {
    let colour = tokens(ui).text;
    let size = Vec2::new(ui.available_width(), HEADING);
    ui.allocate_ui_with_layout(size, egui::Layout::left_to_right(egui::Align::Center), |ui| {
        ui.set_min_size(size);
        ui.spacing_mut().interact_size.y = HEADING;
        ui.label(RichText::new(text).size(15.0).color(colour));
        more(ui);
    });
}

/// The title of a group of controls, alone.
pub fn title(ui: &mut egui::Ui, text: &str) {
    heading(ui, text, |_| {});
}

/// A control with its name before it, in a column with others of its kind.
pub fn row<T>(ui: &mut egui::Ui, name: &str, control: impl FnOnce(&mut egui::Ui) -> T) -> T {
    /// Width of the names, in points.
    const NAME: f32 = 68.0;
    ui.horizontal(|ui| {
        let (place, _) = ui.allocate_exact_size(Vec2::new(NAME, theme::CONTROL), Sense::hover());
        let font = egui::FontId::proportional(13.0);
        ui.painter().text(place.left_center(), Align2::LEFT_CENTER, name, font, tokens(ui).muted);
        control(ui)
    })
    .inner
}

/// Small text that explains.
pub fn caption(ui: &mut egui::Ui, text: impl Into<String>) -> Response {
    let colour = tokens(ui).muted;
    ui.label(RichText::new(text).small().color(colour))
}

/// An empty place where a picture will be.
pub fn empty(ui: &egui::Ui, rectangle: Rect, text: &str) {
    let tokens = tokens(ui);
    let painter = ui.painter();
    painter.rect_filled(rectangle, PICTURE_RADIUS, tokens.raised);
    if !text.is_empty() {
        let galley = painter.layout(
            text.to_owned(),
            egui::TextStyle::Small.resolve(ui.style()),
            tokens.muted,
            (rectangle.width() - 2.0 * GAP).max(20.0),
        );
        let at = rectangle.center() - galley.size() / 2.0;
        painter.galley(at, galley, tokens.muted);
    }
}

/// An outline around a view: the chosen one, or the one with the keyboard's focus.
pub fn outline(ui: &egui::Ui, rectangle: Rect, colour: Color32, width: f32) {
    let radius = CornerRadius::from(PICTURE_RADIUS + width);
    ui.painter().rect_stroke(rectangle.expand(width), radius, Stroke::new(width, colour), egui::StrokeKind::Inside);
}

/// Shares a width among texts: evenly, or, where one of them would not fit, with the same space around each.
fn share(width: f32, texts: &[f32]) -> Vec<f32> {
    /// The least space beside a text, in points.
    const SPACE: f32 = 5.0;
    let even = width / texts.len() as f32;
    if texts.iter().all(|text| text + 2.0 * SPACE <= even) {
        return vec![even; texts.len()];
    }
    let space = (width - texts.iter().sum::<f32>()) / texts.len() as f32;
    texts.iter().map(|text| text + space).collect()
}

/// One of a few, side by side, over the full width.
pub fn segments<T: PartialEq + Copy>(
    ui: &mut egui::Ui,
    name: &str,
    value: &mut T,
    choices: &[(T, &str, &str)],
) -> bool {
    let tokens = tokens(ui);
    let before = *value;
    let gap = 2.0;
    let width = ui.available_width();
    let font = egui::FontId::proportional(13.0);
    let texts: Vec<f32> = choices
        .iter()
        .map(|(_, label, _)| ui.painter().layout_no_wrap((*label).to_owned(), font.clone(), tokens.text).size().x)
        .collect();
    let widths = share(width - gap * (choices.len() + 1) as f32, &texts);
    let (rectangle, _) = ui.allocate_exact_size(Vec2::new(width, theme::CONTROL), Sense::hover());
    ui.painter().rect_filled(rectangle, CornerRadius::same(theme::RADIUS), tokens.raised);
    let mut left = rectangle.left() + gap;
    for (i, ((choice, label, hint), each)) in choices.iter().zip(widths).enumerate() {
        let part =
            Rect::from_min_size(egui::pos2(left, rectangle.top() + gap), Vec2::new(each, theme::CONTROL - 2.0 * gap));
        left += each + gap;
        let chosen = *value == *choice;
        let response = ui.interact(part, egui::Id::unique((name, i)), Sense::click());
        response.widget_info(|| {
            WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), chosen, format!("{name}: {label}"))
        });
        let radius = CornerRadius::same(theme::RADIUS - 2);
        if chosen {
            ui.painter().rect_filled(part, radius, tokens.accent_faint);
        } else if response.hovered() {
            ui.painter().rect_filled(part, radius, tokens.hover);
        }
        if response.has_focus() {
            ui.painter().rect_stroke(part, radius, Stroke::new(1.5, tokens.accent), egui::StrokeKind::Inside);
        }
        let colour = if chosen { tokens.text } else { tokens.muted };
        ui.painter().text(part.center(), Align2::CENTER_CENTER, label, font.clone(), colour);
        if response.clicked() {
            *value = *choice;
        }
        response.on_hover_text(*hint);
    }
    *value != before
}

/// A loss for a person: three digits that matter.
pub fn loss_text(loss: f32) -> String {
    match loss {
        loss if !loss.is_finite() => "not a number".into(),
        loss if loss >= 100.0 => format!("{loss:.0}"),
        loss if loss >= 10.0 => format!("{loss:.1}"),
        loss if loss >= 1.0 => format!("{loss:.2}"),
        loss => format!("{loss:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_choice_gets_more_of_the_width() {
        assert_eq!(share(90.0, &[10.0, 20.0, 10.0]), [30.0; 3]);
        assert_eq!(share(90.0, &[40.0, 20.0, 15.0]), [45.0, 25.0, 20.0]);
    }

    #[test]
    fn losses_are_short() {
        assert_eq!(loss_text(0.041_23), "0.041");
        assert_eq!(loss_text(1.234_5), "1.23");
        assert_eq!(loss_text(312.7), "313");
        assert_eq!(loss_text(f32::NAN), "not a number");
    }
}
