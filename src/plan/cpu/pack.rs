//! Kernels in the order in which the inner loops read them.

use super::super::layout::LANES;
use super::geometry::{Tap, View};
use crate::ops::simd::tiles::{Kernels, kernels};
use crate::ops::simd::transform::kernel_matrix;
use crate::ops::simd::wide::{Work, run, transpose};
use crate::ops::simd::{Pages, Simd};
use crate::ops::{ConvSpec, threads};

/// The most taps of a kernel whose products are saved by Winograd's algorithm.
pub const MOST_TAPS: usize = 16;

/// Output blocks that are computed together.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// The first block.
    pub block: usize,
    /// How many.
    pub blocks: usize,
}

/// The units that cover the blocks of an output.
pub fn units(kernels: &Kernels, blocks: usize) -> Vec<Unit> {
    (0..blocks)
        .step_by(kernels.blocks)
        .map(|block| Unit { block, blocks: kernels.blocks.min(blocks - block) })
        .collect()
}

/// The kernels of one grid: for each unit, its own floats one after the other.
pub struct Packed {
    data: Pages,
    /// Where each unit begins.
    starts: Vec<usize>,
}

impl Packed {
    /// The floats of a unit.
    pub fn unit(&self, unit: usize) -> &[f32] {
        &self.data[self.starts[unit]..self.starts[unit + 1]]
    }

    /// The floats of a unit and of all that follow it.
    pub fn units_from(&self, unit: usize) -> &[f32] {
        &self.data[self.starts[unit]..]
    }

    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// Room for `depth` rows of every unit.
    fn zeros(units: &[Unit], depth: usize) -> Self {
        let mut starts = vec![0];
        for unit in units {
            starts.push(starts[starts.len() - 1] + depth * unit.blocks * LANES);
        }
        Self { data: Pages::zeros(starts[units.len()]), starts }
    }
}

/// An order that kernels are brought into.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// For each unit `[tap][input channel][outputs]`.
    Taps(&'a [Tap]),
    /// For each unit `[view][input channel][tap][outputs]`: what [`crate::ops::simd::transform::KernelTransform`] and
    /// [`crate::ops::simd::transform::FewColumns`] read.
    Views(&'a [View]),
    /// For each unit `[point][view][input channel][outputs]`, transformed for so many points and taps along each axis.
    Winograd(&'a [View], usize, usize),
}

impl What<'_> {
    /// Values for each pair of channels.
    fn values(&self) -> usize {
        match self {
            Self::Taps(taps) => taps.len(),
            Self::Views(views) => views.iter().map(|view| view.indices.len()).sum(),
            Self::Winograd(views, points, _) => points * points * views.len(),
        }
    }
}

/// Kernels that are packed anew.
pub struct Destination<'a> {
    /// Their order.
    pub what: What<'a>,
    /// Where they go.
    pub packed: &'a mut Packed,
}

/// The kernels of a convolution, by channel.
pub struct Source<'a> {
    /// The geometry.
    pub spec: ConvSpec,
    /// The values, of the shape [`ConvSpec::weight_shape`].
    pub values: &'a [f32],
    /// The channels in each block that is read.
    pub from: &'a [usize],
    /// The channels in each block that is made.
    pub to: &'a [usize],
}

impl Source<'_> {
    /// The output channels of a block.
    fn block_outputs(&self, block: usize) -> std::ops::Range<usize> {
        let first: usize = self.to[..block].iter().sum();
        first..first + self.to[block]
    }

    /// The kernels of one input for the outputs of a block, `[k * k][16]`; lanes without a channel are zero.
    #[inline(always)]
    fn taps<S: Simd>(&self, input: usize, block: usize, taps: &mut [[f32; LANES]]) {
        let ConvSpec { inputs, outputs, kernel, transposed, .. } = self.spec;
        let area = kernel * kernel;
        let all = self.block_outputs(block);
        let at = |output: usize| area * if transposed { input * outputs + output } else { output * inputs + input };
        if let (LANES, Some(square)) = (all.len(), taps.first_chunk_mut::<LANES>())
            && area == LANES
        {
            for (row, output) in square.iter_mut().zip(all) {
                row.copy_from_slice(&self.values[at(output)..][..LANES]);
            }
            transpose::<S>(square);
            return;
        }
        if all.len() < LANES {
            taps.fill([0.0; LANES]);
        }
        for (lane, output) in all.enumerate() {
            let from = &self.values[at(output)..][..area];
            taps.iter_mut().zip(from).for_each(|(taps, &value)| taps[lane] = value);
        }
    }

    /// Packs the kernels in one order.
    pub fn packed(&self, units: &[Unit], what: What) -> Packed {
        let mut packed = Packed::zeros(units, what.values() * self.spec.inputs);
        self.pack(units, vec![Destination { what, packed: &mut packed }]);
        packed
    }

    /// Packs the kernels in several orders, reading them once.
    pub fn pack(&self, units: &[Unit], destinations: Vec<Destination>) {
        let matrices: Vec<Vec<[f64; 3]>> = destinations
            .iter()
            .map(|destination| match destination.what {
                What::Winograd(_, points, taps) => kernel_matrix(points, taps),
                _ => Vec::new(),
            })
            .collect();
        let mut pieces: Vec<Vec<Piece>> = units.iter().map(|_| Vec::new()).collect();
        for (destination, matrix) in destinations.into_iter().zip(&matrices) {
            let mut rest = &mut destination.packed.data[..];
            for (piece, unit) in pieces.iter_mut().zip(destination.packed.starts.windows(2)) {
                let (here, after) = rest.split_at_mut(unit[1] - unit[0]);
                piece.push((destination.what, matrix, here));
                rest = after;
            }
        }
        let kernels = kernels();
        threads::for_each_chunk(&mut pieces, 1, |i, pieces| {
            run(kernels, Packing { source: self, unit: units[i], pieces: &mut pieces[0] });
        });
    }
}

/// One unit's part of a destination: the order, the transform of the kernels if there is one, and the floats.
type Piece<'a> = (What<'a>, &'a [[f64; 3]], &'a mut [f32]);

/// Packing the kernels of one unit.
struct Packing<'a, 'b> {
    source: &'a Source<'a>,
    unit: Unit,
    pieces: &'a mut [Piece<'b>],
}

impl Work for Packing<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { source, unit: Unit { block, blocks }, pieces } = self;
        let (inputs, area) = (source.spec.inputs, source.spec.kernel * source.spec.kernel);
        let mut few = [[0.0; LANES]; MOST_TAPS];
        let mut many = if area > MOST_TAPS { vec![[0.0; LANES]; area] } else { Vec::new() };
        let values = if area > MOST_TAPS { &mut many[..] } else { &mut few[..area] };
        for (b, input) in (0..blocks).flat_map(|b| (0..inputs).map(move |input| (b, input))) {
            source.taps::<S>(input, block + b, values);
            for (what, matrix, to) in pieces.iter_mut() {
                let to = to.as_chunks_mut::<LANES>().0;
                match what {
                    What::Taps(taps) => {
                        for (t, tap) in taps.iter().enumerate() {
                            to[(t * inputs + input) * blocks + b] = values[tap.index];
                        }
                    }
                    What::Views(views) => {
                        for (v, view) in views.iter().enumerate() {
                            let first = (v * inputs + input) * view.indices.len() * blocks + b;
                            for (t, &index) in view.indices.iter().enumerate() {
                                to[first + t * blocks] = values[index];
                            }
                        }
                    }
                    What::Winograd(views, ..) => {
                        for (v, view) in views.iter().enumerate() {
                            let place = ((v * inputs + input) * blocks + b, views.len() * inputs * blocks);
                            match (matrix.len(), view.indices.len()) {
                                (6, 9) => transformed::<6, 3>(values, &view.indices, matrix, place, to),
                                (5, 4) => transformed::<5, 2>(values, &view.indices, matrix, place, to),
                                _ => transformed::<3, 2>(values, &view.indices, matrix, place, to),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the taps of one channel, in double precision, to vectors from a place on, a step apart.
#[inline(always)]
fn transformed<const POINTS: usize, const R: usize>(
    taps: &[[f32; LANES]],
    indices: &[usize],
    matrix: &[[f64; 3]],
    (at, step): (usize, usize),
    to: &mut [[f32; LANES]],
) {
    let mut half = [[[0f64; LANES]; R]; POINTS];
    for (half, point) in half.iter_mut().zip(matrix) {
        for (x, half) in half.iter_mut().enumerate() {
            for (y, factor) in point.iter().enumerate().take(R) {
                let taps = &taps[indices[y * R + x]];
                half.iter_mut().zip(taps).for_each(|(sum, &tap)| *sum += factor * f64::from(tap));
            }
        }
    }
    for (y, half) in half.iter().enumerate() {
        for (x, point) in matrix.iter().enumerate().take(POINTS) {
            let mut sum = [0f64; LANES];
            for (half, factor) in half.iter().zip(point) {
                sum.iter_mut().zip(half).for_each(|(sum, half)| *sum += factor * half);
            }
            let to = &mut to[at + (y * POINTS + x) * step];
            to.iter_mut().zip(sum).for_each(|(to, sum)| *to = sum as f32);
        }
    }
}
