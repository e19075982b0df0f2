//! The protocols of published tables on data that is made on the spot, as small as can be.

use crate::{Place, SMALL_PRIOR, json, words};

#[test]
fn cars_are_drawn_learned_translated_and_judged() {
    let place = Place::new();
    for (folder, set) in [("x", "a"), ("y", "b")] {
        let said =
            place.succeed(&words(&format!("data cars --set {set} --count 20 --size 32 --out {folder} --threads 1")));
        assert!(said.contains("20 cars") && said.contains(&format!("{folder}.csv")), "{said}");
        let table = std::fs::read_to_string(place.path(&format!("{folder}.csv"))).unwrap();
        assert_eq!(table.lines().count(), 21);
        assert!(table.starts_with("file,angle,model,light\n00.png,"), "{table}");
    }
    let again = place.fail(&words("data cars --set a --count 2 --out x"));
    assert!(again.contains("not empty"), "{again}");
    std::fs::write(place.path("z.csv"), "mine").unwrap();
    let refused = place.fail(&words("data cars --set a --count 2 --out z"));
    assert!(refused.contains("would replace z.csv"), "{refused}");
    assert_eq!(std::fs::read_to_string(place.path("z.csv")).unwrap(), "mine");
    place.succeed(&words(&format!("{SMALL_PRIOR} --threads 1 --steps 2 --out g.safetensors")));
    for seed in [1, 2] {
        place.succeed(&words(&format!(
            "train mapping --prior g.safetensors --images y --loss pixel-l1=1 --width 2 --encoder-width 2 --batch 4 \
            --steps 2 --held-out 3 --held-out-starts 1 --held-out-steps 1 --seed {seed} --out m{seed}.safetensors"
        )));
    }
    let judge = |more: &str| {
        place.succeed(&words(&format!("train judge --images x --labels x.csv --width 2 --batch 8 --threads 1 {more}")))
    };
    let said = judge("--verdict angle --test-images y --test-labels y.csv --steps 4 --out angle.safetensors");
    assert!(said.contains("root median squared residual on test images"), "{said}");
    let evaluate = "evaluate cars --images y --labels y.csv --judge angle.safetensors --model m1.safetensors";
    for how in ["sample", "solve --starts 2 --steps 2", "refine --steps 2"] {
        let line = format!("{evaluate} m2.safetensors --count 10 --how {how} --beside cars --json");
        let report = json(&place.succeed(&words(&line)));
        let models = report["models"].as_array().unwrap();
        let figures: Vec<f64> = models.iter().map(|model| model["figure"].as_f64().unwrap()).collect();
        assert!(models.len() == 2 && models[0]["images"] == 10, "{report}");
        assert!((report["mean"].as_f64().unwrap() - (figures[0] + figures[1]) / 2.0).abs() < 1e-9, "{report}");
    }
    let refused = place.fail(&words(&evaluate.replace("cars", "digits")));
    assert!(refused.contains("tells angles"), "{refused}");
    let refused = place.fail(&words(&evaluate.replace("--labels y.csv", "--labels x/00.png")));
    assert!(refused.starts_with("error: ") && !refused.contains("report this"), "{refused}");
    let refused = place.fail(&words("train judge --images x --labels x.csv --out c.safetensors"));
    assert!(refused.contains("whole numbers from 0 to 9"), "{refused}");
}

#[test]
fn a_large_generator_is_mapped_at_a_smaller_size_and_shown_at_its_own() {
    let place = Place::new().with_images("x", 8);
    let prior = SMALL_PRIOR.replace("--size 32", "--size 128");
    place.succeed(&words(&format!("{prior} --threads 1 --steps 1 --out g.safetensors")));
    let train = "train mapping --prior g.safetensors --images x --loss pixel-l1=1 --width 2 --encoder-width 2 --batch 3 \
        --steps 2 --held-out 3 --held-out-starts 1 --held-out-steps 1";
    for method in ["nam", "vae-nam"] {
        place.succeed(&words(&format!("{train} --method {method} --size 32 --out {method}.safetensors")));
        let report = json(&place.succeed(&["inspect", &format!("{method}.safetensors"), "--json"]));
        assert_eq!(report["size"], 32, "{report}");
    }
    let solve = "solve x/001.png --starts 2 --steps 2 --out grid.png";
    place.succeed(&words(&format!("{solve} --model nam.safetensors")));
    let large = image::image_dimensions(place.path("grid.png")).unwrap();
    place.succeed(&words(&format!("{train} --method nam --size 128 --out whole.safetensors")));
    place.succeed(&words(&format!("{solve} --model whole.safetensors")));
    // Whatever T's size is, counterparts are shown with all of G's pixels.
    let whole = image::image_dimensions(place.path("grid.png")).unwrap();
    assert!(large.0 >= 2 * 128 && large.0.abs_diff(whole.0) < 128, "{large:?} {whole:?}");
}

#[test]
fn twins_are_found_by_name() {
    let place = Place::new();
    for (folder, set) in [("x", "a"), ("y", "b")] {
        place.succeed(&words(&format!("data cars --set {set} --count 12 --size 32 --out {folder}")));
    }
    place.succeed(&words(&format!("{SMALL_PRIOR} --threads 1 --steps 2 --out g.safetensors")));
    place.succeed(&words(
        "train mapping --method nam --prior g.safetensors --images y --loss pixel-l1=1 --width 2 --batch 4 --steps 2 \
        --held-out 3 --held-out-starts 1 --held-out-steps 1 --out m.safetensors",
    ));
    let line = "evaluate emoji --model m.safetensors --y y --x y --starts 2 --steps 2 --sheet s.png --json";
    let report = json(&place.succeed(&words(line)));
    assert_eq!(report["twins"], 12);
    // A picture is nearest to itself.
    assert_eq!(report["input"]["top_1"], 1.0);
    let (one, five) = (&report["counterpart"]["top_1"], &report["counterpart"]["top_5"]);
    assert!(one.as_f64().unwrap() <= five.as_f64().unwrap(), "{report}");
    assert!(place.path("s.png").is_file());
    let refused = place.fail(&words("evaluate emoji --model m.safetensors --y y --x nowhere"));
    assert!(refused.contains("nowhere"), "{refused}");
}

#[test]
fn a_trained_generator_is_nearer_to_its_domain_than_a_random_one() {
    let place = Place::new().with_model().with_images("x", 24);
    let prior = SMALL_PRIOR.replace("--width 2 --critic-width 2", "--width 8 --critic-width 8 --method vae");
    place.succeed(&words(&format!("{prior} --threads 1 --learning-rate 0.003 --steps 80 --out g.safetensors")));
    let line = "evaluate prior --prior m.safetensors g.safetensors --images x --squeezenet m.safetensors --count 24";
    let report = json(&place.succeed(&words(&format!("{line} --sheet s.png --json"))));
    let figure = |row: usize, name: &str| report["measured"][row][name].as_f64().unwrap();
    for name in ["coverage", "kernel_distance_1000"] {
        assert!(figure(1, name) < figure(0, name), "{name}: {report}");
    }
    assert_eq!(figure(0, "diversity_of_images"), figure(1, "diversity_of_images"));
    assert_eq!(report["measured"][1]["trained_by"], "vae", "{report}");
    let sheet = image::open(place.path("s.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (16 * 34 + 2, 2 * 34 + 2));
    let refused = place.fail(&words(&format!("{line} --sheet m.safetensors")));
    assert!(refused.contains("is an input"), "{refused}");
}
