//! The page for a new model, driven by its accessible names, with small folders of pictures and trainings of few steps.

#[path = "support/stage.rs"]
mod stage;
mod support;

use counterpart::Picture;
use counterpart::app::new_model::{Page, RunState};
use counterpart::app::state::Settings;
use counterpart::engine::ModelSource;
use counterpart::engine::training::TrainingStage;
use counterpart::workshop::Prior;
use eframe::egui::{Key, Modifiers, Vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use stage::{Stage, TestDesktop};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const USUAL: Vec2 = Vec2::new(1360.0, 860.0);

/// Pictures enough for a training: boxes with lids, in ink or in colours.
fn write_folder(folder: &Path, count: usize, ink: bool) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let mut picture = support::drawing(40, 8 + i % 16);
        if !ink {
            let shade = (40 + 9 * i) as u8;
            let pixels = picture.rgba_mut().chunks_exact_mut(4);
            pixels.enumerate().filter(|(at, _)| at / 40 > 12).for_each(|(_, pixel)| pixel[..2].fill(shade));
        }
        support::write_png(&folder.join(format!("{i:02}.png")), &picture);
    }
    folder.to_owned()
}

/// A desktop whose dialogs answer with folders of pictures and a place for the model.
fn desktop(folder: &Path) -> TestDesktop {
    let folders =
        [vec![write_folder(&folder.join("boxes"), 18, false)], vec![write_folder(&folder.join("drawings"), 20, true)]];
    TestDesktop { folders, place: Some(folder.join("mine")), ..TestDesktop::default() }
}

fn page(stage: &Stage) -> Page {
    stage.harness.state().state().page
}

fn open(desktop: TestDesktop, settings: Settings, size: Vec2) -> Stage {
    let mut stage = Stage::new(desktop, settings, size);
    stage.press(Modifiers::COMMAND, Key::N);
    assert_eq!(page(&stage), Page::NewModel);
    stage
}

/// Presses a button, wherever it has been scrolled to.
fn press(stage: &mut Stage, label: &str) {
    stage.harness.get_by_label(label).click_accesskit();
    stage.harness.step();
    stage.harness.step();
}

fn pictures(stage: &Stage, letter: &str) -> usize {
    stage.count(&format!(" of {letter}, "))
}

/// Chooses everything that a training needs: 32 pixels, and this many steps for each stage.
fn choose_all(stage: &mut Stage, steps: [usize; 3]) {
    press(stage, "Choose pictures of X…");
    stage.until("twelve pictures of X", |stage| pictures(stage, "X") == 12);
    press(stage, "Choose pictures of Y…");
    stage.until("twelve pictures of Y", |stage| pictures(stage, "Y") == 12);
    press(stage, "Choose where the model goes…");
    stage.until("a place for the model", |stage| stage.harness.state().state().new_model.out.is_some());
    press(stage, "Size: 32 pixels");
    press(stage, "Y is: Drawings");
    stage.harness.state_mut().new_model().recipe.steps = Some(steps);
    stage.until("all is there", |stage| {
        let new_model = &stage.harness.state().state().new_model;
        new_model.missing().is_none() && new_model.looks.iter().all(|look| look.reading.is_none())
    });
}

/// The state of the training.
fn state(stage: &Stage) -> Option<RunState> {
    stage.harness.state().state().new_model.run.as_ref().map(|run| run.state.clone())
}

/// The stage under way, and its steps so far.
fn progress(stage: &Stage) -> Option<(TrainingStage, usize)> {
    stage.harness.state().state().new_model.frame().map(|frame| (frame.stage, frame.progress.0))
}

#[test]
fn the_page_opens_and_closes_by_command_and_by_keyboard() {
    let mut stage = Stage::usual();
    stage.until("solutions", |stage| stage.count("Solution ") >= 16);
    stage.press(Modifiers::COMMAND, Key::N);
    assert_eq!(page(&stage), Page::NewModel);
    assert!(stage.has("X: what is to be found") && stage.has("Y: what a person will give"));
    assert!(!stage.has("Solution 1, loss"), "the counterparts make room");
    // A field is left first, then the page.
    stage.harness.get_by_label("Name of X").focus();
    (0..3).for_each(|_| stage.harness.step());
    stage.press(Modifiers::NONE, Key::Escape);
    assert_eq!(page(&stage), Page::NewModel);
    stage.press(Modifiers::NONE, Key::Escape);
    assert_eq!(page(&stage), Page::Counterparts);
    assert!(stage.has("Solution 1, loss"));
    stage.press(Modifiers::COMMAND, Key::K);
    stage.harness.get_by_label("Find a command").type_text("new model");
    stage.harness.step();
    stage.press(Modifiers::NONE, Key::Enter);
    assert_eq!(page(&stage), Page::NewModel);
    press(&mut stage, "Back to counterparts");
    assert_eq!(page(&stage), Page::Counterparts);
}

#[test]
fn folders_fill_the_page_with_twelve_pictures_each_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = open(desktop(folder.path()), Settings::default(), USUAL);
    let starts = |stage: &Stage| !stage.harness.get_by_label("Start training").accesskit_node().is_disabled();
    assert!(stage.has("pictures for X") && !starts(&stage));
    press(&mut stage, "Choose pictures of X…");
    stage.until("twelve pictures of X", |stage| pictures(stage, "X") == 12);
    assert!(stage.has("Picture 12 of X, 64 by 64 pixels"));
    assert!(stage.has("pictures for Y") && !starts(&stage));
    press(&mut stage, "Choose pictures of Y…");
    stage.until("twelve pictures of Y", |stage| pictures(stage, "Y") == 12);
    assert!(stage.has("A place for the model is missing") && !starts(&stage));
    let recipe = &stage.harness.state().state().new_model.recipe;
    assert_eq!((recipe.title.as_str(), recipe.domain_y.as_str()), ("drawings to boxes", "drawings"));
    press(&mut stage, "Choose where the model goes…");
    stage.until("all is there", |stage| starts(stage));
    let out = stage.harness.state().state().new_model.out.clone();
    assert_eq!(out, Some(folder.path().join("mine.safetensors")));
    // Another size, other pictures.
    press(&mut stage, "Size: 32 pixels");
    stage.until("smaller pictures", |stage| {
        stage.has("Picture 1 of X, 32 by 32 pixels") && stage.has("Picture 12 of Y, 32 by 32 pixels")
    });
    let shown =
        |stage: &Stage| -> Vec<Arc<Picture>> { stage.harness.state().state().new_model.looks[1].pictures().to_vec() };
    let lines = shown(&stage);
    press(&mut stage, "Y is: As they are");
    stage.until("the pictures as they are", |stage| shown(stage) != lines);
    press(&mut stage, "Generator: Take one");
    assert!(stage.has("file of the generator") && !starts(&stage));
    assert_eq!(pictures(&stage, "X"), 0, "nothing is learnt from X then");
    press(&mut stage, "Generator: Train it");
    stage.until("X again", |stage| pictures(stage, "X") == 12 && starts(stage));
    stage.harness.check_accessibility();
}

#[test]
fn dropped_folders_fill_x_then_y_and_others_get_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let x = write_folder(&folder.path().join("boxes"), 17, false);
    let y = write_folder(&folder.path().join("few"), 3, true);
    let mut stage = open(TestDesktop::default(), Settings::default(), USUAL);
    stage.drop_file(x.join("00.png"));
    stage.until("a sentence", |stage| stage.has("One picture is not enough"));
    stage.drop_file(x.clone());
    stage.until("pictures of X", |stage| pictures(stage, "X") == 12);
    stage.drop_file(y);
    stage.until("the sentence about too few pictures", |stage| {
        let look = &stage.harness.state().state().new_model.looks[1];
        look.problem().is_some_and(|problem| problem.sentence.contains("16") && stage.has(&problem.sentence))
    });
    stage.drop_file(x.clone());
    stage.until("a sentence", |stage| stage.has("Both domains have their pictures"));
    let recipe = &stage.harness.state().state().new_model.recipe;
    assert_eq!(recipe.prior, Prior::Train(vec![x]));
    stage.drop_file(folder.path().join("G.safetensors"));
    stage.until("the generator", |stage| {
        matches!(&stage.harness.state().state().new_model.recipe.prior, Prior::File(path) if path.ends_with("G.safetensors"))
    });
}

#[test]
fn a_training_runs_to_its_end_in_the_background_and_its_model_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let desktop = desktop(folder.path());
    let remembered = desktop.remembered.clone();
    let mut stage = open(desktop, Settings::default(), USUAL);
    choose_all(&mut stage, [2, 2, 2]);
    stage.press(Modifiers::COMMAND, Key::Enter);
    assert!(stage.has("New model: drawings to boxes") && stage.has("Generator: "));
    // The counterparts can be looked at meanwhile; a mark in the last line brings the page back.
    stage.press(Modifiers::NONE, Key::Escape);
    assert_eq!(page(&stage), Page::Counterparts);
    stage.harness.get_by_label_contains("Training: ").click();
    stage.until("the page", |stage| page(stage) == Page::NewModel);
    stage.until("samples of the generator", |stage| stage.count("Samples of the generator ") >= 16);
    stage.until("the end", |stage| !matches!(state(stage), Some(RunState::Running)));
    let out = folder.path().join("mine.safetensors");
    assert_eq!(state(&stage), Some(RunState::Finished(out.clone())));
    assert!(stage.has("Encoder: done") && stage.has("The model is ready"));
    assert!(stage.count("G(z), the counterparts ") >= 5, "counterparts of y stay to be seen");
    stage.harness.check_accessibility();
    stage.until("nothing to resume", |_| remembered.lock().unwrap().is_none());
    press(&mut stage, "Try the model now");
    assert_eq!(page(&stage), Page::Counterparts);
    stage.until("the model", |stage| stage.has("Model: drawings to boxes"));
    let source = stage.harness.state().state().model.as_ref().map(|model| model.source.clone());
    assert_eq!(source, Some(ModelSource::File(out)));
    stage.until("its counterparts", |stage| stage.count("Solution ") >= 16);
}

#[test]
fn a_training_is_paused_tried_stopped_and_resumed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = desktop(folder.path());
    let remembered: Arc<Mutex<_>> = first.remembered.clone();
    let mut stage = open(first, Settings::default(), USUAL);
    choose_all(&mut stage, [1, 4000, 1]);
    press(&mut stage, "Start training");
    stage.until("the mapping", |stage| matches!(progress(stage), Some((TrainingStage::Mapping, 2..))));
    stage.press(Modifiers::COMMAND, Key::P);
    stage.until("a pause", |stage| stage.harness.state().state().new_model.is_paused());
    let held = progress(&stage);
    (0..10).for_each(|_| stage.harness.step());
    assert_eq!(progress(&stage), held);
    assert!(stage.has(", paused"));
    press(&mut stage, "Continue training");
    stage.until("more steps", |stage| progress(stage).map(|(_, step)| step) > held.map(|(_, step)| step));
    // Tried while it goes on.
    press(&mut stage, "Try the model now");
    stage.until("the unfinished model", |stage| stage.has("Model: drawings to boxes"));
    assert_eq!(page(&stage), Page::Counterparts);
    assert!(stage.harness.state().state().new_model.is_active());
    stage.harness.get_by_label_contains("Training: mapping").click();
    stage.until("the page", |stage| page(stage) == Page::NewModel);
    press(&mut stage, "Stop training");
    stage.until("the end", |stage| state(stage) == Some(RunState::Stopped));
    let reached = progress(&stage).unwrap().1;
    drop(stage);

    let second = TestDesktop { remembered, ..TestDesktop::default() };
    let mut stage = open(second, Settings::default(), USUAL);
    stage.until("what was not finished", |stage| stage.has("The training of drawings to boxes was stopped"));
    press(&mut stage, "Resume training");
    stage.until("the mapping again", |stage| matches!(progress(stage), Some((TrainingStage::Mapping, _))));
    assert!(progress(&stage).unwrap().1 >= reached, "{:?} after {reached}", progress(&stage));
    press(&mut stage, "Stop training");
    stage.until("the end", |stage| state(stage) == Some(RunState::Stopped));
    press(&mut stage, "Set up another model");
    stage.until("what can be resumed", |stage| stage.has("Resume training"));
    assert!(stage.has("X: what is to be found"));
}

#[test]
fn between_alike_domains_mapping_and_encoder_are_shown_to_learn_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = open(desktop(folder.path()), Settings::default(), USUAL);
    choose_all(&mut stage, [1, 2000, 2000]);
    press(&mut stage, "Y is: As they are");
    let looked =
        |stage: &Stage| stage.harness.state().state().new_model.looks.iter().all(|look| look.reading.is_none());
    stage.until("another look", looked);
    press(&mut stage, "Start training");
    stage.until("both at once", |stage| matches!(progress(stage), Some((TrainingStage::Encoder, 2..))));
    assert!(stage.has("Mapping: now") && stage.has("Encoder: now") && stage.has("T learns together with the encoder"));
    assert!(stage.has("Generator: done") && stage.has(" of 4000 steps"));
    press(&mut stage, "Stop training");
    stage.until("the end", |stage| state(stage) == Some(RunState::Stopped));
}

#[test]
fn a_training_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = open(desktop(folder.path()), Settings::default(), USUAL);
    choose_all(&mut stage, [1, 1, 1]);
    std::fs::remove_dir_all(folder.path().join("drawings")).unwrap();
    press(&mut stage, "Start training");
    stage.until("the end", |stage| matches!(state(stage), Some(RunState::Failed(_))));
    let Some(RunState::Failed(problem)) = state(&stage) else { unreachable!() };
    assert!(problem.sentence.ends_with('.') && stage.has(&problem.sentence), "{problem:?}");
    press(&mut stage, "Set up another model");
    assert!(stage.has("X: what is to be found"));
}

#[test]
fn all_of_the_page_can_be_reached_by_keyboard() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = open(desktop(folder.path()), Settings::default(), USUAL);
    choose_all(&mut stage, [1, 1, 1]);
    let mut reached = Vec::new();
    for _ in 0..60 {
        stage.press(Modifiers::NONE, Key::Tab);
        let focused = stage.harness.query_by(|node| node.is_focused());
        reached.extend(focused.and_then(|node| node.accesskit_node().label()));
    }
    for wanted in [
        "Back to counterparts",
        "Generator: Take one",
        "Choose pictures of X…",
        "Name of X",
        "Y is: Grey",
        "Choose pictures of Y…",
        "Name of Y",
        "Size: 64 pixels",
        "Time: Thorough",
        "Cut to content",
        "Facing: Left",
        "Training seed 1",
        "Title",
        "Licence",
        "Choose where the model goes…",
        "Start training",
    ] {
        assert!(reached.iter().any(|label| label == wanted), "{wanted} is not among {reached:?}");
    }
}

#[test]
fn both_themes_at_both_scales_and_in_a_narrow_window_name_everything() {
    for (dark, scale, size) in [
        (true, 1.0, USUAL),
        (false, 2.0, Vec2::new(1600.0, 1000.0)),
        (false, 1.0, Vec2::new(480.0, 700.0)),
        (true, 2.0, Vec2::new(1000.0, 700.0)),
    ] {
        let settings = Settings { dark: Some(dark), scale, ..Settings::default() };
        let mut stage = open(TestDesktop::default(), settings, size);
        for label in ["Choose pictures of X…", "Choose pictures of Y…", "Start training", "Back to counterparts"] {
            assert!(stage.has(label), "{label} at {scale} in {size}, dark: {dark}");
        }
        stage.harness.check_accessibility();
        // Nothing is wider than the window.
        let right = size.x / scale;
        for node in stage.harness.query_all_by(|node| !node.label().unwrap_or_default().is_empty()) {
            let rect = node.rect();
            assert!(rect.right() <= right + 1.0, "{:?} ends at {}", node.accesskit_node().label(), rect.right());
        }
        stage.harness.step();
    }
}
