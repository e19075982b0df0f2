//! PyTorch checkpoints from before version 1.6: pickles one after another, then the raw values of every storage.
//! Nothing in them is executed.

use crate::{Because, Error, Result};
use candle_core::pickle::{Object, Stack};
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// The magic number and the protocol version 1001, pickled: how such a file begins.
const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02\x4d\xe9\x03\x2e";

/// Whether these bytes begin as such a checkpoint does.
pub fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(START)
}

/// A tensor as its pickle describes it.
struct Described {
    name: String,
    storage: String,
    offset: usize,
    shape: Vec<usize>,
}

/// Reads the f32 tensors of such a checkpoint; other kinds of values (counters) are passed over.
///
/// # Errors
/// When it is cut off, damaged, big-endian, or its tensors are not contiguous.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut rest = bytes.get(START.len()..).unwrap_or_default();
    let _system = unpickle(&mut rest)?;
    let state = unpickle(&mut rest)?;
    let Object::List(keys) = unpickle(&mut rest)? else { return Err(damaged()) };
    let keys: Vec<String> = keys.into_iter().map(|key| key.unicode().map_err(|_| damaged())).collect::<Result<_>>()?;
    let described: Vec<Described> = entries(state)?.into_iter().filter_map(|(k, v)| describe(k, v)).collect();
    let used: Vec<&str> = described.iter().map(|tensor| tensor.storage.as_str()).collect();
    let mut storages: HashMap<String, &[u8]> = HashMap::new();
    for key in keys {
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let count = usize::try_from(i64::from_le_bytes(*count)).because(|| DAMAGED)?;
        // A storage that no f32 tensor uses holds 64-bit counters.
        let width = if used.contains(&key.as_str()) { 4 } else { 8 };
        let (values, after) =
            count.checked_mul(width).and_then(|length| after.split_at_checked(length)).ok_or_else(damaged)?;
        storages.insert(key, values);
        rest = after;
    }
    described.into_iter().map(|tensor| tensor.read(&storages)).collect()
}

const DAMAGED: &str = "The PyTorch checkpoint is damaged, or of a kind that is not known.";

fn damaged() -> Error {
    Error::new(DAMAGED)
}

fn unpickle(rest: &mut &[u8]) -> Result<Object> {
    let mut stack = Stack::empty();
    stack.read_loop(rest).because(|| DAMAGED)?;
    stack.finalize().because(|| DAMAGED)
}

/// The entries of the state: a dictionary, plain or ordered, possibly with attributes set on it.
fn entries(state: Object) -> Result<Vec<(Object, Object)>> {
    match state {
        Object::Dict(entries) => Ok(entries),
        Object::Build { callable, .. } => entries(*callable),
        _ => Err(damaged()),
    }
}

fn describe(name: Object, value: Object) -> Option<Described> {
    let (callable, arguments) = value.reduce().ok()?;
    let (_, class) = callable.class().ok()?;
    let mut arguments = arguments.tuple().ok()?.into_iter();
    if class == "_rebuild_parameter" {
        return describe(name, arguments.next()?);
    }
    if class != "_rebuild_tensor_v2" && class != "_rebuild_tensor" {
        return None;
    }
    let mut storage = arguments.next()?.persistent_load().ok()?.tuple().ok()?.into_iter().skip(1);
    let (_, kind) = storage.next()?.class().ok()?;
    if kind != "FloatStorage" {
        return None;
    }
    let storage = storage.next()?.unicode().ok()?;
    let offset = usize::try_from(arguments.next()?.int_or_long().ok()?).ok()?;
    let mut sizes = || -> Option<Vec<usize>> {
        let sizes = arguments.next()?.tuple().ok()?;
        sizes.into_iter().map(|size| usize::try_from(size.int_or_long().ok()?).ok()).collect()
    };
    let (shape, strides) = (sizes()?, sizes()?);
    let mut expected = 1usize;
    for (&size, &stride) in shape.iter().zip(&strides).rev() {
        if stride != expected && size > 1 {
            return None;
        }
        expected = expected.checked_mul(size)?;
    }
    Some(Described { name: name.unicode().ok()?, storage, offset, shape })
}

impl Described {
    fn read(self, storages: &HashMap<String, &[u8]>) -> Result<(String, Tensor)> {
        let count = self.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let place = count.and_then(|count| Some((self.offset.checked_mul(4)?, count.checked_mul(4)?)));
        let bytes = storages
            .get(&self.storage)
            .zip(place)
            .and_then(|(values, (start, length))| values.get(start..start.checked_add(length)?));
        let values: Vec<f32> =
            bytes.ok_or_else(damaged)?.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok((self.name, Tensor::from_vec(values, self.shape, &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_checkpoint_is_refused() {
        assert!(is_legacy(START) && !is_legacy(b"PK"));
        for length in 0..40 {
            let mut bytes = START.to_vec();
            bytes.extend(std::iter::repeat_n(b'}', length));
            assert!(read(&bytes).is_err());
        }
    }

    #[test]
    fn the_shared_vgg_is_read() {
        let shared = std::env::var("COUNTERPART_SHARED").unwrap_or_else(|_| "../shared".into());
        let path = std::path::Path::new(&shared).join("data/weights/vgg_normalised_conv3_1.pth");
        let Ok(bytes) = std::fs::read(&path) else {
            return eprintln!("skipped: {} is not there", path.display());
        };
        let tensors: HashMap<String, Tensor> = read(&bytes).unwrap().into_iter().collect();
        assert_eq!(tensors["0.weight"].dims(), [3, 3, 1, 1]);
        assert_eq!(tensors["16.weight"].dims(), [256, 128, 3, 3]);
        for cut in (0..bytes.len()).step_by(bytes.len() / 97) {
            assert!(read(&bytes[..cut]).is_err());
        }
    }
}
