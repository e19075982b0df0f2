//! Real picture files, good and bad, through the public functions.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use counterpart::data::{self, Crop, Facing, ImageSet, Preparation, Treatment};
use counterpart::{Error, Picture};

/// A sentence for a person: short words, an end, no debug output.
#[track_caller]
fn assert_sentence(error: &Error, about: &str) {
    let text = error.to_string();
    assert!(text.contains(about), "{text:?} does not say {about:?}");
    assert!(text.ends_with('.') && !text.contains("Error") && !text.contains('\n') && text.len() < 300, "{text:?}");
}

fn png(picture: &Picture) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbaImage::from_raw(picture.width() as u32, picture.height() as u32, picture.rgba().to_vec());
    image.unwrap().write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Something on white: a dark wedge, low on the left and high on the right.
fn wedge(width: usize, height: usize) -> Picture {
    let mut picture = Picture::filled(width, height, [255; 4]);
    for y in 0..height {
        for x in width / 5..width * 4 / 5 {
            let slope = (x - width / 5) as f32 / (width * 3 / 5) as f32;
            if y < height * 3 / 4 && (height * 3 / 4 - y) as f32 <= (0.1 + 0.4 * slope) * height as f32 {
                picture.rgba_mut()[4 * (y * width + x)..][..4].copy_from_slice(&[120, 40, 20, 255]);
            }
        }
    }
    picture
}

fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("COUNTERPART_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("data").join(part);
    if !path.exists() {
        eprintln!("passed over: there is no shared/data/{part}");
        return None;
    }
    Some(path)
}

#[test]
fn a_set_is_sorted_counts_what_it_passes_over_and_reads_lazily() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("inside")).unwrap();
    for name in ["b.png", "a.PNG", "inside/c.png", "no_ending"] {
        std::fs::write(folder.path().join(name), png(&wedge(20, 10))).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    std::fs::write(folder.path().join("lie.png"), "I am not a picture.").unwrap();
    let set = ImageSet::open(folder.path()).unwrap();
    let names: Vec<String> = (0..set.len()).map(|i| set.name(i)).collect();
    assert_eq!(names, ["a.PNG", "b.png", "inside/c.png", "lie.png", "no_ending"]);
    assert_eq!(set.skipped(), 1);
    assert_eq!(set.picture(2).unwrap(), wedge(20, 10));
    assert_sentence(&set.picture(3).unwrap_err(), "lie.png holds text");
    let prepared = set.prepare_all(&Preparation::default(), |_| ControlFlow::Continue(()));
    assert_eq!(prepared.indices, [0, 1, 2, 4]);
    assert_eq!(prepared.failures.len(), 1);
    assert_eq!(prepared.pictures[0], data::prepare(&wedge(20, 10), &Preparation::default()));
}

#[test]
fn too_few_pictures_are_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    assert_sentence(&ImageSet::open(folder.path()).unwrap_err(), "is empty");
    std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    assert_sentence(&ImageSet::open(folder.path()).unwrap_err(), "no PNG");
    std::fs::write(folder.path().join("one.png"), png(&wedge(20, 10))).unwrap();
    let set = ImageSet::open(folder.path()).unwrap();
    assert_sentence(&set.require(64).unwrap_err(), "has 1 picture, but at least 64");
    assert!(set.require(1).is_ok());
    assert_sentence(&ImageSet::open(folder.path().join("nothing")).unwrap_err(), "There is no file");
}

#[test]
fn parts_never_share_a_picture() {
    let set = ImageSet::from_files((0..101).map(|i| PathBuf::from(format!("{i}.png"))));
    let names = |set: &ImageSet| (0..set.len()).map(|i| set.name(i)).collect::<Vec<_>>();
    let (train, held_out) = set.split(0.1, 7);
    assert_eq!((train.len(), held_out.len()), (91, 10));
    assert!(names(&train).iter().all(|name| !names(&held_out).contains(name)));
    assert_eq!(names(&set.split(0.1, 7).1), names(&held_out));
    assert_ne!(names(&set.split(0.1, 8).1), names(&held_out));
    let parts: Vec<usize> = [0.0..0.4, 0.4..0.9, 0.9..1.0].map(|places| set.part(places, 1).len()).to_vec();
    assert_eq!(parts.iter().sum::<usize>(), 101);
}

fn idx(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [count, 3, 2].iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend((0..count * 6).map(|i| i as u8));
    bytes
}

#[test]
fn idx_with_and_without_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("plain-ubyte"), folder.path().join("packed-ubyte.gz"));
    std::fs::write(&plain, idx(4)).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), Default::default());
    encoder.write_all(&idx(4)).unwrap();
    encoder.finish().unwrap();
    for path in [&plain, &packed] {
        let set = ImageSet::open(path).unwrap();
        assert_eq!((set.len(), set.name(3).as_str()), (4, "3"));
        let picture = set.picture(1).unwrap();
        assert_eq!((picture.width(), picture.height(), picture.pixel(1, 2)), (2, 3, Some([11, 11, 11, 255])));
    }
    // Cut off, more announced than there is, labels instead of pictures.
    std::fs::write(&plain, &idx(4)[..30]).unwrap();
    assert_sentence(&ImageSet::open(&plain).unwrap_err(), "is damaged");
    let half = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &half[..half.len() / 2]).unwrap();
    assert_sentence(&ImageSet::open(&packed).unwrap_err(), "ends before");
    let mut lying = idx(4);
    lying[4..16].fill(0xff);
    std::fs::write(&plain, lying).unwrap();
    assert_sentence(&ImageSet::open(&plain).unwrap_err(), "more than can be in it");
    std::fs::write(&plain, [0, 0, 8, 1, 0, 0, 0, 1, 5]).unwrap();
    assert_sentence(&ImageSet::open(&plain).unwrap_err(), "labels");
}

#[test]
fn npz_of_bytes() {
    use candle_core::{Device, Tensor};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let pixels = Tensor::from_vec((0..2 * 5 * 6 * 3).map(|i| i as u8).collect(), (2, 5, 6, 3), &Device::Cpu).unwrap();
    let labels = Tensor::from_vec(vec![1_u8, 2], 2, &Device::Cpu).unwrap();
    Tensor::write_npz(&[("y", labels.clone()), ("x", pixels.clone())], &path).unwrap();
    let set = ImageSet::open(&path).unwrap();
    let picture = set.picture(1).unwrap();
    assert_eq!((set.len(), picture.width(), picture.height()), (2, 6, 5));
    assert_eq!(picture.pixel(1, 0), Some([93, 94, 95, 255]));
    let planes = pixels.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    Tensor::write_npz(&[("pixels", planes)], &path).unwrap();
    assert_eq!(ImageSet::open(&path).unwrap().picture(1).unwrap(), picture);
    Tensor::write_npz(&[("y", labels)], &path).unwrap();
    assert_sentence(&ImageSet::open(&path).unwrap_err(), "one called x");
    Tensor::write_npz(&[("x", pixels.to_dtype(candle_core::DType::F32).unwrap())], &path).unwrap();
    assert_sentence(&ImageSet::open(&path).unwrap_err(), "must be bytes");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_sentence(&ImageSet::open(&path).unwrap_err(), "damaged");
}

#[test]
fn shared_arrays_open() {
    if let Some(path) = shared("mnist/t10k-images-idx3-ubyte.gz") {
        let set = ImageSet::open(path).unwrap();
        assert_eq!((set.len(), set.picture(9999).unwrap().width()), (10_000, 28));
    }
    if let Some(path) = shared("svhn/svhn32_rgb_test.npz") {
        let set = ImageSet::open(path).unwrap();
        assert_eq!((set.len(), set.picture(0).unwrap().height()), (1952, 32));
    }
}

#[test]
fn preparation_brings_things_to_one_place_and_facing() {
    let crop = Crop::Content { margin: 0.1 };
    let left = Preparation { crop, facing: Facing::Left, ..Preparation::default() };
    let picture = wedge(150, 90);
    let mut mirrored = picture.clone();
    for y in 0..90 {
        for x in 0..150 {
            let pixel = picture.pixel(149 - x, y).unwrap();
            mirrored.rgba_mut()[4 * (y * 150 + x)..][..4].copy_from_slice(&pixel);
        }
    }
    let prepared = data::prepare(&picture, &left);
    assert_eq!(prepared, data::prepare(&mirrored, &left), "both face left now");
    assert_ne!(prepared, data::prepare(&picture, &Preparation { facing: Facing::Right, ..left.clone() }));
    // The wedge's larger extent fills the square up to the margin.
    let row = |y| (0..64).filter(|x| prepared.pixel(*x, y).unwrap()[1] < 150).count();
    let widest = (0..64).map(row).max().unwrap();
    assert!((50..=53).contains(&widest), "{widest}");
    let drawing = data::prepare(&picture, &Preparation { treatment: Treatment::EdgesFromPhoto, ..left });
    let ink = drawing.rgba().chunks_exact(4).filter(|p| p[0] < 128).count();
    assert!((100..400).contains(&ink), "an outline, not a filled shape: {ink}");
}
