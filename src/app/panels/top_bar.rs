//! Menus, the model chooser, and the theme.

use crate::app::command::{Command, Menu};
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{Action, Scene, hint};
use eframe::egui::{self, RichText};

/// From this width on, in points, the bar has room for the program's name.
const WITH_TITLE: f32 = 500.0;
/// From this width on, in points, it has room for the theme's switch, too.
const WITH_THEME: f32 = 560.0;

/// The mark of what is chosen in a menu; the window's font has it.
const CHECKED: &str = "•";

/// Draws the bar.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    ui.horizontal_centered(|ui| {
        let (text, width) = (tokens(ui).text, ui.available_width());
        if width >= WITH_TITLE {
            ui.label(RichText::new("Counterpart").size(17.0).color(text));
            ui.add_space(GAP);
        }
        menus(ui, scene);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = GAP;
            let dark = ui.visuals().dark_mode;
            // In a narrow window the menu has it.
            if width >= WITH_THEME {
                let theme = ui.button(if dark { "Light" } else { "Dark" });
                if theme.on_hover_text(hint(ui.ctx(), Command::ToggleTheme)).clicked() {
                    scene.actions.push(Action::Run(Command::ToggleTheme));
                }
            }
            model_chooser(ui, scene);
        });
    });
}

fn menus(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    ui.spacing_mut().item_spacing.x = 2.0;
    for menu in Menu::ALL {
        let button = egui::Button::new(menu.label()).frame_when_inactive(false);
        egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
            ui.set_min_width(230.0);
            ui.spacing_mut().item_spacing.y = 2.0;
            let mut opened: Vec<&str> = Vec::new();
            for command in Command::ALL.into_iter().filter(|command| command.menu() == menu) {
                match command.submenu() {
                    None => menu_entry(ui, scene, command),
                    // The first of a submenu stands for all of it.
                    Some(name) if !opened.contains(&name) => {
                        opened.push(name);
                        submenu(ui, scene, name);
                    }
                    Some(_) => {}
                }
            }
        });
    }
}

fn submenu(ui: &mut egui::Ui, scene: &mut Scene<'_>, name: &'static str) {
    let arrow = egui::containers::menu::SubMenuButton::arrow_atom(None);
    let button = egui::Button::new(name).frame_when_inactive(false).right_text(arrow);
    egui::containers::menu::SubMenuButton::from_button(button).ui(ui, |ui| {
        ui.set_min_width(230.0);
        ui.spacing_mut().item_spacing.y = 2.0;
        for command in Command::ALL.into_iter().filter(|command| command.submenu() == Some(name)) {
            menu_entry(ui, scene, command);
        }
    });
}

fn menu_entry(ui: &mut egui::Ui, scene: &mut Scene<'_>, command: Command) {
    let checked = command.checked(scene.state) == Some(true);
    let keys = command.shortcut().map_or_else(String::new, |keys| ui.ctx().format_shortcut(&keys));
    // A mark as well as a colour.
    let keys = if checked { format!("{CHECKED} {keys}") } else { keys };
    let button = egui::Button::new(command.label()).frame_when_inactive(false).shortcut_text(keys).selected(checked);
    if ui.add_enabled(command.enabled(scene.state), button).on_hover_text(command.tooltip()).clicked() {
        scene.actions.push(Action::Run(command));
        ui.close();
    }
}

fn model_chooser(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let state = &scene.state;
    let current = state.loading.as_ref().map(|(_, source)| source).or(state.model.as_ref().map(|model| &model.source));
    let label = match (&state.loading, &state.model) {
        (Some(_), _) => "Loading the model…".to_owned(),
        (None, Some(model)) => model.card.title.clone(),
        (None, None) => "Choose a model".to_owned(),
    };
    let mut chosen = None;
    let chooser = egui::ComboBox::from_id_salt("model").selected_text(label.clone()).truncate();
    let response = chooser.show_ui(ui, |ui| {
        ui.set_min_width(260.0);
        for (i, model) in state.models.iter().enumerate() {
            if ui.selectable_label(current == Some(&model.source), &model.label).clicked() {
                chosen = Some(Action::UseModel(i));
            }
        }
        if !state.models.is_empty() {
            ui.separator();
        }
        if ui.selectable_label(false, Command::OpenModel.label()).clicked() {
            chosen = Some(Action::Run(Command::OpenModel));
        }
    });
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, format!("Model: {label}")));
    if let Some(model) = &state.model {
        let card = &model.card;
        response.response.on_hover_text(format!(
            "From {} to {}, {} pixels, {} latent dimensions.\n{}",
            card.domain_y, card.domain_x, card.size, card.latent, card.licence
        ));
    }
    scene.actions.extend(chosen);
}
