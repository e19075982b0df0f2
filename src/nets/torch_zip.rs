//! PyTorch checkpoints since version 1.6: a zip archive of one pickle and the storages. Nothing in them is executed, and
//! nothing that they claim is believed before it is compared with what is there.

use super::legacy_checkpoint::{values, views};
use crate::{Because, Error, Result};
use candle_core::Tensor;
use candle_core::pickle::Stack;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// The bytes of all storages together, at most.
const LARGEST: u64 = 8 << 30;

/// All tensors of a state dictionary by name, in its order, f32, on the CPU.
///
/// # Errors
/// When the file is no such archive, is cut off, or holds no state dictionary.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let file = File::open(path).because(|| "The file cannot be opened.")?;
    let mut archive = ZipArchive::new(BufReader::new(file)).because(|| "It is no zip archive, or it is cut off.")?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or_else(|| Error::new("The archive has no data.pkl: it is no checkpoint of PyTorch."))?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let mut room = LARGEST;
    let state = entry(&mut archive, pickle, &mut room)?;
    let mut stack = Stack::empty();
    stack.read_loop(&mut state.as_slice())?;
    let views = views(stack.finalize()?)?;
    let mut storages: HashMap<String, Vec<f32>> = HashMap::new();
    for view in &views {
        if !storages.contains_key(&view.key) {
            let bytes = entry(&mut archive, &format!("{folder}data/{}", view.key), &mut room)?;
            let values = values(&view.storage, &bytes).because(|| format!("{} cannot be read.", view.name))?;
            storages.insert(view.key.clone(), values);
        }
    }
    views.iter().map(|view| Ok((view.name.clone(), view.tensor(&storages)?))).collect()
}

/// One file of the archive, as long as there is room; nothing is reserved by what the archive claims.
fn entry(archive: &mut ZipArchive<BufReader<File>>, name: &str, room: &mut u64) -> Result<Vec<u8>> {
    let damaged = || format!("The archive's part {name} is missing or damaged.");
    let part = archive.by_name(name).because(damaged)?;
    let mut bytes = Vec::new();
    part.take(*room).read_to_end(&mut bytes).because(damaged)?;
    *room -= bytes.len() as u64;
    if *room == 0 {
        return Err(Error::new("The archive unpacks to more than any network of this program has."));
    }
    Ok(bytes)
}
