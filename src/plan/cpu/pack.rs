//! Kernels in the order in which the inner loops read them.

use super::super::layout::LANES;
use super::geometry::{Tap, View};
use crate::ops::simd::Floats;
use crate::ops::simd::tiles::Kernels;
use crate::ops::simd::transform::kernel_matrix;
use crate::ops::{ConvSpec, threads};

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

    fn new(units: &[Unit], depth: usize, fill: impl Fn(&Unit, &mut [f32]) + Sync + Send) -> Self {
        let mut starts = vec![0];
        for unit in units {
            starts.push(starts[starts.len() - 1] + depth * unit.blocks * LANES);
        }
        let mut data = Floats::zeros(starts[units.len()]);
        let mut pieces = Vec::new();
        let mut rest = &mut data[..];
        for unit in units {
            let (piece, after) = rest.split_at_mut(depth * unit.blocks * LANES);
            pieces.push(piece);
            rest = after;
        }
        threads::for_each_chunk(&mut pieces, 1, |i, piece| fill(&units[i], piece[0]));
        Self { data, starts }
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
    fn at(&self, output: usize, input: usize, index: usize) -> f32 {
        let ConvSpec { inputs, outputs, kernel, transposed, .. } = self.spec;
        let pair = if transposed { input * outputs + output } else { output * inputs + input };
        self.values[pair * kernel * kernel + index]
    }

    /// The channels of every input block.
    fn inputs(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.from.iter().scan(0, |first, &lanes| {
            *first += lanes;
            Some(*first - lanes..*first)
        })
    }

    /// The output channels of a unit with their lanes.
    fn outputs(&self, unit: &Unit) -> Vec<(usize, usize)> {
        let first: usize = self.to[..unit.block].iter().sum();
        let blocks = self.to[unit.block..unit.block + unit.blocks].iter().enumerate();
        blocks
            .flat_map(|(block, &lanes)| (0..lanes).map(move |lane| block * LANES + lane))
            .enumerate()
            .map(|(i, lane)| (first + i, lane))
            .collect()
    }

    /// For each unit `[tap][input channel][outputs]`.
    pub fn direct(&self, units: &[Unit], taps: &[Tap]) -> Packed {
        Packed::new(units, taps.len() * self.spec.inputs, |unit, to| {
            let outputs = self.outputs(unit);
            let mut rows = to.chunks_exact_mut(unit.blocks * LANES);
            for tap in taps {
                for input in 0..self.spec.inputs {
                    let Some(row) = rows.next() else { return };
                    outputs.iter().for_each(|&(output, lane)| row[lane] = self.at(output, input, tap.index));
                }
            }
        })
    }

    /// For each unit `[view][input channel][tap][outputs]`: what [`crate::ops::simd::transform::KernelTransform`] reads.
    pub fn views(&self, units: &[Unit], taps: usize, views: &[View]) -> Packed {
        Packed::new(units, views.len() * self.spec.inputs * taps, |unit, to| {
            let outputs = self.outputs(unit);
            let mut rows = to.chunks_exact_mut(unit.blocks * LANES);
            for view in views {
                for input in self.inputs().flatten() {
                    for &index in &view.indices {
                        let Some(row) = rows.next() else { return };
                        outputs.iter().for_each(|&(output, lane)| row[lane] = self.at(output, input, index));
                    }
                }
            }
        })
    }

    /// For each unit `[point][view][input channel][outputs]`.
    pub fn winograd(&self, units: &[Unit], points: usize, r: usize, views: &[View]) -> Packed {
        let matrix = kernel_matrix(points, r);
        let points = points * points;
        let depth = views.len() * self.spec.inputs;
        Packed::new(units, points * depth, |unit, to| {
            let width = unit.blocks * LANES;
            let outputs = self.outputs(unit);
            for (v, view) in views.iter().enumerate() {
                for input in self.inputs().flatten() {
                    let row = v * self.spec.inputs + input;
                    for &(output, lane) in &outputs {
                        let mut half = [[0f64; 3]; 6];
                        for (half, point) in half.iter_mut().zip(&matrix) {
                            for (x, half) in half.iter_mut().enumerate().take(r) {
                                *half = (0..r)
                                    .map(|y| point[y] * f64::from(self.at(output, input, view.indices[y * r + x])))
                                    .sum();
                            }
                        }
                        for (y, half) in half.iter().enumerate().take(matrix.len()) {
                            for (x, point) in matrix.iter().enumerate() {
                                let value: f64 = (0..r).map(|i| half[i] * point[i]).sum();
                                to[((y * matrix.len() + x) * depth + row) * width + lane] = value as f32;
                            }
                        }
                    }
                }
            }
        })
    }
}
