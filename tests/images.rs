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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The colours in the middle of the four quarters, row by row.
fn quarters(picture: &Picture) -> [[u8; 4]; 4] {
    let (width, height) = (picture.width(), picture.height());
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| picture.pixel(x * width / 4, y * height / 4).unwrap())
}

#[track_caller]
fn assert_quarters(name: &str, expected: [[u8; 3]; 4], tolerance: u8) {
    let found = quarters(&data::load_picture(fixture(name)).unwrap());
    let close = |(a, b): (&[u8; 4], &[u8; 3])| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= tolerance);
    assert!(found.iter().zip(&expected).all(close), "{name}: {found:?} instead of {expected:?}");
}

const RED: [u8; 3] = [220, 30, 20];
const GREEN: [u8; 3] = [20, 160, 40];
const BLUE: [u8; 3] = [30, 40, 200];
const GREY: [u8; 3] = [128, 128, 128];

#[test]
fn every_format_shows_its_colours() {
    for name in ["quarters.bmp", "quarters.gif", "quarters.webp", "quarters_palette.png"] {
        assert_quarters(name, [RED, GREEN, BLUE, GREY], 0);
    }
    for name in ["quarters.jpg", "quarters_progressive.jpg", "quarters_lossy.webp"] {
        assert_quarters(name, [RED, GREEN, BLUE, GREY], 6);
    }
    // Printers' inks, as Adobe's programs write them: turned into YCC, and plain.
    assert_quarters("quarters_cmyk.jpg", [RED, GREEN, BLUE, GREY], 6);
    let ink = |cmyk: [u32; 4]| [0, 1, 2].map(|c| ((255 - cmyk[c]) * (255 - cmyk[3]) / 255) as u8);
    let inks = [[99, 84, 238, 35], [167, 69, 31, 95], [70, 231, 104, 55], [255, 127, 127, 127]];
    assert_quarters("quarters_cmyk_plain.jpg", inks.map(ink), 4);
    let grey =
        |[r, g, b]: [u8; 3]| [(0.2126 * f32::from(r) + 0.7152 * f32::from(g) + 0.0722 * f32::from(b)).round() as u8; 3];
    assert_quarters("quarters_grey.jpg", [RED, GREEN, BLUE, GREY].map(grey), 6);
}

#[test]
fn sixteen_bits_with_alpha_are_kept() {
    let picture = data::load_picture(fixture("quarters_16bit_alpha.png")).unwrap();
    let [red, ..] = quarters(&picture);
    assert_eq!(red[..3], RED);
    assert!(red[3].abs_diff(128) <= 1);
    let over_white = data::prepare(&picture, &Preparation { size: 32, ..Preparation::default() });
    let [r, g, b, a] = quarters(&over_white)[0];
    assert!(r.abs_diff(237) < 4 && g.abs_diff(142) < 4 && b.abs_diff(137) < 4 && a == 255, "{r} {g} {b} {a}");
}

#[test]
fn orientation_tags_are_followed() {
    assert_quarters("quarters_orientation_3.jpg", [GREY, BLUE, GREEN, RED], 6);
    assert_quarters("quarters_orientation_6.jpg", [BLUE, RED, GREY, GREEN], 6);
    assert_quarters("quarters_orientation_8.jpg", [GREEN, GREY, RED, BLUE], 6);
    let turned = data::load_picture(fixture("quarters_orientation_6.jpg")).unwrap();
    assert_eq!((turned.width(), turned.height()), (24, 32));
}

#[test]
fn damaged_files_are_sentences() {
    let decode = |bytes: &[u8]| data::decode(bytes, "p");
    for name in ["quarters.bmp", "quarters.gif", "quarters.jpg", "quarters.webp", "quarters_palette.png"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let error = decode(&bytes[..bytes.len() * 2 / 3]).unwrap_err();
        assert_sentence(&error, if name.ends_with("webp") { "p is" } else { "p is cut off" });
        // Whatever is wrong inside, it is an error or a picture, never a panic.
        for i in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[i] = broken[i].wrapping_add(97);
            let _ = decode(&broken);
            let _ = decode(&bytes[..i]);
        }
    }
    assert_sentence(&decode(b"").unwrap_err(), "is empty");
    assert_sentence(&decode(b"Dear model, please draw a shoe.").unwrap_err(), "holds text");
    assert_sentence(&decode(b"%PDF-1.7 and so on").unwrap_err(), "a PDF document");
    assert_sentence(&decode(&[7; 300]).unwrap_err(), "is no PNG");
    assert_sentence(&data::load_picture(fixture("")).unwrap_err(), "is a folder");
    assert_sentence(&data::load_picture(fixture("missing.png")).unwrap_err(), "There is no file");
}

/// The header of a PNG of 8-bit RGBA with the given sides and one byte of data.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &[0]).unwrap();
    drop(writer);
    bytes
}

#[test]
fn enormous_pictures_are_refused_from_their_header() {
    for (width, height) in [(30_000, 30_000), (16_000, 16_000), (60_000, 2), (0x7fff_ffff, 0x7fff_ffff)] {
        let start = std::time::Instant::now();
        let error = data::decode(&png_header(width, height), "huge.png").unwrap_err();
        assert_sentence(&error, "save it smaller");
        assert!(start.elapsed().as_millis() < 200, "nothing was allocated or decoded");
    }
    let error = data::decode(&png_header(30_000, 30_000), "huge.png").unwrap_err();
    assert_sentence(&error, "30000 x 30000 pixels");
    // The same in a JPEG and a WebP header.
    let mut jpeg = std::fs::read(fixture("quarters.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    assert_sentence(&data::decode(&jpeg, "huge.jpg").unwrap_err(), "30000 x 30000 pixels");
}

/// A drawn ring and a bar, black on white, with lines of a width.
fn drawn(side: usize, line: f32) -> Picture {
    let mut picture = Picture::filled(side, side, [255; 4]);
    let s = side as f32;
    for i in 0..side * side {
        let (x, y) = ((i % side) as f32 - s / 2.0, (i / side) as f32 - s / 2.0);
        let ring = (x.hypot(y) - 0.4 * s).abs() < line / 2.0;
        let bar = y.abs() < line / 2.0 && x.abs() < 0.25 * s;
        if ring || bar {
            picture.rgba_mut()[4 * i..4 * i + 3].fill(0);
        }
    }
    picture
}

fn difference(a: &Picture, b: &Picture) -> f32 {
    let sum: u32 = a.rgba().iter().zip(b.rgba()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    sum as f32 / a.rgba().len() as f32 / 255.0
}

#[test]
fn drawings_of_any_stroke_and_polarity_look_the_same() {
    let drawing = Preparation { treatment: Treatment::Drawing, ..Preparation::default() };
    let usual = data::prepare(&drawn(256, 5.0), &drawing);
    let ink = usual.rgba().chunks_exact(4).filter(|p| p[0] < 100).count();
    assert!((180..420).contains(&ink), "a ring and a bar with thin lines: {ink}");
    for (side, line) in [(64, 1.5), (300, 3.0), (500, 20.0), (1200, 6.0)] {
        let other = data::prepare(&drawn(side, line), &drawing);
        let difference = difference(&usual, &other);
        assert!(difference < 0.03, "{side} px with lines of {line}: {difference}");
    }
    let mut inverted = drawn(256, 5.0);
    inverted.rgba_mut().chunks_exact_mut(4).for_each(|p| p[..3].iter_mut().for_each(|c| *c = 255 - *c));
    assert_eq!(data::prepare(&inverted, &drawing), usual);
    let mut clear = drawn(256, 5.0);
    for pixel in clear.rgba_mut().chunks_exact_mut(4) {
        let ink = 255 - pixel[0];
        pixel.copy_from_slice(&[255, 255, 255, ink]);
    }
    assert_eq!(data::prepare(&clear, &drawing), usual, "white ink on nothing");
    // A filled shape becomes its outline.
    let mut filled = Picture::filled(200, 200, [255; 4]);
    for i in (0..200 * 200).filter(|i| (50..150).contains(&(i % 200)) && (50..150).contains(&(i / 200))) {
        filled.rgba_mut()[4 * i..4 * i + 3].fill(0);
    }
    let outline = data::prepare(&filled, &drawing);
    assert_eq!(outline.pixel(32, 32), Some([255; 4]), "the inside is empty");
    assert!(outline.rgba().chunks_exact(4).any(|p| p[0] < 60), "the outline is drawn");
    assert!(data::looks_like_drawing(&drawn(300, 4.0)) && !data::looks_like_drawing(&wedge(300, 200)));
}

#[test]
fn white_paper_stays_white() {
    for treatment in [Treatment::AsIs, Treatment::Grey, Treatment::EdgesFromPhoto, Treatment::Drawing] {
        for colour in [[255; 4], [0, 0, 0, 0], [250, 248, 246, 255]] {
            let crop = Crop::Content { margin: 0.05 };
            let preparation = Preparation { treatment, crop, facing: Facing::Left, ..Preparation::default() };
            let prepared = data::prepare(&Picture::filled(3, 1, colour), &preparation);
            assert!(prepared.rgba().iter().all(|v| *v >= 245), "{treatment:?} of {colour:?}");
        }
    }
}

#[test]
fn shared_shoes_face_left_and_have_outlines() {
    let Some(path) = shared("products/shoes") else { return };
    let set = ImageSet::open(path).unwrap();
    let sample = set.part(0.0..0.03, 5);
    let crop = Crop::Content { margin: 0.04 };
    let lines =
        Preparation { crop, facing: Facing::Left, treatment: Treatment::EdgesFromPhoto, ..Preparation::default() };
    let prepared = sample.prepare_all(&lines, |_| ControlFlow::Continue(()));
    assert!(prepared.failures.is_empty());
    let mut blank = 0;
    for picture in &prepared.pictures {
        let ink = picture.rgba().chunks_exact(4).filter(|p| p[0] < 128).count() as f32 / 4096.0;
        assert!(ink < 0.4, "noise, not lines: {ink}");
        blank += usize::from(ink < 0.03);
    }
    assert!(blank * 100 <= prepared.pictures.len(), "{blank} of {} are nearly empty", prepared.pictures.len());
}
