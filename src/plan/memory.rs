//! Which maps may lie in the same memory: those whose lives do not overlap. Where they differ in shape, the frames of
//! zeros are made anew by whoever writes a map first.

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
    /// Who writes each map first, where it must make the frames anew: of values and of gradients.
    clears: [Vec<Option<Writer>>; 2],
}

/// Who writes the gradient of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Whoever puts the input there.
    Input,
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
        Node::Resample { from, .. } | Node::Gram { from, .. } => *from == place,
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
            Writer::Input => 0,
            Writer::Loss(_) => count,
            Writer::Node(node) => back(*node),
        };
        let mut lives = Vec::new();
        for map in 0..graph.maps.len() {
            let (mut first, mut last) = ((usize::MAX, Writer::Input), 0);
            let (mut gradient_first, mut gradient_last) = ((usize::MAX, Writer::Input), 0);
            for place in graph.places(map) {
                let made = graph.nodes.iter().position(|node| node.to() == place);
                let made_first = made.map_or((0, Writer::Input), |node| (node, Writer::Node(node)));
                first = if made_first.0 < first.0 { made_first } else { first };
                let written = writers(graph, place);
                for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| reads(node, place)) {
                    last = last.max(i);
                    if backward && matches!(node, Node::Resample { how: Resample::MaxPool, .. } | Node::Gram { .. }) {
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
                if let Some(writer) = written.first()
                    && time(writer) < gradient_first.0
                {
                    gradient_first = (time(writer), *writer);
                }
                gradient_last = gradient_last.max(made.map_or(forever, back));
            }
            lives.push((Kind::Values, map, first, last));
            if backward && gradient_first.0 != usize::MAX {
                lives.push((Kind::Gradient, map, gradient_first, gradient_last));
            }
        }
        lives.sort_by_key(|&(_, _, (first, _), _)| first);
        let none = vec![usize::MAX; graph.maps.len()];
        let mut memory = Self {
            values: none.clone(),
            gradients: none,
            slots: Vec::new(),
            clears: [vec![None; graph.maps.len()], vec![None; graph.maps.len()]],
        };
        // Of each slot: its tenants, and until when it is taken.
        let mut taken: Vec<(Vec<(Kind, usize)>, usize)> = Vec::new();
        for &(kind, map, (first, _), last) in &lives {
            let size = layouts[map].image();
            // Of the free slots the one that fits best: too large by as little as possible, or else too small by it.
            let waste = |slot: usize| (memory.slots[slot] < size, memory.slots[slot].abs_diff(size));
            let free = (0..taken.len()).filter(|&slot| taken[slot].1 < first).min_by_key(|&slot| waste(slot));
            let slot = free.unwrap_or_else(|| {
                taken.push((Vec::new(), 0));
                memory.slots.push(size);
                taken.len() - 1
            });
            memory.slots[slot] = memory.slots[slot].max(size);
            taken[slot].0.push((kind, map));
            taken[slot].1 = last;
            match kind {
                Kind::Values => memory.values[map] = slot,
                Kind::Gradient => memory.gradients[map] = slot,
            }
        }
        let shape = |map: usize| (layouts[map].lanes.len(), layouts[map].height, layouts[map].width);
        for (kind, map, (_, writer), _) in lives {
            let tenants = &taken[memory.slot(kind, map)].0;
            if tenants.iter().any(|&(_, other)| shape(other) != shape(map)) {
                memory.clears[kind as usize][map] = Some(writer);
            }
        }
        memory
    }

    /// Whether this writer of a map must make its frames anew.
    pub fn clears(&self, kind: Kind, map: usize, writer: Writer) -> bool {
        self.clears[kind as usize][map] == Some(writer)
    }

    /// The slot of a map.
    pub fn slot(&self, kind: Kind, map: usize) -> usize {
        match kind {
            Kind::Values => self.values[map],
            Kind::Gradient => self.gradients[map],
        }
    }
}
