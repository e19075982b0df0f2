//! A graph that is ready to run on a processor, forward and backward, with memory that is taken once.

use super::build::own_target;
use super::cpu::{Convolution, Finish, Floats, Kernels, Output, Way, elementwise, nodes};
use super::graph::{Conv, Graph, Loss, Node, Place};
use super::layout::{LANES, Layout};
use super::memory::{Kind, Memory, Writer, writers};
use crate::ops::Activation;
use candle_core::Tensor;
use elementwise::{Source, Target};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// A graph with its kernels packed. Any number of threads may run it, each in a [`Workspace`] of its own.
pub struct Plan {
    graph: Graph,
    layouts: Vec<Layout>,
    kernels: &'static Kernels,
    way: Way,
    /// For each node that is a convolution, it and its bias.
    forward: Vec<Option<(Convolution, Floats)>>,
    backward: OnceLock<Option<Vec<Option<Convolution>>>>,
    /// What each node does to its values before it stores them, one a block; and to the gradients of what it reads,
    /// one a block (convolutions) or one a term.
    finishes: Vec<(Vec<Finish>, Vec<Finish>)>,
    loss_finishes: Vec<Finish>,
    /// Of the memory for a picture.
    floats: usize,
}

/// What the losses compare with: for each its map of one picture or more.
pub struct Targets {
    maps: Vec<Floats>,
    /// The pictures of every map.
    rows: usize,
}

impl Targets {
    /// Whether there is a picture of this number.
    pub fn has(&self, row: usize) -> bool {
        row < self.rows
    }
}

/// The memory of a run.
pub struct Workspace {
    memory: Memory,
    slots: Vec<Floats>,
    shared: Floats,
    sums: Vec<AtomicU64>,
    capacity: usize,
    backward: bool,
}

impl Workspace {
    /// How many pictures fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether there is room for the backward pass.
    pub fn has_backward(&self) -> bool {
        self.backward
    }

    fn slot(&self, kind: Kind, map: usize) -> &Floats {
        &self.slots[self.memory.slot(kind, map)]
    }

    /// Takes a slot out while it is written.
    fn take(&mut self, kind: Kind, map: usize) -> Floats {
        std::mem::take(&mut self.slots[self.memory.slot(kind, map)])
    }

    fn put(&mut self, kind: Kind, map: usize, values: Floats) {
        let slot = self.memory.slot(kind, map);
        self.slots[slot] = values;
    }
}

/// The values of a contiguous f32 tensor on the CPU, copied; `None` where it is something else.
pub(super) fn values(tensor: &Tensor) -> Option<Vec<f32>> {
    tensor.flatten_all().ok()?.to_vec1().ok()
}

impl Plan {
    /// Plans a graph; `None` where it has a convolution that the kernels cannot do.
    pub fn new(graph: Graph, kernels: &'static Kernels, way: Way) -> Option<Self> {
        let layouts: Vec<Layout> = graph.maps.iter().map(Layout::new).collect();
        let forward = graph.nodes.iter().map(|node| {
            let Node::Conv { conv, from, to } = node else { return Some(None) };
            let (from, map) = (&layouts[*from], &layouts[to.map]);
            let weight = values(&conv.weight)?;
            let planned = Convolution::new(kernels, &conv.spec, &weight, (from, None), (map, Some(to.group)), way)?;
            Some(Some((planned, bias(conv, &map.lanes[map.groups[to.group].clone()])?)))
        });
        let forward = forward.collect::<Option<Vec<_>>>()?;
        let finishes = graph.nodes.iter().enumerate().map(|(i, node)| finishes(&graph, &layouts, i, node)).collect();
        let loss = |i: usize| backward_finish(&graph, graph.losses[i].place, Writer::Loss(i));
        let loss_finishes = (0..graph.losses.len()).map(loss).collect();
        let floats = Memory::new(&graph, &layouts, true).floats();
        let backward = OnceLock::new();
        Some(Self { graph, layouts, kernels, way, forward, backward, finishes, loss_finishes, floats })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The floats that both passes of a picture take.
    pub fn floats(&self) -> usize {
        self.floats
    }

    /// Packs the kernels of the backward pass, if that has not been done; false where it cannot be done.
    pub fn prepare_backward(&self) -> bool {
        self.backward_kernels().is_some()
    }

    fn backward_kernels(&self) -> Option<&Vec<Option<Convolution>>> {
        let plan = |node: &Node| {
            let Node::Conv { conv, from, to } = node else { return Some(None) };
            let (spec, weight) = (conv.spec.reversed(), values(&conv.weight)?);
            let (from, map) = (&self.layouts[*from], &self.layouts[to.map]);
            Convolution::new(self.kernels, &spec, &weight, (map, Some(to.group)), (from, None), self.way).map(Some)
        };
        self.backward.get_or_init(|| self.graph.nodes.iter().map(plan).collect()).as_ref()
    }

    /// Memory for so many pictures at once.
    pub fn workspace(&self, capacity: usize, backward: bool) -> Workspace {
        let memory = Memory::new(&self.graph, &self.layouts, backward);
        let slots = memory.slots.iter().map(|floats| Floats::zeros(floats * capacity)).collect();
        let forward = self.forward.iter().flatten().map(|(conv, _)| conv);
        let back = self.backward_kernels().filter(|_| backward).map_or(&[][..], |convs| convs);
        let all = || forward.clone().chain(back.iter().flatten());
        // Fewer pictures may need more shared memory than many do, when they would not occupy all threads.
        let shared = (1..=capacity).flat_map(|count| all().map(move |conv| conv.shared(count))).max().unwrap_or(0);
        let blocks = |place: Place| self.layouts[place.map].groups[place.group].len();
        let sums = self.graph.losses.iter().map(|loss| blocks(loss.place)).max().unwrap_or(0) * capacity;
        let sums = (0..sums).map(|_| AtomicU64::new(0)).collect();
        Workspace { memory, slots, shared: Floats::zeros(shared), sums, capacity, backward }
    }

    /// What the losses compare with, for pictures `[rows, channels, height, width]` that stand in `place`: they themselves
    /// and the maps that the graph makes of them. Computed a few at a time, in the memory of a run; `None` where the
    /// shapes do not fit, or a loss looks at what comes before that place.
    pub fn targets(&self, work: &mut Workspace, place: Place, pictures: &Tensor) -> Option<Targets> {
        let (rows, c, h, w) = pictures.dims4().ok()?;
        // Nodes are in an order in which each finds its inputs made: those behind the place follow its maker.
        let maker = self.graph.nodes.iter().position(|node| node.to() == place);
        let first = maker.map_or(0, |maker| maker + 1);
        let behind =
            |loss: &Loss| loss.place == place || self.graph.nodes[first..].iter().any(|n| n.to() == loss.place);
        if self.graph.shape(place) != (c, h, w) || work.capacity == 0 || !self.graph.losses.iter().all(behind) {
            return None;
        }
        let image = |loss: &Loss| self.layouts[loss.place.map].image();
        let mut maps: Vec<Floats> = self.graph.losses.iter().map(|loss| Floats::zeros(rows * image(loss))).collect();
        let images = values(pictures)?;
        for (i, images) in images.chunks(work.capacity * c * h * w).enumerate() {
            let count = images.len() / (c * h * w);
            let mut map = self.open(work, Kind::Values, place.map, maker.map_or(Writer::Input, Writer::Node), count);
            self.layouts[place.map].pack(place.group, images, &mut map);
            work.put(Kind::Values, place.map, map);
            (first..self.graph.nodes.len()).for_each(|index| self.make(work, count, index));
            for (to, loss) in maps.iter_mut().zip(&self.graph.losses) {
                let (begin, length) = (i * work.capacity * image(loss), count * image(loss));
                to[begin..begin + length].copy_from_slice(&work.slot(Kind::Values, loss.place.map)[..length]);
            }
        }
        for (map, loss) in maps.iter_mut().zip(&self.graph.losses) {
            if let Some(wanted) = own_target(loss, pictures).ok()? {
                self.layouts[loss.place.map].pack(loss.place.group, &values(&wanted)?, map);
            }
        }
        Some(Targets { maps, rows })
    }

    /// Runs the forward pass on `inputs`, as many pictures as fit into it, and returns how many.
    ///
    /// # Panics
    /// When the workspace has no room for them.
    pub fn forward(&self, work: &mut Workspace, inputs: &[f32]) -> usize {
        let Some(input) = self.graph.input else { return 0 };
        let (c, h, w) = self.graph.shape(input);
        let count = inputs.len() / (c * h * w);
        assert!(count <= work.capacity);
        let mut map = self.open(work, Kind::Values, input.map, Writer::Input, count);
        self.layouts[input.map].pack(input.group, inputs, &mut map);
        work.put(Kind::Values, input.map, map);
        (0..self.graph.nodes.len()).for_each(|index| self.make(work, count, index));
        count
    }

    /// Takes a map out to be written.
    fn open(&self, work: &mut Workspace, kind: Kind, map: usize, writer: Writer, count: usize) -> Floats {
        let mut values = work.take(kind, map);
        if work.memory.clears(kind, map, writer) {
            self.layouts[map].clear_frames(count, &mut values);
        }
        values
    }

    fn make(&self, work: &mut Workspace, count: usize, index: usize) {
        let node = &self.graph.nodes[index];
        let to = node.to();
        let mut map = self.open(work, Kind::Values, to.map, Writer::Node(index), count);
        let finishes = &self.finishes[index].0;
        let finish = finishes[0];
        let target = |values| Target { layout: &self.layouts[to.map], group: to.group, values, finish, seen: &[] };
        match node {
            Node::Conv { from, .. } => {
                let Some((conv, bias)) = &self.forward[index] else { return };
                let mut shared = std::mem::take(&mut work.shared);
                let output = Output { values: &mut map, finish: finishes, bias, seen: &[] };
                conv.run(count, work.slot(Kind::Values, *from), output, &mut shared);
                work.shared = shared;
            }
            // A group may be made from another group of the same map only by way of a map of its own.
            _ => nodes::make(self.kernels, node, count, target(&mut map), &|place| {
                self.source(work, Kind::Values, place)
            }),
        }
        work.put(Kind::Values, to.map, map);
    }

    fn source<'a>(&'a self, work: &'a Workspace, kind: Kind, place: Place) -> Source<'a> {
        Source { layout: &self.layouts[place.map], group: place.group, values: work.slot(kind, place.map) }
    }

    /// The loss of each picture of the forward pass against the rows of the targets that are named, one a picture;
    /// with a workspace for the backward pass also the gradients in the maps that are compared.
    pub fn losses(&self, work: &mut Workspace, targets: &Targets, rows: &[usize], losses: &mut [f32]) {
        losses.fill(0.0);
        for (i, (loss, target)) in self.graph.losses.iter().zip(&targets.maps).enumerate() {
            let place = loss.place;
            let layout = &self.layouts[place.map];
            let mut map = match work.backward {
                true => self.open(work, Kind::Gradient, place.map, Writer::Loss(i), losses.len()),
                false => Floats::default(),
            };
            let a = self.source(work, Kind::Values, place);
            let finish = self.loss_finishes[i];
            let gradient = Target { layout, group: place.group, values: &mut map, finish, seen: a.values };
            let gradient = work.backward.then_some(gradient);
            let b = Source { layout, group: place.group, values: target };
            let (compare, weight) = (loss.compare, loss.weight);
            elementwise::compare(self.kernels, compare, weight, a, (b, rows), gradient, &work.sums, losses);
            if work.backward {
                work.put(Kind::Gradient, place.map, map);
            }
        }
    }

    /// Runs the backward pass after [`Plan::losses`] and writes the gradient of each picture's loss in its input.
    ///
    /// # Panics
    /// When the workspace has no room for it.
    pub fn backward(&self, work: &mut Workspace, count: usize, gradients: &mut [f32]) {
        assert!(work.backward);
        let (Some(convs), Some(input)) = (self.backward_kernels(), self.graph.input) else { return };
        for (index, conv) in convs.iter().enumerate().rev() {
            self.unmake(work, count, index, conv.as_ref());
        }
        self.layouts[input.map].unpack(input.group, work.slot(Kind::Gradient, input.map), gradients);
    }

    /// Writes the gradients of what a node reads.
    fn unmake(&self, work: &mut Workspace, count: usize, index: usize, conv: Option<&Convolution>) {
        let node = &self.graph.nodes[index];
        let to = node.to();
        let finish = &self.finishes[index].1;
        let pass = |work: &mut Workspace, place: Place, finish: Finish, run: &dyn Fn(&Workspace, Target)| {
            let mut map = self.open(work, Kind::Gradient, place.map, Writer::Node(index), count);
            let seen = if finish.slope == Activation::None { &[][..] } else { work.slot(Kind::Values, place.map) };
            let layout = &self.layouts[place.map];
            run(work, Target { layout, group: place.group, values: &mut map, finish, seen });
            work.put(Kind::Gradient, place.map, map);
        };
        match node {
            Node::Conv { from, .. } => {
                let Some(conv) = conv else { return };
                let mut map = self.open(work, Kind::Gradient, *from, Writer::Node(index), count);
                let mut shared = std::mem::take(&mut work.shared);
                let sloped = finish.iter().any(|finish| finish.slope != Activation::None);
                let seen = if sloped { work.slot(Kind::Values, *from) } else { &[][..] };
                let output = Output { values: &mut map, finish, bias: &[], seen };
                conv.run(count, work.slot(Kind::Gradient, to.map), output, &mut shared);
                work.shared = shared;
                work.put(Kind::Gradient, *from, map);
            }
            _ => {
                for (i, (place, finish)) in node.inputs().iter().zip(finish).enumerate() {
                    pass(work, *place, *finish, &|work, target| {
                        let gradient = self.source(work, Kind::Gradient, to);
                        nodes::unmake(self.kernels, (node, i), count, gradient, target, &|place| {
                            self.source(work, Kind::Values, place)
                        });
                    });
                }
            }
        }
    }

    /// The first `count` pictures `[count, channels, height, width]` of a result, by its index.
    pub fn result(&self, work: &Workspace, index: usize, count: usize) -> Vec<f32> {
        let place = self.graph.results[index];
        let (c, h, w) = self.graph.shape(place);
        let mut pictures = vec![0.0; count * c * h * w];
        self.layouts[place.map].unpack(place.group, work.slot(Kind::Values, place.map), &mut pictures);
        pictures
    }
}

/// What a writer does to the gradient of a place before it stores it: the first writes, the others add, and the last
/// multiplies by the slope of the activation behind which the place lies.
pub(super) fn backward_finish(graph: &Graph, place: Place, writer: Writer) -> Finish {
    let all = writers(graph, place);
    let slope = match all.last() == Some(&writer) {
        true => graph.producer(place).map_or(Activation::None, Node::activation),
        false => Activation::None,
    };
    Finish { add: all.first() != Some(&writer), activation: Activation::None, slope }
}

/// What a node does to its values, and to the gradients of what it reads.
pub(super) fn finishes(graph: &Graph, layouts: &[Layout], index: usize, node: &Node) -> (Vec<Finish>, Vec<Finish>) {
    let blocks = |place: Place| layouts[place.map].groups[place.group].len();
    let forward = Finish { activation: node.activation(), ..Finish::default() };
    let back = |place: Place| backward_finish(graph, place, Writer::Node(index));
    let backward = match node {
        Node::Conv { from, .. } => {
            graph.places(*from).flat_map(|place| std::iter::repeat_n(back(place), blocks(place))).collect()
        }
        _ => node.inputs().iter().map(|place| back(*place)).collect(),
    };
    (vec![forward; blocks(node.to())], backward)
}

/// The bias of a convolution in blocks of sixteen.
pub(super) fn bias(conv: &Conv, lanes: &[usize]) -> Option<Floats> {
    let Some(bias) = &conv.bias else { return Some(Floats::default()) };
    Some(padded(&values(bias)?, lanes))
}

/// A value of every channel in blocks of sixteen.
pub(super) fn padded(values: &[f32], lanes: &[usize]) -> Floats {
    let mut padded = Floats::zeros(lanes.len() * LANES);
    let mut values = values.iter();
    for (block, &lanes) in padded.chunks_exact_mut(LANES).zip(lanes) {
        block.iter_mut().take(lanes).zip(&mut values).for_each(|(to, value)| *to = *value);
    }
    padded
}
