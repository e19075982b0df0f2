//! The controls of the search, its counters and curves.

use super::curves;
use crate::app::command::Command;
use crate::app::state::{Phase, STARTS};
use crate::app::theme::{CONTROL, GAP, tokens};
use crate::app::widgets::{Action, Scene, caption, row, segments, title};
use crate::engine::{Ending, StartFrom};
use eframe::egui::{self, RichText, Vec2};

/// Draws the panel.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    title(ui, "Search");
    let phase = scene.state.search.as_ref().map(|search| search.phase);
    let main = match phase {
        Some(Phase::Refining) => Command::Pause,
        Some(Phase::Paused | Phase::Over(_)) => Command::Continue,
        _ => Command::Start,
    };
    let width = ui.available_width();
    scene.main_command(ui, main, width);
    ui.horizontal(|ui| {
        let each = (ui.available_width() - 2.0 * GAP) / 3.0;
        for command in [Command::Stop, Command::Reroll] {
            ui.allocate_ui(Vec2::new(each, CONTROL), |ui| {
                ui.centered_and_justified(|ui| scene.command(ui, command));
            });
        }
        seed(ui, scene, each);
    });
    starts(ui, scene);
    row(ui, "Stop after", |ui| step_limit(ui, scene));
    ui.checkbox(&mut scene.state.settings.refine, Command::ToggleRefine.label())
        .on_hover_text(Command::ToggleRefine.tooltip());
    counters(ui, scene);
    let search = scene.state.search.as_ref();
    let (frame, chosen) = (search.and_then(|search| search.frame.as_deref()), search.map_or(0, |search| search.chosen));
    curves::show(ui, frame, chosen, Vec2::new(ui.available_width(), 132.0));
}

/// How many starts, and where they begin; a change starts the search again.
fn starts(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let has_posterior = scene.state.model.as_ref().is_none_or(|model| model.card.has_posterior);
    let settings = &mut scene.state.settings;
    let mut changed = row(ui, "Starts", |ui| {
        let hint = "How many counterparts are looked for at once.";
        segments(
            ui,
            "Starts",
            &mut settings.starts,
            &[(STARTS[0], "8", hint), (STARTS[1], "16", hint), (STARTS[2], "32", hint)],
        )
    });
    if has_posterior {
        changed |= row(ui, "Begin at", |ui| {
            segments(
                ui,
                "Begin at",
                &mut settings.from,
                &[
                    (StartFrom::Posterior, "Posterior", Command::StartFromPosterior.tooltip()),
                    (StartFrom::Prior, "Prior", Command::StartFromPrior.tooltip()),
                ],
            )
        });
    }
    if changed {
        scene.actions.push(Action::Run(Command::Start));
    }
}

/// Steps after which refinement ends; the search that runs heeds it, too.
fn step_limit(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let field = egui::DragValue::new(&mut scene.state.settings.step_limit)
        .update_while_editing(false)
        .suffix(" steps")
        .speed(5.0)
        .range(1..=100_000);
    let response = ui.add_sized(Vec2::new(ui.available_width(), CONTROL), field);
    let limit = scene.state.settings.step_limit;
    response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::SpinButton, true, format!("Stop after {limit} steps")));
    if response.changed() {
        scene.actions.push(Action::LimitSteps);
    }
    response.on_hover_text("Refinement ends after so many steps; Continue goes on for as many again.");
}

fn seed(ui: &mut egui::Ui, scene: &mut Scene<'_>, width: f32) {
    let field =
        egui::DragValue::new(&mut scene.state.settings.seed).prefix("Seed ").speed(0.2).range(0..=u32::MAX as u64);
    let response = ui.add_sized(Vec2::new(width, CONTROL), field);
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::SpinButton, true, format!("Seed {}", scene.state.settings.seed))
    });
    let finished = response.lost_focus() || response.drag_stopped();
    let differs = scene.state.search.as_ref().is_some_and(|search| search.seed != scene.state.settings.seed);
    if finished && differs && Command::Start.enabled(scene.state) {
        scene.actions.push(Action::Run(Command::Start));
    }
    response.on_hover_text("The same seed draws the same counterparts.");
}

fn counters(ui: &mut egui::Ui, scene: &Scene<'_>) {
    let tokens = tokens(ui);
    let search = scene.state.search.as_ref();
    let frame = search.and_then(|search| search.frame.as_ref());
    ui.horizontal(|ui| {
        let step = frame.map_or(0, |frame| frame.step);
        ui.label(RichText::new(format!("Step {step}")).color(tokens.text));
        let text = match search.map(|search| search.phase) {
            None => String::new(),
            Some(Phase::Sampling) => "drawing samples".into(),
            Some(Phase::Refining) => match frame {
                Some(frame) if frame.steps_per_second > 0.0 => format!("{:.1} steps/s", frame.steps_per_second),
                _ => "refining".into(),
            },
            Some(Phase::Paused) => "paused".into(),
            Some(Phase::Over(Ending::Sampled)) => "samples, not refined".into(),
            Some(Phase::Over(Ending::Settled)) => "settled".into(),
            Some(Phase::Over(Ending::StepLimit)) => "step limit reached".into(),
            Some(Phase::Over(Ending::Stopped)) => "stopped".into(),
            Some(Phase::Failed) => "failed".into(),
        };
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| caption(ui, text));
    });
}
