//! Training must learn, and a resumed run must be the run that was never stopped.

use super::*;
use crate::data::Images;
use crate::model_file::LossConfig;
use crate::nam::codes::candidates;
use crate::nam::random::{Purpose, normals, source};
use crate::nam::tests::small_networks;
use crate::nets::{Checkpoint, EncoderConfig, MappingConfig};
use candle_core::Device;
use std::sync::Arc;

fn images(count: usize) -> Images {
    // Smooth blobs: something that a small network can explain.
    let mut values = Vec::new();
    for i in 0..count {
        let place = normals(&mut source(i as u64, Purpose::Pairs, 9), 2);
        for channel in 0..3 {
            for row in 0..32 {
                for column in 0..32 {
                    let (dy, dx) = (row as f32 / 8.0 - 2.0 - place[0], column as f32 / 8.0 - 2.0 - place[1]);
                    values.push((-(dx * dx + dy * dy)).exp() * (0.5 + 0.2 * channel as f32));
                }
            }
        }
    }
    Images::from_tensor(&Tensor::from_vec(values, (count, 3, 32, 32), &Device::Cpu).unwrap()).unwrap()
}

fn given(networks: NetworkSet, count: usize) -> Given {
    Given { generator: networks.generator, images: images(count), perceptual: networks.perceptual }
}

fn mapping() -> MappingConfig {
    MappingConfig { width: 4, size: 32, ..MappingConfig::default() }
}

fn nam(resume: Option<&Path>) -> NamTrainer {
    let networks = small_networks(LossConfig::perceptual(2));
    let settings = NamSettings {
        seed: 3,
        steps: 30,
        batch: 4,
        decay_from: 0.1,
        start_deviation: 1.0,
        learning_rate_mapping: 0.01,
        mapping: mapping(),
        loss: networks.loss.clone(),
        ..NamSettings::default()
    };
    let device = &Device::Cpu;
    match resume {
        None => NamTrainer::new(settings, given(networks, 10), device).unwrap(),
        Some(path) => NamTrainer::resume(path, given(networks, 10), device).unwrap(),
    }
}

fn vae_nam(resume: Option<&Path>) -> VaeNamTrainer {
    let networks = small_networks(LossConfig::perceptual(2));
    let settings = VaeNamSettings {
        seed: 4,
        steps: 40,
        batch: 5,
        warm_up_epochs: 1,
        warm_up_steps: 5,
        mapping: mapping(),
        encoder: EncoderConfig { latent: 8, width: 4, channels: 3, size: 32, variational: true },
        loss: networks.loss.clone(),
        ..VaeNamSettings::default()
    };
    let device = &Device::Cpu;
    match resume {
        None => VaeNamTrainer::new(settings, given(networks, 10), device).unwrap(),
        Some(path) => VaeNamTrainer::resume(path, given(networks, 10), device).unwrap(),
    }
}

fn values(trainer: &dyn Trainer) -> Vec<(String, Vec<f32>)> {
    let mut weights = trainer.mapping_weights().unwrap();
    if let Some(encoder) = trainer.encoder_weights().unwrap() {
        weights.extend_below("encoder.", &encoder);
    }
    weights.iter().map(|(name, t)| (name.clone(), t.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

/// Seven steps, against four steps, a checkpoint and three more.
fn resumes<T: Trainer>(make: impl Fn(Option<&Path>) -> T) -> (T, T) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let (mut through, mut stopped) = (make(None), make(None));
    let reports: Vec<_> = (0..7).map(|_| through.step().unwrap()).collect();
    (0..4).for_each(|_| assert!(stopped.step().is_ok()));
    stopped.save(&path).unwrap();
    drop(stopped);
    let mut resumed = make(Some(&path));
    assert_eq!(resumed.step_count(), 4);
    let rest: Vec<_> = (0..3).map(|_| resumed.step().unwrap()).collect();
    assert_eq!(rest, reports[4..]);
    assert_eq!(values(&through), values(&resumed));
    (through, resumed)
}

#[test]
fn a_resumed_nam_run_is_the_run_that_was_never_stopped() {
    let (through, resumed) = resumes(nam);
    assert_eq!(through.codes(), resumed.codes());
}

#[test]
fn a_resumed_vae_nam_run_is_the_run_that_was_never_stopped() {
    resumes(vae_nam);
}

#[test]
fn an_encoder_learns_for_a_mapping_that_stays_as_it_is() {
    let first = vae_nam(None);
    let mapping = first.mapping_weights().unwrap();
    let make = |resume: Option<&Path>| match resume {
        Some(_) => vae_nam(resume),
        None => {
            let networks = small_networks(LossConfig::perceptual(2));
            let settings = VaeNamSettings { aggregate: 0.1, sleep: 0.05, ..first.settings().clone() };
            VaeNamTrainer::with_mapping(settings, &mapping, given(networks, 10), &Device::Cpu).unwrap()
        }
    };
    let encoder = make(None).encoder_weights().unwrap().unwrap();
    let (through, _) = resumes(make);
    for (name, weight) in mapping.iter() {
        let after = through.mapping_weights().unwrap().get(name, weight.dims()).unwrap();
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&after), values(weight), "{name}");
    }
    let moved = through.encoder_weights().unwrap().unwrap();
    let name = "main.0.weight";
    let distance = (encoder.find(name).unwrap() - moved.find(name).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
    assert!(distance.to_scalar::<f32>().unwrap() > 1e-4);
}

#[test]
fn asleep_an_encoder_learns_the_codes_of_what_is_drawn() {
    let first = vae_nam(None);
    let mapping = first.mapping_weights().unwrap();
    let z = Tensor::from_vec(normals(&mut source(1, Purpose::Pairs, 8), 16 * 8), (16, 8), &Device::Cpu).unwrap();
    let missed = |sleep| {
        let networks = small_networks(LossConfig::perceptual(2));
        let settings = VaeNamSettings { sleep, ..first.settings().clone() };
        let given = given(networks, 10);
        let mut trainer = VaeNamTrainer::with_mapping(settings, &mapping, given, &Device::Cpu).unwrap();
        (0..40).for_each(|_| assert!(trainer.step().is_ok()));
        let networks = trainer.networks().unwrap();
        let drawn = candidates(&networks, &trainer.preview(1).unwrap().y, &z).unwrap().reconstruction;
        let posterior = crate::nam::posterior(&networks, &drawn).unwrap();
        let missed = crate::nam::loss::negative_log_density(&posterior, &z).unwrap();
        missed.mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let (awake, asleep) = (missed(0.0), missed(1.0));
    assert!(asleep < awake - 1.0, "{asleep} {awake}");
}

#[test]
fn asleep_the_mapping_learns_nothing() {
    let after = |sleep| {
        let networks = small_networks(LossConfig::perceptual(2));
        let settings = VaeNamSettings { sleep, ..vae_nam(None).settings().clone() };
        let mut trainer = VaeNamTrainer::new(settings, given(networks, 10), &Device::Cpu).unwrap();
        trainer.step().unwrap();
        values(&trainer)
    };
    let of_encoder = |(name, _): &(String, Vec<f32>)| name.starts_with("encoder.");
    let parts = |sleep| after(sleep).into_iter().partition::<Vec<_>, _>(of_encoder);
    let (little, much) = (parts(1e-6), parts(1e6));
    assert_ne!(little.0, much.0);
    assert_eq!(little.1, much.1);
}

#[test]
fn training_lowers_the_loss() {
    let mut trainers: [Box<dyn Trainer>; 2] = [Box::new(nam(None)), Box::new(vae_nam(None))];
    for trainer in &mut trainers {
        let losses: Vec<f32> = (0..30).map(|_| trainer.step().unwrap().reconstruction).collect();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        assert!(mean(&losses[25..]) < 0.9 * mean(&losses[..5]), "{losses:?}");
        let preview = trainer.preview(3).unwrap();
        assert_eq!(preview.y.dims(), preview.candidates.reconstruction.dims());
        assert_eq!(preview.candidates.losses.len(), 3);
    }
}

#[test]
fn a_wide_encoder_survives_its_first_steps_on_noise() {
    let networks = small_networks(LossConfig::default());
    let noise = normals(&mut source(1, Purpose::Pairs, 7), 8 * 3 * 32 * 32);
    let noise = Tensor::from_vec(noise, (8, 3, 32, 32), &Device::Cpu).unwrap().clamp(-1f32, 1f32).unwrap();
    let settings = VaeNamSettings {
        batch: 8,
        warm_up_epochs: 0,
        mapping: mapping(),
        encoder: EncoderConfig { latent: 8, width: 64, channels: 3, size: 32, variational: true },
        ..VaeNamSettings::default()
    };
    let images = Images::from_tensor(&noise).unwrap();
    let given = Given { generator: networks.generator, images, perceptual: None };
    let mut trainer = VaeNamTrainer::new(settings, given, &Device::Cpu).unwrap();
    let kl: Vec<f32> = (0..15).map(|_| trainer.step().unwrap().kl.unwrap()).collect();
    assert!(kl.iter().all(|kl| *kl < 1e4), "{kl:?}");
}

#[test]
fn held_out_images_are_measured() {
    let networks: Arc<dyn crate::nam::Networks + Send + Sync> = Arc::new(small_networks(LossConfig::default()));
    let settings = HeldOutSettings { images: 5, starts: 2, steps: 3, seed: 1 };
    let mut calls = 0;
    let count = |_, all| {
        calls += 1;
        assert_eq!(all, 3);
        true
    };
    let found = held_out_losses(&networks, &images(6), settings, &Device::Cpu, count).unwrap();
    assert_eq!((found.images, found.percentiles.len(), calls), (5, 101, 3));
    assert!(found.percentiles[0] > 0.0 && found.percentiles[100] >= found.percentiles[0]);
    assert!(held_out_losses(&networks, &images(6), settings, &Device::Cpu, |_, _| false).is_err());
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence() {
    let networks = small_networks(LossConfig::default());
    let settings = NamSettings { mapping: MappingConfig { outputs: 1, ..mapping() }, ..NamSettings::default() };
    let error = NamTrainer::new(settings, given(networks, 2), &Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("3 channels"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    vae_nam(None).save(&path).unwrap();
    let error = Checkpoint::open(&path, "nam").err().unwrap();
    assert!(error.to_string().contains("vae-nam"), "{error}");
    let networks = small_networks(LossConfig::perceptual(2));
    let error = VaeNamTrainer::resume(&path, given(networks, 9), &Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("other images"), "{error}");
}

#[test]
fn an_epoch_shows_every_image_once() {
    let mut order = order::Order::new(5, 10, 3);
    let mut seen: Vec<usize> = (0..3).flat_map(|step| order.rows(step).to_vec()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 9);
    let later = order.rows(3).to_vec();
    assert_eq!(order::Order::new(5, 10, 3).rows(3), later);
    assert_eq!((order.epoch(2), order.epoch(3)), (0, 1));
}

#[test]
fn rates_fall_to_zero() {
    assert_eq!([0, 50, 75, 100].map(|step| decayed(step, 100, 0.5)), [1.0, 1.0, 0.5, 0.0]);
    assert_eq!(decayed(100, 100, 1.0), 1.0);
}

#[test]
fn the_seed_alone_says_which_images_are_held_out() {
    let all = images(10);
    let rows = |part: &Images| -> Vec<usize> {
        let row = |i| (0..10).find(|&row| all.planes(row) == part.planes(i)).unwrap();
        (0..part.len()).map(row).collect()
    };
    let (_, held) = hold_out(&all, 3, 1).unwrap();
    // Models are documented by their seeds: these rows must not change.
    assert_eq!(rows(&held), [3, 8, 9]);
    assert_ne!(rows(&hold_out(&all, 3, 2).unwrap().1), rows(&held));
}
