use counterpart::{Picture, data::*, nets::GeneratorConfig, prior::*};
use std::{ops::ControlFlow, path::Path, sync::Arc, time::Instant};
fn sheet(p: &[Picture], cols: usize) -> Picture {
    let s = p[0].width();
    let rows = p.len().div_ceil(cols);
    let mut o = Picture::filled(cols * (s + 2), rows * (s + 2), [255; 4]);
    let w = o.width();
    for (i, q) in p.iter().enumerate() {
        let (cx, cy) = ((i % cols) * (s + 2), (i / cols) * (s + 2));
        for y in 0..s {
            let a = ((cy + y) * w + cx) * 4;
            o.rgba_mut()[a..a + 4 * s].copy_from_slice(&q.rgba()[y * s * 4..(y + 1) * s * 4]);
        }
    }
    o
}
fn save(p: &Picture, path: &str) {
    image::save_buffer(path, p.rgba(), p.width() as u32, p.height() as u32, image::ColorType::Rgba8).unwrap();
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let out = a[1].clone();
    let steps: usize = a[2].parse().unwrap();
    let width: usize = a[3].parse().unwrap();
    let part: f64 = a[4].parse().unwrap();
    let every: usize = a[5].parse().unwrap();
    let set = ImageSet::open("/work/shared/data/products/shoes").unwrap().part(0.0..part, 1);
    let prep =
        Preparation { size: 64, crop: Crop::Content { margin: 0.05 }, facing: Facing::Left, ..Default::default() };
    let t = Instant::now();
    let p = set.prepare_all(&prep, |_| ControlFlow::Continue(()));
    println!("{} prepared in {:?}, {} failed", p.pictures.len(), t.elapsed(), p.failures.len());
    save(&sheet(&p.pictures[..100], 10), &format!("{out}.data.png"));
    let images = Arc::new(Images::new(&p.pictures, 3).unwrap());
    let ck = format!("{out}.checkpoint");
    let dev = candle_core::Device::Cpu;
    let s = Settings {
        generator: GeneratorConfig { latent: 100, width, channels: 3, size: 64 },
        critic_width: width,
        steps,
        cool_down: 0.3,
        augmentation: Augmentation { shift: 2, flip: false },
        seed: 1806,
        ..Default::default()
    };
    let mut t = if Path::new(&ck).exists() {
        Trainer::resume(Path::new(&ck), Some(steps), images, &dev).unwrap()
    } else {
        Trainer::new(s, images, &dev).unwrap()
    };
    let now = Instant::now();
    let first = t.steps();
    while !t.is_done() {
        let r = t.step().unwrap();
        if r.step % every == 0 || r.step == first + 10 {
            println!("{} {:?} {:.3} s/step", r.step, r.losses, now.elapsed().as_secs_f64() / (r.step - first) as f64);
            if r.step % every == 0 {
                save(&sheet(&t.samples(64).unwrap(), 8), &format!("{out}.{:06}.png", r.step));
                t.checkpoint().unwrap().save(Path::new(&ck)).unwrap();
                let w = t.weights().unwrap();
                safetensors::serialize_to_file(w.iter(), None, Path::new(&format!("{out}.safetensors"))).unwrap();
            }
        }
    }
}
