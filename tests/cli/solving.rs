//! Solving, sampling, measuring, looking into files.

use crate::{Place, json, words};
use candle_core::Device;
use counterpart::nets::Weights;
use std::path::Path;
use std::process::Stdio;

#[test]
fn solve_and_sample_write_a_grid_and_a_report() {
    let place = Place::new().with_model().with_images("y", 3);
    place.succeed(&words("solve y --model m.safetensors --starts 4 --steps 3 --out grid.png --json r.json"));
    let report = json(&std::fs::read_to_string(place.path("r.json")).unwrap());
    assert_eq!(report["images"].as_array().unwrap().len(), 3);
    let losses: Vec<f64> =
        report["images"][0]["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    assert!(losses.len() == 4 && losses.is_sorted(), "{losses:?}");
    let grid = image::open(place.path("grid.png")).unwrap();
    assert!(grid.width() >= 5 * 32 && grid.height() >= 3 * 32, "{} x {}", grid.width(), grid.height());
    let first = place.succeed(&["sample", "y/000.png", "--model", "m.safetensors", "--count", "5", "--json"]);
    assert_eq!(json(&first)["images"][0]["l1"].as_array().unwrap().len(), 5);
    let numbers = |text: &str| json(text)["images"][0]["losses"].clone();
    let again = place.succeed(&["sample", "y/000.png", "--model", "m.safetensors", "--count", "5", "--json"]);
    assert_eq!(numbers(&first), numbers(&again), "the same seed must give the same result");
    let other =
        place.succeed(&["sample", "y/000.png", "--model", "m.safetensors", "--count", "5", "--seed", "9", "--json"]);
    assert_ne!(numbers(&first), numbers(&other));
}

#[test]
fn the_graphics_processor_solves_as_the_cpu_does() {
    let place = Place::new().with_model().with_images("y", 1);
    for how in ["solve y --starts 3 --steps 5", "sample y --count 3 --refine 5"] {
        let losses = |device: &str| -> Vec<f64> {
            let text = place.succeed(&words(&format!("{how} --model m.safetensors --json --device {device}")));
            json(&text)["images"][0]["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
        };
        let (cpu, gpu) = (losses("cpu"), losses("gpu"));
        assert_eq!(cpu.len(), 3);
        assert!(cpu.iter().zip(&gpu).all(|(cpu, gpu)| (cpu - gpu).abs() <= 1e-3 * cpu), "{cpu:?} {gpu:?}");
    }
}

#[test]
fn evaluate_prints_its_measures() {
    let place = Place::new().with_model().with_images("y", 5);
    let text = place.succeed(&words("evaluate --model m.safetensors --images y --count 4 --starts 3 --steps 2 --json"));
    let measures = json(&text)["measures"].as_array().unwrap().clone();
    assert_eq!(measures.len(), 2);
    for measure in measures {
        let share = measure["own_share"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share));
        assert!(measure["diversity_perceptual"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn inspect_and_models_and_bench_report() {
    let place = Place::new().with_model();
    assert!(place.succeed(&["inspect", "m.safetensors"]).contains("Test"));
    assert_eq!(json(&place.succeed(&["inspect", "m.safetensors", "--json"]))["latent"], 6);
    assert!(json(&place.succeed(&["models", "--json"]))["models"].is_array());
    let bench = place.succeed(&["bench", "generator", "--batch", "1", "--threads", "1", "--iterations", "2", "--json"]);
    let report = json(&bench);
    assert!(report["median_s"].as_f64().unwrap() > 0.0 && report["threads"] == 1, "{bench}");
}

#[test]
fn run_reproduces_the_reference_networks() {
    let place = Place::new();
    let cases = [
        ("generator", "generator_dcgan_32", "x", "out.x"),
        ("mapping", "mapping_32_eval", "y", "out.y"),
        ("encoder", "encoder_32", "mu", "out.mu"),
        ("perceptual", "perceptual_vgg16", "level2", "out.level2"),
    ];
    for (network, file, output, expected) in cases {
        let reference = format!("{}/tests/reference/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let arguments = ["run", network, "--weights", &reference, "--prefix", "weights.", "--input", &reference];
        place.succeed(&[&arguments[..], &["--out", "out.safetensors"]].concat());
        let found = Weights::open(&place.path("out.safetensors"), &Device::Cpu).unwrap();
        let wanted = Weights::open(Path::new(&reference), &Device::Cpu).unwrap();
        let values = |weights: &Weights, name: &str| -> Vec<f32> {
            weights.find(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let (found, wanted) = (values(&found, output), values(&wanted, expected));
        let scale = wanted.iter().fold(0f32, |most, value| most.max(value.abs()));
        let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == wanted.len() && worst <= 1e-4 * scale, "{network}: {worst} of {scale}");
    }
    std::fs::write(place.path("z.safetensors"), b"no tensors").unwrap();
    let reference = format!("{}/tests/reference/generator_dcgan_32.safetensors", env!("CARGO_MANIFEST_DIR"));
    place.fail(&["run", "generator", "--weights", &reference, "--input", "z.safetensors", "--out", "o.safetensors"]);
    place.fail(&["run", "mapping", "--weights", &reference, "--input", &reference, "--out", "o.safetensors"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new().with_model();
    let mut child =
        place.command(&["inspect", "m.safetensors"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(output.status.code(), Some(0), "{errors}");
}
