//! Pictures in arrays of bytes: IDX files (plain or gzip) and NPZ files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::DType;
use candle_core::npy::NpzTensors;
use flate2::read::GzDecoder;

use super::load::display_name;
use crate::files::{cannot_open, check_file};
use crate::{Because, Error, Picture, Result};

/// The most bytes an array may have once it is unpacked.
const LARGEST: usize = 4 << 30;
/// No compressor of these formats packs more than this many bytes into one.
const MOST_PACKED: usize = 1100;

/// Equal-sized pictures in one array of bytes.
pub(crate) struct PixelArray {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
    /// Whether the channels are planes, `[n, channels, height, width]`, instead of the last dimension.
    planes: bool,
    bytes: Vec<u8>,
}

impl PixelArray {
    /// Understands the dimensions `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]`.
    fn new(dims: &[usize], bytes: Vec<u8>, name: &str) -> Result<Self> {
        let of_colour = |n: usize| matches!(n, 1 | 3 | 4);
        let (height, width, channels, planes) = match *dims {
            [_, height, width] => (height, width, 1, false),
            [_, height, width, channels] if of_colour(channels) => (height, width, channels, false),
            [_, channels, height, width] if of_colour(channels) => (height, width, channels, true),
            _ => {
                return Err(Error::new(format!(
                    "{name} holds an array of the dimensions {dims:?}; pictures need [n, height, width] or \
                     [n, height, width, channels] with 1, 3 or 4 channels."
                )));
            }
        };
        let count = dims[0];
        if count == 0 || height == 0 || width == 0 {
            return Err(Error::new(format!("{name} holds no pictures: its dimensions are {dims:?}.")));
        }
        Ok(Self { count, height, width, channels, planes, bytes })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The picture in a row.
    pub fn picture(&self, row: usize) -> Result<Picture> {
        let (area, channels) = (self.height * self.width, self.channels);
        let bytes = &self.bytes[row * area * channels..][..area * channels];
        let value = |i: usize, c: usize| if self.planes { bytes[c * area + i] } else { bytes[i * channels + c] };
        let pixel = |i: usize| match channels {
            1 => [value(i, 0), value(i, 0), value(i, 0), 255],
            3 => [value(i, 0), value(i, 1), value(i, 2), 255],
            _ => [value(i, 0), value(i, 1), value(i, 2), value(i, 3)],
        };
        Picture::new(self.width, self.height, (0..area).flat_map(pixel).collect())
    }
}

/// The first 512 bytes of a file, fewer if it is shorter.
pub(crate) fn start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut start)?;
    Ok(start)
}

/// Opens an IDX or NPZ file; `None` when the content is neither.
pub(crate) fn open(path: &Path) -> Result<Option<PixelArray>> {
    check_file(path)?;
    let name = display_name(path);
    match start(path).because(|| cannot_open(path))?.as_slice() {
        [0x1f, 0x8b, ..] => {
            let packed = BufReader::new(File::open(path).because(|| cannot_open(path))?);
            read_idx(GzDecoder::new(packed), packed_limit(path), &name).map(Some)
        }
        [0, 0, 8..=14, dimensions, ..] if *dimensions > 0 => {
            let file = File::open(path).because(|| cannot_open(path))?;
            let length = usize::try_from(file.metadata().map_or(0, |m| m.len())).unwrap_or(usize::MAX);
            read_idx(BufReader::new(file), length, &name).map(Some)
        }
        [b'P', b'K', 3, 4, ..] => read_npz(path, &name).map(Some),
        _ => Ok(None),
    }
}

/// The most bytes that can come out of a packed file.
fn packed_limit(path: &Path) -> usize {
    let length = std::fs::metadata(path).map_or(0, |m| m.len());
    usize::try_from(length).unwrap_or(usize::MAX).saturating_mul(MOST_PACKED)
}

/// The bytes of an array of these dimensions; an error when a file with room for `room` bytes cannot hold them.
fn checked_length(dims: &[usize], room: usize, name: &str) -> Result<usize> {
    let length = dims.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    length.filter(|length| *length <= room.min(LARGEST)).ok_or_else(|| {
        Error::new(format!(
            "{name} says it holds an array of {dims:?} bytes, more than can be in it; it is cut off or damaged, so copy \
             or download it again."
        ))
    })
}

/// Reads IDX: two zero bytes, the type (8: bytes), the number of dimensions, each dimension as 32 bits, the values.
fn read_idx(mut reader: impl Read, room: usize, name: &str) -> Result<PixelArray> {
    let cut_off = || format!("{name} ends before its last picture or is damaged; copy or download it again.");
    let mut head = [0; 4];
    reader.read_exact(&mut head).because(cut_off)?;
    let dimensions = match head {
        [0, 0, 8, dimensions @ (3 | 4)] => dimensions,
        [0, 0, 8, 1] => {
            return Err(Error::new(format!("{name} holds labels, not pictures; choose the file of images beside it.")));
        }
        [0, 0, 8..=14, _] => {
            return Err(Error::new(format!("{name} is an IDX file, but not of pictures with bytes as values.")));
        }
        _ => return Err(Error::new(format!("{name} is packed by gzip, but no IDX file of pictures is inside."))),
    };
    let mut dims = Vec::new();
    for _ in 0..dimensions {
        let mut dimension = [0; 4];
        reader.read_exact(&mut dimension).because(cut_off)?;
        dims.push(u32::from_be_bytes(dimension) as usize);
    }
    let mut bytes = vec![0; checked_length(&dims, room, name)?];
    reader.read_exact(&mut bytes).because(cut_off)?;
    PixelArray::new(&dims, bytes, name)
}

/// Reads the array `x` of an NPZ file, or the only one that has the dimensions of pictures.
fn read_npz(path: &Path, name: &str) -> Result<PixelArray> {
    let damaged = || format!("{name} is no NPZ file, or it is damaged; copy or download it again.");
    let arrays = NpzTensors::new(path).because(damaged)?;
    let mut names: Vec<&str> = arrays.names().into_iter().map(String::as_str).collect();
    names.sort_unstable();
    let of_pictures = |array: &&str| {
        arrays.get_shape_and_dtype(array).is_ok_and(|(shape, kind)| kind == DType::U8 && shape.rank() >= 3)
    };
    let chosen = match names.iter().find(|name| **name == "x") {
        Some(x) => x,
        None => match names.iter().filter(|name| of_pictures(name)).collect::<Vec<_>>().as_slice() {
            [only] => only,
            _ => {
                return Err(Error::new(format!(
                    "{name} has the arrays {names:?}; pictures are looked for in one called x, of bytes."
                )));
            }
        },
    };
    let (shape, kind) = arrays.get_shape_and_dtype(chosen).because(damaged)?;
    if kind != DType::U8 {
        return Err(Error::new(format!(
            "The array {chosen} of {name} holds values of the kind {}; pictures must be bytes (uint8).",
            kind.as_str()
        )));
    }
    checked_length(shape.dims(), packed_limit(path), name)?;
    let tensor = arrays.get(chosen).because(damaged)?.ok_or_else(|| Error::new(damaged()))?;
    let bytes = tensor.flatten_all().and_then(|flat| flat.to_vec1::<u8>()).because(damaged)?;
    PixelArray::new(shape.dims(), bytes, name)
}
