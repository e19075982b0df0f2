//! What a convolution comes to: which taps feed which output pixels, and the kernels in the order of the inner loop.

use super::gather::Tap;
use crate::ops::simd::panels::Kernels;
use crate::ops::{ConvSpec, threads};

/// Kernels `[rows, depth]` cut into tiles of a few rows, each tile `[depth][tile rows]`.
pub struct Packed {
    /// Output channels.
    pub rows: usize,
    /// Input channels times taps.
    pub depth: usize,
    /// Rows of a tile; those beyond `rows` are 0.
    pub tile: usize,
    data: Vec<f32>,
}

impl Packed {
    /// Packs `weight[row * row_stride + channel * channel_stride + taps[t]]`, depth being `(channel, t)`.
    pub fn new(
        kernels: &Kernels,
        weight: &[f32],
        (rows, row_stride): (usize, usize),
        (channels, channel_stride): (usize, usize),
        taps: &[usize],
    ) -> Self {
        let tiles = rows.div_ceil(kernels.rows);
        let tile = rows.div_ceil(tiles);
        let depth = channels * taps.len();
        let mut data = vec![0.0; tiles * depth * tile];
        threads::for_each_chunk(&mut data, depth * tile, |i, data| {
            let first = i * tile;
            let used = tile.min(rows - first);
            let mut to = data.chunks_exact_mut(tile);
            for channel in 0..channels {
                for tap in taps {
                    let from = channel * channel_stride + tap + first * row_stride;
                    let to = to.next().expect("a chunk for every depth");
                    to[..used].iter_mut().enumerate().for_each(|(row, to)| *to = weight[from + row * row_stride]);
                }
            }
        });
        Self { rows, depth, tile, data }
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        self.rows.div_ceil(self.tile)
    }

    /// One tile, `[depth][tile rows]`.
    pub fn tile_data(&self, tile: usize) -> &[f32] {
        &self.data[tile * self.depth * self.tile..][..self.depth * self.tile]
    }
}

/// One of the output's interleaved grids along a row, with the taps that feed it.
pub struct Phase {
    /// Where its pixels come from.
    pub taps: Vec<Tap>,
    /// Its kernels.
    pub packed: Packed,
}

/// The phases of the output rows `row, row + step, ...`, interleaved along x.
pub struct RowPhases {
    /// The first output row.
    pub row: usize,
    /// One phase for each of the output columns `0..step`.
    pub phases: Vec<Phase>,
}

/// A convolution ready to run on pictures of any size.
pub struct Plan {
    /// What it computes.
    pub spec: ConvSpec,
    /// How many interleaved grids the output has along each axis: 1, or the stride of a transposed convolution.
    pub step: usize,
    /// The phases by rows.
    pub groups: Vec<RowPhases>,
}

impl Plan {
    /// Plans a convolution with kernels of the shape [`ConvSpec::weight_shape`].
    pub fn new(kernels: &Kernels, spec: &ConvSpec, weight: &[f32]) -> Self {
        let ConvSpec { inputs, outputs, kernel: k, stride, padding, transposed } = *spec;
        let pack = |taps: &[usize]| {
            if transposed {
                Packed::new(kernels, weight, (outputs, k * k), (inputs, outputs * k * k), taps)
            } else {
                Packed::new(kernels, weight, (outputs, inputs * k * k), (inputs, k * k), taps)
            }
        };
        if !transposed {
            let taps = conv_taps(k, stride, padding);
            let phase = Phase { taps, packed: pack(&(0..k * k).collect::<Vec<_>>()) };
            return Self { spec: *spec, step: 1, groups: vec![RowPhases { row: 0, phases: vec![phase] }] };
        }
        let phase = |py: usize, px: usize| {
            let (mut taps, mut indices) = (Vec::new(), Vec::new());
            for (ky, dy) in transposed_taps(k, stride, padding, py) {
                for (kx, dx) in transposed_taps(k, stride, padding, px) {
                    taps.push(Tap { plane: 0, dy, dx });
                    indices.push(ky * k + kx);
                }
            }
            Phase { taps, packed: pack(&indices) }
        };
        let group = |py| RowPhases { row: py, phases: (0..stride).map(|px| phase(py, px)).collect() };
        Self { spec: *spec, step: stride, groups: (0..stride).map(group).collect() }
    }
}

/// The taps of a convolution in the order of its kernels, on pictures that were split by the stride.
pub fn conv_taps(kernel: usize, stride: usize, padding: usize) -> Vec<Tap> {
    let along = |i: usize| {
        let at = i as isize - padding as isize;
        (at.div_euclid(stride as isize), at.rem_euclid(stride as isize) as usize)
    };
    let tap = |i: usize| {
        let ((dy, py), (dx, px)) = (along(i / kernel), along(i % kernel));
        Tap { plane: py * stride + px, dy, dx }
    };
    (0..kernel * kernel).map(tap).collect()
}

/// Along one axis, the kernel indices that reach the outputs `phase, phase + stride, ...` and their offsets.
fn transposed_taps(kernel: usize, stride: usize, padding: usize, phase: usize) -> impl Iterator<Item = (usize, isize)> {
    (0..kernel).filter_map(move |k| {
        let at = (phase + padding) as isize - k as isize;
        (at.rem_euclid(stride as isize) == 0).then_some((k, at.div_euclid(stride as isize)))
    })
}
