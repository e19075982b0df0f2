//! Checked reading and safe writing of `.safetensors` files: nothing that a header claims is believed before it is
//! compared with the file's true length.

use crate::files::write_beside;
use crate::{Because, Error, Result};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Longer headers are refused: a model of this program has a few hundred tensors, a few tens of kilobytes.
const MAX_HEADER: u64 = 16 << 20;

/// How weights are stored in a file. Vectors (biases, running statistics) are few and stay f32 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Half precision: half the size, differences that no eye sees.
    #[default]
    F16,
    /// Single precision: exactly what was trained.
    F32,
}

/// One tensor's place in the file.
#[derive(Debug)]
pub(crate) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    range: Range<usize>,
}

enum Source<'a> {
    Bytes(&'a [u8]),
    File(File),
}

/// A `.safetensors` file whose header has been read and found consistent with its length; no tensor is read yet.
pub(crate) struct Container<'a> {
    name: String,
    source: Source<'a>,
    data_start: u64,
    metadata: HashMap<String, String>,
    tensors: BTreeMap<String, Entry>,
}

impl<'a> Container<'a> {
    /// Opens a file. `name` in error sentences is the path.
    pub fn open(path: &Path) -> Result<Container<'static>> {
        let name = path.display().to_string();
        let length = crate::files::check_file(path)?.len();
        let file = File::open(path).because(|| format!("Cannot read {name}."))?;
        Container::new(name, Source::File(file), length)
    }

    /// Reads from bytes in memory, which are not copied.
    pub fn from_bytes(name: &str, bytes: &'a [u8]) -> Result<Self> {
        Self::new(name.to_owned(), Source::Bytes(bytes), bytes.len() as u64)
    }

    fn new(name: String, mut source: Source<'a>, length: u64) -> Result<Self> {
        let foreign = || format!("{name} is not a model file: it does not begin like a .safetensors file.");
        if length < 8 {
            return Err(Error::new(foreign()));
        }
        let start = source.read(0..8).because(|| format!("Cannot read {name}."))?;
        let header_length = u64::from_le_bytes(start.as_ref().try_into().because(foreign)?);
        if header_length > MAX_HEADER {
            return Err(Error::new(foreign()));
        }
        if header_length + 8 > length {
            let missing = format!("Its header alone should have {header_length} bytes; the file has {length}.");
            return Err(Error::because(format!("{name} is cut off or not a model file."), missing));
        }
        let header = source.read(8..8 + header_length).because(|| format!("Cannot read {name}."))?;
        if header.first() != Some(&b'{') {
            return Err(Error::new(foreign()));
        }
        let header: Metadata = serde_json::from_slice(&header)
            .because(|| format!("{name} is damaged or not a model file: its header makes no sense."))?;
        let (expected, found) = (header.data_len() as u64, length - 8 - header_length);
        if expected != found {
            let how = if found < expected { "is cut off" } else { "has bytes after its end" };
            let cause = format!("Its header promises {expected} bytes of weights, {found} are there.");
            return Err(Error::because(format!("{name} {how}."), cause));
        }
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let range = info.data_offsets.0..info.data_offsets.1;
            (name, Entry { dtype: info.dtype, shape: info.shape.clone(), range })
        });
        let tensors = tensors.collect();
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { name, source, data_start: 8 + header_length, metadata, tensors })
    }

    /// What the file is called in sentences.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The strings of the header.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// All tensors' types and shapes by name.
    pub fn tensors(&self) -> &BTreeMap<String, Entry> {
        &self.tensors
    }

    /// Reads one tensor as f32 onto the device; refuses NaN and infinite values and types that are not floating point.
    pub fn read(&mut self, tensor: &str, device: &Device) -> Result<Tensor> {
        let Self { name, source, data_start, tensors, .. } = self;
        let entry = tensors.get(tensor).ok_or_else(|| Error::new(format!("{name} has no tensor {tensor}.")))?;
        let range = *data_start + entry.range.start as u64..*data_start + entry.range.end as u64;
        let bytes = source.read(range).because(|| format!("Cannot read {tensor} from {name}."))?;
        let values: Vec<f32> = match entry.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::I64 => bytes
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
            other => return Err(Error::new(format!("{tensor} in {name} has the type {other}, which no network has."))),
        };
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let cause = format!("{tensor} has {} at place {place}.", values[place]);
            return Err(Error::because(format!("{name} is damaged: it holds weights that are not numbers."), cause));
        }
        if tensor.ends_with("running_var") && values.iter().any(|&value| value < 0.0) {
            let cause = format!("{tensor} has a variance below 0.");
            return Err(Error::because(format!("{name} is damaged: it holds weights that cannot be right."), cause));
        }
        Ok(Tensor::from_vec(values, entry.shape.as_slice(), device)?)
    }
}

impl Source<'_> {
    fn read(&mut self, range: Range<u64>) -> std::io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Bytes(bytes) => {
                let part = bytes.get(range.start as usize..range.end as usize);
                part.map(Cow::Borrowed).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(range.start))?;
                // Never longer than the file, whose length the header was compared with.
                let mut buffer = vec![0; (range.end - range.start) as usize];
                file.read_exact(&mut buffer)?;
                Ok(Cow::Owned(buffer))
            }
        }
    }
}

/// Writes tensors and strings as a `.safetensors` file, beside its final name and renamed when complete. Tensors of
/// integer type keep it; all others are stored as `storage` says.
///
/// # Errors
/// When a value is not finite, does not fit f16, or the disk refuses; then nothing is left behind and a file that was
/// there before is as it was.
pub fn write_tensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &HashMap<String, String>,
    storage: Storage,
) -> Result<()> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (dtype, bytes) = encode(name, tensor, storage)?;
        views.push((name.as_str(), Stored { dtype, shape: tensor.dims().to_vec(), bytes }));
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.clone());
    let bytes = safetensors::serialize(views, metadata).because(|| format!("Cannot write {}.", path.display()))?;
    write_beside(path, &bytes)
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn encode(name: &str, tensor: &Tensor, storage: Storage) -> Result<(Dtype, Vec<u8>)> {
    let flat = tensor.flatten_all()?;
    if matches!(tensor.dtype(), DType::I64 | DType::U32 | DType::U8) {
        let values = flat.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        return Ok((Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let storage = if tensor.rank() < 2 { Storage::F32 } else { storage };
    let limit = if storage == Storage::F16 { f32::from(f16::MAX) } else { f32::MAX };
    if values.iter().any(|value| !value.is_finite() || value.abs() > limit) {
        return Err(Error::new(format!("{name} holds values that are not numbers or too large; nothing was saved.")));
    }
    Ok(match storage {
        Storage::F16 => (Dtype::F16, values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()),
        Storage::F32 => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> BTreeMap<String, Tensor> {
        let values = Tensor::new(&[[0.5f32, -1.25], [3.0, 0.1]], &Device::Cpu).unwrap();
        BTreeMap::from([("a".to_owned(), values.clone()), ("b".to_owned(), values.get(0).unwrap())])
    }

    #[test]
    fn both_storages_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let metadata = HashMap::from([("who".to_owned(), "me".to_owned())]);
        for (storage, tolerance) in [(Storage::F32, 0.0), (Storage::F16, 1e-3)] {
            write_tensors(&path, &example(), &metadata, storage).unwrap();
            let mut container = Container::open(&path).unwrap();
            assert_eq!(container.metadata(), &metadata);
            let a = container.read("a", &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            let expected = example()["a"].to_vec2::<f32>().unwrap();
            assert!(a.iter().flatten().zip(expected.iter().flatten()).all(|(x, y)| (x - y).abs() <= tolerance));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
    }

    #[test]
    fn a_failed_save_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        write_tensors(&path, &example(), &HashMap::new(), Storage::F32).unwrap();
        let before = std::fs::read(&path).unwrap();
        let mut bad = example();
        bad.insert("c".to_owned(), Tensor::new(&[[1e9f32]], &Device::Cpu).unwrap());
        assert!(write_tensors(&path, &bad, &HashMap::new(), Storage::F16).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
