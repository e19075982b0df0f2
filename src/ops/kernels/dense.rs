//! Products of plain matrices: what convolutions come to when a picture is one pixel.

use super::gather::{Grid, Source, Tap, gather};
use super::plan::Packed;
use crate::ops::simd::panels::{DOT_A, DOT_B, Kernels};
use crate::ops::simd::sharing::filled;
use crate::ops::simd::{Sharing, with_scratch};
use crate::ops::threads;

/// `[rows, columns]`: the product of `a`, read as `a[row * row_stride + k * depth_stride]`, and `b: [depth, columns]`.
///
/// # Panics
/// When the slices are too short.
pub fn product(
    kernels: &Kernels,
    a: &[f32],
    (rows, row_stride): (usize, usize),
    (depth, depth_stride): (usize, usize),
    b: &[f32],
    columns: usize,
) -> Vec<f32> {
    assert!(b.len() == depth * columns);
    let packed = Packed::new(kernels, a, (rows, row_stride), (depth, depth_stride), &[0]);
    let panel = 2 * kernels.lanes;
    let source = Source { data: b, channels: depth, planes: 1, height: 1, width: columns };
    let grid = Grid { batch: 1, rows: 1, columns };
    let work = |to: &Sharing| {
        threads::for_each(columns.div_ceil(panel), |i| {
            let to = to.task(i);
            let (start, count) = (i * panel, panel.min(columns - i * panel));
            let vectors = count.div_ceil(kernels.lanes);
            let width = vectors * kernels.lanes;
            with_scratch(depth * panel + packed.tile * panel, |scratch| {
                let (gathered, out) = scratch.split_at_mut(depth * panel);
                let tap = [Tap { plane: 0, dy: 0, dx: 0 }];
                gather(kernels, &source, &tap, (0, depth), &grid, (start, count), (vectors, width), gathered);
                for tile in 0..packed.tiles() {
                    kernels.tile((packed.tile, vectors), depth, packed.tile_data(tile), gathered, out);
                    let first = tile * packed.tile;
                    for row in first..rows.min(first + packed.tile) {
                        let from = &out[(row - first) * width..][..count];
                        // This task alone writes these columns.
                        to.with(row * columns + start, count, |to| to.copy_from_slice(from));
                    }
                }
            });
        });
    };
    filled(rows * columns, work)
}

/// `[rows, columns]`: the dot products of the rows of `a: [rows, length]` with those of `b: [columns, length]`.
///
/// # Panics
/// When the slices have other sizes.
pub fn product_of_rows(kernels: &Kernels, a: &[f32], b: &[f32], length: usize) -> Vec<f32> {
    let (rows, columns) = (a.len() / length, b.len() / length);
    assert!(a.len() == rows * length && b.len() == columns * length);
    let even = length / kernels.lanes * kernels.lanes;
    let work = |to: &Sharing| {
        threads::for_each(columns.div_ceil(DOT_B), |j| {
            let to = to.task(j);
            let right = DOT_B.min(columns - j * DOT_B);
            for i in 0..rows.div_ceil(DOT_A) {
                let left = DOT_A.min(rows - i * DOT_A);
                let mut block = [0.0; DOT_A * DOT_B];
                let (a, b) = (&a[i * DOT_A * length..], &b[j * DOT_B * length..]);
                kernels.dot((left, right), even, (a, length), (b, length), &mut block);
                for y in 0..left {
                    for x in 0..right {
                        let rest = (even..length).map(|k| a[y * length + k] * b[x * length + k]).sum::<f32>();
                        // This task alone writes these columns.
                        to.set((i * DOT_A + y) * columns + j * DOT_B + x, block[y * DOT_B + x] + rest);
                    }
                }
            }
        });
    };
    filled(rows * columns, work)
}
