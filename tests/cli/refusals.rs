//! Bad input, bad places, missing devices: a sentence, exit code 1, and nothing left behind.

use crate::{Place, image, words};
#[cfg(target_os = "linux")]
use std::{path::PathBuf, process::Command};

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
    std::fs::write(place.path("cmyk.jpg"), include_bytes!("../data/cmyk.jpg")).unwrap();
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
            let errors =
                place.fail(&words(&format!("solve y/000.png --model m.safetensors --device {device} --out grid.png")));
            assert!(errors.contains("--device cpu"), "{errors}");
        }
    }
    let errors = place.fail(&words("bench generator --device gpu"));
    assert!(errors.contains("for solving alone") && errors.contains("--device cpu"), "{errors}");
}
