//! Graphs of generators that are any sequence of layers.

use super::build::{add_conv, conv_of, frozen, frozen_conv};
use super::graph::{Apply, Conv, Graph, Node, Place, Resample, Taps};
use crate::nets::sampler::Sampler;
use crate::nets::sequence::{PIXEL_NORM_EPSILON, Sequence, Step};
use crate::nets::style::{self, Style, Synthesis};
use crate::ops::{Activation, ConvSpec};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Adds a step that makes a map of this shape, in a place that is there or in one of its own.
fn add(
    graph: &mut Graph,
    what: Apply,
    from: Vec<Place>,
    shape: (usize, usize, usize),
    to: Option<Place>,
) -> Option<Place> {
    add_activated(graph, what, from, shape, (Activation::None, to))
}

fn add_activated(
    graph: &mut Graph,
    what: Apply,
    from: Vec<Place>,
    shape: (usize, usize, usize),
    (activation, to): (Activation, Option<Place>),
) -> Option<Place> {
    let (channels, height, width) = shape;
    let to = to.unwrap_or_else(|| Place { map: graph.map(vec![channels], (height, width)), group: 0 });
    if graph.shape(to) != shape {
        return None;
    }
    graph.nodes.push(Node::Apply { what, from, to, activation });
    Some(to)
}

/// The values of a tensor that kernels of this processor can read.
fn values(tensor: &Tensor) -> Option<Arc<[f32]>> {
    let readable = tensor.device().is_cpu() && tensor.dtype() == candle_core::DType::F32;
    let values: Vec<f32> = tensor.flatten_all().ok().filter(|_| readable)?.to_vec1().ok()?;
    Some(values.into())
}

fn scale(scale: Option<Arc<[f32]>>, bias: Option<Arc<[f32]>>) -> Apply {
    Apply::Scale { scale, bias, plane: None }
}

/// A sequence of layers from a code, to a place that is there or to a map of its own; `None` where it has what a graph
/// cannot say.
pub(super) fn add_sequence(graph: &mut Graph, sequence: &Sequence, code: Place, to: Option<Place>) -> Option<Place> {
    let mut place = code;
    let last = sequence.steps().len().checked_sub(1)?;
    for (i, step) in sequence.steps().iter().enumerate() {
        let to = to.filter(|_| i == last);
        let shape = graph.shape(place);
        let (channels, height, width) = shape;
        place = match step {
            Step::Block(block) => add_last_conv(graph, conv_of(frozen(block)?), place, to)?,
            Step::Normalise(factors, shifts) => {
                add(graph, scale(Some(values(factors)?), Some(values(shifts)?)), vec![place], shape, to)?
            }
            Step::Activate(activation) => {
                add_activated(graph, scale(None, None), vec![place], shape, (*activation, to))?
            }
            Step::Scale(factor, shift) => {
                let all = |value: f32| Some(vec![value; channels].into());
                add(graph, scale(all(*factor), all(*shift)), vec![place], shape, to)?
            }
            Step::Upsample(true) => {
                let shape = (channels, 2 * height, 2 * width);
                let to = to.unwrap_or_else(|| Place { map: graph.map(vec![channels], (shape.1, shape.2)), group: 0 });
                if graph.shape(to) != shape {
                    return None;
                }
                graph.nodes.push(Node::Resample { how: Resample::Bilinear, from: place, to });
                to
            }
            Step::Upsample(false) => {
                let taps = |side: usize| Taps::new((side, 2 * side), |from, to| f32::from(u8::from(to / 2 == from)));
                let what = sampling([taps(height), taps(width)], (height, width));
                add(graph, what, vec![place], (channels, 2 * height, 2 * width), to)?
            }
            Step::Reshape(channels, side) => add(graph, Apply::Reshape, vec![place], (*channels, *side, *side), to)?,
            Step::PixelShuffle(factor) => {
                let shape = (channels / (factor * factor), height * factor, width * factor);
                add(graph, Apply::Shuffle(*factor), vec![place], shape, to)?
            }
            Step::PixelNorm => add(graph, Apply::PixelNorm(PIXEL_NORM_EPSILON as f32), vec![place], shape, to)?,
            Step::Uniform => add(graph, Apply::Uniform, vec![place], shape, to)?,
            Step::Style(synthesis) => add_synthesis(graph, synthesis, place, to)?,
            Step::Cars(_) => return None,
        };
    }
    Some(place)
}

/// A convolution; one that doubles the size of few channels has its four phases computed as the channels of one of half
/// the size.
pub(super) fn add_last_conv(graph: &mut Graph, conv: Conv, from: Place, to: Option<Place>) -> Option<Place> {
    let spec = conv.spec;
    if !(spec.transposed && (spec.kernel, spec.stride, spec.padding) == (4, 2, 1) && spec.outputs <= 4) {
        return add_conv(graph, conv, from.map, to);
    }
    let unfolded = add_conv(graph, folded(&conv)?, from.map, None)?;
    let (_, h, w) = graph.shape(unfolded);
    let to = to.unwrap_or_else(|| Place { map: graph.map(vec![spec.outputs], (2 * h, 2 * w)), group: 0 });
    if graph.shape(to) != (spec.outputs, 2 * h, 2 * w) {
        return None;
    }
    graph.nodes.push(Node::Resample { how: Resample::Unfold, from: unfolded, to });
    Some(to)
}

/// The 3x3 convolution whose channels, in four parts, are the 2x2 pixels that a transposed convolution 4/2/1 makes of
/// each pixel.
fn folded(conv: &Conv) -> Option<Conv> {
    let ConvSpec { inputs, outputs, .. } = conv.spec;
    let values: Vec<f32> = conv.weight.flatten_all().ok()?.to_vec1().ok()?;
    let mut folded = vec![0.0; 4 * outputs * inputs * 9];
    // Output row 2y + p is reached from row y + d by the kernel's row p + 1 - 2d.
    let tap = |phase: usize, d: usize| (phase + 3).checked_sub(2 * d).filter(|&k| k < 4);
    for (i, value) in folded.iter_mut().enumerate() {
        let (channel, input, dy, dx) = (i / (inputs * 9), i / 9 % inputs, i / 3 % 3, i % 3);
        let (phase, output) = (channel / outputs, channel % outputs);
        if let (Some(ky), Some(kx)) = (tap(phase / 2, dy), tap(phase % 2, dx)) {
            *value = values[(input * outputs + output) * 16 + ky * 4 + kx];
        }
    }
    let device = conv.weight.device();
    let bias = conv.bias.as_ref().map(|bias| Tensor::cat(&[bias, bias, bias, bias], 0)).transpose().ok()?;
    Some(Conv {
        spec: ConvSpec::conv(inputs, 4 * outputs, 3, 1, 1),
        weight: Tensor::from_vec(folded, (4 * outputs, inputs, 3, 3), device).ok()?,
        bias,
        activation: conv.activation,
    })
}

fn sampling([rows, columns]: [Taps; 2], (height, width): (usize, usize)) -> Apply {
    let back = [rows.reversed(height), columns.reversed(width)];
    let [back_rows, back_columns] = back.map(Arc::new);
    Apply::Sample([Arc::new(rows), Arc::new(columns), back_rows, back_columns])
}

/// The affine sampler before T, whose frame is fixed, to the place that T reads.
pub(super) fn add_sampler(graph: &mut Graph, sampler: &Sampler, from: Place, to: Place) -> Option<()> {
    let (source, size) = sampler.sizes();
    let taps = |weights: &Tensor| {
        let weights = values(weights)?;
        Some(Taps::new((source, size), |from, to| weights[from * size + to]))
    };
    let [rows, columns] = sampler.fixed()?;
    let (channels, height, width) = graph.shape(from);
    if (height, width) != (source, source) {
        return None;
    }
    let what = sampling([taps(rows)?, taps(columns)?], (height, width));
    add(graph, what, vec![from], (channels, size, size), Some(to)).map(drop)
}

/// A map with one pixel more on every side, mirrored at the border pixel.
pub(super) fn add_reflection(graph: &mut Graph, from: Place) -> Option<Place> {
    let (channels, height, width) = graph.shape(from);
    let taps = |length: usize| {
        let mirrored = |to: usize| if to == 0 { 1 } else { (to - 1).min(2 * length - 1 - to) };
        Taps::new((length, length + 2), |from, to| f32::from(u8::from(mirrored(to) == from)))
    };
    if height < 2 || width < 2 {
        return None;
    }
    let what = sampling([taps(height), taps(width)], (height, width));
    add(graph, what, vec![from], (channels, height + 2, width + 2), None)
}

/// A map without the pixels of its border.
pub(super) fn add_core(graph: &mut Graph, from: Place) -> Option<Place> {
    let (channels, height, width) = graph.shape(from);
    let taps = |length: usize| Taps::new((length, length - 2), |from, to| f32::from(u8::from(from == to + 1)));
    let what = sampling([taps(height), taps(width)], (height, width));
    add(graph, what, vec![from], (channels, height - 2, width - 2), None)
}

/// A linear layer on a map of one pixel, of weights `[inputs, outputs]`.
fn add_linear(graph: &mut Graph, from: Place, weight: &Tensor, bias: Tensor) -> Option<Place> {
    let (inputs, outputs) = weight.dims2().ok()?;
    values(weight)?;
    let conv = Conv {
        spec: ConvSpec::conv(inputs, outputs, 1, 1, 0),
        weight: weight.t().ok()?.contiguous().ok()?.reshape((outputs, inputs, 1, 1)).ok()?,
        bias: Some(bias),
        activation: Activation::None,
    };
    add_conv(graph, conv, from.map, None)
}

/// The scales that a style makes of w.
fn add_style(graph: &mut Graph, style: &Style, w: Place) -> Option<Place> {
    add_linear(graph, w, &style.weight, style.bias.clone())
}

/// StyleGAN2's synthesis network, as [`Synthesis::forward`] computes it.
fn add_synthesis(graph: &mut Graph, synthesis: &Synthesis, w: Place, to: Option<Place>) -> Option<Place> {
    let (_, channels, height, width) = synthesis.constant.dims4().ok()?;
    let constant = values(&synthesis.constant)?;
    let mut convolutions = synthesis.convolutions.iter();
    let (mut x, mut picture): (Option<Place>, Option<Place>) = (None, None);
    for (level, colours) in synthesis.colours.iter().enumerate() {
        for modulated in convolutions.by_ref().take(if level == 0 { 1 } else { 2 }) {
            let scales = add_style(graph, &modulated.style, w)?;
            let scaled = match x {
                None => add(graph, Apply::Spread(constant.clone()), vec![scales], (channels, height, width), None)?,
                Some(x) => add(graph, scale(None, None), vec![x, scales], graph.shape(x), None)?,
            };
            let y = add_doubling(graph, conv_of(frozen_conv(&modulated.convolution)?), scaled)?;
            // What brings the outputs back to unit length, and the gain.
            let squares = add(graph, Apply::Square, vec![scales], graph.shape(scales), None)?;
            let outputs = modulated.squares.dim(1).ok()?;
            let epsilon = Tensor::full(style::EPSILON as f32, outputs, &Device::Cpu).ok()?;
            let lengths = add_linear(graph, squares, &modulated.squares, epsilon)?;
            let back = Apply::InverseRoot(style::GAIN as f32);
            let back = add(graph, back, vec![lengths], graph.shape(lengths), None)?;
            let (bias, plane) = modulated.after.after();
            let [bias, plane] = [bias.map(values), plane.map(values)];
            let what = Apply::Scale {
                scale: None,
                bias: bias.map_or(Some(None), |bias| bias.map(Some))?,
                plane: plane.map_or(Some(None), |plane| plane.map(Some))?,
            };
            let activation = modulated.after.activation();
            x = Some(add_activated(graph, what, vec![y, back], graph.shape(y), (activation, None))?);
        }
        let x = x?;
        let scales = add_style(graph, &colours.style, w)?;
        let scaled = add(graph, scale(None, None), vec![x, scales], graph.shape(x), None)?;
        let is_last = level + 1 == synthesis.colours.len();
        let drawn = conv_of(frozen_conv(&colours.convolution)?);
        let Some(coarse) = picture else {
            picture = Some(add_conv(graph, drawn, scaled.map, to.filter(|_| is_last))?);
            continue;
        };
        let drawn = add_conv(graph, drawn, scaled.map, None)?;
        let doubled = add_conv(graph, of_each(graph.shape(coarse).0, &synthesis.doubling)?, coarse.map, None)?;
        let (channels, height, width) = graph.shape(drawn);
        let own = |graph: &mut Graph| Place { map: graph.map(vec![channels], (height, width)), group: 0 };
        let to = to.filter(|_| is_last).unwrap_or_else(|| own(graph));
        if graph.shape(to) != graph.shape(doubled) || graph.shape(to) != (channels, height, width) {
            return None;
        }
        graph.nodes.push(Node::Add { terms: [doubled, drawn], to, activation: Activation::None });
        picture = Some(to);
    }
    picture
}

/// A convolution; one of StyleGAN2's that double the size, whose gradient would need a wider frame than maps have, becomes
/// one of 3x3 with four times the channels, which are then the 2x2 pixels that it makes of each pixel.
fn add_doubling(graph: &mut Graph, conv: Conv, from: Place) -> Option<Place> {
    let ConvSpec { inputs, outputs, kernel, stride, padding, transposed } = conv.spec;
    if !(transposed && (kernel, stride, padding) == (6, 2, 2)) {
        return add_conv(graph, conv, from.map, None);
    }
    let values = values(&conv.weight)?;
    let mut phases = vec![0.0; 4 * outputs * inputs * 9];
    for (i, value) in phases.iter_mut().enumerate() {
        let (channel, input, dy, dx) = (i / (inputs * 9), i / 9 % inputs, i / 3 % 3, i % 3);
        let (output, phase) = (channel / 4, channel % 4);
        // Output row 2y + p is reached from row y + d by the kernel's row p + 2 - 2d.
        let (ky, kx) = (phase / 2 + 4 - 2 * dy, phase % 2 + 4 - 2 * dx);
        *value = values[(input * outputs + output) * 36 + ky * 6 + kx];
    }
    let spec = ConvSpec::conv(inputs, 4 * outputs, 3, 1, 1);
    let weight = Tensor::from_vec(phases, &spec.weight_shape(), &Device::Cpu).ok()?;
    let wide = add_conv(graph, Conv { spec, weight, bias: None, activation: Activation::None }, from.map, None)?;
    let (_, height, width) = graph.shape(wide);
    add(graph, Apply::Shuffle(2), vec![wide], (outputs, 2 * height, 2 * width), None)
}

/// The transposed convolution that does to each of some channels what this one does to one.
fn of_each(channels: usize, conv: &crate::ops::FrozenConv) -> Option<Conv> {
    let conv = conv_of(frozen_conv(conv)?);
    let kernel = values(&conv.weight)?;
    let mut all = vec![0.0; channels * channels * kernel.len()];
    for channel in 0..channels {
        all[channel * (channels + 1) * kernel.len()..][..kernel.len()].copy_from_slice(&kernel);
    }
    let spec = ConvSpec { inputs: channels, outputs: channels, ..conv.spec };
    let weight = Tensor::from_vec(all, &spec.weight_shape(), &Device::Cpu).ok()?;
    Some(Conv { spec, weight, ..conv })
}
