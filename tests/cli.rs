//! The command line as a person uses it: the real program, good and bad input, exit codes, and what it leaves behind.

use candle_core::Device;
use counterpart::Picture;
use counterpart::model_file::{LossConfig, Manifest, Model, Network, Storage, YKind, write_tensors};
use counterpart::nets::weights::Initialiser;
use counterpart::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig, PerceptualKind, Weights};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder of its own for each test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program in this folder.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterpart"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program, which must succeed; what it printed.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must fail with a sentence and leave nothing new; the sentence.
    fn fail(&self, arguments: &[&str]) -> String {
        let before = self.listing();
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.starts_with("error: "), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked") && !errors.contains("RUST_BACKTRACE"), "{errors}");
        assert_eq!(self.listing(), before, "something was left behind by {arguments:?}");
        errors
    }

    fn listing(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.clone());
                if path.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.sort();
        found
    }

    /// A model with random weights under `m.safetensors`: 32 pixels, one channel of Y.
    fn with_model(self) -> Self {
        model().save(&self.path("m.safetensors"), Storage::F16).unwrap();
        self
    }

    /// A few images in `name`.
    fn with_images(self, name: &str, count: usize) -> Self {
        std::fs::create_dir(self.path(name)).unwrap();
        for i in 0..count {
            image(i).save(self.path(name).join(format!("{i:03}.png"))).unwrap();
        }
        self
    }
}

fn model() -> Model {
    let generator = GeneratorConfig { latent: 6, width: 2, channels: 3, size: 32 };
    let mapping = MappingConfig { width: 2, inputs: 3, outputs: 1, size: 32, skip: false };
    let encoder = EncoderConfig { latent: 6, width: 2, channels: 1, size: 32 };
    let perceptual = PerceptualConfig { widths: vec![2, 2, 3, 3, 4, 4], ..Default::default() };
    let (mut weights, device) = (Weights::default(), &Device::Cpu);
    weights.extend_below("generator.", &generator.initial_weights(1, device).unwrap());
    weights.extend_below("mapping.", &mapping.initial_weights(2, device).unwrap());
    weights.extend_below("encoder.", &encoder.initial_weights(3, device).unwrap());
    weights.extend_below("perceptual.", &perceptual.initial_weights(4, device).unwrap());
    let manifest = Manifest {
        title: "Test".into(),
        y_kind: YKind::Grey,
        loss: LossConfig::perceptual(3),
        ..Manifest::new(generator, mapping, Some(encoder), Some(perceptual))
    };
    Model::new(manifest, weights, vec![Picture::filled(32, 32, [255; 4])], device).unwrap()
}

/// A dark blob on white whose place and colour depend on `i`.
fn image(i: usize) -> image::RgbaImage {
    image::RgbaImage::from_fn(40, 36, |x, y| {
        let (dx, dy) = (x as f32 - 12.0 - (i * 5 % 17) as f32, y as f32 - 10.0 - (i * 7 % 13) as f32);
        let inside = dx * dx / 60.0 + dy * dy / 40.0 < 1.0;
        if inside {
            image::Rgba([(i * 40 % 200) as u8, 60, (200 - i * 30 % 200) as u8, 255])
        } else {
            image::Rgba([255; 4])
        }
    })
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn help_tells_of_every_subcommand() {
    let place = Place::new();
    let help = place.succeed(&["--help"]);
    for name in ["solve", "sample", "train", "models", "inspect", "evaluate", "run", "bench"] {
        assert!(help.contains(name), "{name} is missing in {help}");
        let own = place.succeed(&[name, "--help"]);
        assert!(own.contains("Usage:"), "{own}");
    }
    for name in ["prior", "mapping"] {
        let own = place.succeed(&["train", name, "--help"]);
        for option in ["--seed", "--threads", "--device", "--resume", "--out"] {
            assert!(own.contains(option), "{option} is missing in train {name}");
        }
    }
    assert_eq!(place.run(&["solve"]).status.code(), Some(2));
    assert_eq!(place.run(&["bench", "nonsense"]).status.code(), Some(2));
}

#[test]
fn solve_and_sample_write_a_grid_and_a_report() {
    let place = Place::new().with_model().with_images("y", 3);
    place.succeed(&[
        "solve",
        "y",
        "--model",
        "m.safetensors",
        "--starts",
        "4",
        "--steps",
        "3",
        "--out",
        "grid.png",
        "--json",
        "r.json",
    ]);
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
fn evaluate_prints_its_measures() {
    let place = Place::new().with_model().with_images("y", 5);
    let text = place.succeed(&[
        "evaluate",
        "--model",
        "m.safetensors",
        "--images",
        "y",
        "--count",
        "4",
        "--starts",
        "3",
        "--steps",
        "2",
        "--json",
    ]);
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
fn training_goes_all_the_way_to_a_model_and_resumes() {
    let place = Place::new().with_images("x", 12).with_images("y", 14);
    let small = ["--size", "32", "--latent", "4", "--width", "2", "--critic-width", "2", "--batch", "4"];
    let prior = |out: &str, steps: &str, more: &[&str]| {
        let mut arguments = vec!["train", "prior", "--images", "x", "--out", out, "--steps", steps, "--threads", "1"];
        arguments.extend(small.iter().chain(more));
        place.succeed(&arguments)
    };
    prior("whole.safetensors", "6", &[]);
    prior("parts.safetensors", "3", &[]);
    prior("parts.safetensors", "6", &["--resume"]);
    let log = |name: &str| -> Vec<(u64, f64)> {
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        let line = |line: &str| (json(line)["step"].as_u64().unwrap(), json(line)["critic"].as_f64().unwrap());
        text.lines().map(line).collect()
    };
    assert_eq!(log("whole.losses.jsonl").last(), log("parts.losses.jsonl").last(), "resumed is not the same");
    assert!(image::open(place.path("whole.samples.png")).is_ok());
    // A second run must not overwrite the first one's checkpoint.
    let again = place.fail(&["train", "prior", "--images", "x", "--out", "whole.safetensors"]);
    assert!(again.contains("--resume"), "{again}");
    for method in ["vae-nam", "nam"] {
        let out = format!("{method}.safetensors");
        place.succeed(&[
            "train",
            "mapping",
            "--method",
            method,
            "--prior",
            "whole.safetensors",
            "--images",
            "y",
            "--y",
            "edges",
            "--width",
            "2",
            "--encoder-width",
            "2",
            "--batch",
            "4",
            "--steps",
            "3",
            "--held-out",
            "3",
            "--held-out-steps",
            "2",
            "--samples",
            "2",
            "--out",
            &out,
            "--title",
            "Blobs",
        ]);
        let report = json(&place.succeed(&["inspect", &out, "--json"]));
        assert_eq!((&report["title"], &report["samples"]), (&"Blobs".into(), &2.into()));
        assert_eq!(report["training"].as_array().unwrap().len(), 2);
        assert_eq!(report["held_out"]["percentiles"].as_array().unwrap().len(), 101);
        let solved = place.succeed(&[
            "solve",
            "y/001.png",
            "--from-photo",
            "--model",
            &out,
            "--starts",
            "2",
            "--steps",
            "2",
            "--json",
        ]);
        assert!(json(&solved)["images"][0]["belonging_percent"].is_number());
    }
}

#[test]
fn a_student_is_trained_measured_and_used() {
    let place = Place::new().with_images("x", 16);
    // A teacher under torchvision's names, cut off after its third block.
    let config = PerceptualConfig { kind: PerceptualKind::Vgg16, widths: vec![4, 4, 6, 6, 8, 8, 8], normalise: true };
    let mut start = Initialiser::new(1, &Device::Cpu);
    for (name, shape) in config.shapes().unwrap() {
        let deviation = (2.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        start.normal(&name, &shape, 0.0, if shape.len() == 4 { deviation } else { 0.1 }).unwrap();
    }
    let teacher = start.finish().iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    write_tensors(&place.path("vgg.safetensors"), &teacher, &HashMap::new(), Storage::F32).unwrap();
    let train = |out: &str, steps: &str| {
        let arguments = ["train", "student", "--teacher", "vgg.safetensors", "--images", "x", "--size", "32"];
        let more = ["--widths", "2,3,4", "--steps", steps, "--pairs", "2", "--held-out", "6", "--out", out];
        place.succeed(&[&arguments[..], &more[..]].concat())
    };
    let text = train("p.safetensors", "5");
    assert!(text.contains("rank correlation"), "{text}");
    let report = json(&place.succeed(&["inspect", "p.safetensors", "--json"]));
    let quality = report["about"]["training"][0]["quality"].as_object().unwrap();
    assert!(quality.values().all(|value| (-1.0..=1.0).contains(&value.as_f64().unwrap())), "{quality:?}");
    place.succeed(&[
        "train",
        "prior",
        "--images",
        "x",
        "--size",
        "32",
        "--latent",
        "4",
        "--width",
        "2",
        "--critic-width",
        "2",
        "--batch",
        "4",
        "--steps",
        "1",
        "--out",
        "g.safetensors",
    ]);
    place.succeed(&[
        "train",
        "mapping",
        "--method",
        "nam",
        "--prior",
        "g.safetensors",
        "--perceptual",
        "p.safetensors",
        "--images",
        "x",
        "--width",
        "2",
        "--batch",
        "4",
        "--steps",
        "2",
        "--held-out",
        "2",
        "--held-out-steps",
        "1",
        "--out",
        "m.safetensors",
    ]);
    let report = json(&place.succeed(&["inspect", "m.safetensors", "--json"]));
    assert_eq!(report["loss"]["perceptual"].as_array().unwrap().len(), 3);
    assert_eq!(report["training"].as_array().unwrap().len(), 3);
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
        place.succeed(&[
            "run",
            network,
            "--weights",
            &reference,
            "--prefix",
            "weights.",
            "--input",
            &reference,
            "--out",
            "out.safetensors",
        ]);
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
fn a_killed_training_keeps_its_checkpoint() {
    let place = Place::new().with_images("x", 8);
    let mut child = place
        .command(&[
            "train",
            "prior",
            "--images",
            "x",
            "--out",
            "g.safetensors",
            "--size",
            "32",
            "--latent",
            "4",
            "--width",
            "2",
            "--critic-width",
            "2",
            "--batch",
            "4",
            "--steps",
            "1000000",
            "--checkpoint-every",
            "5",
            "--samples-every",
            "1000000",
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&place.path("g.safetensors"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.run(&["inspect", "g.safetensors"]).status.success());
    let resumed = place.command(&[
        "train",
        "prior",
        "--images",
        "x",
        "--out",
        "g.safetensors",
        "--size",
        "32",
        "--resume",
        "--steps",
        "1000000",
        "--samples-every",
        "1000000",
    ]);
    interrupt(resumed, &place);
}

/// Starts the program, presses Ctrl-C, and expects it to stop in order.
#[cfg(unix)]
fn interrupt(mut command: Command, place: &Place) {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let before = std::fs::metadata(place.path("g.checkpoint")).unwrap().modified().unwrap();
    // Long enough that the steps have begun; the log is written anew then.
    std::thread::sleep(Duration::from_millis(1500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("--resume goes on from there"), "{errors}");
    assert!(std::fs::metadata(place.path("g.checkpoint")).unwrap().modified().unwrap() > before);
}

#[cfg(not(unix))]
fn interrupt(_: Command, _: &Place) {}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for counterparts of an image that cannot be read.
fn refuse_image(name: &str, bytes: &[u8]) -> String {
    let place = Place::new().with_model();
    std::fs::write(place.path(name), bytes).unwrap();
    let errors =
        place.fail(&["solve", name, "--model", "m.safetensors", "--starts", "1", "--steps", "1", "--out", "grid.png"]);
    assert!(errors.contains(name), "{errors} does not name {name}");
    errors
}

fn png_bytes(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbaImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_truncated_png() {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image(1).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    refuse_image("half.png", &bytes[..bytes.len() / 2]);
    refuse_image("tiny.png", &bytes[..10]);
}

#[test]
fn a_text_file_named_png() {
    refuse_image("text.png", b"This is no picture, whatever its name says.\n");
    refuse_image("nothing.png", b"");
}

#[test]
fn a_header_of_30000_by_30000_pixels() {
    let mut bytes = png_bytes(1, 1);
    bytes[16..20].copy_from_slice(&30_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&30_000u32.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    refuse_image("huge.png", &bytes);
}

/// The checksum of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn pictures_of_unusual_kinds_are_read() {
    let place = Place::new().with_model();
    std::fs::write(place.path("cmyk.jpg"), include_bytes!("data/cmyk.jpg")).unwrap();
    let deep = image::ImageBuffer::<image::Rgba<u16>, _>::from_fn(30, 20, |x, y| {
        image::Rgba([(x * 2000) as u16, (y * 3000) as u16, 1000, if x > 15 { u16::MAX } else { 300 }])
    });
    image::DynamicImage::ImageRgba16(deep).save(place.path("deep.png")).unwrap();
    for name in ["cmyk.jpg", "deep.png"] {
        place.succeed(&["sample", name, "--model", "m.safetensors", "--count", "2", "--out", "grid.png"]);
    }
}

#[test]
fn folders_with_too_little_in_them() {
    let place = Place::new().with_images("one", 1).with_model();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::create_dir(place.path("text")).unwrap();
    std::fs::write(place.path("text/readme.txt"), "no image").unwrap();
    for (folder, word) in [("empty", "empty"), ("text", "no PNG"), ("one", "1 picture"), ("nowhere", "nowhere")] {
        let errors = place.fail(&["train", "prior", "--images", folder, "--out", "g.safetensors"]);
        assert!(errors.contains(word), "{errors}");
        let errors = place.fail(&["evaluate", "--model", "m.safetensors", "--images", folder]);
        assert!(errors.contains(word), "{errors}");
    }
    place.fail(&["solve", "empty", "--model", "m.safetensors", "--out", "grid.png"]);
}

#[test]
fn bad_model_files() {
    let place = Place::new().with_model().with_images("y", 1);
    let good = std::fs::read(place.path("m.safetensors")).unwrap();
    let mut lying = good.clone();
    lying[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let text = |from: &str, to: &str| {
        let start = good.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = good.clone();
        changed[start..start + from.len()].copy_from_slice(to.as_bytes());
        changed
    };
    let version = "\"counterpart.format_version\":\"1\"";
    let mut nan = good.clone();
    let last = nan.len();
    nan[last - 2..].copy_from_slice(&[0x00, 0x7e]);
    for (name, bytes, sentence) in [
        ("half", good[..good.len() / 2].to_vec(), "cut off"),
        ("lying", lying, "not a model file"),
        ("nan", nan, "not numbers"),
        ("newer", text(version, &version.replace('1', "9")), "newer version"),
        ("other", b"GIF89a and so on, no model at all".to_vec(), "not a model file"),
        ("empty", Vec::new(), "not a model file"),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        for arguments in [
            &["inspect", name][..],
            &["solve", "y/000.png", "--model", name, "--out", "grid.png"],
            &["sample", "y/000.png", "--model", name, "--json", "-"],
        ] {
            let errors = place.fail(arguments);
            assert!(errors.contains(sentence) && errors.contains(name), "{name}: {errors}");
        }
    }
    place.fail(&["inspect", "nowhere.safetensors"]);
    place.fail(&["train", "mapping", "--prior", "other", "--images", "y", "--out", "t.safetensors"]);
}

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new().with_model().with_images("y", 2);
    let solve = |out: &str| {
        place.fail(&["solve", "y/000.png", "--model", "m.safetensors", "--starts", "1", "--steps", "1", "--out", out])
    };
    // Below a file, in a folder that is not there, on a folder: a read-only folder is no obstacle to root.
    let errors = solve("m.safetensors/grid.png");
    assert!(errors.contains("no folder m.safetensors"), "{errors}");
    assert!(solve("nowhere/grid.png").contains("no folder nowhere"));
    assert!(solve("y").contains("y is not a file"));
    let train = |out: &str| place.fail(&["train", "prior", "--images", "y", "--out", out]);
    train("m.safetensors/g.safetensors");
    train("nowhere/g.safetensors");
    train("y");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_and_a_read_only_folder() {
    let place = Place::new().with_model().with_images("y", 1);
    // Standard output on a full disk.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place
        .command(&["sample", "y/000.png", "--model", "m.safetensors", "--count", "1", "--json"])
        .stdout(full)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("Standard output") && !errors.contains("panicked"), "{errors}");
    let mount = |kind: &str, options: &str| -> Option<Mounted> {
        let target = place.path(kind);
        std::fs::create_dir(&target).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&target).output();
        done.is_ok_and(|done| done.status.success()).then_some(Mounted(target))
    };
    // Room for no picture: one page, taken by another file.
    match mount("full", "size=4k") {
        Some(_mounted) => {
            std::fs::write(place.path("full/other"), [7; 4096]).unwrap();
            let errors = place.fail(&["sample", "y/000.png", "--model", "m.safetensors", "--out", "full/grid.png"]);
            assert!(errors.contains("no room left for full/grid.png"), "{errors}");
        }
        None => eprintln!("skipped: this user may not mount a small disk to fill"),
    }
    match mount("locked", "ro,size=64k") {
        Some(_mounted) => {
            let errors = place.fail(&["sample", "y/000.png", "--model", "m.safetensors", "--out", "locked/grid.png"]);
            assert!(errors.contains("The folder locked may not be written to"), "{errors}");
        }
        None => eprintln!("skipped: this user may not mount a read-only disk"),
    }
}

/// A mounted folder, unmounted in the end.
#[cfg(target_os = "linux")]
struct Mounted(PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn devices_that_are_not_there() {
    let place = Place::new().with_model().with_images("y", 1);
    for (device, built) in [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))] {
        if !built {
            let errors = place.fail(&[
                "solve",
                "y/000.png",
                "--model",
                "m.safetensors",
                "--device",
                device,
                "--out",
                "grid.png",
            ]);
            assert!(errors.contains("--device cpu"), "{errors}");
        }
    }
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
