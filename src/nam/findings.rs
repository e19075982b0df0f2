//! What was found out about an adapter and need not be found out again, in a file of the user's cache.

use crate::{Because, Result, files};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Findings by what they belong to.
pub(super) struct Findings<T> {
    file: Option<PathBuf>,
    known: Mutex<BTreeMap<String, T>>,
}

impl<T: Copy + Serialize + DeserializeOwned> Findings<T> {
    /// Those of a file of this name in the user's cache.
    pub fn cached(name: &str) -> Self {
        Self::kept_in(files::cache_folder().map(|folder| folder.join(name)))
    }

    /// Those of a file; without one they are kept as long as this lives.
    pub fn kept_in(file: Option<PathBuf>) -> Self {
        let known = file.as_deref().map(read).unwrap_or_default();
        Self { file, known: Mutex::new(known) }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, or what is found out now, if anything is.
    pub fn get_or_find(&self, key: String, find: impl FnOnce() -> Option<T>) -> Option<T> {
        let known = self.known().get(&key).copied();
        if known.is_some() {
            return known;
        }
        let found = find()?;
        let mut known = self.known();
        known.insert(key, found);
        self.write(&known);
        Some(found)
    }

    /// A cache that cannot be written only costs finding out again.
    fn write(&self, known: &BTreeMap<String, T>) {
        let Some(file) = &self.file else { return };
        let write = || -> Result<()> {
            let text = serde_json::to_string_pretty(known).because(|| "The findings cannot be written.")?;
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).because(|| format!("There is no folder {}.", folder.display()))?;
            }
            files::write_beside(file, text.as_bytes())
        };
        if let Err(error) = write() {
            log::info!("what was found out about this adapter is not kept: {error}");
        }
    }
}

/// What a file knows; nothing where it is missing or damaged.
fn read<T: DeserializeOwned>(file: &Path) -> BTreeMap<String, T> {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
