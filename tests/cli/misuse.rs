//! Options and inputs that a person may well mix up: refused before the work, and nothing is lost.

use crate::{Place, json, words};
use candle_core::{DType, Device, Tensor};
use counterpart::model_file::Model;
use std::collections::HashMap;

#[test]
fn results_do_not_take_the_place_of_inputs() {
    let place = Place::new().with_model().with_images("y", 2);
    let picture = std::fs::read(place.path("y/000.png")).unwrap();
    let sample = |rest: &str| place.fail(&words(&format!("sample --model m.safetensors --count 1 {rest}")));
    assert!(sample("y/000.png --out y/000.png").contains("is an input"));
    assert!(sample("y/000.png y/001.png --out ./y/001.png").contains("is an input"));
    assert!(sample("y/001.png --out grid.png --json grid.png").contains("the same file"));
    // `--json` takes the word after it.
    assert!(sample("--json y/000.png y/001.png").contains("is no report"));
    assert!(sample("y/001.png --json y/001.png").contains("is an input"));
    assert_eq!(std::fs::read(place.path("y/000.png")).unwrap(), picture);
    // A report may be written again.
    for seed in ["1", "2"] {
        let line = format!("sample y/000.png --model m.safetensors --count 1 --seed {seed} --json report.json");
        place.succeed(&words(&line));
        json(&std::fs::read_to_string(place.path("report.json")).unwrap());
    }
}

#[test]
fn numbers_beyond_all_bounds() {
    let place = Place::new().with_model().with_images("y", 1);
    let most = u64::MAX;
    for line in [
        format!("solve y/000.png --model m.safetensors --out g.png --starts {most}"),
        format!("solve y/000.png --model m.safetensors --out g.png --steps {most}"),
        "sample y/000.png --model m.safetensors --out g.png --count 100000000".to_owned(),
        format!("sample y/000.png --model m.safetensors --out g.png --refine {most}"),
        format!("bench generator --batch {most}"),
        "bench generator --iterations 1000000000000".to_owned(),
        "bench scaling --batch 0".to_owned(),
    ] {
        let output = place.run(&words(&line));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {errors}");
        assert!(errors.contains("invalid value"), "{line}: {errors}");
    }
    let huge = "solve y/000.png --model m.safetensors --out g.png --steps 2 --loss pixel-l1=3e38,pixel-l2=3e38,perceptual=3e38:3e38:3e38";
    assert!(place.fail(&words(huge)).contains("a loss that is a number"));
}

#[test]
fn networks_are_not_run_on_what_does_not_fit_them() {
    let place = Place::new().with_model();
    let tensors = [
        ("none", vec![0, 6]),
        ("long", vec![2, 7]),
        ("grey", vec![1, 1, 32, 32]),
        ("wide", vec![1, 3, 32, 64]),
        ("large", vec![1, 1, 64, 64]),
        ("flat", vec![3, 32]),
    ];
    let tensors: HashMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()))
        .collect();
    candle_core::safetensors::save(&tensors, place.path("in.safetensors")).unwrap();
    for (network, tensor) in [
        ("generator", "none"),
        ("generator", "long"),
        ("mapping", "grey"),
        ("mapping", "wide"),
        ("encoder", "wide"),
        ("encoder", "large"),
        ("perceptual", "grey"),
        ("perceptual", "flat"),
    ] {
        let errors = place.fail(&words(&format!(
            "run {network} --weights m.safetensors --prefix {network}. --input in.safetensors --tensor {tensor} --out o.safetensors"
        )));
        assert!(errors.contains("this network takes [n, "), "{network} {tensor}: {errors}");
    }
}

#[test]
fn what_is_not_a_number_is_not_made_a_picture() {
    let place = Place::new().with_model();
    let nan = Tensor::new(&[[f32::NAN; 6]], &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("z", nan)]), place.path("z.safetensors")).unwrap();
    let line = "run generator --weights m.safetensors --prefix generator. --input z.safetensors --out x.safetensors";
    assert!(place.fail(&words(line)).contains("not numbers"));
}

#[test]
fn a_variance_below_zero_is_no_model() {
    let place = Place::new().with_model();
    let path = place.path("m.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let name = "generator.main.1.running_var";
    tensors.insert(name.to_owned(), tensors[name].neg().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = serde_json::from_value(header["__metadata__"].clone()).unwrap();
    safetensors::serialize_to_file(&tensors, Some(metadata), &path).unwrap();
    let errors = place.fail(&["inspect", "m.safetensors"]);
    assert!(errors.contains("variance below 0") && errors.contains(name), "{errors}");
    assert!(Model::open(&path, &Device::Cpu).is_err());
}
