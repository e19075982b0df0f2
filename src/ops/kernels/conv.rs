//! Running a planned convolution.

use super::gather::{Grid, Source, gather, split};
use super::plan::{Plan, RowPhases};
use crate::ops::simd::panels::Kernels;
use crate::ops::simd::sharing::filled;
use crate::ops::simd::{Share, Sharing, with_scratch};
use crate::ops::{Activation, threads};

/// The floats of gathered pixels that a task keeps in its core's cache.
const PANEL_BUDGET: usize = 128 << 10;

/// The shape of a batch of pictures: pictures, rows, columns.
pub type Size = (usize, usize, usize);

struct Task<'a> {
    group: &'a RowPhases,
    grid: Grid,
    /// Columns of the matrix.
    columns: (usize, usize),
    /// Tiles of output channels.
    tiles: (usize, usize),
}

/// Convolves `x: [n, inputs, h, w]` to `[n, outputs, out_h, out_w]`, adds the bias `[outputs]` and activates.
///
/// # Panics
/// When the slices do not have the sizes stated.
pub fn convolve(
    kernels: &Kernels,
    plan: &Plan,
    x: &[f32],
    (n, h, w): Size,
    (out_h, out_w): (usize, usize),
    bias: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    let spec = &plan.spec;
    assert!(x.len() == n * spec.inputs * h * w && bias.is_none_or(|bias| bias.len() == spec.outputs));
    let planes;
    let source = if spec.transposed || spec.stride == 1 {
        Source { data: x, channels: spec.inputs, planes: 1, height: h, width: w }
    } else {
        let (data, height, width) = split(x, h, w, spec.stride);
        planes = data;
        Source { data: &planes, channels: spec.inputs, planes: spec.stride * spec.stride, height, width }
    };
    let tasks = tasks(kernels, plan, n, (out_h, out_w));
    let work = |to: &Sharing| {
        // The tasks cover every output pixel of every channel once.
        threads::for_each(tasks.len(), |i| {
            run(kernels, plan, &tasks[i], &source, to.task(i), (out_h, out_w), bias, activation);
        });
    };
    filled(n * spec.outputs * out_h * out_w, work)
}

fn tasks<'a>(kernels: &Kernels, plan: &'a Plan, batch: usize, (out_h, out_w): (usize, usize)) -> Vec<Task<'a>> {
    let panel = 2 * kernels.lanes;
    let wanted = 4 * threads::count();
    let mut tasks = Vec::new();
    for group in &plan.groups {
        let rows = (out_h + plan.step - 1).saturating_sub(group.row) / plan.step;
        let grid = Grid { batch, rows, columns: out_w.div_ceil(plan.step) };
        let depth: usize = group.phases.iter().map(|phase| phase.packed.depth).sum();
        let panels = grid.len().div_ceil(panel);
        let by_cache = (PANEL_BUDGET / (depth * panel).max(1)).clamp(1, 8);
        let by_threads = (panels * plan.groups.len() / wanted).max(1);
        let width = by_cache.min(by_threads) * panel;
        let pieces = grid.len().div_ceil(width) * plan.groups.len();
        let tiles = group.phases[0].packed.tiles();
        // With few columns the output channels are shared out as well.
        let height = if threads::count() == 1 { tiles } else { tiles.div_ceil(wanted.div_ceil(pieces.max(1))) };
        for start in (0..grid.len()).step_by(width) {
            for first in (0..tiles).step_by(height) {
                let columns = (start, width.min(grid.len() - start));
                tasks.push(Task { group, grid, columns, tiles: (first, height.min(tiles - first)) });
            }
        }
    }
    tasks
}

#[allow(clippy::too_many_arguments)]
fn run(
    kernels: &Kernels,
    plan: &Plan,
    task: &Task,
    source: &Source,
    to: Share,
    (out_h, out_w): (usize, usize),
    bias: Option<&[f32]>,
    activation: Activation,
) {
    let lanes = kernels.lanes;
    let panel = 2 * lanes;
    let (start, count) = task.columns;
    let phases = &task.group.phases;
    let tile_rows = phases[0].packed.tile;
    let outputs = plan.spec.outputs;
    let depth: usize = phases.iter().map(|phase| phase.packed.depth).sum();
    let panels = count.div_ceil(panel);
    let tile_size = tile_rows * panel;
    with_scratch(panels * depth * panel + phases.len() * tile_size, |scratch| {
        let (gathered, tiles) = scratch.split_at_mut(panels * depth * panel);
        let part = |p: usize| {
            let count = panel.min(count - p * panel);
            (start + p * panel, count, count.div_ceil(lanes))
        };
        for p in 0..panels {
            let (start, count, vectors) = part(p);
            let mut at = p * depth * panel;
            for phase in phases {
                let all = (0, plan.spec.inputs);
                gather(
                    kernels,
                    source,
                    &phase.taps,
                    all,
                    &task.grid,
                    (start, count),
                    (vectors, vectors * lanes),
                    &mut gathered[at..],
                );
                at += phase.packed.depth * panel;
            }
        }
        for tile in task.tiles.0..task.tiles.0 + task.tiles.1 {
            let first = tile * tile_rows;
            let rows = tile_rows.min(outputs - first);
            for p in 0..panels {
                let (start, count, vectors) = part(p);
                let width = vectors * lanes;
                let mut at = p * depth * panel;
                for (phase, out) in phases.iter().zip(tiles.chunks_exact_mut(tile_size)) {
                    let a = phase.packed.tile_data(tile);
                    let b = &gathered[at..at + phase.packed.depth * width];
                    kernels.tile((tile_rows, vectors), phase.packed.depth, a, b, out);
                    for (row, values) in out.chunks_exact_mut(width).take(rows).enumerate() {
                        finish(values, bias.map_or(0.0, |bias| bias[first + row]), activation);
                    }
                    at += phase.packed.depth * panel;
                }
                let (step, top) = (plan.step, task.group.row);
                task.grid.for_each_row(start, count, |lane, n, row, column, length| {
                    for r in 0..rows {
                        let place = ((n * outputs + first + r) * out_h + row * step + top) * out_w + column * step;
                        let room = (length * step).min(out_w - column * step);
                        to.with(place, room, |to| interleave(to, &tiles[r * width + lane..], tile_size, step));
                    }
                });
            }
        }
    });
}

/// Adds the bias and activates.
#[inline]
fn finish(values: &mut [f32], bias: f32, activation: Activation) {
    match activation {
        Activation::None if bias == 0.0 => {}
        Activation::None => values.iter_mut().for_each(|v| *v += bias),
        Activation::Relu => values.iter_mut().for_each(|v| *v = Activation::Relu.apply(*v + bias)),
        other => values.iter_mut().for_each(|v| *v = other.apply(*v + bias)),
    }
}

/// Writes the values of `step` phases in turn.
#[inline]
fn interleave(to: &mut [f32], from: &[f32], phase: usize, step: usize) {
    match step {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => {
            let (even, odd) = (from, &from[phase..]);
            let (pairs, rest) = to.as_chunks_mut::<2>();
            let count = pairs.len();
            for ((pair, &even), &odd) in pairs.iter_mut().zip(&even[..count]).zip(&odd[..count]) {
                *pair = [even, odd];
            }
            if let [last] = rest {
                *last = even[count];
            }
        }
        _ => to.iter_mut().enumerate().for_each(|(i, to)| *to = from[i % step * phase + i / step]),
    }
}
