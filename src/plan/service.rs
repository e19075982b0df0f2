//! The plans of the models in use: each is made when it is first needed and kept while its networks live.

use super::build::{self, Seen, loss_parts};
use super::cpu::{Way, kernels};
use super::graph::Graph;
use super::run::{Plan, Targets, Workspace};
use crate::model_file::LossConfig;
use crate::nets::encoder::Posterior;
use crate::nets::generator::MAPS_AT_ONCE;
use crate::nets::perceptual::Layer;
use crate::nets::{ConvBlock, Encoder, Generator, Mapping, Perceptual};
use crate::ops::{FrozenConv, Identity};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::hash::Hasher;
use std::sync::{Arc, Mutex, PoisonError};

/// Pictures that run at once, at most: more would only take more memory, and, where they are large, more time each, as
/// less of it stays in the caches.
const AT_ONCE: usize = 16;
/// The same for pictures of more than 64 pixels a side.
const LARGE_AT_ONCE: usize = 8;
/// Plans that are kept, at most.
const KEPT: usize = 12;

/// A plan with the memory that nobody uses at the moment.
struct Planned {
    plan: Plan,
    spare: Mutex<Vec<Workspace>>,
}

impl Planned {
    /// Pictures that run at once, at most.
    fn at_once(&self) -> usize {
        let large = self.plan.graph().maps.iter().any(|map| map.height * map.width > 64 * 64);
        let most = if large { LARGE_AT_ONCE } else { AT_ONCE };
        most.min(MAPS_AT_ONCE / self.plan.floats().max(1)).max(1)
    }

    /// Runs `work` in memory for up to `count` pictures. Memory for both passes serves the forward pass as well.
    fn with_workspace<R>(&self, count: usize, backward: bool, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let lock = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = {
            let mut spare = lock();
            let fits = |space: &Workspace| space.capacity() >= count && (space.has_backward() || !backward);
            spare.iter().position(fits).map(|i| spare.swap_remove(i))
        };
        let mut space = found.unwrap_or_else(|| {
            // What is too small is given back before more is taken.
            lock().retain(|other| other.has_backward() && !backward);
            self.plan.workspace(count, backward)
        });
        let result = work(&mut space);
        let mut spare = lock();
        let covers = |one: &Workspace, other: &Workspace| {
            one.capacity() >= other.capacity() && (one.has_backward() || !other.has_backward())
        };
        spare.retain(|other| !covers(&space, other));
        if !spare.iter().any(|other| covers(other, &space)) {
            spare.push(space);
        }
        result
    }
}

/// What tells plans apart: the convolutions of their networks, and the loss.
struct Entry {
    convs: Vec<Identity>,
    loss: Option<LossConfig>,
    /// `None`: these networks cannot be planned.
    planned: Option<Arc<Planned>>,
}

/// The plans in use, the latest last.
static PLANS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The plan of these convolutions and this loss, made by `build` when there is none.
fn planned(
    convs: Option<Vec<&FrozenConv>>,
    loss: Option<&LossConfig>,
    build: impl FnOnce() -> Option<Graph>,
) -> Option<Arc<Planned>> {
    let convs = convs?;
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    plans.retain(|entry| entry.convs.iter().all(|conv| !conv.is_gone()));
    let same = |entry: &Entry| {
        entry.loss.as_ref() == loss
            && entry.convs.len() == convs.len()
            && entry.convs.iter().zip(&convs).all(|(identity, conv)| identity.is(conv))
    };
    let entry = match plans.iter().position(same) {
        Some(i) => plans.remove(i),
        None => {
            let plan = build().and_then(|graph| Plan::new(graph, kernels(), Way::Fastest));
            let planned = plan.map(|plan| Arc::new(Planned { plan, spare: Mutex::default() }));
            let convs = convs.iter().map(|conv| conv.identity()).collect();
            Entry { convs, loss: loss.cloned(), planned }
        }
    };
    let planned = entry.planned.clone();
    plans.push(entry);
    if plans.len() > KEPT {
        plans.remove(0);
    }
    planned
}

fn all<'a>(blocks: impl IntoIterator<Item = &'a ConvBlock>) -> Option<Vec<&'a FrozenConv>> {
    blocks.into_iter().map(ConvBlock::frozen).collect()
}

fn of_mapping(mapping: &Mapping) -> Option<Vec<&FrozenConv>> {
    let (scales, head) = mapping.layers();
    all(scales.iter().chain([head]))
}

/// The convolutions that take part in solving, by which a plan is recognised.
pub(super) fn of_solving<'a>(
    generator: &'a Generator,
    mapping: &'a Mapping,
    perceptual: Option<&'a Perceptual>,
    loss: &LossConfig,
) -> Option<Vec<&'a FrozenConv>> {
    let parts = loss_parts(loss)?;
    let mut convs = generator.convolutions()?;
    convs.extend(of_mapping(mapping)?);
    let perceptual =
        perceptual.filter(|_| parts.iter().any(|part| matches!(part.sees, Seen::Level(_) | Seen::Gram(_))));
    for layer in perceptual.map_or(&[][..], Perceptual::layers) {
        match layer {
            Layer::Convolution(block) => convs.push(block.frozen()?),
            Layer::Prepare(conv) => convs.push(conv),
            Layer::Level | Layer::Pool | Layer::Reflect => {}
            _ => return None,
        }
    }
    Some(convs)
}

/// A number that tells the networks of one model from those of others by all of their weights; `None` where a graph
/// cannot say what they do.
pub fn fingerprint(generator: &Generator, mapping: &Mapping, perceptual: Option<&Perceptual>) -> Option<u64> {
    let mut convs = generator.convolutions()?;
    convs.extend(of_mapping(mapping)?);
    for layer in perceptual.map_or(&[][..], Perceptual::layers) {
        match layer {
            Layer::Convolution(block) => convs.push(block.frozen()?),
            Layer::Prepare(conv) => convs.push(conv),
            _ => {}
        }
    }
    let mut hasher = std::hash::DefaultHasher::new();
    for conv in convs {
        for value in values(conv.weight())?.into_iter().chain(conv.bias().and_then(values).unwrap_or_default()) {
            hasher.write_u32(value.to_bits());
        }
    }
    Some(hasher.finish())
}

/// The values of a tensor that the plans can read.
fn values(tensor: &Tensor) -> Option<Vec<f32>> {
    if !tensor.device().is_cpu() || tensor.dtype() != DType::F32 || tensor.dims().first() == Some(&0) {
        return None;
    }
    tensor.flatten_all().ok()?.to_vec1().ok()
}

/// Runs a plan of one result forward on `input: [n, ..]`.
fn forward(planned: &Planned, input: &Tensor, size: usize) -> Option<Vec<f32>> {
    let values = values(input)?;
    let count = values.len() / size;
    if values.len() != count * size || count != input.dim(0).ok()? {
        return None;
    }
    let mut result = Vec::new();
    let at_once = planned.at_once();
    planned.with_workspace(count.min(at_once), false, |space| {
        for part in values.chunks(at_once * size) {
            let done = planned.plan.forward(space, part);
            result.extend(planned.plan.result(space, 0, done));
        }
    });
    Some(result)
}

/// G(z) for codes `[n, nz]`, `[n, cx, s, s]`. `None` where it cannot be planned.
pub fn generate(generator: &Generator, codes: &Tensor) -> Option<Tensor> {
    let config = generator.config();
    let planned = planned(generator.convolutions(), None, || build::generating(generator))?;
    let pictures = forward(&planned, codes, config.latent)?;
    Tensor::from_vec(pictures, (codes.dim(0).ok()?, config.channels, config.size, config.size), &Device::Cpu).ok()
}

/// T(x) for pictures `[n, cx, s, s]`, `[n, cy, s, s]`. `None` where it cannot be planned.
pub fn map(mapping: &Mapping, x: &Tensor) -> Option<Tensor> {
    let config = mapping.config();
    let planned = planned(of_mapping(mapping), None, || build::mapping(mapping, false))?;
    let source = config.source_size();
    if x.dims()[1..] != [config.inputs, source, source] {
        return None;
    }
    let pictures = forward(&planned, x, config.inputs * source * source)?;
    Tensor::from_vec(pictures, (x.dim(0).ok()?, config.outputs, config.size, config.size), &Device::Cpu).ok()
}

/// The posteriors of images `[n, cy, s, s]`. `None` where they cannot be planned.
pub fn encode(encoder: &Encoder, y: &Tensor) -> Option<Posterior> {
    let config = encoder.config();
    let planned = planned(encoder.blocks().and_then(all), None, || build::encoding(encoder))?;
    if y.dims()[1..] != [config.channels, config.size, config.size] {
        return None;
    }
    let both = forward(&planned, y, config.channels * config.size * config.size)?;
    let both = Tensor::from_vec(both, (y.dim(0).ok()?, 2 * config.latent), &Device::Cpu).ok()?;
    encoder.posterior(&both).ok()
}

/// The way from z to the loss and back, for one set of networks and one loss.
#[derive(Clone)]
pub struct Solving {
    planned: Arc<Planned>,
    latent: usize,
}

/// What became of some codes.
pub struct Found {
    /// G(z), `[n, cx, s, s]`.
    pub x: Tensor,
    /// T(G(z)), `[n, cy, s, s]`.
    pub reconstruction: Tensor,
    /// The loss of each.
    pub losses: Vec<f32>,
    /// The gradient of each loss in its code, `[n, nz]`; empty where it was not asked for.
    pub gradient: Vec<f32>,
}

impl Found {
    /// G(z) and T(G(z)) of one code, `[1, c, s, s]` each.
    ///
    /// # Errors
    /// When there is no such code.
    pub fn pictures(&self, index: usize) -> Result<(Tensor, Tensor)> {
        Ok((self.x.narrow(0, index, 1)?, self.reconstruction.narrow(0, index, 1)?))
    }
}

impl Solving {
    /// The plan of these networks and this loss; `None` where they cannot be planned.
    pub fn new(
        generator: &Generator,
        mapping: &Mapping,
        perceptual: Option<&Perceptual>,
        loss: &LossConfig,
    ) -> Option<Self> {
        let convs = of_solving(generator, mapping, perceptual, loss)?;
        let planned = planned(Some(convs), Some(loss), || build::solving(generator, mapping, perceptual, loss))?;
        Some(Self { planned, latent: generator.config().latent })
    }

    /// Prepares what the losses compare with: images `[n, cy, s, s]` and their features. `gradient` says whether
    /// gradients will be asked for: the memory that is taken then serves both.
    pub fn targets(&self, images: &Tensor, gradient: bool) -> Option<Targets> {
        let plan = &self.planned.plan;
        let reconstruction = *plan.graph().results.get(1)?;
        if !images.device().is_cpu() || images.dtype() != DType::F32 || (gradient && !plan.prepare_backward()) {
            return None;
        }
        let count = images.dim(0).ok()?.min(self.planned.at_once());
        self.planned.with_workspace(count, gradient, |space| plan.targets(space, reconstruction, images))
    }

    /// The pictures and losses of `codes: [n, nz]` against the rows of the targets that are named, one a code, and the
    /// gradient where it is wanted. Every code is computed by itself.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn run(&self, codes: &[f32], targets: &Targets, rows: &[usize], gradient: bool) -> Result<Found> {
        let plan = &self.planned.plan;
        let nz = self.latent;
        let fits = !rows.is_empty() && codes.len() == rows.len() * nz && rows.iter().all(|&row| targets.has(row));
        if !fits || (gradient && !plan.prepare_backward()) {
            return Err(Error::new("The codes do not fit the networks or the images that they are compared with."));
        }
        let (mut x, mut reconstruction) = (Vec::new(), Vec::new());
        let mut losses = vec![0.0; rows.len()];
        let mut gradients = vec![0.0; if gradient { codes.len() } else { 0 }];
        let at_once = self.planned.at_once();
        let mut run = |space: &mut Workspace| {
            for (i, (codes, rows)) in codes.chunks(at_once * nz).zip(rows.chunks(at_once)).enumerate() {
                let first = i * at_once;
                let count = plan.forward(space, codes);
                plan.losses(space, targets, rows, &mut losses[first..first + count]);
                if gradient {
                    plan.backward(space, count, &mut gradients[first * nz..(first + count) * nz]);
                }
                x.extend(plan.result(space, 0, count));
                reconstruction.extend(plan.result(space, 1, count));
            }
        };
        self.planned.with_workspace(rows.len().min(at_once), gradient, &mut run);
        let picture = |values: Vec<f32>, index: usize| {
            let (c, h, w) = plan.graph().shape(plan.graph().results[index]);
            Tensor::from_vec(values, (rows.len(), c, h, w), &Device::Cpu)
        };
        Ok(Found { x: picture(x, 0)?, reconstruction: picture(reconstruction, 1)?, losses, gradient: gradients })
    }
}
