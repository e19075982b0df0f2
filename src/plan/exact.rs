//! A graph in f64, loop by loop: what the tests measure the roundings of every device against.

use super::build::own_target;
use super::graph::{Compare, Conv, Graph, Loss, Node, Place, Resample};
use crate::ops::tests::values;
use crate::ops::{Activation, ConvSpec};
use candle_core::Tensor;

/// A map of one picture, `[channels][height][width]`, the channels of all groups one after the other.
type Map = Vec<f64>;

/// A graph for one picture at a time.
pub(crate) struct Exact {
    graph: Graph,
    /// The weights and the bias of every node that is a convolution.
    convs: Vec<Option<[Vec<f64>; 2]>>,
}

/// What became of a code.
pub(crate) struct Computed {
    /// T(G(z)), `[channels, height, width]`.
    pub(crate) picture: Vec<f64>,
    pub(crate) loss: f64,
    pub(crate) gradient: Vec<f64>,
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    values(tensor).into_iter().map(f64::from).collect()
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => x * if x > 0.0 { 1.0 } else { f64::from(slope) },
        Activation::Tanh => x.tanh(),
    }
}

fn slope(activation: Activation, activated: f64) -> f64 {
    match activation {
        Activation::None => 1.0,
        Activation::Relu => f64::from(activated > 0.0),
        Activation::LeakyRelu(slope) => {
            if activated > 0.0 {
                1.0
            } else {
                f64::from(slope)
            }
        }
        Activation::Tanh => 1.0 - activated * activated,
    }
}

/// Calls `each(small, large, weight)` for the rows of both maps that a kernel's value connects: where one begins in the
/// smaller map and in the larger one, how many pixels it has, and the step between those of the larger one.
fn connect(
    spec: &ConvSpec,
    weights: &[f64],
    (small, large): ([usize; 3], [usize; 3]),
    mut each: impl FnMut(usize, usize, usize, f64),
) {
    let ConvSpec { kernel, stride, padding, .. } = *spec;
    for (i, &weight) in weights.iter().enumerate() {
        let (a, b, ky, kx) =
            (i / (large[0] * kernel * kernel), i / (kernel * kernel) % large[0], i / kernel % kernel, i % kernel);
        // The columns of the smaller map whose partners are inside.
        let first = padding.saturating_sub(kx).div_ceil(stride);
        let end = ((large[2] + padding).saturating_sub(kx)).div_ceil(stride).min(small[2]);
        for y in 0..small[1] {
            let row = (y * stride + ky).wrapping_sub(padding);
            if row < large[1] && first < end {
                let from = (a * small[1] + y) * small[2] + first;
                let to = (b * large[1] + row) * large[2] + first * stride + kx - padding;
                each(from, to, end - first, weight);
            }
        }
    }
}

/// The smaller map of a convolution from its larger one.
fn gather(spec: &ConvSpec, weights: &[f64], small: (&mut [f64], [usize; 3]), large: (&[f64], [usize; 3])) {
    connect(spec, weights, (small.1, large.1), |from, to, count, weight| {
        let row = large.0[to..].iter().step_by(spec.stride);
        small.0[from..from + count].iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
    });
}

/// The larger map of a convolution from its smaller one.
fn scatter(spec: &ConvSpec, weights: &[f64], small: (&[f64], [usize; 3]), large: (&mut [f64], [usize; 3])) {
    connect(spec, weights, (small.1, large.1), |from, to, count, weight| {
        let row = large.0[to..].iter_mut().step_by(spec.stride);
        row.zip(&small.0[from..from + count]).for_each(|(sum, value)| *sum += weight * value);
    });
}

/// The pixels of the smaller and of the larger plane that a change of size connects, with their shares.
fn shares(how: Resample, (h, w): (usize, usize)) -> Vec<(usize, usize, f64)> {
    let mut all = Vec::new();
    for (y, x) in (0..2 * h).flat_map(|y| (0..2 * w).map(move |x| (y, x))) {
        let large = y * 2 * w + x;
        if how != Resample::Bilinear {
            all.push((y / 2 * w + x / 2, large, 0.25));
            continue;
        }
        let beside = |i: usize, count: usize| match i % 2 {
            0 => (i / 2).saturating_sub(1),
            _ => (i / 2 + 1).min(count - 1),
        };
        for (row, a) in [(y / 2, 0.75), (beside(y, h), 0.25)] {
            for (column, b) in [(x / 2, 0.75), (beside(x, w), 0.25)] {
                all.push((row * w + column, large, a * b));
            }
        }
    }
    all
}

impl Exact {
    pub(crate) fn new(graph: Graph) -> Self {
        let weights = |node: &Node| match node {
            Node::Conv { conv: Conv { weight, bias, .. }, .. } => {
                Some([doubles(weight), bias.as_ref().map(doubles).unwrap_or_default()])
            }
            _ => None,
        };
        Self { convs: graph.nodes.iter().map(weights).collect(), graph }
    }

    fn shape(&self, map: usize) -> [usize; 3] {
        let map = &self.graph.maps[map];
        [map.groups.iter().sum(), map.height, map.width]
    }

    /// The values of a place in its map.
    fn range(&self, place: Place) -> std::ops::Range<usize> {
        let map = &self.graph.maps[place.map];
        let area = map.height * map.width;
        let first: usize = map.groups[..place.group].iter().sum();
        first * area..(first + map.groups[place.group]) * area
    }

    fn empty(&self) -> Vec<Map> {
        (0..self.graph.maps.len()).map(|map| vec![0.0; self.shape(map).iter().product()]).collect()
    }

    fn put(&self, maps: &mut [Map], place: Place, values: &[f64]) {
        maps[place.map][self.range(place)].copy_from_slice(values);
    }

    fn get<'a>(&self, maps: &'a [Map], place: Place) -> &'a [f64] {
        &maps[place.map][self.range(place)]
    }

    /// Runs the nodes from `first` on.
    fn forward(&self, maps: &mut [Map], first: usize) {
        for (node, conv) in self.graph.nodes.iter().zip(&self.convs).skip(first) {
            let to = node.to();
            let (channels, h, w) = self.graph.shape(to);
            let mut made = vec![0.0; channels * h * w];
            match node {
                Node::Conv { conv: layer, from, .. } => {
                    let [weights, bias] = conv.as_ref().unwrap();
                    if !bias.is_empty() {
                        made.chunks_mut(h * w).zip(bias).for_each(|(plane, bias)| plane.fill(*bias));
                    }
                    let (input, inner) = (&maps[*from], self.shape(*from));
                    match layer.spec.transposed {
                        false => gather(&layer.spec, weights, (&mut made, [channels, h, w]), (input, inner)),
                        true => scatter(&layer.spec, weights, (input, inner), (&mut made, [channels, h, w])),
                    }
                }
                Node::Resample { how, from, .. } => {
                    let input = self.get(maps, *from);
                    let (area, small) = (h * w, self.graph.shape(*from));
                    for channel in 0..channels {
                        let to = &mut made[channel * area..][..area];
                        let plane = |index: usize, size: usize| &input[index * size..][..size];
                        match how {
                            Resample::AveragePool => {
                                let from = plane(channel, 4 * area);
                                shares(*how, (h, w)).iter().for_each(|&(s, l, share)| to[s] += share * from[l]);
                            }
                            Resample::Bilinear => {
                                let from = plane(channel, area / 4);
                                shares(*how, (h / 2, w / 2)).iter().for_each(|&(s, l, share)| to[l] += share * from[s]);
                            }
                            Resample::MaxPool => {
                                let from = plane(channel, 4 * area);
                                to.fill(f64::NEG_INFINITY);
                                shares(*how, (h, w)).iter().for_each(|&(s, l, _)| to[s] = to[s].max(from[l]));
                            }
                            Resample::Unfold => {
                                for (at, value) in to.iter_mut().enumerate() {
                                    let (y, x) = (at / w, at % w);
                                    let part = y % 2 * 2 + x % 2;
                                    *value = plane(part * channels + channel, area / 4)[y / 2 * small.2 + x / 2];
                                }
                            }
                        }
                    }
                }
                Node::Gram { from, .. } => {
                    let features = self.get(maps, *from);
                    let area = features.len() / channels;
                    for (at, value) in made.iter_mut().enumerate() {
                        let (a, b) = (&features[at / channels * area..][..area], &features[at % channels * area..]);
                        let sum: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        *value = sum / features.len() as f64;
                    }
                    // As a map has them, its channels one after the other: a matrix that is symmetric stays as it is.
                }
                Node::Apply { .. } => panic!("imported generators are compared with the operations"),
                Node::Add { terms: [a, b], .. } => {
                    let sums = self.get(maps, *a).iter().zip(self.get(maps, *b)).map(|(a, b)| a + b);
                    made = sums.collect();
                }
            }
            made.iter_mut().for_each(|value| *value = activate(node.activation(), *value));
            self.put(maps, to, &made);
        }
    }

    /// What the losses compare with, for one image that stands where T(G(z)) does.
    pub(crate) fn targets(&self, image: &Tensor) -> Vec<Map> {
        let place = self.graph.results[1];
        let maker = self.graph.nodes.iter().position(|node| node.to() == place).unwrap();
        let mut maps = self.empty();
        self.put(&mut maps, place, &doubles(image));
        self.forward(&mut maps, maker + 1);
        let target = |loss: &Loss| match own_target(loss, image).unwrap() {
            Some(wanted) => doubles(&wanted),
            None => self.get(&maps, loss.place).to_vec(),
        };
        self.graph.losses.iter().map(target).collect()
    }

    /// The picture, the loss and the gradient of a code.
    pub(crate) fn run(&self, code: &[f64], targets: &[Map]) -> Computed {
        let mut maps = self.empty();
        let input = self.graph.input.unwrap();
        self.put(&mut maps, input, code);
        self.forward(&mut maps, 0);
        let mut gradients = self.empty();
        let mut sum = 0.0;
        for (loss, target) in self.graph.losses.iter().zip(targets) {
            let found = self.get(&maps, loss.place);
            let factor = f64::from(loss.weight) / found.len() as f64;
            for ((a, b), gradient) in
                found.iter().zip(target).zip(&mut gradients[loss.place.map][self.range(loss.place)])
            {
                let d = a - b;
                let (part, slope) = match loss.compare {
                    Compare::L1 => (d.abs(), if d == 0.0 { 0.0 } else { d.signum() }),
                    Compare::L2 => (d * d, 2.0 * d),
                };
                sum += factor * part;
                *gradient += factor * slope;
            }
        }
        for (node, conv) in self.graph.nodes.iter().zip(&self.convs).rev() {
            self.backward(node, conv.as_ref(), &maps, &mut gradients);
        }
        let picture = self.get(&maps, self.graph.results[1]).to_vec();
        Computed { picture, loss: sum, gradient: self.get(&gradients, input).to_vec() }
    }

    fn backward(&self, node: &Node, conv: Option<&[Vec<f64>; 2]>, maps: &[Map], gradients: &mut [Map]) {
        let to = node.to();
        let (channels, h, w) = self.graph.shape(to);
        let area = h * w;
        let mut gradient = self.get(gradients, to).to_vec();
        for (gradient, value) in gradient.iter_mut().zip(self.get(maps, to)) {
            *gradient *= slope(node.activation(), *value);
        }
        match node {
            Node::Conv { conv: layer, from, .. } => {
                let inner = self.shape(*from);
                let outer = (&gradient[..], [channels, h, w]);
                let weights = &conv.unwrap()[0];
                let into = (&mut gradients[*from][..], inner);
                match layer.spec.transposed {
                    false => scatter(&layer.spec, weights, outer, into),
                    true => gather(&layer.spec, weights, into, outer),
                }
            }
            Node::Resample { how, from, .. } => {
                let origin = self.get(maps, *from);
                let size = origin.len() / self.graph.shape(*from).0;
                let to = &mut gradients[from.map][self.range(*from)];
                for (channel, gradient) in gradient.chunks_exact(area).enumerate() {
                    match how {
                        Resample::AveragePool => {
                            let to = &mut to[channel * size..][..size];
                            shares(*how, (h, w)).iter().for_each(|&(s, l, share)| to[l] += share * gradient[s]);
                        }
                        Resample::Bilinear => {
                            let to = &mut to[channel * size..][..size];
                            shares(*how, (h / 2, w / 2)).iter().for_each(|&(s, l, share)| to[s] += share * gradient[l]);
                        }
                        Resample::MaxPool => {
                            // The first of the largest has it all.
                            let mut taken = vec![false; area];
                            let values = self.get(maps, node.to());
                            for (s, l, _) in shares(*how, (h, w)) {
                                if !taken[s] && origin[channel * size + l] == values[channel * area + s] {
                                    taken[s] = true;
                                    to[channel * size + l] += gradient[s];
                                }
                            }
                        }
                        Resample::Unfold => {
                            for (at, value) in gradient.iter().enumerate() {
                                let (y, x) = (at / w, at % w);
                                let part = y % 2 * 2 + x % 2;
                                to[(part * channels + channel) * size + y / 2 * (w / 2) + x / 2] += value;
                            }
                        }
                    }
                }
            }
            Node::Gram { from, .. } => {
                let features = self.get(maps, *from).to_vec();
                let area = features.len() / channels;
                let to = &mut gradients[from.map][self.range(*from)];
                for (at, value) in gradient.iter().enumerate() {
                    for pixel in 0..area {
                        let (a, b) = (at / channels * area + pixel, at % channels * area + pixel);
                        to[a] += value * features[b] / features.len() as f64;
                        to[b] += value * features[a] / features.len() as f64;
                    }
                }
            }
            Node::Apply { .. } => panic!("imported generators are compared with the operations"),
            Node::Add { terms, .. } => {
                for term in terms {
                    let to = &mut gradients[term.map][self.range(*term)];
                    to.iter_mut().zip(&gradient).for_each(|(to, value)| *to += value);
                }
            }
        }
    }
}
