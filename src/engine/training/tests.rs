use super::*;
use crate::model_file::Model;
use crate::workshop::Prior;
use std::path::Path;
use std::time::{Duration, Instant};

fn recipe(folder: &Path, steps: usize) -> Recipe {
    for (name, round) in [("x", true), ("y", false)] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for i in 0..16u32 {
            let picture = image::RgbImage::from_fn(32, 32, |x, y| {
                let (dx, dy) = (x.abs_diff(10 + i), y.abs_diff(16));
                let inside = if round { dx * dx + dy * dy < 60 } else { dx.max(dy) < 7 };
                image::Rgb(if inside { [10 * i as u8, 90, 160] } else { [255; 3] })
            });
            picture.save(folder.join(name).join(format!("{i}.png"))).unwrap();
        }
    }
    Recipe {
        prior: Prior::Train(vec![folder.join("x")]),
        y: vec![folder.join("y")],
        size: 32,
        steps: Some([steps; 3]),
        ..Recipe::default()
    }
}

fn start(recipe: Recipe, out: &Path, resume: bool) -> Training {
    let settings = EngineSettings { threads: Some(ops_threads()) };
    Training::start(recipe, out.to_owned(), resume, settings, Arc::new(|| {})).unwrap()
}

fn ops_threads() -> usize {
    crate::ops::threads::count()
}

/// Reads frames and events until something holds of one of them.
fn until(
    training: &Training,
    what: &str,
    mut holds: impl FnMut(Option<&TrainingFrame>, Option<&TrainingEvent>) -> bool,
) {
    let begin = Instant::now();
    loop {
        let frame = training.frame();
        if frame.is_some() && holds(frame.as_deref(), None) {
            return;
        }
        if training.events().iter().any(|event| holds(None, Some(event))) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_training_shows_what_it_does_and_ends_with_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.safetensors");
    let training = start(recipe(folder.path(), 2), &out, false);
    let (mut stages, mut sheets) = (Vec::new(), 0);
    until(&training, "end", |frame, event| {
        if let Some(frame) = frame {
            if stages.last() != Some(&frame.stage) {
                stages.push(frame.stage);
            }
            sheets += usize::from(!frame.rows.is_empty());
            let measured = frame.stage == TrainingStage::Measuring;
            assert!(!measured || !frame.losses.is_empty(), "the encoder's losses stay");
        }
        match event {
            Some(TrainingEvent::Finished(path)) => path == &out,
            Some(other) => panic!("{other:?}"),
            None => false,
        }
    });
    assert!(training.is_over() && sheets > 0 && stages.len() > 1, "{stages:?}");
    assert!(Model::open(&out, &candle_core::Device::Cpu).unwrap().encoder.is_some());
}

#[test]
fn a_training_can_be_held_tried_stopped_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.safetensors");
    let training = start(recipe(folder.path(), 400), &out, false);
    training.try_now();
    until(&training, "answer", |_, event| matches!(event, Some(TrainingEvent::NotYet(_))));
    training.pause();
    until(&training, "pause", |frame, _| frame.is_some_and(|frame| frame.paused));
    std::thread::sleep(Duration::from_millis(100));
    assert!(training.frame().is_none(), "it holds");
    training.go_on();
    until(&training, "step", |frame, _| frame.is_some_and(|frame| !frame.paused && frame.progress.0 > 0));
    training.stop();
    until(&training, "end", |_, event| matches!(event, Some(TrainingEvent::Stopped)));
    assert!(!out.exists() && Recipe::of_training(&out).is_some());
    let resumed = start(Recipe::default(), &out, true);
    until(&resumed, "step", |frame, _| {
        frame.is_some_and(|frame| frame.stage == TrainingStage::Prior && frame.progress.0 > 1)
    });
    drop(resumed);
    assert!(Recipe::of_training(&out).is_some(), "dropping it leaves the checkpoint");
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let training = start(Recipe::default(), &folder.path().join("m.safetensors"), false);
    until(
        &training,
        "failure",
        |_, event| matches!(event, Some(TrainingEvent::Failed(problem)) if problem.sentence.contains("for X")),
    );
}
