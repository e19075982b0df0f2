//! Generators whose tensors' names and shapes tell what they compute, and drafts of descriptions for all others.

use super::{Codes, Description, Item};
use crate::nets::Weights;
use crate::{Error, Result};
use std::cmp::Ordering;

/// What a module is, told from its tensors.
enum Kind {
    /// The shape of the kernels.
    Kernels([usize; 4]),
    /// Outputs and inputs.
    Linear([usize; 2]),
    /// Batch normalisation.
    Norm,
}

/// The modules that have tensors, by name; numbers within names are compared as numbers. Files do not keep the order in
/// which a generator uses its modules, but names nearly always follow it.
fn modules(tensors: &Weights) -> Vec<(String, Kind)> {
    let mut modules = Vec::new();
    for (name, tensor) in tensors.iter() {
        let Some((module, part)) = name.rsplit_once('.') else { continue };
        let kind = match (part, tensor.dims()) {
            ("weight", &[a, b, c, d]) => Kind::Kernels([a, b, c, d]),
            ("weight", &[a, b]) => Kind::Linear([a, b]),
            ("running_mean", _) => Kind::Norm,
            _ => continue,
        };
        modules.push((module.to_owned(), kind));
    }
    modules.sort_by(|(a, _), (b, _)| natural(a, b));
    modules
}

/// The order of names by their parts, numbers as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let part = |text: &str| {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let number = digits.parse::<u64>().ok();
        (text[..text.len() - digits.len()].to_owned(), number, digits.to_owned())
    };
    a.split('.').map(part).cmp(b.split('.').map(part))
}

fn transposed(name: &str, stride: usize, padding: usize) -> Item {
    Item::Convolution { name: name.to_owned(), transposed: true, stride, padding, output_padding: 0, equalised: None }
}

/// The description of a generator of a kind that is known, and what it is called.
///
/// Known are all that are built like DCGAN's example, under any names: transposed convolutions of 4x4, the first from
/// the code, the others with stride 2; and the MNIST generator of many courses, with kernels of 3, 4, 3 and 4.
pub fn recognise(tensors: &Weights) -> Option<(Description, &'static str)> {
    let modules = modules(tensors);
    let mut layers = Vec::new();
    let (mut kernels, mut latent, mut channels) = (Vec::new(), 0, 0);
    for (name, kind) in &modules {
        match kind {
            Kind::Kernels([inputs, outputs, rows, columns]) if rows == columns => {
                if kernels.is_empty() {
                    latent = *inputs;
                } else if *inputs != channels {
                    return None;
                }
                channels = *outputs;
                if !kernels.is_empty() {
                    layers.push(Item::Relu);
                }
                kernels.push(*rows);
                layers.push(transposed(name, 0, 0));
            }
            Kind::Norm => layers.push(Item::BatchNorm { name: name.clone(), epsilon: 1e-5 }),
            _ => return None,
        }
    }
    let (steps, called): (Vec<(usize, usize)>, _) = if kernels.len() > 1 && kernels.iter().all(|&kernel| kernel == 4) {
        let first = std::iter::once((1, 0));
        (first.chain(std::iter::repeat((2, 1))).take(kernels.len()).collect(), "DCGAN's layers")
    } else if kernels == [3, 4, 3, 4] && modules[0].0.ends_with("gen.0.0") {
        (vec![(2, 0), (1, 0), (2, 0), (2, 0)], "the layers of the MNIST DCGAN of 28 x 28 pixels")
    } else {
        return None;
    };
    let mut steps = steps.into_iter();
    for item in &mut layers {
        if let Item::Convolution { stride, padding, .. } = item {
            (*stride, *padding) = steps.next()?;
        }
    }
    // A normalisation behind the last convolution, or two in a row, is something else.
    let norm = |item: &Item| matches!(item, Item::BatchNorm { .. });
    if layers.last().is_none_or(norm) || layers.windows(2).any(|pair| norm(&pair[0]) && norm(&pair[1])) {
        return None;
    }
    layers.push(Item::Tanh);
    Some((Description { latent, codes: Codes::Normal, range: [-1.0, 1.0], layers }, called))
}

/// A description to be completed: the modules that the file has, in the order of their names, with strides, paddings
/// and activations as they most often are.
///
/// # Errors
/// When the file has no convolutions or linear layers.
pub fn draft(tensors: &Weights) -> Result<Description> {
    let mut layers: Vec<Item> = Vec::new();
    let (mut latent, mut channels) = (None, None);
    for (name, kind) in modules(tensors) {
        let main = !matches!(kind, Kind::Norm);
        if main && !layers.is_empty() {
            layers.push(Item::Relu);
        }
        layers.push(match kind {
            Kind::Linear([outputs, inputs]) => {
                latent.get_or_insert(inputs);
                channels = Some(outputs);
                Item::Linear { name, equalised: None }
            }
            Kind::Kernels([first, second, kernel, _]) => {
                // What comes before decides; where it does not, kernels of even size are those of transposed ones.
                let follows = |side: usize| channels.is_some_and(|channels| channels == side);
                let is_transposed = match (follows(first), follows(second)) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => kernel % 2 == 0 || channels.is_none(),
                };
                let (inputs, outputs) = if is_transposed { (first, second) } else { (second, first) };
                latent.get_or_insert(inputs);
                let first_one = channels.is_none();
                channels = Some(outputs);
                let (stride, padding) = match (is_transposed, first_one) {
                    (true, true) => (1, 0),
                    (true, false) => (2, kernel.saturating_sub(1) / 2),
                    (false, _) => (1, kernel / 2),
                };
                Item::Convolution {
                    name,
                    transposed: is_transposed,
                    stride,
                    padding,
                    output_padding: 0,
                    equalised: None,
                }
            }
            Kind::Norm => Item::BatchNorm { name, epsilon: 1e-5 },
        });
    }
    let Some(latent) = latent else {
        return Err(Error::new("The file holds no convolutions and no linear layers, so no generator."));
    };
    layers.push(Item::Tanh);
    Ok(Description { latent, codes: Codes::Normal, range: [-1.0, 1.0], layers })
}
