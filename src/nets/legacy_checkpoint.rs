//! PyTorch checkpoints of before version 1.6: not a zip archive, but several pickles and then the storages one after
//! another. Nothing in them is executed.

use crate::{Because, Error, Result};
use candle_core::pickle::{Object, Stack};
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use std::collections::HashMap;
use std::io::Cursor;

/// The pickle of the magic number that such a file begins with.
const MAGIC: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Where checkpoints of a whole training keep the weights, those of the averaged generator first.
const NESTED: [&str; 10] =
    ["g_ema", "G_ema", "params_ema", "state_dict", "model_state_dict", "generator", "netG", "G", "params", "model"];

/// Whether a file with these bytes is such a checkpoint.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// All tensors of a state dictionary by name, f32, on the CPU.
///
/// # Errors
/// When the file is cut off, or is no state dictionary.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut cursor = Cursor::new(bytes);
    cursor.set_position(MAGIC.len() as u64);
    let mut next = || -> Result<Object> {
        let mut stack = Stack::empty();
        stack.read_loop(&mut cursor)?;
        Ok(stack.finalize()?)
    };
    let (_protocol, _system, state, keys) = (next()?, next()?, next()?, next()?);
    let views = views(state)?;
    let Object::List(keys) = keys else { return Err(foreign()) };
    let kinds: HashMap<&str, &str> = views.iter().map(|view| (view.key.as_str(), view.storage.as_str())).collect();
    let mut storages = HashMap::new();
    let mut rest = &bytes[cursor.position() as usize..];
    for key in keys {
        let Object::Unicode(key) = key else { return Err(foreign()) };
        let Some(kind) = kinds.get(key.as_str()) else { return Err(foreign()) };
        let values = storage(&mut rest, kind).because(|| "The checkpoint is cut off.")?;
        storages.insert(key, values);
    }
    views.iter().map(|view| Ok((view.name.clone(), view.tensor(&storages)?))).collect()
}

/// A tensor as a view of a storage.
pub(super) struct View {
    pub name: String,
    /// What the storage is called in the file.
    pub key: String,
    /// The kind of storage, `FloatStorage` for example.
    pub storage: String,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

fn foreign() -> Error {
    Error::new("The checkpoint does not hold a dictionary of tensors.")
}

/// The tensors of a state dictionary, in its order.
///
/// # Errors
/// When it is none.
pub(super) fn views(state: Object) -> Result<Vec<View>> {
    let Object::Dict(mut entries) = without_build(state) else { return Err(foreign()) };
    // Checkpoints of a whole training keep the weights one level below.
    let nested = NESTED.iter().find_map(|name| entries.iter().position(|entry| is_dictionary(entry, name)));
    if let Some(place) = nested {
        let (_, inner) = entries.swap_remove(place);
        return views(inner);
    }
    Ok(entries.into_iter().filter_map(|(name, value)| view(name, value)).collect())
}

/// Whether an entry of a dictionary has this name and is a dictionary itself.
fn is_dictionary((key, value): &(Object, Object), name: &str) -> bool {
    let inner = match value {
        Object::Build { callable, .. } => callable,
        other => other,
    };
    matches!(key, Object::Unicode(key) if key == name) && matches!(inner, Object::Dict(_))
}

/// A dictionary with attributes is the dictionary.
fn without_build(object: Object) -> Object {
    match object {
        Object::Build { callable, .. } => *callable,
        other => other,
    }
}

/// The view that `_rebuild_tensor_v2(storage, offset, shape, strides, ...)` makes; `None` of anything else.
fn view(name: Object, value: Object) -> Option<View> {
    let name = name.unicode().ok()?;
    let (callable, args) = without_build(value).reduce().ok()?;
    let (module, class) = callable.class().ok()?;
    let mut args = args.tuple().ok()?.into_iter();
    if (module.as_str(), class.as_str()) == ("torch._utils", "_rebuild_parameter") {
        return view(Object::Unicode(name), args.next()?);
    }
    if !class.starts_with("_rebuild_tensor") {
        return None;
    }
    let mut storage = args.next()?.persistent_load().ok()?.tuple().ok()?.into_iter();
    storage.next()?;
    let (_, kind) = storage.next()?.class().ok()?;
    let key = storage.next()?.unicode().ok()?;
    let number = |object: Object| usize::try_from(object.int_or_long().ok()?).ok();
    let numbers = |object: Object| object.tuple().ok()?.into_iter().map(number).collect::<Option<Vec<usize>>>();
    let (offset, shape, strides) = (number(args.next()?)?, numbers(args.next()?)?, numbers(args.next()?)?);
    (shape.len() == strides.len()).then_some(View { name, key, storage: kind, offset, shape, strides })
}

/// Takes the next storage: its length in elements, then the elements. `None` when the bytes do not suffice.
fn storage(rest: &mut &[u8], kind: &str) -> std::result::Result<Vec<f32>, String> {
    let width = width(kind)?;
    let short = || "The file ends too early.".to_owned();
    let (length, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let bytes = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| length.checked_mul(width));
    let bytes = bytes.filter(|&bytes| bytes <= after.len()).ok_or_else(short)?;
    let (bytes, after) = after.split_at(bytes);
    *rest = after;
    values(kind, bytes)
}

/// The bytes of an element of a kind of storage.
fn width(kind: &str) -> std::result::Result<usize, String> {
    match kind {
        "DoubleStorage" | "LongStorage" => Ok(8),
        "FloatStorage" | "IntStorage" => Ok(4),
        "HalfStorage" | "BFloat16Storage" => Ok(2),
        other => Err(format!("{other} is a kind of storage that no network has")),
    }
}

/// The elements of a storage from its bytes.
pub(super) fn values(kind: &str, values: &[u8]) -> std::result::Result<Vec<f32>, String> {
    width(kind)?;
    Ok(match kind {
        "DoubleStorage" => values.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        "LongStorage" => values.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
        "IntStorage" => values.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect(),
        "HalfStorage" => values.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        "BFloat16Storage" => values.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => values.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    })
}

impl View {
    /// The tensor, from the storages by their keys.
    ///
    /// # Errors
    /// When it lies outside its storage.
    pub(super) fn tensor(&self, storages: &HashMap<String, Vec<f32>>) -> Result<Tensor> {
        let Self { name, key, offset, shape, strides, .. } = self;
        let outside = || Error::new(format!("The tensor {name} lies outside its storage: the checkpoint is damaged."));
        let storage = storages.get(key).ok_or_else(outside)?;
        let count = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side)).ok_or_else(outside)?;
        if count > storage.len() {
            return Err(outside());
        }
        let mut values = Vec::with_capacity(count);
        let mut place = vec![0; shape.len()];
        for _ in 0..count {
            let index = place.iter().zip(strides).try_fold(*offset, |sum, (&place, stride): (&usize, _)| {
                place.checked_mul(*stride).and_then(|step| sum.checked_add(step))
            });
            values.push(*index.and_then(|index| storage.get(index)).ok_or_else(outside)?);
            for axis in (0..shape.len()).rev() {
                place[axis] += 1;
                if place[axis] < shape[axis] {
                    break;
                }
                place[axis] = 0;
            }
        }
        Ok(Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.save({"a": torch.arange(6.).reshape(2, 3), "b": torch.arange(6.).reshape(2, 3).t()},
    /// _use_new_zipfile_serialization=False)`, where both share a storage.
    const FILE: &[u8] = include_bytes!("../../tests/data/legacy.pth");

    #[test]
    fn tensors_and_their_strides_are_read() {
        assert!(is_legacy(FILE));
        let tensors: HashMap<String, Tensor> = read(FILE).unwrap().into_iter().collect();
        assert_eq!(tensors["a"].to_vec2::<f32>().unwrap(), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        assert_eq!(tensors["b"].to_vec2::<f32>().unwrap(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
    }

    #[test]
    fn half_a_file_is_refused() {
        for length in MAGIC.len()..FILE.len() {
            assert!(read(&FILE[..length]).is_err(), "{length} bytes");
        }
    }
}
