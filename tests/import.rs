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

/// The tensors of a file, as values.
fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn stylegan2_draws_what_pytorch_draws_under_either_names() {
    let case = Weights::open(&data("style.safetensors"), &Device::Cpu).unwrap();
    let get = |name: &str| case.find(name).unwrap();
    for file in ["style_a.pth", "style_b.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        let part = imported(&data(file), folder.path());
        assert_eq!((part.config.latent, part.config.channels, part.config.size), (8, 3, 16), "{file}");
        let generator = Generator::new(&part.config, &Params::frozen(part.weights.clone())).unwrap();
        // z by way of w and its whitened code to the picture.
        let codes = generator.codes(get("z")).unwrap();
        let x = generator.forward(&codes, Statistics::Running).unwrap();
        let scale = values(get("x")).iter().fold(0f32, |most, v| most.max(v.abs()));
        let difference = largest_difference(&x, get("x"));
        assert!(difference < 2e-5 * scale, "{file}: {difference} of {scale}");
        // The gradient in the code is that in w by the linear layer between them.
        let code = candle_core::Var::from_tensor(&codes).unwrap();
        let drawn = generator.forward(&code, Statistics::Running).unwrap();
        let gradients = (drawn * get("weights")).unwrap().sum_all().unwrap().backward().unwrap();
        let lower = part.weights.get("layers.1.weight", &[8, 8, 1, 1]).unwrap().reshape((8, 8)).unwrap();
        let wanted = get("gradient").matmul(&lower).unwrap();
        let scale = values(&wanted).iter().fold(0f32, |most, v| most.max(v.abs()));
        let difference = largest_difference(gradients.get(&code).unwrap(), &wanted);
        assert!(difference < 5e-5 * scale, "{file}: {difference} of {scale}");
        // Codes of random z are white.
        let normals = Tensor::randn(0f32, 1.0, (4000, 8), &Device::Cpu).unwrap();
        let codes = generator.codes(&normals).unwrap();
        assert!(values(&codes.mean(0).unwrap()).iter().all(|mean| mean.abs() < 0.15), "{codes}");
        let covariance = (codes.t().unwrap().matmul(&codes).unwrap() / 4000.0).unwrap();
        let difference =
            largest_difference(&covariance, &Tensor::eye(8, candle_core::DType::F32, &Device::Cpu).unwrap());
        assert!(difference < 0.2, "{file}: {difference}");
    }
}

#[test]
fn styles_are_truncated_towards_their_mean() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("g.safetensors");
    let truncated = ["--truncation", "0.5"].map(Path::new);
    let output = import(&[&data("style_a.pth"), truncated[0], truncated[1], Path::new("--out"), &out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let part: Part<GeneratorConfig> = Part::open(&out, &Device::Cpu).unwrap();
    let case = Weights::open(&data("style.safetensors"), &Device::Cpu).unwrap();
    let (w, average) = (case.find("w").unwrap(), case.find("average").unwrap());
    let wanted = (w.broadcast_add(average).unwrap() / 2.0).unwrap();
    let generator = Generator::new(&part.config, &Params::frozen(part.weights.clone())).unwrap();
    let code = generator.codes(case.find("z").unwrap()).unwrap();
    let lower = part.weights.get("layers.1.weight", &[8, 8, 1, 1]).unwrap().reshape((8, 8)).unwrap();
    let mean = part.weights.get("layers.1.bias", &[8]).unwrap();
    let found = code.matmul(&lower.t().unwrap()).unwrap().broadcast_add(&mean).unwrap();
    assert!(largest_difference(&found, &wanted) < 1e-4);
    let output = import(&[&data("imported.pth"), truncated[0], truncated[1], Path::new("--out"), &out]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("StyleGAN2 generators alone"));
}

#[test]
fn unknown_and_damaged_styles_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (bad, out) = (folder.path().join("bad.safetensors"), folder.path().join("g.safetensors"));
    let whole = Weights::open(&data("style_a.pth"), &Device::Cpu).unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let nan = || Tensor::full(f32::NAN, (5, 6, 3, 3), &Device::Cpu).unwrap();
    let cases = [
        ("synthesis.b8.skip.weight", Some(zeros(&[5, 6, 1, 1])), "residual architecture"),
        ("mapping.embed.weight", Some(zeros(&[8, 3])), "conditioned on classes"),
        ("synthesis.b8.conv0.resample_filter", Some(zeros(&[12, 12])), "another filter"),
        ("synthesis.b8.conv0.weight", Some(nan()), "not numbers"),
        ("synthesis.b8.conv0.weight", Some(zeros(&[5, 4, 3, 3])), "has the shape [5, 4, 3, 3] where"),
        ("synthesis.b8.conv0.affine.bias", None, "lack the tensor synthesis.b8.conv0.affine.bias"),
        ("synthesis.b16.torgb.weight", None, "lack the tensor synthesis.b16.torgb.weight"),
        ("synthesis.b4.const", Some(zeros(&[0, 4, 4])), "has the shape"),
        ("synthesis.b4.conv1.noise_const", Some(zeros(&[8, 8])), "has the shape"),
        ("mapping.fc0.weight", None, "no mapping network"),
        ("mapping.fc1.weight", Some(zeros(&[8, 7])), "has the shape"),
        ("mapping.fc1.weight", Some(zeros(&[8, 8])), "the same style of every z"),
    ];
    for (name, tensor, words) in cases {
        let mut tensors: std::collections::HashMap<String, Tensor> =
            whole.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        match tensor {
            Some(tensor) => tensors.insert(name.to_owned(), tensor),
            None => tensors.remove(name),
        };
        candle_core::safetensors::save(&tensors, &bad).unwrap();
        let output = import(&[&bad, Path::new("--out"), &out]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {errors}");
        assert!(errors.starts_with("error: ") && errors.contains(words), "{name}: {errors}");
    }
}

/// A progressively grown generator of random weights, `G.safetensors` and its description `G.json` beside it.
fn large(folder: &Path, widths: &[usize]) -> PathBuf {
    let mut tensors = std::collections::HashMap::new();
    let mut layers = vec![serde_json::json!({"linear": "first", "equalised": std::f64::consts::SQRT_2 / 4.0})];
    let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
    layers.push(serde_json::json!({"reshape": [widths[0], 4, 4]}));
    layers.extend([serde_json::json!({"leaky_relu": 0.2}), "pixel_norm".into()]);
    tensors.insert("first.weight".to_owned(), random(&[16 * widths[0], 8]));
    tensors.insert("first.bias".to_owned(), random(&[16 * widths[0]]));
    for (i, pair) in widths.windows(2).enumerate() {
        layers.push(serde_json::json!({"upsample": "nearest"}));
        for (part, inputs) in [("a", pair[0]), ("b", pair[1])] {
            let name = format!("scales.{i}.{part}");
            layers.push(serde_json::json!({"convolution": name.clone(), "padding": 1, "equalised": true}));
            layers.extend([serde_json::json!({"leaky_relu": 0.2}), "pixel_norm".into()]);
            tensors.insert(format!("{name}.weight"), random(&[pair[1], inputs, 3, 3]));
            tensors.insert(format!("{name}.bias"), random(&[pair[1]]));
        }
    }
    layers.push(serde_json::json!({"convolution": "colours", "equalised": 1.0}));
    tensors.insert("colours.weight".to_owned(), random(&[3, widths[widths.len() - 1], 1, 1]));
    tensors.insert("colours.bias".to_owned(), random(&[3]));
    let file = folder.join("G.safetensors");
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let description = serde_json::json!({"latent": 8, "codes": "sphere", "layers": layers});
    std::fs::write(folder.join("G.json"), description.to_string()).unwrap();
    file
}

/// Runs the program in a folder, which must succeed.
fn succeed(folder: &Path, line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterpart"));
    let output = command.args(line.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn large_generators_are_trained_for_at_the_mappings_size_and_shown_at_their_own() {
    for widths in [&[8, 8, 8, 8, 4, 4, 4][..], &[8, 8, 8, 4, 4, 2, 2, 1, 1]] {
        let side = 4u32 << (widths.len() - 1);
        let folder = tempfile::tempdir().unwrap();
        large(folder.path(), widths);
        std::fs::create_dir(folder.path().join("y")).unwrap();
        for i in 0..6u32 {
            let shade = |x: u32, y: u32| image::Rgb([(40 * i + x) as u8, (3 * y) as u8, (x * y / 16) as u8]);
            image::RgbImage::from_fn(64, 64, shade).save(folder.path().join(format!("y/{i}.png"))).unwrap();
        }
        succeed(
            folder.path(),
            "train mapping --method nam --prior G.safetensors --images y --size 64 --width 4 --batch 2 --steps 3 \
             --held-out 2 --held-out-starts 1 --held-out-steps 1 --start-deviation 1 --storage f32 --out m.safetensors",
        );
        // The frame that T sees the pictures through has been fitted, too.
        let model = counterpart::model_file::Model::open(&folder.path().join("m.safetensors"), &Device::Cpu).unwrap();
        assert_eq!((model.manifest.size, model.manifest.mapping.source), (64, side as usize));
        let weights = Weights::open(&folder.path().join("m.safetensors"), &Device::Cpu).unwrap();
        assert_ne!(values(weights.find("mapping.sampler.rows").unwrap()), [1.0, 0.0]);
        succeed(
            folder.path(),
            "solve y/0.png --model m.safetensors --starts 2 --steps 2 --out grid.png --json report.json",
        );
        let grid = image::open(folder.path().join("grid.png")).unwrap();
        assert!(grid.width() > 2 * side && grid.height() >= side, "{side}: {} x {}", grid.width(), grid.height());
    }
}

#[test]
fn the_simulator_is_a_generator_that_is_solved_for() {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), "import simulator --size 32 --out cars.safetensors --sheet sheet.png");
    succeed(folder.path(), "data cars --set a --count 6 --size 32 --out y");
    succeed(
        folder.path(),
        "train mapping --method nam --prior cars.safetensors --images y --width 4 --batch 2 --steps 2 --held-out 2 \
         --held-out-starts 1 --held-out-steps 1 --start-deviation 1 --out m.safetensors",
    );
    let sample = std::fs::read_dir(folder.path().join("y")).unwrap().next().unwrap().unwrap().path();
    let line = format!("solve {} --model m.safetensors --starts 2 --steps 3 --out grid.png", sample.display());
    succeed(folder.path(), &line);
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
