//! Kernels in the order in which the inner loops read them.

use super::super::layout::LANES;
use super::geometry::{Tap, View};
use crate::ops::simd::tiles::{Kernels, kernels};
use crate::ops::simd::transform::kernel_matrix;
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::simd::{Floats, Simd};
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
    data: Floats,
    /// Where each unit begins.
    starts: Vec<usize>,
}

impl Packed {
    /// The floats of a unit.
    pub fn unit(&self, unit: usize) -> &[f32] {
        &self.data[self.starts[unit]..self.starts[unit + 1]]
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
        Self { data: Floats::zeros(starts[units.len()]), starts }
    }

    /// Calls `fill(unit, its floats)` on all threads.
    fn fill(&mut self, fill: impl Fn(usize, &mut [f32]) + Sync + Send) {
        let mut pieces = Vec::new();
        let mut rest = &mut self.data[..];
        for unit in self.starts.windows(2) {
            let (piece, after) = rest.split_at_mut(unit[1] - unit[0]);
            pieces.push(piece);
            rest = after;
        }
        threads::for_each_chunk(&mut pieces, 1, |i, piece| fill(i, piece[0]));
    }
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
    fn taps(&self, input: usize, block: usize, taps: &mut [[f32; LANES]]) {
        let ConvSpec { inputs, outputs, kernel, transposed, .. } = self.spec;
        let area = kernel * kernel;
        if self.to[block] < LANES {
            taps.fill([0.0; LANES]);
        }
        for (lane, output) in self.block_outputs(block).enumerate() {
            let pair = if transposed { input * outputs + output } else { output * inputs + input };
            let from = &self.values[pair * area..][..area];
            taps.iter_mut().zip(from).for_each(|(taps, &value)| taps[lane] = value);
        }
    }

    /// For each unit `[tap][input channel][outputs]`.
    pub fn direct(&self, units: &[Unit], taps: &[Tap]) -> Packed {
        let mut packed = Packed::zeros(units, taps.len() * self.spec.inputs);
        self.direct_again(units, taps, &mut packed);
        packed
    }

    /// [`Source::direct`] with other values.
    pub fn direct_again(&self, units: &[Unit], taps: &[Tap], packed: &mut Packed) {
        let inputs = self.spec.inputs;
        packed.fill(|unit, to| {
            let Unit { block, blocks } = units[unit];
            let mut values = vec![[0.0; LANES]; self.spec.kernel * self.spec.kernel];
            for (b, input) in (0..blocks).flat_map(|b| (0..inputs).map(move |input| (b, input))) {
                self.taps(input, block + b, &mut values);
                for (t, tap) in taps.iter().enumerate() {
                    let at = ((t * inputs + input) * blocks + b) * LANES;
                    to[at..at + LANES].copy_from_slice(&values[tap.index]);
                }
            }
        });
    }

    /// For each unit `[view][input channel][tap][outputs]`: what [`crate::ops::simd::transform::KernelTransform`] reads.
    pub fn views(&self, units: &[Unit], taps: usize, views: &[View]) -> Packed {
        let mut packed = Packed::zeros(units, views.len() * self.spec.inputs * taps);
        self.views_again(units, views, &mut packed);
        packed
    }

    /// [`Source::views`] with other values.
    pub fn views_again(&self, units: &[Unit], views: &[View], packed: &mut Packed) {
        let inputs = self.spec.inputs;
        packed.fill(|unit, to| {
            let Unit { block, blocks } = units[unit];
            let to = to.as_chunks_mut::<LANES>().0;
            let mut values = [[0.0; LANES]; MOST_TAPS];
            for (b, input) in (0..blocks).flat_map(|b| (0..inputs).map(move |input| (b, input))) {
                self.taps(input, block + b, &mut values);
                for (v, view) in views.iter().enumerate() {
                    let first = (v * inputs + input) * view.indices.len() * blocks + b;
                    for (t, &index) in view.indices.iter().enumerate() {
                        to[first + t * blocks] = values[index];
                    }
                }
            }
        });
    }

    /// For each unit `[point][view][input channel][outputs]`.
    pub fn winograd(&self, units: &[Unit], points: usize, r: usize, views: &[View]) -> Packed {
        let mut packed = Packed::zeros(units, points * points * views.len() * self.spec.inputs);
        self.winograd_again(units, (points, r), views, &mut packed);
        packed
    }

    /// [`Source::winograd`] with other values.
    pub fn winograd_again(&self, units: &[Unit], (points, r): (usize, usize), views: &[View], packed: &mut Packed) {
        let matrix: Vec<[f32; 3]> = kernel_matrix(points, r).iter().map(|row| row.map(|value| value as f32)).collect();
        let kernels = kernels();
        packed.fill(|unit, to| {
            let Unit { block, blocks } = units[unit];
            run(kernels, Transformed { source: self, block, blocks, matrix: &matrix, r, views, to });
        });
    }
}

/// The transform of the kernels of one unit.
struct Transformed<'a> {
    source: &'a Source<'a>,
    block: usize,
    blocks: usize,
    matrix: &'a [[f32; 3]],
    r: usize,
    views: &'a [View],
    to: &'a mut [f32],
}

impl Transformed<'_> {
    #[inline(always)]
    fn transform<S: Simd, const POINTS: usize, const R: usize>(self) {
        let Self { source, block, blocks, matrix, views, to, .. } = self;
        let inputs = source.spec.inputs;
        let (depth, width) = (views.len() * inputs, blocks * LANES);
        let mut taps = [[0.0; LANES]; MOST_TAPS];
        let zero = Wide::<S>::splat(0.0);
        let to = to.as_chunks_mut::<LANES>().0;
        for (b, input) in (0..blocks).flat_map(|b| (0..inputs).map(move |input| (b, input))) {
            source.taps(input, block + b, &mut taps);
            for (v, view) in views.iter().enumerate() {
                let mut half = [[zero; R]; POINTS];
                for x in 0..R {
                    for (half, point) in half.iter_mut().zip(matrix) {
                        half[x] = Wide::load(&taps[view.indices[x]]).multiply(Wide::splat(point[0]));
                        for y in 1..R {
                            half[x] = Wide::load(&taps[view.indices[y * R + x]]).times_plus(point[y], half[x]);
                        }
                    }
                }
                let at = ((v * inputs + input) * width + b * LANES) / LANES;
                let step = depth * width / LANES;
                for (y, half) in half.iter().enumerate() {
                    for (x, point) in matrix.iter().enumerate().take(POINTS) {
                        let mut sum = half[0].multiply(Wide::splat(point[0]));
                        for (half, factor) in half.iter().zip(point).skip(1) {
                            sum = half.times_plus(*factor, sum);
                        }
                        sum.store(&mut to[at + (y * POINTS + x) * step]);
                    }
                }
            }
        }
    }
}

impl Work for Transformed<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        match (self.matrix.len(), self.r) {
            (6, _) => self.transform::<S, 6, 3>(),
            (5, _) => self.transform::<S, 5, 2>(),
            _ => self.transform::<S, 3, 2>(),
        }
    }
}
