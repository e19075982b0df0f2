use super::*;
use crate::model_file::Model;
use crate::nets::Weights;
use candle_core::{DType, Device, Tensor};
use std::path::Path;

fn always(_: usize, _: usize) -> bool {
    true
}

/// Discs of many colours, and squares.
fn write_pictures(folder: &Path, count: usize, round: bool) {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let picture = image::RgbImage::from_fn(40, 40, |x, y| {
            let (dx, dy) = (x.abs_diff(14 + i as u32 % 12), y.abs_diff(20));
            let inside = if round { dx * dx + dy * dy < 100 } else { dx.max(dy) < 9 };
            let shade = (40 + 12 * i % 200) as u8;
            image::Rgb(if inside { [shade, 255 - shade, 90] } else { [255; 3] })
        });
        picture.save(folder.join(format!("{i}.png"))).unwrap();
    }
}

fn recipe(folder: &Path) -> Recipe {
    write_pictures(&folder.join("x"), 18, true);
    write_pictures(&folder.join("y"), 20, false);
    Recipe {
        title: "Discs to squares".into(),
        prior: Prior::Train(vec![folder.join("x")]),
        y: vec![folder.join("y")],
        y_kind: crate::data::YKind::Grey,
        size: 32,
        steps: Some([2, 2, 2]),
        ..Recipe::default()
    }
}

/// All that can be told apart of a model.
fn weights(path: &Path) -> Vec<(String, Vec<f32>)> {
    let tensors = Weights::open(path, &Device::Cpu).unwrap();
    let values = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let mut all: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect();
    assert!(all.len() > 20, "generator, mapping, encoder and perceptual network");
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_training_goes_through_its_stages_to_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.safetensors");
    let mut work = Work::open(recipe(folder.path()), &out, false, &Device::Cpu, &always).unwrap();
    assert_eq!((work.stage(), work.progress()), (Stage::Prior, (0, 2)));
    // Two steps of 0.42, two of 0.27 and two of 0.29, in steps of the first kind.
    assert!((work.steps_left_in_all() - 1.96 / 0.42).abs() < 1e-4);
    assert!(work.try_out().is_err(), "nothing can be tried before there is a mapping");
    let mut stages = Vec::new();
    while work.stage() != Stage::Done {
        let stage = work.stage();
        stages.push(stage);
        let stepped = work.step(&mut always).unwrap();
        let rows: Vec<usize> = stepped.rows.iter().flatten().map(|row| row.pictures.len()).collect();
        match stage {
            Stage::Prior => assert_eq!(rows, [16]),
            Stage::Mapping | Stage::Encoder => assert_eq!(rows, [5, 5, 5], "a quarter is held out"),
            _ => assert!(rows.is_empty()),
        }
        if stage == Stage::Mapping {
            let tried = Model::open(&work.try_out().unwrap(), &Device::Cpu).unwrap();
            assert_eq!(tried.manifest.title, "Discs to squares");
        }
    }
    assert_eq!(
        stages,
        [[Stage::Prior; 2], [Stage::Mapping; 2], [Stage::Encoder; 2]]
            .concat()
            .into_iter()
            .chain([Stage::Measuring])
            .collect::<Vec<_>>()
    );
    let model = Model::open(&out, &Device::Cpu).unwrap();
    assert!(model.encoder.is_some() && model.manifest.held_out.percentiles.len() == 101);
    assert_eq!(model.samples.len(), 5);
    let told: Vec<&str> = model.manifest.training.iter().map(|record| record.stage.as_str()).collect();
    assert_eq!(told, ["prior", "student", "mapping", "encoder"]);
    assert!(Recipe::of_training(&out).is_none(), "its folder is gone");
}

#[test]
fn a_training_that_was_killed_ends_in_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole.safetensors"), folder.path().join("broken.safetensors"));
    let recipe = Recipe { steps: Some([3; 3]), ..recipe(folder.path()) };
    let run = |work: &mut Work| {
        while work.stage() != Stage::Done {
            work.step(&mut always).unwrap();
        }
    };
    run(&mut Work::open(recipe.clone(), &whole, false, &Device::Cpu, &always).unwrap());
    drop(Work::open(recipe.clone(), &broken, false, &Device::Cpu, &always).unwrap());
    for steps in [1, 1, 2, 1, 1] {
        // Killed after a checkpoint and one more step, which is lost where it did not end its stage.
        let mut work = Work::open(Recipe::default(), &broken, true, &Device::Cpu, &always).unwrap();
        assert_eq!(work.recipe(), &recipe);
        (0..steps).for_each(|_| drop(work.step(&mut always).unwrap()));
        work.checkpoint().unwrap();
        if work.stage() != Stage::Measuring {
            work.step(&mut always).unwrap();
        }
    }
    run(&mut Work::open(Recipe::default(), &broken, true, &Device::Cpu, &always).unwrap());
    assert_eq!(weights(&whole), weights(&broken));
}

#[test]
fn what_cannot_be_trained_gets_a_sentence_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.safetensors");
    let good = recipe(folder.path());
    let refused = |recipe: Recipe, resume| match Work::open(recipe, &out, resume, &Device::Cpu, &always) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    };
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let empty = Recipe { y: vec![folder.path().join("empty")], ..good.clone() };
    assert!(refused(empty, false).contains("empty"));
    write_pictures(&folder.path().join("few"), 3, true);
    let few = Recipe { y: vec![folder.path().join("few")], ..good.clone() };
    assert!(refused(few, false).contains("16"));
    assert!(refused(good.clone(), true).contains("no training"));
    assert!(!out.with_extension("training").exists());
    drop(Work::open(good.clone(), &out, false, &Device::Cpu, &always).unwrap());
    assert!(refused(good.clone(), false).contains("unfinished training"));
    assert_eq!(Recipe::of_training(&out), Some(good));
}

#[test]
fn pictures_are_shown_as_the_networks_will_see_them() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let (x, y) = (recipe.look(Domain::X, 12).unwrap(), recipe.look(Domain::Y, 12).unwrap());
    assert_eq!((x.len(), y.len()), (12, 12));
    assert!(x.iter().chain(&y).all(|picture| (picture.width(), picture.height()) == (32, 32)));
    let is_grey = |p: &crate::Picture| p.rgba().chunks_exact(4).all(|p| p[0] == p[1] && p[1] == p[2]);
    assert!(y.iter().all(is_grey) && !x.iter().any(is_grey));
}
