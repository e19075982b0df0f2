//! Trainings, from a folder of images to a model file; killed, interrupted and resumed.

use crate::{Place, SMALL_PRIOR, json, words};
use candle_core::Device;
use counterpart::model_file::{Network, Storage, write_tensors};
use counterpart::nets::weights::Initialiser;
use counterpart::nets::{PerceptualConfig, PerceptualKind};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn training_goes_all_the_way_to_a_model_and_resumes() {
    let place = Place::new().with_images("x", 12).with_images("y", 14);
    let prior = |more: &str| place.succeed(&words(&format!("{SMALL_PRIOR} --threads 1 {more}")));
    prior("--out whole.safetensors --steps 6");
    prior("--out parts.safetensors --steps 3");
    prior("--out parts.safetensors --steps 6 --resume");
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
        place.succeed(&words(&format!(
            "train mapping --method {method} --prior whole.safetensors --images y --y edges --width 2 \
            --encoder-width 2 --batch 4 --steps 3 --held-out 3 --held-out-steps 2 --samples 2 --out {out} \
            --title Blobs"
        )));
        let report = json(&place.succeed(&["inspect", &out, "--json"]));
        assert_eq!((&report["title"], &report["samples"]), (&"Blobs".into(), &2.into()));
        assert_eq!(report["training"].as_array().unwrap().len(), 2);
        assert_eq!(report["held_out"]["percentiles"].as_array().unwrap().len(), 101);
        let solved =
            place.succeed(&words(&format!("solve y/001.png --from-photo --model {out} --starts 2 --steps 2 --json")));
        assert!(json(&solved)["images"][0]["belonging_percent"].is_number());
    }
    // An encoder for the mapping that NAM found.
    let encoder = |more: &str| {
        words(&format!(
            "train mapping --prior whole.safetensors --images y --y edges --mapping nam.safetensors --encoder-width 2 \
            --batch 4 --steps 2 --held-out 3 --held-out-steps 2 {more}"
        ))
        .join(" ")
    };
    place.succeed(&words(&encoder("--aggregate 0.1 --out encoder.safetensors")));
    let report = json(&place.succeed(&["inspect", "encoder.safetensors", "--json"]));
    let stages: Vec<_> = report["training"].as_array().unwrap().iter().map(|record| record["stage"].clone()).collect();
    assert_eq!(stages, ["prior", "mapping", "encoder"]);
    let refused = place.fail(&words(&encoder("--method nam --out other.safetensors")));
    assert!(refused.contains("nothing to train"), "{refused}");
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
    place.succeed(&words(&format!("{SMALL_PRIOR} --steps 1 --out g.safetensors")));
    place.succeed(&words(
        "train mapping --method nam --prior g.safetensors --perceptual p.safetensors --images x \
            --width 2 --batch 4 --steps 2 --held-out 2 --held-out-steps 1 --out m.safetensors",
    ));
    let report = json(&place.succeed(&["inspect", "m.safetensors", "--json"]));
    assert_eq!(report["loss"]["perceptual"].as_array().unwrap().len(), 3);
    assert_eq!(report["training"].as_array().unwrap().len(), 3);
    // A generator that begins at another one, and whose critics see what the student sees.
    let further = format!("{SMALL_PRIOR} --start g.safetensors --perceptual p.safetensors");
    place.succeed(&words(&format!("{further} --steps 2 --out h.safetensors --licence mine")));
    place.succeed(&words(
        "train prior --images x --size 32 --perceptual p.safetensors --resume --steps 3 --out h.safetensors",
    ));
    let report = json(&place.succeed(&["inspect", "h.safetensors", "--json"]));
    let steps: Vec<_> = report["about"]["training"].as_array().unwrap().iter().map(|record| &record["steps"]).collect();
    assert_eq!(steps, [1, 3], "{report}");
    assert_eq!(report["about"]["licence"], "mine");
    let refused =
        place.fail(&words(&format!("{} --steps 2 --out i.safetensors", further.replace("--latent 4", "--latent 9"))));
    assert!(refused.contains("--latent"), "{refused}");
    let without = place.run(&words("train prior --images x --size 32 --resume --steps 4 --out h.safetensors"));
    let refused = String::from_utf8_lossy(&without.stderr);
    assert!(without.status.code() == Some(1) && refused.contains("needs the perceptual network"), "{refused}");
}

#[test]
fn a_killed_training_keeps_its_checkpoint() {
    let place = Place::new().with_images("x", 8);
    let endless = "--out g.safetensors --steps 1000000 --samples-every 1000000";
    let mut child = place
        .command(&words(&format!("{SMALL_PRIOR} {endless} --checkpoint-every 5")))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&place.path("g.safetensors"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.run(&["inspect", "g.safetensors"]).status.success());
    let resumed = place.command(&words(&format!("train prior --images x --size 32 --resume {endless}")));
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

#[test]
fn two_folders_become_a_model_with_one_command() {
    let place = Place::new().with_images("x", 16).with_images("y", 20);
    let train = "train model --x x --y y --y-kind edges --size 32 --steps 2,2,2 --out m.safetensors --title Blobs";
    place.succeed(&words(train));
    let report = json(&place.succeed(&["inspect", "m.safetensors", "--json"]));
    let stages: Vec<_> = report["training"].as_array().unwrap().iter().map(|record| record["stage"].clone()).collect();
    assert_eq!(
        (&report["title"], stages),
        (&"Blobs".into(), ["prior", "student", "mapping", "encoder"].map(Into::into).to_vec())
    );
    assert!(image::open(place.path("m.samples.png")).is_ok() && !place.path("m.training").exists());
    place.succeed(&words("sample y/001.png --from-photo --model m.safetensors --count 2 --out grid.png"));
    // A generator that is there already.
    place
        .succeed(&words("train model --prior m.safetensors --y y --y-kind grey --steps 1,1,1 --out other.safetensors"));
    let refused = place.fail(&words("train model --x x --y nowhere --out m2.safetensors"));
    assert!(refused.contains("nowhere") && !place.path("m2.training").exists(), "{refused}");
    let refused = place.fail(&words("train model --resume --out m2.safetensors"));
    assert!(refused.contains("no training"), "{refused}");
}

#[test]
fn an_encoder_without_variances_gives_one_counterpart() {
    let place = Place::new().with_images("x", 8);
    place.succeed(&words(&format!("{SMALL_PRIOR} --steps 1 --out g.safetensors")));
    let diversity = |method: &str| {
        place.succeed(&words(&format!(
            "train mapping --method {method} --prior g.safetensors --images x --loss pixel-l1=1 --width 2 \
            --encoder-width 2 --batch 4 --steps 2 --held-out 2 --held-out-starts 1 --held-out-steps 1 --out {method}.safetensors"
        )));
        let line = format!("evaluate --model {method}.safetensors --images x --count 2 --how sample --starts 3 --json");
        json(&place.succeed(&words(&line)))["measures"][0]["diversity_l1"].as_f64().unwrap()
    };
    assert_eq!(diversity("ae-nam"), 0.0);
    assert!(diversity("vae-nam") > 0.0);
}
