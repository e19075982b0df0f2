//! What the tests of the window share: a small model with random weights, drawings, and patience.

#![allow(dead_code, reason = "each test uses its part")]

use candle_core::Device;
use counterpart::Picture;
use counterpart::data::YKind;
use counterpart::model_file::{HeldOut, Manifest, Model, Storage};
use counterpart::nets::{EncoderConfig, GeneratorConfig, MappingConfig, Weights};
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes a model of 32 x 32 pixels whose weights are random: it finds nothing beautiful, but every computation is
/// the real one.
pub fn write_random_model(path: &Path) {
    write_random_model_measured(path, HeldOut::default());
}

/// The same, of line drawings, with losses that held-out images are said to have had.
pub fn write_random_model_measured(path: &Path, held_out: HeldOut) {
    let device = Device::Cpu;
    let generator = GeneratorConfig { latent: 16, width: 16, channels: 3, size: 32, layers: Vec::new() };
    let mapping = MappingConfig { width: 8, inputs: 3, outputs: 1, size: 32, skip: false, source: 0 };
    let encoder = EncoderConfig { latent: 16, width: 16, channels: 1, size: 32, variational: true };
    let mut weights = Weights::default();
    for (prefix, part) in [
        ("generator", generator.initial_weights(1, &device)),
        ("mapping", mapping.initial_weights(2, &device)),
        ("encoder", encoder.initial_weights(3, &device)),
    ] {
        for (name, tensor) in part.unwrap().iter() {
            // Untrained networks draw grey on grey; larger weights make pictures that can be told apart.
            let tensor =
                if prefix == "generator" && tensor.rank() == 4 { (tensor * 6.0).unwrap() } else { tensor.clone() };
            weights.insert(format!("{prefix}.{name}"), tensor);
        }
    }
    let manifest = Manifest {
        title: "Random".into(),
        domain_x: "noise".into(),
        domain_y: "drawings".into(),
        licence: "none needed".into(),
        y_kind: YKind::Edges,
        held_out,
        ..Manifest::new(generator, mapping, Some(encoder), None)
    };
    let samples = (0..5).map(|i| drawing(32, 8 + 2 * i)).collect();
    Model::new(manifest, weights, samples, &device).unwrap().save(path, Storage::F32).unwrap();
}

/// A drawing of a box with a lid, `size` pixels on a side.
pub fn drawing(size: usize, height: usize) -> Picture {
    let mut picture = Picture::filled(size, size, [255; 4]);
    let (left, right, bottom) = (size / 6, size - size / 6, size - size / 5);
    let top = bottom.saturating_sub(height);
    for x in left..right {
        for y in [top, bottom, bottom - height / 3] {
            dot(&mut picture, x, y);
        }
    }
    for y in top..=bottom {
        dot(&mut picture, left, y);
        dot(&mut picture, right, y);
    }
    picture
}

/// A washed-out photograph: pale ground, a thing hardly darker, and darker thin parts of it.
pub fn pale_photograph(size: usize) -> Picture {
    let mut picture = Picture::filled(size, size, [255; 4]);
    let half = size as f32 / 2.0;
    for (i, pixel) in picture.rgba_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = ((i % size) as f32 - half, (i / size) as f32 - half);
        let distance = (x / (0.8 * half)).hypot(y / (0.5 * half));
        if distance < 1.0 {
            pixel[..3].fill(if distance > 0.97 { 234 } else { 249 });
        }
    }
    picture
}

fn dot(picture: &mut Picture, x: usize, y: usize) {
    let start = 4 * (y * picture.width() + x);
    picture.rgba_mut()[start..start + 3].fill(0);
}

/// Writes a picture as a PNG.
pub fn write_png(path: &Path, picture: &Picture) {
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    image::RgbaImage::from_raw(width, height, picture.rgba().to_vec()).unwrap().save(path).unwrap();
}

/// Waits until something holds, and says what did not when it takes too long.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < limit, "no {what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
