//! Graphs of the networks. `None` wherever a network has what a graph cannot say: it is then run as before.

use super::graph::{Compare, Conv, Graph, Loss, Node, Place, Resample};
use super::sequence::{add_core, add_last_conv, add_reflection, add_sampler, add_sequence};
use crate::model_file::LossConfig;
use crate::nets::perceptual::Layer;
use crate::nets::{ConvBlock, Encoder, Generator, Mapping, Perceptual};
use crate::ops::{Activation, COVER, COVER_RISE, ConvSpec, FrozenConv, ink_axes, ink_gram};
use candle_core::{DType, Device, Tensor};

/// The frozen convolution of a block, if this processor's kernels can read it.
pub(super) fn frozen(block: &ConvBlock) -> Option<&FrozenConv> {
    frozen_conv(block.frozen()?)
}

/// This convolution, if this processor's kernels can read it.
pub(super) fn frozen_conv(conv: &FrozenConv) -> Option<&FrozenConv> {
    Some(conv).filter(|conv| conv.weight().device().is_cpu() && conv.weight().dtype() == DType::F32)
}

pub(super) fn conv_of(conv: &FrozenConv) -> Conv {
    Conv {
        spec: *conv.spec(),
        weight: conv.weight().clone(),
        bias: conv.bias().cloned(),
        activation: conv.activation(),
    }
}

/// Adds a convolution to a map of its own, or to a place that is there.
pub(super) fn add_conv(graph: &mut Graph, conv: Conv, from: usize, to: Option<Place>) -> Option<Place> {
    let (height, width) = (graph.maps[from].height, graph.maps[from].width);
    let size = (conv.spec.output_side(height).ok()?, conv.spec.output_side(width).ok()?);
    let to = to.unwrap_or_else(|| Place { map: graph.map(vec![conv.spec.outputs], size), group: 0 });
    if graph.shape(to) != (conv.spec.outputs, size.0, size.1) {
        return None;
    }
    graph.nodes.push(Node::Conv { conv, from, to });
    Some(to)
}

/// G from a latent code, to a place that is there or to a map of its own.
fn add_generator(graph: &mut Graph, generator: &Generator, to: Option<Place>) -> Option<Place> {
    let code = Place { map: graph.map(vec![generator.config().latent], (1, 1)), group: 0 };
    graph.input = Some(code);
    let Some(blocks) = generator.blocks() else {
        return add_sequence(graph, generator.layers()?, code, to);
    };
    let (last, hidden) = blocks.split_last()?;
    let place = match hidden {
        [] => code,
        hidden => add_chain(graph, hidden.iter().copied(), code.map, None)?,
    };
    add_last_conv(graph, conv_of(frozen(last)?), place, to)
}

fn add_chain<'a>(
    graph: &mut Graph,
    blocks: impl ExactSizeIterator<Item = &'a ConvBlock>,
    from: usize,
    to: Option<Place>,
) -> Option<Place> {
    let last = blocks.len().checked_sub(1)?;
    let mut place = Place { map: from, group: 0 };
    for (i, block) in blocks.enumerate() {
        place = add_conv(graph, conv_of(frozen(block)?), place.map, to.filter(|_| i == last))?;
    }
    Some(place)
}

/// The maps that the scales of T read, and the place among them where its input is put.
pub(super) fn add_pyramid(graph: &mut Graph, mapping: &Mapping) -> Option<(Vec<usize>, Place)> {
    let config = mapping.config();
    let filters = config.filters().ok()?;
    let map = |i: usize| {
        let groups = if i == 0 { vec![config.inputs] } else { vec![filters[i - 1], config.inputs] };
        (groups, (4 << i, 4 << i))
    };
    let maps: Vec<usize> = (0..filters.len()).map(map).map(|(groups, size)| graph.map(groups, size)).collect();
    let last = *maps.last()?;
    let group = graph.maps[last].groups.len() - 1;
    Some((maps, Place { map: last, group }))
}

/// The frozen convolutions of T: those of its scales, and the last one.
fn mapping_convs(mapping: &Mapping) -> Option<Vec<Conv>> {
    let (scales, head) = mapping.layers();
    scales.iter().chain([head]).map(|block| Some(conv_of(frozen(block)?))).collect()
}

/// T, on maps that [`add_pyramid`] made, by these convolutions.
pub(super) fn add_mapping(
    graph: &mut Graph,
    mapping: &Mapping,
    convs: Vec<Conv>,
    maps: &[usize],
    x: Place,
) -> Option<Place> {
    let mut finer = x;
    for &map in maps.iter().rev().skip(1) {
        let to = Place { map, group: graph.maps[map].groups.len() - 1 };
        graph.nodes.push(Node::Resample { how: Resample::AveragePool, from: finer, to });
        finer = to;
    }
    let mut scales = convs;
    let head = scales.pop()?;
    let mut state = None;
    for (scale, &map) in scales.into_iter().zip(maps) {
        if let Some(coarse) = state {
            let to = Place { map, group: 0 };
            graph.nodes.push(Node::Resample { how: Resample::Bilinear, from: coarse, to });
        }
        state = Some(add_conv(graph, scale, map, None)?);
    }
    let y = add_conv(graph, head, state?.map, None)?;
    if !mapping.config().skip {
        return Some(y);
    }
    let (c, h, w) = graph.shape(y);
    let to = Place { map: graph.map(vec![c], (h, w)), group: 0 };
    let activation = if mapping.config().size == 32 { Activation::Tanh } else { Activation::None };
    graph.nodes.push(Node::Add { terms: [y, x], to, activation });
    Some(to)
}

/// The convolution on one channel that does what it did on three copies of it.
fn of_grey(conv: Conv) -> Option<Conv> {
    let mut conv = conv;
    conv.weight = conv.weight.sum_keepdim(1).ok()?.contiguous().ok()?;
    conv.spec.inputs = 1;
    Some(conv)
}

/// The first `count` levels of a perceptual network.
fn add_perceptual(graph: &mut Graph, perceptual: &Perceptual, image: Place, count: usize) -> Option<Vec<Place>> {
    let mut place = image;
    let mut levels = Vec::new();
    for layer in perceptual.layers() {
        if levels.len() == count {
            break;
        }
        let conv = match layer {
            Layer::Prepare(conv) if conv.weight().device().is_cpu() => conv,
            Layer::Convolution(block) => frozen(block)?,
            Layer::Level => {
                levels.push(place);
                continue;
            }
            Layer::Reflect => {
                place = add_reflection(graph, place)?;
                continue;
            }
            Layer::Pool => {
                let (c, h, w) = graph.shape(place);
                if h % 2 + w % 2 != 0 {
                    return None;
                }
                let to = Place { map: graph.map(vec![c], (h / 2, w / 2)), group: 0 };
                graph.nodes.push(Node::Resample { how: Resample::MaxPool, from: place, to });
                place = to;
                continue;
            }
            _ => return None,
        };
        let mut conv = conv_of(conv);
        if conv.spec.inputs == 3 && graph.shape(place).0 == 1 {
            conv = of_grey(conv)?;
        }
        // What brings the gradient back through a convolution without padding would need two pixels of it.
        let bare = conv.spec.kernel == 3 && conv.spec.padding == 0;
        conv.spec.padding += usize::from(bare);
        place = add_conv(graph, conv, place.map, None)?;
        if bare {
            place = add_core(graph, place)?;
        }
    }
    (levels.len() == count).then_some(levels)
}

/// z to G(z), T(G(z)) and the loss. The results are G(z) and T(G(z)); the parts of the loss are in the order of
/// [`loss_parts`].
pub fn solving(
    generator: &Generator,
    mapping: &Mapping,
    perceptual: Option<&Perceptual>,
    loss: &LossConfig,
) -> Option<Graph> {
    let parts = loss_parts(loss)?;
    let mut graph = Graph::default();
    let (maps, x) = add_pyramid(&mut graph, mapping)?;
    // G's picture is a result at its own size, whatever T works at.
    let drawn = match mapping.sampler() {
        None => add_generator(&mut graph, generator, Some(x))?,
        Some(sampler) => {
            let drawn = add_generator(&mut graph, generator, None)?;
            add_sampler(&mut graph, sampler, drawn, x)?;
            drawn
        }
    };
    let y = add_mapping(&mut graph, mapping, mapping_convs(mapping)?, &maps, x)?;
    graph.results = vec![drawn, y];
    let levels = |part: &LossPart| match part.sees {
        Seen::Level(level) | Seen::Gram(level) => level + 1,
        Seen::Pixels | Seen::Ink | Seen::Band(_) => 0,
    };
    let count = parts.iter().map(levels).max().unwrap_or(0);
    let levels = if count > 0 { add_perceptual(&mut graph, perceptual?, y, count)? } else { Vec::new() };
    let count = if loss.laplacian > 0.0 { loss.laplacian_levels } else { 0 };
    let bands = if count > 0 { add_bands(&mut graph, y, count)? } else { Vec::new() };
    for part in parts {
        let place = match part.sees {
            Seen::Pixels => y,
            Seen::Level(level) => levels[level],
            Seen::Gram(level) => add_gram(&mut graph, levels[level]),
            Seen::Ink => {
                let ink = add_ink(&mut graph, y)?;
                add_gram(&mut graph, ink)
            }
            Seen::Band(band) => bands[band],
        };
        let cover = if part.sees == Seen::Ink { loss.cover } else { 0.0 };
        graph.losses.push(Loss { place, compare: part.compare, weight: part.weight, cover });
    }
    Some(graph)
}

/// The Gram matrix of a place.
fn add_gram(graph: &mut Graph, from: Place) -> Place {
    let (channels, ..) = graph.shape(from);
    let to = Place { map: graph.map(vec![channels], (channels, 1)), group: 0 };
    graph.nodes.push(Node::Gram { from, to });
    to
}

/// What a 1x1 convolution with the matrix `weight: [outputs, channels]` and biases makes of a map.
fn mixed(weight: &Tensor, bias: Option<Tensor>, activation: Activation) -> Option<Conv> {
    let (outputs, channels) = weight.dims2().ok()?;
    let weight = weight.reshape((outputs, channels, 1, 1)).ok()?;
    Some(Conv { spec: ConvSpec::conv(channels, outputs, 1, 1, 0), weight, bias, activation })
}

/// The ink of an image, alone in its map, as [`crate::ops::ink`] has it.
fn add_ink(graph: &mut Graph, image: Place) -> Option<Place> {
    let (channels, height, width) = graph.shape(image);
    // What a matrix makes of (1 - x) / 2.
    let of_ink = |weight: Tensor, activation| {
        let bias = (weight.sum(1).ok()? * 0.5).ok()?;
        mixed(&(weight * -0.5).ok()?, Some(bias), activation)
    };
    let both = graph.map(vec![channels, 1], (height, width));
    let place = |group| Some(Place { map: both, group });
    let axes = of_ink(ink_axes(channels, &Device::Cpu).ok()?, Activation::None)?;
    add_conv(graph, axes, image.map, place(0))?;
    let mean = Tensor::full((COVER_RISE / channels as f64) as f32, (1, channels), &Device::Cpu).ok()?;
    add_conv(graph, of_ink(mean, Activation::Tanh)?, image.map, place(1))?;
    // One place with all of them, for a Gram matrix is one place's.
    let mut lengths = vec![1.0; channels];
    lengths.push(COVER as f32);
    let lengths = Tensor::new(lengths, &Device::Cpu).ok()?.unsqueeze(1).ok()?;
    let all = Tensor::eye(channels + 1, DType::F32, &Device::Cpu).ok()?.broadcast_mul(&lengths).ok()?;
    add_conv(graph, mixed(&all, None, Activation::None)?, both, None)
}

/// What a part of the loss compares with for images of Y, where that is not what the graph makes of them.
///
/// # Errors
/// When the images have another rank.
pub fn own_target(loss: &Loss, images: &Tensor) -> candle_core::Result<Option<Tensor>> {
    (loss.cover > 0.0).then(|| ink_gram(images, loss.cover)).transpose()
}

/// The bands of a Laplacian pyramid of an image, as [`crate::ops::laplacian_pyramid`] has them.
fn add_bands(graph: &mut Graph, image: Place, count: usize) -> Option<Vec<Place>> {
    let mut bands = Vec::new();
    let mut fine = image;
    for _ in 1..count {
        let (channels, h, w) = graph.shape(fine);
        if h % 2 + w % 2 != 0 {
            return None;
        }
        let mut map = |size| Place { map: graph.map(vec![channels], size), group: 0 };
        let (low, blurred, band) = (map((h / 2, w / 2)), map((h, w)), map((h, w)));
        graph.nodes.push(Node::Resample { how: Resample::AveragePool, from: fine, to: low });
        graph.nodes.push(Node::Resample { how: Resample::Bilinear, from: low, to: blurred });
        let minus = (Tensor::eye(channels, DType::F32, &Device::Cpu).ok()? * -1.0).ok()?;
        let negated = add_conv(graph, mixed(&minus, None, Activation::None)?, blurred.map, None)?;
        graph.nodes.push(Node::Add { terms: [fine, negated], to: band, activation: Activation::None });
        bands.push(band);
        fine = low;
    }
    bands.push(fine);
    Some(bands)
}

/// What a part of the loss looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The pixels.
    Pixels,
    /// A level of the perceptual network.
    Level(usize),
    /// The Gram matrix of a level.
    Gram(usize),
    /// The Gram matrix of the ink.
    Ink,
    /// A band of the Laplacian pyramid, the finest first.
    Band(usize),
}

/// A part of the loss: what it looks at, how that is compared, and its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossPart {
    /// What it looks at.
    pub sees: Seen,
    /// How.
    pub compare: Compare,
    /// In the sum.
    pub weight: f32,
}

/// The parts of a loss: pixels, levels, their Gram matrices, and pyramids. `None` where there are none.
pub fn loss_parts(loss: &LossConfig) -> Option<Vec<LossPart>> {
    let part = |sees, compare, weight| LossPart { sees, compare, weight };
    let pixels = [(Compare::L1, loss.pixel_l1), (Compare::L2, loss.pixel_l2)];
    let pixels = pixels.into_iter().map(|(compare, weight)| part(Seen::Pixels, compare, weight));
    let levels = loss.perceptual.iter().enumerate();
    let levels = levels.map(|(i, &weight)| part(Seen::Level(i), Compare::L1, weight));
    let grams = (0..loss.perceptual.len()).map(|i| part(Seen::Gram(i), Compare::L1, loss.gram));
    let ink = [part(Seen::Ink, Compare::L1, loss.colour)];
    let bands = (0..loss.laplacian_levels).map(|i| part(Seen::Band(i), Compare::L1, loss.laplacian));
    let parts: Vec<LossPart> =
        pixels.chain(levels).chain(grams).chain(ink).chain(bands).filter(|part| part.weight > 0.0).collect();
    (!parts.is_empty()).then_some(parts)
}

/// An image of this shape to all levels of a perceptual network.
pub fn seeing(perceptual: &Perceptual, (channels, height, width): (usize, usize, usize)) -> Option<Graph> {
    let mut graph = Graph::default();
    let image = Place { map: graph.map(vec![channels], (height, width)), group: 0 };
    graph.input = Some(image);
    graph.results = add_perceptual(&mut graph, perceptual, image, perceptual.level_count())?;
    Some(graph)
}

/// z to G(z).
pub fn generating(generator: &Generator) -> Option<Graph> {
    let mut graph = Graph::default();
    let x = add_generator(&mut graph, generator, None)?;
    graph.results = vec![x];
    Some(graph)
}

/// x to T(x), where x has T's size already or is brought to it by T's sampler.
pub fn mapping(mapping: &Mapping, sampled: bool) -> Option<Graph> {
    let mut graph = Graph::default();
    let (maps, x) = add_pyramid(&mut graph, mapping)?;
    graph.input = Some(match mapping.sampler().filter(|_| !sampled) {
        None => x,
        Some(sampler) => {
            let (source, channels) = (mapping.config().source, mapping.config().inputs);
            let whole = Place { map: graph.map(vec![channels], (source, source)), group: 0 };
            add_sampler(&mut graph, sampler, whole, x)?;
            whole
        }
    });
    let y = add_mapping(&mut graph, mapping, mapping_convs(mapping)?, &maps, x)?;
    graph.results = vec![y];
    Some(graph)
}

/// y to E(y): mu and log sigma^2, `[2 nz, 1, 1]`.
pub fn encoding(encoder: &Encoder) -> Option<Graph> {
    let config = encoder.config();
    let mut graph = Graph::default();
    let image = graph.map(vec![config.channels], (config.size, config.size));
    graph.input = Some(Place { map: image, group: 0 });
    let both = add_chain(&mut graph, encoder.blocks()?.into_iter(), image, None)?;
    graph.results = vec![both];
    Some(graph)
}
