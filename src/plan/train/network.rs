//! A graph whose convolutions learn, forward and backward.

use super::super::cpu::elementwise::{self, Source, Target};
use super::super::cpu::geometry::grids;
use super::super::cpu::{Convolution, Finish, Floats, Kernels, Output, Way, WeightGradient, kernels, nodes};
use super::super::graph::{Conv, Graph, Loss, MapShape, Node, Place};
use super::super::layout::{LANES, Layout};
use super::super::memory::{Kind, Memory, Writer};
use super::super::run::{backward_finish, bias, finishes, padded, values};
use super::norm::{self, Kept, Moments};
use super::workspace::{Gradients, Parameters, Trained, Workspace};
use crate::ops::{Activation, ConvSpec};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A graph with one input, whose convolutions learn or are frozen.
pub struct Network {
    graph: Graph,
    layouts: Vec<Layout>,
    kernels: &'static Kernels,
    /// Of every node that is a convolution.
    layers: Vec<Option<Layer>>,
    finishes: Vec<(Vec<Finish>, Vec<Finish>)>,
    /// What is asked for, what is done to the gradient in it that comes from outside, and how that is laid out.
    results: Vec<(Place, Finish, Layout)>,
    spare: Mutex<Vec<Workspace>>,
}

enum Layer {
    Frozen {
        forward: Box<Convolution>,
        bias: Floats,
        backward: OnceLock<Option<Box<Convolution>>>,
    },
    Trained {
        /// Its index among the layers that learn.
        index: usize,
        normed: bool,
        gradient: Box<WeightGradient>,
    },
}

impl Network {
    /// Plans a graph with one input and its results. `norms` has the convolutions that learn, in the order of the graph,
    /// and whether each is normalised; where it is empty, all are frozen. `None` where the kernels cannot do it.
    pub fn new(graph: Graph, norms: Vec<bool>) -> Option<Self> {
        let (mut graph, kernels) = (graph, kernels());
        let (results, input) = (graph.results.clone(), graph.input?);
        // The gradients from outside come first, as those of a loss do. Convolutions that learn look at all values again.
        let seed = |&place: &Place| Loss { place, compare: super::super::graph::Compare::L1, weight: 1.0, cover: 0.0 };
        graph.losses = results.iter().map(seed).collect();
        if !norms.is_empty() {
            graph.results = (0..graph.maps.len()).flat_map(|map| graph.places(map)).collect();
        }
        let layouts: Vec<Layout> = graph.maps.iter().map(Layout::new).collect();
        let mut learning = norms.iter().copied().enumerate();
        let layers = graph.nodes.iter().map(|node| {
            let Node::Conv { conv, from, to } = node else { return Some(None) };
            let (from, map) = (&layouts[*from], &layouts[to.map]);
            if !conv.weight.device().is_cpu() {
                return None;
            }
            if norms.is_empty() {
                // Its gradient, which is packed when it is first asked for, must be one that kernels can compute.
                grids(&conv.spec.reversed(), (map.height, map.width))?;
                let sides = ((from, None), (map, Some(to.group)));
                let forward = planned(kernels, &conv.spec, &values(&conv.weight)?, sides, Way::Fastest)?;
                let bias = bias(conv, &map.lanes[map.groups[to.group].clone()])?;
                return Some(Some(Layer::Frozen { forward, bias, backward: OnceLock::new() }));
            }
            let (index, normed) = learning.next()?;
            let single = map.groups.len() == 1 && conv.bias.is_none();
            let gradient = WeightGradient::new(kernels, &conv.spec, from, (map, to.group), Way::Learning)?;
            single.then_some(Some(Layer::Trained { index, normed, gradient: Box::new(gradient) }))
        });
        let layers = layers.collect::<Option<Vec<_>>>()?;
        let finishes = (0..graph.nodes.len()).map(|i| finishes(&graph, &layouts, i, &graph.nodes[i])).collect();
        let known = learning.next().is_none() && !results.is_empty() && !results.contains(&input);
        let results = results.into_iter().enumerate().map(|(i, place)| {
            let (channels, height, width) = graph.shape(place);
            let layout = Layout::new(&MapShape { groups: vec![channels], height, width });
            (place, backward_finish(&graph, place, Writer::Loss(i)), layout)
        });
        let results = results.collect();
        known.then_some(Self { graph, layouts, kernels, layers, finishes, results, spare: Mutex::default() })
    }

    /// Channels, rows and columns of the input.
    pub fn input(&self) -> (usize, usize, usize) {
        self.graph.input.map_or((0, 0, 0), |place| self.graph.shape(place))
    }

    /// Channels, rows and columns of the results.
    pub fn results(&self) -> Vec<(usize, usize, usize)> {
        self.results.iter().map(|(place, ..)| self.graph.shape(*place)).collect()
    }

    /// The floats that both passes of a picture take.
    pub fn floats(&self) -> usize {
        Memory::new(&self.graph, &self.layouts, true).floats()
    }

    /// Memory for so many pictures.
    pub fn workspace(&self, count: usize, parts: usize) -> Workspace {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare.iter().position(|space| space.count == count).map(|i| spare.swap_remove(i));
        // Those for other numbers of pictures were for something that is over.
        spare.retain(|space| space.count == count);
        drop(spare);
        let mut space = found.unwrap_or_else(|| {
            let memory = Memory::new(&self.graph, &self.layouts, true);
            let slots = memory.slots.iter().map(|floats| Floats::zeros(floats * count)).collect();
            let trained = self.layers.iter().flatten().filter(|layer| matches!(layer, Layer::Trained { .. }));
            let layers = trained.map(|_| Trained::default()).collect();
            let largest = self.results.iter().map(|(.., layout)| layout.image()).max().unwrap_or(0);
            let seed = Floats::zeros(count * largest);
            Workspace { memory, slots, shared: Floats::default(), seed, layers, count, parts }
        });
        space.parts = parts;
        space
    }

    /// Takes memory back for the next pass.
    pub fn give_back(&self, space: Workspace) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    fn open(&self, work: &mut Workspace, kind: Kind, map: usize, writer: Writer) -> Floats {
        let mut values = work.take(kind, map);
        if work.memory.clears(kind, map, writer) {
            self.layouts[map].clear_frames(work.count, &mut values);
        }
        values
    }

    fn source<'a>(&'a self, work: &'a Workspace, kind: Kind, place: Place) -> Source<'a> {
        Source { layout: &self.layouts[place.map], group: place.group, values: work.slot(kind, place.map) }
    }

    /// The results for `inputs`, as many pictures as the workspace is for: those of all pictures, one result after the
    /// other.
    pub fn forward(&self, work: &mut Workspace, inputs: &[f32], parameters: &[Parameters]) -> Vec<f32> {
        let Some(input) = self.graph.input else { return Vec::new() };
        let mut map = self.open(work, Kind::Values, input.map, Writer::Input);
        self.layouts[input.map].pack(input.group, inputs, &mut map);
        work.put(Kind::Values, input.map, map);
        for index in 0..self.graph.nodes.len() {
            self.make(work, index, parameters);
        }
        let lengths: Vec<usize> = self.results().into_iter().map(|(c, h, w)| work.count * c * h * w).collect();
        let mut values = vec![0.0; lengths.iter().sum()];
        let mut rest = &mut values[..];
        for ((place, ..), length) in self.results.iter().zip(lengths) {
            let (here, behind) = rest.split_at_mut(length);
            self.layouts[place.map].unpack(place.group, work.slot(Kind::Values, place.map), here);
            rest = behind;
        }
        values
    }

    fn make(&self, work: &mut Workspace, index: usize, parameters: &[Parameters]) {
        let (node, count) = (&self.graph.nodes[index], work.count);
        let to = node.to();
        let mut map = self.open(work, Kind::Values, to.map, Writer::Node(index));
        let finishes = &self.finishes[index].0;
        let target =
            |values| Target { layout: &self.layouts[to.map], group: to.group, values, finish: finishes[0], seen: &[] };
        match (node, &self.layers[index]) {
            (Node::Conv { from, .. }, Some(Layer::Frozen { forward, bias, .. })) => {
                let mut shared = work.shared(forward.shared(count));
                let output = Output { values: &mut map, finish: finishes, bias, seen: &[] };
                forward.run(count, work.slot(Kind::Values, *from), output, &mut shared);
                work.shared = shared;
            }
            (Node::Conv { conv, from, .. }, Some(Layer::Trained { index, normed, .. })) => {
                let mut layer = std::mem::take(&mut work.layers[*index]);
                self.convolve(work, &mut layer, conv, (*from, to), &parameters[*index], (*normed, finishes), &mut map);
                work.layers[*index] = layer;
            }
            (Node::Conv { .. }, None) => {}
            (_, _) => nodes::make(self.kernels, node, count, target(&mut map), &|place| {
                self.source(work, Kind::Values, place)
            }),
        }
        work.put(Kind::Values, to.map, map);
    }

    /// A convolution that learns, with its normalisation.
    #[allow(clippy::too_many_arguments, reason = "a layer is all of these")]
    fn convolve(
        &self,
        work: &mut Workspace,
        layer: &mut Trained,
        conv: &Conv,
        (from, to): (usize, Place),
        parameters: &Parameters,
        (normed, finishes): (bool, &[Finish]),
        map: &mut [f32],
    ) {
        let (count, layout) = (work.count, &self.layouts[to.map]);
        let packed = &mut layer.forward;
        match packed {
            Some(conv) => conv.repack(parameters.weight),
            None => {
                let sides = ((&self.layouts[from], None), (layout, Some(to.group)));
                *packed = planned(self.kernels, &conv.spec, parameters.weight, sides, Way::Learning);
            }
        }
        let Some(packed) = packed else { return };
        let mut shared = work.shared(packed.shared(count));
        let x = work.slot(Kind::Values, from);
        match parameters.norm.filter(|_| normed) {
            None => {
                let bias = parameters.bias.map(|bias| padded(bias, &layout.lanes)).unwrap_or_default();
                packed.run(count, x, Output { values: map, finish: finishes, bias: &bias, seen: &[] }, &mut shared);
            }
            Some((scales, shifts, epsilon)) => {
                if layer.raw.len() < count * layout.image() {
                    layer.raw = Floats::zeros(count * layout.image());
                }
                let plain = vec![Finish::default(); finishes.len()];
                let output = Output { values: &mut layer.raw, finish: &plain, bias: &[], seen: &[] };
                packed.run(count, x, output, &mut shared);
                let batch = (count, work.parts);
                layer.moments = norm::moments(self.kernels, layout, batch, &layer.raw);
                let (kept, shifts) = Kept::new(&layer.moments, scales, shifts, epsilon, layout.lanes.len() * LANES);
                let by = (&kept.scales[..], &shifts[..]);
                norm::normalise(self.kernels, layout, batch, &layer.raw, by, finishes[0].activation, map);
                layer.kept = kept;
            }
        }
        work.shared = shared;
    }

    /// For a layer that learns, how many values of a channel each part has, and their means and variances.
    pub fn moments<'a>(&self, work: &'a Workspace, index: usize) -> (usize, &'a Moments) {
        let is = |layer: &Option<Layer>| matches!(layer, Some(Layer::Trained { index: found, .. }) if *found == index);
        let node =
            self.layers.iter().position(is).map_or(self.results[0].0.map, |node| self.graph.nodes[node].to().map);
        let layout = &self.layouts[node];
        (work.count / work.parts * layout.height * layout.width, &work.layers[index].moments)
    }

    /// Which places the gradient must reach.
    fn wanted(&self, input: bool, parameters: bool) -> Vec<Vec<bool>> {
        let mut wanted: Vec<Vec<bool>> = self.graph.maps.iter().map(|map| vec![false; map.groups.len()]).collect();
        if let Some(place) = self.graph.input {
            wanted[place.map][place.group] = input;
        }
        for (node, layer) in self.graph.nodes.iter().zip(&self.layers) {
            let to = node.to();
            wanted[to.map][to.group] = match node {
                Node::Conv { from, .. } => {
                    wanted[*from].contains(&true) || (parameters && matches!(layer, Some(Layer::Trained { .. })))
                }
                _ => node.inputs().iter().any(|place| wanted[place.map][place.group]),
            };
        }
        wanted
    }

    /// The gradient in the input, if that is wanted, and those of the parameters, from those of the results, which come as
    /// [`Network::forward`] gives their values.
    pub fn backward(
        &self,
        work: &mut Workspace,
        gradient: &[f32],
        parameters: &[Parameters],
        (of_input, of_parameters): (bool, bool),
    ) -> (Vec<f32>, Vec<Gradients>) {
        let mut gradients: Vec<Gradients> = parameters.iter().map(|_| Gradients::default()).collect();
        let wanted = self.wanted(of_input, of_parameters);
        let (mut seed, mut rest) = (std::mem::take(&mut work.seed), gradient);
        for (i, (place, finish, layout)) in self.results.iter().enumerate() {
            let (c, h, w) = self.graph.shape(*place);
            let (here, behind) = rest.split_at(work.count * c * h * w);
            rest = behind;
            if self.results.len() > 1 {
                // The memory was another result's before.
                layout.clear_frames(work.count, &mut seed);
            }
            layout.pack(0, here, &mut seed);
            self.pass(work, *place, (Writer::Loss(i), *finish), |_, target| {
                elementwise::add(self.kernels, target.1, Source { layout, group: 0, values: &seed }, None, target.0);
            });
        }
        work.seed = seed;
        for index in (0..self.graph.nodes.len()).rev() {
            let to = self.graph.nodes[index].to();
            if wanted[to.map][to.group] {
                self.unmake(work, index, parameters, &wanted, of_parameters.then_some(&mut gradients[..]));
            }
        }
        let Some(input) = self.graph.input.filter(|_| of_input) else { return (Vec::new(), gradients) };
        let (c, h, w) = self.graph.shape(input);
        let mut found = vec![0.0; work.count * c * h * w];
        self.layouts[input.map].unpack(input.group, work.slot(Kind::Gradient, input.map), &mut found);
        (found, gradients)
    }

    /// Writes the gradient of a place.
    fn pass(
        &self,
        work: &mut Workspace,
        place: Place,
        (writer, finish): (Writer, Finish),
        run: impl FnOnce(&Workspace, (Target, usize)),
    ) {
        let mut map = self.open(work, Kind::Gradient, place.map, writer);
        let seen = if finish.slope == Activation::None { &[][..] } else { work.slot(Kind::Values, place.map) };
        let target = Target { layout: &self.layouts[place.map], group: place.group, values: &mut map, finish, seen };
        run(work, (target, work.count));
        work.put(Kind::Gradient, place.map, map);
    }

    fn unmake(
        &self,
        work: &mut Workspace,
        index: usize,
        parameters: &[Parameters],
        wanted: &[Vec<bool>],
        gradients: Option<&mut [Gradients]>,
    ) {
        let (node, count) = (&self.graph.nodes[index], work.count);
        let to = node.to();
        let finish = &self.finishes[index].1;
        match node {
            Node::Conv { conv, from, .. } => {
                let further = wanted[*from].contains(&true);
                match &self.layers[index] {
                    Some(Layer::Frozen { backward, .. }) => {
                        let sides = ((&self.layouts[to.map], Some(to.group)), (&self.layouts[*from], None));
                        let plan = || {
                            planned(self.kernels, &conv.spec.reversed(), &values(&conv.weight)?, sides, Way::Fastest)
                        };
                        if let Some(packed) = backward.get_or_init(plan) {
                            self.convolve_back(work, packed, (*from, to), index);
                        }
                    }
                    Some(Layer::Trained { index: learning, gradient, .. }) => {
                        let mut layer = std::mem::take(&mut work.layers[*learning]);
                        let here = &parameters[*learning];
                        let mut scales = (Vec::new(), Vec::new());
                        if here.norm.is_some() {
                            let mut map = work.take(Kind::Gradient, to.map);
                            let layout = &self.layouts[to.map];
                            let batch = (count, work.parts);
                            scales = norm::unnormalise(self.kernels, layout, batch, &layer.raw, &layer.kept, &mut map);
                            work.put(Kind::Gradient, to.map, map);
                        }
                        if let Some(gradients) = gradients {
                            let mut shared = work.shared(gradient.shared(count));
                            let (x, grad) = (work.slot(Kind::Values, *from), work.slot(Kind::Gradient, to.map));
                            let weight = gradient.run(conv.spec.transposed, count, x, grad, &mut shared);
                            let channels = conv.spec.outputs;
                            let layout = &self.layouts[to.map];
                            let sums = here.bias.map(|_| norm::sums(self.kernels, layout, count, grad));
                            work.shared = shared;
                            let mut bias = sums.unwrap_or_default();
                            bias.truncate(channels);
                            scales.0.truncate(channels);
                            scales.1.truncate(channels);
                            gradients[*learning] = Gradients { weight, bias, scales: scales.0, shifts: scales.1 };
                        }
                        if further {
                            match &mut layer.backward {
                                Some(packed) => packed.repack(here.weight),
                                none => {
                                    let sides = ((&self.layouts[to.map], Some(to.group)), (&self.layouts[*from], None));
                                    *none =
                                        planned(self.kernels, &conv.spec.reversed(), here.weight, sides, Way::Learning);
                                }
                            }
                            if let Some(packed) = &layer.backward {
                                self.convolve_back(work, packed, (*from, to), index);
                            }
                        }
                        work.layers[*learning] = layer;
                    }
                    None => {}
                }
            }
            _ => {
                let inputs = node.inputs().iter().zip(finish).enumerate();
                for (i, (place, finish)) in inputs.filter(|(_, (place, _))| wanted[place.map][place.group]) {
                    self.pass(work, *place, (Writer::Node(index), *finish), |work, (target, count)| {
                        let gradient = self.source(work, Kind::Gradient, to);
                        nodes::unmake(self.kernels, (node, i), count, gradient, target, &|place| {
                            self.source(work, Kind::Values, place)
                        });
                    });
                }
            }
        }
    }

    /// The gradient in the map that a convolution reads.
    fn convolve_back(&self, work: &mut Workspace, packed: &Convolution, (from, to): (usize, Place), index: usize) {
        let finish = &self.finishes[index].1;
        let mut map = self.open(work, Kind::Gradient, from, Writer::Node(index));
        let mut shared = work.shared(packed.shared(work.count));
        let sloped = finish.iter().any(|finish| finish.slope != Activation::None);
        let seen = if sloped { work.slot(Kind::Values, from) } else { &[][..] };
        let output = Output { values: &mut map, finish, bias: &[], seen };
        packed.run(work.count, work.slot(Kind::Gradient, to.map), output, &mut shared);
        work.shared = shared;
        work.put(Kind::Gradient, from, map);
    }
}

/// A group of a map, or all groups.
type Side<'a> = (&'a Layout, Option<usize>);

/// A packed convolution from one side to the other.
fn planned(
    kernels: &'static Kernels,
    spec: &ConvSpec,
    weight: &[f32],
    (from, to): (Side, Side),
    way: Way,
) -> Option<Box<Convolution>> {
    Convolution::new(kernels, spec, weight, from, to, way).map(Box::new)
}
