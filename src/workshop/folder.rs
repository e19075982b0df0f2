//! What a training keeps on the disk until its model is done: a folder beside the model file.

use super::Recipe;
use crate::{Because, Error, Result, files};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `M.training`, beside `M.safetensors`.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// Seconds that the stages have taken: prior, mapping, encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Times {
    pub seconds: [f64; 3],
}

impl Folder {
    pub fn of(out: &Path) -> Self {
        Self { path: out.with_extension("training") }
    }

    /// Makes the folder and writes the recipe; one that is there already must be resumed instead.
    pub fn create(&self, recipe: &Recipe) -> Result<()> {
        let shown = self.path.display();
        if self.path.exists() {
            return Err(Error::new(format!(
                "There is an unfinished training in {shown}: resume it, choose another name, or remove that folder."
            )));
        }
        std::fs::create_dir(&self.path).because(|| format!("The folder {shown} cannot be made."))?;
        self.write("recipe.json", recipe)
    }

    pub fn recipe(&self) -> Result<Recipe> {
        self.read("recipe.json")
    }

    pub fn times(&self) -> Times {
        self.read("times.json").unwrap_or_default()
    }

    pub fn set_times(&self, times: &Times) -> Result<()> {
        self.write("times.json", times)
    }

    /// The checkpoint of a stage under way.
    pub fn checkpoint(&self, stage: &str) -> PathBuf {
        self.path.join(format!("{stage}.checkpoint"))
    }

    /// The network that a finished stage left.
    pub fn network(&self, stage: &str) -> PathBuf {
        self.path.join(format!("{stage}.safetensors"))
    }

    /// Where an unfinished model is put to be tried.
    pub fn trial(&self) -> PathBuf {
        self.path.join("unfinished model.safetensors")
    }

    /// Removes all of it: the model has everything.
    pub fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.path).because(|| format!("{} cannot be removed.", self.path.display()))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).because(|| format!("{name} cannot be written as JSON."))?;
        files::write_beside(&self.path.join(name), format!("{text}\n").as_bytes())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let text =
            std::fs::read_to_string(&path).because(|| format!("There is no training in {}.", self.path.display()))?;
        serde_json::from_str(&text).because(|| format!("{} is damaged.", path.display()))
    }
}
