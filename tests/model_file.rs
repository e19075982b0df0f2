//! Model files: what is saved comes back, and a bad file is refused with a sentence, never with a panic and never
//! with an allocation that only its header asks for.

use candle_core::{Device, Tensor};
use counterpart::model_file::{HeldOut, LossConfig, Manifest, Model, Storage, TrainingRecord, write_tensors};
use counterpart::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig, Statistics, Weights};
use counterpart::{Error, Picture};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Remembers the largest allocation of the process.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// A small model with everything a model can have.
fn small_model() -> Model {
    let generator = GeneratorConfig { latent: 6, width: 2, channels: 3, size: 32, layers: Vec::new() };
    let mapping = MappingConfig { width: 2, inputs: 3, outputs: 1, size: 32, skip: false, source: 0 };
    let encoder = EncoderConfig { latent: 6, width: 2, channels: 1, size: 32, variational: true };
    let perceptual = PerceptualConfig { widths: vec![2, 2, 3, 3, 4, 4], ..Default::default() };
    let mut weights = Weights::default();
    let device = &Device::Cpu;
    weights.extend_below("generator.", &generator.initial_weights(1, device).unwrap());
    weights.extend_below("mapping.", &mapping.initial_weights(2, device).unwrap());
    weights.extend_below("encoder.", &encoder.initial_weights(3, device).unwrap());
    weights.extend_below("perceptual.", &perceptual.initial_weights(4, device).unwrap());
    let losses: Vec<f32> = (0..50).map(|i| 0.1 + i as f32 * 0.01).collect();
    let manifest = Manifest {
        title: "Squares to circles".into(),
        domain_x: "circles: \"round\" ones".into(),
        domain_y: "squares".into(),
        loss: LossConfig::perceptual(3),
        training: vec![TrainingRecord { stage: "prior".into(), method: "vae".into(), seed: 7, ..Default::default() }],
        held_out: HeldOut::from_losses(&losses, 2, 10),
        licence: "MIT\nwith a second line".into(),
        ..Manifest::new(generator, mapping, Some(encoder), Some(perceptual))
    };
    let samples = vec![Picture::filled(32, 32, [255, 255, 255, 255]), Picture::filled(32, 32, [9, 9, 9, 255])];
    Model::new(manifest, weights, samples, device).unwrap()
}

fn saved(storage: Storage) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    small_model().save(&path, storage).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes)
}

fn refused(bytes: &[u8]) -> Error {
    Model::from_bytes("bad.safetensors", bytes, &Device::Cpu).expect_err("a bad file was opened")
}

/// The file with its header's JSON changed, its length brought in line.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let text = header.to_string();
    let mut changed = (text.len() as u64).to_le_bytes().to_vec();
    changed.extend(text.as_bytes());
    changed.extend(&bytes[8 + length..]);
    changed
}

#[test]
fn a_saved_model_comes_back() {
    let before = small_model();
    for (storage, tolerance) in [(Storage::F32, 1e-7), (Storage::F16, 3e-3)] {
        let (_folder, path, _) = saved(storage);
        let after = Model::open(&path, &Device::Cpu).unwrap();
        assert_eq!(after.manifest, before.manifest);
        assert_eq!(after.samples, before.samples);
        let z = Tensor::new(&[[0.5f32, -1.0, 0.1, 2.0, 0.0, -0.3]], &Device::Cpu).unwrap();
        let pictures = [&before, &after].map(|model| {
            let x = model.generator.forward(&z, Statistics::Running).unwrap();
            model.mapping.forward(&x, Statistics::Running).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        });
        let difference = pictures[0].iter().zip(&pictures[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= tolerance, "{storage:?}: {difference}");
    }
}

#[test]
fn tensors_of_other_programs_are_tolerated() {
    let (folder, _, _) = saved(Storage::F32);
    let model = small_model();
    let mut tensors: BTreeMap<String, Tensor> = model.weights().iter().map(|(n, t)| (n.clone(), t.clone())).collect();
    tensors.insert("generator.main.1.num_batches_tracked".into(), Tensor::new(5i64, &Device::Cpu).unwrap());
    tensors.insert("someone.elses".into(), Tensor::new(&[[1f32, 2.0]], &Device::Cpu).unwrap());
    let mut metadata = model.manifest.to_metadata().unwrap();
    metadata.insert("counterpart.future_field".into(), "[1, 2]".into());
    metadata.insert("format".into(), "pt".into());
    let path = folder.path().join("more.safetensors");
    write_tensors(&path, &tensors, &metadata, Storage::F32).unwrap();
    assert_eq!(Model::open(&path, &Device::Cpu).unwrap().manifest, model.manifest);
}

#[test]
fn no_model_at_all() {
    for bytes in [&b""[..], b"short", b"\x89PNG\r\n\x1a\n----------------", &[0; 4096], &[255; 4096]] {
        let error = refused(bytes);
        assert!(error.to_string().contains("not a model file"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(Model::open(folder.path(), &Device::Cpu).is_err());
    let missing = Model::open(&folder.path().join("nowhere.safetensors"), &Device::Cpu).unwrap_err();
    assert!(missing.to_string().starts_with("There is no file"), "{missing}");
}

#[test]
fn weights_without_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let tensors = BTreeMap::from([("a".to_owned(), Tensor::new(&[1f32], &Device::Cpu).unwrap())]);
    write_tensors(&path, &tensors, &HashMap::new(), Storage::F32).unwrap();
    let error = Model::open(&path, &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("it is not a model of this program"), "{error}");
}

#[test]
fn half_a_file_and_too_much_of_it() {
    let (_folder, path, mut bytes) = saved(Storage::F16);
    let half = bytes[..bytes.len() / 2].to_vec();
    assert!(refused(&half).to_string().contains("cut off"));
    std::fs::write(&path, &half).unwrap();
    assert!(Model::open(&path, &Device::Cpu).unwrap_err().to_string().contains("cut off"));
    assert!(refused(&bytes[..100]).to_string().contains("cut off"));
    bytes.extend([0; 16]);
    assert!(refused(&bytes).to_string().contains("bytes after its end"));
}

#[test]
fn a_newer_version() {
    let (_folder, _, bytes) = saved(Storage::F16);
    let newer = with_header(&bytes, |header| header["__metadata__"]["counterpart.format_version"] = "2".into());
    let error = refused(&newer);
    assert!(error.to_string().contains("made by a newer version of Counterpart"), "{error}");
    let nonsense = with_header(&bytes, |header| header["__metadata__"]["counterpart.format_version"] = "two".into());
    assert!(refused(&nonsense).to_string().contains("damaged"));
}

#[test]
fn lying_headers() {
    let (_folder, _, bytes) = saved(Storage::F16);
    let width = |header: &mut serde_json::Value, width: u64| {
        let config = serde_json::json!({"latent": 6, "width": width, "channels": 3, "size": 32});
        header["__metadata__"]["counterpart.generator"] = config.to_string().into();
    };
    LARGEST.store(0, Ordering::Relaxed);
    let mut liars = vec![
        with_header(&bytes, |h| h["generator.main.0.weight"]["shape"] = serde_json::json!([1u64 << 40, 8, 4, 4])),
        with_header(&bytes, |h| h["generator.main.0.weight"]["shape"] = serde_json::json!([8, 6, 4, 4])),
        with_header(&bytes, |h| h["generator.main.0.weight"]["data_offsets"] = serde_json::json!([0, 1u64 << 40])),
        with_header(&bytes, |h| width(h, 512)),
        with_header(&bytes, |h| width(h, 1 << 50)),
        with_header(&bytes, |h| h["__metadata__"]["counterpart.size"] = "64".into()),
        with_header(&bytes, |h| h["__metadata__"]["counterpart.loss"] = "{\"pixel_l1\": -1}".into()),
        with_header(&bytes, |h| h["__metadata__"]["counterpart.held_out"] = "{\"percentiles\": [1]}".into()),
        with_header(&bytes, |h| h["__metadata__"]["counterpart.mapping"] = "not json {".into()),
        with_header(&bytes, |h| h["__metadata__"]["counterpart.latent"] = "-1".into()),
        with_header(&bytes, |h| drop(h.as_object_mut().unwrap().remove("mapping.head.weight"))),
        with_header(&bytes, |h| {
            let entry = h.as_object_mut().unwrap().remove("mapping.head.weight").unwrap();
            h["mapping.other"] = entry;
        }),
    ];
    for length in [1u64 << 24, 1 << 40, u64::MAX, u64::MAX - 7] {
        let mut liar = bytes.clone();
        liar[..8].copy_from_slice(&length.to_le_bytes());
        liars.push(liar);
    }
    for (i, liar) in liars.iter().enumerate() {
        let error = refused(liar);
        assert!(error.to_string().starts_with("bad.safetensors"), "{i}: {error:?}");
    }
    // Other tests of this file run beside this one, and none of them needs more either.
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 16 << 20, "something of {largest} bytes was allocated");
}

#[test]
fn weights_that_are_not_numbers() {
    let (_folder, _, bytes) = saved(Storage::F32);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut damaged = bytes.clone();
        let place = damaged.len() - 4;
        damaged[place..].copy_from_slice(&bad.to_le_bytes());
        let error = refused(&damaged);
        assert!(error.to_string().contains("not numbers"), "{error}");
    }
}

#[test]
fn damage_anywhere_is_survived() {
    let (_folder, _, bytes) = saved(Storage::F16);
    LARGEST.store(0, Ordering::Relaxed);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut opened = 0;
    // Every byte of the first kilobyte, every seventh of the rest of the header, some of the weights.
    let places = (0..1024).chain((1024..header).step_by(7)).chain((header..bytes.len()).step_by(bytes.len() / 40));
    for (i, place) in places.enumerate() {
        let mut damaged = bytes.clone();
        damaged[place] ^= [0x01, 0x80, 0x10, 0xff][i % 4];
        match Model::from_bytes("bad.safetensors", &damaged, &Device::Cpu) {
            Ok(_) => opened += 1,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(opened > 0, "changed titles and single weights are no reason to refuse a model");
    for length in (0..bytes.len()).step_by(bytes.len() / 200) {
        refused(&bytes[..length]);
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 16 << 20, "something of {largest} bytes was allocated");
}

#[test]
fn a_model_that_cannot_be_saved_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = small_model();
    assert!(model.save(&folder.path().join("no/such/folder.safetensors"), Storage::F16).is_err());
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    assert!(model.save(&file.join("m.safetensors"), Storage::F16).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
