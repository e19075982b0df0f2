use super::judge::{HeldOutWatch, SampleWatch, Watched};
use super::*;
use crate::data::Images;
use crate::model_file::{LossConfig, Model, Part, TrainingRecord, embedded};
use crate::nam::train::{Given, Trainer, VaeNamSettings, VaeNamTrainer};
use crate::nets::weights::normal_values;
use crate::nets::{EncoderConfig, Generator, GeneratorConfig, MappingConfig, Weights};
use crate::plan::tests::lively;
use crate::prior;
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::Path;
use std::sync::Arc;

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
fn a_prior_says_whether_it_learned_to_reconstruct() {
    let told = |id: &str| {
        let model = embedded::all().iter().find(|model| model.id == id).unwrap();
        let prior: Part<GeneratorConfig> = Part::from_bytes(id, model.bytes, &Device::Cpu).unwrap();
        super::networks::reconstructs(&prior)
    };
    assert_eq!(["edges_to_shoes", "bags_to_shoes"].map(told), [false; 2], "SN-GAN");
    assert_eq!(["cars_to_cars", "emoji_to_emoji"].map(told), [true; 2], "VAE");
}

#[test]
fn between_alike_domains_the_mapping_learns_together_with_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name).with_extension("safetensors"));
    let recipe = Recipe { y_kind: crate::data::YKind::AsIs, ..recipe(folder.path()) };
    let mut work = Work::open(recipe.clone(), &whole, false, &Device::Cpu, &always).unwrap();
    // Two steps of 0.42 and four of 0.29, in steps of the first kind.
    assert!(work.learns_together() && (work.steps_left_in_all() - 2.0 / 0.42).abs() < 1e-4);
    let mut stages = Vec::new();
    while work.stage() != Stage::Done {
        stages.push(work.stage());
        work.step(&mut always).unwrap();
        if work.stage() == Stage::Encoder {
            let tried = Model::open(&work.try_out().unwrap(), &Device::Cpu).unwrap();
            assert!(tried.encoder.is_some(), "both are there from the first step on");
        }
    }
    assert_eq!(stages[..6], [[Stage::Prior; 2].as_slice(), &[Stage::Encoder; 4]].concat());
    assert_eq!(stages[6..], [Stage::Measuring]);
    let model = Model::open(&whole, &Device::Cpu).unwrap();
    let told = |record: &TrainingRecord| (record.stage.clone(), record.method.clone(), record.steps);
    let told: Vec<_> = model.manifest.training.iter().map(told).collect();
    assert_eq!(told[2..], [("mapping".into(), "vae-nam".into(), 4), ("encoder".into(), "vae-nam".into(), 4)]);
    let [.., mapping, encoder] = &model.manifest.training[..] else { panic!() };
    assert!(mapping.seconds > 0.0 && mapping.seconds == encoder.seconds, "the time of both");
    // Both go on from one checkpoint.
    drop(Work::open(recipe, &broken, false, &Device::Cpu, &always).unwrap());
    for steps in [3, 1, 1] {
        let mut work = Work::open(Recipe::default(), &broken, true, &Device::Cpu, &always).unwrap();
        (0..steps).for_each(|_| drop(work.step(&mut always).unwrap()));
        work.checkpoint().unwrap();
    }
    let mut work = Work::open(Recipe::default(), &broken, true, &Device::Cpu, &always).unwrap();
    while work.stage() != Stage::Done {
        work.step(&mut always).unwrap();
    }
    assert_eq!(weights(&whole), weights(&broken));
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

/// Blobs at places and in colours of their own, `[count, 3, 32, 32]`; those of other seeds are others of the same kind.
fn blobs(count: usize, seed: u64) -> Images {
    let random = normal_values(&mut StdRng::seed_from_u64(seed), 5 * count, 0.0, 1.0);
    let mut values = Vec::new();
    for own in random.chunks_exact(5) {
        for (channel, row, column) in (0..3 * 32 * 32).map(|i| (i / 1024, i / 32 % 32, i % 32)) {
            let (dy, dx) = (row as f32 / 6.0 - 2.6 - 0.8 * own[0], column as f32 / 6.0 - 2.6 - 0.8 * own[1]);
            values.push((-(dx * dx + dy * dy)).exp() * (1.0 + 0.5 * own[2 + channel]) - 0.5);
        }
    }
    Images::from_tensor(&Tensor::from_vec(values, (count, 3, 32, 32), &Device::Cpu).unwrap()).unwrap()
}

/// Pictures that have nothing in common with one another.
fn noise(count: usize, seed: u64) -> Images {
    let values = normal_values(&mut StdRng::seed_from_u64(seed), count * 3 * 32 * 32, 0.0, 0.6);
    Images::from_tensor(&Tensor::from_vec(values, (count, 3, 32, 32), &Device::Cpu).unwrap()).unwrap()
}

/// The warnings of a VAE-NAM training, looked at ten times.
fn warnings(images: Images, held: &Images, beta: f64) -> Vec<Warning> {
    let config = GeneratorConfig { latent: 8, width: 4, size: 32, ..GeneratorConfig::default() };
    let generator = Generator::new(&config, &lively(&config, 1)).unwrap();
    let given = Given { generator: Arc::new(generator), images, perceptual: None };
    let settings = VaeNamSettings {
        steps: 200,
        batch: 6,
        beta,
        warm_up_epochs: 0,
        warm_up_steps: 10,
        shift: 0,
        mapping: MappingConfig { width: 6, size: 32, ..MappingConfig::default() },
        encoder: EncoderConfig { latent: 8, width: 8, size: 32, ..EncoderConfig::default() },
        loss: LossConfig::default(),
        ..VaeNamSettings::default()
    };
    let mut trainer = VaeNamTrainer::new(settings, given, &Device::Cpu).unwrap();
    let (mut watch, mut all) = (HeldOutWatch::default(), Vec::new());
    for look in 1..=10 {
        for _ in 0..20 {
            trainer.step().unwrap();
        }
        let found = Watched::find(trainer.networks().unwrap(), held, &Device::Cpu, 1).unwrap();
        all.extend(watch.loss(found.loss));
        all.extend(found.warning().filter(|_| look >= 4));
    }
    all
}

#[test]
fn trainings_that_go_wrong_are_warned_of_and_a_healthy_one_is_not() {
    assert_eq!(warnings(blobs(60, 1), &blobs(8, 2), 1e-4), []);
    // What has nothing in common with anything cannot be told apart by its counterparts.
    let foreign = warnings(noise(6, 1), &noise(8, 2), 0.0);
    assert!(foreign.contains(&Warning::IgnoresY) && !foreign.contains(&Warning::Overfitted), "{foreign:?}");
    // The divergence outweighs everything: the posterior is the prior, whatever y is.
    let collapsed = warnings(blobs(60, 1), &blobs(8, 2), 30.0);
    assert!(collapsed.contains(&Warning::IgnoresY), "{collapsed:?}");
}

#[test]
fn a_generator_that_collapses_is_warned_of_and_a_healthy_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    write_pictures(folder.path(), 32, true);
    let open = |i: usize| crate::data::load_picture(folder.path().join(format!("{i}.png"))).unwrap();
    let preparation = crate::data::Preparation { size: 32, ..Default::default() };
    let pictures: Vec<_> = (0..32).map(|i| crate::data::prepare(&open(i), &preparation)).collect();
    let images = Images::from_pictures(&pictures, 3).unwrap();
    // The divergence of a VAE outweighs everything: what it draws is the mean of all pictures.
    for (kl, wanted) in [(1e-4, None), (10.0, Some(Warning::Collapsed))] {
        let settings = prior::Settings {
            method: prior::Method::Vae,
            generator: GeneratorConfig { latent: 16, width: 8, size: 32, ..GeneratorConfig::default() },
            critic_width: 8,
            batch: 8,
            steps: 150,
            learning_rate: 0.002,
            second_learning_rate: 0.002,
            average: 0.9,
            kl,
            ..prior::Settings::default()
        };
        let mut trainer = prior::Trainer::new(settings, images.clone(), None, &Device::Cpu).unwrap();
        let mut watch = SampleWatch::new(&pictures[..16]);
        let mut last = None;
        for step in 1..=150 {
            trainer.step().unwrap();
            if step % 30 == 0 {
                last = watch.look(&trainer.samples(16).unwrap(), step >= 60);
                assert!(last.is_none() || wanted.is_some(), "a healthy training was warned of at step {step}");
            }
        }
        assert_eq!(last, wanted);
    }
}
