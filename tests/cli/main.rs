//! The command line as a person uses it: the real program, good and bad input, exit codes, and what it leaves behind.

use candle_core::Device;
use counterpart::Picture;
use counterpart::model_file::{LossConfig, Manifest, Model, Storage, YKind};
use counterpart::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig, Weights};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

mod misuse;
mod protocols;
mod refusals;
mod solving;
mod training;

/// Trains a prior that is as small as can be; the rest of the words follow.
const SMALL_PRIOR: &str = "train prior --images x --size 32 --latent 4 --width 2 --critic-width 2 --batch 4";

/// The words of a command line without quotes.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

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
    let generator = GeneratorConfig { latent: 6, width: 2, channels: 3, size: 32, layers: Vec::new() };
    let mapping = MappingConfig { width: 2, inputs: 3, outputs: 1, size: 32, skip: false, source: 0 };
    let encoder = EncoderConfig { latent: 6, width: 2, channels: 1, size: 32, variational: true };
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
fn the_binary_holds_every_model_once() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_counterpart")).unwrap();
    for model in counterpart::model_file::embedded::all() {
        // Its header is its own: networks may be in several models.
        let sought = &model.bytes[..2048];
        let found = binary.windows(sought.len()).filter(|window| window[..8] == sought[..8] && *window == sought);
        assert_eq!(found.count(), 1, "{}", model.id);
    }
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
    for (name, out, place_of) in [("prior", "G", "generator"), ("student", "P", "student"), ("mapping", "M", "model")] {
        let own = place.succeed(&["train", name, "--help"]);
        let (out, place_of) = (format!("--out <{out}.safetensors>"), format!("Where the {place_of} goes"));
        for part in ["--seed", "--threads", "--device", "--resume", "--licence", &out, &place_of] {
            assert!(own.contains(part), "{part} is missing in train {name}");
        }
    }
    assert_eq!(place.run(&["solve"]).status.code(), Some(2));
    assert_eq!(place.run(&["bench", "nonsense"]).status.code(), Some(2));
}
