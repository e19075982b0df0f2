//! Which maps may lie in the same memory: those of one shape whose lives do not overlap. Of one shape, so that the
//! frames of zeros stay as they are.

use super::graph::{Graph, Node, Place, Resample};
use super::layout::Layout;
use crate::ops::Activation;

/// A map's values, or the gradient of the loss in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The values.
    Values,
    /// The gradient.
    Gradient,
}

/// Where the maps lie.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    values: Vec<usize>,
    gradients: Vec<usize>,
    /// The floats of a picture in every slot.
    pub slots: Vec<usize>,
}

/// Who writes the gradient of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A part of the loss, by its index.
    Loss(usize),
    /// The backward pass of a node, by its index.
    Node(usize),
}

/// All that write the gradient of a place, in the order in which they do.
pub fn writers(graph: &Graph, place: Place) -> Vec<Writer> {
    let losses = graph.losses.iter().enumerate().filter(|(_, loss)| loss.place == place);
    let nodes = graph.nodes.iter().enumerate().rev().filter(|(_, node)| reads(node, place));
    losses.map(|(i, _)| Writer::Loss(i)).chain(nodes.map(|(i, _)| Writer::Node(i))).collect()
}

fn reads(node: &Node, place: Place) -> bool {
    match node {
        Node::Conv { from, .. } => *from == place.map,
        Node::Resample { from, .. } => *from == place,
        Node::Add { terms, .. } => terms.contains(&place),
    }
}

impl Memory {
    /// Plans the memory of the forward pass, or of both.
    pub fn new(graph: &Graph, layouts: &[Layout], backward: bool) -> Self {
        let count = graph.nodes.len();
        let forever = 2 * count + 2;
        // Nodes run at 0..count, the losses at count, the backward passes after that.
        let back = |node: usize| 2 * count - node;
        let time = |writer: &Writer| match writer {
            Writer::Loss(_) => count,
            Writer::Node(node) => back(*node),
        };
        let mut lives = Vec::new();
        for map in 0..graph.maps.len() {
            let (mut first, mut last) = (usize::MAX, 0);
            let (mut gradient_first, mut gradient_last) = (usize::MAX, 0);
            for place in graph.places(map) {
                let made = graph.nodes.iter().position(|node| node.to() == place);
                first = first.min(made.unwrap_or(0));
                let written = writers(graph, place);
                for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| reads(node, place)) {
                    last = last.max(i);
                    if backward && matches!(node, Node::Resample { how: Resample::MaxPool, .. }) {
                        last = last.max(back(i));
                    }
                }
                if graph.losses.iter().any(|loss| loss.place == place) {
                    last = last.max(count);
                }
                if graph.results.contains(&place) {
                    last = forever;
                }
                let sloped = graph.producer(place).is_some_and(|node| node.activation() != Activation::None);
                if let (true, Some(writer)) = (backward && sloped, written.last()) {
                    last = last.max(time(writer));
                }
                if let Some(writer) = written.first() {
                    gradient_first = gradient_first.min(time(writer));
                }
                gradient_last = gradient_last.max(made.map_or(forever, back));
            }
            lives.push((Kind::Values, map, first, last));
            if backward && gradient_first != usize::MAX {
                lives.push((Kind::Gradient, map, gradient_first, gradient_last));
            }
        }
        lives.sort_by_key(|&(_, _, first, _)| first);
        let mut memory = Self { values: vec![usize::MAX; graph.maps.len()], ..Self::default() };
        memory.gradients = memory.values.clone();
        let mut taken: Vec<((usize, usize, usize), usize)> = Vec::new();
        for (kind, map, first, last) in lives {
            let layout = &layouts[map];
            let shape = (layout.lanes.len(), layout.height, layout.width);
            let free = taken.iter().position(|&(other, until)| other == shape && until < first);
            let slot = free.unwrap_or_else(|| {
                taken.push((shape, last));
                memory.slots.push(layout.image());
                taken.len() - 1
            });
            taken[slot].1 = last;
            match kind {
                Kind::Values => memory.values[map] = slot,
                Kind::Gradient => memory.gradients[map] = slot,
            }
        }
        memory
    }

    /// The slot of a map.
    pub fn slot(&self, kind: Kind, map: usize) -> usize {
        match kind {
            Kind::Values => self.values[map],
            Kind::Gradient => self.gradients[map],
        }
    }
}
