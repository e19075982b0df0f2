//! What is known of every picture of a set: labels in IDX and NPZ files, numbers in tables.

use super::ImageSet;
use super::load::display_name;
use crate::files::{cannot_open, check_file};
use crate::{Because, Error, Result};
use candle_core::DType;
use candle_core::npy::NpzTensors;
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// More labels than this are not read.
const MOST: u64 = 1 << 26;

/// A number for every picture of a set.
pub enum Labels {
    /// In the order of the set.
    InOrder(Vec<f32>),
    /// By the names of the files.
    ByName(HashMap<String, f32>),
}

impl Labels {
    /// Opens an IDX file of labels (also `.gz`), the array `y` of an NPZ file, or a table (`.csv`) whose first column is
    /// the file's name and whose second is the number; a first line that is no such pair is a heading.
    ///
    /// # Errors
    /// When the file cannot be read or holds no labels.
    pub fn open(path: &Path) -> Result<Self> {
        check_file(path)?;
        let name = display_name(path);
        let start = super::array::start(path).because(|| cannot_open(path))?;
        let file = || File::open(path).because(|| cannot_open(path));
        match start.as_slice() {
            [0x1f, 0x8b, ..] => read_idx(GzDecoder::new(BufReader::new(file()?)), &name),
            [0, 0, 8, ..] => read_idx(BufReader::new(file()?), &name),
            [b'P', b'K', 3, 4, ..] => read_npz(path, &name),
            _ => read_table(&std::fs::read_to_string(path).because(|| cannot_open(path))?, &name),
        }
    }

    /// The number of every picture of the set.
    ///
    /// # Errors
    /// When a picture has none, or there are more or fewer than pictures.
    pub fn of(&self, set: &ImageSet) -> Result<Vec<f32>> {
        let pictures = set.len();
        match self {
            Self::InOrder(values) if values.len() == pictures => Ok(values.clone()),
            Self::InOrder(values) => Err(Error::new(format!(
                "{} has {pictures} pictures, but there are {} labels; name the labels that belong to these pictures.",
                set.title(),
                values.len()
            ))),
            Self::ByName(values) => (0..pictures)
                .map(|i| {
                    let name = set.name(i);
                    let missing = || Error::new(format!("The table of labels has no line for the picture {name}."));
                    values.get(&name).copied().ok_or_else(missing)
                })
                .collect(),
        }
    }
}

fn read_idx(mut reader: impl Read, name: &str) -> Result<Labels> {
    let cut_off = || format!("{name} ends before its last label or is damaged; copy or download it again.");
    let mut head = [0; 8];
    reader.read_exact(&mut head).because(cut_off)?;
    if head[..4] != [0, 0, 8, 1] {
        return Err(Error::new(format!("{name} holds no labels; choose the file of labels beside the images.")));
    }
    let count = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
    let mut bytes = Vec::new();
    reader.take(count.min(MOST)).read_to_end(&mut bytes).because(cut_off)?;
    if bytes.len() as u64 != count || count == 0 {
        return Err(Error::new(cut_off()));
    }
    Ok(Labels::InOrder(bytes.into_iter().map(f32::from).collect()))
}

fn read_npz(path: &Path, name: &str) -> Result<Labels> {
    let damaged = || format!("{name} is no NPZ file, or it is damaged; copy or download it again.");
    let arrays = NpzTensors::new(path).because(damaged)?;
    let none = || Error::new(format!("{name} has no labels: an array called y of one dimension is looked for."));
    let (shape, _) = arrays.get_shape_and_dtype("y").map_err(|_| none())?;
    if shape.rank() != 1 || shape.elem_count() as u64 > MOST || shape.elem_count() == 0 {
        return Err(none());
    }
    let values = arrays.get("y").because(damaged)?.ok_or_else(none)?;
    Ok(Labels::InOrder(values.to_dtype(DType::F32).and_then(|values| values.to_vec1()).because(damaged)?))
}

fn read_table(text: &str, name: &str) -> Result<Labels> {
    let mut values = HashMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut cells = line.split(',').map(str::trim);
        match (cells.next(), cells.next().map(str::parse::<f32>)) {
            (Some(file), Some(Ok(value))) if value.is_finite() => {
                values.insert(file.to_owned(), value);
            }
            _ if i == 0 => {}
            _ => {
                return Err(Error::new(format!(
                    "Line {} of {name} is not a file's name, a comma and a number; correct or remove it.",
                    i + 1
                )));
            }
        }
    }
    if values.is_empty() {
        return Err(Error::new(format!("{name} holds no labels: neither IDX nor NPZ nor lines of name, number.")));
    }
    Ok(Labels::ByName(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_from_idx_and_tables() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let idx = write("labels", &[0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 9]);
        let Labels::InOrder(values) = Labels::open(&idx).unwrap() else { panic!("IDX labels are in order") };
        assert_eq!(values, [7.0, 2.0, 9.0]);
        let table = write("t.csv", b"file,angle,set\na.png,-12.5,a\nb.png,30,b\n");
        let Labels::ByName(values) = Labels::open(&table).unwrap() else { panic!("tables go by name") };
        assert_eq!((values["a.png"], values["b.png"], values.len()), (-12.5, 30.0, 2));
        for bad in
            [&[0, 0, 8, 1, 0, 0, 0, 4, 7][..], &[0, 0, 8, 3, 0, 0, 0, 4], b"nothing", b"a,1\nb,x\n", b"PK\x03\x04"]
        {
            assert!(Labels::open(&write("bad", bad)).is_err(), "{bad:?}");
        }
    }
}
