//! Transforms of kernels against their matrices.

use super::super::LANES;
use super::super::tiles::runnable;
use super::super::wide::run;
use super::{FEW_COLUMNS, FewColumns, KernelTransform, kernel_matrix, row_groups};
use crate::ops::kernels::tests::noise;

fn assert_close(found: &[f32], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((f64::from(*found) - wanted).abs() <= 1e-5 * (1.0 + wanted.abs()), "{what}: {found} for {wanted}");
    }
}

/// `[points * points][channel][outputs]` of kernels `[channel][taps * taps][outputs]`, by their definition.
fn transformed(kernels: &[f32], (points, taps): (usize, usize), width: usize) -> Vec<f64> {
    let matrix = kernel_matrix(points, taps);
    let mut values = Vec::new();
    for (y, x) in (0..points).flat_map(|y| (0..points).map(move |x| (y, x))) {
        for kernel in kernels.chunks_exact(taps * taps * width) {
            values.extend((0..width).map(|o| {
                let tap = |i: usize| f64::from(kernel[i * width + o]) * matrix[y][i / taps] * matrix[x][i % taps];
                (0..taps * taps).map(tap).sum::<f64>()
            }));
        }
    }
    values
}

#[test]
fn kernels_are_transformed_by_their_matrix() {
    for kernels in runnable() {
        for (points, taps, blocks) in [(6, 3, 2), (5, 2, 1), (3, 2, 2), (6, 3, 1)] {
            let (channels, width) = (3, blocks * LANES);
            let from = noise(channels * taps * taps * width, 1);
            let wanted = transformed(&from, (points, taps), width);
            let size = channels * width;
            let mut next = 0;
            for rows in row_groups(points) {
                assert_eq!(rows.start, next);
                next = rows.end;
                let mut to = vec![0.0; rows.len() * points * (size + LANES)];
                run(kernels, KernelTransform { points, rows: rows.clone(), width, from: &from, to: &mut to });
                for (i, found) in to.chunks_exact(size + LANES).enumerate() {
                    let wanted = &wanted[(rows.start * points + i) * size..][..size];
                    assert_close(&found[..size], wanted, &format!("{} {points} points, {rows:?}", kernels.set.name()));
                }
            }
            assert_eq!(next, points);
        }
    }
}

#[test]
fn few_columns_are_multiplied_with_transformed_kernels() {
    for kernels in runnable() {
        for (points, taps, blocks, channels) in [(6, 3, 2, 3), (6, 3, 1, 2), (5, 2, 2, 1), (5, 2, 1, 4)] {
            let width = blocks * LANES;
            let weight = noise(channels * taps * taps * width, 2);
            let transformed = transformed(&weight, (points, taps), width);
            for columns in 1..=FEW_COLUMNS {
                let (x_point, block) = ((columns + 1) * LANES, columns * LANES);
                let point = blocks * block + LANES;
                let x = noise(points * points * x_point, 3);
                let before = noise(points * points * point, 4);
                let mut wanted: Vec<f64> = before.iter().map(|&value| f64::from(value)).collect();
                for p in 0..points * points {
                    for (column, o) in (0..columns).flat_map(|column| (0..width).map(move |o| (column, o))) {
                        let to = p * point + o / LANES * block + column * LANES + o % LANES;
                        for c in 0..channels {
                            let value = f64::from(x[p * x_point + column * LANES + c]);
                            wanted[to] += value * transformed[(p * channels + c) * width + o];
                        }
                    }
                }
                let mut found = before.clone();
                let (x, to) = ((&x[..], x_point), (&mut found[..], point, block));
                run(kernels, FewColumns { points, columns, x, channels, kernels: &weight, blocks, to });
                assert_close(&found, &wanted, &format!("{} {points} points, {columns} columns", kernels.set.name()));
            }
        }
    }
}
