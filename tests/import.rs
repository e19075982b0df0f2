//! Generators that PyTorch trained: read from its files, and drawn as PyTorch draws them.

use candle_core::{Device, Tensor};
use counterpart::model_file::Part;
use counterpart::nets::{Generator, GeneratorConfig, Params, Statistics, Weights};
use counterpart::plan;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One pass through a generator, as PyTorch computes it.
const TOLERANCE: f32 = 1e-5;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the shared data, or `None` (said aloud) where it is not there.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("COUNTERPART_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join("data").join(name);
    if !path.exists() {
        eprintln!("passed over: there is no shared/data/{name}");
    }
    path.exists().then_some(path)
}

fn import(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_counterpart")).args(["import", "prior"]).args(arguments).output().unwrap()
}

/// Imports a file, which must succeed; the generator.
fn imported(file: &Path, folder: &Path) -> Part<GeneratorConfig> {
    let out = folder.join("g.safetensors");
    let sheet = folder.join("sheet.png");
    let output = import(&[file, Path::new("--out"), &out, Path::new("--sheet"), &sheet]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sheet.is_file());
    Part::open(&out, &Device::Cpu).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn an_imported_generator_draws_what_pytorch_draws() {
    let folder = tempfile::tempdir().unwrap();
    let part = imported(&data("imported.pth"), folder.path());
    assert_eq!((part.config.latent, part.config.channels, part.config.size), (5, 1, 28));
    let case = Weights::open(&data("imported.safetensors"), &Device::Cpu).unwrap();
    let (z, wanted) = (case.find("z").unwrap(), case.find("x").unwrap());
    let generator = Generator::new(&part.config, &Params::frozen(part.weights)).unwrap();
    let found = generator.forward(z, Statistics::Running).unwrap();
    assert!(largest_difference(&found, wanted) < TOLERANCE);
    if let Some(planned) = plan::generate(&generator, z) {
        assert!(largest_difference(&planned, wanted) < TOLERANCE);
    }
}

#[test]
fn a_progressively_grown_generator_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("g.safetensors");
    let (file, description) = (data("pggan.pth"), data("pggan.json"));
    let output = import(&[&file, Path::new("--describe"), &description, Path::new("--out"), &out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let part: Part<GeneratorConfig> = Part::open(&out, &Device::Cpu).unwrap();
    assert_eq!((part.config.latent, part.config.channels, part.config.size), (6, 3, 16));
    let case = Weights::open(&data("pggan.safetensors"), &Device::Cpu).unwrap();
    let generator = Generator::new(&part.config, &Params::frozen(part.weights)).unwrap();
    let found = generator.forward(case.find("z").unwrap(), Statistics::Running).unwrap();
    // Its values reach 2.7: no tanh follows.
    assert!(largest_difference(&found, case.find("x").unwrap()) < 2.7 * TOLERANCE);
}

#[test]
fn what_cannot_be_imported_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (out, bad) = (folder.path().join("g.safetensors"), folder.path().join("bad.pth"));
    let fail = |file: &Path, more: &[&Path], words: &str| {
        let mut arguments = vec![file, Path::new("--out"), &out];
        arguments.extend(more);
        let output = import(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("error: ") && errors.contains(words) && !errors.contains("panicked"), "{errors}");
        assert!(!out.exists());
    };
    let whole = std::fs::read(data("imported.pth")).unwrap();
    fail(&folder.path().join("none.pth"), &[], "There is no file");
    std::fs::write(&bad, b"PK\x03\x04 and nothing more").unwrap();
    fail(&bad, &[], "is not a PyTorch checkpoint");
    std::fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    fail(&bad, &[], "is not a PyTorch checkpoint");
    // Names that do not tell, and a draft that says so much that only the order is left to be corrected.
    let other = folder.path().join("other.safetensors");
    let tensors = std::collections::HashMap::from([
        ("a.weight", Tensor::zeros((16, 4), candle_core::DType::F32, &Device::Cpu).unwrap()),
        ("b.weight", Tensor::zeros((1, 4, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap()),
    ]);
    candle_core::safetensors::save(&tensors, &other).unwrap();
    fail(&other, &[], "write a description with --draft");
    let description = folder.path().join("d.json");
    let output = import(&[&other, Path::new("--draft"), &description]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read_to_string(&description).unwrap().contains("\"linear\": \"a\""));
    let describe = Path::new("--describe");
    fail(&other, &[describe, &description], "takes 4 channels and gets 16");
    std::fs::write(&description, "{\"latent\": 4, \"layers\": [\"gelu\"]}").unwrap();
    fail(&other, &[describe, &description], "there is no layer \"gelu\"");
    std::fs::write(
        &description,
        r#"{"latent": 4, "layers": [{"linear": "a"}, {"reshape": [4, 2, 2]}, {"convolution": "b", "padding": 1}]}"#,
    )
    .unwrap();
    let output = import(&[&other, describe, &description, Path::new("--out"), &out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn damaged_checkpoints_never_crash_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.pth");
    let whole = std::fs::read(data("imported.pth")).unwrap();
    // The pickle comes first: every byte of its beginning, one after the other, turned.
    for place in (0..whole.len().min(1200)).step_by(3) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        // Either way will do; a crash would end this test.
        let _ = Weights::open(&path, &Device::Cpu);
    }
}

#[test]
fn the_shared_mnist_generator_is_read() {
    let Some(file) = shared("weights/ryhan_mnist_dcgan_generator.pth") else { return };
    let folder = tempfile::tempdir().unwrap();
    let part = imported(&file, folder.path());
    assert_eq!((part.config.latent, part.config.channels, part.config.size), (64, 1, 28));
    let generator = Generator::new(&part.config, &Params::frozen(part.weights)).unwrap();
    let z = Tensor::randn(0f32, 1.0, (16, 64), &Device::Cpu).unwrap();
    let x = generator.forward(&z, Statistics::Running).unwrap();
    // Digits are mostly ground with some strokes: hardly any grey, a tenth to a third of ink.
    let x: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    let share = |of: &dyn Fn(f32) -> bool| x.iter().filter(|v| of(**v)).count() as f32 / x.len() as f32;
    assert!((0.05..0.35).contains(&share(&|v| v > 0.5)), "{}", share(&|v| v > 0.5));
    assert!(share(&|v| v.abs() < 0.8) < 0.2, "{}", share(&|v| v.abs() < 0.8));
}
