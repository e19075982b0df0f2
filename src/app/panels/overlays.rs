//! What lies over the window: messages, the palette, the page of shortcuts, and the veil while a file hovers.

use crate::app::command::Command;
use crate::app::new_model::Page;
use crate::app::state::Toast;
use crate::app::theme::{GAP, MARGIN, tokens};
use crate::app::widgets::{Action, Scene, caption, heading};
use eframe::egui::{self, Align2, Frame, Key, Margin, RichText, Role, Vec2, WidgetInfo};

/// Draws everything that lies over the window.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    toasts(ui, scene);
    if scene.state.palette.is_some() {
        palette(ui, scene);
    }
    if scene.state.shortcuts {
        shortcuts(ui, scene);
    }
}

fn toasts(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let toasts = scene.state.toasts.clone();
    if toasts.is_empty() {
        return;
    }
    let screen = ui.ctx().content_rect();
    egui::Area::new(egui::Id::unique("messages"))
        .anchor(Align2::RIGHT_BOTTOM, Vec2::new(-f32::from(MARGIN), -44.0))
        .order(egui::Order::Foreground)
        .show(ui.ctx(), |ui| {
            ui.set_width((screen.width() - 2.0 * f32::from(MARGIN)).min(420.0));
            for toast in toasts.iter().rev() {
                message(ui, scene, toast);
            }
        });
}

fn message(ui: &mut egui::Ui, scene: &mut Scene<'_>, toast: &Toast) {
    let tokens = tokens(ui);
    let (fill, text) = if toast.is_error { (tokens.error_faint, tokens.error) } else { (tokens.raised, tokens.text) };
    let frame = Frame::new()
        .fill(fill)
        .corner_radius(8)
        .inner_margin(Margin::symmetric(14, 10))
        .shadow(ui.visuals().popup_shadow);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_top(|ui| {
            let width = ui.available_width() - 66.0;
            ui.vertical(|ui| {
                ui.set_width(width);
                let sentence = ui.add(egui::Label::new(RichText::new(&toast.problem.sentence).color(text)).wrap());
                let role = if toast.is_error { Role::Alert } else { Role::Status };
                sentence.widget_info(|| WidgetInfo::labeled(role, true, &toast.problem.sentence));
                if !toast.problem.causes.is_empty() {
                    egui::CollapsingHeader::new(RichText::new("Details").small().color(tokens.muted))
                        .id_salt(("causes", toast.number))
                        .show(ui, |ui| {
                            for cause in &toast.problem.causes {
                                caption(ui, cause);
                            }
                        });
                }
            });
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                let close = egui::Button::new(RichText::new("Close").small().color(text)).frame_when_inactive(false);
                if ui.add(close).clicked() {
                    scene.actions.push(Action::Dismiss(toast.number));
                }
            });
        });
    });
}

fn palette(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let mut text = scene.state.palette.clone().unwrap_or_default();
    let mut run = None;
    let modal = sheet(ui, "palette").show(ui.ctx(), |ui| {
        ui.set_width(fitting(ui, 400.0));
        let field = egui::TextEdit::singleline(&mut text).hint_text("Find a command").desired_width(f32::INFINITY);
        let response = ui.add(field.margin(Margin::symmetric(10, 8)));
        response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Find a command"));
        response.request_focus();
        let found = matches(&text, scene);
        let enter = ui.input(|input| input.key_pressed(Key::Enter));
        for (i, &command) in found.iter().take(10).enumerate() {
            // Without keys an empty text keeps the name on the left.
            let keys = command.shortcut().map_or_else(String::new, |keys| ui.ctx().format_shortcut(&keys));
            let button = egui::Button::selectable(i == 0, command.label()).shortcut_text(keys);
            let clicked = ui.add_sized(Vec2::new(ui.available_width(), 28.0), button).clicked();
            if clicked || (enter && i == 0) {
                run = Some(command);
            }
        }
        if found.is_empty() {
            caption(ui, "No command that can be used now is called so.");
        }
    });
    let close = modal.should_close() || run.is_some();
    scene.state.palette = (!close).then_some(text);
    scene.actions.extend(run.map(Action::Run));
}

/// The commands that can be used now and whose names contain every typed word.
fn matches(text: &str, scene: &Scene<'_>) -> Vec<Command> {
    let words: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let fits = |command: &Command| {
        let label = command.label().to_lowercase();
        words.iter().all(|word| label.contains(word))
    };
    Command::ALL
        .into_iter()
        .filter(|&command| command != Command::Palette && command.enabled(scene.state))
        .filter(fits)
        .collect()
}

/// The window's own sheets, with the margin of panels.
fn sheet(ui: &egui::Ui, name: &str) -> egui::Modal {
    egui::Modal::new(egui::Id::unique(name)).frame(Frame::popup(ui.style()).inner_margin(Margin::same(MARGIN)))
}

/// The width, or what the window has of it.
fn fitting(ui: &egui::Ui, width: f32) -> f32 {
    width.min(ui.ctx().content_rect().width() - 6.0 * f32::from(MARGIN))
}

fn shortcuts(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let mut lines: Vec<(&str, String)> = Command::ALL
        .into_iter()
        .filter_map(|command| Some((command.label(), ui.ctx().format_shortcut(&command.shortcut()?))))
        .collect();
    lines.extend(
        [
            ("Next control", "Tab"),
            ("Choose on the wall", "Arrow keys, Home, End"),
            ("Press what has the focus", "Enter or Space"),
            ("Move a slider or the divider", "Arrow keys"),
        ]
        .map(|(what, keys)| (what, keys.to_owned())),
    );
    let screen = ui.ctx().content_rect();
    let columns = if screen.width() >= 780.0 { 2 } else { 1 };
    let modal = sheet(ui, "shortcuts").show(ui.ctx(), |ui| {
        ui.set_width(fitting(ui, 340.0 * columns as f32));
        heading(ui, "Keyboard shortcuts", |_| {});
        let height = screen.height() - 180.0;
        let scroll = egui::ScrollArea::vertical().auto_shrink([false, true]);
        scroll.max_height(height).min_scrolled_height(height).show(ui, |ui| {
            // Beside the scroll bar of a low window.
            ui.set_max_width(ui.available_width() - 2.0 * GAP);
            ui.spacing_mut().item_spacing.x = 4.0 * GAP;
            ui.columns(columns, |columns| {
                let each = lines.len().div_ceil(columns.len());
                for (ui, lines) in columns.iter_mut().zip(lines.chunks(each)) {
                    lines.iter().for_each(|(what, keys)| line(ui, what, keys));
                }
            });
        });
        ui.add_space(GAP);
        ui.button("Close").clicked()
    });
    if modal.should_close() || modal.inner {
        scene.state.shortcuts = false;
    }
}

/// What is done on the left, its keys on the right.
fn line(ui: &mut egui::Ui, what: &str, keys: &str) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        ui.horizontal(|ui| {
            ui.label(what);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| caption(ui, keys));
        });
    });
}

/// A veil over the window that says what can be let go anywhere.
pub fn veil(ui: &egui::Ui, page: Page) {
    let tokens = tokens(ui);
    let screen = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("veil")));
    painter.rect_filled(screen, 0.0, tokens.canvas.gamma_multiply(0.82));
    painter.rect_stroke(screen.shrink(6.0), 10.0, egui::Stroke::new(2.0, tokens.accent), egui::StrokeKind::Inside);
    let font = egui::FontId::proportional(22.0);
    let text = match page {
        Page::Counterparts => "Drop the picture anywhere",
        Page::NewModel => "Drop the folder of pictures anywhere",
    };
    let text = painter.layout_no_wrap(text.to_owned(), font, tokens.text);
    let plate = egui::Rect::from_center_size(screen.center(), text.size() + Vec2::new(48.0, 32.0));
    painter.rect(plate, 10.0, tokens.panel, egui::Stroke::new(1.0, tokens.accent), egui::StrokeKind::Inside);
    painter.galley(plate.center() - text.size() / 2.0, text, tokens.text);
}
