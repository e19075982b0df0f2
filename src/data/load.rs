//! From a file to a picture, or to a sentence that says what is wrong with the file.

use std::io::Cursor;
use std::path::Path;

use image::error::LimitErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::files::{cannot_open, check_file};
use crate::{Because, Error, Picture, Result};

/// The longest side that is read, in pixels.
pub const LONGEST_SIDE: u32 = 16_384;
/// The most pixels that are read.
pub const MOST_PIXELS: u64 = 100_000_000;
/// The largest picture file that is read, in bytes.
const LARGEST_FILE: u64 = 512 << 20;

/// The endings of the file formats that are read; the content decides, the ending only helps to skip other files.
pub const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "jfif"];

/// Reads a PNG, JPEG, WebP, BMP or GIF (first frame) file. The format is told by the content, the orientation tag is
/// applied, alpha is kept, 16-bit values are rounded to 8.
///
/// # Errors
/// When the file cannot be read, is no such picture, is damaged, or is larger than [`LONGEST_SIDE`] or
/// [`MOST_PIXELS`], which is found out from its header before anything is allocated.
pub fn load_picture(path: impl AsRef<Path>) -> Result<Picture> {
    let path = path.as_ref();
    let name = display_name(path);
    if path.is_dir() {
        return Err(Error::new(format!("{name} is a folder, not a picture; choose a picture inside it.")));
    }
    let metadata = check_file(path)?;
    if metadata.len() > LARGEST_FILE {
        return Err(Error::new(format!(
            "{name} has {} MB, too much for a picture; save it smaller and try again.",
            metadata.len() >> 20
        )));
    }
    decode(&std::fs::read(path).because(|| cannot_open(path))?, &name)
}

/// The last part of a path, for sentences.
pub(crate) fn display_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a picture from the bytes of a file, as [`load_picture`] does; `name` is used in sentences only.
///
/// # Errors
/// As [`load_picture`].
pub fn decode(bytes: &[u8], name: &str) -> Result<Picture> {
    if bytes.is_empty() {
        return Err(Error::new(format!("{name} is empty; it may not have been saved or copied to its end.")));
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().because(|| unreadable(name))?;
    let Some(format) = reader.format() else { return Err(no_picture(bytes, name)) };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err(Error::new(cut_off(name)));
    }
    let mut decoder = match open(reader) {
        Ok(decoder) => decoder,
        Err(error) => return Err(explain(error, format, name)),
    };
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::new(format!("{name} has no pixels; open it in a picture program and save it again.")));
    }
    if width > LONGEST_SIDE || height > LONGEST_SIDE || u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(too_large(name, width, height));
    }
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| explain(error, format, name))?;
    image.apply_orientation(orientation);
    let image = image.into_rgba8();
    Picture::new(image.width() as usize, image.height() as usize, image.into_raw())
}

fn open<'a>(mut reader: ImageReader<Cursor<&'a [u8]>>) -> Result<impl ImageDecoder + 'a, ImageError> {
    // The sides are checked by the caller, whose sentence names them; this bounds what a decoder needs besides.
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 8 + (256 << 20));
    reader.limits(limits);
    reader.into_decoder()
}

fn unreadable(name: &str) -> String {
    format!("{name} cannot be read as a picture.")
}

fn cut_off(name: &str) -> String {
    format!("{name} is cut off: its end is missing; copy or download it again.")
}

fn too_large(name: &str, width: u32, height: u32) -> Error {
    Error::new(format!(
        "{name} says it has {width} x {height} pixels; at most {LONGEST_SIDE} a side and {} million in all are read, \
         so save it smaller and try again.",
        MOST_PIXELS / 1_000_000
    ))
}

/// The content begins like no picture that is read here: say what it looks like instead.
fn no_picture(bytes: &[u8], name: &str) -> Error {
    let start = &bytes[..bytes.len().min(512)];
    let known: [(&[u8], &str); 9] = [
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"8BPS", "a Photoshop document"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"<svg", "an SVG drawing"),
        (b"<?xml", "an XML document"),
    ];
    let kind = known.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    let kind = kind.or_else(|| match start.get(4..12) {
        Some(b"ftypavif") => Some("an AVIF picture"),
        Some(b"ftypheic" | b"ftypmif1" | b"ftypheix") => Some("a HEIC picture"),
        _ => None,
    });
    let text = std::str::from_utf8(start).map_or_else(|e| e.error_len().is_none(), |_| true)
        && start.iter().all(|b| *b >= 32 || b"\t\r\n\x0c".contains(b));
    let kind = kind.or(text.then_some("text"));
    Error::new(match kind {
        Some(kind) => format!("{name} holds {kind}, not a picture that can be read; use PNG, JPEG, WebP, BMP or GIF."),
        None => format!("{name} is no PNG, JPEG, WebP, BMP or GIF picture; save it as one of these and try again."),
    })
}

/// A sentence for what a decoder reports.
fn explain(error: ImageError, format: ImageFormat, name: &str) -> Error {
    let format = format!("{format:?}").to_uppercase();
    let sentence = match &error {
        ImageError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => cut_off(name),
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::DimensionError => {
            format!("{name} has sides too long to be read; save it smaller and try again.")
        }
        ImageError::Limits(_) => format!("{name} needs too much memory to be read; save it smaller and try again."),
        ImageError::Unsupported(_) => {
            format!("{name} is a kind of {format} that cannot be read; save it as an ordinary PNG or JPEG.")
        }
        error if error.to_string().to_lowercase().contains("end of file") => cut_off(name),
        _ => format!("{name} is damaged {format}; copy or download it again, or save it anew."),
    };
    Error::because(sentence, error)
}

/// Whether a JPEG has an end-of-image marker after the start of its scan. The decoder would paint what is missing grey
/// and say nothing.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Walk over the header's segments, whose thumbnails have end markers of their own.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|w| w == [0xff, 0xd9]),
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}
