//! What a new model is made from: pictures of X and of Y, and how much time is taken.

use super::new_model::{alert, card, grid, pair};
use crate::app::command::Command;
use crate::app::new_model::LOOK;
use crate::app::theme::{CONTROL, GAP, SECTION, tokens};
use crate::app::widgets::{Scene, caption, row, segments};
use crate::data::{Facing, YKind};
use crate::workshop::{Domain, Prior, Recipe, Thoroughness};
use eframe::egui::{self, Margin, RichText, Role, Vec2, WidgetInfo};
use std::path::{Path, PathBuf};

/// From this width on, in points, six pictures stand side by side, else four.
const SIX: f32 = 400.0;
/// The largest that a picture is drawn, in points.
const LARGEST: f32 = 96.0;
/// The widest that the button which starts becomes, in points.
const BUTTON: f32 = 260.0;

/// Draws the settings.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    resume(ui, scene);
    pair(ui, scene, x, y);
    ui.add_space(GAP);
    pair(ui, scene, settings, result);
}

/// A training that waits to be resumed.
fn resume(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let Some((out, recipe)) = &scene.state.new_model.unfinished else { return };
    let (title, out) = (recipe.title.clone(), out.display().to_string());
    card(ui, "Not finished", |ui| {
        ui.label(format!("The training of {title} was stopped or broke off; nothing that it had reached is lost."));
        caption(ui, out);
        scene.command(ui, Command::ResumeTraining);
    });
    ui.add_space(GAP);
}

fn x(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    card(ui, "X: what is to be found", |ui| {
        caption(ui, "The domain of the counterparts, such as photographs of shoes. A generator G draws it.");
        let mut train = scene.state.new_model.trains_prior();
        row(ui, "Generator", |ui| {
            segments(
                ui,
                "Generator",
                &mut train,
                &[
                    (true, "Train it", "G is trained on pictures of X: the longest part of the training."),
                    (false, "Take one", "G is there already: trained or imported, or that of a model file."),
                ],
            )
        });
        scene.state.new_model.train_prior(train);
        let prior = scene.state.new_model.recipe.prior.clone();
        match &prior {
            Prior::Train(folders) => {
                source(ui, scene, Command::ChooseX, folders);
                called(ui, scene, Domain::X);
                look(ui, scene, Domain::X, "in their colours");
            }
            Prior::File(path) => {
                let file = Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
                source(ui, scene, Command::ChooseGenerator, file.as_slice());
                called(ui, scene, Domain::X);
                caption(
                    ui,
                    "Also one that someone else trained, in PyTorch's files: DCGAN and StyleGAN2 are recognised, others \
                     need a description under the same name beside them (G.json beside G.pth).",
                );
            }
        }
    });
}

fn y(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    card(ui, "Y: what a person will give", |ui| {
        caption(ui, "The domain of the input, such as line drawings. Pairs of X and Y are not needed.");
        let recipe = &mut scene.state.new_model.recipe;
        let choices = [
            ((YKind::Edges, false), "Lines of photos", "The pictures are photographs; line drawings are made of them."),
            ((YKind::Edges, true), "Drawings", "The pictures are line drawings; strokes are brought to one width."),
            ((YKind::Grey, false), "Grey", "The pictures without their colours."),
            ((YKind::AsIs, false), "As they are", "The pictures in their colours."),
        ];
        let mut kind = (recipe.y_kind, recipe.drawings);
        row(ui, "Y is", |ui| segments(ui, "Y is", &mut kind, &choices));
        (recipe.y_kind, recipe.drawings) = kind;
        let folders = recipe.y.clone();
        source(ui, scene, Command::ChooseY, &folders);
        called(ui, scene, Domain::Y);
        let made = match kind {
            (YKind::Edges, false) => "line drawings, made of photographs",
            (YKind::Edges, true) => "line drawings, their strokes of one width",
            (YKind::Grey, _) => "without their colours",
            (YKind::AsIs, _) => "in their colours",
            (YKind::Levelled, _) => "grey, at one contrast",
        };
        look(ui, scene, Domain::Y, made);
    });
}

/// Where something comes from or goes: the button that chooses it, and what was chosen.
fn source(ui: &mut egui::Ui, scene: &mut Scene<'_>, command: Command, paths: &[PathBuf]) {
    let wide = ui.available_width() >= SIX;
    let text = match paths {
        [] => "Nothing is chosen yet.".to_owned(),
        [one] => shown(one),
        [one, more @ ..] => format!("{} and {} more", shown(one), more.len()),
    };
    let list = paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join("\n");
    let path = |ui: &mut egui::Ui| {
        let response = ui.add(egui::Label::new(RichText::new(text).small().color(tokens(ui).muted)).truncate());
        if !list.is_empty() {
            response.on_hover_text(list);
        }
    };
    if wide {
        ui.horizontal(|ui| {
            scene.command(ui, command);
            path(ui);
        });
    } else {
        scene.command(ui, command);
        path(ui);
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The name of a domain.
fn called(ui: &mut egui::Ui, scene: &mut Scene<'_>, domain: Domain) {
    let new_model = &mut scene.state.new_model;
    let (name, hint, mut text) = match domain {
        Domain::X => ("Name of X", "shoes", new_model.recipe.domain_x.clone()),
        Domain::Y => ("Name of Y", "line drawings", new_model.recipe.domain_y.clone()),
    };
    if field(ui, name, hint, &mut text) {
        new_model.name(|recipe| match domain {
            Domain::X => recipe.domain_x = text,
            Domain::Y => recipe.domain_y = text,
        });
    }
}

/// A line of text with its name before it; whether it was changed.
fn field(ui: &mut egui::Ui, name: &str, hint: &str, text: &mut String) -> bool {
    row(ui, name, |ui| {
        let edit = egui::TextEdit::singleline(text).hint_text(hint).desired_width(f32::INFINITY);
        let response = ui.add(edit.margin(Margin::symmetric(8, 5)));
        let mut info = WidgetInfo::text_edit(ui.is_enabled(), text.as_str(), text.as_str(), hint);
        info.label = Some(name.to_owned());
        response.widget_info(|| info.clone());
        response.changed()
    })
}

/// Some pictures of a domain as the networks will see them, and in words what is made of them.
fn look(ui: &mut egui::Ui, scene: &mut Scene<'_>, domain: Domain, made: &str) {
    let look = scene.state.new_model.looks[domain as usize].clone();
    let columns = if ui.available_width() >= SIX { 6 } else { 4 };
    let size = look.pictures().first().map_or(scene.state.new_model.recipe.size, |picture| picture.width());
    let (key, letter) = match domain {
        Domain::X => ("look at x", "X"),
        Domain::Y => ("look at y", "Y"),
    };
    grid(ui, scene, key, look.pictures(), (LOOK, columns, LARGEST), |i| {
        format!("Picture {} of {letter}, {size} by {size} pixels", i + 1)
    });
    match (&look.reading, look.problem()) {
        (Some(_), _) => _ = caption(ui, "Reading the pictures."),
        (None, Some(problem)) => alert(ui, &problem.sentence),
        (None, None) if look.pictures().is_empty() => {
            _ = caption(ui, format!("{LOOK} of them appear here as the networks will see them: {made}."));
        }
        (None, None) => _ = caption(ui, format!("As the networks will see them: {made}.")),
    }
}

fn settings(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    card(ui, "Training", |ui| {
        let trains = scene.state.new_model.trains_prior();
        let recipe = &mut scene.state.new_model.recipe;
        ui.add_enabled_ui(trains, |ui| {
            row(ui, "Size", |ui| {
                let hint = "Rows and columns of all pictures.";
                segments(ui, "Size", &mut recipe.size, &[(32, "32 pixels", hint), (64, "64 pixels", hint)])
            });
        });
        caption(
            ui,
            if trains {
                "64 pixels show more, and take about four times as long as 32."
            } else {
                "The size is that of the generator; what it draws in another is brought to 64 pixels for T, and shown as it is."
            },
        );
        let choices = [
            (
                Thoroughness::Quick,
                "Quick",
                "An hour or so on two cores: shows whether X and Y have anything to say to each other.",
            ),
            (Thoroughness::Thorough, "Thorough", "A night on two cores, as for the models that come with the program."),
        ];
        row(ui, "Time", |ui| segments(ui, "Time", &mut recipe.thoroughness, &choices));
        if let Some((_, _, explained)) = choices.iter().find(|(choice, ..)| *choice == recipe.thoroughness) {
            caption(ui, *explained);
        }
        ui.checkbox(&mut recipe.crop, "Cut to content");
        caption(ui, "Cuts out what is shown on a plain background and centres it, so that all of it is of one size.");
        let facings = [
            (Facing::AsIs, "As it is", "No picture is mirrored."),
            (Facing::Left, "Left", "Pictures whose low end, such as a shoe's toe, is on the right are mirrored."),
            (Facing::Right, "Right", "Pictures whose low end, such as a shoe's toe, is on the left are mirrored."),
        ];
        row(ui, "Facing", |ui| segments(ui, "Facing", &mut recipe.facing, &facings));
        caption(
            ui,
            "Things in X and Y must face alike: compare the twelve pictures of each, and choose a side if they do not.",
        );
        row(ui, "Seed", |ui| seed(ui, recipe));
        caption(ui, "The same seed on the same pictures gives the same model; another one begins elsewhere.");
    });
}

fn seed(ui: &mut egui::Ui, recipe: &mut Recipe) {
    let drag = egui::DragValue::new(&mut recipe.seed).speed(0.2).range(0..=u64::from(u32::MAX));
    let response = ui.add_sized(Vec2::new(90.0, CONTROL), drag);
    let seed = recipe.seed;
    response.widget_info(|| WidgetInfo::labeled(Role::SpinButton, ui.is_enabled(), format!("Training seed {seed}")));
}

fn result(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    card(ui, "Model", |ui| {
        let recipe = &mut scene.state.new_model.recipe;
        field(ui, "Title", "Line drawings to shoes", &mut recipe.title);
        field(ui, "Licence", "Whose the pictures are, and what is allowed", &mut recipe.licence);
        caption(ui, "Both are written into the file, for whoever is given it.");
        let out: Vec<PathBuf> = scene.state.new_model.out.clone().into_iter().collect();
        source(ui, scene, Command::ChoosePlace, &out);
        caption(ui, "One file with all that is needed: dropped on this window, anybody can use it.");
        ui.add_space(SECTION - GAP);
        if let Some(missing) = scene.state.new_model.missing() {
            let label = ui.label(RichText::new(&missing).color(tokens(ui).text));
            label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &missing));
        }
        let width = ui.available_width().min(BUTTON);
        scene.main_command(ui, Command::StartTraining, width);
    });
}
