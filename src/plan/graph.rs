//! Frozen networks as one fixed graph: which maps there are and which step makes which of them from which. Nothing
//! here knows how a processor computes it.

use crate::ops::{Activation, ConvSpec};
use candle_core::Tensor;
use std::sync::Arc;

/// The shape of a map of every picture. Its channels come in one or more groups, which are made by different nodes: a
/// concatenation is a map of several groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// The channels of every group.
    pub groups: Vec<usize>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// One group of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index in [`Graph::maps`].
    pub map: usize,
    /// Index in [`MapShape::groups`].
    pub group: usize,
}

/// A frozen convolution, with the normalisation behind it folded in.
#[derive(Clone, Debug)]
pub struct Conv {
    /// The geometry; its inputs are all groups of a map, one after the other.
    pub spec: ConvSpec,
    /// The kernels, of the shape [`ConvSpec::weight_shape`].
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Option<Tensor>,
    /// What follows.
    pub activation: Activation,
}

/// A change of size by a factor of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The mean of every 2x2 square.
    AveragePool,
    /// The largest of every 2x2 square; the first of equals gets the gradient.
    MaxPool,
    /// Twice the size, bilinear, half-pixel centres, borders repeated.
    Bilinear,
    /// Twice the size: the channels of a pixel, in four parts, are its 2x2 pixels, row by row. At most 16 channels.
    Unfold,
}

/// Where the values of one axis come from: each is a weighted sum of neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps(Vec<(usize, Vec<f32>)>);

impl Taps {
    /// From the weights `weight(from, to)` of `from` values for each of `to`.
    pub fn new((from, to): (usize, usize), weight: impl Fn(usize, usize) -> f32) -> Self {
        let of = |to: usize| {
            let counts = |&from: &usize| weight(from, to) != 0.0;
            let first = (0..from).find(counts).unwrap_or(0);
            let last = (first..from).rev().find(counts).map_or(first, |last| last + 1);
            (first, (first..last).map(|from| weight(from, to)).collect())
        };
        Self((0..to).map(of).collect())
    }

    /// What brings gradients of the results back to `from` values.
    pub fn reversed(&self, from: usize) -> Self {
        let weight = |to: usize, from: usize| {
            let (first, weights) = &self.0[to];
            from.checked_sub(*first).and_then(|at| weights.get(at)).copied().unwrap_or(0.0)
        };
        Self::new((self.0.len(), from), weight)
    }

    /// The first neighbour of a value, and the weights of that and those after it.
    pub fn of(&self, to: usize) -> (usize, &[f32]) {
        let (first, weights) = &self.0[to];
        (*first, weights)
    }
}

/// What is done to a map by itself, or by the numbers of another one; generators that were imported have such steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Apply {
    /// Every pixel's channels divided by their root mean square, to whose square this is added.
    PixelNorm(f32),
    /// `x[c, p] * scale[c] + bias[c] + plane[p]`, each where it is there. Of two inputs the second has one pixel, and
    /// scales as well.
    Scale {
        /// One a channel.
        scale: Option<Arc<[f32]>>,
        /// One a channel.
        bias: Option<Arc<[f32]>>,
        /// One a pixel.
        plane: Option<Arc<[f32]>>,
    },
    /// A map that never changes, `[channels, height, width]`, scaled by the channels of the only input, of one pixel.
    Spread(Arc<[f32]>),
    /// x^2.
    Square,
    /// This, divided by the square root of x.
    InverseRoot(f32),
    /// Values of N(0, 1) to values that are uniform in [-1, 1].
    Uniform,
    /// Another size: rows and columns forward, and both backward.
    Sample([Arc<Taps>; 4]),
    /// The channels of one pixel become a map, row by row.
    Reshape,
    /// Groups of so many squared channels become squares of pixels, row by row.
    Shuffle(usize),
}

impl Apply {
    /// Whether the backward pass looks at what was read.
    pub fn looks_back(&self) -> bool {
        matches!(self, Self::PixelNorm(_) | Self::Scale { .. } | Self::Square | Self::InverseRoot(_) | Self::Uniform)
    }
}

/// One step of the forward pass.
#[derive(Clone, Debug)]
pub enum Node {
    /// A convolution of a whole map.
    Conv {
        /// Its kernels.
        conv: Conv,
        /// The map it reads.
        from: usize,
        /// What it makes.
        to: Place,
    },
    /// Halving or doubling.
    Resample {
        /// Which.
        how: Resample,
        /// What it reads.
        from: Place,
        /// What it makes.
        to: Place,
    },
    /// The sum of two places, activated.
    Add {
        /// What it reads.
        terms: [Place; 2],
        /// What it makes.
        to: Place,
        /// What follows.
        activation: Activation,
    },
    /// Anything else.
    Apply {
        /// What.
        what: Apply,
        /// What it reads, each place once.
        from: Vec<Place>,
        /// What it makes.
        to: Place,
        /// What follows.
        activation: Activation,
    },
    /// The Gram matrix of a place's channels (Gatys et al., CVPR 2016): the sums of the products of every two of them over
    /// all pixels, divided by c h w. A map of as many rows as channels, one column wide.
    Gram {
        /// What it reads.
        from: Place,
        /// What it makes. The gradient in it must be symmetric, as that of a comparison with another such matrix is.
        to: Place,
    },
}

impl Node {
    /// What it makes.
    pub fn to(&self) -> Place {
        match self {
            Self::Conv { to, .. }
            | Self::Resample { to, .. }
            | Self::Add { to, .. }
            | Self::Apply { to, .. }
            | Self::Gram { to, .. } => *to,
        }
    }

    /// The places that it reads by themselves; a convolution reads a whole map.
    pub fn inputs(&self) -> &[Place] {
        match self {
            Self::Conv { .. } => &[],
            Self::Resample { from, .. } | Self::Gram { from, .. } => std::slice::from_ref(from),
            Self::Add { terms, .. } => terms,
            Self::Apply { from, .. } => from,
        }
    }

    /// What is done by a step that only imported generators have.
    pub fn applied(&self) -> Option<&Apply> {
        if let Self::Apply { what, .. } = self { Some(what) } else { None }
    }

    /// Whether the backward pass looks at what it read.
    pub fn looks_back(&self) -> bool {
        match self {
            Self::Resample { how, .. } => *how == Resample::MaxPool,
            Self::Apply { what, .. } => what.looks_back(),
            Self::Gram { .. } => true,
            Self::Conv { .. } | Self::Add { .. } => false,
        }
    }

    /// What follows its values.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Conv { conv, .. } => conv.activation,
            Self::Add { activation, .. } | Self::Apply { activation, .. } => *activation,
            Self::Resample { .. } | Self::Gram { .. } => Activation::None,
        }
    }
}

/// How two maps are compared; the mean over all elements, for every picture by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// |a - b|.
    L1,
    /// (a - b)^2.
    L2,
}

/// A part of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// What is compared with a target.
    pub place: Place,
    /// How.
    pub compare: Compare,
    /// Its weight in the sum.
    pub weight: f32,
    /// Above 0: the share of the picture that y is brought to cover, in the ink that this compares
    /// ([`own_target`](super::build::own_target)).
    pub cover: f32,
}

/// A fixed computation: nodes in an order in which each finds its inputs made.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The maps.
    pub maps: Vec<MapShape>,
    /// The steps.
    pub nodes: Vec<Node>,
    /// Where the input is put; the gradient is that in this place.
    pub input: Option<Place>,
    /// What is asked for.
    pub results: Vec<Place>,
    /// The parts of the loss.
    pub losses: Vec<Loss>,
}

impl Graph {
    /// Adds a map.
    pub fn map(&mut self, groups: Vec<usize>, (height, width): (usize, usize)) -> usize {
        self.maps.push(MapShape { groups, height, width });
        self.maps.len() - 1
    }

    /// Channels, rows and columns of a place.
    pub fn shape(&self, place: Place) -> (usize, usize, usize) {
        let map = &self.maps[place.map];
        (map.groups[place.group], map.height, map.width)
    }

    /// The node that makes a place; `None` for the input.
    pub fn producer(&self, place: Place) -> Option<&Node> {
        self.nodes.iter().find(|node| node.to() == place)
    }

    /// The places of a map.
    pub fn places(&self, map: usize) -> impl Iterator<Item = Place> + use<> {
        (0..self.maps[map].groups.len()).map(move |group| Place { map, group })
    }

    /// Multiplications and additions of one forward pass of one picture, in pairs, as the definition has them.
    pub fn multiply_adds(&self) -> f64 {
        let of = |node: &Node| match node {
            Node::Conv { conv, from, to } => {
                let ConvSpec { inputs, outputs, kernel, transposed, .. } = conv.spec;
                let (_, rows, columns) = self.shape(*to);
                let small = if transposed { self.maps[*from].height * self.maps[*from].width } else { rows * columns };
                (inputs * outputs * kernel * kernel * small) as f64
            }
            Node::Gram { from, .. } => {
                let (channels, rows, columns) = self.shape(*from);
                (channels * channels * rows * columns) as f64
            }
            Node::Resample { .. } | Node::Add { .. } | Node::Apply { .. } => 0.0,
        };
        self.nodes.iter().map(of).sum()
    }
}
