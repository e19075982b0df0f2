//! The frozen networks that a solution is found with.

use crate::model_file::LossConfig;
use crate::nets::{Encoder, Generator, Mapping, Perceptual};
use std::sync::Arc;

/// What has the networks of the method: a model from a file, or networks that are being trained.
pub trait Networks {
    /// G.
    fn generator(&self) -> &Generator;
    /// T.
    fn mapping(&self) -> &Mapping;
    /// E, where one was trained.
    fn encoder(&self) -> Option<&Encoder>;
    /// The perceptual network, where the loss needs one.
    fn perceptual(&self) -> Option<&Perceptual>;
    /// The reconstruction loss.
    fn loss(&self) -> &LossConfig;
}

/// Networks without a model file around them.
#[derive(Clone)]
pub struct NetworkSet {
    /// G.
    pub generator: Arc<Generator>,
    /// T.
    pub mapping: Arc<Mapping>,
    /// E, where one was trained.
    pub encoder: Option<Arc<Encoder>>,
    /// The perceptual network, where the loss needs one.
    pub perceptual: Option<Arc<Perceptual>>,
    /// The reconstruction loss.
    pub loss: LossConfig,
}

impl Networks for NetworkSet {
    fn generator(&self) -> &Generator {
        &self.generator
    }

    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_deref()
    }

    fn perceptual(&self) -> Option<&Perceptual> {
        self.perceptual.as_deref()
    }

    fn loss(&self) -> &LossConfig {
        &self.loss
    }
}

impl<N: Networks + ?Sized> Networks for Arc<N> {
    fn generator(&self) -> &Generator {
        (**self).generator()
    }

    fn mapping(&self) -> &Mapping {
        (**self).mapping()
    }

    fn encoder(&self) -> Option<&Encoder> {
        (**self).encoder()
    }

    fn perceptual(&self) -> Option<&Perceptual> {
        (**self).perceptual()
    }

    fn loss(&self) -> &LossConfig {
        (**self).loss()
    }
}

impl Networks for crate::model_file::Model {
    fn generator(&self) -> &Generator {
        &self.generator
    }

    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    fn perceptual(&self) -> Option<&Perceptual> {
        self.perceptual.as_ref()
    }

    fn loss(&self) -> &LossConfig {
        &self.manifest.loss
    }
}
