//! What a convolution is estimated to take by either way, which decides between them.

use super::super::convolution::Way;
use super::super::geometry::Grid;
use super::super::pack::{Source, Unit};
use crate::plan::layout::LANES;

/// Transformed kernels of more bytes than this are read once for all squares, not once for every few; and where a
/// picture has but a few squares, they are not kept: reading them from memory in every pass would take longer than to
/// transform them anew.
pub(super) const LARGE_KERNELS: usize = 3 << 20;
/// Squares of a picture that are few.
const FEW_SQUARES: usize = 16;

/// What costs are estimated for.
#[derive(Clone, Copy)]
pub(in super::super) struct Setting {
    /// Numbers of pictures at once, and how much they weigh.
    pictures: &'static [(f64, f64)],
    /// Whether the kernels are packed anew for every run.
    learning: bool,
}

impl Setting {
    pub(in super::super) fn of(way: Way) -> Self {
        match way {
            Way::Learning => Self { pictures: &[(32.0, 1.0)], learning: true },
            // Sixteen at once and one alone both matter.
            _ => Self { pictures: &[(16.0, 1.0), (1.0, 1.5)], learning: false },
        }
    }

    /// Nanoseconds in which one core packs a value, transformed or not.
    fn packing(self, transformed: bool) -> f64 {
        match (self.learning, transformed) {
            (false, _) => 0.0,
            (true, false) => 0.4,
            (true, true) => 0.8,
        }
    }
}

/// Nanoseconds in which one core reads a float from memory.
const READ: f64 = 0.19;

/// Floats of a kernel's tap over all pairs of channels, lanes without a channel included.
fn products(source: &Source, units: &[Unit]) -> f64 {
    let outputs: usize = units.iter().map(|unit| unit.blocks).sum();
    (source.spec.inputs * outputs * LANES) as f64
}

/// Whether kernels are transformed while they are used.
pub(in super::super) fn transforms_late(
    source: &Source,
    units: &[Unit],
    grid: &Grid,
    (points, side): (usize, usize),
    views: usize,
    setting: Setting,
) -> bool {
    let bytes = (points * points * views) as f64 * products(source, units) * 4.0;
    match setting.learning {
        true => bytes > LARGE_KERNELS as f64,
        false => bytes > LARGE_KERNELS as f64 && grid.size.0 * grid.size.1 <= FEW_SQUARES * side * side,
    }
}

/// Estimated nanoseconds of one core, product by product.
pub(in super::super) fn direct_cost(source: &Source, units: &[Unit], grid: &Grid, setting: Setting) -> f64 {
    let pairs = products(source, units) * grid.taps.len() as f64;
    let area = (grid.size.0 * grid.size.1) as f64;
    let each = READ + setting.packing(false);
    setting.pictures.iter().map(|(pictures, weight)| weight * pairs * (area * pictures / 90.0 + each)).sum()
}

/// The same for squares of `side` outputs by this many points and taps along each axis.
pub(in super::super) fn cost(
    source: &Source,
    units: &[Unit],
    grid: &Grid,
    (points, taps, side): (usize, usize, usize),
    views: usize,
    setting: Setting,
) -> f64 {
    let outputs: usize = units.iter().map(|unit| unit.blocks).sum();
    let late = transforms_late(source, units, grid, (points, side), views, setting);
    let points = (points * points) as f64;
    let pairs = views as f64 * products(source, units);
    let of = |&(pictures, weight): &(f64, f64)| {
        let squares = (grid.size.0 * grid.size.1 / (side * side)) as f64 * pictures;
        let kernels = pairs
            * match late {
                true => {
                    (taps * taps) as f64 * (READ + setting.packing(false)) + points * 0.04 * (squares / 128.0).ceil()
                }
                false => points * (READ + setting.packing(true)),
            };
        let transforms = squares * points * (views * source.from.len() + outputs) as f64;
        // Of tiles, fewer than four take as long as four.
        let columns = if late { squares } else { squares.max(4.0) };
        weight * (pairs * points * columns / 80.0 + transforms + kernels)
    };
    setting.pictures.iter().map(of).sum()
}
