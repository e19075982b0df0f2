//! A training as it goes on: its stages, losses and pictures, and what to do about warnings.

use super::curves::{self, Line};
use super::new_model::{alert, card, grid, pair};
use crate::app::command::Command;
use crate::app::new_model::{Run, RunState};
use crate::app::theme::{GAP, tokens};
use crate::app::widgets::{Scene, caption, loss_text};
use crate::engine::training::{TrainingFrame, TrainingStage};
use crate::workshop::{Prior, Row, Warning};
use eframe::egui::{self, Role, Sense, Vec2, WidgetInfo};

/// Height of the chart, in points.
const CHART: f32 = 150.0;
/// Height of the bar that shows how far a stage is.
const BAR: f32 = 8.0;
/// Pictures side by side at most, and the largest that they are drawn, in points.
const PICTURES: (usize, f32) = (8, 144.0);

/// The stages in their order, what each is called, and what happens in it.
const STAGES: [(TrainingStage, &str, &str); 5] = [
    (TrainingStage::Preparing, "Pictures", "are read and prepared"),
    (TrainingStage::Prior, "Generator", "G learns to draw X"),
    (TrainingStage::Mapping, "Mapping", "T learns to make Y of what G draws"),
    (TrainingStage::Encoder, "Encoder", "E learns to find codes at once"),
    (TrainingStage::Measuring, "Measuring", "how well Y is explained that was never seen"),
];

/// Draws the training.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let Some(run) = scene.state.new_model.run.clone() else { return };
    pair(ui, scene, |ui, scene| progress(ui, scene, &run), |ui, _| losses(ui, run.frame.as_deref()));
    ui.add_space(GAP);
    pictures(ui, scene, &run.rows);
}

fn progress(ui: &mut egui::Ui, scene: &mut Scene<'_>, run: &Run) {
    card(ui, "Progress", |ui| {
        let frame = run.frame.as_deref();
        for stage in STAGES {
            self::stage(ui, run, stage);
        }
        if matches!(run.state, RunState::Running | RunState::Stopping) {
            bar(ui, frame);
        }
        outcome(ui, run);
        if run.state == RunState::Running {
            for &warning in frame.map_or(&[][..], |frame| &frame.warnings) {
                alert(ui, advice(warning));
            }
        }
        ui.horizontal_wrapped(|ui| {
            for &command in commands(run) {
                scene.command(ui, command);
            }
        });
        if run.trying {
            caption(ui, "Writing the model as it is now, to be tried.");
        }
    });
}

/// What can be done with a training where it stands.
fn commands(run: &Run) -> &'static [Command] {
    let paused = run.frame.as_ref().is_some_and(|frame| frame.paused);
    match run.state {
        RunState::Running if paused => &[Command::ContinueTraining, Command::StopTraining, Command::TryTraining],
        RunState::Running => &[Command::PauseTraining, Command::StopTraining, Command::TryTraining],
        RunState::Stopping => &[],
        RunState::Stopped | RunState::Failed(_) => &[Command::ResumeTraining, Command::AnotherTraining],
        RunState::Finished(_) => &[Command::TryTraining, Command::AnotherTraining],
    }
}

/// One stage in a line: a mark for done, now or to come, its name, and what happens in it.
fn stage(ui: &mut egui::Ui, run: &Run, (stage, name, happens): (TrainingStage, &str, &str)) {
    let place = |stage| STAGES.iter().position(|&(other, ..)| other == stage);
    let now = run.frame.as_ref().and_then(|frame| place(frame.stage));
    let together = stage == TrainingStage::Mapping && run.frame.as_ref().is_some_and(|frame| frame.together);
    let (stage, happens) =
        if together { (TrainingStage::Encoder, "T learns together with the encoder") } else { (stage, happens) };
    let (own, finished) = (place(stage), matches!(run.state, RunState::Finished(_)));
    let given = stage == TrainingStage::Prior && matches!(run.recipe.prior, Prior::File(_));
    let (state, text) = match now {
        _ if given => ("given", "is there already"),
        _ if finished || own < now => ("done", happens),
        _ if own == now => ("now", happens),
        _ => ("to come", happens),
    };
    let tokens = tokens(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        let (dot, _) = ui.allocate_exact_size(Vec2::new(14.0, 20.0), Sense::hover());
        match state {
            "now" => _ = ui.painter().circle_stroke(dot.center(), 4.0, egui::Stroke::new(2.0, tokens.accent)),
            "to come" => _ = ui.painter().circle_filled(dot.center(), 2.5, tokens.curve),
            _ => _ = ui.painter().circle_filled(dot.center(), 4.5, tokens.accent),
        }
        let colour = if state == "to come" { tokens.muted } else { tokens.text };
        let label = ui.label(egui::RichText::new(name).color(colour));
        label.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {state}")));
        let text = egui::RichText::new(text).small().color(tokens.muted);
        ui.add(egui::Label::new(text).truncate());
    });
}

/// How far the stage is.
fn bar(ui: &mut egui::Ui, frame: Option<&TrainingFrame>) {
    let (done, all) = frame.map_or((0, 0), |frame| frame.progress);
    let share = done as f32 / all.max(1) as f32;
    let bar = egui::ProgressBar::new(share).desired_height(BAR).fill(tokens(ui).accent);
    let text = frame.map_or_else(|| "Starting.".into(), pace);
    let response = ui.add(bar);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, format!("Progress: {text}"));
        info.value = Some(f64::from(share * 100.0).floor());
        info
    });
    caption(ui, text);
}

/// Steps, steps a second and the time left, as far as they are known.
fn pace(frame: &TrainingFrame) -> String {
    let (done, all) = frame.progress;
    let (one, many) = match frame.stage {
        TrainingStage::Preparing | TrainingStage::Measuring => ("picture", "pictures"),
        _ => ("step", "steps"),
    };
    let mut text = format!("{done} of {all} {many}");
    if frame.paused {
        return text + ", paused";
    }
    match frame.rate {
        rate if rate >= 1.0 => text += &format!(", {rate:.1} {many} a second"),
        rate if rate > 0.0 => text += &format!(", {:.1} seconds a {one}", 1.0 / rate),
        _ => {}
    }
    if let Some(seconds) = frame.seconds_left.filter(|seconds| seconds.is_finite()) {
        text += &format!(", {} left in this stage", duration(seconds));
    }
    if let Some(seconds) = frame.seconds_left_in_all.filter(|seconds| seconds.is_finite()) {
        text += &format!(", about {} in all", duration(seconds));
    }
    text
}

/// A duration for a person, in the two largest units that matter.
fn duration(seconds: f32) -> String {
    let minutes = (seconds.max(0.0) / 60.0).round() as usize;
    match minutes {
        0 => "less than a minute".into(),
        1 => "a minute".into(),
        2..60 => format!("{minutes} minutes"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

fn outcome(ui: &mut egui::Ui, run: &Run) {
    match &run.state {
        RunState::Running => {}
        RunState::Stopping => _ = ui.label("Stopping: what it has reached is being written."),
        RunState::Stopped => _ = ui.label("Stopped. It can be resumed now, or after a restart of the program."),
        RunState::Failed(problem) => {
            alert(ui, &problem.sentence);
            for cause in &problem.causes {
                caption(ui, cause);
            }
        }
        RunState::Finished(path) => {
            ui.label("The model is ready: try it, or give the file to a friend, to be dropped on this window.");
            caption(ui, path.display().to_string());
        }
    }
}

/// What is wrong and what to do about it.
fn advice(warning: Warning) -> &'static str {
    match warning {
        Warning::Collapsed => {
            "The generator's samples have become alike: it has collapsed, and more steps seldom help. Stop, and train \
             it on more pictures, on pictures that are more like each other in pose and background, or with another seed."
        }
        Warning::Overfitted => {
            "Pictures that were never seen are explained worse than before: the mapping learns its own pictures by \
             heart. Try the model now, or stop and add more pictures of Y."
        }
        Warning::IgnoresY => {
            "The counterparts hardly depend on y. If this stays so for some hundred steps, stop and look at the twelve \
             pictures again: Y may be of the wrong kind, or say too little about X."
        }
    }
}

fn losses(ui: &mut egui::Ui, frame: Option<&TrainingFrame>) {
    card(ui, "Losses", |ui| {
        let losses = frame.map_or(&[][..], |frame| &frame.losses);
        let tokens = tokens(ui);
        let lines: Vec<_> = losses
            .iter()
            .zip(tokens.series.iter().cycle())
            .map(|((_, values), &colour)| Line { values, colour, width: 1.5, marked: true })
            .collect();
        let newest = |values: &[f32]| values.last().map_or_else(|| "none yet".into(), |&loss| loss_text(loss));
        let named: Vec<_> = losses.iter().map(|(name, values)| format!("{name} {}", newest(values))).collect();
        let name =
            format!("Losses of the training: {}", if named.is_empty() { "none".into() } else { named.join(", ") });
        let frame = frame.filter(|frame| frame.stage != TrainingStage::Measuring && !losses.is_empty());
        let end = frame.map_or_else(String::new, |frame| format!("step {}", frame.progress.0));
        curves::chart(ui, "training curves", &name, &lines, &end, Vec2::new(ui.available_width(), CHART));
        ui.horizontal_wrapped(|ui| {
            for (text, line) in named.iter().zip(&lines) {
                ui.horizontal(|ui| {
                    let (key, _) = ui.allocate_exact_size(Vec2::new(14.0, 3.0), Sense::hover());
                    ui.painter().rect_filled(key, 1.5, line.colour);
                    caption(ui, text);
                });
            }
            if named.is_empty() {
                caption(ui, "The losses of each stage appear here.");
            }
        });
    });
}

fn pictures(ui: &mut egui::Ui, scene: &mut Scene<'_>, rows: &[Row]) {
    card(ui, "Samples", |ui| {
        if rows.is_empty() {
            caption(ui, "What the networks draw appears here as they learn.");
        }
        for (i, row) in rows.iter().enumerate() {
            caption(ui, row.heading);
            let places = (row.pictures.len(), PICTURES.0, PICTURES.1);
            grid(ui, scene, &format!("training row {i}"), &row.pictures, places, |place| {
                format!("{} {}", row.heading, place + 1)
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_in_units_that_matter() {
        assert_eq!(duration(20.0), "less than a minute");
        assert_eq!(duration(70.0), "a minute");
        assert_eq!(duration(600.0), "10 minutes");
        assert_eq!(duration(3.0 * 3600.0 + 300.0), "3 h 5 min");
    }

    #[test]
    fn the_pace_says_what_is_known() {
        let mut frame = TrainingFrame::new(TrainingStage::Mapping, (20, 1000));
        assert_eq!(pace(&frame), "20 of 1000 steps");
        (frame.rate, frame.seconds_left) = (0.5, Some(1960.0));
        assert_eq!(pace(&frame), "20 of 1000 steps, 2.0 seconds a step, 33 minutes left in this stage");
        frame.seconds_left_in_all = Some(2.0 * 3600.0);
        assert!(pace(&frame).ends_with("33 minutes left in this stage, about 2 h 0 min in all"));
        frame.paused = true;
        assert_eq!(pace(&frame), "20 of 1000 steps, paused");
    }
}
