//! What trainings of a mapping have in common: what they are given, and what they leave in a checkpoint.

use crate::data::Images;
use crate::model_file::LossConfig;
use crate::nam::networks::NetworkSet;
use crate::nets::{Checkpoint, Encoder, Generator, Mapping, MappingConfig, Perceptual};
use crate::plan::train::{Levels, Training};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// What stays as it is while a mapping is trained.
#[derive(Clone)]
pub struct Given {
    /// G, frozen.
    pub generator: Arc<Generator>,
    /// The images of Y.
    pub images: Images,
    /// The perceptual network, where the loss needs one.
    pub perceptual: Option<Arc<Perceptual>>,
}

/// The plans of the networks of a training.
pub(super) struct Plans {
    pub generator: Training,
    pub mapping: Training,
    pub encoder: Training,
    pub perceptual: Option<Levels>,
}

/// What a checkpoint says of a run beside its tensors.
#[derive(Serialize, Deserialize)]
pub(super) struct State<S> {
    pub settings: S,
    pub step: usize,
    images: String,
}

impl Given {
    /// Plans for a training of these networks.
    pub(super) fn plans(&self) -> Plans {
        Plans {
            generator: Training::default(),
            mapping: Training::default(),
            encoder: Training::default(),
            perceptual: self.perceptual.clone().map(Levels::new),
        }
    }

    /// An empty checkpoint of a kind of run, with its state.
    pub(super) fn checkpoint<S: Clone + Serialize>(&self, kind: &str, settings: &S, step: usize) -> Result<Checkpoint> {
        let state = State { settings: settings.clone(), step, images: self.images.fingerprint() };
        Checkpoint::new(kind, &state)
    }

    /// Reads the checkpoint of a run with these images.
    ///
    /// # Errors
    /// When the file is no such checkpoint, or the run had other images.
    pub(super) fn resume<S: DeserializeOwned>(&self, path: &Path, kind: &str) -> Result<(Checkpoint, State<S>)> {
        let checkpoint = Checkpoint::open(path, kind)?;
        let state: State<S> = checkpoint.state()?;
        if state.images != self.images.fingerprint() {
            return Err(Error::new(
                "The checkpoint was made with other images; give it the same ones in the same order.",
            ));
        }
        Ok((checkpoint, state))
    }

    /// The networks that a training has come to.
    pub(super) fn networks(&self, mapping: Mapping, encoder: Option<Encoder>, loss: &LossConfig) -> NetworkSet {
        NetworkSet {
            generator: self.generator.clone(),
            mapping: Arc::new(mapping),
            encoder: encoder.map(Arc::new),
            perceptual: self.perceptual.clone(),
            loss: loss.clone(),
        }
    }

    /// Whether a mapping can work with all this.
    ///
    /// # Errors
    /// When it takes something else than the generator draws, or gives something else than the images are.
    pub(super) fn check_fit(&self, mapping: &MappingConfig) -> Result<()> {
        let (generator, images) = (self.generator.config(), &self.images);
        if mapping.source_size() != generator.size || mapping.inputs != generator.channels {
            let (size, channels) = (generator.size, generator.channels);
            return Err(Error::new(format!(
                "The mapping must take what the generator draws: {size} pixels a side in {channels} channels."
            )));
        }
        if images.size() != mapping.size || images.channels() != mapping.outputs {
            return Err(Error::new(format!(
                "The images have {} pixels a side in {} channels where the mapping gives {} in {}.",
                images.size(),
                images.channels(),
                mapping.size,
                mapping.outputs
            )));
        }
        Ok(())
    }
}
