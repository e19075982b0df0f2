//! What a model is made from, and the settings of each stage that follow.

use crate::data::{Crop, Facing, ImageSet, Preparation, YKind};
use crate::nam::train::{NamSettings, VaeNamSettings};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig};
use crate::{Error, Result, prior};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How much time a training takes for how good a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thoroughness {
    /// An hour or so on two cores: shows whether the two domains have anything to say to each other.
    #[default]
    Quick,
    /// As the models that come with the program: a night on two cores.
    Thorough,
}

/// Where the generator of X comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// It is trained on the pictures of these folders or files.
    Train(Vec<PathBuf>),
    /// It is there: what `train prior` or `import prior` wrote, or a model file.
    File(PathBuf),
}

/// What a model is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What the model is called.
    pub title: String,
    /// What the generator draws.
    pub domain_x: String,
    /// What a person gives.
    pub domain_y: String,
    /// Where the generator comes from.
    pub prior: Prior,
    /// Folders or files of the pictures of Y.
    pub y: Vec<PathBuf>,
    /// What is made of them.
    pub y_kind: YKind,
    /// Whether the pictures of Y are drawings already, where Y consists of line drawings.
    pub drawings: bool,
    /// Rows and columns, 32 or 64; that of the generator where there is one.
    pub size: usize,
    /// How much time is taken.
    pub thoroughness: Thoroughness,
    /// Whether what is shown on a plain background is cut out of the pictures and centred.
    pub crop: bool,
    /// The licence of the pictures, for the manifest.
    pub licence: String,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            title: "Untitled".into(),
            domain_x: "X".into(),
            domain_y: "Y".into(),
            prior: Prior::Train(Vec::new()),
            y: Vec::new(),
            y_kind: YKind::AsIs,
            drawings: false,
            size: 64,
            thoroughness: Thoroughness::default(),
            crop: false,
            licence: String::new(),
            seed: 1,
        }
    }
}

/// One of the two domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// What G draws.
    X,
    /// What T maps it to.
    Y,
}

impl Recipe {
    /// What is missing or makes no sense, as a sentence for the person; `Ok` when it can be started.
    ///
    /// # Errors
    /// With that sentence.
    pub fn check(&self) -> Result<()> {
        todo!()
    }

    /// `count` pictures of a domain, evenly spread over its files, as the networks will see them; for X none where the
    /// generator is there already.
    ///
    /// # Errors
    /// When there are no pictures, or too few for a training.
    pub fn look(&self, domain: Domain, count: usize) -> Result<Vec<crate::Picture>> {
        let _ = (domain, count);
        todo!()
    }

    /// The recipe of a training that was stopped or broke off, by the model file that it was to become; `None` where
    /// there is no such training.
    pub fn of_training(out: &std::path::Path) -> Option<Self> {
        let _ = out;
        todo!()
    }
}
