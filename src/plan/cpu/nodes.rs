//! The nodes of a graph that are no convolutions, forward and backward: those that the networks of the papers have
//! ([`super::elementwise`]), and those that imported generators have besides ([`super::apply`]).

use super::super::graph::{Apply, Node, Place, Resample};
use super::apply::{
    Lanes, Scaled, by_lane, by_pixel, function, norms, rearrange, sample, slope, sum_products, value_by_value,
};
use super::elementwise::{self, Source, Target};
use super::gram;
use crate::ops::simd::tiles::Kernels;

/// Computes a node of which `values` gives the inputs, for the first `count` pictures.
pub fn make<'a>(
    kernels: &Kernels,
    node: &Node,
    count: usize,
    target: Target,
    values: &(dyn Fn(Place) -> Source<'a> + Sync),
) {
    match node {
        Node::Conv { .. } => {}
        Node::Resample { how, from, .. } => {
            elementwise::resample(kernels, (*how, false), count, values(*from), None, target);
        }
        Node::Gram { from, .. } => gram::gram(kernels, count, values(*from), target),
        Node::Add { terms: [a, b], .. } => elementwise::add(kernels, count, values(*a), Some(values(*b)), target),
        Node::Apply { what, from, .. } => {
            let Some(x) = from.first().map(|&place| values(place)) else { return };
            match what {
                Apply::PixelNorm(epsilon) => {
                    let (roots, _) = norms(kernels, count, x, None, *epsilon);
                    by_pixel(kernels, count, (x, &roots), None, target);
                }
                Apply::Scale { scale, bias, plane } => {
                    let given = Lanes { values: scale.as_deref(), by: from.get(1).map(|&place| values(place)) };
                    let after = (bias.as_deref(), plane.as_deref());
                    by_lane(kernels, count, Scaled::Map(x), given, after, target);
                }
                Apply::Spread(constant) => {
                    let given = Lanes { values: None, by: Some(x) };
                    by_lane(kernels, count, Scaled::Constant(constant), given, (None, None), target);
                }
                Apply::Square | Apply::InverseRoot(_) | Apply::Uniform => {
                    value_by_value(kernels, count, target, |picture, block, y| {
                        let row = x.plane(picture, block).row(y);
                        move |i, lane| function(what, row[i][lane])
                    });
                }
                Apply::Sample([by_rows, by_columns, ..]) => sample(kernels, count, x, [by_rows, by_columns], target),
                Apply::Reshape | Apply::Shuffle(_) => rearrange(kernels, (what, false), count, x, target),
            }
        }
    }
}

/// Writes the gradient in the input of this number of a node, from that in what the node made.
pub fn unmake<'a>(
    kernels: &Kernels,
    (node, input): (&Node, usize),
    count: usize,
    gradient: Source<'a>,
    target: Target,
    values: &(dyn Fn(Place) -> Source<'a> + Sync),
) {
    match node {
        Node::Conv { .. } => {}
        Node::Resample { how, from, .. } => {
            let origin = (*how == Resample::MaxPool).then(|| values(*from));
            elementwise::resample(kernels, (*how, true), count, gradient, origin, target);
        }
        Node::Gram { from, .. } => gram::gram_back(kernels, count, gradient, values(*from), target),
        Node::Add { .. } => elementwise::add(kernels, count, gradient, None, target),
        Node::Apply { what, from, .. } => match what {
            Apply::PixelNorm(epsilon) => {
                let x = values(from[0]);
                let (roots, shares) = norms(kernels, count, x, Some(gradient), *epsilon);
                by_pixel(kernels, count, (gradient, &roots), Some((x, &shares)), target);
            }
            Apply::Scale { scale, .. } if input == 0 => {
                let given = Lanes { values: scale.as_deref(), by: from.get(1).map(|&place| values(place)) };
                by_lane(kernels, count, Scaled::Map(gradient), given, (None, None), target);
            }
            Apply::Scale { scale, .. } => {
                let given = Lanes { values: scale.as_deref(), by: None };
                sum_products(kernels, count, Scaled::Map(values(from[0])), gradient, given, target);
            }
            Apply::Spread(constant) => {
                let given = Lanes { values: None, by: None };
                sum_products(kernels, count, Scaled::Constant(constant), gradient, given, target);
            }
            Apply::Square | Apply::InverseRoot(_) | Apply::Uniform => {
                let x = values(from[0]);
                value_by_value(kernels, count, target, |picture, block, y| {
                    let (row, towards) = (x.plane(picture, block).row(y), gradient.plane(picture, block).row(y));
                    move |i, lane| slope(what, row[i][lane]) * towards[i][lane]
                });
            }
            Apply::Sample([.., by_rows, by_columns]) => {
                sample(kernels, count, gradient, [by_rows, by_columns], target);
            }
            Apply::Reshape | Apply::Shuffle(_) => rearrange(kernels, (what, true), count, gradient, target),
        },
    }
}
