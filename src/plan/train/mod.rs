//! Networks that learn, as fixed graphs: the whole of a network forward and backward as one operation of candle's, in the
//! layout of the plans. Kernels are packed anew for every pass, normalisation is by the statistics of the batch, and the
//! backward pass gives the gradients of all parameters besides that of the input.
//!
//! What cannot be planned (another device, a bias before a normalisation) is computed by the operations of [`crate::ops`], with the
//! same results.

mod network;
mod norm;
mod operation;
mod workspace;

#[cfg(test)]
mod tests;

use super::build;
use super::graph::{Conv, Graph, Place};
use crate::nets::generator::MAPS_AT_ONCE;
use crate::nets::in_parts::InParts;
use crate::nets::{ConvBlock, Critic, Generator, Mapping, Perceptual, Statistics, TrainingLayer};
use crate::ops::cpu;
use crate::{Error, Result};
use candle_core::Tensor;
use network::Network;
pub use operation::gradients;
use std::sync::{Arc, OnceLock};

/// A network that can be planned for training: all of it learns, or none of it.
pub trait Trainable {
    /// Its layers in training; none where it is frozen, `None` where it cannot be planned.
    ///
    /// # Errors
    /// When their kernels cannot be computed.
    fn training_layers(&self) -> Result<Option<Vec<TrainingLayer>>>;

    /// The graph, with the convolutions of these layers in their order.
    fn graph(&self, layers: &[TrainingLayer]) -> Option<Graph>;

    /// What comes before the graph and is computed by operations.
    ///
    /// # Errors
    /// When the input does not fit.
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }

    /// The network by its operations, in the statistics of the batch.
    ///
    /// # Errors
    /// When the input does not fit.
    fn by_operations(&self, x: &Tensor) -> Result<Tensor>;
}

fn layers<'a>(blocks: impl IntoIterator<Item = &'a ConvBlock>) -> Option<Vec<TrainingLayer>> {
    let blocks: Vec<_> = blocks.into_iter().collect();
    if blocks.iter().all(|block| matches!(block, ConvBlock::Frozen(_))) {
        return Some(Vec::new());
    }
    blocks.into_iter().map(ConvBlock::layer).collect()
}

fn conv_of(layer: &TrainingLayer) -> Conv {
    Conv { spec: layer.spec, weight: layer.weight.detach(), bias: None, activation: layer.activation }
}

/// Layers one after the other.
fn chain(layers: &[TrainingLayer], channels: usize, size: (usize, usize)) -> Option<Graph> {
    let mut graph = Graph::default();
    let mut place = Place { map: graph.map(vec![channels], size), group: 0 };
    graph.input = Some(place);
    for layer in layers {
        place = build::add_conv(&mut graph, conv_of(layer), place.map, None)?;
    }
    graph.results = vec![place];
    Some(graph)
}

impl Trainable for Generator {
    fn training_layers(&self) -> Result<Option<Vec<TrainingLayer>>> {
        match self.blocks() {
            Some(blocks) => Ok(layers(blocks)),
            // Others than DCGAN's do not learn.
            None => Ok(self.convolutions().map(|_| Vec::new())),
        }
    }

    fn graph(&self, layers: &[TrainingLayer]) -> Option<Graph> {
        if layers.is_empty() { build::generating(self) } else { chain(layers, self.config().latent, (1, 1)) }
    }

    fn by_operations(&self, x: &Tensor) -> Result<Tensor> {
        // Others than DCGAN's do not learn.
        self.forward(x, if self.config().is_dcgan() { Statistics::Batch } else { Statistics::Running })
    }
}

impl Trainable for Mapping {
    fn training_layers(&self) -> Result<Option<Vec<TrainingLayer>>> {
        let (scales, head) = self.layers();
        Ok(layers(scales.iter().chain([head])))
    }

    fn graph(&self, layers: &[TrainingLayer]) -> Option<Graph> {
        if layers.is_empty() {
            return build::mapping(self, true);
        }
        let mut graph = Graph::default();
        let (maps, x) = build::add_pyramid(&mut graph, self)?;
        graph.input = Some(x);
        let y = build::add_mapping(&mut graph, self, layers.iter().map(conv_of).collect(), &maps, x)?;
        graph.results = vec![y];
        Some(graph)
    }

    /// The sampler, which is fitted with T.
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        self.sampler().map_or_else(|| Ok(x.clone()), |sampler| sampler.forward(x))
    }

    fn by_operations(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, Statistics::Batch)
    }
}

impl Trainable for Critic {
    fn training_layers(&self) -> Result<Option<Vec<TrainingLayer>>> {
        Critic::training_layers(self)
    }

    fn graph(&self, layers: &[TrainingLayer]) -> Option<Graph> {
        let config = self.config();
        if layers.is_empty() { None } else { chain(layers, config.channels, (config.size, config.size)) }
    }

    fn by_operations(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, Statistics::Batch)
    }
}

/// The plan of a frozen perceptual network, made when it is first needed.
pub struct Levels {
    network: Arc<Perceptual>,
    planned: OnceLock<Option<Arc<Network>>>,
}

impl Levels {
    /// Of this network.
    pub fn new(network: Arc<Perceptual>) -> Self {
        Self { network, planned: OnceLock::new() }
    }

    /// The network.
    pub fn network(&self) -> &Perceptual {
        &self.network
    }

    /// All levels of `images: [n, c, s, s]`, always of the same c and s, as [`Perceptual::levels`] has them.
    ///
    /// # Errors
    /// When the images are too small, or the computation fails.
    pub fn of(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let (count, channels, height, width) = images.dims4()?;
        let plan = || Network::new(build::seeing(&self.network, (channels, height, width))?, Vec::new()).map(Arc::new);
        if let Some(planned) = self.planned.get_or_init(plan)
            && planned.input() == (channels, height, width)
            && let Some(all) = operation::apply(planned, &[], images, 1)?
        {
            if self.network.level_count() == 1 {
                return Ok(vec![all]);
            }
            let mut start = 0;
            let level = |(c, h, w): (usize, usize, usize)| {
                let length = count * c * h * w;
                start += length;
                Ok(all.narrow(0, start - length, length)?.reshape((count, c, h, w))?)
            };
            return planned.results().into_iter().map(level).collect();
        }
        self.network.levels(images, self.network.level_count())
    }
}

/// The plan of one network, made when it is first needed.
#[derive(Default)]
pub struct Training {
    network: OnceLock<Option<Arc<Network>>>,
}

impl Training {
    /// The network's output for `x` in the statistics of the batch, which also move the running ones; always the same
    /// network. The pictures come in `parts` of equal size, one after the other, each of which is normalised by its own
    /// statistics. A network that does not learn computes so many pictures at once as its maps leave room for.
    ///
    /// # Errors
    /// When the input does not fit the network, or has no such parts.
    pub fn forward(&self, network: &impl Trainable, x: &Tensor, parts: usize) -> Result<Tensor> {
        self.forward_within(network, x, parts, MAPS_AT_ONCE)
    }

    /// As [`Training::forward`], with room for so many values of maps.
    fn forward_within(&self, network: &impl Trainable, x: &Tensor, parts: usize, room: usize) -> Result<Tensor> {
        let count = x.dim(0)?;
        if parts == 0 || count == 0 || !count.is_multiple_of(parts) {
            return Err(Error::new(format!("{count} pictures cannot be split into {parts} equal parts.")));
        }
        let layers = network.training_layers()?;
        let planned = match &layers {
            Some(layers) => self.network.get_or_init(|| {
                let norms = layers.iter().map(|layer| layer.norm.is_some()).collect();
                Network::new(network.graph(layers)?, norms).map(Arc::new)
            }),
            None => &None,
        };
        if let (Some(planned), Some(layers)) = (planned, layers) {
            let x = network.before(x)?;
            let at_once = (room / planned.floats().max(1)).max(1);
            let output = if layers.is_empty() && count > at_once && cpu::ours(&[&x]) {
                Some(in_parts(planned, &x, at_once)?)
            } else {
                operation::apply(planned, &layers, &x, parts)?
            };
            if let Some(output) = output {
                return Ok(output);
            }
        }
        if parts == 1 {
            return network.by_operations(x);
        }
        let here = count / parts;
        let part = |part: usize| network.by_operations(&x.narrow(0, part * here, here)?);
        Ok(Tensor::cat(&(0..parts).map(part).collect::<Result<Vec<_>>>()?, 0)?)
    }
}

/// A network that does not learn, on some pictures after the other; no maps are kept in between.
fn in_parts(planned: &Arc<Network>, x: &Tensor, at_once: usize) -> Result<Tensor> {
    let (c, h, w) = planned.results()[0];
    let planned = planned.clone();
    let draw = move |x: &Tensor| {
        let drawn = operation::apply(&planned, &[], x, 1)?;
        drawn.ok_or_else(|| Error::new("Some pictures do not fit the network that draws them."))
    };
    Ok(x.contiguous()?.apply_op1(InParts::new(draw, at_once, [c, h, w]))?)
}
