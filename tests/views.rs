//! The window's views, driven by their accessible names, with a small model of random weights behind them.

#[path = "support/stage.rs"]
mod stage;
mod support;

use counterpart::Picture;
use counterpart::app::command::Command;
use counterpart::app::desktop::Clipping;
use counterpart::app::state::{Comparison, Phase, Settings};
use counterpart::data::Treatment;
use counterpart::engine::{Ending, SolveDevice, StartFrom};
use counterpart::gpu::{self, Look, Mode, Painter};
use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use stage::{Stage, TestDesktop};
use std::sync::Arc;

#[test]
fn it_opens_on_a_model_with_counterparts_of_its_first_sample() {
    let mut stage = Stage::usual();
    stage.until("sixteen solutions", |stage| stage.count("Solution ") >= 16);
    stage.until("samples without refinement", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    assert!(stage.has("Model: Random"));
    assert_eq!(stage.step(), 0, "nothing runs before a person gave a picture");
    for rank in 1..=16 {
        assert!(stage.has(&format!("Solution {rank}, loss ")), "solution {rank} has a name");
    }
    stage.harness.get_by_label("Sample 3").click();
    stage.until("the third sample", |stage| {
        stage.harness.state().state().input.as_ref().is_some_and(|input| input.name == "Sample 3")
    });
    stage.harness.check_accessibility();
}

#[test]
fn a_dropped_drawing_is_sampled_refined_paused_and_stopped() {
    let mut stage = Stage::usual();
    stage.drop_drawing("shoe.png", 80);
    assert!(stage.has("What the model sees, 32 by 32 pixels"));
    stage.until("steps", |stage| stage.step() >= 2);
    assert!(stage.has("Loss curves of 16 starts"));
    stage.harness.get_by_label("Pause").click();
    stage.until("pause", |stage| stage.phase() == Some(Phase::Paused));
    let held = stage.step();
    (0..10).for_each(|_| stage.harness.step());
    assert_eq!(stage.step(), held);
    stage.harness.get_by_label("Continue").click();
    stage.until("more steps", |stage| stage.step() > held);
    stage.harness.get_by_label("Stop").click();
    stage.until("end", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    let losses: Vec<f32> = {
        let state = stage.harness.state().state();
        let (search, frame) = (state.search.as_ref().unwrap(), state.frame().unwrap());
        search.order.iter().map(|&start| frame.solutions[start].loss).collect()
    };
    assert!(losses.is_sorted(), "the wall is sorted: {losses:?}");
    let seed = stage.harness.state().state().settings.seed;
    stage.harness.get_by_label("Re-roll").click();
    stage.until("other solutions", |stage| {
        stage.harness.state().state().search.as_ref().is_some_and(|search| search.seed == seed + 1)
            && stage.phase() == Some(Phase::Refining)
    });
}

#[test]
fn the_wall_and_the_commands_work_by_keyboard() {
    let mut stage = Stage::usual();
    stage.until("solutions", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    stage.harness.get_by_label_contains("Solution 1, loss").focus();
    stage.harness.step();
    let rank = |stage: &Stage| {
        let search = stage.harness.state().state().search.clone().unwrap();
        search.rank(search.chosen)
    };
    stage.press(Modifiers::NONE, Key::ArrowRight);
    assert_eq!(rank(&stage), 1);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    assert_eq!(rank(&stage), 2);
    stage.press(Modifiers::NONE, Key::End);
    assert_eq!(rank(&stage), 15);
    assert!(stage.has("Chosen solution 16, loss"));
    stage.press(Modifiers::COMMAND, Key::B);
    assert_eq!(rank(&stage), 0);
    stage.press(Modifiers::COMMAND, Key::Num3);
    assert_eq!(stage.harness.state().state().settings.comparison, Comparison::Split);
    assert!(stage.has("Input left, reconstruction right of a divider at 50 percent"));
    stage.harness.get_by_label_contains("Input left, reconstruction right").focus();
    stage.harness.step();
    stage.press(Modifiers::NONE, Key::ArrowRight);
    assert!(stage.has("divider at 52 percent"));
    stage.press(Modifiers::COMMAND, Key::K);
    stage.harness.get_by_label("Find a command").type_text("heat");
    stage.harness.step();
    stage.press(Modifiers::NONE, Key::Enter);
    assert_eq!(stage.harness.state().state().settings.comparison, Comparison::Heat);
    assert!(stage.harness.state().state().palette.is_none());
}

#[test]
fn starts_and_where_they_begin_can_be_chosen_by_pointer_and_by_keyboard() {
    let mut stage = Stage::usual();
    let sampled = |stage: &Stage| stage.phase() == Some(Phase::Over(Ending::Sampled));
    let pictures = |stage: &Stage| -> Vec<Arc<Picture>> {
        let frame = stage.harness.state().state().frame().unwrap();
        frame.solutions.iter().map(|solution| solution.x.picture().unwrap()).collect()
    };
    stage.until("samples", sampled);
    let posterior = pictures(&stage);
    stage.press(Modifiers::COMMAND, Key::K);
    stage.harness.get_by_label("Find a command").type_text("refine by");
    stage.harness.step();
    stage.press(Modifiers::NONE, Key::Enter);
    assert!(!stage.harness.state().state().settings.refine, "only samples from here on");
    stage.harness.get_by_label("Starts: 8").click();
    stage
        .until("eight solutions", |stage| sampled(stage) && stage.count("Solution ") > 8 && !stage.has("Solution 9, "));
    assert_eq!(pictures(&stage).len(), 8);
    assert!(stage.has("Loss curves of 8 starts"));
    stage.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::ArrowUp);
    stage.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::ArrowUp);
    stage.until("thirty-two solutions", |stage| sampled(stage) && stage.has("Solution 32, "));
    stage.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::ArrowDown);
    stage.until("sixteen solutions", |stage| sampled(stage) && pictures(stage).len() == 16);
    assert_eq!(pictures(&stage), posterior, "the same seed and starts, the same samples");
    stage.harness.get_by_label("Begin at: Prior").focus();
    stage.harness.step();
    stage.press(Modifiers::NONE, Key::Space);
    assert_eq!(stage.harness.state().state().settings.from, StartFrom::Prior);
    stage.until("other samples", |stage| sampled(stage) && pictures(stage) != posterior);
    stage.harness.check_accessibility();
}

#[test]
fn the_device_that_refines_is_chosen_in_the_menu() {
    let mut stage = Stage::usual();
    stage.until("solutions", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    let device = |stage: &Stage| stage.harness.state().state().settings.device;
    let choose = |stage: &mut Stage, label: &str| {
        stage.harness.get_by_role_and_label(Role::Button, "Search").click();
        stage.harness.run_steps(3);
        for entry in ["Device", label] {
            stage.harness.get_by_label_contains(entry).click();
            stage.harness.run_steps(3);
        }
    };
    assert_eq!(device(&stage), SolveDevice::Auto);
    // Whatever graphics processor there is, a software one in CI, or none: the search is refined.
    choose(&mut stage, "Refine on the graphics processor");
    assert_eq!(device(&stage), SolveDevice::Gpu);
    stage.until("steps", |stage| stage.step() > 3);
    choose(&mut stage, "Refine on the CPU");
    assert_eq!(device(&stage), SolveDevice::Cpu);
    stage.until("steps", |stage| stage.step() > 3);
    stage.harness.check_accessibility();
}

#[test]
fn pictures_go_to_the_screen_without_leaving_the_device_that_draws() {
    let settings = Settings { device: SolveDevice::Gpu, starts: 8, ..Settings::default() };
    let mut stage = Stage::drawn(settings);
    let on_device = |stage: &Stage| {
        let frame = stage.harness.state().state().frame();
        frame.is_some_and(|frame| frame.solutions.iter().all(|s| s.x.is_on_device() && s.reconstruction.is_on_device()))
    };
    stage.drop_drawing("shoe.png", 80);
    stage.until("steps whose pictures are on the device", |stage| stage.step() >= 2 && on_device(stage));
    // Several frames are drawn while the search writes the next pictures.
    for _ in 0..3 {
        let step = stage.step();
        stage.harness.render().expect("a Vulkan driver, such as that of mesa-vulkan-drivers");
        stage.until("another step", |stage| stage.step() > step);
    }
    stage.harness.get_by_label("Pause").click();
    stage.until("pause", |stage| stage.phase() == Some(Phase::Paused));
    assert!(on_device(&stage));
    let shown = stage.harness.render().unwrap();
    let (search, frame) = {
        let state = stage.harness.state().state();
        (state.search.clone().unwrap(), state.frame().unwrap().clone())
    };
    let mean = |pixels: &mut dyn Iterator<Item = [u8; 4]>| {
        let (mut sum, mut count) = ([0.0; 3], 0.0);
        for pixel in pixels {
            (0..3).for_each(|c| sum[c] += f64::from(pixel[c]));
            count += 1.0;
        }
        sum.map(|sum| sum / count)
    };
    for (rank, &start) in search.order.iter().enumerate() {
        let place = stage.harness.get_by_label_contains(&format!("Solution {}, loss ", rank + 1)).rect();
        let [left, top, right, bottom] =
            [place.left(), place.top(), place.right(), place.bottom()].map(|side| side as u32);
        let pixels = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
        let found = mean(&mut pixels.map(|(x, y)| shown.get_pixel(x, y).0));
        // Asked for, the pictures are brought to memory.
        let picture = frame.solutions[start].x.picture().unwrap();
        let wanted = mean(&mut picture.rgba().chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2], pixel[3]]));
        // The hairline around a view belongs to the theme.
        let close = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 6.0);
        assert!(close, "solution {}: {found:?} on the screen instead of {wanted:?}", rank + 1);
    }
    if let Some(path) = std::env::var_os("COUNTERPART_SCREENSHOT") {
        shown.save(path).unwrap();
    }
}

#[test]
fn the_step_limit_is_typed_in_and_heeded_by_the_search_that_runs() {
    let mut stage = Stage::usual();
    stage.drop_drawing("shoe.png", 80);
    stage.press(Modifiers::COMMAND, Key::P);
    stage.until("pause", |stage| stage.phase() == Some(Phase::Paused));
    let held = stage.step();
    stage.harness.get_by_label("Stop after 500 steps").focus();
    stage.harness.step();
    stage.harness.get_by_label("Stop after 500 steps").type_text("12");
    stage.harness.step();
    assert_eq!(stage.harness.state().state().settings.step_limit, 500, "not while it is being typed");
    stage.press(Modifiers::NONE, Key::Enter);
    assert_eq!(stage.harness.state().state().settings.step_limit, 12);
    assert!(stage.has("Stop after 12 steps"));
    stage.harness.get_by_label("Continue").click();
    stage.until("end", |stage| stage.phase() == Some(Phase::Over(Ending::StepLimit)));
    let wanted = if held < 12 { 12 } else { held + 12 };
    assert_eq!(stage.step(), wanted);
}

#[test]
fn a_picture_like_those_that_the_model_knows_is_told_so() {
    let mut stage = Stage::measured(1e6);
    stage.until("samples", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    assert!(stage.has("How well it fits: known after 3 steps."), "samples alone say nothing");
    assert!(stage.has("Belonging unknown."));
    stage.drop_drawing("shoe.png", 80);
    stage.until("the sentence", |stage| stage.has("Looks like the drawings that this model knows."));
    assert!(stage.has("Belonging 100 percent."));
    assert!(!stage.has("switch from"), "nothing else needs to be tried");
}

#[test]
fn a_picture_unlike_what_the_model_knows_is_told_so_with_what_to_try() {
    let mut stage = Stage::measured(1e-6);
    stage.drop_drawing("stranger.png", 80);
    stage.until("the sentence", |stage| {
        stage.has("Unlike the drawings that this model knows: expect poor counterparts.")
    });
    assert!(stage.has("Belonging 0 percent."));
    assert!(stage.has("If this is a photograph, switch from Drawing to Photo."));
    let treatment = |stage: &Stage| stage.harness.state().state().choices().unwrap().treatment;
    assert_eq!(treatment(&stage), Treatment::Drawing);
    stage.harness.get_by_label("Treat as photograph").click();
    stage.until("the other switch", |stage| stage.has("If this is a drawing, switch from Photo to Drawing."));
    assert_eq!(treatment(&stage), Treatment::EdgesFromPhoto);
    stage.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::D);
    stage.until("the first switch again", |stage| stage.has("switch from Drawing to Photo"));
    assert_eq!(treatment(&stage), Treatment::Drawing);
    stage.harness.check_accessibility();
}

#[test]
fn a_washed_out_photograph_taken_for_a_drawing_leads_to_the_switch() {
    let mut stage = Stage::measured(1e6);
    let path = stage.folder.path().join("pale.png");
    support::write_png(&path, &support::pale_photograph(300));
    stage.drop_file(path);
    stage.until("what the model sees", |stage| {
        stage.harness.state().state().input.as_ref().is_some_and(|input| input.name == "pale.png" && input.y.is_some())
    });
    let treatment = stage.harness.state().state().choices().unwrap().treatment;
    assert_eq!(treatment, Treatment::Drawing, "it is taken for a drawing");
    assert!(stage.has("The model sees an empty picture: there is nothing to explain."));
    assert!(stage.has("If this is a photograph, switch from Drawing to Photo."));
    stage.until("steps", |stage| stage.step() > 3);
    assert!(stage.has("Belonging unknown."), "an empty picture is explained well and belongs to nothing");
    stage.harness.get_by_label("Treat as photograph").click();
    stage.until("the line drawing", |stage| {
        stage.harness.state().state().choices().unwrap().treatment == Treatment::EdgesFromPhoto
    });
}

#[test]
fn sliders_move_the_chosen_solution_while_it_is_refined() {
    let mut stage = Stage::usual();
    stage.drop_drawing("shoe.png", 90);
    stage.until("directions", |stage| stage.has("Direction 1, standard deviation"));
    stage.harness.get_by_label_contains("Direction 1, standard deviation").focus();
    stage.harness.step();
    for _ in 0..12 {
        stage.press(Modifiers::NONE, Key::ArrowRight);
    }
    stage.until("the moved picture", |stage| stage.has("moved by the sliders"));
    let state = stage.harness.state().state();
    let search = state.search.as_ref().unwrap();
    let (scrub, frame) = (search.scrub.as_ref().unwrap(), search.frame.as_ref().unwrap());
    assert_eq!(scrub.start, search.chosen);
    let pictures = [&scrub.solution.x, &frame.solutions[search.chosen].x].map(|image| image.picture().unwrap());
    assert_ne!(pictures[0], pictures[1], "the slider changes the picture");
    stage.press(Modifiers::COMMAND, Key::Backspace);
    assert!(!stage.has("moved by the sliders"));
}

#[test]
fn what_is_no_picture_gets_a_sentence_and_the_window_goes_on() {
    let mut stage = Stage::usual();
    let text = stage.folder.path().join("notes.png");
    std::fs::write(&text, "just words").unwrap();
    let half = stage.folder.path().join("half.safetensors");
    let model = std::fs::read(stage.folder.path().join("random.safetensors")).unwrap();
    std::fs::write(&half, &model[..model.len() / 2]).unwrap();
    let missing = stage.folder.path().join("missing.png");
    for (number, path) in [text, half, missing].into_iter().enumerate() {
        stage.drop_file(path);
        stage.until("a sentence", |stage| stage.harness.state().state().toasts.len() > number);
    }
    for toast in stage.harness.state().state().toasts.clone() {
        assert!(toast.is_error && toast.problem.sentence.ends_with('.'), "{toast:?}");
        assert!(stage.has(&toast.problem.sentence), "{toast:?}");
    }
    stage.until("the first model again", |stage| stage.has("Model: Random"));
    stage.harness.get_all_by_label("Close").next().unwrap().click();
    stage.until("one message less", |stage| stage.harness.state().state().toasts.len() == 2);
    stage.drop_drawing("after.png", 60);
}

#[test]
fn a_dialog_that_cannot_be_opened_says_so() {
    let mut stage = Stage::usual();
    stage.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::O);
    stage.until("the sentence", |stage| stage.has("No file dialog could be opened."));
    assert!(!stage.harness.state().state().in_dialog);
}

#[test]
fn pictures_come_from_dialogs_and_the_clipboard_too() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("chosen.png");
    support::write_png(&picture, &support::drawing(120, 50));
    let clipping = Some(Clipping::Picture(support::drawing(100, 30)));
    let desktop = TestDesktop { picture: Some(picture), clipping, ..TestDesktop::default() };
    let mut stage = Stage::new(desktop, Settings::default(), Vec2::new(1360.0, 860.0));
    let named = |name: &'static str| {
        move |stage: &Stage| stage.harness.state().state().input.as_ref().is_some_and(|input| input.name == name)
    };
    stage.press(Modifiers::COMMAND, Key::O);
    stage.until("the chosen picture", named("chosen.png"));
    stage.press(Modifiers::COMMAND, Key::V);
    stage.until("the pasted picture", named("Pasted picture"));
}

#[test]
fn the_wall_is_exported_as_a_png() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wall");
    let desktop = TestDesktop { export: Some(path.clone()), ..TestDesktop::default() };
    let mut stage = Stage::new(desktop, Settings::default(), Vec2::new(1360.0, 860.0));
    stage.until("solutions", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    stage.press(Modifiers::COMMAND, Key::E);
    stage.until("the message", |stage| stage.has("The wall is in "));
    let wall = image::open(path.with_extension("png")).unwrap();
    assert!(wall.width() > 900 && wall.height() > 700, "{}x{}", wall.width(), wall.height());
}

#[test]
fn an_export_into_nowhere_gets_a_sentence() {
    let desktop = TestDesktop { export: Some("/nonexistent/wall.png".into()), ..TestDesktop::default() };
    let mut stage = Stage::new(desktop, Settings::default(), Vec2::new(1360.0, 860.0));
    stage.until("solutions", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    stage.press(Modifiers::COMMAND, Key::E);
    stage.until("the sentence", |stage| stage.harness.state().state().toasts.iter().any(|toast| toast.is_error));
    assert!(!stage.harness.state().state().exporting);
}

#[test]
fn both_themes_at_both_scales_and_in_a_narrow_window_name_everything() {
    for (dark, scale, size) in [
        (true, 1.0, Vec2::new(1360.0, 860.0)),
        (false, 1.0, Vec2::new(1360.0, 860.0)),
        (true, 2.0, Vec2::new(1600.0, 1000.0)),
        (false, 2.0, Vec2::new(1000.0, 700.0)),
        (true, 1.0, Vec2::new(480.0, 700.0)),
    ] {
        let settings = Settings { dark: Some(dark), scale, ..Settings::default() };
        let mut stage = Stage::new(TestDesktop::default(), settings, size);
        stage.until("solutions", |stage| stage.count("Solution ") >= 16);
        for label in ["Open picture…", "Paste picture", "Counterparts", "Search", "Directions"] {
            assert!(stage.has(label), "{label} at {scale} in {size}, dark: {dark}");
        }
        stage.harness.check_accessibility();
        let wanted = if dark { egui::Theme::Dark } else { egui::Theme::Light };
        assert_eq!(stage.harness.ctx.theme(), wanted);
    }
}

#[test]
fn every_command_of_the_menus_can_be_found() {
    let mut stage = Stage::usual();
    stage.until("solutions", |stage| matches!(stage.phase(), Some(Phase::Over(_))));
    stage.press(Modifiers::NONE, Key::F1);
    for command in Command::ALL.into_iter().filter(|command| command.shortcut().is_some()) {
        assert!(stage.has(command.label()), "{command:?} is on the page of shortcuts");
    }
}

/// Two views side by side, drawn by the shader.
struct Pair {
    painter: Painter,
    pictures: [Arc<Picture>; 2],
    look: Look,
}

impl eframe::App for Pair {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let rectangle = egui::Rect::from_min_size(egui::pos2(7.0, 11.0), Vec2::new(96.0, 80.0));
        let [a, b] = [&self.pictures[0], &self.pictures[1]].map(gpu::Image::from);
        self.painter.paint(ui, rectangle, egui::Id::unique("pair"), (&a, Some(&b)), &self.look);
    }
}

#[test]
fn the_shader_draws_what_the_cpu_computes() {
    let noise = |(width, height): (usize, usize), seed: u32| {
        let mut state = seed;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let rgba = (0..4 * width * height).map(|i| if i % 4 == 3 { 255 } else { byte() }).collect();
        Arc::new(Picture::new(width, height, rgba).unwrap())
    };
    // Smaller than the view, and larger.
    let small = [noise((12, 10), 1), noise((12, 10), 2)];
    let large = [noise((500, 300), 3), noise((12, 10), 2)];
    let modes = [Mode::Picture, Mode::Difference { gain: 1.5 }, Mode::Heat { gain: 0.8 }, Mode::Split { at: 0.37 }];
    let ways = modes.into_iter().flat_map(|mode| [(mode, true, &small), (mode, false, &small), (mode, true, &large)]);
    for (mode, smooth, pictures) in ways {
        let look = Look { mode, smooth, radius: 5.0, ..Look::default() };
        let expected = gpu::render(&look, &pictures[0], &pictures[1], 96, 80, 1.0);
        let pictures = pictures.clone();
        let mut harness = Harness::builder().with_size(Vec2::new(120.0, 100.0)).wgpu().build_eframe(|creation| Pair {
            painter: Painter::new(creation.wgpu_render_state.as_ref()),
            pictures,
            look,
        });
        harness.step();
        let drawn = harness.render().expect("a Vulkan driver, such as that of mesa-vulkan-drivers");
        let mut worst = 0;
        for (x, y) in (0..80).flat_map(|y| (0..96).map(move |x| (x, y))) {
            let wanted = expected.pixel(x, y).unwrap();
            if wanted[3] == 255 {
                let found = drawn.get_pixel(x as u32 + 7, y as u32 + 11).0;
                let off = (0..3).map(|c| wanted[c].abs_diff(found[c])).max().unwrap_or(0);
                worst = worst.max(off);
            }
        }
        // Drivers blend with eight bits between texels.
        assert!(worst <= 6, "{mode:?}, smooth: {smooth}: {worst} of 255 off");
    }
}
